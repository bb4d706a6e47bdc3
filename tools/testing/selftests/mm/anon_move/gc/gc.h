/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A concurrent compacting collector, as the workload that UFFDIO_MOVE was made
 * for: what its parts share, and how they fit together.
 *
 * The heap is one mapping at a fixed address, in regions of 64 pages. Objects
 * are small, of mixed sizes and full of references, or they are leaves: a few
 * whole pages without any reference, in "noscan" regions of their own, so that
 * nobody needs to read them to mark them. Side tables tell the rest: where
 * objects begin, how long leaves are, how many reference slots of an object
 * that began earlier lead a page.
 *
 * A cycle:
 *  1. First pause: mutators retire their regions; the roots are marked. From now
 *     on new objects are born live ("black"), and a write barrier logs each
 *     reference that is overwritten (snapshot at the beginning).
 *  2. The live bitmap is filled while the mutators run. Second pause: what the
 *     barrier has logged is marked too.
 *  3. The plan is made while the mutators run: a region with many live bytes is
 *     dense, and its objects stay; objects of fragmented ones get addresses side
 *     by side; live pages of noscan regions get page addresses side by side.
 *  4. Third pause, the flip: the backend takes the pages of the heap away to
 *     where the collector alone sees them, the roots are rewritten, and whoever
 *     touches the heap from now on faults.
 *  5. GC threads go through the heap, mutators through their faults, and each
 *     page is produced once, by whoever comes first: PAGE_RAW -> PAGE_CLAIMED ->
 *     PAGE_READY -> PAGE_MAPPED. Any thread may publish a page that is ready,
 *     as the one that prepared it may be about to publish a whole run; the kernel
 *     lets one of them win.
 *  6. When all are mapped the rest is dropped, and the heap no longer faults.
 *
 * Pages are recycled: how many pages to come need each fragmented page is known
 * from the plan; the last one that has read it puts it into the pool, from where
 * it is taken to be filled and moved to another address. The pool begins with a
 * reserve at the end of the heap, which is filled again in the end; so backend
 * "move" allocates no page. Page tables are all the kernel has to allocate.
 *
 * A reference in a page is rewritten before the page is published, so mutators
 * see new addresses only, and need no read barrier but the fault. Leaf pages
 * have no references: they are moved without having been looked at, and so
 * without having been read in from swap.
 *
 * There is one heap in a process, as a signal handler has no other way to know.
 */
#ifndef GC_H
#define GC_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdnoreturn.h>
#include <signal.h>

#include "../anon_move_test.h"

#define MIB		(1024 * 1024UL)

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

#define BATCH		512UL		/* pages a GC thread publishes at once, at most */
#define MUTATORS_MAX	8U
#define GC_THREADS_MAX	8U
#define ROOTS		256U

/* Exit statuses: the heap is wrong; the machine can't do what was asked. */
#define FAILED		1
#define CANNOT		2

/* heap.c: regions, objects, allocation */

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

#define load(p)		__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define store(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)
#define load_relaxed(p)	__atomic_load_n(p, __ATOMIC_RELAXED)
#define store_relaxed(p, v)	__atomic_store_n(p, v, __ATOMIC_RELAXED)
#define add(p, n)	__atomic_fetch_add(p, n, __ATOMIC_RELAXED)

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

/* options.c: what is to be run, and how */

enum delivery { DELIVERY_THREAD, DELIVERY_SIGBUS, DELIVERY_URING, DELIVERY_SIGSEGV, DELIVERIES };

/* Who disturbs. */
#define DISTURB_FORK	_BITUL(0)
#define DISTURB_PIN	_BITUL(1)
#define DISTURB_PAGEOUT	_BITUL(2)
#define DISTURB_COLD	_BITUL(3)	/* leaves are swapped out before each flip */

/* The deliveries of a userfaultfd. */
#define BY_UFFD		(_BITUL(DELIVERY_THREAD) | _BITUL(DELIVERY_SIGBUS) | \
			 _BITUL(DELIVERY_URING))

enum huge { HUGE_NEVER, HUGE_THP, HUGE_MTHP };

/**
 * struct share - what part of the heap is so, in percent
 * @fragmented: regions with few live objects
 * @dense: regions with many
 * @noscan: regions of leaves
 * @live: of each of these: what part of it is live
 */
struct share {
	unsigned int fragmented;
	unsigned int dense;
	unsigned int noscan;
	unsigned int live[3];
};

struct options {
	size_t mib;
	unsigned int cycles;
	unsigned int mutators;
	unsigned int gc_threads;
	uint64_t seed;
	enum delivery delivery;
	unsigned int disturb;
	enum huge huge;
	struct share share;
	unsigned int churn;	/* percent of the heap allocated between two cycles */
	unsigned long spare_vmas;
	bool warm;
	bool icount;
	bool self_check;
	const char *format;
	const char *output;
};

