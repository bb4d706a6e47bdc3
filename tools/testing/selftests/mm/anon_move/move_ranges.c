// SPDX-License-Identifier: GPL-2.0
/*
 * Ranges: moves that stop half-way, overlap, stay in one VMA or are all hole.
 */
#include <liburing.h>
#include <linux/mman.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#define AREA	(3 * PMD_PAGES)

FIXTURE(ranges)
{
	struct space space;
	long long calls;
};

FIXTURE_SETUP(ranges)
{
	const char *missing = move_missing();

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->space, AREA, 0));
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(ranges)
{
	space_close(&self->space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

static struct moved move(struct space *s, size_t dst, size_t src, size_t pages)
{
	return move_pages_of(s->uffd, s->dst + dst * PAGE, s->src + src * PAGE, pages * PAGE, 0);
}

/* Exactly these pages arrived, the rest of the range did not leave. */
static void check_partial(struct __test_metadata *_metadata, struct space *s,
			  struct moved moved, size_t pages, size_t arrived)
{
	size_t left = pages - arrived;

	EXPECT_EQ(EAGAIN, moved.err);
	EXPECT_EQ((long long)(arrived * PAGE), moved.bytes);
	EXPECT_TRUE(all_pages(s->src, arrived, PM_PRESENT | PM_SWAP, 0));
	ASSERT_EQ(0, uffd_unregister(s->uffd, s->dst, s->pages * PAGE));
	EXPECT_STREQ("", pages_differ(s->dst, arrived, 1));
	if (left > 1)
		EXPECT_STREQ("", pages_differ(s->src + (arrived + 1) * PAGE, left - 1,
					      arrived + 2));
}

TEST_F_TIMEOUT(ranges, stops_at_hole, PATIENCE)
{
	struct space *s = &self->space;
	long long before = engine_count(MOVED_ANYHOW);

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 16));
	ASSERT_EQ(0, madvise(s->src + 5 * PAGE, PAGE, MADV_DONTNEED));
	check_partial(_metadata, s, move(s, 0, 0, 16), 16, 5);
	EXPECT_ENGINE(5, MOVED_ANYHOW, before);
}

TEST_F_TIMEOUT(ranges, stops_at_hole_behind_pmd_border, PATIENCE)
{
	struct space *s = &self->space;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, PMD_PAGES));
	check_partial(_metadata, s, move(s, 0, 0, PMD_PAGES + 1), PMD_PAGES + 1, PMD_PAGES);
}

TEST_F_TIMEOUT(ranges, stops_at_occupied_page, PATIENCE)
{
	struct space *s = &self->space;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 17));
	ASSERT_EQ(0, move(s, 5, 16, 1).err);
	check_partial(_metadata, s, move(s, 0, 0, 16), 16, 5);
	EXPECT_STREQ("", pages_differ(s->dst + 5 * PAGE, 1, 17));
	EXPECT_STREQ("", pages_differ(s->src + 5 * PAGE, 1, 6));
}

TEST_F_TIMEOUT(ranges, next_call_says_why_it_stopped, PATIENCE)
{
	struct space *s = &self->space;
	struct moved moved;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 2));
	moved = move(s, 0, 0, 3);
	EXPECT_EQ(EAGAIN, moved.err);
	ASSERT_EQ((long long)(2 * PAGE), moved.bytes);
	moved = move(s, 2, 2, 1);
	EXPECT_EQ(ENOENT, moved.err);
	EXPECT_EQ(-ENOENT, moved.bytes);
}

/* A mix of kinds in one call, each of which ends a batch of small pages. */
TEST_F_TIMEOUT(ranges, mixed_kinds_in_one_call, PATIENCE)
{
	struct space *s = &self->space;
	long long before = engine_count("moved_small moved_zero holes");
	struct moved moved;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 4));
	ASSERT_EQ(0, make_kind(s, KIND_ZERO, 4, 4));
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 10, 6));
	moved = move_pages_of(s->uffd, s->dst, s->src, 16 * PAGE,
			      UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES);
	EXPECT_EQ(0, moved.err);
	EXPECT_EQ((long long)(16 * PAGE), moved.bytes);
	EXPECT_ENGINE(16, "moved_small moved_zero holes", before);
	EXPECT_TRUE(all_pages(s->src, 16, PM_PRESENT, 0));
	EXPECT_TRUE(all_pages(s->dst + 4 * PAGE, 4, PM_PRESENT | PM_ZERO, PM_PRESENT | PM_ZERO));
	EXPECT_TRUE(all_pages(s->dst + 8 * PAGE, 2, PM_PRESENT, 0));
	EXPECT_STREQ("", pages_differ(s->dst, 4, 1));
	EXPECT_STREQ("", pages_differ(s->dst + 4 * PAGE, 4, 0));
	EXPECT_STREQ("", pages_differ(s->dst + 10 * PAGE, 6, 11));
}

