// SPDX-License-Identifier: GPL-2.0
/*
 * MREMAP_RELOCATE_ANON and MREMAP_MUST_RELOCATE_ANON: pages of every kind arrive, with their
 * new index, and the mapping merges as if nothing had ever been in it.
 *
 * That a page's index is right is shown by reclaim: it finds the entry by the index.
 */
#define _GNU_SOURCE
#include <liburing.h>
#include <linux/mman.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "../../kselftest_harness.h"
#include "relocate.h"

#define AREA	(2 * PMD_PAGES)
#define ALWAYS	"/sys/kernel/debug/anon_move/relocate_always"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#endif

FIXTURE(kinds)
{
	struct space space;
	char *dst;
};

FIXTURE_VARIANT(kinds)
{
	enum page_kind_id kind;
};

FIXTURE_VARIANT_ADD(kinds, small) { KIND_SMALL };
FIXTURE_VARIANT_ADD(kinds, zero) { KIND_ZERO };
FIXTURE_VARIANT_ADD(kinds, hole) { KIND_HOLE };
FIXTURE_VARIANT_ADD(kinds, swapped) { KIND_SWAPPED };
FIXTURE_VARIANT_ADD(kinds, swap_cache) { KIND_SWAP_CACHE };
FIXTURE_VARIANT_ADD(kinds, lazy_free) { KIND_LAZY_FREE };
FIXTURE_VARIANT_ADD(kinds, mlocked) { KIND_MLOCKED };
FIXTURE_VARIANT_ADD(kinds, mthp) { KIND_MTHP };
FIXTURE_VARIANT_ADD(kinds, mthp_swapped) { KIND_MTHP_SWAPPED };
FIXTURE_VARIANT_ADD(kinds, thp) { KIND_THP };
FIXTURE_VARIANT_ADD(kinds, thp_by_ptes) { KIND_THP_BY_PTES };
FIXTURE_VARIANT_ADD(kinds, huge_zero) { KIND_HUGE_ZERO };

FIXTURE_SETUP(kinds)
{
	const char *missing = relocate_missing();

	missing = missing ? missing : kind_missing(variant->kind);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->space, AREA, 0));
	ASSERT_EQ(0, make_kind(&self->space, variant->kind, 0, AREA));
	self->dst = map_alone(AREA + 1);
	ASSERT_NE(MAP_FAILED, self->dst);
}

FIXTURE_TEARDOWN(kinds)
{
	munmap(self->dst, (AREA + 1) * PAGE);
	space_close(&self->space);
}

/* What reads as zeroes is not paged out, what is lazily freed is dropped then. */
static void expect_kind(struct __test_metadata *_metadata, enum page_kind_id kind, char *addr,
			size_t pages, unsigned int id)
{
	const unsigned int first = page_kinds[kind].zeroes ? 0 : id;

	munlock(addr, pages * PAGE);
	if (kind == KIND_LAZY_FREE || !first) {
		EXPECT_STREQ("", pages_differ(addr, pages, first));
		return;
	}
	expect_whole(_metadata, addr, pages, id);
}

/* Frames of the pages of both views are the same, and what is huge or large stays so. */
static void move_all(struct __test_metadata *_metadata, char *dst, char *src,
		     enum page_kind_id kind)
{
	const bool zeroes = page_kinds[kind].zeroes;
	const bool large = kind == KIND_MTHP || kind == KIND_THP || kind == KIND_THP_BY_PTES;
	const __u64 same = PM_PRESENT | PM_SWAP | (zeroes ? 0 : PM_PFN);
	static __u64 before[AREA], after[AREA];
	long long relocated = engine_count("relocate_done");
	unsigned int i;

	ASSERT_EQ(0, look(src, AREA, before));
	ASSERT_EQ(0, relocate(dst, src, AREA, MUST));
	if (!zeroes)
		EXPECT_ENGINE(1, "relocate_done", relocated);
	ASSERT_EQ(0, look(dst, AREA, after));
	EXPECT_EQ(AREA, first_unlike(before, after, AREA, same));
	if (large)
		for (i = 0; i < AREA; i += PMD_PAGES / 2)
			EXPECT_TRUE(frame_flags(after[i] & PM_PFN) & KPF_COMPOUND);
	expect_kind(_metadata, kind, dst, AREA, 1);
}

TEST_F_TIMEOUT(kinds, aligned, PATIENCE)
{
	move_all(_metadata, self->dst, self->space.src, variant->kind);
}

TEST_F_TIMEOUT(kinds, shifted_by_a_page, PATIENCE)
{
	move_all(_metadata, self->dst + PAGE, self->space.src, variant->kind);
}

/* What is large is cut where the range ends, and only there. */
TEST_F_TIMEOUT(kinds, part, PATIENCE)
{
	const size_t first = 3, pages = AREA - 7;
	char *src = self->space.src;

	ASSERT_EQ(0, relocate(self->dst, src + first * PAGE, pages, MUST));
	expect_kind(_metadata, variant->kind, self->dst, pages, first + 1);
	if (!page_kinds[variant->kind].zeroes)
		EXPECT_STREQ("", pages_differ(src, first, 1));
}

FIXTURE(merges)
{
	char *area;
};

/* Room for pieces side by side. */
FIXTURE_SETUP(merges)
{
	const char *missing = relocate_missing();

	if (missing)
		SKIP(return, "%s", missing);
	self->area = reserve(8 * SOME);
	ASSERT_NE(MAP_FAILED, self->area);
}

FIXTURE_TEARDOWN(merges)
{
	munmap(self->area, 8 * SOME * PAGE);
}

