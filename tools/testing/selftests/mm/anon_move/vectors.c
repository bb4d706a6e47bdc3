// SPDX-License-Identifier: GPL-2.0
/*
 * UFFDIO_MOVEV, and what it comes to where a test would call UFFDIO_MOVE.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "anon_move_test.h"
#include "vector_errno.h"

#define RANGES_MAX	(PMD_PAGES / MTHP_PAGES)
#define MOVE_MODES	(UFFDIO_MOVE_MODE_DONTWAKE | UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES)

/**
 * vectors_missing() - can the kernel move several ranges a call?
 *
 * Return: a reason, or NULL if it can.
 */
const char *vectors_missing(void)
{
	const char *missing = move_missing();

	return missing ? missing : features_missing(UFFD_FEATURE_MOVEV,
						    "no UFFDIO_MOVEV in this kernel");
}

/**
 * vector_arg() - the argument of UFFDIO_MOVEV
 * @ranges: the ranges
 * @count: how many
 * @mode: UFFDIO_MOVEV_MODE_*
 *
 * Return: the argument.
 */
struct uffdio_movev vector_arg(struct uffdio_movev_range *ranges, size_t count, __u64 mode)
{
	return (struct uffdio_movev) {
		.size = sizeof(struct uffdio_movev),
		.range_size = sizeof(*ranges),
		.ranges = (uintptr_t)ranges,
		.count = count,
		.mode = mode,
	};
}

/**
 * move_vector() - UFFDIO_MOVEV
 * @uffd: the descriptor
 * @ranges: the ranges
 * @count: how many
 * @mode: UFFDIO_MOVEV_MODE_*
 * @done: output: how many have been dealt with; may be NULL
 *
 * Return: 0 or the errno.
 */
int move_vector(int uffd, struct uffdio_movev_range *ranges, size_t count, __u64 mode, size_t *done)
{
	struct uffdio_movev arg = vector_arg(ranges, count, mode);
	int err = ioctl(uffd, UFFDIO_MOVEV, &arg) ? errno : 0;

	if (done)
		*done = arg.done;
	return err;
}

/* What is less than a large folio goes page by page; whole huge pages stay whole. */
static size_t cut(struct uffdio_movev_range *ranges, __u64 dst, __u64 src, size_t pages)
{
	size_t unit = pages < MTHP_PAGES ? 1 : MTHP_PAGES, n, at;

	if (pages >= PMD_PAGES)
		unit = pages;
	for (n = 0, at = 0; at < pages; n++, at += unit)
		ranges[n] = (struct uffdio_movev_range) {
			.dst = dst + at * PAGE,
			.src = src + at * PAGE,
			.len = (unit < pages - at ? unit : pages - at) * PAGE,
		};
	return n;
}

/**
 * move_by_vector() - that call for the parts of a range, and what it returns as if UFFDIO_MOVE had
 * @uffd: the descriptor
 * @dst: first byte of the destination
 * @src: first byte of the source
 * @len: bytes, a multiple of PAGE
 * @mode: UFFDIO_MOVE_MODE_*, and of UFFDIO_MOVEV_MODE_* what that call has no mode for
 *
 * Return: errno and .move.
 */
struct moved move_by_vector(int uffd, void *dst, void *src, size_t len, __u64 mode)
{
	struct uffdio_movev_range ranges[RANGES_MAX];
	size_t count = cut(ranges, (uintptr_t)dst, (uintptr_t)src, len / PAGE), done, i;
	struct moved moved = { .err = 0 };
	__u64 modes = mode & ~MOVE_MODES;
	int err;

	if (mode & UFFDIO_MOVE_MODE_DONTWAKE)
		modes |= UFFDIO_MOVEV_MODE_DONTWAKE;
	if (mode & UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES)
		modes |= UFFDIO_MOVEV_MODE_ALLOW_SRC_HOLES;
	err = move_vector(uffd, ranges, count, modes, &done);
	for (i = 0; i < done; i++) {
		moved.bytes += ranges[i].moved;
		moved.err = vector_errno(ranges[i].stop);
	}
	if (err && err != EAGAIN)
		moved.err = err;
	if (!moved.bytes)
		moved.bytes = -moved.err;
	else if (moved.bytes < (long long)len)
		moved.err = EAGAIN;
	return moved;
}
