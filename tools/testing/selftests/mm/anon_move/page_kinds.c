// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of every kind that may meet the mover, made in the source and proved
 * to be of that kind.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "anon_move_test.h"

#define THP_DIR		"/sys/kernel/mm/transparent_hugepage"

#define PAGES_OUT	(8 * PMD_PAGES)	/* that page_out() can watch */
#define ROUNDS		100	/* of 10 ms at least, for what takes a while to happen */

static int make_small(struct space *s, size_t first, size_t pages)
{
	char *addr = s->src + first * PAGE;

	fill_pages(addr, pages, s->id + first + 1);
	return all_pages(addr, pages, PM_PRESENT | PM_HUGE, PM_PRESENT) ? 0 : -1;
}

static int make_zero(struct space *s, size_t first, size_t pages)
{
	char *addr = s->src + first * PAGE;
	size_t i;

	for (i = 0; i < pages; i++)
		touch(addr + i * PAGE);
	return all_pages(addr, pages, PM_PRESENT | PM_ZERO | PM_HUGE,
			 PM_PRESENT | PM_ZERO) ? 0 : -1;
}

static int make_hole(struct space *s, size_t first, size_t pages)
{
	return all_pages(s->src + first * PAGE, pages, PM_PRESENT | PM_SWAP, 0) ? 0 : -1;
}

/* Reclaim passes over pages in a batch of another CPU; compaction empties all batches first. */
static void empty_lru_batches(void)
{
	write_text("/proc/sys/vm/compact_memory", "1");
	usleep(10000);
}

/*
 * Reclaim looks at mapped pages only. What it left in the swap cache until it was
 * written is mapped again; now it is clean, and leaves the cache at the next try.
 */
static void map_cached(char *addr, const unsigned char *in_core, size_t pages)
{
	size_t i;

	for (i = 0; i < pages; i++)
		if (in_core[i])
			touch(addr + i * PAGE);
}

/*
 * Reclaim splits a large folio that is mapped in more than one piece, and of its
 * pages those of zeroes become the zero page, of which there is nothing to swap out.
 */
static bool is_out(__u64 seen, bool in_core)
{
	return seen & PM_ZERO || (!in_core && (seen & (PM_PRESENT | PM_SWAP)) == PM_SWAP);
}

static bool all_out(const char *addr, const unsigned char *in_core, size_t pages)
{
	__u64 view[PAGES_OUT];
	size_t i = 0;

	if (look(addr, pages, view))
		return false;
	while (i < pages && is_out(view[i], in_core[i]))
		i++;
	return i == pages;
}

/**
 * page_out() - swap pages out, and out of the swap cache too
 * @addr: first page
 * @pages: how many, at most %PAGES_OUT
 *
 * Return: 0 or -1.
 */
int page_out(void *addr, size_t pages)
{
	unsigned char in_core[PAGES_OUT];
	int round;

	for (round = 0; round < ROUNDS; round++) {
		if (madvise(addr, pages * PAGE, MADV_PAGEOUT) ||
		    mincore(addr, pages * PAGE, in_core))
			return -1;
		if (all_out(addr, in_core, pages))
			return 0;
		map_cached(addr, in_core, pages);
		empty_lru_batches();
	}
	return -1;
}

static int make_swapped(struct space *s, size_t first, size_t pages)
{
	if (make_small(s, first, pages))
		return -1;
	return page_out(s->src + first * PAGE, pages);
}

static int make_swap_cache(struct space *s, size_t first, size_t pages)
{
	char *addr = s->src + first * PAGE;
	int round;

	if (make_swapped(s, first, pages) || madvise(addr, pages * PAGE, MADV_WILLNEED))
		return -1;
	for (round = 0; round < 10 * ROUNDS && !cached(addr, pages); round++)
		usleep(10000);
	return cached(addr, pages) &&
	       all_pages(addr, pages, PM_PRESENT | PM_SWAP, PM_SWAP) ? 0 : -1;
}

/*
 * The mark waits in a batch of the CPU's; MADV_COLD, of nothing, empties this
 * one's. A page that waits in a batch of another CPU can't be marked at all.
 */
static int make_lazy_free(struct space *s, size_t first, size_t pages)
{
	char *addr = s->src + first * PAGE;
	struct smaps before, after;
	int round;

	if (make_small(s, first, pages) || smaps_of(s, &before))
		return -1;
	for (round = 0; round < ROUNDS; round++) {
		if (madvise(addr, pages * PAGE, MADV_FREE) ||
		    madvise(s->dst, PAGE, MADV_COLD) || smaps_of(s, &after))
			return -1;
		if ((after.kib[SMAPS_LAZY_FREE] - before.kib[SMAPS_LAZY_FREE]) * 1024 ==
		    (long)(pages * PAGE))
			return 0;
		empty_lru_batches();
	}
	return -1;
}