/* A mapping of its own of some pages at a place of the area; touched, if it has an @id. */
static void put(struct __test_metadata *_metadata, char *at, int prot, unsigned int id)
{
	ASSERT_EQ(at, mmap(at, SOME * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	if (id)
		fill_pages(at, SOME, id);
	if (prot != RW)
		ASSERT_EQ(0, mprotect(at, SOME * PAGE, prot));
}

/* A touched mapping from elsewhere comes to @at. */
static void bring(struct __test_metadata *_metadata, char *at, unsigned int id, int flags)
{
	char *from = map_alone(SOME);

	ASSERT_NE(MAP_FAILED, from);
	fill_pages(from, SOME, id);
	ASSERT_EQ(0, relocate(at, from, SOME, flags));
}

#define AT(n) (self->area + (n) * SOME * PAGE)

TEST_F(merges, without_the_flag_it_does_not)
{
	put(_metadata, AT(0), RW, 0);
	bring(_metadata, AT(1), 1, PLAIN);
	EXPECT_TRUE(is_vma(AT(1), SOME));
	expect_whole(_metadata, AT(1), SOME, 1);
}

TEST_F(merges, without_the_flag_if_all_do)
{
	if (write_text(ALWAYS, "Y"))
		SKIP(return, "needs CONFIG_ANON_MOVE_STATS and root");
	put(_metadata, AT(0), RW, 0);
	bring(_metadata, AT(1), 1, PLAIN);
	ASSERT_EQ(0, write_text(ALWAYS, "N"));
	EXPECT_TRUE(is_vma(AT(0), 2 * SOME));
	expect_whole(_metadata, AT(1), SOME, 1);
	bring(_metadata, AT(2), 1, PLAIN);
	EXPECT_TRUE(is_vma(AT(2), SOME));
}

TEST_F(merges, M1_after_unfaulted)
{
	put(_metadata, AT(0), RW, 0);
	bring(_metadata, AT(1), 1, MUST);
	EXPECT_TRUE(is_vma(AT(0), 2 * SOME));
	expect_whole(_metadata, AT(1), SOME, 1);
}

TEST_F(merges, M2_before_unfaulted)
{
	put(_metadata, AT(1), RW, 0);
	bring(_metadata, AT(0), 1, MUST);
	EXPECT_TRUE(is_vma(AT(0), 2 * SOME));
	expect_whole(_metadata, AT(0), SOME, 1);
}

TEST_F(merges, M3_between_unfaulted)
{
	put(_metadata, AT(0), RW, 0);
	put(_metadata, AT(2), RW, 0);
	bring(_metadata, AT(1), 1, MUST);
	EXPECT_TRUE(is_vma(AT(0), 3 * SOME));
	expect_whole(_metadata, AT(1), SOME, 1);
}

TEST_F(merges, M4_after_faulted)
{
	put(_metadata, AT(0), RW, 1);
	bring(_metadata, AT(1), SOME + 1, MUST);
	EXPECT_TRUE(is_vma(AT(0), 2 * SOME));
	expect_whole(_metadata, AT(0), 2 * SOME, 1);
}

TEST_F(merges, M5_before_faulted)
{
	put(_metadata, AT(1), RW, SOME + 1);
	bring(_metadata, AT(0), 1, MUST);
	EXPECT_TRUE(is_vma(AT(0), 2 * SOME));
	expect_whole(_metadata, AT(0), 2 * SOME, 1);
}

TEST_F(merges, M6_M7_between_faulted_and_unfaulted)
{
	put(_metadata, AT(0), RW, 1);
	put(_metadata, AT(2), RW, 0);
	bring(_metadata, AT(1), SOME + 1, MUST);
	EXPECT_TRUE(is_vma(AT(0), 3 * SOME));
	expect_whole(_metadata, AT(0), 2 * SOME, 1);
}

/* The first and the last have anon_vmas of their own: two VMAs in the end. */
TEST_F(merges, M8_between_faulted)
{
	put(_metadata, AT(0), RW, 1);
	put(_metadata, AT(2), RW, 2 * SOME + 1);
	bring(_metadata, AT(1), SOME + 1, MUST);
	EXPECT_TRUE(is_vma(AT(0), 2 * SOME));
	expect_whole(_metadata, AT(0), 3 * SOME, 1);
}

/* What was one mapping once has one anon_vma. */
TEST_F(merges, M9_between_two_of_one)
{
	ASSERT_EQ(AT(0), mmap(AT(0), 3 * SOME * PAGE, RW,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	fill_pages(AT(0), 3 * SOME, 1);
	ASSERT_EQ(0, munmap(AT(1), SOME * PAGE));
	bring(_metadata, AT(1), SOME + 1, MUST);
	EXPECT_TRUE(is_vma(AT(0), 3 * SOME));
	expect_whole(_metadata, AT(0), 3 * SOME, 1);
}

TEST_F(merges, M10_beside_read_only_then_made_alike)
{
	put(_metadata, AT(0), PROT_READ, 1);
	bring(_metadata, AT(1), SOME + 1, MUST);
	EXPECT_TRUE(is_vma(AT(1), SOME));
	ASSERT_EQ(0, mprotect(AT(0), SOME * PAGE, RW));
	EXPECT_TRUE(is_vma(AT(0), 2 * SOME));
	expect_whole(_metadata, AT(0), 2 * SOME, 1);
}

TEST_F(merges, M11_M12_out_and_home)
{
	char *away = map_alone(SOME);
	int flags;

	for (flags = PLAIN; flags; flags = flags == PLAIN ? (int)MUST : 0) {
		ASSERT_EQ(AT(0), mmap(AT(0), 3 * SOME * PAGE, RW,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
		fill_pages(AT(0), 3 * SOME, 1);
		ASSERT_EQ(0, relocate(away, AT(1), SOME, flags));
		ASSERT_EQ(0, relocate(AT(1), away, SOME, flags));
		EXPECT_TRUE(is_vma(AT(0), 3 * SOME));
		expect_whole(_metadata, AT(0), 3 * SOME, 1);
	}
}

/* What is beside it has the parent's anon_vma too, and it has not any more. */
TEST_F(merges, M11_out_and_home_in_a_child)
{
	char *away = map_alone(SOME);
	int status = -1;
	pid_t child;

	ASSERT_EQ(AT(0), mmap(AT(0), 3 * SOME * PAGE, RW,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	fill_pages(AT(0), 3 * SOME, 7);
	child = fork();
	if (!child) {
		fill_pages(AT(0), 3 * SOME, 1);
		_exit(relocate(away, AT(1), SOME, MUST) || relocate(AT(1), away, SOME, MUST) ||
		      !is_vma(AT(0), 3 * SOME) || *pages_differ(AT(0), 3 * SOME, 1));
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_STREQ("", pages_differ(AT(0), 3 * SOME, 7));
}

/* The middle of what was one mapping, whose pages a child has, is away. */
static char *take_middle_out(struct __test_metadata *_metadata, char *area)
{
	char *away = map_alone(SOME);

	EXPECT_EQ(area, mmap(area, 3 * SOME * PAGE, RW,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	fill_pages(area, 3 * SOME, 1);
	EXPECT_EQ(0, relocate(away, area + SOME * PAGE, SOME, PLAIN));
	return away;
}

/* What is shared merges at home without a change, and so it does beside guards. */
TEST_F(merges, M11_home_beside_guards)
{
	char *away = take_middle_out(_metadata, AT(0));
	pid_t child;

	if (madvise(AT(0), PAGE, MADV_GUARD_INSTALL))
		SKIP(return, "no guard markers in this kernel");
	ASSERT_EQ(0, munmap(AT(2), SOME * PAGE));
	child = share_with_child();
	ASSERT_LT(0, child);
	EXPECT_EQ(0, relocate(AT(1), away, SOME, MUST));
	EXPECT_TRUE(is_vma(AT(0), 2 * SOME));
	EXPECT_STREQ("", pages_differ(AT(1), SOME, SOME + 1));
	end_child(child);
}

/* Where that merges without the flag, which not every kernel does, it does with it. */
TEST_F(merges, M11_home_beside_unfaulted)
{
	bool merged = false;
	int flags;

	for (flags = PLAIN; flags; flags = flags == PLAIN ? (int)MUST : 0) {
		char *away = take_middle_out(_metadata, AT(0));
		pid_t child = share_with_child();

		ASSERT_LT(0, child);
		put(_metadata, AT(0), RW, 0);
		ASSERT_EQ(0, munmap(AT(2), SOME * PAGE));
		if (flags == PLAIN) {
			ASSERT_EQ(0, relocate(AT(1), away, SOME, flags));
			merged = is_vma(AT(0), 2 * SOME);
		} else {
			EXPECT_EQ(merged ? 0 : -EFAULT, relocate(AT(1), away, SOME, flags));
			EXPECT_EQ(merged, is_vma(AT(0), 2 * SOME));
		}
		end_child(child);
	}
}

static void put_file(char *at)
{
	int fd = memfd_create("beside", MFD_CLOEXEC);

	if (ftruncate(fd, SOME * PAGE) ||
	    mmap(at, SOME * PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, 0) != at)
		_exit(1);
	close(fd);
}

/* Has been somewhere else, and has the offset of that. */
static void put_moved(char *at)
{
	char *from = map_alone(SOME);

	fill_pages(from, SOME, 1);
	if (relocate(at, from, SOME, PLAIN))
		_exit(1);
}

static void put_read_only(char *at)
{
	if (mprotect(at, SOME * PAGE, PROT_READ))
		_exit(1);
}

/* What is shared and comes back, and merges with none of these: nothing may be done to it. */
TEST_F(merges, M11_home_beside_what_differs)
{
	static void (*const puts[])(char *at) = { put_file, put_moved, put_read_only };
	unsigned int i, side;

	for (i = 0; i < 2 * ARRAY_SIZE(puts); i++) {
		char *away = take_middle_out(_metadata, AT(0));
		pid_t child = share_with_child();

		side = i % 2 * 2;
		ASSERT_LT(0, child);
		ASSERT_EQ(0, munmap(AT(2 - side), SOME * PAGE));
		puts[i / 2](AT(side));
		EXPECT_EQ(-EFAULT, relocate(AT(1), away, SOME, MUST))
			TH_LOG("%u", i);
		EXPECT_STREQ("", pages_differ(away, SOME, SOME + 1));
		ASSERT_EQ(0, relocate(AT(1), away, SOME, PLAIN));
		EXPECT_TRUE(is_vma(AT(1), SOME));
		end_child(child);
	}
}

/* Its own end, which it is then cut off from. */
TEST_F(merges, A4_behind_itself)
{
	put(_metadata, AT(0), RW, 1);
	ASSERT_EQ(0, relocate(AT(1), AT(0), SOME / 2, MUST));
	EXPECT_TRUE(is_vma(AT(0) + SOME / 2 * PAGE, SOME));
	expect_whole(_metadata, AT(0) + SOME / 2 * PAGE, SOME / 2, SOME / 2 + 1);
	expect_whole(_metadata, AT(1), SOME / 2, 1);
}

/* Before itself and behind another, into which it goes. */
TEST_F(merges, A4_between_another_and_itself)
{
	put(_metadata, AT(0), RW, 0);
	put(_metadata, AT(2), RW, 1);
	ASSERT_EQ(0, relocate(AT(1), AT(2), SOME, MUST));
	EXPECT_TRUE(is_vma(AT(0), 2 * SOME));
	expect_whole(_metadata, AT(1), SOME, 1);
}

TEST_F(merges, A4_dontunmap_keeps_two)
{
	put(_metadata, AT(0), RW, 1);
	ASSERT_EQ(0, relocate(AT(1), AT(0), SOME, MUST | MREMAP_DONTUNMAP));
	EXPECT_TRUE(is_vma(AT(0), SOME));
	EXPECT_TRUE(is_vma(AT(1), SOME));
	EXPECT_TRUE(all_pages(AT(0), SOME, PM_PRESENT | PM_SWAP, 0));
	expect_whole(_metadata, AT(1), SOME, 1);
}

/* Each comes to a place between others, in an order that has nothing to do with theirs. */
TEST_F_TIMEOUT(merges, pieces_become_one, PATIENCE)
{
	const size_t n = 199, step = 57;	/* coprime */
	char *from = map_alone(n), *to = reserve(n), *away = reserve(2 * n);
	size_t i, k;

	fill_pages(from, n, 1);
	for (i = 0; i < n; i++)
		ASSERT_EQ(0, relocate(away + 2 * i * PAGE, from + i * PAGE, 1, PLAIN));
	for (i = 0, k = 0; i < n; i++, k = (k + step) % n)
		ASSERT_EQ(0, relocate(to + k * PAGE, away + 2 * k * PAGE, 1, MUST));
	EXPECT_TRUE(is_vma(to, n));
	expect_whole(_metadata, to, n, 1);
}

/* Does mremap() itself move several mappings in one call here? */
static bool moves_several(void)
{
	char *from = map_alone(2), *to = reserve(2);
	bool moved = !mprotect(from, PAGE, PROT_READ) && !relocate(to, from, 2, PLAIN);

	if (!moved)
		munmap(from, 2 * PAGE);
	munmap(to, 2 * PAGE);
	return moved;
}

/* In each other's places, so that none of them would merge, and back in one call. */
TEST_F(merges, A6_several_mappings_in_one_call)
{
	char *from = map_alone(4 * SOME);
	size_t i;

	if (!moves_several())
		SKIP(return, "mremap() moves one mapping a call here");
	fill_pages(from, 4 * SOME, 1);
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, relocate(AT(3 - i), from + i * SOME * PAGE, SOME, PLAIN));
	EXPECT_TRUE(is_vma(AT(0), SOME));
	ASSERT_EQ(0, relocate(from, AT(0), 4 * SOME, MUST));
	EXPECT_TRUE(is_vma(from, 4 * SOME));
	for (i = 0; i < 4; i++)
		expect_whole(_metadata, from + i * SOME * PAGE, SOME, (3 - i) * SOME + 1);
}

/* The first merges with the second, which then is longer when its turn comes (A4b). */
TEST_F(merges, A4_several_right_behind_themselves)
{
	if (!moves_several())
		SKIP(return, "mremap() moves one mapping a call here");
	put(_metadata, AT(0), RW, 1);
	put(_metadata, AT(2), RW, SOME + 1);
	ASSERT_EQ(0, relocate(AT(1), AT(2), SOME, PLAIN));
	ASSERT_TRUE(is_vma(AT(0), SOME));
	ASSERT_EQ(0, relocate(AT(2), AT(0), 2 * SOME, MUST));
	EXPECT_TRUE(is_vma(AT(2), 2 * SOME));
	EXPECT_FALSE(is_vma(AT(1), SOME));
	expect_whole(_metadata, AT(2), 2 * SOME, 1);
}

/* It had pages, and has an anon_vma still. */
TEST_F(merges, A13_emptied)
{
	char *from = map_alone(SOME);

	fill_pages(from, SOME, 1);
	ASSERT_EQ(0, madvise(from, SOME * PAGE, MADV_DONTNEED));
	put(_metadata, AT(0), RW, 1);
	ASSERT_EQ(0, relocate(AT(1), from, SOME, MUST));
	EXPECT_TRUE(is_vma(AT(0), 2 * SOME));
	EXPECT_STREQ("", pages_differ(AT(1), SOME, 0));
	expect_whole(_metadata, AT(0), SOME, 1);
}

/* A call that can't move both must not unmap what is where they would have come. */
TEST_F(merges, A6_two_or_nothing)
{
	int ret;

	put(_metadata, AT(0), RW, 1);
	put(_metadata, AT(1), PROT_READ, SOME + 1);
	put(_metadata, AT(4), RW, 2 * SOME + 1);
	put(_metadata, AT(5), RW, 3 * SOME + 1);
	ret = relocate(AT(4), AT(0), 2 * SOME, MUST);
	EXPECT_EQ(moves_several() ? 0 : -EFAULT, ret);
	EXPECT_STREQ("", pages_differ(AT(4), 2 * SOME, ret ? 2 * SOME + 1 : 1));
	if (ret)
		EXPECT_STREQ("", pages_differ(AT(0), 2 * SOME, 1));
}

/* The first could move, the second can't: by then it would be too late. */
TEST_F(merges, A6_all_are_asked_first)
{
	pid_t child;

	put(_metadata, AT(0), RW, 1);
	put(_metadata, AT(1), PROT_READ, SOME + 1);
	put(_metadata, AT(4), RW, 2 * SOME + 1);
	child = share_with_child();
	ASSERT_LT(0, child);
	fill_pages(AT(0), SOME, 1);
	EXPECT_EQ(-EFAULT, relocate(AT(4), AT(0), 2 * SOME, MUST));
	EXPECT_TRUE(is_vma(AT(0), SOME));
	EXPECT_TRUE(is_vma(AT(1), SOME));
	EXPECT_STREQ("", pages_differ(AT(0), 2 * SOME, 1));
	EXPECT_STREQ("", pages_differ(AT(4), SOME, 2 * SOME + 1));
	end_child(child);
}

/* With a place to go to it is asked twice whether it can. */
TEST_F(merges, is_counted_once)
{
	long long relocated = engine_count("relocate_done");

	put(_metadata, AT(0), RW, 1);
	ASSERT_EQ(0, relocate(AT(2), AT(0), SOME, MUST));
	EXPECT_ENGINE(1, "relocate_done", relocated);
	EXPECT_GE(relocated + 1, engine_count("relocate_done"));
}

FIXTURE(shared)
{
	struct space space;
	char *src;
	char *dst;
};

FIXTURE_VARIANT(shared)
{
	enum page_kind_id kind;
};

FIXTURE_VARIANT_ADD(shared, small) { KIND_SMALL };
FIXTURE_VARIANT_ADD(shared, mthp) { KIND_MTHP };
FIXTURE_VARIANT_ADD(shared, thp) { KIND_THP };
FIXTURE_VARIANT_ADD(shared, thp_by_ptes) { KIND_THP_BY_PTES };
FIXTURE_VARIANT_ADD(shared, swapped) { KIND_SWAPPED };

FIXTURE_SETUP(shared)
{
	const char *missing = relocate_missing();

	missing = missing ? missing : kind_missing(variant->kind);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->space, PMD_PAGES, 0));
	ASSERT_EQ(0, make_kind(&self->space, variant->kind, 0, PMD_PAGES));
	self->src = self->space.src;
	self->dst = map_alone(PMD_PAGES);
	fill_pages(self->dst, 1, 77);
}

FIXTURE_TEARDOWN(shared)
{
	munmap(self->dst, PMD);
	space_close(&self->space);
}

TEST_F_TIMEOUT(shared, F1_D14_nothing_changes, PATIENCE)
{
	pid_t child = share_with_child();

	ASSERT_LT(0, child);
	/* Onto itself it can't move anyway. */
	EXPECT_EQ(-EINVAL, relocate(self->src + PAGE, self->src, PMD_PAGES - 1, MUST));
	EXPECT_EQ(-EFAULT, relocate(self->dst, self->src, PMD_PAGES, MUST));
	EXPECT_TRUE(is_vma(self->src, PMD_PAGES));
	EXPECT_TRUE(is_vma(self->dst, PMD_PAGES));
	EXPECT_STREQ("", pages_differ(self->dst, 1, 77));
	EXPECT_STREQ("", pages_differ(self->src, PMD_PAGES, 1));
	/* The other flag does without. */
	EXPECT_EQ(0, relocate(self->dst, self->src, PMD_PAGES, MAY));
	EXPECT_STREQ("", pages_differ(self->dst, PMD_PAGES, 1));
	end_child(child);
}

/* The child has a copy of each by then, or has died: the pages are nobody else's. */
TEST_F_TIMEOUT(shared, D11_mark_regained, PATIENCE)
{
	pid_t child = share_with_child();

	ASSERT_LT(0, child);
	end_child(child);
	EXPECT_EQ(0, relocate(self->dst, self->src, PMD_PAGES, MUST));
	expect_whole(_metadata, self->dst, PMD_PAGES, 1);
}

TEST_F_TIMEOUT(shared, D10_half_written_since, PATIENCE)
{
	pid_t child = share_with_child();

	ASSERT_LT(0, child);
	fill_pages(self->src, PMD_PAGES / 2, 1);
	EXPECT_EQ(-EFAULT, relocate(self->dst, self->src, PMD_PAGES, MUST));
	fill_pages(self->src, PMD_PAGES, 1);
	EXPECT_EQ(0, relocate(self->dst, self->src, PMD_PAGES, MUST));
	expect_whole(_metadata, self->dst, PMD_PAGES, 1);
	end_child(child);
}

/* Whoever reads from the pipe would see what is written to the page afterwards (V2). */
TEST_F_TIMEOUT(shared, V2_D11_reference_of_a_dead_child, PATIENCE)
{
	struct iovec iov = { self->src, 1 };
	int pipes[2], status;
	pid_t child;

	ASSERT_EQ(0, pipe(pipes));
	child = fork();
	if (!child)
		_exit(vmsplice(pipes[1], &iov, 1, 0) != 1);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);
	EXPECT_EQ(-EFAULT, relocate(self->dst, self->src, PMD_PAGES, MUST));
	close(pipes[0]);
	close(pipes[1]);
	/* What the child has read in stays in the swap cache, and whose it is nobody says there. */
	if (variant->kind == KIND_SWAPPED)
		return;
	EXPECT_EQ(0, relocate(self->dst, self->src, PMD_PAGES, MUST));
	expect_whole(_metadata, self->dst, PMD_PAGES, 1);
}

/* What another CPU has not yet put on the LRU list has a reference for it, which passes. */
TEST(D11_mark_regained_from_a_batch)
{
	const char *missing = relocate_missing();
	char *src = map_alone(SOME), *dst = reserve(SOME);

	if (missing)
		SKIP(return, "%s", missing);
	if (run_on_cpu(1))
		SKIP(return, "needs two CPUs");
	fill_pages(src, SOME, 1);
	ASSERT_EQ(0, run_on_cpu(0));
	end_child(share_with_child());
	EXPECT_EQ(0, relocate(dst, src, SOME, MUST));
	expect_whole(_metadata, dst, SOME, 1);
}

FIXTURE(pinned)
{
	struct space space;
	char *dst;
	struct io_uring ring;
};

FIXTURE_VARIANT(pinned)
{
	enum page_kind_id kind;
};

FIXTURE_VARIANT_ADD(pinned, small) { KIND_SMALL };
FIXTURE_VARIANT_ADD(pinned, mthp) { KIND_MTHP };
FIXTURE_VARIANT_ADD(pinned, thp) { KIND_THP };

FIXTURE_SETUP(pinned)
{
	const char *missing = relocate_missing();
	struct iovec iov;

	missing = missing ? missing : kind_missing(variant->kind);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->space, AREA, 0));
	ASSERT_EQ(0, make_kind(&self->space, variant->kind, 0, PMD_PAGES));
	self->dst = map_alone(AREA);
	iov = (struct iovec) { self->space.src, PMD };
	ASSERT_EQ(0, io_uring_queue_init(2, &self->ring, 0));
	if (io_uring_register_buffers(&self->ring, &iov, 1))
		SKIP(return, "no registered buffers of that size");
}

FIXTURE_TEARDOWN(pinned)
{
	io_uring_queue_exit(&self->ring);
	munmap(self->dst, AREA * PAGE);
	space_close(&self->space);
}

/* A device would go on writing to the frames: they must be those that are mapped. */
static void move_pinned(struct __test_metadata *_metadata, char *dst, char *src,
			struct io_uring *ring)
{
	static __u64 before[PMD_PAGES], after[PMD_PAGES];

	ASSERT_EQ(0, look(src, PMD_PAGES, before));
	ASSERT_EQ(0, relocate(dst, src, PMD_PAGES, MUST));
	ASSERT_EQ(0, look(dst, PMD_PAGES, after));
	EXPECT_EQ(PMD_PAGES, first_unlike(before, after, PMD_PAGES, PM_PFN | PM_PRESENT));
	EXPECT_STREQ("", pages_differ(dst, PMD_PAGES, 1));
	ASSERT_EQ(0, io_uring_unregister_buffers(ring));
	expect_whole(_metadata, dst, PMD_PAGES, 1);
}

TEST_F_TIMEOUT(pinned, D1_moves, PATIENCE)
{
	move_pinned(_metadata, self->dst, self->space.src, &self->ring);
}

TEST_F_TIMEOUT(pinned, D3_to_any_address, PATIENCE)
{
	move_pinned(_metadata, self->dst + PAGE, self->space.src, &self->ring);
}

TEST_F_TIMEOUT(pinned, D4_is_not_cut, PATIENCE)
{
	const size_t pages = PMD_PAGES - 1;
	const int expected = variant->kind == KIND_SMALL ? 0 : -EFAULT;
	char *src = self->space.src;

	EXPECT_EQ(expected, relocate(self->dst, src, pages, MUST));
	if (expected) {
		EXPECT_STREQ("", pages_differ(src, PMD_PAGES, 1));
		EXPECT_TRUE(folio_flags(src) & KPF_COMPOUND);
	}
}

FIXTURE(apart)
{
	struct space space;
	char *dst;
};

FIXTURE_VARIANT(apart)
{
	enum page_kind_id kind;
};

FIXTURE_VARIANT_ADD(apart, thp) { KIND_THP };
FIXTURE_VARIANT_ADD(apart, thp_by_ptes) { KIND_THP_BY_PTES };

FIXTURE_SETUP(apart)
{
	const char *missing = relocate_missing();

	missing = missing ? missing : kind_missing(KIND_THP);
	missing = missing ? missing : swap_missing();
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->space, AREA, 0));
	ASSERT_EQ(0, make_kind(&self->space, variant->kind, 0, PMD_PAGES));
	self->dst = map_alone(AREA);
}

FIXTURE_TEARDOWN(apart)
{
	munmap(self->dst, AREA * PAGE);
	space_close(&self->space);
}

/* Others have come into the gaps; the folio stays one all the same, or is split. */
TEST_F_TIMEOUT(apart, A1_with_gaps_and_others, PATIENCE)
{
	char *src = self->space.src, *dst = self->dst + 5 * PAGE;
	size_t i;

	for (i = 7; i < PMD_PAGES; i += 31)
		ASSERT_EQ(0, madvise(src + i * PAGE, PAGE, MADV_DONTNEED));
	for (i = 7; i < PMD_PAGES; i += 62)
		fill_pages(src + i * PAGE, 1, i + 1);
	ASSERT_EQ(0, relocate(dst, src, PMD_PAGES, MUST));
	for (i = 0; i < PMD_PAGES; i++)
		EXPECT_STREQ("", pages_differ(dst + i * PAGE, 1,
					      i % 31 == 7 && i % 62 != 7 ? 0 : i + 1));
	EXPECT_EQ(0, madvise(dst, PMD, MADV_PAGEOUT));
	EXPECT_STREQ("", pages_differ(dst, 7, 1));
}

/* The first pages are gone, and the new address is too low for the index of what was there. */
TEST_F_TIMEOUT(apart, A2_index_would_wrap, PATIENCE)
{
	char *src = self->space.src, *low = (char *)(16 * PAGE);
	const size_t first = 64, pages = PMD_PAGES - first;

	ASSERT_EQ(0, munmap(src, first * PAGE));
	if (mmap(low, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != low)
		SKIP(return, "no memory that low (vm.mmap_min_addr)");
	ASSERT_EQ(0, relocate(low, src + first * PAGE, pages, MUST));
	expect_whole(_metadata, low, pages, first + 1);
	munmap(low, pages * PAGE);
}

/* Where mremap() by itself brings it the first page of the folio belongs below address 0. */
TEST_F_TIMEOUT(apart, A2_index_would_wrap_from_below, PATIENCE)
{
	char *src = self->space.src, *low = (char *)(16 * PAGE), *dst = low + 32 * PAGE;
	const size_t first = PMD_PAGES / 2, pages = 16;

	if (mmap(low, 48 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != low)
		SKIP(return, "no memory that low (vm.mmap_min_addr)");
	ASSERT_EQ(0, munmap(src, first * PAGE));
	ASSERT_EQ(0, munmap(src + (first + pages) * PAGE, PMD - (first + pages) * PAGE));
	ASSERT_EQ(low, mremap(src + first * PAGE, pages * PAGE, pages * PAGE,
			      MREMAP_MAYMOVE | MREMAP_FIXED, low));
	ASSERT_EQ(0, relocate(dst, low, pages, MUST));
	expect_whole(_metadata, dst, pages, first + 1);
	munmap(low, 48 * PAGE);
}

/* The index of its first page is that of an address before the VMA. */
TEST_F_TIMEOUT(apart, A2_first_half_unmapped, PATIENCE)
{
	const size_t first = PMD_PAGES / 2;
	char *src = self->space.src;

	ASSERT_EQ(0, munmap(src, first * PAGE));
	ASSERT_EQ(0, relocate(self->dst, src + first * PAGE, first, MUST));
	expect_whole(_metadata, self->dst, first, first + 1);
}

/* Some entries are dirty and some are not: that makes no difference. */
TEST_F_TIMEOUT(apart, entries_differ, PATIENCE)
{
	char *src = self->space.src, *dst = self->dst + PAGE;
	size_t i;

	if (variant->kind == KIND_THP_BY_PTES)
		ASSERT_EQ(0, clear_soft_dirty());
	for (i = 3; i < PMD_PAGES; i += 5)
		fill_pages(src + i * PAGE, 1, i + 1);
	ASSERT_EQ(0, relocate(dst, src, PMD_PAGES, MUST));
	expect_whole(_metadata, dst, PMD_PAGES, 1);
}

/* Where the one page of its second table is dropped, Linux 7.3 frees the table. */
TEST_F_TIMEOUT(apart, without_its_last_page, PATIENCE)
{
	char *src = self->space.src, *away = self->dst + PAGE, *dst = self->dst + 2 * PMD;

	ASSERT_EQ(0, relocate(away, src, PMD_PAGES, MUST));
	ASSERT_EQ(0, madvise(away + PMD - PAGE, PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, relocate(dst, away, PMD_PAGES, MUST));
	expect_whole(_metadata, dst, PMD_PAGES - 1, 1);
}

/* Two mappings have it, and one of them moves: both keep their half. */
TEST_F_TIMEOUT(apart, D9_half_is_another_mapping, PATIENCE)
{
	const size_t half = PMD_PAGES / 2;
	char *src = self->space.src;

	ASSERT_EQ(0, mprotect(src, half * PAGE, PROT_READ));
	ASSERT_EQ(0, relocate(self->dst + PAGE, src + half * PAGE, half, MUST));
	expect_whole(_metadata, self->dst + PAGE, half, half + 1);
	expect_whole(_metadata, src, half, 1);
}

TEST_F_TIMEOUT(apart, half_swapped_out, PATIENCE)
{
	char *src = self->space.src, *dst = self->dst + PAGE;

	madvise(src, PMD / 2, MADV_PAGEOUT);
	ASSERT_EQ(0, relocate(dst, src, PMD_PAGES, MUST));
	expect_whole(_metadata, dst, PMD_PAGES, 1);
}

FIXTURE(calls)
{
	char *src;
	char *dst;
};

FIXTURE_SETUP(calls)
{
	const char *missing = relocate_missing();

	if (missing)
		SKIP(return, "%s", missing);
	self->src = map_alone(SOME);
	self->dst = map_alone(SOME);
	fill_pages(self->src, SOME, 1);
}

FIXTURE_TEARDOWN(calls)
{
	munmap(self->src, SOME * PAGE);
	munmap(self->dst, SOME * PAGE);
}

TEST_F(calls, needs_maymove)
{
	EXPECT_EQ(-EINVAL, relocate(self->src, self->src, SOME, MREMAP_RELOCATE_ANON));
	EXPECT_EQ(-EINVAL, relocate(self->src, self->src, SOME, MREMAP_MUST_RELOCATE_ANON));
	EXPECT_STREQ("", pages_differ(self->src, SOME, 1));
}

/* In 6.12 these are looked at late. */
TEST_F(calls, destination_is_no_place)
{
	EXPECT_EQ(-EINVAL, relocate(self->dst + 1, self->src, SOME, MUST));
	EXPECT_EQ(-EINVAL, relocate(self->dst + 0x1ff001, self->src, SOME, MUST));
	EXPECT_EQ(-EINVAL, relocate((void *)-PAGE, self->src, SOME, MUST));
	EXPECT_EQ(-EINVAL, relocate(self->src + PAGE, self->src, SOME, MUST));
	EXPECT_STREQ("", pages_differ(self->src, SOME, 1));
}

/* Without a length what is shared is mapped a second time, which is no move. */
TEST_F(calls, second_mapping_leaves_the_destination)
{
	char *shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, shared);
	fill_pages(self->dst, SOME, 77);
	EXPECT_EQ(-1, syscall(__NR_mremap, shared, 0UL, SOME * PAGE, MUST, self->dst));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, syscall(__NR_mremap, self->src, 0UL, SOME * PAGE, MUST, self->dst));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_STREQ("", pages_differ(self->dst, SOME, 77));
	EXPECT_STREQ("", pages_differ(self->src, SOME, 1));
	munmap(shared, PAGE);
}

/* Sealed and in others' hands, too: what is told is the former, before anything is unmapped. */
TEST_F(calls, sealed_leaves_the_destination)
{
	pid_t child;

	if (syscall(__NR_mseal, self->src, SOME * PAGE, 0UL))
		SKIP(return, "no mseal() in this kernel");
	fill_pages(self->dst, SOME, 77);
	child = share_with_child();
	ASSERT_LT(0, child);
	EXPECT_EQ(-EPERM, relocate(self->dst, self->src, SOME, MUST));
	EXPECT_EQ(-1, syscall(__NR_mremap, self->src, SOME * PAGE, PAGE, MUST, self->dst));
	EXPECT_EQ(EPERM, errno);
	EXPECT_STREQ("", pages_differ(self->dst, SOME, 77));
	EXPECT_STREQ("", pages_differ(self->src, SOME, 1));
	end_child(child);
}

TEST_F(calls, what_stays_needs_nothing)
{
	EXPECT_EQ(0, relocate(self->src, self->src, SOME,
			      MREMAP_MAYMOVE | MREMAP_MUST_RELOCATE_ANON));
	EXPECT_STREQ("", pages_differ(self->src, SOME, 1));
}

TEST_F(calls, D18_others_must_not)
{
	struct space s;
	char *shared = mmap(NULL, SOME * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	char *private = mmap(NULL, SOME * PAGE, RW, MAP_PRIVATE, zero, 0);

	fill_pages(shared, SOME, 1);
	EXPECT_EQ(-EFAULT, relocate(self->dst, shared, SOME, MUST));
	EXPECT_EQ(0, relocate(self->dst, shared, SOME, MAY));
	ASSERT_NE(MAP_FAILED, private);
	fill_pages(private, SOME, 1);
	EXPECT_EQ(-EFAULT, relocate(self->dst, private, SOME, MUST));
	EXPECT_EQ(0, relocate(self->dst, private, SOME, MAY));
	ASSERT_EQ(0, space_open(&s, SOME, 0));
	EXPECT_EQ(-EFAULT, relocate(self->dst, s.dst, SOME, MUST));
	space_close(&s);
}

static void write_byte(void *addr)
{
	fill_pages(addr, 1, 1);
}

TEST_F(calls, A9_no_write_bit_is_gained)
{
	ASSERT_TRUE(catch_sigsegv());
	ASSERT_EQ(0, mprotect(self->src, SOME * PAGE, PROT_READ));
	ASSERT_EQ(0, relocate(self->dst, self->src, SOME, MUST));
	EXPECT_FALSE(survives(write_byte, self->dst));
	expect_whole(_metadata, self->dst, SOME, 1);
	ASSERT_EQ(0, mprotect(self->dst, SOME * PAGE, PROT_NONE));
	ASSERT_EQ(0, relocate(self->src, self->dst, SOME, MUST));
	ASSERT_EQ(0, mprotect(self->src, SOME * PAGE, RW));
	EXPECT_STREQ("", pages_differ(self->src, SOME, 1));
}

TEST_F(calls, A8_guards_go_along)
{
	ASSERT_TRUE(catch_sigsegv());
	if (madvise(self->src + PAGE, PAGE, MADV_GUARD_INSTALL))
		SKIP(return, "no MADV_GUARD_INSTALL in this kernel");
	ASSERT_EQ(0, relocate(self->dst, self->src, SOME, MUST));
	EXPECT_FALSE(survives(write_byte, self->dst + PAGE));
	EXPECT_STREQ("", pages_differ(self->dst, 1, 1));
	EXPECT_STREQ("", pages_differ(self->dst + 2 * PAGE, SOME - 2, 3));
}

/* It stays when the memory is registered no more. */
TEST_F(calls, A8_poison_goes_along)
{
	const int uffd = uffd_open(0, UFFD_FEATURE_POISON);
	struct uffdio_poison poison = {
		.range = { .start = (uintptr_t)self->src + PAGE, .len = PAGE },
	};

	if (uffd < 0)
		SKIP(return, "no UFFDIO_POISON in this kernel");
	ASSERT_TRUE(catch_sigbus());
	ASSERT_EQ(0, madvise(self->src + PAGE, PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, uffd_register(uffd, self->src, SOME * PAGE, UFFDIO_REGISTER_MODE_MISSING));
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_POISON, &poison));
	close(uffd);
	ASSERT_EQ(0, relocate(self->dst, self->src, SOME, MUST));
	EXPECT_FALSE(survives(write_byte, self->dst + PAGE));
	EXPECT_STREQ("", pages_differ(self->dst, 1, 1));
	EXPECT_STREQ("", pages_differ(self->dst + 2 * PAGE, SOME - 2, 3));
}

TEST_F(calls, grows_while_it_moves)
{
	ASSERT_EQ(0, munmap(self->dst, SOME * PAGE));
	EXPECT_EQ((long)self->dst, syscall(SYS_mremap, self->src, SOME * PAGE, 2 * SOME * PAGE,
					   MUST, self->dst));
	EXPECT_TRUE(is_vma(self->dst, 2 * SOME));
	EXPECT_STREQ("", pages_differ(self->dst + SOME * PAGE, SOME, 0));
	expect_whole(_metadata, self->dst, SOME, 1);
	munmap(self->dst, 2 * SOME * PAGE);
}

FIXTURE(tables)
{
	char *src;
	char *dst;
};

FIXTURE_SETUP(tables)
{
	const char *missing = relocate_missing();

	if (missing)
		SKIP(return, "%s", missing);
	self->src = map_alone(AREA);
	self->dst = reserve(AREA);
	madvise(self->src, AREA * PAGE, MADV_NOHUGEPAGE);
	fill_pages(self->src, AREA, 1);
}

FIXTURE_TEARDOWN(tables)
{
	munmap(self->src, AREA * PAGE);
	munmap(self->dst, AREA * PAGE);
}

/* Both are emptied: what stays mapped there has none. */
TEST_F_TIMEOUT(tables, are_given_back, PATIENCE)
{
	const long long before = table_kib();

	ASSERT_EQ(0, relocate(self->dst, self->src, AREA, MUST | MREMAP_DONTUNMAP));
	EXPECT_EQ(before, table_kib());
	EXPECT_STREQ("", pages_differ(self->src, AREA, 0));
	expect_whole(_metadata, self->dst, AREA, 1);
}

/* Two that reach beyond the range keep what is there. */
TEST_F_TIMEOUT(tables, of_others_stay, PATIENCE)
{
	const size_t part = PMD_PAGES / 2;

	ASSERT_EQ(0, relocate(self->dst, self->src + part * PAGE, PMD_PAGES, MUST));
	expect_whole(_metadata, self->src, part, 1);
	expect_whole(_metadata, self->dst, PMD_PAGES, part + 1);
	expect_whole(_metadata, self->src + (part + PMD_PAGES) * PAGE, part, part + PMD_PAGES + 1);
}

TEST_HARNESS_MAIN
