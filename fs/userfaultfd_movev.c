// SPDX-License-Identifier: GPL-2.0
/*
 * UFFDIO_MOVEV: copies ranges in, some at a time, calls the engine, wakes, copies the results out.
 */

#include <linux/anon_move.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/userfaultfd_k.h>
#include "userfaultfd_move.h"

/*
 * So many are known to the engine at once: no more share a flush. With 32 bits there is half
 * the stack.
 */
#define RANGES_MAX	(BITS_PER_LONG / 2)

struct movev {
	struct userfaultfd_ctx *ctx;
	struct uffdio_movev __user *uarg;
	unsigned long budget;	/* bytes that may still be tried, without a wait */
	u64 next;		/* user address of the first range that was not dealt with */
	struct uffdio_movev arg;
	struct anon_move_request req;
	struct uffdio_movev_range ranges[RANGES_MAX];
};

/* Of those that were not dealt with. */
static struct uffdio_movev_range __user *user_range(const struct movev *m, u64 i)
{
	return u64_to_user_ptr(m->next + i * m->arg.range_size);
}

/* Field by field, as copy_from_user() of so little takes longer. */
static __hot_inline unsigned int read_one(struct uffdio_movev_range *range,
					  const struct uffdio_movev_range __user *urange)
{
	if (!user_read_access_begin(urange, sizeof(*urange)))
		return 0;
	unsafe_get_user(range->dst, &urange->dst, fault);
	unsafe_get_user(range->src, &urange->src, fault);
	unsafe_get_user(range->len, &urange->len, fault);
	unsafe_get_user(range->reserved, &urange->reserved, fault);
	user_read_access_end();
	return 1;
fault:
	user_read_access_end();
	return 0;
}

/* Returns how many could be read. */
static noinline unsigned int read_ranges(struct movev *m, unsigned int n)
{
	const size_t size = sizeof(struct uffdio_movev_range);
	unsigned int i;

	if (likely(m->arg.range_size == size))
		return n - DIV_ROUND_UP(copy_from_user(m->ranges, user_range(m, 0), n * size),
					size);
	for (i = 0; i < n; i++)
		if (!read_one(&m->ranges[i], user_range(m, i)))
			break;
	return i;
}

/* What is behind the fields that are known here must be 0. */
static int check_rest(const struct movev *m, unsigned int n)
{
	const size_t rest = m->arg.range_size - sizeof(struct uffdio_movev_range);
	int zeroed = 1;
	unsigned int i;

	for (i = 0; i < n && zeroed > 0; i++)
		zeroed = check_zeroed_user(user_range(m, i) + 1, rest);
	return zeroed > 0 ? n : i - 1 ?: zeroed ?: -E2BIG;
}

/* Returns 1; 0 if it says itself what is wrong with it; -EINVAL if it can't. */
static __hot_inline int check_range(const struct movev *m, struct uffdio_movev_range *range)
{
	if (range->reserved)
		return -EINVAL;
	range->copied = 0;
	range->stop = UFFDIO_MOVEV_DONE;
	if (likely(userfaultfd_move_ranges_valid(m->ctx->mm, range->dst, range->src, range->len)))
		return 1;
	range->stop = UFFDIO_MOVEV_INVALID;
	return 0;
}

/* Apart from the others, as it takes less. */
static __hot_inline int fetch_last(struct movev *m)
{
	if (!read_one(m->ranges, user_range(m, 0)))
		return -EFAULT;
	if (unlikely(m->arg.range_size > sizeof(m->ranges[0]))) {
		int error = check_rest(m, 1);

		if (error < 0)
			return error;
	}
	return check_range(m, m->ranges) ?: 1;
}

/* Of those that come next, so many can be moved together, or the first one is not valid. */
static __hot_inline int fetch_ranges(struct movev *m)
{
	const u64 left = m->arg.count - m->arg.done;
	int i, n, valid;

	if (left == 1)
		return fetch_last(m);
	n = read_ranges(m, min_t(u64, left, RANGES_MAX));
	if (unlikely(m->arg.range_size > sizeof(m->ranges[0])))
		n = check_rest(m, n);
	for (i = 0; i < n; i++) {
		valid = check_range(m, &m->ranges[i]);
		if (unlikely(valid <= 0))
			return i ?: valid ?: 1;
	}
	return n ?: -EFAULT;
}

static int check_armed(struct anon_move_request *req, const struct vm_area_struct *dst_vma,
		       const struct vm_area_struct *src_vma)
{
	return userfaultfd_move_check(req, dst_vma, src_vma) ?:
	       anon_move_check_armed(req, dst_vma);
}

/* One shift, as they have one order. */
static unsigned long flags_of(u64 mode)
{
	static_assert(UFFDIO_MOVEV_MODE_ALLOW_SRC_HOLES >> 33 == ANON_MOVE_ALLOW_HOLES &&
		      UFFDIO_MOVEV_MODE_GO_ON >> 33 == ANON_MOVE_GO_ON &&
		      UFFDIO_MOVEV_MODE_COPY >> 33 == ANON_MOVE_COPY &&
		      UFFDIO_MOVEV_MODE_WP >> 33 == ANON_MOVE_PROTECT &&
		      UFFDIO_MOVEV_MODE_RWP >> 33 == ANON_MOVE_ARM &&
		      UFFDIO_MOVEV_MODE_SPAN >> 33 == ANON_MOVE_SPAN);

	return mode >> 33;
}

