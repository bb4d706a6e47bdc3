/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of anon_move_stress share. A round moves pages of one kind in
 * one geometry while a rival acts on the same pages; the model then says which
 * of them may be where.
 */
#ifndef STRESS_H
#define STRESS_H

#include <pthread.h>
#include <stdio.h>

#include "../../../kselftest.h"
#include "../anon_move_test.h"

#define BIT(n)		_BITUL(n)

#define GIB_PAGES	((1UL << 30) / PAGE)
#define AREA_MAX	(GIB_PAGES + 3 * PMD_PAGES)
#define LANES_MAX	8

/* Bits for the errnos that a call may give. */
enum {
	MAY_BUSY	= BIT(0),
	MAY_EXIST	= BIT(1),
	MAY_NOENT	= BIT(2),
	MAY_INVAL	= BIT(3),
	MAY_FAULT	= BIT(4),
};

/* What the pages are; its place in stress_kinds[]. */
enum stress_kind_id {
	STRESS_SMALL, STRESS_MTHP, STRESS_THP, STRESS_THP_BY_PTES, STRESS_ZERO, STRESS_HUGE_ZERO,
	STRESS_SWAPPED, STRESS_SWAP_CACHE, STRESS_MTHP_SWAPPED, STRESS_KSM, STRESS_FORK_SHARED,
	STRESS_PINNED, STRESS_MLOCKED, STRESS_LAZY_FREE, STRESS_MIGRATING, STRESS_NUMA_HINTED,
	STRESS_GUARD, STRESS_WRITE_PROTECTED, STRESS_WRITE_TRACKED, STRESS_POISONED,
	STRESS_KINDS
};

/* Who disturbs; its place in rivals[]. */
enum rival_id {
	RIVAL_FORK, RIVAL_DONTNEED, RIVAL_PAGEOUT, RIVAL_COLLAPSE, RIVAL_MPROTECT, RIVAL_MUNMAP,
	RIVAL_MREMAP, RIVAL_MIGRATE, RIVAL_COMPACT, RIVAL_PIN, RIVAL_WRITE_PROTECT,
	RIVAL_MOVE_SRC, RIVAL_MOVE_DST, RIVAL_FAULT,
	RIVALS
};

/* Who moves. */
enum mover { MOVER_UFFD, MOVER_VECTOR, MOVER_COPY, MOVER_ONLYPAGES, MOVER_RELOCATE, MOVERS };

enum shift { SHIFT_NONE, SHIFT_PAGE, SHIFT_ACROSS, SHIFTS };
enum length { LENGTH_PAGE, LENGTH_FEW, LENGTH_PMD, LENGTH_PMDS, LENGTH_GIB, LENGTHS };

/* A geometry is the number (one_vma * SHIFTS + shift) * LENGTHS + length. */
#define GEOMETRIES	(2 * SHIFTS * LENGTHS)
#define CELLS		(STRESS_KINDS * GEOMETRIES * RIVALS)

struct io_uring;

/* Columns from @first on. */
struct span {
	size_t first;
	size_t count;
};

/**
 * struct limits - what the minimiser, or the command line, takes away from a round
 * @without: rivals that stay away, bits by enum rival_id
 * @pages: at most so many are moved, 0 for as many as planned
 */
struct limits {
	unsigned int without;
	size_t pages;
};

/**
 * struct plan - one round; a function of seed, number and limits alone
 * @seed: of the run
 * @number: of the round
 * @random: state of the generator
 * @kind: of its pages
 * @base: how they are made
 * @geometry: number of the geometry
 * @rivals: bits by enum rival_id, each of which makes a cell
 * @one_vma: source and destination are one VMA
 * @registered: a missing page of the source is SIGBUS; else a page of zeroes
 * @wp: bits by enum area_id: registered for write-protection too
 * @area: pages of each area
 * @src: first page of the source in its area
 * @dst: first page of the destination in its area, and in the other area
 * @len: pages that move
 * @chunk: pages a call, at most
 * @turns: how often they go there, and back if they can
 * @reclaim: reclaim is to find the pages afterwards
 * @mode: UFFDIO_MOVE_MODE_*
 * @mover: UFFDIO_MOVE, UFFDIO_MOVEV with or without copies, MREMAP_ONLYPAGES or
 *	    MREMAP_RELOCATE_ANON
 * @spans: columns that have a page
 * @nr_spans: how many of them
 */
