/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * What the page mover brings: flags of mremap(2), and UFFDIO_MOVEV of userfaultfd(2).
 */
#ifndef _UAPI_LINUX_ANON_MOVE_H
#define _UAPI_LINUX_ANON_MOVE_H

#include <linux/const.h>
#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * Far above the flags of <linux/mman.h>, which grow from below: no kernel may
 * ever take one of these for something else.
 */

/*
 * The mapping that was moved is, for all that concerns its merging with others, as if
 * it had always been there. The second one, or both: EFAULT where that can't be.
 */
#define MREMAP_RELOCATE_ANON		0x01000000
#define MREMAP_MUST_RELOCATE_ANON	0x02000000

/* Moves pages between mappings and leaves the mappings alone; returns bytes. */
#define MREMAP_ONLYPAGES	0x04000000
/* With it, addresses of the source that have no page are passed over. */
#define MREMAP_ONLYPAGES_HOLES	0x08000000

/*
 * Bits of features that UFFDIO_API tells of, and takes. 63 stays wrong, as tests of
 * UFFDIO_API in the kernel expect. The second one tells that UFFDIO_MOVE
 * moves large folios whole, waits for write-back, and for nothing without an end.
 */
#define UFFD_FEATURE_MOVEV		_BITULL(62)
#define UFFD_FEATURE_ANON_MOVE		_BITULL(61)
/* Modes of UFFDIO_MOVEV, the second one for both of arming, and IORING_OP_URING_CMD. */
#define UFFD_FEATURE_MOVEV_COPY		_BITULL(60)
#define UFFD_FEATURE_MOVEV_ARM		_BITULL(59)
#define UFFD_FEATURE_MOVEV_SPAN		_BITULL(58)
#define UFFD_FEATURE_MOVE_URING		_BITULL(57)

/* The structures say how long they are; the number stays the same when they grow. */
#define UFFDIO_MOVEV			_IO(0xAA, 0x30)

/* Nobody is woken, as with UFFDIO_MOVE_MODE_DONTWAKE. */
#define UFFDIO_MOVEV_MODE_DONTWAKE		_BITULL(32)
/* Addresses of the source that have no page are passed over, and count as moved. */
#define UFFDIO_MOVEV_MODE_ALLOW_SRC_HOLES	_BITULL(33)
/* A range that stops does not keep those behind it from moving. */
#define UFFDIO_MOVEV_MODE_GO_ON			_BITULL(34)
/* A page that is shared or pinned is copied, and dropped from the source. */
#define UFFDIO_MOVEV_MODE_COPY			_BITULL(35)
/* What arrives is armed at once: no write, or no access, goes unnoticed in between. */
#define UFFDIO_MOVEV_MODE_WP			_BITULL(36)
#define UFFDIO_MOVEV_MODE_RWP			_BITULL(37)
/* Either side of a range may lie in several mappings, each like the one opposite. */
#define UFFDIO_MOVEV_MODE_SPAN			_BITULL(38)

/*
 * Why a range stopped. Those that pass, by what others do, are even; those that stay
 * until the caller does something are odd. 0 is all of it moved.
 */
enum uffdio_movev_stop {
	UFFDIO_MOVEV_DONE		= 0,
	/* The range itself, no page of which was looked at. */
	UFFDIO_MOVEV_INVALID		= 1,	/* not aligned, empty, or nowhere */
	UFFDIO_MOVEV_NO_DST		= 3,	/* nothing is mapped where the destination begins */
	UFFDIO_MOVEV_NO_SRC		= 5,	/* likewise the source */
	UFFDIO_MOVEV_MAPPINGS		= 7,	/* unlike, short, or not for moving */
	UFFDIO_MOVEV_CHANGING		= 8,	/* an event of a mapping has not been read yet */
	UFFDIO_MOVEV_UNREGISTERED	= 19,	/* the destination, for what the mode arms */
	/* The page at src + moved. */
	UFFDIO_MOVEV_EXISTS		= 9,	/* there is one at dst + moved */
	UFFDIO_MOVEV_HOLE		= 11,
	UFFDIO_MOVEV_SHARED		= 13,	/* with another process, or by KSM */
	UFFDIO_MOVEV_PINNED		= 15,
	UFFDIO_MOVEV_MARKER		= 17,	/* poison, a guard, or a frame that failed */
	UFFDIO_MOVEV_UNSPLIT		= 18,	/* of a folio kept whole, by a pipe for ever */
	UFFDIO_MOVEV_LOCKED		= 20,
	UFFDIO_MOVEV_WRITEBACK		= 22,
	UFFDIO_MOVEV_MIGRATING		= 24,
	UFFDIO_MOVEV_RACED		= 26,	/* its entry went on changing */
	/* The call. */
	UFFDIO_MOVEV_NOMEM		= 28,
	UFFDIO_MOVEV_KILLED		= 30,
};

/**
 * struct uffdio_movev_range - one range of UFFDIO_MOVEV, and what became of it
 * @dst: first byte of the destination
 * @src: first byte of the source
 * @len: bytes
 * @moved: output: bytes moved from its beginning on, copies and holes included
 * @copied: output: how many of them were copied
 * @stop: output: enum uffdio_movev_stop
 * @reserved: 0
 */
struct uffdio_movev_range {
	__aligned_u64 dst;
	__aligned_u64 src;
	__aligned_u64 len;
	__aligned_u64 moved;
	__aligned_u64 copied;
	__u32 stop;
	__u32 reserved;
};

/**
 * struct uffdio_movev - argument of UFFDIO_MOVEV
 * @size: sizeof(struct uffdio_movev)
 * @range_size: sizeof(struct uffdio_movev_range)
 * @ranges: address of the first range
 * @count: how many there are
 * @mode: UFFDIO_MOVEV_MODE_*
 * @done: output: how many ranges have their outputs
 */
struct uffdio_movev {
	__u32 size;
	__u32 range_size;
	__aligned_u64 ranges;
	__aligned_u64 count;
	__aligned_u64 mode;
	__aligned_u64 done;
};

#endif /* _UAPI_LINUX_ANON_MOVE_H */
