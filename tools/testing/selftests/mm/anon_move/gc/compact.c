// SPDX-License-Identifier: GPL-2.0
/*
 * Compaction: how each page of the heap is produced once, by a GC thread that
 * works through the heap or on behalf of the mutator that faulted on it.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "gc.h"
#include "backend.h"
#include "compact.h"
#include "heap.h"
#include "meters.h"
#include "options.h"
#include "plan.h"
#include "pool.h"

#define CHUNK		BATCH	/* pages a GC thread takes from the heap at a time */
#define SPINS		20	/* before sleeping, when somebody else is at the page */
#define LOST		2000000	/* looks at a page that stays missing */

uint8_t *page_states;
char **page_sources;
enum phase phase;
uint64_t events[EVENTS];
uint64_t produced_pages;

/* Threads that are producing a page somebody faulted on; GC threads are not among them. */
static unsigned int producers;

/* Where the next chunk begins. */
static size_t next_chunk;

static __thread struct worker *worker;

/**
 * compact_tables() - make what compaction needs
 */
void compact_tables(void)
{
	page_states = side_table(heap.pages);
	page_sources = side_table(heap.pages * sizeof(*page_sources));
}

/**
 * compact_reset() - begin a cycle; in the flip
 */
void compact_reset(void)
{
	memset(page_states, PAGE_RAW, heap.pages);
	next_chunk = 0;
}

/**
 * worker_init() - the calling thread is going to produce pages
 * @w: what it needs for that
 * @pages: how many it may have ready at once
 */
void worker_init(struct worker *w, size_t pages)
{
	w->buffer = side_table(pages * PAGE);
	w->buffer_pages = pages;
	w->batch = side_table(pages * sizeof(*w->batch));
	worker = w;
}

