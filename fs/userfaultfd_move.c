// SPDX-License-Identifier: GPL-2.0
/*
 * UFFDIO_MOVE: copies the request in, validates it, calls the engine, wakes, copies the result out.
 */

#include <linux/anon_move.h>
#include <linux/mm.h>
#include <linux/uaccess.h>
#include <linux/userfaultfd_k.h>
#include "userfaultfd_move.h"

/**
 * userfaultfd_move_check() - may a descriptor move pages from one VMA to the other?
 * @req: the request, whose owner is its context
 * @dst_vma: the destination
 * @src_vma: the source
 *
 * fork, mremap, munmap and MADV_DONTNEED raise mmap_changing until their
 * events have been read; map_changing_lock, which the move holds, keeps it from
 * rising during a hold of the VMA locks (REGRESSIONS V5).
 *
 * Context: both VMAs read-locked, and the map_changing_lock.
 * Return: 0; -EAGAIN if an event waits to be read; -EINVAL if the destination is not
 *	   registered with this descriptor.
 */
int userfaultfd_move_check(struct anon_move_request *req, const struct vm_area_struct *dst_vma,
			   const struct vm_area_struct *src_vma)
{
	struct userfaultfd_ctx *ctx = req->owner;

	if (atomic_read(&ctx->mmap_changing))
		return -EAGAIN;
	/* Registered with no or another descriptor (V6). */
	return dst_vma->vm_userfaultfd_ctx.ctx == ctx ? 0 : -EINVAL;
}

/* Inline: the ioctl pays for each call. */
static __always_inline bool move_valid(const struct userfaultfd_ctx *ctx,
				       const struct uffdio_move *move)
{
	const u64 modes = UFFDIO_MOVE_MODE_DONTWAKE | UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES;

	/* Its own mm stays alive for as long as the caller runs. */
	return ctx->mm == current->mm && !(move->mode & ~modes) &&
	       userfaultfd_move_ranges_valid(ctx->mm, move->dst, move->src, move->len);
}

/* Inline, so that what was fetched stays in registers. */
static __always_inline ssize_t move_range(struct userfaultfd_ctx *ctx,
					  const struct uffdio_move *move, unsigned long flags)
{
	struct anon_move_request req = {
		.mm = ctx->mm,
		.dst = move->dst,
		.src = move->src,
		.len = move->len,
		.flags = flags,
		.key = ctx->move_key,
		.lock = &ctx->map_changing_lock,
		.check = userfaultfd_move_check,
		.owner = ctx,
	};

	/* Bytes moved must not look like an error. The caller goes on with the rest. */
	if (!IS_ENABLED(CONFIG_64BIT))
		req.len = min_t(u64, req.len, LONG_MAX & PAGE_MASK);
	if (move->mode & UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES)
		req.flags |= ANON_MOVE_ALLOW_HOLES;
	return anon_move_pages(&req);
}

/* Where a fault ends in a signal nobody waits for the page. */
static bool may_wait(const struct userfaultfd_ctx *ctx, const struct uffdio_move *move)
{
	return !(move->mode & UFFDIO_MOVE_MODE_DONTWAKE) &&
	       !(ctx->features & UFFD_FEATURE_SIGBUS);
}

/*
 * Not the last field: it is output only, and nobody need have set it. One by
 * one, as copy_from_user() of so little takes longer than to lock a VMA.
 */
static int fetch(struct uffdio_move *move, const struct uffdio_move __user *uarg)
{
	/* Not every 32-bit architecture can fetch 8 bytes so. */
	if (!IS_ENABLED(CONFIG_64BIT))
		return copy_from_user(move, uarg, offsetof(struct uffdio_move, move)) ? -EFAULT : 0;
	if (!user_read_access_begin(uarg, offsetof(struct uffdio_move, move)))
		return -EFAULT;
	unsafe_get_user(move->dst, &uarg->dst, fault);
	unsafe_get_user(move->src, &uarg->src, fault);
	unsafe_get_user(move->len, &uarg->len, fault);
	unsafe_get_user(move->mode, &uarg->mode, fault);
	user_read_access_end();
	return 0;
fault:
	user_read_access_end();
	return -EFAULT;
}

