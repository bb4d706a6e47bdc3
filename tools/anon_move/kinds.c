// SPDX-License-Identifier: GPL-2.0
/* Makes memory of each kind, proves that it is of that kind, checks every byte of it. */

#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/kernel-page-flags.h>

#include "bench.h"

#define THP "/sys/kernel/mm/transparent_hugepage/"
#define PAGES_OF_64K 16
#define PAGES_OF_PMD (PMD_SIZE / PAGE)

/* Of /proc/PID/pagemap. */
#define PRESENT ((uint64_t)1 << 63)
#define SWAPPED ((uint64_t)1 << 62)
#define FRAME (((uint64_t)1 << 55) - 1)

/* What may be behind one entry of a page table. */
enum entry { ENTRY_NONE, ENTRY_SWAP, ENTRY_ZERO, ENTRY_SMALL, ENTRY_HEAD, ENTRY_TAIL };

static enum entry entry_of(enum kind kind, size_t page)
{
	static const enum entry rare[] = { ENTRY_NONE, ENTRY_ZERO, ENTRY_SWAP };

	switch (kind) {
	case KIND_NONE:
		return ENTRY_NONE;
	case KIND_4K:
		return ENTRY_SMALL;
	case KIND_64K:
		return page % PAGES_OF_64K ? ENTRY_TAIL : ENTRY_HEAD;
	case KIND_PMD:
		return page % PAGES_OF_PMD ? ENTRY_TAIL : ENTRY_HEAD;
	case KIND_SWAP:
		return ENTRY_SWAP;
	case KIND_MIXED:
		return page % 8 ? ENTRY_SMALL : rare[page / 8 % 3];
	}
	return ENTRY_NONE;
}

/* The same in all words of a page, as zram keeps such pages in no memory; of no other page. */
static unsigned long long word_of(enum kind kind, size_t page)
{
	const enum entry entry = entry_of(kind, page);

	return entry == ENTRY_NONE || entry == ENTRY_ZERO ? 0 : (page + 1) * 0x9e3779b97f4a7c15;
}

static void fill(enum kind kind, char *area, size_t len)
{
	for (size_t page = 0; page < len / PAGE; page++) {
		unsigned long long *words = (void *)(area + page * PAGE);
		const unsigned long long word = word_of(kind, page);

		/* An emulated processor takes longer for this than for what is measured. */
		#pragma GCC unroll 16
		for (size_t i = 0; i < PAGE / sizeof(word); i++)
			words[i] = word;
	}
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || dprintf(fd, "%s", text) < 0)
		err(CANNOT, "can't write %s; be root", path);
	close(fd);
}

static void advise(char *area, size_t len, int advice, const char *name)
{
	if (madvise(area, len, advice))
		err(FAILED, "%s of %zu MiB", name, len / MIB);
}

#define ADVISE(area, len, advice) advise(area, len, advice, #advice)

/* What 4K pages become where the kind wants something else. */
static void replace(enum kind kind, char *area, size_t page)
{
	char *at = area + page * PAGE;
	const enum entry entry = entry_of(kind, page);

	if (entry == ENTRY_SWAP)
		ADVISE(at, PAGE, MADV_PAGEOUT);
	if (entry == ENTRY_NONE || entry == ENTRY_ZERO)
		ADVISE(at, PAGE, MADV_DONTNEED);
	if (entry == ENTRY_ZERO)
		__atomic_load_n(at, __ATOMIC_RELAXED);
}

/**
 * make_kind() - fill memory with pages of one kind
 * @kind: which
 * @area: first byte, at a PMD border; not registered with a userfaultfd
 * @len: bytes; what was there is lost
 *
 * Changes the settings for large folios and leaves them so.
 */
void make_kind(enum kind kind, char *area, size_t len)
{
	/* Page tables go too: no huge page comes where one is. */
	if (mmap(area, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		 -1, 0) == MAP_FAILED)
		err(FAILED, "mmap");
	write_text(THP "hugepages-64kB/enabled", "madvise");
	write_text(THP "hugepages-2048kB/enabled", kind == KIND_PMD ? "madvise" : "never");
	if (kind == KIND_64K || kind == KIND_PMD)
		ADVISE(area, len, MADV_HUGEPAGE);
	else
		ADVISE(area, len, MADV_NOHUGEPAGE);
	ADVISE(area, len, MADV_POPULATE_WRITE);
	fill(kind, area, len);
	if (kind == KIND_SWAP)
		ADVISE(area, len, MADV_PAGEOUT);
	if (kind == KIND_NONE)
		ADVISE(area, len, MADV_DONTNEED);
	for (size_t page = 0; kind == KIND_MIXED && page < len / PAGE; page += 8)
		replace(kind, area, page);
	if (!is_kind(kind, area, len))
		errx(FAILED, "can't make %zu MiB of what the row moves: not enough memory or swap",
		     len / MIB);
}

static int open_for_reading(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		err(CANNOT, "%s", path);
	return fd;
}

/* Reads entries of a file that has one of 8 bytes for each page. */
static void read_entries(int fd, size_t first, uint64_t *entries, size_t nr)
{
	if (pread(fd, entries, nr * sizeof(*entries), first * sizeof(*entries)) !=
	    (ssize_t)(nr * sizeof(*entries)))
		err(CANNOT, "can't read a page map; be root");
}

static enum entry entry_in(uint64_t map, int flags_fd)
{
	uint64_t flags;

	if (map & SWAPPED)
		return ENTRY_SWAP;
	if (!(map & PRESENT))
		return ENTRY_NONE;
	read_entries(flags_fd, map & FRAME, &flags, 1);
	if (flags & 1 << KPF_ZERO_PAGE)
		return ENTRY_ZERO;
	if (flags & 1 << KPF_COMPOUND_TAIL)
		return ENTRY_TAIL;
	return flags & 1 << KPF_COMPOUND_HEAD ? ENTRY_HEAD : ENTRY_SMALL;
}

/**
 * is_kind() - are all pages of the kind that they should be?
 * @kind: which
 * @area: first byte, page aligned
 * @len: bytes
 *
 * Asks the kernel for each page, and touches none.
 *
 * Return: true or false.
 */
bool is_kind(enum kind kind, const char *area, size_t len)
{
	const size_t nr = PAGES_OF_PMD, first = (uintptr_t)area / PAGE;
	int map_fd = open_for_reading("/proc/self/pagemap");
	int flags_fd = open_for_reading("/proc/kpageflags");
	size_t page, pages = len / PAGE;
	uint64_t map[PAGES_OF_PMD];

	for (page = 0; page < pages; page++) {
		if (page % nr == 0)
			read_entries(map_fd, first + page, map,
				     pages - page < nr ? pages - page : nr);
		if (entry_in(map[page % nr], flags_fd) != entry_of(kind, page))
			break;
	}
	close(map_fd);
	close(flags_fd);
	return page == pages;
}

/**
 * check_bytes() - end the program if one byte is not as make_kind() made it
 * @kind: which
 * @area: first byte, page aligned; not registered with a userfaultfd
 * @len: bytes
 */
void check_bytes(enum kind kind, const char *area, size_t len)
{
	for (size_t page = 0; page < len / PAGE; page++) {
		const unsigned long long *words = (const void *)(area + page * PAGE);
		const unsigned long long word = word_of(kind, page);
		unsigned long long wrong = 0;

		#pragma GCC unroll 16
		for (size_t i = 0; i < PAGE / sizeof(word); i++)
			wrong |= words[i] ^ word;
		if (wrong)
			errx(FAILED, "page %zu of %zu has wrong bytes", page, len / PAGE);
	}
}