static unsigned int within_budget(struct movev *m, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		u64 cost = max(m->ranges[i].len, PAGE_SIZE);

		if (cost > m->budget)
			break;
		m->budget -= cost;
	}
	return i;
}

/* Where a fault ends in a signal nobody waits for the page. */
static __hot_inline void wake(const struct movev *m, unsigned int n)
{
	unsigned int i;

	if (m->arg.mode & UFFDIO_MOVEV_MODE_DONTWAKE || m->ctx->features & UFFD_FEATURE_SIGBUS)
		return;
	for (i = 0; i < n; i++)
		if (m->ranges[i].moved)
			userfaultfd_wake_moved(m->ctx, m->ranges[i].dst, m->ranges[i].moved);
}

/* As the engine may wait long for the next one. */
static void wake_arrived(struct anon_move_request *req, unsigned int n)
{
	wake(container_of(req, struct movev, req), n);
}

/* Returns how many of the first @n ranges were dealt with. */
static __hot_inline unsigned int move_ranges(struct movev *m, unsigned int n, bool no_wait)
{
	struct anon_move_request *req = &m->req; /* its range is that of each in turn */

	req->mm = m->ctx->mm;
	req->flags = flags_of(m->arg.mode);
	req->key = m->ctx->move_key;
	req->lock = &m->ctx->map_changing_lock;
	req->check = userfaultfd_move_check;
	req->owner = m->ctx;
	if (unlikely(no_wait)) {
		/* What a worker is to go on with must not be overtaken by what is behind it. */
		req->flags = (req->flags & ~ANON_MOVE_GO_ON) | ANON_MOVE_NO_WAIT;
		n = within_budget(m, n);
		if (!n)
			return 0;
	}
	if (unlikely(m->ranges[0].stop)) {
		m->ranges[0].moved = 0;
		/* Nobody else asks where nothing is to move. */
		return !fatal_signal_pending(current);
	}
	if (req->flags & (ANON_MOVE_PROTECT | ANON_MOVE_ARM))
		req->check = check_armed;
	return anon_move_ranges(req, m->ranges, n, wake_arrived);
}

/* A part of the first one has moved before. What was read anew may have changed. */
static void skip_moved(struct uffdio_movev_range *range,
		       const struct userfaultfd_move_progress *progress)
{
	if (range->len <= progress->moved)
		range->stop = UFFDIO_MOVEV_INVALID;
	range->dst += progress->moved;
	range->src += progress->moved;
	range->len -= progress->moved;
	range->copied = progress->copied;
}

static __hot_inline unsigned int move_rest(struct movev *m, unsigned int n,
					   struct userfaultfd_move_progress *progress)
{
	const u64 before = progress->moved;

	if (before)
		skip_moved(m->ranges, progress);
	n = move_ranges(m, n, progress->no_wait);
	if (before) {
		m->ranges[0].dst -= before;
		if (n)
			m->ranges[0].moved += before;
		progress->moved = 0;
	}
	return n;
}

/* And how many are done by now. Returns 0, -EAGAIN if one of them stopped, or -EFAULT. */
static __hot_inline int store_ranges(struct movev *m, unsigned int n)
{
	struct uffdio_movev_range __user *urange = user_range(m, 0);
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
	/* It was seen to be the caller's own when it was read. */
	unsafe_put_user(m->arg.done + n, &m->uarg->done, fault);
	user_write_access_end();
	m->arg.done += n;
	m->next = (uintptr_t)urange;
	return stops ? -EAGAIN : 0;
fault:
	user_write_access_end();
	return -EFAULT;
}

/* Is what comes behind the last @n ranges for a worker, or the last of them for what passes? */
static __hot_inline bool leave_to_worker(const struct movev *m, unsigned int n,
					 struct userfaultfd_move_progress *progress)
{
	if (likely(!progress->no_wait))
		return false;
	progress->done = m->arg.done;
	if (n) {
		const struct uffdio_movev_range *last = &m->ranges[n - 1];

		if (!last->stop || last->stop % 2)
			return false;
		progress->done--;
		progress->moved = last->moved;
		progress->copied = last->copied;
	}
	progress->again = true;
	return true;
}

/* All ranges, or until one stops. Returns as the call does. */
static __hot_inline int move_all(struct movev *m, struct userfaultfd_move_progress *progress)
{
	const bool go_on = m->arg.mode & UFFDIO_MOVEV_MODE_GO_ON;
	int error, n;

	for (;;) {
		n = fetch_ranges(m);
		if (n < 0)
			return n;
		n = move_rest(m, n, progress);
		if (unlikely(!n && !progress->no_wait))
			return -EINTR;
		wake(m, n);
		error = store_ranges(m, n);
		if (error == -EFAULT)
			return error;
		if (leave_to_worker(m, n, progress))
			return -EAGAIN;
		progress->result = error ?: progress->result;
		if (m->arg.done == m->arg.count || (error && !go_on))
			return progress->result;
		cond_resched();
	}
}