TEST_F_TIMEOUT(ranges, same_vma, PATIENCE)
{
	struct space *s = &self->space;
	long long before = engine_count(MOVED_ANYHOW);

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 8));
	ASSERT_EQ(0, move(s, 0, 0, 8).err);
	EXPECT_EQ(0, move_pages_of(s->uffd, s->dst + 600 * PAGE, s->dst, 8 * PAGE, 0).err);
	EXPECT_TRUE(all_pages(s->dst, 8, PM_PRESENT | PM_SWAP, 0));
	EXPECT_STREQ("", pages_differ(s->dst + 600 * PAGE, 8, 1));
	EXPECT_ENGINE(16, MOVED_ANYHOW, before);
}

/* Page by page downwards no page meets an occupied one: each was emptied before. */
TEST_F_TIMEOUT(ranges, overlap_downwards, PATIENCE)
{
	struct space *s = &self->space;
	struct moved moved;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 16));
	ASSERT_EQ(0, move(s, 3, 0, 16).err);
	moved = move_pages_of(s->uffd, s->dst, s->dst + 3 * PAGE, 16 * PAGE, 0);
	EXPECT_EQ(0, moved.err);
	EXPECT_EQ((long long)(16 * PAGE), moved.bytes);
	EXPECT_TRUE(all_pages(s->dst + 16 * PAGE, 3, PM_PRESENT | PM_SWAP, 0));
	EXPECT_TRUE(all_pages(s->dst, 16, PM_PRESENT, PM_PRESENT));
	EXPECT_STREQ("", pages_differ(s->dst, 16, 1));
}

TEST_F_TIMEOUT(ranges, overlap_upwards, PATIENCE)
{
	struct space *s = &self->space;
	struct moved moved;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 16));
	ASSERT_EQ(0, move(s, 0, 0, 16).err);
	moved = move_pages_of(s->uffd, s->dst + 3 * PAGE, s->dst, 16 * PAGE, 0);
	EXPECT_EQ(EEXIST, moved.err);
	EXPECT_EQ(-EEXIST, moved.bytes);
	EXPECT_STREQ("", pages_differ(s->dst, 16, 1));
}

TEST_F_TIMEOUT(ranges, onto_itself, PATIENCE)
{
	struct space *s = &self->space;
	struct moved moved;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 1));
	ASSERT_EQ(0, move(s, 0, 0, 1).err);
	moved = move_pages_of(s->uffd, s->dst, s->dst, PAGE, 0);
	EXPECT_EQ(EEXIST, moved.err);
	EXPECT_EQ(-EEXIST, moved.bytes);
	EXPECT_STREQ("", pages_differ(s->dst, 1, 1));
}

/* There and back often: every page is recycled, none is allocated. */
TEST_F_TIMEOUT(ranges, there_and_back, PATIENCE)
{
	struct space *s = &self->space;
	__u64 before[64], after[64];
	int round;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 64));
	ASSERT_EQ(0, look(s->src, 64, before));
	ASSERT_EQ(0, uffd_register(s->uffd, s->src, AREA * PAGE, UFFDIO_REGISTER_MODE_MISSING));
	for (round = 0; round < 20; round++) {
		ASSERT_EQ(0, move(s, round, 0, 64).err);
		ASSERT_EQ(0, move_pages_of(s->uffd, s->src, s->dst + round * PAGE,
					   64 * PAGE, 0).err);
	}
	ASSERT_EQ(0, look(s->src, 64, after));
	EXPECT_EQ(64, first_unlike(before, after, 64, PM_PFN | PM_PRESENT | PM_EXCLUSIVE));
	EXPECT_STREQ("", pages_differ(s->src, 64, 1));
}

