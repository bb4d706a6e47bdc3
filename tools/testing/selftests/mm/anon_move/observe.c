// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel says about pages and about the mover, without touching them.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/fs.h>

#include "anon_move_test.h"

#define ENGINE_FILE	"/sys/kernel/debug/anon_move/engine"
#define STATS_FILE	"/sys/kernel/debug/anon_move/stats"
#define CONFIG_FILE	"/proc/config.gz"

static int read_pagemap(const void *addr, size_t pages, __u64 *view)
{
	size_t len = pages * sizeof(*view);
	off_t offset = (uintptr_t)addr / PAGE * sizeof(*view);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t got = pread(fd, view, len, offset);

	close(fd);
	return got == (ssize_t)len ? 0 : -1;
}

/* Only PAGEMAP_SCAN tells zero pages and huge PMDs; the old file does not. */
static int scan_pagemap(const void *addr, size_t pages, __u64 *view)
{
	struct page_region regions[64];
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.start = (uintptr_t)addr,
		.end = (uintptr_t)addr + pages * PAGE,
		.vec = (uintptr_t)regions,
		.vec_len = 64,
		.category_anyof_mask = PAGE_IS_PFNZERO | PAGE_IS_HUGE,
		.return_mask = PAGE_IS_PFNZERO | PAGE_IS_HUGE,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	long i, n = 0;
	__u64 at;

	for (; scan.start < scan.end; scan.start = scan.walk_end) {
		n = ioctl(fd, PAGEMAP_SCAN, &scan);
		if (n < 0)
			break;
		for (i = 0; i < n; i++)
			for (at = regions[i].start; at < regions[i].end; at += PAGE)
				view[(at - (uintptr_t)addr) / PAGE] |=
					(regions[i].categories & PAGE_IS_PFNZERO ? PM_ZERO : 0) |
					(regions[i].categories & PAGE_IS_HUGE ? PM_HUGE : 0);
	}
	close(fd);
	return n < 0 ? -1 : 0;
}

/**
 * look() - view pages as /proc/self/pagemap and PAGEMAP_SCAN show them
 * @addr: first page
 * @pages: how many
 * @view: PM_* of each
 *
 * Return: 0 or -1.
 */
int look(const void *addr, size_t pages, __u64 *view)
{
	if (read_pagemap(addr, pages, view))
		return -1;
	return scan_pagemap(addr, pages, view);
}

/**
 * first_unlike() - compare two views
 * @a: one view
 * @b: the other one
 * @pages: length of both
 * @mask: bits that matter
 *
 * Return: the first page that differs, or @pages.
 */
size_t first_unlike(const __u64 *a, const __u64 *b, size_t pages, __u64 mask)
{
	size_t i;

	for (i = 0; i < pages; i++)
		if ((a[i] ^ b[i]) & mask)
			break;
	return i;
}

/**
 * first_not() - check bits of a view
 * @view: the view
 * @pages: its length
 * @mask: bits that matter
 * @want: what they should be
 *
 * Return: the first page where they are not, or @pages.
 */
size_t first_not(const __u64 *view, size_t pages, __u64 mask, __u64 want)
{
	size_t i;

	for (i = 0; i < pages; i++)
		if ((view[i] & mask) != want)
			break;
	return i;
}

/**
 * all_pages() - look() and first_not() at once
 * @addr: first page
 * @pages: how many
 * @mask: bits that matter
 * @want: what they should be
 *
 * Return: true if they are, on every page.
 */
bool all_pages(const void *addr, size_t pages, __u64 mask, __u64 want)
{
	__u64 *view = malloc(pages * sizeof(*view));
	bool all = view && !look(addr, pages, view) &&
		first_not(view, pages, mask, want) == pages;

	free(view);
	return all;
}

/**
 * frame_flags() - the KPF_* of a page frame, mapped or not
 * @pfn: its number
 *
 * Return: the flags, 0 if they can't be read.
 */
