/* SPDX-License-Identifier: GPL-2.0 */
/*
 * UFFDIO_MOVE and UFFDIO_MOVEV for callers: how far a move came and why it stopped, told apart, and
 * what the kernel offers. `make install-headers` installs it, or copy it into your program with
 * linux/anon_move.h. C11 or C++11 or later; with -std=c11, which hides syscall(), define
 * _DEFAULT_SOURCE.
 */
#ifndef UFFD_MOVE_H
#define UFFD_MOVE_H

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/userfaultfd.h>
/* Quoted, as it may have been copied with this file: then it is found beside it. */
#include "linux/anon_move.h"

/* That of Debian 13's linux-libc-dev, or -isystem DIR/usr/include after `make -C DIR headers`. */
#ifndef UFFDIO_MOVE
#error "no UFFDIO_MOVE: <linux/userfaultfd.h> has to be of Linux 6.8 or later, see uffd_move(3)"
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
 * descriptor's pending events, if there are any, then try again; or a page stayed
 * busy: try again.
 */
struct uffd_moved {
	size_t bytes;
	int stop;
};

/**
 * struct uffd_moved_ranges - how far a call for several ranges came
 * @done: ranges, from the first on, whose outputs are set: moved, copied, stop
 * @first: index of the first of them that stopped, or @done if none did
 * @stop: why that one did, enum uffdio_movev_stop; UFFDIO_MOVEV_DONE if none did
 * @error: 0 when everything moved, else a positive errno: EAGAIN, a range
 *	   stopped; EINVAL, there is no such call or mode in this kernel, no
 *	   range, a reserved field that is not 0, or the descriptor is of another
 *	   process; E2BIG, the kernel is older than the structures of this program
 *	   and they say something new; EFAULT, a range can't be read or written;
 *	   EINTR, the thread is being killed
 *
 * What @done, @first and @stop say is true whatever @error is.
 */
struct uffd_moved_ranges {
	size_t done;
	size_t first;
	uint32_t stop;
	int error;
};

/**
 * uffd_move_open() - open a userfaultfd
 * @flags: of userfaultfd(2), as O_CLOEXEC | UFFD_USER_MODE_ONLY
 * @want: UFFD_FEATURE_* that it is to have, as UFFD_FEATURE_MOVE
 * @offered: output: UFFD_FEATURE_* that the kernel has, asked for or not, or 0 on
 *	     failure; may be NULL
 *
 * Return: the descriptor, or -1 with errno: EINVAL, the kernel lacks something of
 *	   @want or @flags; ENOSYS, it has no userfaultfd; EPERM, not for this
 *	   program; EMFILE, ENFILE or ENOMEM, as for any descriptor.
 */
static inline int uffd_move_open(int flags, unsigned long long want, unsigned long long *offered)
{
	int uffd = (int)syscall(SYS_userfaultfd, flags);
	struct uffdio_api api;

	memset(&api, 0, sizeof(api));
	api.api = UFFD_API;
	api.features = want;
	if (uffd >= 0 && ioctl(uffd, UFFDIO_API, &api)) {
		const int error = errno;

		close(uffd);
		errno = error;
		uffd = -1;
	}
	if (offered)
		*offered = uffd < 0 ? 0 : api.features;
	return uffd;
}

/**
 * uffd_move_features() - what does the kernel offer, before anything is opened?
 *
 * UFFD_FEATURE_MOVE is UFFDIO_MOVE, by whatever mover; UFFD_FEATURE_ANON_MOVE, that it
 * moves large folios whole, waits for write-back, and for nothing without an end;
 * UFFD_FEATURE_MOVEV is UFFDIO_MOVEV, and UFFD_FEATURE_MOVEV_* are modes of it.
 *
 * Return: UFFD_FEATURE_*, or 0 with errno if no descriptor can be opened.
 */
