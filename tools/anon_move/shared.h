/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the programs of this directory share: memory to move, engines to choose from, meters.
 */
#ifndef SHARED_H
#define SHARED_H

#include <stdbool.h>
#include <stddef.h>

/* Programs are compiled for one size of pages. */
#ifndef TEST_PAGE_SIZE
#define TEST_PAGE_SIZE 4096
#endif
#define PAGE ((size_t)TEST_PAGE_SIZE)
#define MIB ((size_t)1 << 20)
#define PMD_SIZE (PAGE / sizeof(long) * PAGE)

/* Exit statuses: bytes or calls went wrong; this machine can't do what the options ask. */
#define FAILED 1
#define CANNOT 2

/* What event_counters counts, of a thread and those it makes. */
enum event {
	EVENT_TLB_FLUSHES,
	EVENT_SPIN_LOCKS,	/* _raw_spin_lock(): page-table locks, little else */
	EVENT_WRITE_LOCKS,	/* down_write() and its trylock: in the movers, of an anon_vma */
	EVENT_CONTENTIONS,	/* waits for a lock of any kind */
	EVENT_SPLITS,		/* of large folios */
	EVENT_FAULTS,
	EVENT_ALLOCATIONS,	/* from the page allocator, whatever their size */
	NR_EVENTS
};

extern const char *const event_names[NR_EVENTS];

/* Some events have two sources. */
#define MAX_SOURCES (NR_EVENTS + 1)

struct event_counters {
	int fds[MAX_SOURCES];
};

/* memory.c */
char *map_area(size_t len);
void unmap_area(char *area, size_t len);
char *map_small_pages(size_t len);
int open_uffd(unsigned long long features);
void register_area(int uffd, char *area, size_t len);

/* engine.c */
void choose_engine(const char *name);
unsigned long long engine_counter(const char *prefix);

/* meters.c */
unsigned long long clock_ns(void);
unsigned long long clock_cost(void);
bool clock_counts_instructions(void);
unsigned long long sum_counters(const char *path, const char *prefix);

/* events.c */
int flushes_open(void);
unsigned long long flushes_read(int fd);
bool event_counted(enum event event);
void events_open(struct event_counters *counters);
void events_read(const struct event_counters *counters, unsigned long long counts[NR_EVENTS]);
void events_close(const struct event_counters *counters);

#endif /* SHARED_H */
