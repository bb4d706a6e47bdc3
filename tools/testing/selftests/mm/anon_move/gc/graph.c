// SPDX-License-Identifier: GPL-2.0
/*
 * The object graph: trees of nodes that keep all other objects alive, and how new
 * objects come into it. What an owner does to an object it does to its shadow too.
 *
 * Each root has a node of nodes; the slots of those hold everything else. A slot
 * is written by the mutator that owns its root, so shadows need no lock.
 */
#define _GNU_SOURCE
#include <string.h>

#include "gc.h"
#include "graph.h"
#include "heap.h"
#include "mark.h"
#include "mutator.h"
#include "options.h"
#include "shadow.h"

#define FRIEND_IS_NODE	80	/* percent; a friend that is none lives for longer than its slot */

struct graph graph;

/**
 * draw() - the next random number
 * @random: state of the generator, any number
 *
 * This is splitmix64.
 *
 * Return: the number.
 */
uint64_t draw(uint64_t *random)
{
	uint64_t x = *random += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static unsigned int percent(struct mutator *m)
{
	return draw(&m->random) % 100;
}

/**
 * slot_owner() - who may write to a slot
 * @slot: the slot
 *
 * Return: the mutator.
 */
struct mutator *slot_owner(size_t slot)
{
	return &mutators[slot % ROOTS % options.mutators];
}

/**
 * slot_place() - where a slot is
 * @slot: the slot
 * @index: result: its index in the node
 *
 * Neighbours in memory belong to different roots, as those who fill slots one
 * after the other allocate one after the other.
 *
 * Return: number of the node below its root.
 */
unsigned int slot_place(size_t slot, unsigned int *index)
{
	slot /= ROOTS;
	*index = slot / graph.nodes;
	return slot % graph.nodes;
}

static uint32_t root_id(size_t root)
{
	return 1 + root * (NODE_REFS + 1);
}

static uint32_t node_id(size_t root, unsigned int node)
{
	return root_id(root) + 1 + node;
}

/**
 * set_ref() - let an object refer to another one
 * @m: the calling mutator, which owns @holder
 * @holder: the object that refers
 * @index: with which of its references
 * @ref: to what
 * @id: its id, or 0 for none
 */
void set_ref(struct mutator *m, struct object *holder, unsigned int index, uint64_t ref,
	     uint32_t id)
{
	if (load_relaxed(&marking))
		log_overwritten(m, load_relaxed(&holder->refs[index]));
	shadow_refs(holder->id)[index] = id;
	store(&holder->refs[index], ref);
}

/* What a mutator allocates may fault; it is touched as everything else is. */
static struct object *init_object(struct mutator *m, uint64_t addr, size_t bytes, uint32_t id,
				  unsigned int nr_refs)
{
	struct object *o = (struct object *)addr;

	touch_range(m, addr, bytes);
	o->id = id;
	o->grains = bytes / GRAIN;
	o->nr_refs = nr_refs;
	o->version = *shadow_version(id);
	memset(o->refs, 0, nr_refs * sizeof(*o->refs));
	*shadow_version(id) += 2;
	fill_object(o, *shadow_version(id));
	add(&graph.allocated, bytes);
	return o;
}

static struct object *new_node(struct mutator *m, uint32_t id)
{
	size_t bytes = sizeof(struct object) + NODE_REFS * sizeof(uint64_t);
	uint64_t addr = allocate_object(&m->allocator, bytes, NODE_REFS);

	if (!addr)
		cannot("the heap is too small for its nodes; give it more --mib");
	return init_object(m, addr, bytes, id, NODE_REFS);
}

/* Mostly small, as objects are. */
static size_t draw_size(struct mutator *m)
{
	unsigned int kind = percent(m);
	size_t low = kind < 75 ? 32 : kind < 95 ? 256 : 1024;
	size_t high = kind < 75 ? 256 : kind < 95 ? 1024 : OBJECT_MAX;

	return (low + draw(&m->random) % (high - low)) & -GRAIN;
}

/* Returns the address of a node or of what is in a slot, and its id; 0 if that is a leaf. */
static uint64_t draw_friend(struct mutator *m, uint32_t *id)
{
	size_t slot = draw(&m->random) % graph.slots;
	bool own = slot_owner(slot) == m;
	unsigned int index, node = slot_place(slot, &index);
	struct object *holder = visit_node(m, slot % ROOTS, node);
	uint64_t ref;

	/* Only its owner knows what id goes with a slot. */
	if (!own || percent(m) < FRIEND_IS_NODE) {
		*id = holder->id;
		return (uintptr_t)holder;
	}
	ref = load(&holder->refs[index]);
	if (!ref || region_of(ref)->kind == REGION_NOSCAN)
		return 0;
	*id = shadow_refs(holder->id)[index];
	return ref;
}

/**
 * relink() - let an object refer to some other one
 * @m: the calling mutator, which owns it
 * @o: the object
 * @index: with which of its references
 */
void relink(struct mutator *m, struct object *o, unsigned int index)
{
	uint32_t id = 0;
	uint64_t ref = draw_friend(m, &id);

	set_ref(m, o, index, ref, ref ? id : 0);
}

/**
 * new_object() - allocate an object, filled and with friends
 * @m: the calling mutator
 *
 * Return: the object, or NULL if there is no room.
 */
struct object *new_object(struct mutator *m)
{
	size_t bytes = draw_size(m);
	unsigned int nr_refs = draw(&m->random) % (LEAF_REFS + 1), i;
	struct object *o;
	uint64_t addr;

	if (bytes < sizeof(*o) + nr_refs * sizeof(uint64_t))
		nr_refs = 0;
	addr = m->nr_ids ? allocate_object(&m->allocator, bytes, nr_refs) : 0;
	if (!addr) {
		m->refused++;
		return NULL;
	}
	o = init_object(m, addr, bytes, m->ids[--m->nr_ids], nr_refs);
	for (i = 0; i < nr_refs; i++)
		relink(m, o, i);
	return o;
}

/**
 * new_leaf() - allocate a leaf, filled
 * @m: the calling mutator
 *
 * Return: the leaf, or NULL if there is no room.
 */
struct object *new_leaf(struct mutator *m)
{
	unsigned int pages = 1 + draw(&m->random) % LEAF_PAGES_MAX;
	uint64_t addr = m->nr_ids ? allocate_leaf(&m->allocator, pages) : 0;

	if (!addr) {
		m->refused++;
		return NULL;
	}
	return init_object(m, addr, pages * PAGE, m->ids[--m->nr_ids], 0);
}

static void build_nodes(void)
{
	struct object *root, *node;
	unsigned int i;
	size_t r;

	for (r = 0; r < ROOTS; r++) {
		struct mutator *m = slot_owner(r);

		root = new_node(m, root_id(r));
		heap.roots[r] = (uintptr_t)root;
		shadow_roots[r] = root->id;
		for (i = 0; i < graph.nodes; i++) {
			node = new_node(m, node_id(r, i));
			set_ref(m, root, i, (uintptr_t)node, node->id);
		}
	}
}

/* Fills part of the heap; what gets no slot is garbage from the beginning. */
static void build_part(unsigned int share, unsigned int live, bool leaves)
{
	size_t end = graph.allocated + heap.pages * PAGE / 100 * share, r;
	unsigned int index, node;
	struct object *o;

	while (graph.allocated < end && graph.used < graph.slots) {
		struct mutator *m = slot_owner(graph.used);

		o = leaves ? new_leaf(m) : new_object(m);
		if (!o)
			cannot("the heap is too small for its shares");
		if (percent(m) >= live)
			continue;
		r = graph.used % ROOTS;
		node = slot_place(graph.used++, &index);
		set_ref(m, visit_node(m, r, node), index, (uintptr_t)o, o->id);
	}
	for (r = 0; r < options.mutators; r++)
		retire_regions(&mutators[r].allocator);
}

/**
 * graph_build() - fill the heap as the options say
 */
void graph_build(void)
{
	const struct share *s = &options.share;
	size_t mean = 400, objects;
	unsigned int i;

	objects = heap.pages * PAGE / 100 / 100 / mean *
		  (s->fragmented * s->live[0] + s->dense * s->live[1]);
	graph.nodes = objects / (ROOTS * NODE_REFS) + 1;
	if (graph.nodes > NODE_REFS)
		graph.nodes = NODE_REFS;
	graph.slots = (size_t)graph.nodes * ROOTS * NODE_REFS;
	for (i = 0; i < options.mutators; i++)
		retire_regions(&mutators[i].allocator);
	build_nodes();
	build_part(s->noscan, s->live[2], true);
	build_part(s->fragmented, s->live[0], false);
	build_part(s->dense, s->live[1], false);
}