static inline unsigned long long uffd_move_features(void)
{
	unsigned long long offered;
	int uffd = uffd_move_open(O_CLOEXEC | UFFD_USER_MODE_ONLY, 0, &offered);

	if (uffd >= 0)
		close(uffd);
	return offered;
}

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
	struct uffd_moved moved = { 0, 0 };
	struct uffdio_move arg;

	do {
		arg.dst = (uintptr_t)dst + moved.bytes;
		arg.src = (uintptr_t)src + moved.bytes;
		arg.len = len - moved.bytes;
		arg.mode = mode;
		arg.move = 0;
		if (!ioctl(uffd, UFFDIO_MOVE, &arg)) {
			moved.bytes = len;
			break;
		}
		/* Negative is an errno; 0 is what a kernel left alone. */
		if (arg.move <= 0) {
			moved.stop = errno;
			break;
		}
		moved.bytes += (size_t)arg.move;
	} while (moved.bytes < len);
	return moved;
}

/**
 * uffd_movev_range() - a range for uffd_movev()
 * @dst: first byte of the destination, page aligned
 * @src: first byte of the source, page aligned
 * @len: bytes, a multiple of the page size
 *
 * Return: the range, with all else 0.
 */
static inline struct uffdio_movev_range uffd_movev_range(void *dst, const void *src, size_t len)
{
	struct uffdio_movev_range range;

	memset(&range, 0, sizeof(range));
	range.dst = (uintptr_t)dst;
	range.src = (uintptr_t)src;
	range.len = len;
	return range;
}

/**
 * uffd_movev_arg() - the argument of UFFDIO_MOVEV
 * @ranges: the ranges
 * @count: how many there are
 * @mode: UFFDIO_MOVEV_MODE_*
 *
 * Return: the argument, with all else 0. It points to @ranges.
 */
static inline struct uffdio_movev uffd_movev_arg(struct uffdio_movev_range *ranges, size_t count,
						 unsigned long long mode)
{
	struct uffdio_movev arg;

	memset(&arg, 0, sizeof(arg));
	arg.size = sizeof(arg);
	arg.range_size = sizeof(*ranges);
	arg.ranges = (uintptr_t)ranges;
	arg.count = count;
	arg.mode = mode;
	return arg;
}

/**
 * uffd_movev_told() - what UFFDIO_MOVEV has told, by whatever way it was called
 * @arg: the argument, from uffd_movev_arg()
 * @error: 0 or the positive errno of the call
 *
 * Return: how many ranges were dealt with, which one stopped first, and why.
 */
static inline struct uffd_moved_ranges uffd_movev_told(const struct uffdio_movev *arg, int error)
{
	struct uffd_moved_ranges moved = { (size_t)arg->done, 0, UFFDIO_MOVEV_DONE, error };
	const struct uffdio_movev_range *ranges =
		(const struct uffdio_movev_range *)(uintptr_t)arg->ranges;

	moved.first = error ? 0 : moved.done;
	while (moved.first < moved.done && !ranges[moved.first].stop)
		moved.first++;
	if (moved.first < moved.done)
		moved.stop = ranges[moved.first].stop;
	return moved;
}

/**
 * uffd_movev() - move the pages of several ranges, one range after the other
 * @uffd: descriptor that the destinations are registered with
 * @ranges: the ranges; of those dealt with moved, copied (bytes) and stop are set
 * @count: how many there are
 * @mode: UFFDIO_MOVEV_MODE_*; see uffd_movev_takes()
 *
 * Without UFFDIO_MOVEV_MODE_GO_ON the first range that stops ends the call.
 *
 * Return: how many ranges were dealt with, which one stopped first, and why. errno
 *	   is not to be looked at.
 */
static inline struct uffd_moved_ranges uffd_movev(int uffd, struct uffdio_movev_range *ranges,
						  size_t count, unsigned long long mode)
{
	struct uffdio_movev arg = uffd_movev_arg(ranges, count, mode);
	const int error = ioctl(uffd, UFFDIO_MOVEV, &arg) ? errno : 0;

	return uffd_movev_told(&arg, error);
}

