// SPDX-License-Identifier: GPL-2.0
/*
 * Page kind x length and alignment x mode: each page arrives with its own
 * bytes and bits, its neighbours stay, and no VMA changes.
 */
#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#define AREA		(5 * PMD_PAGES)
#define FIRST_PMD	PMD_PAGES	/* leaves room for a neighbour of any size */

/* One move; all positions are page numbers in their area. */
struct trial {
	struct space space;
	enum page_kind_id kind;
	__u64 mode;
	size_t pages;
	size_t src;
	size_t dst;
	size_t made;		/* first page of that kind */
	size_t made_end;
	__u64 src_before[AREA];
	__u64 src_after[AREA];
	__u64 dst_after[AREA];
	struct smaps smaps;
	long vmas;
	long long counted;
};

FIXTURE(kinds)
{
	struct trial trial;
};

FIXTURE_VARIANT(kinds)
{
	enum page_kind_id kind;
};

FIXTURE_VARIANT_ADD(kinds, small) { .kind = KIND_SMALL };
FIXTURE_VARIANT_ADD(kinds, zero) { .kind = KIND_ZERO };
FIXTURE_VARIANT_ADD(kinds, hole) { .kind = KIND_HOLE };
FIXTURE_VARIANT_ADD(kinds, swapped) { .kind = KIND_SWAPPED };
FIXTURE_VARIANT_ADD(kinds, swap_cache) { .kind = KIND_SWAP_CACHE };
FIXTURE_VARIANT_ADD(kinds, lazy_free) { .kind = KIND_LAZY_FREE };
FIXTURE_VARIANT_ADD(kinds, mlocked) { .kind = KIND_MLOCKED };
FIXTURE_VARIANT_ADD(kinds, mthp) { .kind = KIND_MTHP };
FIXTURE_VARIANT_ADD(kinds, mthp_swapped) { .kind = KIND_MTHP_SWAPPED };
FIXTURE_VARIANT_ADD(kinds, thp) { .kind = KIND_THP };
FIXTURE_VARIANT_ADD(kinds, thp_by_ptes) { .kind = KIND_THP_BY_PTES };
FIXTURE_VARIANT_ADD(kinds, huge_zero) { .kind = KIND_HUGE_ZERO };

FIXTURE_SETUP(kinds)
{
	const char *missing = move_missing();

	if (!missing)
		missing = kind_missing(variant->kind);
	if (missing)
		SKIP(return, "%s: %s", page_kinds[variant->kind].name, missing);
	self->trial.kind = variant->kind;
}

FIXTURE_TEARDOWN(kinds)
{
}

/* Pages of the kind: all that the range touches, and one more on either side. */
static void prepare(struct __test_metadata *_metadata, struct trial *t)
{
	size_t unit = page_kinds[t->kind].unit;

	t->made = t->src / unit * unit - unit;
	t->made_end = (t->src + t->pages + unit - 1) / unit * unit + unit;
	ASSERT_EQ(0, space_open(&t->space, AREA, 0));
	ASSERT_EQ(0, make_kind(&t->space, t->kind, t->made, t->made_end - t->made));
	/* This clears the VMAs' own mark too, which would hide what the entries say. */
	ASSERT_EQ(0, clear_soft_dirty());
	ASSERT_EQ(0, look(t->space.src, AREA, t->src_before));
	ASSERT_EQ(0, smaps_of(&t->space, &t->smaps));
	t->vmas = vma_count();
	t->counted = engine_count(page_kinds[t->kind].counters);
}

/* The same PFN means the same page; but there may be more than one zero page. */
static __u64 kept_bits(const struct trial *t)
{
	__u64 bits = PM_PRESENT | PM_SWAP | PM_EXCLUSIVE | PM_ZERO | PM_UFFD_WP;

	return page_kinds[t->kind].zeroes ? bits : bits | PM_PFN;
}

static void check_arrived(struct __test_metadata *_metadata, struct trial *t)
{
	const __u64 *arrived = t->dst_after + t->dst;
	size_t end = t->dst + t->pages;

	EXPECT_EQ(t->pages, first_unlike(t->src_before + t->src, arrived, t->pages, kept_bits(t)));
	EXPECT_EQ(t->dst, first_not(t->dst_after, t->dst, PM_PRESENT | PM_SWAP, 0));
	EXPECT_EQ(AREA - end, first_not(t->dst_after + end, AREA - end, PM_PRESENT | PM_SWAP, 0));
}

static void check_left(struct __test_metadata *_metadata, struct trial *t)
{
	size_t end = t->src + t->pages;

	EXPECT_EQ(t->pages, first_not(t->src_after + t->src, t->pages, PM_PRESENT | PM_SWAP, 0));
	EXPECT_EQ(t->src, first_unlike(t->src_before, t->src_after, t->src, kept_bits(t)));
	EXPECT_EQ(AREA - end, first_unlike(t->src_before + end, t->src_after + end,
					   AREA - end, kept_bits(t)));
}

/* Whole PMDs in the range that are aligned alike must not be split. */
static void check_huge(struct __test_metadata *_metadata, struct trial *t)
{
	size_t from = (t->dst + PMD_PAGES - 1) / PMD_PAGES * PMD_PAGES;
	size_t to = (t->dst + t->pages) / PMD_PAGES * PMD_PAGES;

	if (t->kind != KIND_THP && t->kind != KIND_HUGE_ZERO)
		return;
	if ((t->src ^ t->dst) % PMD_PAGES || from >= to)
		return;
	EXPECT_EQ(to - from, first_not(t->dst_after + from, to - from, PM_HUGE, PM_HUGE));
}