static bool claim(size_t page, enum page_state from, enum page_state to)
{
	uint8_t expected = from;

	return __atomic_compare_exchange_n(&page_states[page], &expected, to, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/**
 * page_is_mapped() - a page has been published, by whomever
 * @page: it
 */
void page_is_mapped(size_t page)
{
	heap.populated[page] = 1;
	if (__atomic_exchange_n(&page_states[page], PAGE_MAPPED, __ATOMIC_ACQ_REL) != PAGE_MAPPED)
		add(&produced_pages, 1);
}

static void relax(unsigned int tries)
{
	if (tries < SPINS)
		sched_yield();
	else
		usleep(50);
	if (tries > LOST)
		fail("a page is never produced");
}

/* Nothing is in it, so what it is made of does not matter. */
static void publish_fresh(size_t page)
{
	size_t used = backend->recycles ? pool_take() : NO_PAGE;

	if (used != NO_PAGE) {
		backend->publish(page, backend->from(used), 1);
		return;
	}
	if (backend->recycles)
		add(&events[EV_POOL_EMPTY], 1);
	backend->fresh(page);
}

static bool publish_ready(size_t page)
{
	if (backend->exclusive && !claim(page, PAGE_READY, PAGE_MAPPING))
		return false;
	backend->publish(page, page_sources[page], 1);
	return true;
}

static bool produce_raw(struct worker *w, size_t page)
{
	if (!claim(page, PAGE_RAW, PAGE_CLAIMED))
		return false;
	if (plan.how[page] == HOW_FRESH) {
		publish_fresh(page);
		return true;
	}
	w->used = 0;
	prepare(w, page);
	return publish_ready(page);
}

/* Pages side by side, from pages side by side: one call. */
static size_t run_length(const uint32_t *pages, size_t nr)
{
	size_t n = 1;

	while (n < nr && pages[n] == pages[0] + n &&
	       page_sources[pages[n]] == page_sources[pages[0]] + n * PAGE)
		n++;
	return n;
}

static void publish_runs(const struct worker *w)
{
	size_t i, n;

	for (i = 0; i < w->nr_batch; i += n) {
		if (backend->exclusive) {
			publish_ready(w->batch[i]);
			n = 1;
			continue;
		}
		n = run_length(w->batch + i, w->nr_batch - i);
		backend->publish(w->batch[i], page_sources[w->batch[i]], n);
		add(&events[EV_BATCHES], 1);
	}
}

static void publish_batch(struct worker *w)
{
	if (backend->publish_many)
		backend->publish_many(w->batch, w->nr_batch);
	else
		publish_runs(w);
	w->nr_batch = 0;
	w->used = 0;
}

/* Returns whether the page has been claimed here, and is ready and in the batch now. */
static bool prepare_raw(struct worker *w, size_t page)
{
	if (plan.how[page] == HOW_FRESH || !claim(page, PAGE_RAW, PAGE_CLAIMED))
		return false;
	prepare(w, page);
	w->batch[w->nr_batch++] = page;
	return true;
}

static void add_ready(struct worker *w, size_t page)
{
	size_t i;

	if (load(&page_states[page]) != PAGE_READY)
		return;
	for (i = 0; i < w->nr_batch; i++)
		if (w->batch[i] == page)
			return;
	w->batch[w->nr_batch++] = page;
}

/* Where many pages cost one call and one flush, a fault brings those around it along. */
static void prepare_around(struct worker *w, size_t page)
{
	const size_t end = page - page % backend->around + backend->around;

	for (page = end - backend->around; page < end; page++)
		if (plan.how[page] != HOW_FRESH && !prepare_raw(w, page))
			add_ready(w, page);
}

static bool produce_around(struct worker *w, size_t page)
{
	prepare_around(w, page);
	publish_batch(w);
	return load(&page_states[page]) == PAGE_MAPPED;
}

/*
 * Counted before looking, so that compact_end() waits for whoever has seen the old
 * phase: a page that is ready can be published by another thread, and the cycle
 * come to its end, while the one that prepared it still is about to publish it.
 */
static bool produce_begin(void)
{
	__atomic_add_fetch(&producers, 1, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&phase, __ATOMIC_SEQ_CST) == PHASE_COMPACT;
}

static void produce_end(void)
{
	__atomic_sub_fetch(&producers, 1, __ATOMIC_SEQ_CST);
}

/* Returns true if it was published here. Later than compaction, fresh pages have to wait. */
static bool produce(size_t page)
{
	bool published = false;
	uint8_t state;

	if (produce_begin()) {
		state = load(&page_states[page]);
		if (backend->around && plan.how[page] != HOW_FRESH &&
		    (state == PAGE_RAW || state == PAGE_READY))
			published = produce_around(worker, page);
		else if (state == PAGE_RAW)
			published = produce_raw(worker, page);
		else if (state == PAGE_READY)
			published = publish_ready(page);
	}
	produce_end();
	return published;
}

/**
 * resolve_fault() - see to it that a page of the heap is there
 * @addr: an address in it
 *
 * Return: true if this call has published it.
 */
bool resolve_fault(uint64_t addr)
{
	size_t page = page_of(addr);
	unsigned int tries;

	add(&events[EV_FAULTS], 1);
	for (tries = 0; load(&phase) != PHASE_IDLE; tries++) {
		if (load(&page_states[page]) == PAGE_MAPPED)
			return false;
		if (produce(page))
			return true;
		relax(tries);
	}
	add(&events[EV_LATE], 1);
	return false;
}

/**
 * prepare_faults() - see to it that several pages are there, with few calls
 * @addrs: an address in each
 * @nr: how many, at most as many as the worker's batch has room for
 */
void prepare_faults(const uint64_t *addrs, size_t nr)
{
	bool compacting = produce_begin();
	size_t i;

	for (i = 0; compacting && i < nr; i++)
		if (backend->around)
			prepare_around(worker, page_of(addrs[i]));
		else
			prepare_raw(worker, page_of(addrs[i]));
	publish_batch(worker);
	produce_end();
}

static void compact_chunk(struct worker *w, size_t page)
{
	size_t end = page + CHUNK < heap.pages ? page + CHUNK : heap.pages;
	uint64_t ns = thread_ns(), prepared;

	for (; page < end; page++)
		prepare_raw(w, page);
	prepared = thread_ns();
	publish_batch(w);
	meters_work(WORK_PREPARE, prepared - ns);
	meters_work(WORK_PUBLISH, thread_ns() - prepared);
}

/**
 * compact_all() - a GC thread's part: work through the heap
 */
void compact_all(void)
{
	size_t chunks = (heap.pages + CHUNK - 1) / CHUNK, n;

	while ((n = add(&next_chunk, 1)) < chunks)
		compact_chunk(worker, (plan.upwards ? chunks - 1 - n : n) * CHUNK);
}

static void wait_until(size_t page, enum page_state state)
{
	unsigned int tries;

	for (tries = 0; load(&page_states[page]) < state; tries++)
		relax(tries);
}

/* Ready, but where the kernel would not let it be published. */
static void publish_late(size_t page)
{
	if (load(&page_states[page]) != PAGE_READY)
		return;
	publish_ready(page);
	if (load(&page_states[page]) == PAGE_READY && backend->open_all)
		backend->open_all();
}

/**
 * compact_rest() - wait for what others are at; after all GC threads have done their part
 */
void compact_rest(void)
{
	size_t page;

	for (page = 0; page < heap.pages; page++)
		if (plan.how[page] != HOW_FRESH)
			wait_until(page, PAGE_READY);
	for (page = 0; page < heap.pages; page++) {
		if (plan.how[page] == HOW_FRESH)
			continue;
		publish_late(page);
		wait_until(page, PAGE_MAPPED);
	}
}

/**
 * fill_reserve() - put used pages aside for the beginning of the next cycle
 */
void fill_reserve(void)
{
	size_t page = heap.pages - RESERVE_REGIONS * REGION_PAGES, used;

	if (!backend->recycles)
		return;
	for (; page < heap.pages; page++) {
		used = pool_take();
		if (used == NO_PAGE)
			break;
		page_sources[page] = backend->from(used);
		store(&page_states[page], PAGE_READY);
		worker->batch[worker->nr_batch++] = page;
	}
	publish_batch(worker);
}

/**
 * compact_end() - from here on nobody takes anything from where the old pages are
 */
void compact_end(void)
{
	__atomic_store_n(&phase, PHASE_DROP, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&producers, __ATOMIC_SEQ_CST))
		sched_yield();
}
