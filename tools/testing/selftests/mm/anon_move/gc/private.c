// SPDX-License-Identifier: GPL-2.0
/*
 * A heap that is private anonymous memory: the flip takes its pages to a secondary
 * mapping, from where they come back. Backend "copy", whose copies they are.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "gc.h"
#include "backend.h"
#include "compact.h"
#include "heap.h"
#include "meters.h"
#include "options.h"
#include "pool.h"
#include "private.h"

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

/**
 * map_private() - map the heap and the secondary mapping
 */
void map_private(void)
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

/**
 * flip_private() - take the pages to the secondary mapping; in the pause
 *
 * Registered afterwards, as mremap() moves whole page tables only of what is not
 * registered. Nobody may touch the heap in between, not even by a system call: the
 * page of zeroes it would get there would later pass for one that somebody moved.
 */
void flip_private(void)
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

/**
 * from_private() - where a page is since the flip
 * @page: it
 *
 * Return: its address in the secondary mapping.
 */
char *from_private(size_t page)
{
	return secondary + page * PAGE;
}

/**
 * drop_private() - let go of what nobody wanted, and let faults be the kernel's
 */
void drop_private(void)
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

/**
 * somebody_was_first() - a page is there that was still to be published
 * @page: it
 *
 * Waiters that came after the winner's wake-up, if any, look again.
 */
void somebody_was_first(size_t page)
{
	if (options.delivery == DELIVERY_STOPPED)
		fail("page %zu was there already, and nobody else could bring it", page);
	page_is_mapped(page);
	wake_waiters(page, 1);
}

/**
 * pages_are_mapped() - pages have been published
 * @page: the first
 * @pages: how many
 */
void pages_are_mapped(size_t page, size_t pages)
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

/**
 * zero_page() - make a page of zeroes appear
 * @page: it
 */
void zero_page(size_t page)
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

/**
 * stage_recycled() - take a used page to fill
 * @w: the calling worker
 * @page: what it is for
 *
 * Where there is none, a page of the worker's own is filled, and copied then.
 *
 * Return: its address.
 */
char *stage_recycled(struct worker *w, size_t page)
{
	size_t used = pool_take();

	if (used == NO_PAGE) {
		add(&events[EV_POOL_EMPTY], 1);
		return stage_buffer(w, page);
	}
	return from_private(used);
}

/**
 * in_secondary() - is a page where it can be moved from?
 * @src: its address
 *
 * Return: false if it is a worker's own.
 */
bool in_secondary(const char *src)
{
	return src >= secondary && src < secondary + heap.pages * PAGE;
}

const struct backend backend_copy = {
	.name = "copy", .deliveries = BY_UFFD,
	.map = map_private, .flip = flip_private, .from = from_private, .stage = stage_buffer,
	.publish = copy_pages, .fresh = zero_page, .drop = drop_private,
};
