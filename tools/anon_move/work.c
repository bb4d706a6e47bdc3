// SPDX-License-Identifier: GPL-2.0
/* Brings memory to another address and back by each mover, and measures nothing but that. */

#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "mremap_move.h"
#include "uffd_move.h"

const char *const mover_names[NR_MOVERS] = { "anon_move", "base", "copy", "mremap", "onlypages" };

static bool needs_uffd(const struct work *work)
{
	return work->mover != MREMAP && work->mover != ONLYPAGES;
}

static void open_ends(struct work *work)
{
	if (!needs_uffd(work))
		return;
	/* As ART opens it: whoever faults moves the page himself, so there is nobody to wake. */
	work->uffd = open_uffd(UFFD_FEATURE_SIGBUS);
	register_area(work->uffd, work->src, work->area);
	register_area(work->uffd, work->dst, work->area);
}

/* Whoever looks at bytes after this must not wait for his own page faults to be served. */
static void close_ends(struct work *work)
{
	if (needs_uffd(work))
		close(work->uffd);
}

/*
 * mremap() moves whole page tables where both addresses are alike below the
 * PMD. For the floor they are not; but huge pages would be split then.
 */
static size_t shift(const struct work *work)
{
	return work->mover == MREMAP && work->kind != KIND_PMD ? PMD_SIZE / 2 : 0;
}

/**
 * open_work() - map both ends, make the memory
 * @work: kind, mover, pages and area are set, the rest is filled in
 */
void open_work(struct work *work)
{
	work->src = map_area(work->area);
	work->dst = map_area(work->area + PMD_SIZE) + shift(work);
	make_kind(work->kind, work->src, work->area);
	open_ends(work);
}

/**
 * close_work() - check every byte, give all memory back
 * @work: from open_work(), after an even number of rounds
 */
void close_work(struct work *work)
{
	close_ends(work);
	check_bytes(work->kind, work->src, work->area);
	unmap_area(work->src, work->area);
	unmap_area(work->dst - shift(work), work->area + PMD_SIZE);
}

/* The base's mover splits large folios, a copy is never one, and reads in what was swapped out. */
static void prepare(struct work *work, size_t len)
{
	if (is_kind(work->kind, work->src, len))
		return;
	close_ends(work);
	check_bytes(work->kind, work->src, len);
	make_kind(work->kind, work->src, len);
	open_ends(work);
}

static inline void move_part(const struct work *work, size_t at)
{
	const int mode = work->kind == KIND_MIXED ? UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES : 0;
	struct uffd_moved moved = uffd_move(work->uffd, work->dst + at, work->src + at,
					    work->pages * PAGE, mode);

	if (moved.stop)
		errx(FAILED, "page %zu stays: %s", (at + moved.bytes) / PAGE,
		     strerror(moved.stop));
}

static void move(const struct work *work, size_t len)
{
	for (size_t at = 0; at < len; at += work->pages * PAGE)
		move_part(work, at);
}

static void move_only_pages(const struct work *work, size_t len)
{
	const int flags = work->kind == KIND_MIXED ? MREMAP_ONLYPAGES_HOLES : 0;
	const ssize_t step = work->pages * PAGE;

	for (size_t at = 0; at < len; at += step)
		if (mremap_move(work->dst + at, work->src + at, step, flags) != step)
			err(FAILED, "page %zu stays, or what comes behind it", at / PAGE);
}

/* The source is dropped at once, not after each call: copying is shown at its best. */
static void copy(const struct work *work, size_t len)
{
	const size_t step = work->pages * PAGE;

	for (size_t at = 0; at < len; at += step) {
		struct uffdio_copy arg = {
			.dst = (uintptr_t)work->dst + at,
			.src = (uintptr_t)work->src + at,
			.len = step,
		};

		if (ioctl(work->uffd, UFFDIO_COPY, &arg))
			err(FAILED, "UFFDIO_COPY of page %zu", at / PAGE);
	}
	if (madvise(work->src, len, MADV_DONTNEED))
		err(FAILED, "MADV_DONTNEED");
}

