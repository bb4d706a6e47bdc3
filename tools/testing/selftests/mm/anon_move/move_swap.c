// SPDX-License-Identifier: GPL-2.0
/*
 * Pages on their way to swap and back: moved without being read in, and whole
 * when they are.
 */
#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#define AREA	PMD_PAGES
#define MADE	(4 * MTHP_PAGES)

FIXTURE(swap)
{
	struct space space;
	long long counted;
	long long calls;
};

FIXTURE_VARIANT(swap)
{
	enum page_kind_id kind;
};

FIXTURE_VARIANT_ADD(swap, swapped) { KIND_SWAPPED };
FIXTURE_VARIANT_ADD(swap, swap_cache) { KIND_SWAP_CACHE };
FIXTURE_VARIANT_ADD(swap, mthp_swapped) { KIND_MTHP_SWAPPED };

FIXTURE_SETUP(swap)
{
	const char *missing = move_missing();

	missing = missing ? missing : kind_missing(variant->kind);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->space, AREA, 0));
	ASSERT_EQ(0, make_kind(&self->space, variant->kind, 0, MADE));
	self->counted = engine_count("moved_swap");
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(swap)
{
	space_close(&self->space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

/* Pages 3..42 to 8..47: neither a whole folio nor aligned alike. */
static struct moved move(struct space *s)
{
	return move_pages_of(s->uffd, s->dst + 8 * PAGE, s->src + 3 * PAGE, 40 * PAGE, 0);
}

TEST_F_TIMEOUT(swap, moves_without_reading, PATIENCE)
{
	long long reads = swap_reads();
	__u64 before[40], after[40];
	struct space *s = &self->space;

	ASSERT_LE(0, reads);
	ASSERT_EQ(0, look(s->src + 3 * PAGE, 40, before));
	EXPECT_EQ(0, move(s).err);
	EXPECT_ENGINE(40, "moved_swap", self->counted);
	EXPECT_EQ(reads, swap_reads());
	/* The same slots of the same device. */
	ASSERT_EQ(0, look(s->dst + 8 * PAGE, 40, after));
	EXPECT_EQ(40, first_unlike(before, after, 40, PM_SWAP | PM_PRESENT | PM_PFN));

	EXPECT_STREQ("", pages_differ(s->dst + 8 * PAGE, 40, 4));
	if (variant->kind != KIND_SWAP_CACHE)
		EXPECT_LT(reads, swap_reads());
}

/* R10, single-threaded: a stale index would send reclaim's unmap to the old address. */
TEST_F_TIMEOUT(swap, R10_out_and_in_again, PATIENCE)
{
	struct space *s = &self->space;
	int round;

	EXPECT_EQ(0, move(s).err);
	for (round = 0; round < 3; round++) {
		EXPECT_STREQ("", pages_differ(s->dst + 8 * PAGE, 40, 4 + 100 * round));
		fill_pages(s->dst + 8 * PAGE, 40, 4 + 100 * (round + 1));
		ASSERT_EQ(0, page_out(s->dst + 8 * PAGE, 40));
	}
	EXPECT_STREQ("", pages_differ(s->dst + 8 * PAGE, 40, 304));
	EXPECT_STREQ("", pages_differ(s->src, 3, 1));
	EXPECT_STREQ("", pages_differ(s->src + 43 * PAGE, MADE - 43, 44));
	EXPECT_ENGINE(40, "moved_swap", self->counted);
}

FIXTURE(pressure)
{
	struct space space;
	long long calls;
};

FIXTURE_SETUP(pressure)
{
	const char *missing = move_missing();

	missing = missing ? missing : swap_missing();
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->space, AREA, 0));
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(pressure)
{
	space_close(&self->space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

/* O10: each page has its old bytes or was dropped; there is no third. */
TEST_F_TIMEOUT(pressure, O10_lazily_freed_may_be_dropped, PATIENCE)
{
	struct space *s = &self->space;
	long long before = engine_count("moved_small");
	const char *differs;
	size_t i, dropped = 0;

	ASSERT_EQ(0, make_kind(s, KIND_LAZY_FREE, 0, MADE));
	EXPECT_EQ(0, move_pages_of(s->uffd, s->dst, s->src, MADE * PAGE, 0).err);
	EXPECT_ENGINE(MADE, "moved_small", before);
	ASSERT_EQ(0, uffd_unregister(s->uffd, s->dst, AREA * PAGE));
	/* One that is written to before it is dropped is kept. */
	fill_pages(s->dst, 1, 50);
	for (i = 0; i < 10; i++)
		ASSERT_EQ(0, madvise(s->dst, MADE * PAGE, MADV_PAGEOUT));
	EXPECT_STREQ("", pages_differ(s->dst, 1, 50));
	for (i = 1; i < MADE; i++) {
		differs = pages_differ(s->dst + i * PAGE, 1, i + 1);
		if (!*differs)
			continue;
		EXPECT_STREQ("", pages_differ(s->dst + i * PAGE, 1, 0));
		dropped++;
	}
	EXPECT_LT(0, dropped);
}

/* Pages that were moved are found by reclaim, at their new address. */
TEST_F_TIMEOUT(pressure, moved_pages_are_reclaimed, PATIENCE)
{
	struct space *s = &self->space;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, MADE));
	EXPECT_EQ(0, move_pages_of(s->uffd, s->dst + 7 * PAGE, s->src, MADE * PAGE, 0).err);
	EXPECT_EQ(0, page_out(s->dst + 7 * PAGE, MADE));
	EXPECT_STREQ("", pages_differ(s->dst + 7 * PAGE, MADE, 1));
}

TEST_HARNESS_MAIN
