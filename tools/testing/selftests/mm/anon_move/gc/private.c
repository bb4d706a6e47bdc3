// SPDX-License-Identifier: GPL-2.0
/*
 * Backends whose heap is private anonymous memory: the flip takes its pages to a
 * secondary mapping, from where they come back by UFFDIO_MOVE, MREMAP_ONLYPAGES,
 * UFFDIO_COPY or mremap() page by page.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gc.h"
#include "backend.h"
#include "compact.h"
#include "heap.h"
#include "meters.h"
#include "options.h"
#include "pool.h"

#define BUSY_TRIES	1000000

int uffd = -1;

static char *secondary;

/**
 * heap_register() - let faults on the heap be ours
 * @mode: UFFDIO_REGISTER_MODE_*
 */
void heap_register(uint64_t mode)
{
	if (uffd_register(uffd, heap.base, heap.pages * PAGE, mode))
		fail("UFFDIO_REGISTER of the heap: %s", strerror(errno));
}

/**
 * heap_unregister() - let them be the kernel's
 */
void heap_unregister(void)
{
	if (uffd_unregister(uffd, heap.base, heap.pages * PAGE))
		fail("UFFDIO_UNREGISTER of the heap: %s", strerror(errno));
}

static void map_private(void)
{
	const size_t len = heap.pages * PAGE;
	const int advice = options.huge == HUGE_NEVER ? MADV_NOHUGEPAGE : MADV_HUGEPAGE;

	heap.base = map_aligned(len);
	secondary = map_aligned(len);
	if (!heap.base || !secondary)
		cannot("no room for two mappings of %zu MiB", len / MIB);
	/* EINVAL: a kernel without huge pages has no others. */
	if (madvise(heap.base, len, advice) && options.huge != HUGE_NEVER)
		cannot("no huge pages here: MADV_HUGEPAGE: %s", strerror(errno));
	/* The reserve is there from the beginning. */
	memset(page_addr(heap.pages - RESERVE_REGIONS * REGION_PAGES), 1, RESERVE_REGIONS * REGION);
	memset(heap.populated + heap.pages - RESERVE_REGIONS * REGION_PAGES, 1,
	       RESERVE_REGIONS * REGION_PAGES);
}

/*
 * Registered afterwards, as mremap() moves whole page tables only of what is not
 * registered. Nobody may touch the heap in between, not even by a system call: the
 * page of zeroes it would get there would later pass for one that somebody moved.
 */
static void flip_private(void)
{
	const size_t len = heap.pages * PAGE;

	if (mremap(heap.base, len, len, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
		   secondary) == MAP_FAILED)
		hit_wall("mremap() of the heap: %s, after %ld VMAs",
			 errno == EFAULT ? "EFAULT, it is not one VMA any more" : strerror(errno),
			 vma_count());
	if (options.delivery != DELIVERY_STOPPED)
		heap_register(UFFDIO_REGISTER_MODE_MISSING);
}

static char *from_private(size_t page)
{
	return secondary + page * PAGE;
}

static void drop_private(void)
{
	if (madvise(secondary, heap.pages * PAGE, MADV_DONTNEED))
		fail("MADV_DONTNEED of the secondary mapping: %s", strerror(errno));
	if (options.delivery != DELIVERY_STOPPED)
		heap_unregister();
}

/**
 * wake_waiters() - let those go on who sleep on the descriptor until a page is there
 * @page: the first
 * @pages: how many
 */
void wake_waiters(size_t page, size_t pages)
{
	if (options.delivery == DELIVERY_THREAD || options.delivery == DELIVERY_URING)
		uffd_wake(uffd, page_addr(page), pages * PAGE);
}

/* Waiters that came after the winner's wake-up, if any, look again. */
static void somebody_was_first(size_t page)
{
	if (options.delivery == DELIVERY_STOPPED)
		fail("page %zu was there already, and nobody else could bring it", page);
	page_is_mapped(page);
	wake_waiters(page, 1);
}

static void pages_are_mapped(size_t page, size_t pages)
{
	for (; pages; page++, pages--)
		page_is_mapped(page);
}

static long long copy_once(size_t page, char *src, size_t len)
{
	struct uffdio_copy arg = {
		.dst = (uintptr_t)page_addr(page),
		.src = (uintptr_t)src,
		.len = len,
		.mode = options.delivery == DELIVERY_SIGBUS ? UFFDIO_COPY_MODE_DONTWAKE : 0,
	};
	int err = ioctl(uffd, UFFDIO_COPY, &arg);

	add(&events[EV_CALLS], 1);
	if (!err)
		return len;
	return arg.copy > 0 ? arg.copy : -errno;
}

/* Where nobody can look, pages need not come with all their bytes at once. */
static void write_pages(size_t page, const char *src, size_t pages)
{
	memcpy(page_addr(page), src, pages * PAGE);
	add(&events[EV_COPIED_BYTES], pages * PAGE);
	pages_are_mapped(page, pages);
}

