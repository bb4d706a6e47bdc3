// SPDX-License-Identifier: GPL-2.0
/*
 * The shadow: what the heap should be, by ids instead of addresses, and the
 * comparison of both to the byte. It knows nothing of pages, plans or cycles.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gc.h"
#include "heap.h"
#include "mutator.h"
#include "options.h"
#include "shadow.h"

uint32_t shadow_roots[ROOTS];
uint32_t nr_ids;

/* Of nodes by their number below their root, of all others by their id. */
static uint32_t (*node_refs)[NODE_REFS];
static uint32_t *node_versions;
static struct shadow *shadows;

/* What the comparison has found: where each object is, and which grains are taken. */
static uint64_t *addresses;
static uint64_t *taken;
static uint32_t *queue;
static size_t nr_queue;
static char trouble[200];

/**
 * shadow_tables() - make room for as many objects as the heap can have
 */
void shadow_tables(void)
{
	nr_ids = NODE_IDS + 1 + heap.pages * PAGE / 160;
	node_refs = side_table((NODE_IDS + 1) * sizeof(*node_refs));
	node_versions = side_table((NODE_IDS + 1) * sizeof(*node_versions));
	shadows = side_table(nr_ids * sizeof(*shadows));
	addresses = side_table(nr_ids * sizeof(*addresses));
	queue = side_table(nr_ids * sizeof(*queue));
	taken = side_table(heap.pages * PAGE_GRAINS / 8);
}

/**
 * shadow_refs() - ids that an object refers to
 * @id: of the object
 *
 * Return: as many as it has references; 0 for none.
 */
uint32_t *shadow_refs(uint32_t id)
{
	return id <= NODE_IDS ? node_refs[id] : shadows[id].refs;
}

/**
 * shadow_version() - the version of an object's payload
 * @id: of the object
 *
 * Return: where it is kept.
 */
uint32_t *shadow_version(uint32_t id)
{
	return id <= NODE_IDS ? &node_versions[id] : &shadows[id].version;
}

/**
 * shadow_address() - where the last comparison found an object
 * @id: of the object
 *
 * Return: its address, 0 if it is garbage.
 */
uint64_t shadow_address(uint32_t id)
{
	return addresses[id];
}

static __printf(1, 2) void complain(const char *format, ...)
{
	va_list args;

	if (*trouble)
		return;
	va_start(args, format);
	vsnprintf(trouble, sizeof(trouble), format, args);
	va_end(args);
}

static bool plausible(uint64_t ref)
{
	return ref >= (uintptr_t)heap.base && ref < (uintptr_t)heap.base + heap.pages * PAGE &&
	       ref % GRAIN == 0;
}

/* One object is at one address; whoever refers to it must agree on that. */
static void meet(uint32_t from, uint64_t ref, uint32_t id)
{
	if (!id && !ref)
		return;
	if (!id || !ref || !plausible(ref))
		complain("object %u refers to %#lx instead of object %u", from, ref, id);
	else if (!addresses[id])
		addresses[queue[nr_queue++] = id] = ref;
	else if (addresses[id] != ref)
		complain("object %u is at %#lx and, for object %u, at %#lx", id, addresses[id],
			 from, ref);
}

static void take(const struct object *o)
{
	size_t grain = grain_of((uintptr_t)o), end = grain + o->grains;

	if (end > heap.pages * PAGE_GRAINS) {
		complain("object %u ends behind the heap", o->id);
		return;
	}
	for (; grain < end; grain++) {
		if (test_bit(taken, grain))
			complain("object %u overlaps another one, on page %zu", o->id,
				 grain / PAGE_GRAINS);
		set_bit(taken, grain);
	}
}

static void check_object(uint32_t id)
{
	const struct object *o = (const struct object *)addresses[id];
	unsigned int i;

	if (o->id != id) {
		complain("page %zu has object %u where object %u should be",
			 page_of((uintptr_t)o), o->id, id);
		return;
	}
	if (o->check != check_of(o) || o->nr_refs * sizeof(*o->refs) > o->grains * GRAIN) {
		complain("object %u, on page %zu, has a wrong checksum", id,
			 page_of((uintptr_t)o));
		return;
	}
	take(o);
	if (object_differs(o, *shadow_version(id)))
		complain("object %u, on page %zu, has other bytes than version %u", id,
			 page_of((uintptr_t)o), *shadow_version(id));
	if (!test_bit(heap.start, grain_of((uintptr_t)o)))
		complain("object %u, on page %zu, begins where no object does", id,
			 page_of((uintptr_t)o));
	for (i = 0; i < o->nr_refs; i++)
		meet(id, o->refs[i], shadow_refs(id)[i]);
}

/* Ids of garbage go back to those who may give them. */
static void collect_ids(void)
{
	uint32_t share = (nr_ids - NODE_IDS - 1) / options.mutators, id;
	struct mutator *m;

	for (m = mutators; m < mutators + options.mutators; m++) {
		m->nr_ids = 0;
		for (id = NODE_IDS + 1 + m->nr * share; id < NODE_IDS + 1 + (m->nr + 1) * share;
		     id++)
			if (!addresses[id])
				m->ids[m->nr_ids++] = id;
	}
}

/**
 * shadow_check() - compare the heap with its shadow; mutators stand still
 *
 * Goes from the roots through both at once, so that each object is met which
 * should be there, and each reference is compared.
 *
 * Return: the first thing that is wrong, or NULL.
 */
const char *shadow_check(void)
{
	size_t next, i;

	*trouble = '\0';
	nr_queue = 0;
	memset(addresses, 0, nr_ids * sizeof(*addresses));
	memset(taken, 0, heap.pages * PAGE_GRAINS / 8);
	for (i = 0; i < ROOTS; i++)
		meet(0, heap.roots[i], shadow_roots[i]);
	for (next = 0; next < nr_queue && !*trouble; next++)
		check_object(queue[next]);
	if (*trouble)
		return trouble;
	collect_ids();
	return NULL;
}

/**
 * shadow_live() - how many objects the last comparison met
 *
 * Return: the number.
 */
size_t shadow_live(void)
{
	return nr_queue;
}
