/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What UFFDIO_MOVE and UFFDIO_MOVEV share, and what they offer to io_uring.
 */
#ifndef _FS_USERFAULTFD_MOVE_H
#define _FS_USERFAULTFD_MOVE_H

#include <linux/anon_move.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/userfaultfd_k.h>

/*
 * What is longer, all ranges of a call together, is not moved in the submitter: it
 * holds the ring's lock.
 */
#define USERFAULTFD_MOVE_INLINE	SZ_2M

/**
 * struct userfaultfd_move_progress - a call that a worker ends where its submitter gave up
 * @done: ranges of UFFDIO_MOVEV that were dealt with
 * @moved: bytes of the one behind them, or of UFFDIO_MOVE
 * @copied: how many of them were copied
 * @result: of the ranges that were dealt with
 * @no_wait: in the submitter, so there must be no wait and no long work
 * @again: false before the call; after it, whether what is left is for a worker
 */
struct userfaultfd_move_progress {
	u64 done;
	u64 moved;
	u64 copied;
	int result;
	bool no_wait;
	bool again;
};

/**
 * userfaultfd_move_ranges_valid() - may two ranges be looked for in an address space?
 * @mm: the address space
 * @dst: first byte of the destination
 * @src: first byte of the source
 * @len: bytes of each
 *
 * Return: false if they are empty, not page aligned, go past its end or wrap.
 */
static inline bool userfaultfd_move_ranges_valid(const struct mm_struct *mm, u64 dst, u64 src,
						 u64 len)
{
	return len && PAGE_ALIGNED(dst | src | len) && anon_move_range_valid(mm, dst, len) &&
	       anon_move_range_valid(mm, src, len);
}

int userfaultfd_move_on(struct userfaultfd_ctx *ctx, struct uffdio_move __user *uarg,
			struct userfaultfd_move_progress *progress);
int userfaultfd_movev_on(struct userfaultfd_ctx *ctx, struct uffdio_movev __user *uarg,
			 struct userfaultfd_move_progress *progress);
int userfaultfd_move_check(struct anon_move_request *req, const struct vm_area_struct *dst_vma,
			   const struct vm_area_struct *src_vma);

#endif /* _FS_USERFAULTFD_MOVE_H */