/* Both areas: the mover refuses when only one is locked. On fault, to leave the holes alone. */
static int make_mlocked(struct space *s, size_t first, size_t pages)
{
	if (mlock2(s->src, s->pages * PAGE, MLOCK_ONFAULT) ||
	    mlock2(s->dst, s->pages * PAGE, MLOCK_ONFAULT))
		return -1;
	return make_small(s, first, pages);
}

static bool read_switch(const char *path, char value[16])
{
	char line[128] = "";
	FILE *file = fopen(path, "re");
	char *chosen = file && fgets(line, sizeof(line), file) ? strchr(line, '[') : NULL;

	if (file)
		fclose(file);
	return chosen && sscanf(chosen, "[%15[^]]", value) == 1;
}

/* 6.12 does not put parts of a VMA together again of which some have an anon_vma only. */
static int give_anon_vma(struct space *s, char *addr)
{
	if (madvise(s->src, s->pages * PAGE, MADV_NOHUGEPAGE))
		return -1;
	fill_pages(addr, 1, 1);
	return madvise(addr, PAGE, MADV_DONTNEED);
}

/**
 * folio_file() - where sysfs has what is said of large folios of one size
 * @folio: pages in a folio
 * @name: of the file
 *
 * Return: the path, until the next call.
 */
const char *folio_file(size_t folio, const char *name)
{
	static char path[100];

	snprintf(path, sizeof(path), THP_DIR "/hugepages-%zukB/%s", folio * PAGE / 1024, name);
	return path;
}

static int write_folio_switch(size_t folio, const char *value)
{
	return write_text(folio_file(folio, "enabled"), value);
}

/**
 * make_large() - make pages of the source large folios that are mapped by PTEs
 * @s: the space
 * @first: first page of the source, a multiple of @folio
 * @pages: how many, likewise
 * @folio: pages in a folio, a power of 2 from 4 to PMD_PAGES / 2
 *
 * Return: 0 when all of them surely are, else -1.
 */
int make_large(struct space *s, size_t first, size_t pages, size_t folio)
{
	char *addr = s->src + first * PAGE;
	char old[16];

	if (give_anon_vma(s, addr) || !read_switch(folio_file(folio, "enabled"), old) ||
	    write_folio_switch(folio, "always"))
		return -1;
	write_folio_switch(PMD_PAGES, "never");
	/*
	 * Not for all of the space: khugepaged looks at once, and makes folios of every
	 * size that is switched on of the small pages and holes beside these.
	 */
	madvise(addr, pages * PAGE, MADV_HUGEPAGE);
	fill_pages(addr, pages, s->id + first + 1);
	madvise(s->src, s->pages * PAGE, MADV_NOHUGEPAGE);
	write_folio_switch(PMD_PAGES, "inherit");
	write_folio_switch(folio, old);
	return are_folios(addr, pages, folio) &&
	       all_pages(addr, pages, PM_PRESENT | PM_HUGE, PM_PRESENT) ? 0 : -1;
}

static int make_mthp(struct space *s, size_t first, size_t pages)
{
	return make_large(s, first, pages, MTHP_PAGES);
}

static int make_mthp_swapped(struct space *s, size_t first, size_t pages)
{
	return make_mthp(s, first, pages) ? -1 : page_out(s->src + first * PAGE, pages);
}

static int make_thp(struct space *s, size_t first, size_t pages)
{
	char *addr = s->src + first * PAGE;

	if (madvise(s->src, s->pages * PAGE, MADV_HUGEPAGE))
		return -1;
	fill_pages(addr, pages, s->id + first + 1);
	/* Or khugepaged would remake what is about to be split. */
	if (madvise(s->src, s->pages * PAGE, MADV_NOHUGEPAGE))
		return -1;
	return all_pages(addr, pages, PM_PRESENT | PM_HUGE, PM_PRESENT | PM_HUGE) ? 0 : -1;
}

/* A change of one page's protection splits the PMD, but not the folio. */
static int make_thp_by_ptes(struct space *s, size_t first, size_t pages)
{
	char *addr = s->src + first * PAGE;
	size_t i;

	if (make_thp(s, first, pages))
		return -1;
	for (i = 0; i < pages; i += PMD_PAGES)
		if (mprotect(addr + i * PAGE, PAGE, PROT_READ) ||
		    mprotect(addr + i * PAGE, PAGE, PROT_READ | PROT_WRITE))
			return -1;
	return folio_flags(addr) & KPF_COMPOUND &&
	       all_pages(addr, pages, PM_PRESENT | PM_HUGE, PM_PRESENT) ? 0 : -1;
}

static int make_huge_zero(struct space *s, size_t first, size_t pages)
{
	char *addr = s->src + first * PAGE;
	size_t i;

	if (madvise(s->src, s->pages * PAGE, MADV_HUGEPAGE))
		return -1;
	for (i = 0; i < pages; i += PMD_PAGES)
		touch(addr + i * PAGE);
	return all_pages(addr, pages, PM_PRESENT | PM_ZERO | PM_HUGE,
			 PM_PRESENT | PM_ZERO | PM_HUGE) ? 0 : -1;
}

static const char *nothing_missing(void)
{
	return NULL;
}