__u64 frame_flags(__u64 pfn)
{
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	__u64 flags;

	if (pread(fd, &flags, sizeof(flags), pfn * sizeof(flags)) != sizeof(flags))
		flags = 0;
	close(fd);
	return flags;
}

/* The KPF_* of the page that a view shows, 0 if it shows none. */
static __u64 page_flags(__u64 view)
{
	return view & PM_PRESENT ? frame_flags(view & PM_PFN) : 0;
}

/**
 * folio_flags() - the KPF_* of the page that is mapped at an address
 * @addr: where
 *
 * Return: the flags, 0 if no page is there.
 */
__u64 folio_flags(const void *addr)
{
	__u64 view;

	return look(addr, 1, &view) ? 0 : page_flags(view);
}

/* Mapped in order, and not part of something larger. */
static bool is_folio(const __u64 *view, size_t folio)
{
	__u64 pfn = view[0] & PM_PFN;
	size_t i;

	for (i = 0; i < folio; i++)
		if ((view[i] & PM_PFN) != pfn + i ||
		    (page_flags(view[i]) & KPF_COMPOUND) != (i ? KPF_TAIL : KPF_HEAD))
			return false;
	return !(frame_flags(pfn + folio) & KPF_TAIL);
}

/**
 * are_folios() - are these pages whole large folios, one after the other?
 * @addr: first page
 * @pages: how many, a multiple of @folio
 * @folio: pages in a folio
 *
 * Return: true if all of them are.
 */
bool are_folios(const void *addr, size_t pages, size_t folio)
{
	__u64 *view = malloc(pages * sizeof(*view));
	bool are = view && !look(addr, pages, view);
	size_t i;

	for (i = 0; are && i < pages; i += folio)
		are = is_folio(view + i, folio);
	free(view);
	return are;
}

static bool is_kept(__u64 view)
{
	return (page_flags(view) & (KPF_ANON | KPF_MMAP | KPF_SWAPCACHE)) == KPF_ANON;
}

static size_t count_kept(const __u64 *view, size_t pages)
{
	size_t i, kept = 0;

	for (i = 0; i < pages; i++)
		kept += is_kept(view[i]);
	return kept;
}

/**
 * frames_kept() - has somebody kept a reference to pages that were unmapped?
 * @view: of these pages, when they still were mapped
 * @pages: length of @view
 *
 * Their frames then are anonymous pages that nobody maps, and stay so; their flags
 * are printed. The batches in which a CPU collects pages for the LRU lists hold
 * references too; compaction empties them. A frame that has been given to somebody
 * else looks like that for a moment before it is mapped, and for as long as it
 * likes after that if the swap cache has it, which then holds the reference.
 *
 * Return: how many such pages there are.
 */
size_t frames_kept(const __u64 *view, size_t pages)
{
	size_t i, kept = count_kept(view, pages);
	int tries;

	for (tries = 0; tries < 50 && kept; tries++) {
		write_text("/proc/sys/vm/compact_memory", "1");
		usleep(10000);
		kept = count_kept(view, pages);
	}
	for (i = 0; kept && i < pages; i++)
		if (is_kept(view[i]))
			printf("# frame %#llx is kept, flags %#llx\n", view[i] & PM_PFN,
			       page_flags(view[i]));
	return kept;
}

/**
 * cached() - are these swapped pages in the swap cache?
 * @addr: first page
 * @pages: how many, at most 8 * PMD_PAGES
 *
 * mincore() looks a swap entry up in the swap cache and brings nothing in.
 *
 * Return: true if all of them are.
 */
bool cached(const void *addr, size_t pages)
{
	unsigned char in_core[8 * PMD_PAGES];

	if (pages > sizeof(in_core) || mincore((void *)addr, pages * PAGE, in_core))
		return false;
	return !memchr(in_core, 0, pages);
}

/**
 * clear_soft_dirty() - clear the soft-dirty bits of the whole process
 *
 * Return: 0 or -1.
 */
int clear_soft_dirty(void)
{
	return write_text("/proc/self/clear_refs", "4");
}

