// SPDX-License-Identifier: GPL-2.0
/*
 * Backends that move the pages of a run by one call, UFFDIO_MOVE or MREMAP_ONLYPAGES,
 * and what is done about a page that did not move.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include "gc.h"
#include "backend.h"
#include "compact.h"
#include "heap.h"
#include "meters.h"
#include "options.h"
#include "private.h"

/* As ART does it: copy a page that may not move, then let go of the source. */
static void copy_instead(size_t page, char *src)
{
	add(&events[EV_EBUSY], 1);
	copy_pages(page, src, 1);
	if (madvise(src, PAGE, MADV_DONTNEED))
		fail("MADV_DONTNEED of a page that was copied: %s", strerror(errno));
}

/*
 * No page there: somebody else has moved it, and will say so, or has said so
 * already. A page that is at neither end would never be.
 */
static void wait_for_mover(size_t page)
{
	unsigned int tries;

	add(&events[EV_ENOENT], 1);
	for (tries = 0; load(&page_states[page]) != PAGE_MAPPED; tries++) {
		if (tries > BUSY_TRIES)
			fail("page %zu is neither at its old nor at its new place", page);
		sched_yield();
	}
}

/**
 * settle() - deal with a page that did not move
 * @page: it
 * @src: where it was to come from
 * @err: errno of UFFDIO_MOVE
 *
 * Return: 1 if it is there now, 0 if it is to be tried again.
 */
size_t settle(size_t page, char *src, int err)
{
	switch (err) {
	case EEXIST:
		add(&events[EV_EEXIST], 1);
		somebody_was_first(page);
		return 1;
	case ENOENT:
		wait_for_mover(page);
		return 1;
	case EBUSY:
		copy_instead(page, src);
		return 1;
	case EAGAIN:
		add(&events[EV_EAGAIN], 1);
		sched_yield();
		return 0;
	}
	fail("a move to page %zu: %s", page, strerror(err));
}

static struct moved by_uffd(size_t page, char *src, size_t pages)
{
	struct uffdio_move arg = {
		.dst = (uintptr_t)page_addr(page),
		.src = (uintptr_t)src,
		.len = pages * PAGE,
		.mode = options.delivery == DELIVERY_SIGBUS ? UFFDIO_MOVE_MODE_DONTWAKE : 0,
	};
	const int err = uffd_command(UFFDIO_MOVE, &arg);

	return (struct moved){ .err = err, .bytes = arg.move };
}

/* The kernel wakes nobody who waits for what this call brings. */
static struct moved by_onlypages(size_t page, char *src, size_t pages)
{
	struct moved moved = move_by_mremap(page_addr(page), src, pages * PAGE, 0);

	if (moved.bytes > 0)
		wake_waiters(page, moved.bytes / PAGE);
	return moved;
}

static void publish_by(struct moved (*move)(size_t page, char *src, size_t pages),
		       size_t page, char *src, size_t pages)
{
	const size_t end = page + pages;
	unsigned int tries = 0;
	struct moved moved;
	size_t n;

	if (!in_secondary(src)) {
		/* The pool was empty, so it was filled elsewhere. */
		copy_pages(page, src, pages);
		return;
	}
	for (; page < end; page += n, src += n * PAGE) {
		moved = move(page, src, end - page);
		add(&events[EV_CALLS], 1);
		if (moved.bytes <= 0) {
			n = settle(page, src, moved.err);
			if (!n && ++tries > BUSY_TRIES)
				fail("a move to page %zu: EAGAIN for ever", page);
			continue;
		}
		if (moved.err)
			add(&events[EV_PARTIAL], 1);
		n = moved.bytes / PAGE;
		pages_are_mapped(page, n);
	}
}

static void move_pages(size_t page, char *src, size_t pages)
{
	publish_by(by_uffd, page, src, pages);
}

static void move_pages_only(size_t page, char *src, size_t pages)
{
	publish_by(by_onlypages, page, src, pages);
}

static void map_for_onlypages(void)
{
	if (move_only_pages(NULL, NULL, 0, 0))
		cannot("no MREMAP_ONLYPAGES in this kernel");
	map_private();
}

const struct backend backend_move = {
	.name = "move", .deliveries = BY_UFFD, .recycles = true,
	.map = map_private, .flip = flip_private, .from = from_private, .stage = stage_recycled,
	.publish = move_pages, .fresh = zero_page, .drop = drop_private,
};

const struct backend backend_onlypages = {
	.name = "onlypages", .deliveries = BY_UFFD | STOPPED, .recycles = true,
	.map = map_for_onlypages, .flip = flip_private, .from = from_private,
	.stage = stage_recycled, .publish = move_pages_only, .fresh = zero_page,
	.drop = drop_private,
};
