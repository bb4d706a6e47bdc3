// SPDX-License-Identifier: GPL-2.0
/*
 * Preparation: how a page of the heap is filled, and its references rewritten, before
 * anybody can see it.
 */
#define _GNU_SOURCE
#include <string.h>

#include "gc.h"
#include "backend.h"
#include "compact.h"
#include "heap.h"
#include "plan.h"
#include "pool.h"

/* This was the last that somebody wanted of it. */
static void used_up(size_t page)
{
	if (__atomic_sub_fetch(&plan.pending[page], 1, __ATOMIC_ACQ_REL) == 0)
		pool_put(page);
}

#define REGION_GRAINS	(REGION_PAGES * PAGE_GRAINS)

/* Where objects come from after those of the region that ends before @end. */
static size_t next_region(size_t end)
{
	return heap.regions[end / REGION_GRAINS - 1].next * REGION_GRAINS;
}

/* The first live grain after @last, in the order in which objects slide. */
static size_t next_live(size_t last)
{
	size_t grain = last + 1;
	uint64_t word;

	for (;;) {
		if (grain % REGION_GRAINS == 0)
			grain = next_region(grain);
		word = heap.live[grain / WORD_BITS] >> grain % WORD_BITS;
		if (word)
			return grain + __builtin_ctzll(word);
		grain = (grain / WORD_BITS + 1) * WORD_BITS;
	}
}

/* Live grains from @grain on, at most to the end of the page. */
static size_t live_run(size_t grain)
{
	size_t left = PAGE_GRAINS - grain % PAGE_GRAINS, run = 0;
	uint64_t dead;

	while (run < left) {
		dead = ~heap.live[grain / WORD_BITS] >> grain % WORD_BITS;
		if (dead)
			return run + __builtin_ctzll(dead) < left ?
			       run + __builtin_ctzll(dead) : left;
		run += WORD_BITS - grain % WORD_BITS;
		grain += WORD_BITS - grain % WORD_BITS;
	}
	return left;
}

/* The address inside a page where the collector finds a grain. */
static char *grain_source(size_t grain)
{
	return backend->from(grain / PAGE_GRAINS) + grain % PAGE_GRAINS * GRAIN;
}

static void slide_into(char *buffer, size_t page)
{
	size_t grain = plan.first[page], left = plan.fill[page], next, n;

	for (; left; grain = next) {
		n = live_run(grain);
		if (n > left)
			n = left;
		memcpy(buffer, grain_source(grain), n * GRAIN);
		buffer += n * GRAIN;
		left -= n;
		next = left ? next_live(grain + n - 1) : grain;
		if (!left || next / PAGE_GRAINS != grain / PAGE_GRAINS)
			used_up(grain / PAGE_GRAINS);
	}
}

static void update_slots(uint64_t *slots, size_t nr)
{
	uint64_t ref, new;

	for (; nr; slots++, nr--) {
		ref = *slots;
		if (!ref)
			continue;
		new = new_address(ref);
		/* A page that needs no change stays clean, and shared if it was. */
		if (new != ref)
			*slots = new;
	}
}

/* Headers tell how many references there are, but for the object that began before. */
static void update_references(char *buffer, size_t page)
{
	const uint64_t *starts = heap.start + page * PAGE_WORDS;
	size_t i, at, slots, most = heap.lead_refs[page];
	struct object *o;
	uint64_t word;

	update_slots((uint64_t *)buffer, most < PAGE / sizeof(uint64_t) ?
		     most : PAGE / sizeof(uint64_t));
	for (i = 0; i < PAGE_WORDS; i++) {
		for (word = starts[i]; word; word &= word - 1) {
			at = (i * WORD_BITS + __builtin_ctzll(word)) * GRAIN;
			o = (struct object *)(buffer + at);
			most = (PAGE - at - sizeof(*o)) / sizeof(uint64_t);
			slots = o->nr_refs;
			update_slots(o->refs, slots < most ? slots : most);
		}
	}
}

/* Leaves where a file is behind the heap: their pages can't change places. */
static char *bring_whole(struct worker *w, size_t page)
{
	char *from = backend->from(plan.first[page]), *to;

	if (!backend->fixed)
		return from;
	to = backend->stage(w, page);
	if (to != from)
		memcpy(to, from, PAGE);
	return to;
}

/**
 * prepare() - make a page ready
 * @w: the calling worker
 * @page: it, claimed; others may publish it as well from here on
 */
void prepare(struct worker *w, size_t page)
{
	char *source;

	if (plan.how[page] == HOW_WHOLE) {
		source = bring_whole(w, page);
	} else if (plan.how[page] == HOW_DENSE) {
		source = backend->from(page);
		update_references(source, page);
	} else {
		source = backend->stage(w, page);
		slide_into(source, page);
		update_references(source, page);
	}
	page_sources[page] = source;
	store(&page_states[page], PAGE_READY);
}
