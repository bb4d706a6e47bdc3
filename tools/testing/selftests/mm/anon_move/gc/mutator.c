// SPDX-License-Identifier: GPL-2.0
/*
 * Mutators: the threads of the application, which read, write and allocate while
 * the collector runs, and check all that they read.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <string.h>

#include "gc.h"
#include "compact.h"
#include "graph.h"
#include "heap.h"
#include "meters.h"
#include "mutator.h"
#include "options.h"
#include "safepoint.h"
#include "shadow.h"

#define STALLS_MAX	(256 * 1024U)

struct mutator mutators[MUTATORS_MAX];

static bool end;

/* Touching a page that is not there yet is what a stall is. */
static void touch_missing(struct mutator *m, uint64_t addr)
{
	uint64_t ns = clock_ns(), cpu = thread_ns();

	load_relaxed((const char *)addr);
	m->stalled_cpu += thread_ns() - cpu;
	ns = clock_ns() - ns;
	if (m->nr_stalls < STALLS_MAX)
		m->stalls[m->nr_stalls++] = ns < UINT32_MAX ? ns : UINT32_MAX;
}

static inline void touch_page(struct mutator *m, uint64_t addr)
{
	if (load_relaxed(&phase) != PHASE_IDLE &&
	    load_relaxed(&page_states[page_of(addr)]) != PAGE_MAPPED)
		touch_missing(m, addr);
}

/**
 * touch_range() - meet the faults of some memory here, where they are timed
 * @m: the calling mutator
 * @addr: first byte
 * @bytes: how many
 */
void touch_range(struct mutator *m, uint64_t addr, size_t bytes)
{
	uint64_t last = addr + bytes - 1;

	for (; addr <= last; addr = (addr + PAGE) & -PAGE)
		touch_page(m, addr);
}

static bool plausible(uint64_t ref)
{
	return ref >= (uintptr_t)heap.base && ref < (uintptr_t)heap.base + heap.pages * PAGE;
}

static struct object *visit(struct mutator *m, uint64_t ref)
{
	struct object *o = (struct object *)ref;

	if (!plausible(ref))
		fail("mutator %u: a reference is %#lx, which is not in the heap", m->nr, ref);
	touch_page(m, ref);
	touch_range(m, ref, o->grains * GRAIN);
	return o;
}

static const char *verify(const struct object *o)
{
	uint32_t version = load(&o->version);

	/* Its owner is at it; what is read now says nothing. */
	if (version & 1 || !object_differs(o, version))
		return NULL;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (load_relaxed(&o->version) != version)
		return NULL;
	return "has wrong bytes";
}

static void check_object(struct mutator *m, const struct object *o, uint32_t id)
{
	const char *trouble = verify(o);

	if (!trouble && id && o->id != id)
		trouble = "is not the one that was stored there";
	if (trouble)
		fail("mutator %u: object %u at %p (page %zu, of %u grains, %u references) %s",
		     m->nr, o->id, (void *)o, page_of((uintptr_t)o), o->grains, o->nr_refs,
		     trouble);
}

/**
 * visit_node() - go from a root to one of its nodes
 * @m: the calling mutator
 * @root: number of the root
 * @node: number of the node below it
 *
 * Return: the node.
 */
struct object *visit_node(struct mutator *m, size_t root, unsigned int node)
{
	struct object *o = visit(m, load(&heap.roots[root]));

	check_object(m, o, shadow_roots[root]);
	o = visit(m, load(&o->refs[node]));
	check_object(m, o, shadow_roots[root] + 1 + node);
	return o;
}

/* Reads an object to the byte, and one that it refers to. */
static void read_object(struct mutator *m, uint64_t ref, uint32_t id)
{
	struct object *o = visit(m, ref), *friend;
	unsigned int index;
	uint64_t next;

	check_object(m, o, id);
	if (id && o->version != *shadow_version(id))
		fail("mutator %u: object %u has version %u, not %u", m->nr, id, o->version,
		     *shadow_version(id));
	if (!o->nr_refs)
		return;
	index = draw(&m->random) % o->nr_refs;
	next = load(&o->refs[index]);
	if (!next)
		return;
	friend = visit(m, next);
	check_object(m, friend, id ? shadow_refs(id)[index] : 0);
}

