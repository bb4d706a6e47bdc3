/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The page mover's flags of mremap(), and whether the kernel has them. Copy it into your program.
 */
#ifndef MREMAP_MOVE_H
#define MREMAP_MOVE_H

#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* Of <linux/anon_move.h>, where that is installed. */
#ifndef MREMAP_RELOCATE_ANON
#define MREMAP_RELOCATE_ANON		0x01000000
#define MREMAP_MUST_RELOCATE_ANON	0x02000000
#endif
#ifndef MREMAP_ONLYPAGES
#define MREMAP_ONLYPAGES	0x04000000
#define MREMAP_ONLYPAGES_HOLES	0x08000000
#endif

/**
 * mremap_move() - move pages from one part of the program's memory to another
 * @dst: first byte of the destination, page aligned; mapped, and without a page
 * @src: first byte of the source, page aligned
 * @len: bytes, a multiple of the page size
 * @flags: 0 or MREMAP_ONLYPAGES_HOLES
 *
 * No mapping is made, unmapped or changed, at either end. Not by way of the C
 * library's mremap(), which returns an address.
 *
 * Return: bytes that are at the destination now and gone from the source, counted
 *	   from their starts; fewer than @len if something is in the way, and the
 *	   same call for the rest says what. -1 if nothing was moved, with errno:
 *	   EEXIST, the destination has a page; ENOENT, the source has none; EBUSY,
 *	   it is shared or pinned, or of a large folio that can't be split: copy it;
 *	   EAGAIN, try again; EFAULT, an address is not mapped, or marked as poisoned;
 *	   EPERM, a mapping is sealed; EINVAL, the mappings are unlike or not private and
 *	   anonymous, or there is no such call; ENOMEM, no memory for a page table; EINTR,
 *	   a fatal signal.
 */
static inline ssize_t mremap_move(void *dst, void *src, size_t len, int flags)
{
	/* MREMAP_MAYMOVE and MREMAP_FIXED belong to the call. */
	return syscall(SYS_mremap, src, len, len, 1 | 2 | MREMAP_ONLYPAGES | flags, dst);
}

/**
 * mremap_can_move() - does the kernel know this call?
 *
 * Return: 1 or 0. errno may be changed.
 */
static inline int mremap_can_move(void)
{
	return mremap_move(NULL, NULL, 0, 0) == 0;
}

/**
 * mremap_relocate() - move a mapping so that it merges with what is beside it there
 * @dst: first byte of the destination, page aligned; what is mapped there is unmapped
 * @src: first byte of the source, page aligned
 * @len: bytes, a multiple of the page size
 * @flags: MREMAP_RELOCATE_ANON or MREMAP_MUST_RELOCATE_ANON
 *
 * Return: 0, or -1 with errno: with the second flag EFAULT, a page is shared, a part of a
 *	   large folio would move that is pinned or can't be split, or the memory is of another
 *	   kind or registered with a userfaultfd; no mapping has changed then and no page has
 *	   moved. EINVAL also where there is no such flag; all others are those of mremap().
 */
static inline int mremap_relocate(void *dst, void *src, size_t len, int flags)
{
	return syscall(SYS_mremap, src, len, len, 1 | 2 | flags, dst) == (long)dst ? 0 : -1;
}

/**
 * mremap_can_relocate() - does the kernel know MREMAP_RELOCATE_ANON?
 * @page: page aligned, of memory that the program has mapped; nothing happens to it
 *
 * Return: 1 or 0. errno may be changed.
 */
static inline int mremap_can_relocate(void *page)
{
	const long size = sysconf(_SC_PAGESIZE);

	/* Flags come before all else. */
	return syscall(SYS_mremap, page, size, size, 1 | MREMAP_RELOCATE_ANON, NULL) != -1 ||
	       errno != EINVAL;
}

#endif /* MREMAP_MOVE_H */