/* mremap() keeps the index, so moving back to the old address changes none. */
TEST_F_TIMEOUT(ranges, back_to_own_index, PATIENCE)
{
	struct space *s = &self->space;
	long long before = engine_count(MOVED_ANYHOW);
	char *heap = s->src, *aside;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 64));
	aside = mremap(heap, AREA * PAGE, AREA * PAGE,
		       MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	ASSERT_NE(MAP_FAILED, aside);
	ASSERT_EQ(0, uffd_register(s->uffd, heap, AREA * PAGE, UFFDIO_REGISTER_MODE_MISSING));
	EXPECT_EQ(0, move_pages_of(s->uffd, heap, aside, 32 * PAGE, 0).err);
	/* The others are recycled: another address, another index. */
	EXPECT_EQ(0, move_pages_of(s->uffd, heap + 32 * PAGE, aside + 48 * PAGE,
				   16 * PAGE, 0).err);
	EXPECT_EQ(0, move_pages_of(s->uffd, heap + 48 * PAGE, aside + 32 * PAGE,
				   16 * PAGE, 0).err);
	EXPECT_ENGINE(64, MOVED_ANYHOW, before);
	EXPECT_STREQ("", pages_differ(heap, 32, 1));
	EXPECT_STREQ("", pages_differ(heap + 32 * PAGE, 16, 49));
	EXPECT_STREQ("", pages_differ(heap + 48 * PAGE, 16, 33));
	munmap(aside, AREA * PAGE);
}

/* An area that was never touched has no anon_vma yet; the mover has to make one. */
TEST_F_TIMEOUT(ranges, fork_after_move, PATIENCE)
{
	struct space *s = &self->space;
	int status = -1;
	pid_t pid;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 8));
	ASSERT_EQ(0, move(s, 0, 0, 8).err);
	ASSERT_EQ(0, uffd_unregister(s->uffd, s->dst, AREA * PAGE));
	pid = fork();
	if (!pid) {
		fill_pages(s->dst, 8, 100);
		_exit(*pages_differ(s->dst, 8, 100) ? 1 : 0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_STREQ("", pages_differ(s->dst, 8, 1));
}

/* O4: page tables for a GiB of nothing would be 4 MiB on either side, of 4 KiB each. */
TEST_F_TIMEOUT(ranges, O4_holes_take_no_page_tables, PATIENCE)
{
	const char *base = base_serves();
	size_t pages = 512 * PMD_PAGES;
	struct space large;
	struct moved moved;
	long long before;

	if (base)
		SKIP(return, "%s", base);
	ASSERT_EQ(0, space_open(&large, pages, 0));
	ASSERT_EQ(0, make_kind(&large, KIND_SMALL, pages - 1, 1));
	before = table_kib();
	moved = move_pages_of(large.uffd, large.dst, large.src, pages * PAGE,
			      UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES);
	EXPECT_EQ(0, moved.err);
	EXPECT_EQ((long long)(pages * PAGE), moved.bytes);
	EXPECT_LE(table_kib(), before + TABLES_OF_A_PAGE);
	EXPECT_STREQ("", pages_differ(large.dst + (pages - 1) * PAGE, 1, pages));
	space_close(&large);
}

/* A page that can't move, and the places that it is refused. */
FIXTURE(tables)
{
	struct space space;
	struct io_uring ring;
	pid_t child;
};

FIXTURE_VARIANT(tables)
{
	enum page_kind_id kind;
	bool shared;
	bool pinned;
	int err;
	size_t distance;	/* of two places, in pages: no two need the same table */
	size_t calls;
};

FIXTURE_VARIANT_ADD(tables, hole) { KIND_HOLE, false, false, ENOENT, PMD_PAGES, 1000 };
FIXTURE_VARIANT_ADD(tables, shared) { KIND_SMALL, true, false, EBUSY, PMD_PAGES, 1000 };
FIXTURE_VARIANT_ADD(tables, pinned) { KIND_SMALL, false, true, EBUSY, PMD_PAGES, 1000 };
FIXTURE_VARIANT_ADD(tables, swapped) { KIND_SWAPPED, true, false, EBUSY, PMD_PAGES, 1000 };
FIXTURE_VARIANT_ADD(tables, huge) { KIND_THP, true, false, EBUSY, 512 * PMD_PAGES, 64 };

FIXTURE_SETUP(tables)
{
	struct space *s = &self->space;
	struct iovec iov;
	const char *missing = move_missing();

	missing = missing ? missing : kind_missing(variant->kind);
	missing = missing ? missing : base_serves();
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(s, variant->distance * variant->calls, 0));
	ASSERT_EQ(0, make_kind(s, variant->kind, 0, page_kinds[variant->kind].unit));
	/* A hole is an entry of a page table that others fill. */
	if (variant->kind == KIND_HOLE)
		ASSERT_EQ(0, make_kind(s, KIND_SMALL, 1, 1));
	if (variant->shared)
		self->child = share_with_child();
	ASSERT_LE(0, self->child);
	iov = (struct iovec){ .iov_base = s->src, .iov_len = PAGE };
	if (variant->pinned) {
		ASSERT_EQ(0, io_uring_queue_init(1, &self->ring, 0));
		ASSERT_EQ(0, io_uring_register_buffers(&self->ring, &iov, 1));
	}
}

