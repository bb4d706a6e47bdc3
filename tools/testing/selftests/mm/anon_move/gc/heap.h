/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The heap: regions of pages, objects in them, and the side tables that tell where these are.
 */
#ifndef GC_HEAP_H
#define GC_HEAP_H

#include <pthread.h>

#include "gc.h"

#define GRAIN		16UL	/* objects begin and end at multiples of it */
#define PAGE_GRAINS	(PAGE / GRAIN)
#define WORD_BITS	64UL
#define PAGE_WORDS	(PAGE_GRAINS / WORD_BITS)	/* of a bitmap of grains */
#define REGION_PAGES	64UL
#define REGION		(REGION_PAGES * PAGE)
#define RESERVE_REGIONS	1UL

#define OBJECT_MAX	(2 * PAGE)	/* bytes, of those that are no leaves */
#define LEAF_PAGES_MAX	4U
#define NODE_REFS	60U		/* of an inner node of the trees */
#define LEAF_REFS	3U		/* at most, of any other object */
#define ROOTS		256U

/**
 * struct object - what each object begins with; one grain
 * @id: which one it is, for the shadow
 * @grains: its size
 * @nr_refs: how many references follow
 * @version: odd while its owner is writing the payload
 * @check: check_of() the rest
 * @refs: addresses of objects, or 0; the payload follows them
 */
struct object {
	uint32_t id;
	uint16_t grains;
	uint16_t nr_refs;
	uint32_t version;
	uint32_t check;
	uint64_t refs[];
};

enum region_kind { REGION_FREE, REGION_OBJECTS, REGION_NOSCAN, REGION_RESERVE };

/* What a cycle does with a region. */
enum region_plan { PLAN_NONE, PLAN_BLACK, PLAN_DENSE, PLAN_SLIDE, PLAN_WHOLE };

/**
 * struct region - 64 pages of the heap
 * @kind: what is in it
 * @plan: what the cycle does with it
 * @next: region whose objects come after those of this one, when they slide
 * @top: bytes in use, from its start
 * @new_top: likewise, after the cycle
 * @half: which half of the file is behind it, where there is a file
 */
struct region {
	enum region_kind kind;
	enum region_plan plan;
	size_t next;
	size_t top;
	size_t new_top;
	unsigned int half;
};

/* How a page of the heap comes to be. */
enum page_how {
	HOW_FRESH,	/* nothing in it yet: any page will do */
	HOW_DENSE,	/* updated in place */
	HOW_SLID,	/* filled with objects from elsewhere */
	HOW_WHOLE,	/* as it is, from elsewhere */
};

/* How far it is with that. */
enum page_state { PAGE_RAW, PAGE_CLAIMED, PAGE_READY, PAGE_MAPPING, PAGE_MAPPED };

/**
 * struct heap - the heap and its side tables
 * @base: first byte, where references point to
 * @pages: its length, with the reserve
 * @nr_regions: likewise, in regions
 * @regions: what is in each of them
 * @start: bit for each grain: an object begins here
 * @next_start: likewise, after the cycle
 * @live: bit for each grain of an object that is live
 * @lead_refs: of each page: reference slots at its beginning, of an object that began before
 * @leaf_pages: of the first page of each leaf: pages of the leaf
 * @next_leaf_pages: likewise, after the cycle
 * @populated: there is a page, in memory or swapped out
 * @was_populated: likewise, before the flip
 * @roots: references from outside
 * @lock: of the regions' kinds
 */
struct heap {
	char *base;
	size_t pages;
	size_t nr_regions;
	struct region *regions;
	uint64_t *start;
	uint64_t *next_start;
	uint64_t *live;
	uint16_t *lead_refs;
	uint8_t *leaf_pages;
	uint8_t *next_leaf_pages;
	uint8_t *populated;
	uint8_t *was_populated;
	uint64_t roots[ROOTS];
	pthread_mutex_t lock;
};

extern struct heap heap;
extern bool births_are_black;

/**
 * struct allocator - where a mutator gets memory from
 * @objects: region it fills with objects, or NO_REGION
 * @leaves: region it fills with leaves, or NO_REGION
 */
struct allocator {
	size_t objects;
	size_t leaves;
};

#define NO_REGION	SIZE_MAX

static inline size_t page_of(uint64_t addr)
{
	return (addr - (uintptr_t)heap.base) / PAGE;
}

static inline size_t grain_of(uint64_t addr)
{
	return (addr - (uintptr_t)heap.base) / GRAIN;
}

static inline char *page_addr(size_t page)
{
	return heap.base + page * PAGE;
}

static inline struct region *region_of(uint64_t addr)
{
	return &heap.regions[page_of(addr) / REGION_PAGES];
}

static inline bool test_bit(const uint64_t *map, size_t bit)
{
	return map[bit / WORD_BITS] >> bit % WORD_BITS & 1;
}

static inline void set_bit(uint64_t *map, size_t bit)
{
	map[bit / WORD_BITS] |= 1ULL << bit % WORD_BITS;
}

void *side_table(size_t bytes);
void heap_tables(size_t pages);
void note_object(uint64_t addr, size_t grains, unsigned int nr_refs, uint64_t *start);
uint64_t allocate_object(struct allocator *a, size_t bytes, unsigned int nr_refs);
uint64_t allocate_leaf(struct allocator *a, unsigned int pages);
void retire_regions(struct allocator *a);
size_t free_regions(void);
uint32_t check_of(const struct object *o);
void fill_object(struct object *o, uint32_t version);
bool object_differs(const struct object *o, uint32_t version);

#endif /* GC_HEAP_H */