extern struct options options;
extern const char *const delivery_names[DELIVERIES];

uint64_t draw(uint64_t *random);

/* graph.c: the trees that keep objects alive */

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

void graph_build(void);
struct mutator *slot_owner(size_t slot);
unsigned int slot_place(size_t slot, unsigned int *index);
void set_ref(struct mutator *m, struct object *holder, unsigned int index, uint64_t ref,
	     uint32_t id);
void relink(struct mutator *m, struct object *o, unsigned int index);
struct object *new_object(struct mutator *m);
struct object *new_leaf(struct mutator *m);

/* mutator.c: the threads of the application */
extern struct mutator mutators[MUTATORS_MAX];

void mutators_init(void);
void mutators_start(void);
void mutators_end(void);
void touch_range(struct mutator *m, uint64_t addr, size_t bytes);
struct object *visit_node(struct mutator *m, size_t root, unsigned int node);

/* safepoint.c: stops the mutators where they hold no reference */
void safepoint_poll(void);
void safepoint_join(void);
void safepoint_leave(void);
void stop_mutators(void);
void resume_mutators(void);

/* mark.c: the live bitmap */
void mark_tables(void);
void mark_roots(void);
void mark_concurrently(void);
void mark_rest(void);
void log_overwritten(struct mutator *m, uint64_t ref);
void flush_logged(struct mutator *m);
extern bool marking;

/* plan.c: the new address of each object, and where each page comes from */

/**
 * struct plan - of one cycle
 * @moved_to: of each page of the heap: where its first live object goes, less
 *	      the live bytes before that; 0 if its objects stay
 * @pending: of each page of the heap: pages to come that need something of it
 * @how: of each page to come: how it is made
 * @first: of each page to come: first grain to slide, or page to move, into it
 * @fill: of each page to come: grains to slide into it
 * @upwards: to which end of the heap objects slide
 */
struct plan {
	uint64_t *moved_to;
	uint8_t *pending;
	uint8_t *how;
	uint32_t *first;
	uint16_t *fill;
	bool upwards;
};

extern struct plan plan;

void plan_tables(void);
void make_plan(bool upwards);
void plan_black(void);
void plan_takes_effect(void);
uint64_t new_address(uint64_t ref);

/* pool.c: pages that have been used up and may be filled again */
void pool_tables(void);
void pool_empty(void);
void pool_put(size_t page);
size_t pool_take(void);

#define NO_PAGE		SIZE_MAX

/* compact.c: how a page is produced */

/* What CPU time of the compaction goes into. */
enum work { WORK_PREPARE, WORK_PUBLISH, WORK_FAULTS, WORK_DROP, WORKS };

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

/* What the kernel said to the backends, and what they did about it. */
enum event {
	EV_EEXIST, EV_ENOENT, EV_EAGAIN, EV_PARTIAL, EV_EBUSY, EV_COPIED_BYTES, EV_CALLS,
	EV_POOL_EMPTY, EV_FAULTS, EV_LATE, EV_BATCHES, EV_FORKS, EV_PINS, EV_PAGEOUTS, EVENTS
};

extern uint64_t events[EVENTS];
extern const char *const event_names[EVENTS];

/* A page of the heap: where it is prepared, and how far it is. */
extern uint8_t *page_states;
extern char **page_sources;

/* Is a cycle between its flip and its end? */
enum phase { PHASE_IDLE, PHASE_COMPACT, PHASE_DROP };
extern enum phase phase;

void compact_tables(void);
void worker_init(struct worker *w, size_t pages);
void compact_reset(void);
bool resolve_fault(uint64_t addr);
void prepare_faults(const uint64_t *addrs, size_t nr);
void compact_all(void);
void compact_rest(void);
extern uint64_t produced_pages;
void fill_reserve(void);
void compact_end(void);
void page_is_mapped(size_t page);

/* backends: how pages get where they belong */

/**
 * struct backend - one way to do it
 * @name: for --backend
 * @deliveries: a bit for each enum delivery that it can have
 * @exclusive: publishing a page twice would harm, so a page is claimed for that, too
 * @recycles: fresh and slid pages are made of used ones
 * @fixed: each page of the heap has a place in a file, where its bytes must be
 * @features: UFFD_FEATURE_* wanted
 * @map: map the heap and whatever stands behind it
 * @flip: in the pause: take the pages away, let touching the heap fault
 * @from: where the collector finds a page of the heap since the flip
 * @stage: a page to fill, for a page of the heap
 * @publish: make pages side by side appear in the heap
 * @fresh: make a page with any bytes appear in the heap, without a used one
 * @drop: let go of what is left
 * @open_all: let all be accessed, when that can't be done page by page; or NULL
 */