struct plan {
	__u64 seed;
	unsigned int number;
	__u64 random;
	enum stress_kind_id kind;
	enum page_kind_id base;
	unsigned int geometry;
	unsigned int rivals;
	bool one_vma;
	bool registered;
	unsigned int wp;
	size_t area;
	size_t src;
	size_t dst;
	size_t len;
	size_t chunk;
	unsigned int turns;
	bool reclaim;
	__u64 mode;
	enum mover mover;
	struct span spans[4];
	unsigned int nr_spans;
};

/* A column is a page of the source area and where it may go: one slot in each of these. */
enum area_id { AREA_SRC, AREA_DST, AREA_OTHER, AREAS };

/**
 * struct arena - the memory of a round, and the threads that work on it
 * @space: source and destination, as make_kind() wants them
 * @plan: the round
 * @area: first bytes by enum area_id; %AREA_OTHER is what a second mover moves from or to
 * @refuge: where mremap takes pages for a while
 * @twins: where KSM finds the same bytes
 * @stop: rivals are to end
 * @writes: by column, what the fault rival has added to the last word of its page
 * @views: scratch of the model: what is in the pages of each area
 * @child: shares the pages, or 0
 * @pins: pins the pages, if set
 * @migrating: keeps the pages migrating
 * @migrates: it runs
 * @calls: calls that move made
 * @trouble: the first thing that was wrong, or ""
 * @lock: of @trouble
 */
struct arena {
	struct space space;
	struct plan plan;
	char *area[AREAS];
	char *refuge;
	char *twins;
	bool stop;
	__u32 *writes;
	unsigned char *views[AREAS];
	pid_t child;
	struct io_uring *pins;
	pthread_t migrating;
	bool migrates;
	unsigned long calls;
	char trouble[240];
	pthread_mutex_t lock;
};

/* plan.c: what a round is */
__u64 draw(__u64 *random);
size_t draw_below(__u64 *random, size_t n);
unsigned int plan_cells(__u64 seed);
void plan_round(struct plan *p, __u64 seed, unsigned int number, const struct limits *limits);
unsigned int cell_of(unsigned int kind, unsigned int geometry, unsigned int rival);
const char *cell_excluded(unsigned int cell);
void name_geometry(unsigned int geometry, char name[48]);
void name_plan(const struct plan *p, char name[240]);
bool populated(const struct plan *p, size_t column);
size_t draw_column(const struct plan *p, __u64 *random);
bool in_range(const struct plan *p, size_t column);

/* arena.c: where a round happens */
bool wants_fork(const struct plan *p);
struct arena *arena_new(unsigned int lane);
int map_at(char *addr, size_t len);
int arena_open(struct arena *a);
void arena_close(struct arena *a);
char *slot(const struct arena *a, enum area_id area, size_t column);
unsigned int page_id(const struct arena *a, size_t column, enum area_id home);
__printf(2, 3) void trouble(struct arena *a, const char *format, ...);
bool in_trouble(struct arena *a);

/* kinds.c: pages of every kind */

#define NUMA_SCAN	"/sys/kernel/debug/sched/numa_balancing/"

/**
 * struct stress_kind - one row of the table of kinds
 * @name: for messages
 * @base: how its pages are made; for %KINDS as a 4K page, a 64K folio or a huge page
 * @may: errnos that a call may give for them, MAY_*
 * @register_src: they need a registered source
 * @features: UFFD_FEATURE_* that they need besides what each round has
 * @vanishes: the kernel may drop them
 * @missing: says what the machine lacks, NULL if nothing; may be NULL itself
 * @make: the rest of making them, before areas are registered; may be NULL
 * @arm: the same when they are registered; may be NULL
 */
