/* SPDX-License-Identifier: GPL-2.0 */
/*
 * UFFDIO_MOVE for callers: bytes moved and why it stopped, told apart. Copy it into your program.
 */
#ifndef UFFD_MOVE_H
#define UFFD_MOVE_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <linux/userfaultfd.h>

#ifndef UFFDIO_MOVE
#error "<linux/userfaultfd.h> has no UFFDIO_MOVE: use headers of Linux 6.8 or later (see Makefile)"
#endif

/**
 * struct uffd_moved - how far a move came
 * @bytes: bytes that are at the destination now, counted from its start, and
 *	   gone from the source
 * @stop: 0 when everything moved, else the positive errno of the page at
 *	  @bytes, which has not moved
 *
 * Worth handling: EEXIST, the destination page is there already; ENOENT, the
 * source page is not, or a range is not mapped; EBUSY, the page is shared or
 * pinned, so copy it instead; EAGAIN, the address space is changing: read the
 * descriptor's pending events, then try again.
 */
struct uffd_moved {
	size_t bytes;
	int stop;
};

/**
 * uffd_move() - move pages to where a userfaultfd waits for them
 * @uffd: descriptor that @dst is registered with
 * @dst: first byte of the destination, page aligned
 * @src: first byte of the source, page aligned
 * @len: bytes, a multiple of the page size
 * @mode: UFFDIO_MOVE_MODE_*
 *
 * The kernel reports a move that stopped half-way as EAGAIN, whatever stopped
 * it. The same call for the rest goes on, or comes back with the real reason;
 * so a call that moved something is repeated, and one that moved nothing ends
 * it. That also bounds the loop.
 *
 * Return: bytes moved, and why not more. errno is not to be looked at.
 */
static inline struct uffd_moved uffd_move(int uffd, void *dst, const void *src,
					  size_t len, unsigned long long mode)
{
	struct uffd_moved moved = { 0 };

	do {
		struct uffdio_move arg = {
			.dst = (uintptr_t)dst + moved.bytes,
			.src = (uintptr_t)src + moved.bytes,
			.len = len - moved.bytes,
			.mode = mode,
		};

		if (!ioctl(uffd, UFFDIO_MOVE, &arg)) {
			moved.bytes = len;
			break;
		}
		/* Negative is an errno; 0 is what a kernel left alone. */
		if (arg.move <= 0) {
			moved.stop = errno;
			break;
		}
		moved.bytes += arg.move;
	} while (moved.bytes < len);
	return moved;
}

#endif /* UFFD_MOVE_H */
