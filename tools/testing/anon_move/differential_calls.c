// SPDX-License-Identifier: GPL-2.0
/* Differential test: makes the call of a plan, in one of the two ways that are compared. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <linux/anon_move.h>
#include <linux/mman.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "../selftests/mm/anon_move/vector_errno.h"
#include "differential.h"

static void call_mremap(const struct plan *plan, bool relocate, struct outcome *out)
{
	unsigned long len = plan->args[ARG_LEN], mode = plan->args[ARG_MODE];
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED | (relocate ? MREMAP_RELOCATE_ANON : 0);

	if (mode & UFFDIO_MOVE_MODE_DONTWAKE)
		flags |= MREMAP_DONTUNMAP;
	if (has_twist(plan, MODE_UNKNOWN))
		flags |= 1 << 16;
	/* The C library refuses flags that it does not know. */
	if (syscall(SYS_mremap, plan->args[ARG_SRC], len, len, flags, plan->args[ARG_DST]) == -1)
		out->error = errno;
	out->ret = out->error ? -1 : 0;
	out->move = out->error ? -out->error : (__s64)len;
}

static void call_uffdio_move(const struct plan *plan, int fd, struct outcome *out)
{
	struct uffdio_move *arg = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (arg == MAP_FAILED)
		fail("mmap");
	arg->dst = plan->args[ARG_DST];
	arg->src = plan->args[ARG_SRC];
	arg->len = plan->args[ARG_LEN];
	arg->mode = plan->args[ARG_MODE];
	arg->move = MOVE_CANARY;
	if (has_twist(plan, ARG_READONLY))
		mprotect(arg, PAGE_BYTES, PROT_READ);
	out->ret = ioctl(fd, UFFDIO_MOVE, has_twist(plan, ARG_BAD) ? NULL : arg);
	out->error = out->ret ? errno : 0;
	out->move = arg->move;
}

/* What has moved is 0 at the second try, and so errno tells what has stopped the first one. */
static void move_range(const struct uffdio_movev_range *range, __u64 mode, int fd,
		       struct fate *fate)
{
	struct uffdio_move arg;

	do {
		arg = (struct uffdio_move){
			.dst = range->dst + fate->moved,
			.src = range->src + fate->moved,
			.len = range->len - fate->moved,
			.mode = mode,
		};
		fate->error = ioctl(fd, UFFDIO_MOVE, &arg) ? errno : 0;
		if (arg.move > 0)
			fate->moved += arg.move;
	} while (fate->error && arg.move > 0);
}

static void move_ranges(const struct plan *plan, int fd, struct outcome *out)
{
	while (out->dealt < plan->nr_ranges) {
		struct fate *fate = &out->fates[out->dealt];

		move_range(&plan->ranges[out->dealt++], plan->args[ARG_MODE], fd, fate);
		if (!fate->error)
			continue;
		out->error = EAGAIN;
		if (!plan->go_on)
			break;
	}
}

static __u64 vector_mode(const struct plan *plan)
{
	__u64 mode = plan->args[ARG_MODE], modes = plan->go_on ? UFFDIO_MOVEV_MODE_GO_ON : 0;

	if (mode & UFFDIO_MOVE_MODE_DONTWAKE)
		modes |= UFFDIO_MOVEV_MODE_DONTWAKE;
	if (mode & UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES)
		modes |= UFFDIO_MOVEV_MODE_ALLOW_SRC_HOLES;
	return modes;
}

static void call_uffdio_movev(const struct plan *plan, int fd, struct outcome *out)
{
	struct uffdio_movev_range ranges[RANGES_MAX];
	struct uffdio_movev arg = {
		.size = sizeof(arg),
		.range_size = sizeof(ranges[0]),
		.ranges = (__u64)ranges,
		.count = plan->nr_ranges,
		.mode = vector_mode(plan),
	};

	memcpy(ranges, plan->ranges, sizeof(ranges));
	out->error = ioctl(fd, UFFDIO_MOVEV, &arg) ? errno : 0;
	for (; out->dealt < (int)arg.done; out->dealt++)
		out->fates[out->dealt] = (struct fate){
			.moved = ranges[out->dealt].moved,
			.stop = ranges[out->dealt].stop,
			.error = vector_errno(ranges[out->dealt].stop),
		};
}

/**
 * make_call() - makes the call of a plan in one of two ways
 * @plan: the call
 * @fd: the descriptor for it
 * @ours: mremap() relocates, a vector is one call; of UFFDIO_MOVE the kernel has been told who
 *	  serves it
 * @out: what it returned
 */
void make_call(const struct plan *plan, int fd, bool ours, struct outcome *out)
{
	switch (plan->door) {
	case BY_MOVE:
		call_uffdio_move(plan, fd, out);
		break;
	case BY_MREMAP:
		call_mremap(plan, ours, out);
		break;
	case BY_VECTOR:
		if (ours)
			call_uffdio_movev(plan, fd, out);
		else
			move_ranges(plan, fd, out);
		out->ret = out->error ? -1 : 0;
		break;
	}
}
