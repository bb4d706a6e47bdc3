// SPDX-License-Identifier: GPL-2.0
/*
 * The heap: regions, objects and their bytes, and where new ones go.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "gc.h"
#include "heap.h"

#define SCRAMBLE	0x9e3779b97f4a7c15ULL
#define STRIDE		0xc2b2ae3d27d4eb4fULL

struct heap heap = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Regions taken while it is set are born live; it changes in pauses only. */
bool births_are_black;

/* Where the search for a free region goes on. */
static size_t next_region;

/**
 * side_table() - zeroed memory beside the heap
 * @bytes: how much
 *
 * It is there at once, so that nothing is allocated for it while we count.
 *
 * Return: the memory.
 */
void *side_table(size_t bytes)
{
	void *table = mmap(NULL, bytes + PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (table == MAP_FAILED)
		cannot("no memory for a table of %zu bytes", bytes);
	return table;
}

/**
 * heap_tables() - set the heap's size, make its side tables
 * @pages: its length
 */
void heap_tables(size_t pages)
{
	size_t bitmap = pages * PAGE_GRAINS / 8, i;

	heap.pages = pages;
	heap.nr_regions = pages / REGION_PAGES;
	heap.regions = side_table(heap.nr_regions * sizeof(*heap.regions));
	heap.start = side_table(bitmap);
	heap.next_start = side_table(bitmap);
	heap.live = side_table(bitmap);
	heap.lead_refs = side_table(pages * sizeof(*heap.lead_refs));
	heap.leaf_pages = side_table(pages);
	heap.next_leaf_pages = side_table(pages);
	heap.populated = side_table(pages);
	heap.was_populated = side_table(pages);
	for (i = heap.nr_regions - RESERVE_REGIONS; i < heap.nr_regions; i++)
		heap.regions[i].kind = REGION_RESERVE;
}

/* Reference slots that an object has from byte @offset on. */
static unsigned int refs_behind(unsigned int nr_refs, size_t offset)
{
	size_t end = sizeof(struct object) + nr_refs * sizeof(uint64_t);

	return offset < end ? (end - offset) / sizeof(uint64_t) : 0;
}

/**
 * note_object() - write down where an object begins, and whose the heads of pages are
 * @addr: of the object
 * @grains: its size
 * @nr_refs: how many references it has
 * @start: the bitmap to note it in
 */
void note_object(uint64_t addr, size_t grains, unsigned int nr_refs, uint64_t *start)
{
	uint64_t end = addr + grains * GRAIN, at = (addr + PAGE - 1) & -PAGE;

	set_bit(start, grain_of(addr));
	for (; at < end; at += PAGE)
		heap.lead_refs[page_of(at)] = at == addr ? 0 : refs_behind(nr_refs, at - addr);
}

static size_t take_region(enum region_kind kind)
{
	size_t i, n;

	pthread_mutex_lock(&heap.lock);
	for (i = 0; i < heap.nr_regions; i++) {
		n = (next_region + i) % heap.nr_regions;
		if (heap.regions[n].kind == REGION_FREE)
			break;
	}
	if (i == heap.nr_regions) {
		n = NO_REGION;
	} else {
		heap.regions[n].kind = kind;
		heap.regions[n].plan = births_are_black ? PLAN_BLACK : PLAN_NONE;
		heap.regions[n].top = 0;
		next_region = n + 1;
	}
	pthread_mutex_unlock(&heap.lock);
	return n;
}

/**
 * free_regions() - count them
 *
 * Return: how many regions nobody has.
 */
size_t free_regions(void)
{
	size_t i, nr = 0;

	pthread_mutex_lock(&heap.lock);
	for (i = 0; i < heap.nr_regions; i++)
		nr += heap.regions[i].kind == REGION_FREE;
	pthread_mutex_unlock(&heap.lock);
	return nr;
}

static uint64_t allocate(size_t *own, enum region_kind kind, size_t bytes)
{
	struct region *r;
	uint64_t addr;

	if (*own == NO_REGION || heap.regions[*own].top + bytes > REGION)
		*own = take_region(kind);
	if (*own == NO_REGION)
		return 0;
	r = &heap.regions[*own];
	addr = (uintptr_t)heap.base + *own * REGION + r->top;
	r->top += bytes;
	memset(heap.populated + page_of(addr), 1,
	       page_of(addr + bytes - 1) - page_of(addr) + 1);
	return addr;
}

/**
 * allocate_object() - memory for an object that may have references
 * @a: the thread's allocator
 * @bytes: its size, a multiple of GRAIN
 * @nr_refs: how many references it will have
 *
 * Return: its address, 0 if there is no room.
 */
uint64_t allocate_object(struct allocator *a, size_t bytes, unsigned int nr_refs)
{
	uint64_t addr = allocate(&a->objects, REGION_OBJECTS, bytes);

	if (addr)
		note_object(addr, bytes / GRAIN, nr_refs, heap.start);
	return addr;
}

/**
 * allocate_leaf() - memory for an object of whole pages, without references
 * @a: the thread's allocator
 * @pages: its size
 *
 * Return: its address, 0 if there is no room.
 */
uint64_t allocate_leaf(struct allocator *a, unsigned int pages)
{
	uint64_t addr = allocate(&a->leaves, REGION_NOSCAN, pages * PAGE);

	if (addr) {
		set_bit(heap.start, grain_of(addr));
		heap.leaf_pages[page_of(addr)] = pages;
	}
	return addr;
}

/**
 * retire_regions() - go on in other regions
 * @a: the allocator
 */
void retire_regions(struct allocator *a)
{
	a->objects = NO_REGION;
	a->leaves = NO_REGION;
}

/**
 * check_of() - the checksum of what identifies an object
 * @o: the object
 *
 * Return: what its @check should be.
 */
uint32_t check_of(const struct object *o)
{
	uint64_t x = (uint64_t)o->id << 32 | (uint32_t)o->grains << 16 | o->nr_refs;

	x = (x + o->version) * SCRAMBLE;
	return x >> 32 ^ x;
}

static uint64_t first_word(uint32_t id, uint32_t version)
{
	return ((uint64_t)id << 32 | version) * SCRAMBLE;
}

static uint64_t *words_of(const struct object *o, size_t *nr)
{
	*nr = o->grains * (GRAIN / sizeof(uint64_t)) - sizeof(*o) / sizeof(uint64_t) - o->nr_refs;
	return (uint64_t *)o->refs + o->nr_refs;
}

/**
 * fill_object() - write the payload of a version
 * @o: the object, with all but @version and @check set
 * @version: an even number
 */
void fill_object(struct object *o, uint32_t version)
{
	uint64_t value = first_word(o->id, version);
	size_t i, nr;
	uint64_t *words = words_of(o, &nr);

	store_relaxed(&o->version, version - 1);
	/* Who reads a new word must find the odd version, or a later one. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	for (i = 0; i < nr; i++, value += STRIDE)
		store_relaxed(&words[i], value);
	store_relaxed(&o->check, check_of(&(struct object){
		.id = o->id, .grains = o->grains, .nr_refs = o->nr_refs, .version = version }));
	store(&o->version, version);
}

/**
 * object_differs() - has an object other bytes than it should, references aside?
 * @o: the object
 * @version: of the payload that it should have
 *
 * Return: true if it has.
 */
bool object_differs(const struct object *o, uint32_t version)
{
	uint64_t value = first_word(o->id, version), wrong = 0;
	size_t i, nr;
	uint64_t *words = words_of(o, &nr);

	for (i = 0; i < nr; i++, value += STRIDE)
		wrong |= load_relaxed(&words[i]) ^ value;
	return wrong || load_relaxed(&o->version) != version ||
	       load_relaxed(&o->check) != check_of(&(struct object){
		.id = o->id, .grains = o->grains, .nr_refs = o->nr_refs, .version = version });
}