/**
 * no_soft_dirty() - has this kernel no soft-dirty bits?
 *
 * What was just written to has one, unless the architecture lacks it or the
 * kernel was built without it.
 *
 * Return: why a test of them makes no sense, or NULL.
 */
const char *no_soft_dirty(void)
{
	static char pages[2 * PAGE];
	char *written = (char *)(((uintptr_t)pages + PAGE - 1) / PAGE * PAGE);

	fill_pages(written, 1, 1);
	return all_pages(written, 1, PM_SOFT_DIRTY, PM_SOFT_DIRTY) ? NULL :
		"no soft-dirty bits in this kernel";
}

static bool within(const char *at, const char *area, size_t len)
{
	return at >= area && at < area + len;
}

static void add_field(struct smaps *out, const char *line)
{
	static const char * const names[SMAPS_FIELDS] = {
		[SMAPS_RSS] = "Rss:",
		[SMAPS_ANONYMOUS] = "Anonymous:",
		[SMAPS_PRIVATE_CLEAN] = "Private_Clean:",
		[SMAPS_PRIVATE_DIRTY] = "Private_Dirty:",
		[SMAPS_LAZY_FREE] = "LazyFree:",
		[SMAPS_SWAP] = "Swap:",
		[SMAPS_LOCKED] = "Locked:",
	};
	int i;

	for (i = 0; i < SMAPS_FIELDS; i++)
		if (!strncmp(line, names[i], strlen(names[i])))
			out->kib[i] += atol(line + strlen(names[i]));
}

/**
 * smaps_of() - sum up the VMAs of both areas: a move must not change the sums
 * @s: the space
 * @out: the sums
 *
 * Return: 0 or -1.
 */
int smaps_of(const struct space *s, struct smaps *out)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	bool ours = false;
	char line[256], *end;

	memset(out, 0, sizeof(*out));
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		char *at = (char *)strtoul(line, &end, 16);

		/* A field's name may begin like a number, but "-" never ends it. */
		if (end > line && *end == '-')
			ours = within(at, s->src, s->pages * PAGE) ||
			       within(at, s->dst, s->pages * PAGE);
		else if (ours)
			add_field(out, line);
	}
	fclose(file);
	return 0;
}

/**
 * count_lines() - count the lines of a file
 * @path: the file
 *
 * Return: the count, or -1.
 */
long count_lines(const char *path)
{
	char buf[4096];
	long lines = 0;
	ssize_t got, i;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	/* No stdio: its buffer could grow the heap between two counts. */
	while ((got = read(fd, buf, sizeof(buf))) > 0)
		for (i = 0; i < got; i++)
			lines += buf[i] == '\n';
	close(fd);
	return got < 0 ? -1 : lines;
}

/**
 * vma_count() - count the VMAs of the process
 *
 * Return: the count, or -1.
 */
long vma_count(void)
{
	return count_lines("/proc/self/maps");
}

/**
 * read_number() - read the number after a key
 * @path: file with one key and number a line
 * @key: with its colon, if it has one; or "" for the number that the file begins with
 *
 * Return: the number, or -1 if file or key does not exist.
 */
long long read_number(const char *path, const char *key)
{
	FILE *file = fopen(path, "re");
	long long number = -1;
	char line[256];
	size_t len = strlen(key);

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, key, len) && (!len || strchr(" \t", line[len])))
			number = atoll(line + len);
	if (file)
		fclose(file);
	return number;
}

/**
 * table_kib() - what the page tables of this process take
 *
 * Return: KiB.
 */
long long table_kib(void)
{
	return read_number("/proc/self/status", "VmPTE:");
}

/**
 * counter_slack() - how far apart may two looks at a process's count of pages be?
 *
 * Each CPU may hold back 32 pages, each time it is read.
 *
 * Return: KiB.
 */
long long counter_slack(void)
{
	return 2 * 32 * sysconf(_SC_NPROCESSORS_ONLN) * PAGE / 1024;
}

/**
 * write_text() - write a few bytes to a file of /proc or /sys
 * @path: the file
 * @text: the bytes
 *
 * Return: 0 or -1.
 */
