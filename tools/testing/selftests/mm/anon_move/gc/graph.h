/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The trees that keep objects alive, and random numbers to make them with.
 */
#ifndef GC_GRAPH_H
#define GC_GRAPH_H

#include "mutator.h"

/**
 * struct graph - the trees
 * @nodes: below each root
 * @slots: in all nodes
 * @used: slots that have something in them
 * @allocated: bytes, since the beginning
 */
struct graph {
	unsigned int nodes;
	size_t slots;
	size_t used;
	size_t allocated;
};

extern struct graph graph;

uint64_t draw(uint64_t *random);
void graph_build(void);
struct mutator *slot_owner(size_t slot);
unsigned int slot_place(size_t slot, unsigned int *index);
void set_ref(struct mutator *m, struct object *holder, unsigned int index, uint64_t ref,
	     uint32_t id);
void relink(struct mutator *m, struct object *o, unsigned int index);
struct object *new_object(struct mutator *m);
struct object *new_leaf(struct mutator *m);

#endif /* GC_GRAPH_H */
