// SPDX-License-Identifier: GPL-2.0
/*
 * What PAGEMAP_SCAN tells who tracks writes by UFFD_FEATURE_WP_ASYNC: a page
 * that a move has brought was written to, like one that mremap() has.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/fs.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

/* How an area is registered: so that a set bit means nothing, a message, or "not written". */
enum tracker { NOBODY, LISTENER, TRACKER };

static __u64 features_of(enum tracker tracker)
{
	return FEATURES_WP | (tracker == TRACKER ? UFFD_FEATURE_WP_ASYNC : 0);
}

/* How many pages were written to, or -1; with PM_SCAN_WP_MATCHING, from now on none was. */
static long written(char *addr, size_t pages, __u64 flags)
{
	struct page_region regions[64];
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.flags = flags,
		.start = (uintptr_t)addr,
		.end = (uintptr_t)addr + pages * PAGE,
		.vec = (uintptr_t)regions,
		.vec_len = 64,
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	long i, n = 0, count = 0;

	for (; n >= 0 && scan.start < scan.end; scan.start = scan.walk_end) {
		n = ioctl(fd, PAGEMAP_SCAN, &scan);
		for (i = 0; i < n; i++)
			count += (regions[i].end - regions[i].start) / PAGE;
	}
	close(fd);
	return n < 0 ? -1 : count;
}

/* Write-protects all pages, as their tracker does it. */
static bool protect(int uffd, char *addr, size_t pages, enum tracker tracker)
{
	if (tracker == LISTENER && uffd_writeprotect(uffd, addr, pages * PAGE))
		return false;
	if (tracker == TRACKER &&
	    written(addr, pages, PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC) < 0)
		return false;
	return all_pages(addr, pages, PM_UFFD_WP, PM_UFFD_WP) && !written(addr, pages, 0);
}

static const char *tracking_missing(void)
{
	const char *missing = move_missing();

	return missing ? missing :
		features_missing(features_of(TRACKER), "no UFFD_FEATURE_WP_ASYNC");
}

FIXTURE(written)
{
	struct space space;
	int from;
	long long calls;
};

FIXTURE_VARIANT(written)
{
	enum page_kind_id kind;
	enum tracker from;
	enum tracker to;
};

FIXTURE_VARIANT_ADD(written, small) { KIND_SMALL, TRACKER, TRACKER };
FIXTURE_VARIANT_ADD(written, small_left) { KIND_SMALL, TRACKER, NOBODY };
FIXTURE_VARIANT_ADD(written, small_to_listener) { KIND_SMALL, TRACKER, LISTENER };
FIXTURE_VARIANT_ADD(written, small_from_listener) { KIND_SMALL, LISTENER, TRACKER };
FIXTURE_VARIANT_ADD(written, zero) { KIND_ZERO, TRACKER, TRACKER };
FIXTURE_VARIANT_ADD(written, mthp) { KIND_MTHP, TRACKER, TRACKER };
FIXTURE_VARIANT_ADD(written, thp) { KIND_THP, TRACKER, TRACKER };
FIXTURE_VARIANT_ADD(written, thp_left) { KIND_THP, TRACKER, NOBODY };
FIXTURE_VARIANT_ADD(written, thp_to_listener) { KIND_THP, TRACKER, LISTENER };
FIXTURE_VARIANT_ADD(written, thp_from_listener) { KIND_THP, LISTENER, TRACKER };
FIXTURE_VARIANT_ADD(written, thp_by_ptes) { KIND_THP_BY_PTES, TRACKER, TRACKER };
FIXTURE_VARIANT_ADD(written, huge_zero) { KIND_HUGE_ZERO, TRACKER, TRACKER };
FIXTURE_VARIANT_ADD(written, swapped) { KIND_SWAPPED, TRACKER, TRACKER };
FIXTURE_VARIANT_ADD(written, swapped_left) { KIND_SWAPPED, TRACKER, NOBODY };
FIXTURE_VARIANT_ADD(written, swapped_to_listener) { KIND_SWAPPED, TRACKER, LISTENER };
FIXTURE_VARIANT_ADD(written, swapped_from_listener) { KIND_SWAPPED, LISTENER, TRACKER };
FIXTURE_VARIANT_ADD(written, swap_cache) { KIND_SWAP_CACHE, TRACKER, TRACKER };
FIXTURE_VARIANT_ADD(written, mthp_swapped) { KIND_MTHP_SWAPPED, TRACKER, TRACKER };

static bool is_swapped(enum page_kind_id kind)
{
	return kind == KIND_SWAPPED || kind == KIND_SWAP_CACHE || kind == KIND_MTHP_SWAPPED;
}

