/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What UFFDIO_MOVE and UFFDIO_MOVEV share.
 */
#ifndef _FS_USERFAULTFD_MOVE_H
#define _FS_USERFAULTFD_MOVE_H

#include <linux/anon_move.h>
#include <linux/mm.h>

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

int userfaultfd_move_check(struct anon_move_request *req, const struct vm_area_struct *dst_vma,
			   const struct vm_area_struct *src_vma);

#endif /* _FS_USERFAULTFD_MOVE_H */
