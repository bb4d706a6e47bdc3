// SPDX-License-Identifier: GPL-2.0
/*
 * Marking: fills the live bitmap while mutators run, from a snapshot of the roots
 * and from the references that they overwrite meanwhile.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "gc.h"
#include "heap.h"
#include "mark.h"
#include "mutator.h"
#include "options.h"
#include "shadow.h"

bool marking;

static uint32_t *stack;
static size_t depth;

/* What the barrier has logged and nobody has marked yet. */
static struct {
	pthread_mutex_t lock;
	uint64_t *refs;
	size_t nr;
	size_t most;
} logged = { .lock = PTHREAD_MUTEX_INITIALIZER };

/**
 * mark_tables() - make what marking needs
 */
void mark_tables(void)
{
	stack = side_table(nr_ids * sizeof(*stack));
	logged.most = 64 * LOGGED_MAX;
	logged.refs = side_table(logged.most * sizeof(*logged.refs));
}

static void mark_leaf(size_t page)
{
	memset(heap.live + page * PAGE_WORDS, 0xff,
	       heap.leaf_pages[page] * PAGE_WORDS * sizeof(*heap.live));
}

static void mark_grains(size_t first, size_t nr)
{
	for (; nr && first % WORD_BITS; first++, nr--)
		set_bit(heap.live, first);
	for (; nr >= WORD_BITS; first += WORD_BITS, nr -= WORD_BITS)
		heap.live[first / WORD_BITS] = ~0ULL;
	for (; nr; first++, nr--)
		set_bit(heap.live, first);
}

/* Leaves are not looked at: they may be swapped out. */
static void mark(uint64_t ref)
{
	const struct object *o = (const struct object *)ref;
	const struct region *r;

	if (!ref)
		return;
	r = region_of(ref);
	if (r->plan == PLAN_BLACK || test_bit(heap.live, grain_of(ref)))
		return;
	if (r->kind == REGION_NOSCAN) {
		mark_leaf(page_of(ref));
		return;
	}
	mark_grains(grain_of(ref), o->grains);
	if (o->nr_refs)
		stack[depth++] = grain_of(ref);
}

static void mark_stacked(void)
{
	const struct object *o;
	unsigned int i;

	while (depth) {
		o = (const struct object *)(heap.base + stack[--depth] * GRAIN);
		/* With the reference comes the state of its region. */
		for (i = 0; i < o->nr_refs; i++)
			mark(load(&o->refs[i]));
	}
}

/* Returns whether there was anything. */
static bool mark_logged(void)
{
	size_t i, nr;

	pthread_mutex_lock(&logged.lock);
	nr = logged.nr;
	for (i = 0; i < nr; i++)
		mark(logged.refs[i]);
	logged.nr = 0;
	pthread_mutex_unlock(&logged.lock);
	return nr;
}

/**
 * flush_logged() - hand what a mutator has logged to the collector
 * @m: the mutator, which is the caller or stands still
 */
void flush_logged(struct mutator *m)
{
	pthread_mutex_lock(&logged.lock);
	while (logged.nr + m->nr_logged > logged.most) {
		pthread_mutex_unlock(&logged.lock);
		sched_yield();
		pthread_mutex_lock(&logged.lock);
	}
	memcpy(logged.refs + logged.nr, m->logged, m->nr_logged * sizeof(*m->logged));
	logged.nr += m->nr_logged;
	m->nr_logged = 0;
	pthread_mutex_unlock(&logged.lock);
}

/**
 * log_overwritten() - the write barrier: a reference of the snapshot goes away
 * @m: the mutator that overwrites it
 * @ref: the reference
 *
 * Marking would otherwise not see it where it was, nor where it has been put.
 */
void log_overwritten(struct mutator *m, uint64_t ref)
{
	if (!ref)
		return;
	if (m->nr_logged == LOGGED_MAX)
		flush_logged(m);
	m->logged[m->nr_logged++] = ref;
}

/**
 * mark_roots() - begin to mark; in a pause
 */
void mark_roots(void)
{
	size_t i;

	for (i = 0; i < ROOTS; i++)
		mark(heap.roots[i]);
	store_relaxed(&marking, true);
}

/**
 * mark_concurrently() - mark until nothing is left to mark, at a moment
 */
void mark_concurrently(void)
{
	do
		mark_stacked();
	while (mark_logged());
}

/**
 * mark_rest() - end marking; in a pause
 */
void mark_rest(void)
{
	unsigned int i;

	for (i = 0; i < options.mutators; i++) {
		flush_logged(&mutators[i]);
		mark_concurrently();
	}
	store_relaxed(&marking, false);
}