int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t len = strlen(text), put = write(fd, text, len);

	close(fd);
	return put == len ? 0 : -1;
}

/**
 * swap_device() - which is the first swap device?
 * @name: gets the part of its path behind /dev/
 *
 * Return: true if there is one.
 */
bool swap_device(char name[64])
{
	FILE *file = fopen("/proc/swaps", "re");
	char line[256] = "";
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file))
		found = sscanf(line, "/dev/%63s", name) == 1;
	if (file)
		fclose(file);
	return found;
}

/**
 * swap_missing() - is there a swap device?
 *
 * Return: what is missing, or NULL.
 */
const char *swap_missing(void)
{
	char name[64];

	return swap_device(name) ? NULL : "no swap device (tools/vm/run --swap SIZE makes one)";
}

/**
 * slow_swap_missing() - does the first swap device go through the swap cache?
 *
 * Return: what is missing, or NULL.
 */
const char *slow_swap_missing(void)
{
	char name[64];

	if (swap_device(name) && strncmp(name, "zram", 4))
		return NULL;
	return "no swap device but zram (tools/vm/run --slow-swap SIZE makes one)";
}

/**
 * config_missing() - can the configuration of the kernel be read?
 *
 * Return: what is missing, or NULL.
 */
const char *config_missing(void)
{
	return access(CONFIG_FILE, R_OK) ? "no " CONFIG_FILE " (CONFIG_IKCONFIG_PROC)" : NULL;
}

/**
 * config_has() - was the kernel configured so?
 * @line: of its .config
 *
 * Return: true if that line is there.
 */
bool config_has(const char *line)
{
	char command[256];

	snprintf(command, sizeof(command), "zcat " CONFIG_FILE " | grep -qxF '%s'", line);
	return !system(command);
}

/**
 * swap_reads() - count what was read back from swap
 *
 * Return: pages swapped in plus reads of the swap device, since boot.
 */
long long swap_reads(void)
{
	char name[64], path[128];
	long long reads = 0;
	FILE *file;

	if (!swap_device(name))
		return -1;
	snprintf(path, sizeof(path), "/sys/block/%s/stat", name);
	file = fopen(path, "re");
	if (!file || fscanf(file, "%lld", &reads) != 1)
		reads = 0;
	if (file)
		fclose(file);
	return reads + read_number("/proc/vmstat", "pswpin");
}

static bool engine_is(const char *name)
{
	char text[32] = "";
	int fd = open(ENGINE_FILE, O_RDONLY | O_CLOEXEC);
	ssize_t got = read(fd, text, sizeof(text) - 1);

	close(fd);
	return got > 0 && !strncmp(text, name, strlen(name));
}

/**
 * base_serves() - is it the base's mover, with its known defects, that runs?
 *
 * Return: a reason to skip, or NULL if anon_move runs.
 */
const char *base_serves(void)
{
	if (engine_is("anon_move") || (access(ENGINE_FILE, F_OK) && !access(STATS_FILE, F_OK)))
		return NULL;
	if (engine_is("base"))
		return "known defect of the base's mover, which " ENGINE_FILE " has chosen";
	return "known defect of the base's mover; no " ENGINE_FILE " says that anon_move runs";
}

/**
 * engine_counts() - do the counters of anon_move count what we move?
 *
 * Return: true if they do.
 */
bool engine_counts(void)
{
	return !base_serves() && !access(STATS_FILE, F_OK);
}

/**
 * engine_count() - sum up counters of anon_move
 * @keys: their names, with blanks between them
 *
 * Return: the sum, or -1 if one of them does not exist.
 */
long long engine_count(const char *keys)
{
	char copy[256], *rest = copy, *key;
	long long sum = 0, n;

	snprintf(copy, sizeof(copy), "%s", keys);
	while ((key = strsep(&rest, " "))) {
		n = read_number(STATS_FILE, key);
		if (n < 0)
			return -1;
		sum += n;
	}
	return sum;
}