/**
 * userfaultfd_anon_move() - the UFFDIO_MOVE ioctl
 * @ctx: the userfaultfd context of the descriptor
 * @arg: user address of a struct uffdio_move
 *
 * Its move field is written whenever @arg can be (R13): bytes moved, or a
 * negative errno if there were none. Threads waiting for what was moved
 * are woken before that, since they must not wait for ever if it faults.
 *
 * Return: 0 if all was moved, -EAGAIN if only some of it was or it is worth
 *	   trying again, -EFAULT if @arg can't be read or written, -EINVAL for a
 *	   bad argument, or as anon_move_pages().
 */
int userfaultfd_anon_move(struct userfaultfd_ctx *ctx, unsigned long arg)
{
	struct uffdio_move __user *uarg = (struct uffdio_move __user *)arg;
	struct uffdio_move move __uninitialized; /* fetch() does it */
	ssize_t moved;

	if (fetch(&move, uarg))
		return -EFAULT;

	if (unlikely(atomic_read(&ctx->mmap_changing)))
		moved = -EAGAIN;
	else if (unlikely(!move_valid(ctx, &move)))
		moved = -EINVAL;
	else
		moved = move_range(ctx, &move, 0);

	if (moved > 0 && may_wait(ctx, &move))
		userfaultfd_wake_moved(ctx, move.dst, moved);
	if (put_user(moved, &uarg->move))
		return -EFAULT;
	if (moved < 0)
		return moved;
	return moved == move.len ? 0 : -EAGAIN;
}

/* What lies behind the bytes that have moved before. */
static ssize_t move_rest(struct userfaultfd_ctx *ctx, const struct uffdio_move *whole,
			 const struct userfaultfd_move_progress *progress)
{
	struct uffdio_move rest = *whole;
	ssize_t moved;

	if (atomic_read(&ctx->mmap_changing))
		return -EAGAIN;
	/* What was read anew may have changed. */
	if (!move_valid(ctx, whole) || whole->len <= progress->moved)
		return -EINVAL;
	rest.dst += progress->moved;
	rest.src += progress->moved;
	rest.len -= progress->moved;
	moved = move_range(ctx, &rest, progress->no_wait ? ANON_MOVE_NO_WAIT : 0);
	if (moved > 0 && may_wait(ctx, &rest))
		userfaultfd_wake_moved(ctx, rest.dst, moved);
	return moved;
}

/* Nobody knows why a part of it has not moved: a worker will see. */
static bool may_pass(ssize_t moved)
{
	return moved > 0 || moved == -EAGAIN || moved == -EBUSY || moved == -ENOMEM;
}

/**
 * userfaultfd_move_on() - UFFDIO_MOVE, or what is left of it
 * @ctx: the userfaultfd context of the descriptor
 * @uarg: the argument of the ioctl
 * @progress: how far it has come, all 0 at first
 *
 * With @progress->no_wait and @progress->again set, what is returned is not the end of it:
 * without the first it is to be called once more, with the same @progress.
 *
 * Return: as userfaultfd_anon_move().
 */
int userfaultfd_move_on(struct userfaultfd_ctx *ctx, struct uffdio_move __user *uarg,
			struct userfaultfd_move_progress *progress)
{
	struct uffdio_move move;
	ssize_t moved;

	/* Not by what is there for the ioctl alone, and so is a part of it. */
	if (copy_from_user(&move, uarg, offsetof(struct uffdio_move, move)))
		return -EFAULT;
	if (progress->no_wait && move.len > USERFAULTFD_MOVE_INLINE)
		moved = -EAGAIN;
	else
		moved = move_rest(ctx, &move, progress);
	if (progress->moved)
		moved = progress->moved + max(moved, 0);
	if (put_user(moved, &uarg->move))
		return -EFAULT;
	if (moved == move.len)
		return 0;
	progress->again = progress->no_wait && may_pass(moved);
	progress->moved = max(moved, 0);
	return moved < 0 ? moved : -EAGAIN;
}