static void check_totals(struct __test_metadata *_metadata, struct trial *t)
{
	struct smaps smaps;
	int i;

	EXPECT_EQ(0, smaps_of(&t->space, &smaps));
	for (i = 0; i < SMAPS_FIELDS; i++)
		EXPECT_EQ(t->smaps.kib[i], smaps.kib[i])
			TH_LOG("smaps field %d", i);
	EXPECT_EQ(t->vmas, vma_count());
}

/* Unregistered first: if a page is missing, reading it must not wait for us. */
static void check_bytes(struct __test_metadata *_metadata, struct trial *t)
{
	struct space *s = &t->space;
	bool zeroes = page_kinds[t->kind].zeroes;
	size_t end = t->src + t->pages;

	ASSERT_EQ(0, uffd_unregister(s->uffd, s->dst, s->pages * PAGE));
	EXPECT_STREQ("", pages_differ(s->dst + t->dst * PAGE, t->pages, zeroes ? 0 : t->src + 1));
	EXPECT_STREQ("", pages_differ(s->src + t->src * PAGE, t->pages, 0));
	EXPECT_STREQ("", pages_differ(s->src + t->made * PAGE, t->src - t->made,
				      zeroes ? 0 : t->made + 1));
	EXPECT_STREQ("", pages_differ(s->src + end * PAGE, t->made_end - end,
				      zeroes ? 0 : end + 1));
}

static void move_and_check(struct __test_metadata *_metadata, struct trial *t)
{
	struct space *s = &t->space;
	struct moved moved;

	moved = move_pages_of(s->uffd, s->dst + t->dst * PAGE, s->src + t->src * PAGE,
			      t->pages * PAGE, t->mode);
	if (t->kind == KIND_HOLE && !(t->mode & UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES)) {
		EXPECT_EQ(ENOENT, moved.err);
		EXPECT_EQ(-ENOENT, moved.bytes);
	} else {
		ASSERT_EQ(0, moved.err);
		EXPECT_EQ((long long)(t->pages * PAGE), moved.bytes);
		EXPECT_ENGINE(t->pages, page_kinds[t->kind].counters, t->counted);
	}
	ASSERT_EQ(0, look(s->src, AREA, t->src_after));
	ASSERT_EQ(0, look(s->dst, AREA, t->dst_after));
	check_arrived(_metadata, t);
	check_left(_metadata, t);
	check_huge(_metadata, t);
	check_totals(_metadata, t);
	check_bytes(_metadata, t);
}

static void try_modes(struct __test_metadata *_metadata, struct trial *t)
{
	for (t->mode = 0; t->mode < 4; t->mode++) {
		prepare(_metadata, t);
		move_and_check(_metadata, t);
		space_close(&t->space);
		if (_metadata->exit_code) {
			TH_LOG("in mode %llu", t->mode);
			return;
		}
	}
}

static void set_range(struct trial *t, size_t pages, size_t src, size_t dst)
{
	t->pages = pages;
	t->src = FIRST_PMD + src;
	t->dst = FIRST_PMD + dst;
}

TEST_F_TIMEOUT(kinds, one_page, PATIENCE)
{
	set_range(&self->trial, 1, 0, 0);
	try_modes(_metadata, &self->trial);
}

TEST_F_TIMEOUT(kinds, run_aligned_to_64k, PATIENCE)
{
	set_range(&self->trial, 2 * MTHP_PAGES, MTHP_PAGES, 3 * MTHP_PAGES);
	try_modes(_metadata, &self->trial);
}

TEST_F_TIMEOUT(kinds, run_unaligned, PATIENCE)
{
	set_range(&self->trial, MTHP_PAGES, 5, 9);
	try_modes(_metadata, &self->trial);
}

TEST_F_TIMEOUT(kinds, pmd_aligned, PATIENCE)
{
	set_range(&self->trial, PMD_PAGES, 0, 0);
	try_modes(_metadata, &self->trial);
}

TEST_F_TIMEOUT(kinds, pmd_shifted_by_a_page, PATIENCE)
{
	set_range(&self->trial, PMD_PAGES, 0, 1);
	try_modes(_metadata, &self->trial);
}

TEST_F_TIMEOUT(kinds, across_two_pmd_borders, PATIENCE)
{
	set_range(&self->trial, PMD_PAGES + 8, PMD_PAGES - 4, PMD_PAGES - 4);
	try_modes(_metadata, &self->trial);
}

/* R12, O3: who tracks writes by soft-dirty bits must see that something has arrived. */
TEST_F_TIMEOUT(kinds, R12_O3_arrives_soft_dirty, PATIENCE)
{
	struct trial *t = &self->trial;
	struct space *s = &t->space;
	bool hole = t->kind == KIND_HOLE;
	__u64 want = hole ? 0 : PM_SOFT_DIRTY;
	const char *base = page_kinds[t->kind].zeroes && !hole ? base_serves() : NULL;
	const char *missing = base ?: no_soft_dirty();

	if (missing)
		SKIP(return, "%s", missing);
	set_range(t, PMD_PAGES, 0, 0);
	prepare(_metadata, t);
	ASSERT_TRUE(all_pages(s->src + t->src * PAGE, t->pages, PM_SOFT_DIRTY, 0));
	ASSERT_EQ(0, move_pages_of(s->uffd, s->dst + t->dst * PAGE, s->src + t->src * PAGE,
				   t->pages * PAGE, UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES).err);
	EXPECT_TRUE(all_pages(s->dst + t->dst * PAGE, t->pages, PM_SOFT_DIRTY, want));
	check_totals(_metadata, t);
	EXPECT_ENGINE(t->pages, page_kinds[t->kind].counters, t->counted);
	space_close(s);
}

TEST_HARNESS_MAIN
