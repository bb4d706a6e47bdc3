// SPDX-License-Identifier: GPL-2.0
/*
 * The plan of a cycle: what happens to each region, the new address of each
 * object, and what each page to come is made of. Made from the live bitmap while
 * mutators run; they allocate in other regions meanwhile.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <string.h>

#include "gc.h"
#include "heap.h"
#include "plan.h"
#include "pool.h"

#define DENSE_PERCENT	70	/* live bytes from which on a region stays as it is */
#define NEEDED		255	/* in pending[]: never goes to the pool */

struct plan plan;

/* Regions whose objects slide, in their order; the first of them are slid into. */
static size_t *order;
static size_t nr_order;

/* How far sliding has come. */
static struct {
	size_t into;		/* of order[] */
	uint64_t at;
	uint64_t end;
	size_t last_from;	/* pages of the last piece */
	size_t last_to;
} slide;

/**
 * plan_tables() - make what the plan is written to
 */
void plan_tables(void)
{
	plan.moved_to = side_table(heap.pages * sizeof(*plan.moved_to));
	plan.pending = side_table(heap.pages);
	plan.how = side_table(heap.pages);
	plan.first = side_table(heap.pages * sizeof(*plan.first));
	plan.fill = side_table(heap.pages * sizeof(*plan.fill));
	order = side_table(heap.nr_regions * sizeof(*order));
}

static void clear_plan(bool upwards)
{
	plan.upwards = upwards;
	memset(plan.moved_to, 0, heap.pages * sizeof(*plan.moved_to));
	memset(plan.pending, 0, heap.pages);
	memset(plan.how, HOW_FRESH, heap.pages);
	memset(plan.fill, 0, heap.pages * sizeof(*plan.fill));
	memset(heap.next_start, 0, heap.pages * PAGE_GRAINS / 8);
	memset(heap.next_leaf_pages, 0, heap.pages);
}

static bool any_live(size_t page)
{
	const uint64_t *live = heap.live + page * PAGE_WORDS;

	return live[0] | live[1] | live[2] | live[3];
}

static size_t live_grains(const struct region *r)
{
	size_t word = (r - heap.regions) * REGION_PAGES * PAGE_WORDS;
	size_t end = word + REGION_PAGES * PAGE_WORDS, nr = 0;

	for (; word < end; word++)
		nr += __builtin_popcountll(heap.live[word]);
	return nr;
}

static enum region_plan choose(const struct region *r)
{
	if (r->plan == PLAN_BLACK)
		return PLAN_BLACK;
	if (r->kind == REGION_NOSCAN)
		return PLAN_WHOLE;
	if (r->kind != REGION_OBJECTS)
		return PLAN_NONE;
	if (live_grains(r) * GRAIN * 100 >= REGION * DENSE_PERCENT)
		return PLAN_DENSE;
	return PLAN_SLIDE;
}

/* In the order in which objects slide, to either end of the heap. */
static void choose_all(void)
{
	struct region *r;
	size_t i;

	for (i = 0; i < heap.nr_regions; i++) {
		r = &heap.regions[plan.upwards ? heap.nr_regions - 1 - i : i];
		/* Somebody may just be taking it, and it is black then. */
		pthread_mutex_lock(&heap.lock);
		r->plan = choose(r);
		pthread_mutex_unlock(&heap.lock);
	}
}

static void order_regions(enum region_plan which)
{
	size_t i, n;

	nr_order = 0;
	for (i = 0; i < heap.nr_regions; i++) {
		n = plan.upwards ? heap.nr_regions - 1 - i : i;
		if (heap.regions[n].plan != which)
			continue;
		if (nr_order)
			heap.regions[order[nr_order - 1]].next = n;
		heap.regions[n].next = NO_REGION;
		heap.regions[n].new_top = 0;
		order[nr_order++] = n;
	}
	slide.into = 0;
	slide.at = nr_order ? (uintptr_t)heap.base + order[0] * REGION : 0;
	slide.end = slide.at + REGION;
	slide.last_from = NO_PAGE;
	slide.last_to = NO_PAGE;
}

/* There always is one: what is left empty is less than what was dead. */
static void next_target(void)
{
	if (++slide.into >= nr_order)
		fail("cycle's plan: no region left to slide into");
	slide.at = (uintptr_t)heap.base + order[slide.into] * REGION;
	slide.end = slide.at + REGION;
}

static void took_to(uint64_t at)
{
	slide.at = at;
	heap.regions[order[slide.into]].new_top = REGION - (slide.end - at);
}

