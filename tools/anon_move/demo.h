/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of anon_move_demo share: a row of the table, and who fills in what of it.
 */
#ifndef DEMO_H
#define DEMO_H

#include "shared.h"

#define MAX_MIB 65536

/* A row's memory is brought over in so many rounds, each one measured. */
#define ROUNDS 16

enum way {
	WAY_RANGES,	/* one thread, many pages a call */
	WAY_FAULTS,	/* one thread touches each page, another one resolves its fault */
	WAY_SIGBUS,	/* the thread that touches gets SIGBUS and resolves the fault itself */
	NR_WAYS
};

extern const char *const way_names[NR_WAYS];

/**
 * struct row - one row of the table
 * @way: how the pages are brought over
 * @mover: by what: an engine of the kernel, "current" or "copy"
 * @area: bytes brought over in each round
 * @bunch: bytes a call in ranges; bytes dropped at once after copying them
 * @pages: result: pages brought over and checked
 * @cost: result: nanoseconds a page in the cheapest round
 * @flushes: result: TLB flushes per 1000 pages, negative if not countable
 * @allocated: result: pages the kernel allocated per 1000 pages
 */
struct row {
	enum way way;
	const char *mover;
	size_t area;
	size_t bunch;
	unsigned long long pages;
	double cost;
	double flushes;
	double allocated;
};

/* ways.c */
void play_row(struct row *row);

#endif /* DEMO_H */
