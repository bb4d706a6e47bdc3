// SPDX-License-Identifier: GPL-2.0
/*
 * mremap() with MREMAP_ONLYPAGES: validates the call, and moves from one pair of VMAs to the next.
 */

#include <linux/mman.h>
#include "anon_move_internal.h"

/* One that is sealed neither loses a page nor gets one. */
static int check_pair(struct anon_move_request *req, const struct vm_area_struct *dst_vma,
		      const struct vm_area_struct *src_vma)
{
	return (dst_vma->vm_flags | src_vma->vm_flags) & VM_SEALED ? -EPERM : 0;
}

/*
 * Without MREMAP_MAYMOVE and MREMAP_FIXED the C library would not pass the
 * destination on. A kernel that knows nothing of this refuses the flag before it
 * unmaps anything.
 */
static bool flags_valid(unsigned long flags)
{
	return (flags & ~(unsigned long)MREMAP_ONLYPAGES_HOLES) ==
	       (MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_ONLYPAGES);
}

/*
 * From one pair of VMAs to the next. A move that ended for another reason meets
 * that again at once, before it has moved a page.
 */
static long move_pairs(struct anon_move_request *req)
{
	unsigned long left = req->len;
	long done = 0;

	while (left) {
		ssize_t moved = anon_move_pages(req);

		if (moved < 0)
			return done ? done : moved;
		done += moved;
		left -= moved;
		req->dst += moved;
		req->src += moved;
		req->len = left;
		if (fatal_signal_pending(current))
			break;
		cond_resched();
	}
	return done;
}

/**
 * anon_move_mremap() - mremap() of pages only
 * @src: first byte of the source, without a tag
 * @old_len: bytes
 * @new_len: bytes, the same
 * @flags: MREMAP_*, with MREMAP_ONLYPAGES
 * @dst: first byte of the destination
 *
 * Moves pages of the caller's own memory as UFFDIO_MOVE does, without a
 * descriptor and whether registered or not. Both ranges stay mapped, and each may
 * lie in several VMAs, as long as those that face each other are alike.
 *
 * Context: no locks; may sleep.
 * Return: bytes moved, or passed over as holes; 0 for a length of 0. Fewer than
 *	   @old_len if something is in the way, which the same call for the rest
 *	   tells. If nothing was moved:
 *	   -EINVAL a bad argument, or VMAs that aren't private writable
 *	   anonymous memory or not alike; -EFAULT nothing is mapped at the start
 *	   of a range, or there is a marker in the source; -EPERM a VMA is sealed;
 *	   -ENOENT a hole, without MREMAP_ONLYPAGES_HOLES; -EEXIST the
 *	   destination is occupied; -EBUSY, -EAGAIN, -ENOMEM, -EINTR as
 *	   anon_move_pages().
 */
long anon_move_mremap(unsigned long src, unsigned long old_len, unsigned long new_len,
		      unsigned long flags, unsigned long dst)
{
	struct anon_move_request req = {
		.mm = current->mm,
		.dst = dst,
		.src = src,
		.len = old_len,
		.flags = ANON_MOVE_UNMAPPED_EFAULT | ANON_MOVE_SPAN,
		.key = anon_move_mm_key(current->mm),
		.check = check_pair,
	};

	if (!flags_valid(flags) || old_len != new_len || !PAGE_ALIGNED(dst | src | old_len) ||
	    !anon_move_range_valid(current->mm, dst, old_len) ||
	    !anon_move_range_valid(current->mm, src, old_len))
		return -EINVAL;
	/* Bytes moved must not look like an error. */
	if (!IS_ENABLED(CONFIG_64BIT) || in_compat_syscall())
		req.len = min_t(unsigned long, req.len, INT_MAX & PAGE_MASK);
	if (flags & MREMAP_ONLYPAGES_HOLES)
		req.flags |= ANON_MOVE_ALLOW_HOLES;
	return move_pairs(&req);
}