static void plan_dense_page(size_t page)
{
	size_t word = page * PAGE_WORDS, i;

	plan.pending[page] = NEEDED;
	if (!any_live(page)) {
		/* It would else be read as the head of whatever is allocated here later. */
		heap.lead_refs[page] = 0;
		plan.pending[page] = 0;
		return;
	}
	for (i = word; i < word + PAGE_WORDS; i++)
		heap.next_start[i] = heap.start[i] & heap.live[i];
	if (!test_bit(heap.live, page * PAGE_GRAINS))
		heap.lead_refs[page] = 0;
	plan.how[page] = HOW_DENSE;
}

/* The grains from @at on, at most to @end, that are live and of an object that began before. */
static size_t continued(size_t at, size_t end)
{
	size_t first = at;
	uint64_t stop;

	for (; at < end; at = (at / WORD_BITS + 1) * WORD_BITS) {
		stop = (~heap.live[at / WORD_BITS] | heap.start[at / WORD_BITS]) >> at % WORD_BITS;
		if (stop) {
			at += __builtin_ctzll(stop);
			break;
		}
	}
	return (at < end ? at : end) - first;
}

/* The size of a live object; none goes on in the next region. */
static size_t object_grains(size_t grain)
{
	const size_t in_region = REGION_PAGES * PAGE_GRAINS;

	return 1 + continued(grain + 1, (grain / in_region + 1) * in_region);
}

/* Pieces come in order on both sides, so that a pair of pages comes up once. */
static void plan_piece(size_t from, size_t to, size_t grains)
{
	size_t from_page = from / PAGE_GRAINS, to_page = to / PAGE_GRAINS;

	if (to_page != slide.last_to) {
		plan.how[to_page] = HOW_SLID;
		plan.first[to_page] = from;
	}
	if (to_page != slide.last_to || from_page != slide.last_from)
		plan.pending[from_page]++;
	plan.fill[to_page] += grains;
	slide.last_from = from_page;
	slide.last_to = to_page;
}

static void plan_object(size_t from, size_t grains, uint64_t to_addr)
{
	const struct object *o = (const struct object *)(heap.base + from * GRAIN);
	size_t to = grain_of(to_addr), n;

	/* Its header is read only where a page of it will have to do without. */
	if (to / PAGE_GRAINS == (to + grains - 1) / PAGE_GRAINS && to % PAGE_GRAINS)
		set_bit(heap.next_start, to);
	else
		note_object(to_addr, grains, o->nr_refs, heap.next_start);
	for (; grains; grains -= n, from += n, to += n) {
		n = PAGE_GRAINS - from % PAGE_GRAINS;
		if (n > PAGE_GRAINS - to % PAGE_GRAINS)
			n = PAGE_GRAINS - to % PAGE_GRAINS;
		if (n > grains)
			n = grains;
		plan_piece(from, to, n);
	}
}

/* Calls @each for the live objects that begin in a page; returns the grains of them all. */
static size_t walk_page(size_t page, uint64_t to, void (*each)(size_t, size_t, uint64_t))
{
	size_t word = page * PAGE_WORDS, i, grain, n, all = 0;
	uint64_t starts;

	for (i = word; i < word + PAGE_WORDS; i++) {
		for (starts = heap.start[i] & heap.live[i]; starts; starts &= starts - 1) {
			grain = i * WORD_BITS + __builtin_ctzll(starts);
			n = object_grains(grain);
			if (each)
				each(grain, n, to + all * GRAIN);
			all += n;
		}
	}
	return all;
}

/* What begins in one page stays together, so that one number tells where all of it goes. */
static void plan_slid_page(size_t page)
{
	size_t first = page * PAGE_GRAINS, grains = walk_page(page, 0, NULL);

	if (!grains)
		return;
	if (slide.at + grains * GRAIN > slide.end)
		next_target();
	plan.moved_to[page] = slide.at - continued(first, first + PAGE_GRAINS) * GRAIN;
	walk_page(page, slide.at, plan_object);
	took_to(slide.at + grains * GRAIN);
}

static void plan_leaf(size_t page)
{
	size_t nr = heap.leaf_pages[page], to, i;

	if (slide.at + nr * PAGE > slide.end)
		next_target();
	to = page_of(slide.at);
	plan.moved_to[page] = slide.at;
	set_bit(heap.next_start, to * PAGE_GRAINS);
	heap.next_leaf_pages[to] = nr;
	for (i = 0; i < nr; i++) {
		plan.how[to + i] = HOW_WHOLE;
		plan.first[to + i] = page + i;
	}
	took_to(slide.at + nr * PAGE);
}

