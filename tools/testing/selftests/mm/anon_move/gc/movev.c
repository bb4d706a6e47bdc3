// SPDX-License-Identifier: GPL-2.0
/*
 * Backend "vector": the pages of many runs, wherever they lie, move by one UFFDIO_MOVEV.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "gc.h"
#include "backend.h"
#include "compact.h"
#include "heap.h"
#include "meters.h"
#include "options.h"
#include "private.h"
#include "../vector_errno.h"

#define RANGES_MAX	64U	/* a call */

/* Runs that are to move, or what is left of them. */
struct vector {
	struct uffdio_movev_range ranges[RANGES_MAX];
	unsigned int count;
	unsigned int tries;	/* without anything done */
};

static __u64 mode;

/**
 * kernel_has() - can a userfaultfd like ours have these features?
 * @features: UFFD_FEATURE_*
 *
 * Return: true if it can have all of them.
 */
bool kernel_has(uint64_t features)
{
	int probe = uffd_open(UFFD_USER_MODE_ONLY, features);

	if (probe >= 0)
		close(probe);
	return probe >= 0;
}

static void map_for_vector(void)
{
	if (!kernel_has(UFFD_FEATURE_MOVEV))
		cannot("no UFFDIO_MOVEV in this kernel, or it is not allowed");
	mode = UFFDIO_MOVEV_MODE_GO_ON;
	if (options.delivery == DELIVERY_SIGBUS)
		mode |= UFFDIO_MOVEV_MODE_DONTWAKE;
	/* Else what may not move is copied here. */
	if (kernel_has(UFFD_FEATURE_MOVEV_COPY))
		mode |= UFFDIO_MOVEV_MODE_COPY;
	map_private();
}

static bool extend(struct vector *v, size_t page, const char *src)
{
	struct uffdio_movev_range *last = &v->ranges[v->count - 1];

	if (!v->count || last->dst + last->len != (uintptr_t)page_addr(page) ||
	    last->src + last->len != (uintptr_t)src)
		return false;
	last->len += PAGE;
	return true;
}

/*
 * Of all ranges, before anything is waited for: who has moved a page that we should
 * have may be waiting for one of these.
 */
static size_t mark_moved(const struct vector *v)
{
	const struct uffdio_movev_range *r;
	size_t copied = 0, moved = 0;

	for (r = v->ranges; r < v->ranges + v->count; r++) {
		pages_are_mapped(page_of(r->dst), r->moved / PAGE);
		moved += r->moved;
		copied += r->copied;
		if (r->moved && r->stop)
			add(&events[EV_PARTIAL], 1);
	}
	add(&events[EV_EBUSY], copied / PAGE);
	add(&events[EV_COPIED_BYTES], copied);
	return moved / PAGE;
}

/* Returns how many pages were in the way and are there now; the rest of each range stays. */
static size_t settle_stops(struct vector *v)
{
	struct uffdio_movev_range *r, *rest = v->ranges;
	size_t all = 0, n;

	for (r = v->ranges; r < v->ranges + v->count; r++) {
		if (!r->stop)
			continue;
		r->dst += r->moved;
		r->src += r->moved;
		n = settle(page_of(r->dst), (char *)(uintptr_t)r->src, vector_errno(r->stop));
		all += n;
		r->dst += n * PAGE;
		r->src += n * PAGE;
		r->len -= r->moved + n * PAGE;
		if (r->len)
			*rest++ = *r;
	}
	v->count = rest - v->ranges;
	return all;
}

static void move_once(struct vector *v)
{
	struct uffdio_movev arg = vector_arg(v->ranges, v->count, mode);
	const int err = uffd_command(UFFDIO_MOVEV, &arg);
	size_t settled;

	add(&events[EV_CALLS], 1);
	if ((err && err != EAGAIN) || arg.done != v->count)
		fail("UFFDIO_MOVEV: %s, after %llu of %u ranges", strerror(err), arg.done,
		     v->count);
	settled = mark_moved(v);
	settled += settle_stops(v);
	v->tries = settled ? 0 : v->tries + 1;
	if (v->tries > BUSY_TRIES)
		fail("UFFDIO_MOVEV to page %zu: EAGAIN for ever", page_of(v->ranges[0].dst));
}

static void add_page(struct vector *v, size_t page, char *src)
{
	if (extend(v, page, src))
		return;
	while (v->count == RANGES_MAX)
		move_once(v);
	v->ranges[v->count++] = (struct uffdio_movev_range) {
		.dst = (uintptr_t)page_addr(page), .src = (uintptr_t)src, .len = PAGE,
	};
	add(&events[EV_BATCHES], 1);
}

/* Those that somebody else has published meanwhile would each stop a range. */
static void move_ready(const uint32_t *pages, size_t nr)
{
	struct vector v;

	v.count = 0;
	v.tries = 0;
	for (; nr; pages++, nr--) {
		if (load(&page_states[*pages]) == PAGE_MAPPED)
			continue;
		if (in_secondary(page_sources[*pages]))
			add_page(&v, *pages, page_sources[*pages]);
		else
			copy_pages(*pages, page_sources[*pages], 1);
	}
	while (v.count)
		move_once(&v);
}

static void move_run(size_t page, char *src, size_t pages)
{
	struct vector v;

	if (!in_secondary(src)) {
		copy_pages(page, src, pages);
		return;
	}
	v.ranges[0] = (struct uffdio_movev_range) {
		.dst = (uintptr_t)page_addr(page), .src = (uintptr_t)src, .len = pages * PAGE,
	};
	v.count = 1;
	v.tries = 0;
	while (v.count)
		move_once(&v);
}

const struct backend backend_vector = {
	.name = "vector", .deliveries = BY_UFFD, .recycles = true, .around = 8,
	.map = map_for_vector, .flip = flip_private, .from = from_private,
	.stage = stage_recycled, .publish = move_run, .publish_many = move_ready,
	.fresh = zero_page, .drop = drop_private,
};