static void bring(const struct work *work, size_t len)
{
	if (work->mover == COPY)
		copy(work, len);
	else if (work->mover == ONLYPAGES)
		move_only_pages(work, len);
	else if (work->mover != MREMAP)
		move(work, len);
	else if (mremap(work->src, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, work->dst) ==
		 MAP_FAILED)
		err(FAILED, "mremap");
}

/* What must be unmapped is not part of the floor. */
static void clear_way(const struct work *work, size_t len)
{
	if (work->mover == MREMAP)
		munmap(work->dst, len);
}

/* Nobody may map anything where the memory will come back to. */
static void keep_place(const struct work *work, size_t len)
{
	if (work->mover == MREMAP &&
	    mmap(work->src, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	    MAP_FAILED)
		err(FAILED, "mmap");
}

/* What reading the clock costs shows where a round is one short call. */
static unsigned long long clock_cost(void)
{
	unsigned long long ns, least = -1;

	for (int i = 0; i < 10; i++) {
		ns = clock_ns();
		ns = clock_ns() - ns;
		if (ns < least)
			least = ns;
	}
	return least;
}

static void count(const struct event_counters *counters, struct cost *cost, int weight)
{
	unsigned long long counts[NR_EVENTS];

	if (!counters)
		return;
	events_read(counters, counts);
	for (int i = 0; i < NR_EVENTS; i++)
		cost->events[i] += weight * (long long)counts[i];
}

static void do_round(struct work *work, size_t len, const struct event_counters *counters,
		     struct cost *cost)
{
	const unsigned long long pages = len / PAGE;
	unsigned long long ns;
	double page;
	char *src;

	prepare(work, len);
	clear_way(work, len);
	/* What lies between the last two readings, less that between the first two. */
	count(counters, cost, 1);
	count(counters, cost, -2);
	ns = clock_ns();
	bring(work, len);
	ns = clock_ns() - ns;
	page = (double)(ns - clock_cost()) / pages;
	count(counters, cost, 1);
	if (!cost->page || page < cost->page)
		cost->page = page;
	cost->pages += pages;
	keep_place(work, len);
	if (!is_kind(KIND_NONE, work->src, len))
		errx(FAILED, "something is left at the source");
	src = work->src;
	work->src = work->dst;
	work->dst = src;
}

/* A switch without effect gives handsome figures too, so the engine's own counters must agree. */
static unsigned long long pages_by_engine(void)
{
	return engine_counter("moved_") + engine_counter("holes");
}

/**
 * do_work() - bring memory over and back, again and again
 * @work: from open_work()
 * @len: bytes, from its start
 * @rounds: how often; an even number, so that all memory is together in the end
 * @counters: NULL, or to count events, which costs instructions
 *
 * Ends the program when anything goes wrong.
 *
 * Return: the costs.
 */
struct cost do_work(struct work *work, size_t len, unsigned int rounds,
		    const struct event_counters *counters)
{
	struct cost cost = { 0 };
	unsigned long long moved;

	if (work->mover == ANON_MOVE || work->mover == BASE)
		choose_engine(mover_names[work->mover]);
	moved = pages_by_engine();
	while (rounds--)
		do_round(work, len, counters, &cost);
	moved = pages_by_engine() - moved;
	if (moved != (work->mover == ANON_MOVE || work->mover == ONLYPAGES ? cost.pages : 0))
		errx(FAILED, "%s: anon_move says that it moved %llu of the %llu pages",
		     mover_names[work->mover], moved, cost.pages);
	return cost;
}

/**
 * work_for_ever() - bring memory over and back, and nothing else, until killed
 * @work: from open_work(), to be done by a mover of the kernel
 *
 * The base's mover splits large folios, so they are made anew for each round.
 */
void work_for_ever(struct work *work)
{
	choose_engine(mover_names[work->mover]);
	for (;;) {
		char *src = work->src;

		prepare(work, work->area);
		for (size_t at = 0; at < work->area; at += work->pages * PAGE) {
			/* Here tools/anon_move/profile sees a call begin, whoever serves it. */
			asm volatile("profiled_move:");
			move_part(work, at);
		}
		work->src = work->dst;
		work->dst = src;
	}
}