/* A mapping is registered for writes or for accesses, not for both: most calls ask for neither. */
static bool mode_valid(u64 mode)
{
	const u64 modes = UFFDIO_MOVEV_MODE_DONTWAKE | UFFDIO_MOVEV_MODE_ALLOW_SRC_HOLES |
			  UFFDIO_MOVEV_MODE_GO_ON | UFFDIO_MOVEV_MODE_COPY |
			  UFFDIO_MOVEV_MODE_SPAN;
	const u64 rest = mode & ~modes;

	return likely(!rest) || rest == UFFDIO_MOVEV_MODE_WP || rest == UFFDIO_MOVEV_MODE_RWP;
}

/* Field by field, as copy_struct_from_user() of what mostly is as long takes longer. */
static __hot_inline int read_arg(struct uffdio_movev *arg, const struct uffdio_movev __user *uarg)
{
	if (!user_read_access_begin(uarg, sizeof(*uarg)))
		return -EFAULT;
	/* Both sizes at once. */
	unsafe_get_user(*(u64 *)&arg->size, (u64 __user *)&uarg->size, fault);
	unsafe_get_user(arg->ranges, &uarg->ranges, fault);
	unsafe_get_user(arg->count, &uarg->count, fault);
	unsafe_get_user(arg->mode, &uarg->mode, fault);
	user_read_access_end();
	return 0;
fault:
	user_read_access_end();
	return -EFAULT;
}

/* Other sizes than those known here. */
static int check_sizes(struct movev *m)
{
	struct uffdio_movev *arg = &m->arg;
	int error = 0;

	if (arg->size < sizeof(*arg))
		return -EINVAL;
	if (arg->size > PAGE_SIZE)
		return -E2BIG;
	if (arg->size > sizeof(*arg))
		error = copy_struct_from_user(arg, sizeof(*arg), m->uarg, arg->size);
	if (error)
		return error;
	/* What was read twice may have changed; the size that counts is the first one. */
	if (arg->range_size < sizeof(struct uffdio_movev_range) || arg->range_size > PAGE_SIZE ||
	    arg->range_size % sizeof(u64))
		return -EINVAL;
	return 0;
}

static __hot_inline int fetch_arg(struct movev *m, u64 done)
{
	struct uffdio_movev *arg = &m->arg;
	int error;

	error = read_arg(arg, m->uarg);
	if (error)
		return error;
	if (unlikely(arg->size != sizeof(*arg) || arg->range_size != sizeof(m->ranges[0])))
		error = check_sizes(m);
	if (error)
		return error;
	if (arg->ranges % sizeof(u64) || arg->count <= done || !mode_valid(arg->mode) ||
	    m->ctx->mm != current->mm)
		return -EINVAL;
	if (arg->ranges > ULONG_MAX || arg->count > ULONG_MAX / sizeof(m->ranges[0]))
		return -EFAULT;
	arg->done = done;
	m->next = arg->ranges + done * arg->range_size;
	return 0;
}

/* Inline, so that the ioctl does not pay for a progress that is none. */
static __hot_inline int move_on(struct userfaultfd_ctx *ctx, struct uffdio_movev __user *uarg,
				struct userfaultfd_move_progress *progress)
{
	struct movev m __uninitialized; /* most of it is never used */
	int result;

	m.ctx = ctx;
	m.uarg = uarg;
	m.budget = USERFAULTFD_MOVE_INLINE;
	result = fetch_arg(&m, progress->done);
	if (result)
		return result;
	result = move_all(&m, progress);
	if (likely(!result))
		return 0;
	/* Else it is there already. */
	if (result != -EAGAIN && put_user(m.arg.done, &uarg->done))
		return -EFAULT;
	return result;
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
 *	   read or written; -E2BIG if one of them is not 0 behind the fields known here, or @arg is
 *	   said to be larger than a page.
 */
int userfaultfd_anon_movev(struct userfaultfd_ctx *ctx, unsigned long arg)
{
	struct userfaultfd_move_progress progress = { };

	return move_on(ctx, (struct uffdio_movev __user *)arg, &progress);
}

/**
 * userfaultfd_movev_on() - UFFDIO_MOVEV, or what is left of it
 * @ctx: the userfaultfd context of the descriptor
 * @uarg: the argument of the ioctl
 * @progress: how far it has come, all 0 at first
 *
 * With @progress->no_wait and @progress->again set, what is returned is not the end of it:
 * without the first it is to be called once more, with the same @progress. The outputs of
 * the ranges that were dealt with are as if it were the end.
 *
 * Return: as userfaultfd_anon_movev().
 */
int userfaultfd_movev_on(struct userfaultfd_ctx *ctx, struct uffdio_movev __user *uarg,
			 struct userfaultfd_move_progress *progress)
{
	return move_on(ctx, uarg, progress);
}
