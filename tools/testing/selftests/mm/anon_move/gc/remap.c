// SPDX-License-Identifier: GPL-2.0
/*
 * Backends that bring each page by an mremap() of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <linux/mman.h>
#include <sys/mman.h>

#include "gc.h"
#include "backend.h"
#include "compact.h"
#include "heap.h"
#include "meters.h"
#include "options.h"
#include "private.h"

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
