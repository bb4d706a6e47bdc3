/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of the differential test share: the plan of one call, and what came of it. */
#ifndef DIFFERENTIAL_H
#define DIFFERENTIAL_H

#include <stdbool.h>
#include <stdio.h>
#include <linux/anon_move.h>
#include <linux/types.h>
#include <sys/types.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define BIT_ULL(n)	(1ULL << (n))
#define PAGE_BYTES	4096UL
#define HUGE_PAGES	512
#define WORLD_PAGES	4096
#define HALF_PAGES	(WORLD_PAGES / 2)
#define RANGES_MAX	96	/* of a vector: more than the kernel takes at once */

/* All memory that moves lies here; a GiB boundary (a new PMD table) is 1024 pages in. */
#define WORLD_START	0x10003fc00000UL

/* What a page is made to be; its place in kinds[] of differential_kinds.c. */
enum kind {
	HOLE, SMALL, ZERO, SWAPPED, CACHED, READ_BACK, MTHP, MTHP_SWAPPED,
	THP, COLLAPSED, HUGE_ZERO, SHARED, SHARED_THP, HEAD_SHARED, TAIL_SHARED,
	NR_KINDS
};

/* What is done to some pages once all are there. */
enum touch {
	PUNCH, LAZY_FREE, MAP_BY_PTES, WRITE_PROTECT, POISON,
	NR_TOUCHES
};

/* What is wrong with a call on purpose; its place in twists[] of differential_plan.c. */
enum twist {
	NO_TWIST,
	SRC_UNALIGNED, DST_UNALIGNED, LEN_UNALIGNED, LEN_ZERO, LEN_WRAPS, LEN_TOO_LONG,
	SRC_KERNEL, DST_KERNEL, SRC_LOW, DST_LOW, SRC_NOWHERE, DST_NOWHERE,
	SRC_BEYOND, DST_BEYOND, MODE_UNKNOWN, ARG_BAD, ARG_READONLY, FD_OTHER, FD_FOREIGN,
	FIRST_WORLD_TWIST,
	SRC_GAP = FIRST_WORLD_TWIST, DST_GAP, SRC_SHMEM, DST_SHMEM, SRC_FILE, DST_FILE,
	SRC_HUGETLB, DST_HUGETLB, SRC_READONLY, DST_READONLY, BOTH_READONLY, SRC_EXEC,
	SRC_LOCKED, DST_LOCKED, SRC_DROPPABLE, DST_DROPPABLE, DST_UNREGISTERED, DST_HALF_REGISTERED,
	NR_TWISTS
};

/* Pages of the world: @count of them from @first on. */
struct span {
	int first;
	int count;
};

struct touched {
	enum touch touch;
	struct span span;
};

/* Two ways of one kind are compared. */
enum door {
	BY_MOVE,	/* UFFDIO_MOVE, of the base and of ours */
	BY_MREMAP,	/* without MREMAP_RELOCATE_ANON and with it */
	BY_VECTOR,	/* a UFFDIO_MOVE for each of many ranges, and one UFFDIO_MOVEV for all */
};

/* Indices for what comes once for the source and once for the destination. */
enum side { SRC, DST };

/* Indices for the fields of struct uffdio_move that go in. */
enum arg { ARG_DST, ARG_SRC, ARG_LEN, ARG_MODE, NR_ARGS };

/* One call and the memory it meets; a function of door, seed and number alone. */
struct plan {
	enum door door;
	__u64 seed;
	__u64 random;			/* state of the generator */
	unsigned int number;
	struct span range[2];		/* by enum side, as meant before any twist */
	struct span window[2];		/* the pages that are looked at */
	bool one_vma;
	bool locked;			/* both VMAs, as a program would */
	bool clear_soft_dirty;
	__u64 registered[2];		/* UFFDIO_REGISTER_MODE_*, 0: not at all */
	int src_fd;			/* descriptor of the source: 0 is the one that moves */
	__u8 kind[WORLD_PAGES];
	struct touched touched[3];
	int touches;
	enum twist twists[2];
	__u64 args[NR_ARGS];
	struct uffdio_movev_range ranges[RANGES_MAX];	/* of a vector */
	int nr_ranges;
	bool go_on;			/* behind a range that stops */
};

