// SPDX-License-Identifier: GPL-2.0
/*
 * What may be where: each page is at one of its places, with all its bytes, and
 * nothing else is anywhere.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/fs.h>

#include "stress.h"

#define WORDS		(PAGE / sizeof(__u64))
#define RECLAIM_MAX	(PMD_PAGES + 64)	/* pages, more would take too long */
#define SPLIT_FILE	"/sys/kernel/debug/split_huge_pages"

/* What is in a page, as far as page tables tell; a byte each, as most of a GiB is empty. */
#define SEEN_PRESENT	1
#define SEEN_SWAP	2
#define SEEN_ZERO	4
#define SEEN_WRITTEN	8
#define PLANNED		16
#define SEEN		(SEEN_PRESENT | SEEN_SWAP)

/* What a slot holds. */
enum content { ABSENT, OWN_PAGE, OTHER_PAGE, ZEROES, UNREADABLE, FOREIGN, CONTENTS };

static const char * const area_names[AREAS] = {
	[AREA_SRC] = "source", [AREA_DST] = "destination", [AREA_OTHER] = "other area",
};

/* What was found in the slots of one column. */
struct found {
	unsigned int nr[CONTENTS];
	bool moved;
	__u64 writes;
};

/* /proc/self/mem of the process that checks. */
static __thread int memory;

static bool all_zero(const struct plan *p)
{
	return page_kinds[p->base].zeroes;
}

/* Does the last word tell how often it was written to, and all others what they should? */
static bool is_pattern(const __u64 *page, unsigned int id, __u64 *writes)
{
	__u64 want[WORDS] = { 0 };

	if (id)
		fill_pages(want, 1, id);
	*writes = page[WORDS - 1] - want[WORDS - 1];
	return !memcmp(page, want, sizeof(want) - sizeof(*want)) && *writes <= ~0U;
}

static enum content read_slot(struct arena *a, enum area_id area, size_t column, __u64 *writes)
{
	__u64 page[WORDS];

	/* By the kernel's hand, so that what can't be read is an error and no signal. */
	if (pread(memory, page, PAGE, (uintptr_t)slot(a, area, column)) != (ssize_t)PAGE)
		return UNREADABLE;
	if (populated(&a->plan, column) && !all_zero(&a->plan) &&
	    is_pattern(page, page_id(a, column, AREA_SRC), writes))
		return OWN_PAGE;
	if (is_pattern(page, page_id(a, column, AREA_OTHER), writes))
		return OTHER_PAGE;
	if (is_pattern(page, 0, writes))
		return ZEROES;
	trouble(a, "column %zu: something else in the %s: %s", column, area_names[area],
		pages_differ(page, 1, page_id(a, column, AREA_SRC)));
	return FOREIGN;
}

static unsigned char view_of(const struct arena *a, enum area_id area, size_t column)
{
	return a->views[area][(slot(a, area, column) - a->area[area]) / PAGE];
}

static void add_region(unsigned char *views, const char *start, const struct page_region *r)
{
	size_t first = (r->start - (uintptr_t)start) / PAGE, pages = (r->end - r->start) / PAGE;
	int seen = r->categories & PAGE_IS_PRESENT ? SEEN_PRESENT : SEEN_SWAP;

	if (r->categories & PAGE_IS_PFNZERO)
		seen |= SEEN_ZERO;
	if (r->categories & PAGE_IS_WRITTEN)
		seen |= SEEN_WRITTEN;
	memset(views + first, seen, pages);
}

static void view_area(struct arena *a, enum area_id area)
{
	const char *start = a->area[area];
	struct page_region regions[64];
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.start = (uintptr_t)start,
		.end = (uintptr_t)start + a->plan.area * PAGE,
		.vec = (uintptr_t)regions,
		.vec_len = ARRAY_SIZE(regions),
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED | PAGE_IS_PFNZERO |
			       PAGE_IS_WRITTEN,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int i, n;

	memset(a->views[area], 0, a->plan.area);
	for (; scan.start < scan.end; scan.start = scan.walk_end) {
		n = ioctl(fd, PAGEMAP_SCAN, &scan);
		if (n < 0) {
			trouble(a, "PAGEMAP_SCAN fails");
			break;
		}
		for (i = 0; i < n; i++)
			add_region(a->views[area], start, &regions[i]);
	}
	close(fd);
}

static void view_areas(struct arena *a)
{
	const struct plan *p = &a->plan;
	enum area_id area;
	unsigned int i;
	size_t n;

	for (area = 0; area < AREAS; area++)
		view_area(a, area);
	for (i = 0; i < p->nr_spans; i++)
		for (n = 0; n < p->spans[i].count; n++)
			a->views[AREA_SRC][p->spans[i].first + n] |= PLANNED;
}

