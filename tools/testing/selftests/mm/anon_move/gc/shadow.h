/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the heap should be, and whether it is.
 */
#ifndef GC_SHADOW_H
#define GC_SHADOW_H

#include "heap.h"

#define NODE_IDS	(ROOTS * (NODE_REFS + 1))

/**
 * struct shadow - of an object that is no node
 * @refs: ids of what it refers to, or 0
 * @version: of its payload
 */
struct shadow {
	uint32_t refs[LEAF_REFS];
	uint32_t version;
};

extern uint32_t shadow_roots[ROOTS];
extern uint32_t nr_ids;

void shadow_tables(void);
uint32_t *shadow_refs(uint32_t id);
uint32_t *shadow_version(uint32_t id);
const char *shadow_check(void);
uint64_t shadow_address(uint32_t id);
size_t shadow_live(void);

#endif /* GC_SHADOW_H */