struct stress_kind {
	const char *name;
	enum page_kind_id base;
	unsigned int may;
	bool register_src;
	__u64 features;
	bool vanishes;
	const char *(*missing)(void);
	int (*make)(struct arena *a);
	int (*arm)(struct arena *a);
};

extern const struct stress_kind stress_kinds[STRESS_KINDS];

const char *stress_kind_missing(enum stress_kind_id kind);
int make_pages(struct arena *a);
int arm_pages(struct arena *a);
void disarm_pages(struct arena *a);
bool is_merged(const struct plan *p, size_t column);
bool is_marker(const struct plan *p, size_t column);
bool migrate_some(struct arena *a, __u64 *random);

/* rivals.c: who disturbs */

/**
 * struct rival - a thread that disturbs
 * @thread: it
 * @arena: what it works on
 * @id: what it does
 * @random: its own generator
 * @ring: to pin with
 * @begun: it is about to act
 * @acts: how often it acted
 * @hits: how often that succeeded
 */
struct rival {
	pthread_t thread;
	struct arena *arena;
	enum rival_id id;
	__u64 random;
	struct io_uring *ring;
	bool begun;
	unsigned long acts;
	unsigned long hits;
};

/**
 * struct rival_kind - one row of the table of rivals
 * @name: for messages and --without
 * @may: errnos that a call may give for it, MAY_*
 * @does: DOES_*
 * @act: acts once, returns whether that succeeded
 */
struct rival_kind {
	const char *name;
	unsigned int may;
	unsigned int does;
	bool (*act)(struct rival *r);
};

/* What a rival leaves behind, or who moves. */
enum {
	DOES_DESTROY	= BIT(0),	/* pages are gone */
	DOES_REFAULT	= BIT(1),	/* pages of zeroes where nothing is registered */
	DOES_UNREGISTER	= BIT(2),	/* memory that is not registered */
};

extern const struct rival_kind rivals[RIVALS];

unsigned int left_behind(const struct plan *p);

void rival_start(struct rival *r, struct arena *a, enum rival_id id);
void rival_join(struct rival *r);
const char *rival_missing(enum rival_id id);
int find_rival(const char *name);

/* movers.c: who moves */
bool move_there(struct arena *a, enum area_id to, enum area_id from, __u64 *random);
void move_rounds(struct arena *a, __u64 *random);

/* model.c: what may be where */
void check_arena(struct arena *a, bool settled);
void check_reclaim(struct arena *a);

/* round.c: one round from beginning to end */

/**
 * struct verdict - what came of a round
 * @made: the pages came out as planned; if not, nothing was tested
 * @acts: how often each rival acted
 * @hits: how often that succeeded
 * @calls: calls that move made
 * @trouble: what was wrong, or ""
 */
struct verdict {
	bool made;
	unsigned long acts[RIVALS];
	unsigned long hits[RIVALS];
	unsigned long calls;
	char trouble[240];
};

void run_round(struct arena *a, const struct plan *p, struct verdict *v);

/* selfcheck.c: can the model fail? */
void self_check(struct arena *a);

/* minimise.c: the least that still fails */
bool fails_within(struct arena *a, const struct plan *p, unsigned int tries, struct verdict *v);
void minimise(struct arena *a, __u64 seed, unsigned int number);

/* report.c: results, and which cells were hit */
void tap_begin(unsigned int results);
__printf(2, 3) void tap_result(bool good, const char *format, ...);
__noreturn void tap_end(void);
void count_round(const struct plan *p, const struct verdict *v);
unsigned int report_tests(void);
bool cells_missed(void);
void report_cells(bool all_cells);
void report_progress(void);

#endif /* STRESS_H */