static struct found look_at_column(struct arena *a, size_t column)
{
	struct found f = { };
	enum area_id area;

	for (area = 0; area < AREAS; area++) {
		enum content content = ABSENT;
		__u64 writes = 0;

		if (view_of(a, area, column) & SEEN)
			content = read_slot(a, area, column, &writes);
		f.nr[content]++;
		f.writes += writes;
		f.moved |= content == OWN_PAGE && area != AREA_SRC;
	}
	return f;
}

/* A fault in memory that is not registered brings a page of zeroes; it may move then. */
static bool zeroes_appear(const struct plan *p)
{
	unsigned int does = left_behind(p);

	/* The model's own look is such a fault, if the page was dropped right before it. */
	if (stress_kinds[p->kind].vanishes && (!p->registered || does & DOES_UNREGISTER))
		return true;
	return does & DOES_REFAULT && (does & DOES_UNREGISTER || !p->registered);
}

static bool pages_vanish(const struct plan *p)
{
	return left_behind(p) & DOES_DESTROY || stress_kinds[p->kind].vanishes;
}

/*
 * A page that others share or have pinned stays, until somebody makes a private copy of it,
 * as a mover may. What mremap() can't relocate it moves all the same, with the whole mapping.
 */
static bool must_stay(const struct plan *p, size_t column)
{
	unsigned int copies = BIT(RIVAL_FAULT) | BIT(RIVAL_PIN) | BIT(RIVAL_COLLAPSE);

	if (p->mover == MOVER_RELOCATE || p->mover == MOVER_COPY)
		return false;
	switch (p->kind) {
	case STRESS_PINNED:
		return true;
	case STRESS_FORK_SHARED:
		return !(p->rivals & (copies | BIT(RIVAL_PAGEOUT)));
	case STRESS_KSM:
		/* mremap() makes private copies of merged pages before it moves them. */
		copies |= BIT(RIVAL_MREMAP);
		return !(p->rivals & (copies | BIT(RIVAL_PAGEOUT))) && is_merged(p, column);
	default:
		return false;
	}
}

static void expect_one(struct arena *a, size_t column, unsigned int found, const char *what)
{
	if (found > 1)
		trouble(a, "column %zu: %s is at %u places", column, what, found);
	if (!found && !pages_vanish(&a->plan))
		trouble(a, "column %zu: %s is lost", column, what);
}

/* A child has no zero page where nothing but such pages was in the VMA: fork() leaves them out. */
static void expect_zeroes(struct arena *a, size_t column, const struct found *f, bool settled)
{
	bool own = all_zero(&a->plan) && populated(&a->plan, column);
	unsigned int found = f->nr[ZEROES];

	if (zeroes_appear(&a->plan))
		return;
	if (found > own)
		trouble(a, "column %zu: %u pages of zeroes, not %u", column, found, own);
	if (own && !f->nr[ZEROES] && settled && !pages_vanish(&a->plan))
		trouble(a, "column %zu: the page of zeroes is lost", column);
}

/* A write that went to a page which was no longer there is missing from the sum. */
static void expect_writes(struct arena *a, size_t column, const struct found *f)
{
	bool whole = !pages_vanish(&a->plan);

	if (left_behind(&a->plan) & DOES_UNREGISTER)
		return;
	if (f->writes > a->writes[column] || (whole && f->writes < a->writes[column]))
		trouble(a, "column %zu: %llu writes arrived, not %u", column, f->writes,
			a->writes[column]);
}

/* Who saves what was written since the last time would leave out a page that hides (O14). */
static void expect_written(struct arena *a, size_t column)
{
	enum area_id area;

	if (a->plan.kind != STRESS_WRITE_TRACKED || left_behind(&a->plan) & DOES_UNREGISTER)
		return;
	for (area = AREA_DST; area < AREAS; area++)
		if (view_of(a, area, column) & SEEN &&
		    !(view_of(a, area, column) & SEEN_WRITTEN))
			trouble(a, "column %zu: its page has arrived as not written", column);
}

static void check_column(struct arena *a, size_t column, bool settled)
{
	const struct plan *p = &a->plan;
	struct found f = look_at_column(a, column);
	bool has_page = populated(p, column) && !all_zero(p);
	bool has_rival = populated(p, column) && p->rivals & BIT(RIVAL_MOVE_DST);

	if (has_page && is_marker(p, column))
		expect_one(a, column, f.nr[UNREADABLE], "its marker");
	else if (has_page)
		expect_one(a, column, f.nr[OWN_PAGE], "its page");
	if (has_rival)
		expect_one(a, column, f.nr[OTHER_PAGE], "its rival's page");
	else if (f.nr[OTHER_PAGE])
		trouble(a, "column %zu: a page that was never made", column);
	if (f.moved && must_stay(p, column))
		trouble(a, "column %zu: its page is shared or pinned, and has moved", column);
	expect_zeroes(a, column, &f, settled);
	if (f.nr[UNREADABLE] && !is_marker(p, column) && !stress_kinds[p->kind].vanishes)
		trouble(a, "column %zu: can't be read", column);
	if (!settled)
		return;
	expect_writes(a, column, &f);
	expect_written(a, column);
}

