/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The threads of the application.
 */
#ifndef GC_MUTATOR_H
#define GC_MUTATOR_H

#include "heap.h"
#include "options.h"

/**
 * struct mutator - a thread of the application
 * @thread: it
 * @nr: its number; roots and ids are owned by it accordingly
 * @random: its random numbers
 * @allocator: its regions
 * @logged: references that it has overwritten during marking
 * @nr_logged: how many
 * @ids: those it may give to objects
 * @nr_ids: how many are left
 * @stalls: how long each touch of a page that was not there took, in nanoseconds
 * @nr_stalls: how many
 * @stalled_cpu: CPU time of these touches
 * @steps: what it has done
 * @refused: allocations for which there was no room
 */
struct mutator {
	pthread_t thread;
	unsigned int nr;
	uint64_t random;
	struct allocator allocator;
	uint64_t *logged;
	size_t nr_logged;
	uint32_t *ids;
	size_t nr_ids;
	uint32_t *stalls;
	size_t nr_stalls;
	uint64_t stalled_cpu;
	uint64_t steps;
	uint64_t refused;
};

#define LOGGED_MAX	1024U

extern struct mutator mutators[MUTATORS_MAX];

void mutators_init(void);
void mutators_start(void);
void mutators_end(void);
void touch_range(struct mutator *m, uint64_t addr, size_t bytes);
struct object *visit_node(struct mutator *m, size_t root, unsigned int node);

#endif /* GC_MUTATOR_H */