static const char *thp_missing(void)
{
	char value[16];

	if (!read_switch(THP_DIR "/enabled", value))
		return "no transparent huge pages in this kernel";
	return strcmp(value, "never") ? NULL : THP_DIR "/enabled says never";
}

/**
 * large_missing() - can the machine have large folios that are mapped by PTEs?
 * @folio: pages in a folio
 *
 * Return: what is missing, or NULL.
 */
const char *large_missing(size_t folio)
{
	return access(folio_file(folio, "enabled"), W_OK) ? "no large folios of that size" : NULL;
}

static const char *mthp_missing(void)
{
	return large_missing(MTHP_PAGES);
}

static const char *mthp_swapped_missing(void)
{
	const char *missing = mthp_missing();

	return missing ? missing : swap_missing();
}

static const char *huge_zero_missing(void)
{
	const char *missing = thp_missing();
	char value = '0';
	FILE *file;

	if (missing)
		return missing;
	file = fopen(THP_DIR "/use_zero_page", "re");
	if (!file || fscanf(file, "%c", &value) != 1)
		value = '0';
	if (file)
		fclose(file);
	return value == '1' ? NULL : THP_DIR "/use_zero_page is not 1";
}

const struct page_kind page_kinds[KINDS] = {
	[KIND_SMALL] = {
		"4K page", 1, false, "moved_small", nothing_missing, make_small },
	[KIND_ZERO] = {
		"zero page", 1, true, "moved_zero", nothing_missing, make_zero },
	[KIND_HOLE] = {
		"hole", 1, true, "holes", nothing_missing, make_hole },
	[KIND_SWAPPED] = {
		"swapped", 1, false, "moved_swap", swap_missing, make_swapped },
	[KIND_SWAP_CACHE] = {
		"in swap cache", 1, false, "moved_swap", swap_missing, make_swap_cache },
	[KIND_LAZY_FREE] = {
		"lazily freed", 1, false, "moved_small", nothing_missing, make_lazy_free },
	[KIND_MLOCKED] = {
		"mlocked", 1, false, "moved_small", nothing_missing, make_mlocked },
	[KIND_MTHP] = {
		"64K folio", MTHP_PAGES, false, "moved_small moved_large",
		mthp_missing, make_mthp },
	[KIND_MTHP_SWAPPED] = {
		"swapped 64K folio", MTHP_PAGES, false, "moved_swap",
		mthp_swapped_missing, make_mthp_swapped },
	[KIND_THP] = {
		"2M folio", PMD_PAGES, false, "moved_small moved_large moved_pmd",
		thp_missing, make_thp },
	[KIND_THP_BY_PTES] = {
		"2M folio by PTEs", PMD_PAGES, false, "moved_small moved_large",
		thp_missing, make_thp_by_ptes },
	[KIND_HUGE_ZERO] = {
		"huge zero page", PMD_PAGES, true, "moved_zero moved_pmd",
		huge_zero_missing, make_huge_zero },
};

/**
 * kind_missing() - can the machine have such pages?
 * @kind: the kind
 *
 * Return: what is missing, or NULL.
 */
const char *kind_missing(enum page_kind_id kind)
{
	return page_kinds[kind].missing();
}

/**
 * make_kind() - make pages of the source pages of a kind
 * @s: the space
 * @kind: the kind
 * @first: first page of the source, a multiple of the kind's unit
 * @pages: how many, likewise
 *
 * Return: 0 when all of them surely are, else -1.
 */
int make_kind(struct space *s, enum page_kind_id kind, size_t first, size_t pages)
{
	return page_kinds[kind].make(s, first, pages);
}

#define KSM_RUN	"/sys/kernel/mm/ksm/run"

/**
 * ksm_missing() - can pages of the same content become one?
 *
 * Return: a reason, or NULL if they can.
 */
const char *ksm_missing(void)
{
	return access(KSM_RUN, W_OK) ? "no KSM in this kernel" : NULL;
}

/* Both pages are one. KPF_KSM says nothing: 6.12 shows it for every anonymous page. */
static bool are_merged(const char *two_pages)
{
	time_t deadline = time(NULL) + PATIENCE / 4;
	__u64 view[2];

	while (time(NULL) < deadline) {
		if (!look(two_pages, 2, view) && !((view[0] ^ view[1]) & (PM_PRESENT | PM_PFN)))
			return true;
		usleep(20000);
	}
	return false;
}

/**
 * make_ksm_pair() - have the first two pages of the source become one, by KSM
 * @s: the areas
 *
 * Return: 0 if both map one page, with the pattern of the first, or -1.
 */
int make_ksm_pair(struct space *s)
{
	bool merged;

	if (make_kind(s, KIND_SMALL, 0, 1))
		return -1;
	fill_pages(s->src + PAGE, 1, s->id + 1);
	if (madvise(s->src, 2 * PAGE, MADV_MERGEABLE) || write_text(KSM_RUN, "1"))
		return -1;
	merged = are_merged(s->src);
	write_text(KSM_RUN, "0");
	return merged ? 0 : -1;
}