/* Pages outside of the range have stayed, and no other has come. */
static void check_outside(struct arena *a, enum area_id area, size_t index, bool settled)
{
	const struct plan *p = &a->plan;
	size_t first = area == AREA_SRC ? p->src : p->dst;
	bool here = a->views[area][index] & SEEN;
	bool has_page = area == AREA_SRC && populated(p, index);

	if (index - first < p->len || (!here && !has_page))
		return;
	if (!has_page) {
		/* Nobody moves pages there. */
		if (!zeroes_appear(p) || (area != AREA_SRC && !(left_behind(p) & DOES_UNREGISTER)))
			trouble(a, "page %zu of the %s, outside of the range, has appeared",
				index, area_names[area]);
		return;
	}
	if (!here && !pages_vanish(p) && (settled || !all_zero(p)))
		trouble(a, "column %zu, outside of the range, is lost", index);
	if (here) {
		__u64 writes;
		enum content content = read_slot(a, area, index, &writes);

		if (content != (all_zero(p) ? ZEROES : OWN_PAGE) || writes)
			trouble(a, "column %zu, outside of the range, has changed", index);
	}
}

/**
 * check_arena() - hold all pages against the model
 * @a: the arena; trouble() says what is wrong
 * @settled: nobody moves or writes any more
 *
 * A child of fork() that is stopped in the middle of a round may look too: it
 * sees one moment of it.
 */
void check_arena(struct arena *a, bool settled)
{
	const struct plan *p = &a->plan;
	enum area_id area;
	size_t i;

	memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	view_areas(a);
	for (area = 0; area < AREAS; area++)
		for (i = 0; i < p->area; i++)
			if (a->views[area][i])
				check_outside(a, area, i, settled);
	for (i = p->src; i < p->src + p->len; i++)
		if (view_of(a, AREA_SRC, i) | view_of(a, AREA_DST, i) | view_of(a, AREA_OTHER, i))
			check_column(a, i, settled);
	close(memory);
}

static bool reclaimable(const struct arena *a)
{
	const struct plan *p = &a->plan;
	unsigned int i;
	size_t pages = 0;

	for (i = 0; i < p->nr_spans; i++)
		pages += p->spans[i].count;
	return !swap_missing() && pages <= RECLAIM_MAX && !all_zero(p) &&
	       p->kind != STRESS_MLOCKED && p->kind != STRESS_KSM && p->kind != STRESS_LAZY_FREE;
}

static size_t present_from(const unsigned char *view, size_t i, size_t end)
{
	size_t first = i;

	while (i < end && (view[i] & (SEEN_PRESENT | SEEN_ZERO)) == SEEN_PRESENT)
		i++;
	return i - first;
}

/*
 * A large folio that three processes had at once may count as shared for as long as one of
 * them has it (CONFIG_MM_ID), and MADV_PAGEOUT passes over it where VMAs divide it. Who splits
 * it has to find all its entries by the reverse map as well.
 */
static int reclaim(const struct arena *a, char *addr, size_t pages)
{
	int missed = page_out(addr, pages);
	char range[64];

	if (!missed || !wants_fork(&a->plan))
		return missed;
	snprintf(range, sizeof(range), "%d,0x%lx,0x%lx", getpid(), (unsigned long)addr,
		 (unsigned long)addr + pages * PAGE);
	return write_text(SPLIT_FILE, range) ? -1 : page_out(addr, pages);
}

/**
 * check_reclaim() - let reclaim find all pages, by their reverse map
 * @a: the arena, with nobody at work in it
 *
 * A page whose index or mapping is not that of its address can't be swapped out.
 */
void check_reclaim(struct arena *a)
{
	enum area_id area;
	size_t i, run;

	if (!reclaimable(a))
		return;
	view_areas(a);
	for (area = 0; area < AREAS; area++) {
		for (i = 0; i < a->plan.area; i += run + 1) {
			run = present_from(a->views[area], i, a->plan.area);
			if (run && reclaim(a, a->area[area] + i * PAGE, run))
				trouble(a, "reclaim misses one of %zu pages from %zu of the %s",
					run, i, area_names[area]);
		}
	}
	check_arena(a, true);
}