/**
 * copy_pages() - publish pages by UFFDIO_COPY, or by writing to them
 * @page: the first
 * @src: what is to be in them
 * @pages: how many
 */
void copy_pages(size_t page, char *src, size_t pages)
{
	const size_t end = page + pages;
	unsigned int tries = 0;
	long long n;

	if (options.delivery == DELIVERY_STOPPED) {
		write_pages(page, src, pages);
		return;
	}
	while (page < end) {
		n = copy_once(page, src, (end - page) * PAGE);
		if (n == -EEXIST) {
			add(&events[EV_EEXIST], 1);
			somebody_was_first(page);
			n = PAGE;
		} else if (n == -EAGAIN && tries++ < BUSY_TRIES) {
			add(&events[EV_EAGAIN], 1);
			n = 0;
		} else if (n < 0) {
			fail("UFFDIO_COPY to page %zu: %s", page, strerror(-n));
		} else {
			add(&events[EV_COPIED_BYTES], n);
			pages_are_mapped(page, n / PAGE);
		}
		page += n / PAGE;
		src += n;
	}
}

static void zero_page(size_t page)
{
	struct uffdio_zeropage arg = {
		.range = { .start = (uintptr_t)page_addr(page), .len = PAGE },
	};

	if (ioctl(uffd, UFFDIO_ZEROPAGE, &arg) && errno != EEXIST)
		fail("UFFDIO_ZEROPAGE to page %zu: %s", page, strerror(errno));
	page_is_mapped(page);
}

static char *stage_buffer(struct worker *w, size_t page)
{
	(void)page;
	return w->buffer + w->used++ % w->buffer_pages * PAGE;
}

/* Where there is no used page, a page of the worker's own is filled, and copied then. */
static char *stage_recycled(struct worker *w, size_t page)
{
	size_t used = pool_take();

	if (used == NO_PAGE) {
		add(&events[EV_POOL_EMPTY], 1);
		return stage_buffer(w, page);
	}
	return from_private(used);
}

static bool in_secondary(const char *src)
{
	return src >= secondary && src < secondary + heap.pages * PAGE;
}

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

/* The first page of a range did not move; returns how many pages are settled. */
static size_t settle(size_t page, char *src, int err)
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
	const uint64_t mode = options.delivery == DELIVERY_SIGBUS ? UFFDIO_MOVE_MODE_DONTWAKE : 0;

	return move_pages_of(uffd, page_addr(page), src, pages * PAGE, mode);
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

/* What was at the destination is unmapped first, and stays so if that takes the last VMA. */
static void remap_failed(size_t page, char *src, int err)
{
	if (err != ENOMEM)
		fail("mremap() of page %zu: %s", page, strerror(err));
	if (msync(page_addr(page), PAGE, MS_ASYNC))
		hit_wall("mremap() of a page: ENOMEM at vm.max_map_count, and its place unmapped");
	near_wall("mremap() of a page: ENOMEM at vm.max_map_count");
	copy_pages(page, src, 1);
}

/* A page a call; where there is no room for another VMA, the page is copied. */
static void remap_by(int flag, size_t page, char *src, size_t pages)
{
	const int flags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP | flag;
	int err;

	for (; pages; page++, src += PAGE, pages--) {
		add(&events[EV_CALLS], 1);
		if (!in_secondary(src)) {
			copy_pages(page, src, 1);
			continue;
		}
		err = relocate(page_addr(page), src, 1, flags);
		if (err) {
			remap_failed(page, src, -err);
		} else {
			page_is_mapped(page);
			wake_waiters(page, 1);
		}
	}
}

static void remap_pages(size_t page, char *src, size_t pages)
{
	remap_by(0, page, src, pages);
}

/* Merges with what is beside it, as long as nothing is registered at either end. */
static void relocate_pages(size_t page, char *src, size_t pages)
{
	remap_by(MREMAP_RELOCATE_ANON, page, src, pages);
}

static void map_for_relocate(void)
{
	map_private();
	/* It stays where it is. */
	if (relocate(heap.base, heap.base, 1, MREMAP_MAYMOVE | MREMAP_RELOCATE_ANON))
		cannot("no MREMAP_RELOCATE_ANON in this kernel");
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

const struct backend backend_copy = {
	.name = "copy", .deliveries = BY_UFFD,
	.map = map_private, .flip = flip_private, .from = from_private, .stage = stage_buffer,
	.publish = copy_pages, .fresh = zero_page, .drop = drop_private,
};

const struct backend backend_mremap = {
	.name = "mremap", .deliveries = BY_UFFD | STOPPED, .exclusive = true, .recycles = true,
	.map = map_private, .flip = flip_private, .from = from_private, .stage = stage_recycled,
	.publish = remap_pages, .fresh = zero_page, .drop = drop_private,
};

const struct backend backend_relocate = {
	.name = "relocate", .deliveries = STOPPED, .exclusive = true, .recycles = true,
	.map = map_for_relocate, .flip = flip_private, .from = from_private,
	.stage = stage_recycled, .publish = relocate_pages, .drop = drop_private,
};
