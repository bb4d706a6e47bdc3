/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How a page is produced, by whoever comes first.
 */
#ifndef GC_COMPACT_H
#define GC_COMPACT_H

#include "gc.h"

#define BATCH		512UL		/* pages a GC thread publishes at once, at most */
#define AROUND_MAX	16U		/* pages that a fault brings, at most */

/**
 * struct worker - a thread that produces pages
 * @buffer: BATCH pages or one, to fill pages in; for backends that copy from there
 * @buffer_pages: how many
 * @used: how many are in use
 * @batch: pages that are ready but not published
 * @nr_batch: how many
 */
struct worker {
	char *buffer;
	size_t buffer_pages;
	size_t used;
	uint32_t *batch;
	size_t nr_batch;
};

/* A page of the heap: where it is prepared, and how far it is. */
extern uint8_t *page_states;
extern char **page_sources;

/* Is a cycle between its flip and its end? */
enum phase { PHASE_IDLE, PHASE_COMPACT, PHASE_DROP };
extern enum phase phase;
extern uint64_t produced_pages;

/* prepare.c */
void prepare(struct worker *w, size_t page);

/* compact.c */
void compact_tables(void);
void worker_init(struct worker *w, size_t pages);
void compact_reset(void);
bool resolve_fault(uint64_t addr);
void prepare_faults(const uint64_t *addrs, size_t nr);
void compact_all(void);
void compact_rest(void);
void fill_reserve(void);
void compact_end(void);
void page_is_mapped(size_t page);

#endif /* GC_COMPACT_H */