FIXTURE_TEARDOWN(tables)
{
	if (variant->pinned)
		io_uring_queue_exit(&self->ring);
	if (self->child > 0)
		end_child(self->child);
	space_close(&self->space);
}

/* O18: 1,000 calls that move nothing would make 4 MiB of page tables. */
TEST_F_TIMEOUT(tables, O18_are_not_left_by_calls_that_fail, PATIENCE)
{
	long long before = table_kib();
	size_t i, refused = 0;

	for (i = 0; i < variant->calls; i++)
		refused += move(&self->space, i * variant->distance + 1, 0, 1).err == variant->err;
	EXPECT_EQ(variant->calls, refused);
	EXPECT_LE(table_kib(), before + TABLES_OF_A_PAGE);
}

/* Two areas that share no page table, each in a gap of its own of 512 GiB or 256 TiB. */
FIXTURE(far)
{
	struct space space;
	char *hole;
};

FIXTURE_VARIANT(far)
{
	unsigned long at;
};

FIXTURE_VARIANT_ADD(far, ranges) { 1UL << 40 };
FIXTURE_VARIANT_ADD(far, five_levels) { 1UL << 50 };

/* What lies above 47 bits is to be asked for. */
static char *map_at(unsigned long addr)
{
	char *area = mmap((void *)addr, PMD, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	madvise(area, PMD, MADV_NOHUGEPAGE);
	return area;
}

FIXTURE_SETUP(far)
{
	struct space *s = &self->space;
	const char *missing = move_missing();

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(s, PMD_PAGES, 0));
	munmap(s->dst, PMD);
	s->dst = map_at(variant->at);
	if (s->dst == MAP_FAILED)
		SKIP(return, "no addresses of more than 47 bits: page tables of four levels");
	self->hole = map_at(3 * variant->at);
	ASSERT_NE(MAP_FAILED, self->hole);
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 8));
	ASSERT_EQ(0, uffd_register(s->uffd, s->dst, PMD, UFFDIO_REGISTER_MODE_MISSING));
	ASSERT_EQ(0, space_register_source(s));
}

FIXTURE_TEARDOWN(far)
{
	munmap(self->hole, PMD);
	space_close(&self->space);
}

TEST_F_TIMEOUT(far, there_and_back, PATIENCE)
{
	struct space *s = &self->space;

	ASSERT_EQ(0, move_there_and_back(s, 8));
	/* Now with page tables on either side. */
	ASSERT_EQ(0, move(s, 0, 0, 8).err);
	EXPECT_TRUE(all_pages(s->src, 8, PM_PRESENT | PM_SWAP, 0));
	EXPECT_STREQ("", pages_differ(s->dst, 8, 1));
}

TEST_F_TIMEOUT(far, from_where_no_page_ever_was, PATIENCE)
{
	const __u64 holes = UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES;
	struct space *s = &self->space;

	EXPECT_EQ(ENOENT, move_pages_of(s->uffd, s->dst, self->hole, PMD, 0).err);
	EXPECT_EQ(0, move_pages_of(s->uffd, s->dst, self->hole, PMD, holes).err);
	EXPECT_EQ(EEXIST, move_pages_of(s->uffd, s->src, self->hole, PMD, holes).err);
	EXPECT_STREQ("", pages_differ(s->src, 8, 1));
}

TEST_HARNESS_MAIN