FIXTURE_SETUP(written)
{
	const char *missing = tracking_missing();
	bool kept = variant->to == LISTENER;
	struct space *s = &self->space;

	missing = missing ? missing : kind_missing(variant->kind);
	/* The base drops the bit of what is present, and keeps it of what is swapped. */
	if (!missing && is_swapped(variant->kind) != kept)
		missing = base_serves();
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(s, PMD_PAGES, features_of(variant->to)));
	ASSERT_EQ(0, make_kind(s, variant->kind, 0, PMD_PAGES));
	self->from = uffd_open(0, features_of(variant->from));
	ASSERT_EQ(0, uffd_register(self->from, s->src, PMD, UFFDIO_REGISTER_MODE_WP));
	ASSERT_TRUE(protect(self->from, s->src, PMD_PAGES, variant->from));
	if (variant->to != NOBODY)
		ASSERT_EQ(0, uffd_register(s->uffd, s->dst, PMD, UFFDIO_REGISTER_MODE_MISSING |
					   UFFDIO_REGISTER_MODE_WP));
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(written)
{
	close(self->from);
	space_close(&self->space);
}

static bool has_its_bytes(enum page_kind_id kind, const char *addr)
{
	size_t i;

	if (!page_kinds[kind].zeroes)
		return !*pages_differ(addr, PMD_PAGES, 1);
	for (i = 0; i < PMD && !addr[i]; i++)
		;
	return i == PMD;
}

TEST_F_TIMEOUT(written, O14_arrives_written, PATIENCE)
{
	long long before = engine_count(page_kinds[variant->kind].counters);
	bool kept = variant->to == LISTENER;
	struct space *s = &self->space;

	ASSERT_EQ(0, move_pages_of(s->uffd, s->dst, s->src, PMD, 0).err);
	EXPECT_ENGINE(1, "calls", self->calls);
	EXPECT_ENGINE(PMD_PAGES, page_kinds[variant->kind].counters, before);
	/* Where nobody has registered, later kernels call nothing written. */
	if (variant->to != NOBODY)
		EXPECT_EQ(kept ? 0 : PMD_PAGES, written(s->dst, PMD_PAGES, 0));
	EXPECT_TRUE(all_pages(s->dst, PMD_PAGES, PM_UFFD_WP, kept ? PM_UFFD_WP : 0));
	EXPECT_TRUE(has_its_bytes(variant->kind, s->dst));
	if (variant->to != TRACKER)
		return;
	/* Tracked from here on like any other page. */
	EXPECT_TRUE(protect(s->uffd, s->dst, PMD_PAGES, TRACKER));
	fill_pages(s->dst, 1, 77);
	EXPECT_LT(0, written(s->dst, PMD_PAGES, 0));
}

/* What the above is held against. */
TEST_F_TIMEOUT(written, O14_mremap_does_it_too, PATIENCE)
{
	struct space *s = &self->space;

	ASSERT_EQ(s->dst, mremap(s->src, PMD, PMD, MREMAP_MAYMOVE | MREMAP_FIXED, s->dst));
	ASSERT_EQ(0, uffd_register(s->uffd, s->dst, PMD, UFFDIO_REGISTER_MODE_WP));
	EXPECT_EQ(PMD_PAGES, written(s->dst, PMD_PAGES, 0));
	EXPECT_TRUE(has_its_bytes(variant->kind, s->dst));
}

/* Alike in all but the descriptor, and in turns: what was learnt for one is wrong for the other. */
TEST(O14_two_destinations_alike)
{
	const __u64 mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP;
	const char *missing = tracking_missing();
	struct space to[2];
	size_t i, wrong = 0;
	int from;

	missing = missing ? missing : base_serves();
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, run_on_cpu(0));
	ASSERT_EQ(0, space_open(&to[0], PMD_PAGES, features_of(LISTENER)));
	ASSERT_EQ(0, space_open(&to[1], PMD_PAGES, features_of(TRACKER)));
	ASSERT_EQ(0, make_kind(&to[0], KIND_SMALL, 0, PMD_PAGES));
	from = uffd_open(0, features_of(LISTENER));
	ASSERT_EQ(0, uffd_register(from, to[0].src, PMD, UFFDIO_REGISTER_MODE_WP));
	ASSERT_TRUE(protect(from, to[0].src, PMD_PAGES, LISTENER));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, uffd_register(to[i].uffd, to[i].dst, PMD, mode));
	for (i = 0; i < PMD_PAGES; i++)
		ASSERT_EQ(0, move_pages_of(to[i % 2].uffd, to[i % 2].dst + i * PAGE,
					   to[0].src + i * PAGE, PAGE, 0).err);
	for (i = 0; i < PMD_PAGES; i++)
		wrong += written(to[i % 2].dst + i * PAGE, 1, 0) != (long)(i % 2);
	EXPECT_EQ(0, wrong);
	close(from);
	space_close(&to[0]);
	space_close(&to[1]);
}

TEST_HARNESS_MAIN