static void plan_noscan_page(size_t page)
{
	plan.pending[page] = NEEDED;
	if (heap.leaf_pages[page] && test_bit(heap.live, page * PAGE_GRAINS))
		plan_leaf(page);
}

static void plan_in_order(enum region_plan which, void (*each)(size_t page))
{
	size_t i, page, end;

	order_regions(which);
	for (i = 0; i < nr_order; i++) {
		page = order[i] * REGION_PAGES;
		for (end = page + REGION_PAGES; page < end; page++)
			each(page);
	}
}

/* What no page to come needs can be filled from the beginning. */
static void plan_pool(void)
{
	size_t page;

	for (page = 0; page < heap.pages; page++) {
		const struct region *r = &heap.regions[page / REGION_PAGES];

		if (heap.populated[page] && !plan.pending[page] &&
		    (r->plan == PLAN_SLIDE || r->plan == PLAN_DENSE || r->kind == REGION_RESERVE))
			pool_put(page);
	}
}

/**
 * make_plan() - decide about all that is marked
 * @upwards: to which end of the heap objects slide
 */
void make_plan(bool upwards)
{
	clear_plan(upwards);
	choose_all();
	plan_in_order(PLAN_SLIDE, plan_slid_page);
	plan_in_order(PLAN_WHOLE, plan_noscan_page);
	for (size_t page = 0; page < heap.pages; page++)
		if (heap.regions[page / REGION_PAGES].plan == PLAN_DENSE)
			plan_dense_page(page);
	pool_empty();
	plan_pool();
}

/**
 * plan_black() - what was allocated since the first pause stays; in the flip
 */
void plan_black(void)
{
	size_t page, used;
	struct region *r;

	for (r = heap.regions; r < heap.regions + heap.nr_regions; r++) {
		if (r->plan != PLAN_BLACK)
			continue;
		page = (r - heap.regions) * REGION_PAGES;
		used = (r->top + PAGE - 1) / PAGE;
		memset(plan.pending + page, NEEDED, REGION_PAGES);
		memset(plan.how + page, r->kind == REGION_NOSCAN ? HOW_WHOLE : HOW_DENSE, used);
		for (size_t i = page; i < page + used; i++)
			plan.first[i] = i;
		memcpy(heap.next_start + page * PAGE_WORDS, heap.start + page * PAGE_WORDS,
		       REGION_PAGES * PAGE_WORDS * sizeof(*heap.start));
		memcpy(heap.next_leaf_pages + page, heap.leaf_pages + page, REGION_PAGES);
	}
}

static void swap_tables(void)
{
	uint64_t *start = heap.start;
	uint8_t *leaf_pages = heap.leaf_pages, *populated = heap.populated;

	heap.start = heap.next_start;
	heap.next_start = start;
	heap.leaf_pages = heap.next_leaf_pages;
	heap.next_leaf_pages = leaf_pages;
	heap.populated = heap.was_populated;
	heap.was_populated = populated;
	memset(heap.populated, 0, heap.pages);
}

/**
 * plan_takes_effect() - regions and tables are what they will be after the cycle; in the flip
 */
void plan_takes_effect(void)
{
	struct region *r;

	for (r = heap.regions; r < heap.regions + heap.nr_regions; r++) {
		if (r->plan == PLAN_SLIDE || r->plan == PLAN_WHOLE) {
			r->top = r->new_top;
			if (!r->top)
				r->kind = REGION_FREE;
		}
		r->plan = PLAN_NONE;
	}
	swap_tables();
}

/**
 * new_address() - where an object will be
 * @ref: where it was, not 0
 *
 * Return: its address after the flip.
 */
uint64_t new_address(uint64_t ref)
{
	size_t page = page_of(ref), grain = grain_of(ref) % PAGE_GRAINS, n = 0, i;
	const uint64_t *live = heap.live + page * PAGE_WORDS;

	if (!plan.moved_to[page])
		return ref;
	for (i = 0; i < grain / WORD_BITS; i++)
		n += __builtin_popcountll(live[i]);
	if (grain % WORD_BITS)
		n += __builtin_popcountll(live[i] << (WORD_BITS - grain % WORD_BITS));
	return plan.moved_to[page] + n * GRAIN;
}