struct backend {
	const char *name;
	unsigned int deliveries;
	bool exclusive;
	bool recycles;
	bool fixed;
	uint64_t features;
	void (*map)(void);
	void (*flip)(void);
	char *(*from)(size_t page);
	char *(*stage)(struct worker *w, size_t page);
	void (*publish)(size_t page, char *src, size_t pages);
	void (*fresh)(size_t page);
	void (*drop)(void);
	void (*open_all)(void);
};

extern const struct backend *backend;
extern const struct backend backend_move, backend_copy, backend_mremap;
extern const struct backend backend_continue, backend_sigsegv;
extern int uffd;

void heap_register(uint64_t mode);
void heap_unregister(void);
void copy_pages(size_t page, char *src, size_t pages);

/**
 * struct run - one process
 * @backend: how pages get where they belong in it
 * @engine: who serves UFFDIO_MOVE, or NULL for whoever does
 */
struct run {
	const struct backend *backend;
	const char *engine;
};

#define RUNS_MAX	16U

extern struct run runs[RUNS_MAX];
extern unsigned int nr_runs;

void parse_options(int argc, char **argv);
void choose_runs(void);

/* delivery.c: who gets to know of a fault */
void delivery_start(void);
void delivery_end(void);

/* cycle.c: a whole cycle */
void gc_threads_start(void);
void gc_threads_end(void);
void run_cycle(unsigned int nr);

/* shadow.c: what the heap should be, and whether it is */
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

/* selfcheck.c: does the checker notice? */
int self_check(void);

/* disturb.c: those who fork, pin and page out */
void disturb_start(void);
void disturb_end(void);
void swap_leaves_out(void);

/* meters.c: what it costs */
enum meter {
	METER_PAUSE,
	METER_FLIP,
	METER_MARK,
	METER_PLAN,
	METER_COMPACT,
	METER_WORK,
	METER_STALL_50,
	METER_STALL_99,
	METER_STALL_999,
	METER_STALL_MAX,
	METER_STALLS,
	METER_PAGES,
	METER_FAULTS,
	METER_ALLOCATED,
	METER_TABLES_NEW,
	METER_COPIED,
	METER_SWAPPED_IN,
	METER_FLUSHES,
	METER_TABLES,
	METER_VMAS,
	METER_VMAS_MORE,
	METER_RSS,
	METER_CYCLES,
	METERS
};

#define STALL_POINTS	14

/**
 * struct result - of one run
 * @row: backend, and engine if there are several
 * @delivery: how faults came
 * @wall: what kept it from going on, or ""
 * @failed: what was wrong, or ""
 * @status: FAILED, CANNOT or 0
 * @meters: the figures; negative where they can't be had
 * @events: what the kernel said
 * @stalls: stall at STALL_POINTS points of its distribution
 * @work: the compaction's CPU time in nanoseconds, by what it went into
 */
struct result {
	char row[32];
	char delivery[16];
	char wall[160];
	char failed[200];
	int status;
	double meters[METERS];
	uint64_t events[EVENTS];
	double stalls[STALL_POINTS];
	double work[WORKS];
};

/**
 * struct meter_kind - what a meter is called and means
 * @name: in JSON and CSV
 * @unit: likewise
 * @highest: of all cycles, rather than their mean
 */
struct meter_kind {
	const char *name;
	const char *unit;
	bool highest;
};

extern struct result *result;
extern const struct meter_kind meter_kinds[METERS];
extern const double stall_points[STALL_POINTS];
extern const char *const work_names[WORKS];

uint64_t clock_ns(void);
uint64_t thread_ns(void);
void meters_open(void);
void meters_begin(unsigned int cycle);
void meters_sample(void);
void meters_end(void);
void meters_work(enum work kind, uint64_t ns);
void meters_time(enum meter which, uint64_t ns);
void meters_finish(void);

/* report.c: tables, JSON, CSV */
void report_table(const struct result *results, size_t nr);
void report_json(FILE *to, const struct result *results, size_t nr);
void report_csv(FILE *to, const struct result *results, size_t nr);
void report_files(const char *directory, const struct result *results, size_t nr);

/* gc_compaction.c: how a run ends, or nearly does */
noreturn void hit_wall(const char *format, ...) __printf(1, 2);
void near_wall(const char *text);
noreturn void fail(const char *format, ...) __printf(1, 2);
noreturn void cannot(const char *format, ...) __printf(1, 2);

#endif /* GC_H */