static void rewrite_object(struct mutator *m, uint64_t ref)
{
	struct object *o = visit(m, ref);

	*shadow_version(o->id) += 2;
	fill_object(o, *shadow_version(o->id));
}

static void relink_object(struct mutator *m, uint64_t ref)
{
	struct object *o = visit(m, ref);

	if (o->nr_refs)
		relink(m, o, draw(&m->random) % o->nr_refs);
}

/* Most objects die young: only some of them get the slot. */
static void replace_object(struct mutator *m, struct object *holder, unsigned int index)
{
	struct object *o = new_object(m);

	if (o && draw(&m->random) % 100 < options.share.live[0])
		set_ref(m, holder, index, (uintptr_t)o, o->id);
}

static void replace_leaf(struct mutator *m, struct object *holder, unsigned int index)
{
	struct object *o = new_leaf(m);

	if (o)
		set_ref(m, holder, index, (uintptr_t)o, o->id);
}

/* Leaves are left in peace, where they may be swapped out, unless they are to be warm. */
static void step_on_leaf(struct mutator *m, struct object *holder, unsigned int index, bool own)
{
	unsigned int what = draw(&m->random) % 64;

	if (own && what == 0)
		replace_leaf(m, holder, index);
	else if (options.warm && what < 16)
		check_object(m, visit(m, load(&holder->refs[index])), 0);
}

static void step(struct mutator *m)
{
	size_t slot = draw(&m->random) % graph.used;
	unsigned int index, node = slot_place(slot, &index), what = draw(&m->random) % 100;
	struct object *holder = visit_node(m, slot % ROOTS, node);
	bool own = slot_owner(slot) == m;
	uint64_t ref = load(&holder->refs[index]);

	if (!plausible(ref))
		fail("mutator %u: slot %zu has %#lx, which is not in the heap", m->nr, slot, ref);
	if (region_of(ref)->kind == REGION_NOSCAN)
		step_on_leaf(m, holder, index, own);
	else if (!own)
		read_object(m, ref, 0);
	else if (what < 40)
		read_object(m, ref, shadow_refs(holder->id)[index]);
	else if (what < 60)
		rewrite_object(m, ref);
	else if (what < 70)
		relink_object(m, ref);
	else
		replace_object(m, holder, index);
	m->steps++;
}

static void *mutate(void *arg)
{
	struct mutator *m = arg;
	struct worker w;

	worker_init(&w, AROUND_MAX);
	safepoint_join();
	while (!load_relaxed(&end)) {
		step(m);
		safepoint_poll();
	}
	safepoint_leave();
	return NULL;
}

/**
 * mutators_init() - what each mutator has before there are threads
 */
void mutators_init(void)
{
	size_t share = (nr_ids - NODE_IDS - 1) / options.mutators, i;
	struct mutator *m;
	unsigned int nr;

	for (nr = 0; nr < options.mutators; nr++) {
		m = &mutators[nr];
		m->nr = nr;
		m->random = options.seed * 1000003 + nr;
		m->logged = side_table(LOGGED_MAX * sizeof(*m->logged));
		m->stalls = side_table(STALLS_MAX * sizeof(*m->stalls));
		m->ids = side_table(share * sizeof(*m->ids));
		m->nr_ids = share;
		/* Low ones are given first. */
		for (i = 0; i < share; i++)
			m->ids[i] = NODE_IDS + 1 + nr * share + (share - 1 - i);
	}
}

/**
 * mutators_start() - let them run
 */
void mutators_start(void)
{
	unsigned int i;

	for (i = 0; i < options.mutators; i++)
		if (pthread_create(&mutators[i].thread, NULL, mutate, &mutators[i]))
			cannot("can't create a mutator");
}

/**
 * mutators_end() - let them come to an end
 */
void mutators_end(void)
{
	unsigned int i;

	store_relaxed(&end, true);
	for (i = 0; i < options.mutators; i++)
		pthread_join(mutators[i].thread, NULL);
}
