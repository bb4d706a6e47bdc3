// SPDX-License-Identifier: GPL-2.0
/* Rows of short ranges: what they cost by one UFFDIO_MOVEV, and by UFFDIO_MOVE one by one. */

#define _GNU_SOURCE
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/anon_move.h>

#include "bench.h"
#include "uffd_move.h"

#define RANGES_MAX 64
#define ROUNDS 8

/* Where range i begins, in pages from the beginning of each area. */
static const struct shape {
	const char *name;
	size_t ranges;
	size_t pages;
	size_t apart;
	size_t shift;
} shapes[] = {
	{ "vec.same", 64, 1, 2, 1 },
	{ "vec.apart", 64, 1, 512, 3 },
	{ "vec.runs", 8, 8, 16, 8 },
	{ "vec.one", 1, 1, 1, 0 },
};

struct vector {
	const struct shape *shape;
	int uffd;
	struct uffdio_movev_range there[RANGES_MAX];
	struct uffdio_movev_range back[RANGES_MAX];
};

static void plan(struct vector *v, char *home, char *away)
{
	for (size_t i = 0; i < v->shape->ranges; i++) {
		uintptr_t src = (uintptr_t)home + i * v->shape->apart * PAGE;
		uintptr_t dst = (uintptr_t)away + (i * v->shape->apart + v->shape->shift) * PAGE;

		v->there[i] = (struct uffdio_movev_range) {
			.dst = dst, .src = src, .len = v->shape->pages * PAGE,
		};
		v->back[i] = v->there[i];
		v->back[i].dst = src;
		v->back[i].src = dst;
		for (size_t at = 0; at < v->there[i].len; at += PAGE)
			*(uintptr_t *)(src + at) = src + at;
	}
}

/* All are at home again. */
static void check(const struct vector *v)
{
	for (size_t i = 0; i < v->shape->ranges; i++)
		for (uintptr_t at = v->there[i].src; at < v->there[i].src + v->there[i].len;
		     at += PAGE)
			if (*(uintptr_t *)at != at)
				errx(FAILED, "%s: range %zu has wrong bytes", v->shape->name, i);
}

static void by_vector(const struct vector *v, struct uffdio_movev_range *ranges)
{
	struct uffdio_movev arg = uffd_movev_arg(ranges, v->shape->ranges, 0);

	if (ioctl(v->uffd, UFFDIO_MOVEV, &arg))
		err(FAILED, "%s: UFFDIO_MOVEV, after %llu ranges", v->shape->name, arg.done);
}

static void by_calls(const struct vector *v, struct uffdio_movev_range *ranges)
{
	for (size_t i = 0; i < v->shape->ranges; i++) {
		struct uffd_moved moved = uffd_move(v->uffd, (void *)(uintptr_t)ranges[i].dst,
						    (void *)(uintptr_t)ranges[i].src,
						    ranges[i].len, 0);

		if (moved.stop)
			errx(FAILED, "%s: range %zu stays: %s", v->shape->name, i,
			     strerror(moved.stop));
	}
}

static unsigned long long once(const struct vector *v, struct uffdio_movev_range *ranges,
			       void (*move)(const struct vector *v,
					    struct uffdio_movev_range *ranges))
{
	unsigned long long ns = clock_ns();

	move(v, ranges);
	return clock_ns() - ns - clock_cost();
}

/**
 * print_vector() - a line of JSON for the table of UFFDIO_MOVEV
 * @row: the row
 * @mover: how pages moved: "calls" or "vector"
 * @a_page: instructions a page
 * @flushes: TLB flushes a call
 */
void print_vector(const char *row, const char *mover, double a_page, double flushes)
{
	printf("{\"row\": \"%s\", \"mover\": \"%s\", \"a_page\": %.2f, \"flushes\": %.2f}\n", row,
	       mover, a_page, flushes);
}

static void measure(struct vector *v, const char *mover,
		    void (*move)(const struct vector *v, struct uffdio_movev_range *ranges))
{
	const double pages = v->shape->ranges * v->shape->pages;
	unsigned long long best = 0, ns, flushes = engine_counter("flushes");

	for (int i = 0; i < ROUNDS; i++) {
		ns = once(v, v->there, move);
		if (!best || ns < best)
			best = ns;
		ns = once(v, v->back, move);
		if (ns < best)
			best = ns;
	}
	flushes = engine_counter("flushes") - flushes;
	fprintf(stderr, ">> %s by %s: %.1f instructions a page\n", v->shape->name, mover,
		best / pages);
	print_vector(v->shape->name, mover, best / pages, flushes / 2.0 / ROUNDS);
}

static void bench_shape(const struct shape *shape)
{
	const size_t len = RANGES_MAX * 512 * PAGE;
	char *home = map_small_pages(len), *away = map_small_pages(len);
	struct vector v = { .shape = shape, .uffd = open_uffd(UFFD_FEATURE_SIGBUS) };

	choose_engine(mover_names[ANON_MOVE]);
	plan(&v, home, away);
	register_area(v.uffd, home, len);
	register_area(v.uffd, away, len);
	measure(&v, "calls", by_calls);
	measure(&v, "vector", by_vector);
	close(v.uffd);
	check(&v);
	unmap_area(home, len);
	unmap_area(away, len);
}

/**
 * bench_vectors() - ranges of a page and of few, in the same page tables and in others; faults
 */
void bench_vectors(void)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
		bench_shape(&shapes[i]);
	bench_faults();
}
