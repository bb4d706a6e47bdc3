/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is to be run, and how.
 */
#ifndef GC_OPTIONS_H
#define GC_OPTIONS_H

#include "gc.h"

#define MUTATORS_MAX	8U
#define GC_THREADS_MAX	8U

enum delivery {
	DELIVERY_THREAD, DELIVERY_SIGBUS, DELIVERY_URING, DELIVERY_SIGSEGV,
	DELIVERY_STOPPED,	/* no fault comes: nobody runs until all pages are there */
	DELIVERIES
};

/* Who disturbs. */
#define DISTURB_FORK	_BITUL(0)
#define DISTURB_PIN	_BITUL(1)
#define DISTURB_PAGEOUT	_BITUL(2)
#define DISTURB_COLD	_BITUL(3)	/* leaves are swapped out before each flip */

/* The deliveries of a userfaultfd. */
#define BY_UFFD		(_BITUL(DELIVERY_THREAD) | _BITUL(DELIVERY_SIGBUS) | \
			 _BITUL(DELIVERY_URING))
#define STOPPED		_BITUL(DELIVERY_STOPPED)

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

struct backend;

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

#endif /* GC_OPTIONS_H */
