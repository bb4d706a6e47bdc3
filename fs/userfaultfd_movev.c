// SPDX-License-Identifier: GPL-2.0
/*
 * UFFDIO_MOVEV: copies ranges in, some at a time, calls the engine, wakes, copies the results out.
 */

#include <linux/anon_move.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/userfaultfd_k.h>
#include "userfaultfd_move.h"

/* So many are known to the engine at once: no more share a flush. */
#define RANGES_MAX	32

struct movev {
	struct userfaultfd_ctx *ctx;
	struct uffdio_movev arg;
	struct anon_move_range ranges[RANGES_MAX];
};

/* Whatever does not fit an unsigned long becomes something that is not valid. */
static unsigned long to_long(u64 value)
{
	return IS_ENABLED(CONFIG_64BIT) || value <= ULONG_MAX ? value : 1;
}

static struct uffdio_movev_range __user *user_range(const struct movev *m, u64 i)
{
	return u64_to_user_ptr(m->arg.ranges + i * m->arg.range_size);
}

/*
 * From @first on. One by one, as copy_from_user() of so little takes longer than to move a page.
 * What is reserved is in @stop afterwards. Returns how many could be read.
 */
static unsigned int read_ranges(struct movev *m, u64 first, unsigned int n)
{
	const struct uffdio_movev_range __user *urange = user_range(m, first);
	const size_t size = m->arg.range_size;
	struct anon_move_range *range = m->ranges;
	u64 dst, src, len;

	if (!user_read_access_begin(urange, n * size))
		return 0;
	for (; range < m->ranges + n; range++, urange = (const void __user *)urange + size) {
		unsafe_get_user(dst, &urange->dst, fault);
		unsafe_get_user(src, &urange->src, fault);
		unsafe_get_user(len, &urange->len, fault);
		unsafe_get_user(range->stop, &urange->reserved, fault);
		range->dst = to_long(dst);
		range->src = to_long(src);
		range->len = to_long(len);
		range->copied = 0;
	}
fault:
	user_read_access_end();
	return range - m->ranges;
}

/* What is behind the fields that are known here must be 0. */
static int check_rest(const struct movev *m, u64 i)
{
	const size_t rest = m->arg.range_size - sizeof(struct uffdio_movev_range);
	int zeroed = rest ? check_zeroed_user(user_range(m, i) + 1, rest) : 1;

	return zeroed > 0 ? 0 : zeroed ?: -E2BIG;
}

/* Of those from @first on, so many can be moved together, or the first one is not valid. */
static int fetch_ranges(struct movev *m, u64 first)
{
	const unsigned int n = min_t(u64, m->arg.count - first, RANGES_MAX);
	const unsigned int read = read_ranges(m, first, n);
	unsigned int i;
	int error;

	for (i = 0; i < read; i++) {
		error = m->ranges[i].stop ? -EINVAL : check_rest(m, first + i);
		if (error)
			return i ?: error;
		if (likely(userfaultfd_move_ranges_valid(m->ctx->mm, m->ranges[i].dst,
							 m->ranges[i].src, m->ranges[i].len)))
			continue;
		m->ranges[i].stop = UFFDIO_MOVEV_INVALID;
		return i ?: 1;
	}
	return read ?: -EFAULT;
}

/* Returns how many of the first @n ranges were dealt with. */
static unsigned int move_ranges(struct movev *m, unsigned int n)
{
	struct anon_move_request req = {
		.mm = m->ctx->mm,
		.key = m->ctx->move_key,
		.lock = &m->ctx->map_changing_lock,
		.check = userfaultfd_move_check,
		.owner = m->ctx,
	};

	if (unlikely(m->ranges[0].stop)) {
		m->ranges[0].moved = 0;
		return 1;
	}
	if (m->arg.mode & UFFDIO_MOVEV_MODE_ALLOW_SRC_HOLES)
		req.flags |= ANON_MOVE_ALLOW_HOLES;
	return anon_move_ranges(&req, m->ranges, n, m->arg.mode & UFFDIO_MOVEV_MODE_GO_ON);
}

/* Where a fault ends in a signal nobody waits for the page. */
static void wake(const struct movev *m, unsigned int n)
{
	unsigned int i;

	if (m->arg.mode & UFFDIO_MOVEV_MODE_DONTWAKE || m->ctx->features & UFFD_FEATURE_SIGBUS)
		return;
	for (i = 0; i < n; i++)
		if (m->ranges[i].moved)
			userfaultfd_wake_moved(m->ctx, m->ranges[i].dst, m->ranges[i].moved);
}

