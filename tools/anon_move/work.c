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

const char *const mover_names[NR_MOVERS] = {
	"anon_move", "base", "copy", "mremap", "onlypages", "relocate", "must",
};

static bool needs_uffd(const struct work *work)
{
	return work->mover < MREMAP;
}

/* Does the mapping go with its pages? */
static bool moves_mapping(const struct work *work)
{
	return work->mover == MREMAP || work->mover > ONLYPAGES;
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

/**
 * open_work() - map both ends, make the memory
 * @work: kind, mover, pages, area and shift are set, the rest is filled in
 */
void open_work(struct work *work)
{
	work->home = map_area(work->area);
	work->away = map_area(work->area + PMD_SIZE);
	work->src = work->home;
	work->dst = work->away + work->shift;
	work->mode = work->kind == KIND_MIXED || work->kind == KIND_NONE ?
		UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES : 0;
	make_kind(work->kind, work->src, work->area);
	open_ends(work);
}

/**
 * close_work() - check every byte, give all memory back
 * @work: from open_work(), all of its memory at one end
 */
void close_work(struct work *work)
{
	close_ends(work);
	check_bytes(work->kind, work->src, work->area);
	unmap_area(work->home, work->area);
	unmap_area(work->away, work->area + PMD_SIZE);
}

static void swap_ends(struct work *work)
{
	char *src = work->src;

	work->src = work->dst;
	work->dst = src;
}

/* A huge page that goes to another address below the PMD is one by its folio alone then. */
static bool is_as_made(const struct work *work, size_t len)
{
	return is_kind(work->kind, work->src, len) && !(work->kind == KIND_PMD && work->shift);
}

/*
 * The base's mover splits large folios, a copy is never one, and reads in what was
 * swapped out. Large folios are made at a PMD border.
 */
static void prepare(struct work *work, size_t len)
{
	if (is_as_made(work, len))
		return;
	close_ends(work);
	check_bytes(work->kind, work->src, len);
	if (work->src == work->away + work->shift && work->shift) {
		madvise(work->src, len, MADV_DONTNEED);
		swap_ends(work);
	}
	make_kind(work->kind, work->src, len);
	open_ends(work);
}

static inline void move_part(const struct work *work, size_t at)
{
	struct uffd_moved moved = uffd_move(work->uffd, work->dst + at, work->src + at,
					    work->pages * PAGE, work->mode);

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
	const int flags = work->mode ? MREMAP_ONLYPAGES_HOLES : 0;
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

/**
 * relocate_flags() - what a mover adds to the flags of mremap()
 * @mover: one that moves the mapping with its pages
 *
 * Return: a flag, or 0.
 */
int relocate_flags(enum mover mover)
{
	static const int flags[NR_MOVERS] = {
		[RELOCATE] = MREMAP_RELOCATE_ANON,
		[MUST] = MREMAP_MUST_RELOCATE_ANON,
	};

	return flags[mover];
}

static void move_mapping(const struct work *work, size_t len)
{
	if (mremap_relocate(work->dst, work->src, len, relocate_flags(work->mover)))
		err(FAILED, "mremap by %s", mover_names[work->mover]);
}

static void bring(const struct work *work, size_t len)
{
	if (work->mover == COPY)
		copy(work, len);
	else if (work->mover == ONLYPAGES)
		move_only_pages(work, len);
	else if (moves_mapping(work))
		move_mapping(work, len);
	else
		move(work, len);
}

/* What must be unmapped is not part of the floor. */
static void clear_way(const struct work *work, size_t len)
{
	if (moves_mapping(work))
		munmap(work->dst, len);
}

/* Nobody may map anything where the memory will come back to. */
static void keep_place(const struct work *work, size_t len)
{
	if (moves_mapping(work) &&
	    mmap(work->src, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	    MAP_FAILED)
		err(FAILED, "mmap");
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
	swap_ends(work);
}

/* A switch without effect gives handsome figures too, so the engine's own counters must agree. */
static unsigned long long pages_by_engine(void)
{
	return engine_counter("moved_") + engine_counter("holes");
}

static bool by_engine(const struct work *work)
{
	return work->mover == ANON_MOVE || work->mover >= ONLYPAGES;
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
	if (moved != (by_engine(work) ? cost.pages : 0))
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
		prepare(work, work->area);
		for (size_t at = 0; at < work->area; at += work->pages * PAGE) {
			/* Here tools/anon_move/profile sees a call begin, whoever serves it. */
			asm volatile("profiled_move:");
			move_part(work, at);
		}
		swap_ends(work);
	}
}
