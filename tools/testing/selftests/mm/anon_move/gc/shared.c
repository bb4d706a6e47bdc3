// SPDX-License-Identifier: GPL-2.0
/*
 * Backends whose heap is a mapping of a memfd, of which the collector has another
 * one, the alias: pages become accessible by UFFDIO_CONTINUE, or by mprotect()
 * after SIGSEGV.
 *
 * The file has two places for each region. Dense regions stay where they are and
 * are updated through the alias. Others change to their other place at the flip,
 * as their old objects are needed while the new ones arrive; then the old place
 * is punched out of the file.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
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
#include "plan.h"

static int file = -1;
static char *alias;
static uint8_t *old_half;

static size_t place(size_t page, unsigned int half)
{
	return (half * heap.pages + page) * PAGE;
}

static char *from_file(size_t page)
{
	return alias + place(page, old_half[page / REGION_PAGES]);
}

static char *stage_file(struct worker *w, size_t page)
{
	(void)w;
	return alias + place(page, heap.regions[page / REGION_PAGES].half);
}

/* Regions side by side whose places in the file are side by side are one VMA. */
static void map_regions(int prot)
{
	size_t first, last;

	for (first = 0; first < heap.nr_regions; first = last) {
		unsigned int half = heap.regions[first].half;

		for (last = first + 1; last < heap.nr_regions; last++)
			if (heap.regions[last].half != half)
				break;
		if (mmap(heap.base + first * REGION, (last - first) * REGION, prot,
			 MAP_SHARED | MAP_FIXED, file,
			 place(first * REGION_PAGES, half)) == MAP_FAILED)
			hit_wall("mmap() of %zu regions: %s, after %ld VMAs", last - first,
				 strerror(errno), vma_count());
	}
}

static void map_file(void)
{
	const size_t len = heap.pages * PAGE;

	if (options.huge != HUGE_NEVER)
		misused("huge pages are for backends move, onlypages, copy and mremap");
	file = memfd_create("gc_heap", MFD_CLOEXEC);
	if (file < 0 || ftruncate(file, 2 * len))
		cannot("no memfd of %zu MiB: %s", 2 * len / MIB, strerror(errno));
	alias = mmap(NULL, 2 * len, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	heap.base = map_aligned(len);
	if (alias == MAP_FAILED || !heap.base)
		cannot("no room for the alias of the heap");
	old_half = side_table(heap.nr_regions);
	map_regions(PROT_READ | PROT_WRITE);
}

static void change_places(void)
{
	struct region *r;
	size_t i;

	for (i = 0; i < heap.nr_regions; i++) {
		r = &heap.regions[i];
		old_half[i] = r->half;
		if (r->plan != PLAN_DENSE && r->plan != PLAN_BLACK)
			r->half = !r->half;
	}
}

static void punch_old_places(void)
{
	size_t i;

	for (i = 0; i < heap.nr_regions; i++) {
		if (old_half[i] == heap.regions[i].half)
			continue;
		if (fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      place(i * REGION_PAGES, old_half[i]), REGION))
			fail("can't punch a hole: %s", strerror(errno));
	}
}

static void flip_continue(void)
{
	change_places();
	map_regions(PROT_READ | PROT_WRITE);
	heap_register(UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR);
}

static long long continue_once(size_t page, size_t len)
{
	struct uffdio_continue arg = {
		.range = { .start = (uintptr_t)page_addr(page), .len = len },
		.mode = options.delivery == DELIVERY_SIGBUS ? UFFDIO_CONTINUE_MODE_DONTWAKE : 0,
	};
	int err = ioctl(uffd, UFFDIO_CONTINUE, &arg);

	add(&events[EV_CALLS], 1);
	if (!err)
		return len;
	return arg.mapped > 0 ? arg.mapped : -errno;
}

static void continue_pages(size_t page, char *src, size_t pages)
{
	const size_t end = page + pages;
	long long n;

	(void)src;
	while (page < end) {
		n = continue_once(page, (end - page) * PAGE);
		if (n == -EEXIST) {
			add(&events[EV_EEXIST], 1);
			wake_waiters(page, 1);
			n = PAGE;
		} else if (n == -EAGAIN) {
			add(&events[EV_EAGAIN], 1);
			continue;
		} else if (n < 0) {
			fail("UFFDIO_CONTINUE of page %zu: %s", page, strerror(-n));
		}
		for (; n > 0; n -= PAGE)
			page_is_mapped(page++);
	}
}

/* The file gets a page there by being written to. */
static void continue_fresh(size_t page)
{
	store_relaxed(stage_file(NULL, page), 0);
	continue_pages(page, NULL, 1);
}

static void drop_continue(void)
{
	punch_old_places();
	heap_unregister();
}

static void flip_protect(void)
{
	change_places();
	map_regions(PROT_NONE);
}

static void open_all(void)
{
	size_t page;

	if (mprotect(heap.base, heap.pages * PAGE, PROT_READ | PROT_WRITE))
		fail("mprotect() of the heap: %s", strerror(errno));
	for (page = 0; page < heap.pages; page++)
		if (plan.how[page] != HOW_FRESH)
			page_is_mapped(page);
}

/* Where there is no room for another VMA the page stays ready; all are opened in the end. */
static void open_pages(size_t page, char *src, size_t pages)
{
	size_t i;

	(void)src;
	add(&events[EV_CALLS], 1);
	if (!mprotect(page_addr(page), pages * PAGE, PROT_READ | PROT_WRITE)) {
		for (i = 0; i < pages; i++)
			page_is_mapped(page + i);
		return;
	}
	if (errno != ENOMEM)
		fail("mprotect() of page %zu: %s", page, strerror(errno));
	near_wall("mprotect() of a page: ENOMEM at vm.max_map_count");
	for (i = 0; i < pages; i++)
		store(&page_states[page + i], plan.how[page] == HOW_FRESH ? PAGE_RAW : PAGE_READY);
}

static void open_fresh(size_t page)
{
	open_pages(page, NULL, 1);
}

static void drop_protect(void)
{
	punch_old_places();
	if (mprotect(heap.base, heap.pages * PAGE, PROT_READ | PROT_WRITE))
		fail("mprotect() of the heap: %s", strerror(errno));
}

const struct backend backend_continue = {
	.name = "continue", .fixed = true,
	.deliveries = BY_UFFD,
	.features = UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MISSING_SHMEM,
	.map = map_file, .flip = flip_continue, .from = from_file, .stage = stage_file,
	.publish = continue_pages, .fresh = continue_fresh, .drop = drop_continue,
};

const struct backend backend_sigsegv = {
	.name = "sigsegv", .fixed = true, .exclusive = true,
	.deliveries = _BITUL(DELIVERY_SIGSEGV),
	.map = map_file, .flip = flip_protect, .from = from_file, .stage = stage_file,
	.publish = open_pages, .fresh = open_fresh, .drop = drop_protect, .open_all = open_all,
};