/* Returns 0, -EAGAIN if one of them stopped, or -EFAULT. */
static int store_ranges(const struct movev *m, u64 first, unsigned int n)
{
	struct uffdio_movev_range __user *urange = user_range(m, first);
	const size_t size = m->arg.range_size;
	unsigned int stops = 0;
	unsigned int i;

	if (!user_write_access_begin(urange, n * size))
		return -EFAULT;
	for (i = 0; i < n; i++, urange = (void __user *)urange + size) {
		unsafe_put_user(m->ranges[i].moved, &urange->moved, fault);
		unsafe_put_user(m->ranges[i].copied, &urange->copied, fault);
		unsafe_put_user(m->ranges[i].stop, &urange->stop, fault);
		stops |= m->ranges[i].stop;
	}
	user_write_access_end();
	return stops ? -EAGAIN : 0;
fault:
	user_write_access_end();
	return -EFAULT;
}

/* All ranges, or until one stops. Returns as the call does. */
static int move_all(struct movev *m)
{
	const bool go_on = m->arg.mode & UFFDIO_MOVEV_MODE_GO_ON;
	int result = 0, error, n;

	m->arg.done = 0;
	do {
		cond_resched();
		if (fatal_signal_pending(current))
			return -EINTR;
		n = fetch_ranges(m, m->arg.done);
		if (n < 0)
			return n;
		n = move_ranges(m, n);
		wake(m, n);
		error = store_ranges(m, m->arg.done, n);
		if (error == -EFAULT)
			return error;
		m->arg.done += n;
		result = error ?: result;
	} while (m->arg.done < m->arg.count && (go_on || !error));
	return result;
}

static int fetch_arg(struct movev *m, const struct uffdio_movev __user *uarg)
{
	const u64 modes = UFFDIO_MOVEV_MODE_DONTWAKE | UFFDIO_MOVEV_MODE_ALLOW_SRC_HOLES |
			  UFFDIO_MOVEV_MODE_GO_ON;
	struct uffdio_movev *arg = &m->arg;
	size_t bytes;
	u32 size;
	int error;

	if (get_user(size, &uarg->size))
		return -EFAULT;
	if (size < sizeof(*arg))
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	error = copy_struct_from_user(arg, sizeof(*arg), uarg, size);
	if (error)
		return error;
	/* What was read twice may have changed; the size that counts is the first one. */
	if (arg->range_size < sizeof(struct uffdio_movev_range) || arg->range_size > PAGE_SIZE ||
	    arg->range_size % sizeof(u64) || arg->ranges % sizeof(u64) || !arg->count ||
	    arg->mode & ~modes || m->ctx->mm != current->mm)
		return -EINVAL;
	if (arg->ranges > ULONG_MAX || check_mul_overflow(arg->count, arg->range_size, &bytes) ||
	    !access_ok(u64_to_user_ptr(arg->ranges), bytes))
		return -EFAULT;
	return 0;
}

/**
 * userfaultfd_anon_movev() - the UFFDIO_MOVEV ioctl
 * @ctx: the userfaultfd context of the descriptor
 * @arg: user address of a struct uffdio_movev
 *
 * Deals with one range after the other as UFFDIO_MOVE does with its one. The outputs of the
 * first @done ranges are written, whatever is returned, but for a bad argument; threads that wait
 * for what has moved are woken before. What a range says counts as it was read last.
 *
 * Return: 0 if all of all ranges was moved; -EAGAIN if one of them stopped; -EINTR if a fatal
 *	   signal is pending; -EINVAL for a bad argument; -EFAULT if @arg or a range can't be
 *	   read or written; -E2BIG if one of them is not 0 behind the fields known here.
 */
int userfaultfd_anon_movev(struct userfaultfd_ctx *ctx, unsigned long arg)
{
	struct uffdio_movev __user *uarg = (struct uffdio_movev __user *)arg;
	struct movev m __uninitialized; /* most of it is never used */
	int result;

	m.ctx = ctx;
	result = fetch_arg(&m, uarg);
	if (result)
		return result;
	result = move_all(&m);
	return put_user(m.arg.done, &uarg->done) ? -EFAULT : result;
}
