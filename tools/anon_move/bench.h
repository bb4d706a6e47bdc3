/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of anon_move_bench share: kinds of memory, ways to bring it over, what that costs.
 */
#ifndef BENCH_H
#define BENCH_H

#include "shared.h"

#define GIB (1024 * MIB)

/* Costs and events are taken from so much memory; it grows up to GIB. */
#define AREA (16 * MIB)

enum kind {
	KIND_NONE,	/* there were pages, and they were given back */
	KIND_4K,
	KIND_64K,	/* large folios of 16 pages */
	KIND_PMD,	/* huge pages */
	KIND_SWAP,	/* 4K pages, swapped out */
	KIND_MIXED,	/* 4K pages, 1 in 8 is a hole, the zero page or swapped out */
};

enum mover {
	ANON_MOVE,
	BASE,
	COPY,		/* UFFDIO_COPY, then MADV_DONTNEED of the source */
	MREMAP,		/* of all in one call; the floor */
	ONLYPAGES,	/* mremap() with MREMAP_ONLYPAGES, by ANON_MOVE's engine */
	RELOCATE,	/* like MREMAP, with MREMAP_RELOCATE_ANON */
	MUST,		/* like MREMAP, with MREMAP_MUST_RELOCATE_ANON */
	NR_MOVERS
};

extern const char *const mover_names[NR_MOVERS];

/**
 * struct work - memory to be brought over, back and forth
 * @kind: what the memory is made of
 * @mover: by what
 * @pages: pages a call
 * @area: bytes that it can be at most
 * @shift: bytes that the other end lies behind a PMD border, less than PMD_SIZE
 * @mode: UFFDIO_MOVE_MODE_* of each call, known before as the calls are what is measured
 * @uffd: descriptor that both ends are registered with; none for those by mremap()
 * @home: where the first end is mapped, for close_work()
 * @away: where the other end is
 * @src: where the memory is
 * @dst: where it is to be brought
 */
struct work {
	enum kind kind;
	enum mover mover;
	size_t pages;
	size_t area;
	size_t shift;
	int mode;
	int uffd;
	char *home;
	char *away;
	char *src;
	char *dst;
};

/**
 * struct cost - what rounds of work cost
 * @page: guest instructions a page in the cheapest round
 * @events: all events of all rounds
 * @pages: pages of all rounds
 */
struct cost {
	double page;
	long long events[NR_EVENTS];
	unsigned long long pages;
};

/* kinds.c */
void make_kind(enum kind kind, char *area, size_t len);
bool is_kind(enum kind kind, const char *area, size_t len);
void check_bytes(enum kind kind, const char *area, size_t len);

/* work.c */
void open_work(struct work *work);
int relocate_flags(enum mover mover);
struct cost do_work(struct work *work, size_t len, unsigned int rounds,
		    const struct event_counters *counters);
void close_work(struct work *work);
void work_for_ever(struct work *work);

/* sparse.c */
void bench_sparse(void);

/* vectors.c */
void print_vector(const char *row, const char *mover, double a_page, double flushes);
void bench_vectors(void);

/* faults.c */
void bench_faults(void);

/* concurrent.c */
void bench_parallel(void);
void bench_writer(void);

#endif /* BENCH_H */