/**
 * uffd_movev_takes() - does the kernel take a mode of UFFDIO_MOVEV on a descriptor?
 * @uffd: the descriptor, after UFFDIO_API, whoever opened it
 * @mode: UFFDIO_MOVEV_MODE_*, as they are to be used together; 0 asks for the call itself
 *
 * Nothing moves: a range without length is invalid, which no kernel tells before it has
 * taken the mode. What a mode arms is another matter: UFFDIO_MOVEV_MODE_RWP is taken, but no
 * memory can be registered for it, where the kernel has no UFFD_FEATURE_RWP.
 *
 * Return: 1 or 0. errno may be changed.
 */
static inline int uffd_movev_takes(int uffd, unsigned long long mode)
{
	struct uffdio_movev_range nothing = uffd_movev_range(NULL, NULL, 0);

	return uffd_movev(uffd, &nothing, 1, mode).stop == UFFDIO_MOVEV_INVALID;
}

/**
 * uffd_movev_rest() - turn a range that has stopped into what is left of it
 * @range: the range, with its outputs
 * @skip: bytes behind those moved that are dealt with in another way; 0 to try them again
 *
 * Return: bytes that are left. A range without any is not for another call.
 */
static inline size_t uffd_movev_rest(struct uffdio_movev_range *range, size_t skip)
{
	const uint64_t past = range->moved + skip;

	range->dst += past;
	range->src += past;
	range->len -= past < range->len ? past : range->len;
	range->moved = 0;
	range->copied = 0;
	range->stop = UFFDIO_MOVEV_DONE;
	return (size_t)range->len;
}

/**
 * uffd_movev_passes() - does a reason pass by what others do?
 * @stop: enum uffdio_movev_stop, also one that this header does not know yet
 *
 * Return: 1 if the same call later is worth it, 0 if the caller has to do something
 *	   first, or nothing stopped. UFFDIO_MOVEV_UNSPLIT may also stay, as long as a
 *	   pipe has the page: copy it if it does.
 */
static inline int uffd_movev_passes(uint32_t stop)
{
	return stop != UFFDIO_MOVEV_DONE && stop % 2 == 0;
}

/**
 * uffd_movev_name() - a reason as a word
 * @stop: enum uffdio_movev_stop
 *
 * Return: the end of the constant's name in lower case, as "no_dst", or "unknown".
 */
static inline const char *uffd_movev_name(uint32_t stop)
{
	switch (stop) {
	case UFFDIO_MOVEV_DONE:		return "done";
	case UFFDIO_MOVEV_INVALID:	return "invalid";
	case UFFDIO_MOVEV_NO_DST:	return "no_dst";
	case UFFDIO_MOVEV_NO_SRC:	return "no_src";
	case UFFDIO_MOVEV_MAPPINGS:	return "mappings";
	case UFFDIO_MOVEV_CHANGING:	return "changing";
	case UFFDIO_MOVEV_UNREGISTERED:	return "unregistered";
	case UFFDIO_MOVEV_EXISTS:	return "exists";
	case UFFDIO_MOVEV_HOLE:		return "hole";
	case UFFDIO_MOVEV_SHARED:	return "shared";
	case UFFDIO_MOVEV_PINNED:	return "pinned";
	case UFFDIO_MOVEV_MARKER:	return "marker";
	case UFFDIO_MOVEV_UNSPLIT:	return "unsplit";
	case UFFDIO_MOVEV_LOCKED:	return "locked";
	case UFFDIO_MOVEV_WRITEBACK:	return "writeback";
	case UFFDIO_MOVEV_MIGRATING:	return "migrating";
	case UFFDIO_MOVEV_RACED:	return "raced";
	case UFFDIO_MOVEV_NOMEM:	return "nomem";
	case UFFDIO_MOVEV_KILLED:	return "killed";
	}
	return "unknown";
}

#endif /* UFFD_MOVE_H */