/* State of a page: these bits of pagemap, and two of our own. */
#define PM_SOFT_DIRTY	BIT_ULL(55)
#define PM_EXCLUSIVE	BIT_ULL(56)
#define PM_UFFD_WP	BIT_ULL(57)
#define PM_FILE		BIT_ULL(61)
#define PM_SWAPPED	BIT_ULL(62)
#define PM_PRESENT	BIT_ULL(63)
#define PM_MAPPED	(PM_PRESENT | PM_SWAPPED)
#define PM_COMPARED	(PM_MAPPED | PM_FILE | PM_UFFD_WP | PM_EXCLUSIVE | PM_SOFT_DIRTY)
#define STATE_HUGE	1ULL	/* mapped by a huge PMD */
#define STATE_LARGE	2ULL	/* part of a large folio; only where asked for */

/* Contents of a page that are not one of the patterns. */
#define CONTENT_ZERO	0ULL
#define CONTENT_SIGBUS	1ULL
#define CONTENT_CORRUPT	2ULL
#define PATTERN_STEP	0x9e3779b97f4a7c15ULL	/* from word to word of a page */

#define MOVE_CANARY	0x0badcafe0badcafeLL

/* What became of one range of a vector. */
struct fate {
	__u64 moved;	/* bytes */
	int error;	/* why not more, 0 if that was all */
	__u32 stop;	/* the same as UFFDIO_MOVEV says it */
};

/* What one engine made of a call; lives in memory shared with the child that ran it. */
struct outcome {
	bool made;			/* the memory came out as planned */
	bool finished;
	int ret;
	int error;			/* errno, 0 if ret is 0 */
	__s64 move;
	struct fate fates[RANGES_MAX];
	int dealt;			/* so many ranges have one */
	__u64 before[WORLD_PAGES];
	__u64 after[WORLD_PAGES];
	__u64 content[WORLD_PAGES];	/* afterwards */
};

enum verdict { ALIKE, INTENDED, DIFFERENT, NOT_COMPARABLE };

static inline char *page_at(int page)
{
	return (char *)(WORLD_START + page * PAGE_BYTES);
}

static inline bool has_twist(const struct plan *plan, enum twist twist)
{
	return plan->twists[0] == twist || plan->twists[1] == twist;
}

/* differential_plan.c */
struct span vma_of(const struct plan *plan, enum side side);
void plan_call(struct plan *plan, unsigned int number);
void print_plan(const struct plan *plan);

/* differential_kinds.c */
extern const char *const kind_names[NR_KINDS];
extern const int kind_pages[NR_KINDS];
__u64 planned_content(const struct plan *plan, int page);
pid_t build_world(const struct plan *plan);

/* differential_world.c */
void fail(const char *what);
void advise(int first, int count, int advice, const char *what);
__u64 read_state(int page);
__u64 read_frame(int page);
void run_plan(const struct plan *call, struct outcome *out, int foreign_fd, bool ours);

/* differential_calls.c */
void make_call(const struct plan *plan, int fd, bool ours, struct outcome *out);

/* differential_ranges.c */
bool fates_are_sound(const struct plan *plan, const struct outcome *out);
bool fates_agree(const struct outcome *base, const struct outcome *ours);
void count_stops(const struct outcome *ours);
void explain_fates(const struct plan *plan, const struct outcome *base, const struct outcome *ours);
bool report_stops(unsigned int test);

/* differential_compare.c */
enum verdict compare_outcomes(const struct plan *plan, const struct outcome *base,
			      const struct outcome *ours);
void explain_outcomes(const struct plan *plan, const struct outcome *base,
		      const struct outcome *ours);
unsigned int intended_rows(enum door door);
unsigned int report_intended(unsigned int test, enum door door);
unsigned int report_kinds(unsigned int test, enum door door);

#endif /* DIFFERENTIAL_H */
