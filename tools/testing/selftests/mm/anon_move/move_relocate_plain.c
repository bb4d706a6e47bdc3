// SPDX-License-Identifier: GPL-2.0
/*
 * MREMAP_MUST_RELOCATE_ANON beside mremap() without a flag: the same accounts, limits and marks,
 * and what each set of flags says.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../../kselftest_harness.h"
#include "relocate.h"

#define AREA		(2 * PMD_PAGES)
#define MAX_MAP_COUNT	"/proc/sys/vm/max_map_count"

/* What a process is charged with: KiB, and VMAs. */
struct accounts {
	long long size, data, locked, rss, swap;
	long vmas;
};

static struct accounts accounts(void)
{
	static const char status[] = "/proc/self/status";

	return (struct accounts) {
		.size = read_number(status, "VmSize:"),
		.data = read_number(status, "VmData:"),
		.locked = read_number(status, "VmLck:"),
		.rss = read_number(status, "RssAnon:"),
		.swap = read_number(status, "VmSwap:"),
		.vmas = vma_count(),
	};
}

static void expect_alike(struct __test_metadata *_metadata, const struct accounts *a,
			 const struct accounts *b)
{
	const long long slack = counter_slack();

	EXPECT_EQ(a->size, b->size);
	EXPECT_EQ(a->data, b->data);
	EXPECT_EQ(a->locked, b->locked);
	EXPECT_EQ(a->vmas, b->vmas);
	EXPECT_GE(slack, llabs(a->rss - b->rss));
	EXPECT_GE(slack, llabs(a->swap - b->swap));
}

/**
 * struct way - one way to move a mapping
 * @kind: of its pages
 * @locked: by mlock()
 * @flags: but for those to be compared
 * @old: pages that it had
 * @new: pages that it gets
 */
struct way {
	enum page_kind_id kind;
	bool locked;
	int flags;
	size_t old, new;
};

FIXTURE(accounts)
{
};

FIXTURE_VARIANT(accounts)
{
	struct way way;
};

FIXTURE_VARIANT_ADD(accounts, small) { { KIND_SMALL, false, 0, AREA, AREA } };
FIXTURE_VARIANT_ADD(accounts, thp) { { KIND_THP, false, 0, AREA, AREA } };
FIXTURE_VARIANT_ADD(accounts, swapped) { { KIND_SWAPPED, false, 0, AREA, AREA } };
FIXTURE_VARIANT_ADD(accounts, part) { { KIND_SMALL, false, 0, AREA - 3, AREA - 3 } };
FIXTURE_VARIANT_ADD(accounts, grown) { { KIND_SMALL, false, 0, AREA - 3, AREA + 3 } };
FIXTURE_VARIANT_ADD(accounts, shrunk) { { KIND_SMALL, false, 0, AREA, AREA - 3 } };
FIXTURE_VARIANT_ADD(accounts, locked) { { KIND_SMALL, true, 0, AREA, AREA } };
FIXTURE_VARIANT_ADD(accounts, locked_part) { { KIND_SMALL, true, 0, AREA - 3, AREA - 3 } };
FIXTURE_VARIANT_ADD(accounts, locked_and_grown) { { KIND_SMALL, true, 0, AREA, AREA + 3 } };
FIXTURE_VARIANT_ADD(accounts, kept) {
	{ KIND_SMALL, false, MREMAP_DONTUNMAP, AREA, AREA } };
FIXTURE_VARIANT_ADD(accounts, locked_and_kept) {
	{ KIND_SMALL, true, MREMAP_DONTUNMAP, AREA, AREA } };

FIXTURE_SETUP(accounts)
{
	const char *missing = relocate_missing();

	missing = missing ? missing : kind_missing(variant->way.kind);
	if (missing)
		SKIP(return, "%s", missing);
}

FIXTURE_TEARDOWN(accounts)
{
}

static struct accounts since(struct accounts before)
{
	const struct accounts now = accounts();

	return (struct accounts) {
		.size = now.size - before.size,
		.data = now.data - before.data,
		.locked = now.locked - before.locked,
		.rss = now.rss - before.rss,
		.swap = now.swap - before.swap,
		.vmas = now.vmas - before.vmas,
	};
}

/* Moves new memory so; what the process has then, and has left in the end. */
static void charge(struct __test_metadata *_metadata, const struct way *way, int flags,
		   struct accounts charged[2])
{
	const struct accounts before = accounts();
	const size_t pages = way->old < way->new ? way->old : way->new;
	struct space s;
	char *dst;

	EXPECT_EQ(0, space_open(&s, AREA, 0));
	EXPECT_EQ(0, make_kind(&s, way->kind, 0, AREA));
	if (way->locked)
		EXPECT_EQ(0, mlock(s.src, AREA * PAGE));
	dst = reserve(AREA + 4);
	EXPECT_EQ((long)dst, syscall(__NR_mremap, s.src, way->old * PAGE, way->new * PAGE,
				     flags | way->flags, dst));
	charged[0] = since(before);
	EXPECT_STREQ("", pages_differ(dst, pages, 1));
	if (way->flags & MREMAP_DONTUNMAP)
		EXPECT_STREQ("", pages_differ(s.src, AREA, 0));
	EXPECT_EQ(0, munmap(dst, (AREA + 4) * PAGE));
	space_close(&s);
	charged[1] = since(before);
}

TEST_F_TIMEOUT(accounts, A5_A11_as_without, PATIENCE)
{
	struct accounts plain[2], must[2];

	/* The first time there is more that is new than the memory. */
	charge(_metadata, &variant->way, PLAIN, plain);
	charge(_metadata, &variant->way, PLAIN, plain);
	charge(_metadata, &variant->way, MUST, must);
	expect_alike(_metadata, &plain[0], &must[0]);
	expect_alike(_metadata, &plain[1], &must[1]);
}

static long long committed(void)
{
	return read_number("/proc/meminfo", "Committed_AS:");
}

/* What is charged for a mapping is charged once, and given back with it. */
TEST(A5_commit_is_given_back)
{
	const size_t pages = (64UL << 20) / PAGE;
	const long long kib = pages * PAGE / 1024;
	const char *missing = relocate_missing();
	long long before = committed();
	char *ends[2];
	int i;

	if (missing)
		SKIP(return, "%s", missing);
	ends[0] = map_alone(pages);
	ends[1] = reserve(pages);
	fill_pages(ends[0], 1, 1);
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, relocate(ends[!(i & 1)], ends[i & 1], pages, MUST));
	EXPECT_LT(llabs(committed() - before - kib), kib / 2);
	EXPECT_STREQ("", pages_differ(ends[0], 1, 1));
	munmap(ends[0], pages * PAGE);
	EXPECT_LT(llabs(committed() - before), kib / 2);
}

/* Cuts a mapping in three, and what is at the destination too. Its errno, or 0. */
static int move_middle(char *dst, char *src, int flags)
{
	char *from = src + SOME * PAGE, *to = dst + SOME * PAGE;
	int err = -relocate(to, from, SOME, flags);

	if (!err && !(flags & MREMAP_DONTUNMAP))
		err = is_vma(from, SOME) ? 100 : 0;
	return *pages_differ(err ? from : to, SOME, SOME + 1) ? 101 : err;
}

FIXTURE(limit)
{
	char *many;
	char *src;
	char *dst;
	long long old;
};

#define MANY	1000	/* VMAs, more than others have whom the limit must not hurt */

FIXTURE_SETUP(limit)
{
	const char *missing = relocate_missing();
	int i;

	self->old = read_number(MAX_MAP_COUNT, "");
	if (missing || access(MAX_MAP_COUNT, W_OK))
		SKIP(return, "%s", missing ? missing : "only root may set vm.max_map_count");
	self->many = mmap(NULL, MANY * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (i = 0; i < MANY; i += 2)
		ASSERT_EQ(0, mprotect(self->many + i * PAGE, PAGE, PROT_READ));
	self->src = map_alone(3 * SOME);
	self->dst = reserve(3 * SOME);
}

static int set_limit(long long n)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", n);
	return write_text(MAX_MAP_COUNT, text);
}

FIXTURE_TEARDOWN(limit)
{
	EXPECT_EQ(0, set_limit(self->old));
	munmap(self->many, MANY * PAGE);
	munmap(self->src, 3 * SOME * PAGE);
	munmap(self->dst, 3 * SOME * PAGE);
}

/* What a process gets whose number of VMAs is so far below the limit. */
static int at_limit(char *dst, char *src, int flags, int below)
{
	int status;
	pid_t child = fork();

	if (!child) {
		fill_pages(src, 3 * SOME, 1);
		if (set_limit(vma_count() + below))
			_exit(102);
		_exit(move_middle(dst, src, flags));
	}
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* In both cases all has gone well or nothing has changed. */
TEST_F_TIMEOUT(limit, A7_as_without, PATIENCE)
{
	static const int extra[] = { 0, MREMAP_DONTUNMAP };
	unsigned int i, refused = 0, done = 0;
	int below, plain, must;

	for (i = 0; i < 2; i++)
		for (below = -2; below <= 8; below++) {
			plain = at_limit(self->dst, self->src, PLAIN | extra[i], below);
			must = at_limit(self->dst, self->src, MUST | extra[i], below);
			EXPECT_EQ(plain, must)
				TH_LOG("%d VMAs below the limit", below);
			EXPECT_TRUE(!plain || plain == ENOMEM);
			refused += plain == ENOMEM;
			done += !plain;
		}
	EXPECT_LT(0, refused);
	EXPECT_LT(0, done);
}

FIXTURE(marks)
{
	struct space space;
	char *dst;
};

FIXTURE_VARIANT(marks)
{
	enum page_kind_id kind;
};

FIXTURE_VARIANT_ADD(marks, small) { KIND_SMALL };
FIXTURE_VARIANT_ADD(marks, swapped) { KIND_SWAPPED };
FIXTURE_VARIANT_ADD(marks, mthp) { KIND_MTHP };
FIXTURE_VARIANT_ADD(marks, thp) { KIND_THP };

FIXTURE_SETUP(marks)
{
	const char *missing = relocate_missing();

	missing = missing ? missing : no_soft_dirty();
	missing = missing ? missing : kind_missing(variant->kind);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->space, AREA, 0));
	ASSERT_EQ(0, make_kind(&self->space, variant->kind, 0, AREA));
	self->dst = reserve(AREA + 1);
}

FIXTURE_TEARDOWN(marks)
{
	munmap(self->dst, (AREA + 1) * PAGE);
	space_close(&self->space);
}

/* Whoever saves what has changed finds it at an address where it was not: all of it has. */
TEST_F_TIMEOUT(marks, A10_all_are_soft_dirty, PATIENCE)
{
	ASSERT_EQ(0, clear_soft_dirty());
	ASSERT_EQ(0, relocate(self->dst, self->space.src, AREA, MUST));
	EXPECT_TRUE(all_pages(self->dst, AREA, PM_SOFT_DIRTY, PM_SOFT_DIRTY));
	ASSERT_EQ(0, clear_soft_dirty());
	ASSERT_EQ(0, relocate(self->space.src + PAGE, self->dst, AREA - 1, MUST));
	EXPECT_TRUE(all_pages(self->space.src + PAGE, AREA - 1, PM_SOFT_DIRTY, PM_SOFT_DIRTY));
}

/* A flag of no kernel. */
#define UNKNOWN	0x10

/* The negative errno of a call with two ranges of pages of one length. */
static int expected(int flags)
{
	if (flags & UNKNOWN)
		return -EINVAL;
	if (flags & (MREMAP_ONLYPAGES | MREMAP_ONLYPAGES_HOLES))
		return (flags & ~MREMAP_ONLYPAGES_HOLES) == (PLAIN | MREMAP_ONLYPAGES) ?
			-EEXIST : -EINVAL;
	return flags & ~MREMAP_MAYMOVE && !(flags & MREMAP_MAYMOVE) ? -EINVAL : 0;
}

/* What it then looks like at either end. */
static void expect_done(struct __test_metadata *_metadata, int flags, char *src, char *dst,
			char *at)
{
	const bool fixed = flags & MREMAP_FIXED, kept = flags & MREMAP_DONTUNMAP;

	EXPECT_TRUE(fixed ? at == dst : kept == (at != src));
	EXPECT_STREQ("", pages_differ(at, SOME, 1));
	if (!fixed)
		EXPECT_STREQ("", pages_differ(dst, SOME, 77));
	if (kept)
		EXPECT_STREQ("", pages_differ(src, SOME, 0));
	if (fixed && !kept)
		EXPECT_FALSE(is_vma(src, SOME));
	if (at != src && at != dst)
		munmap(at, SOME * PAGE);
}

/* The call by which a fuzzer has broken another kernel's is one of them (X1). */
TEST(X1_each_set_of_flags)
{
	static const int bits[] = {
		MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP, UNKNOWN, MREMAP_RELOCATE_ANON,
		MREMAP_MUST_RELOCATE_ANON, MREMAP_ONLYPAGES, MREMAP_ONLYPAGES_HOLES
	};
	const char *missing = relocate_missing();
	unsigned int set, i;

	if (missing)
		SKIP(return, "%s", missing);
	for (set = 0; set < 1 << ARRAY_SIZE(bits); set++) {
		char *src = map_alone(SOME), *dst = map_alone(SOME), *at;
		int flags = 0;

		for (i = 0; i < ARRAY_SIZE(bits); i++)
			flags |= set & 1 << i ? bits[i] : 0;
		fill_pages(src, SOME, 1);
		fill_pages(dst, SOME, 77);
		at = (char *)syscall(__NR_mremap, src, SOME * PAGE, SOME * PAGE, flags, dst);
		EXPECT_EQ(expected(flags), at == MAP_FAILED ? -errno : 0)
			TH_LOG("flags %#x", flags);
		if (at != MAP_FAILED) {
			expect_done(_metadata, flags, src, dst, at);
		} else {
			EXPECT_TRUE(is_vma(src, SOME) && is_vma(dst, SOME));
			EXPECT_STREQ("", pages_differ(src, SOME, 1));
			EXPECT_STREQ("", pages_differ(dst, SOME, 77));
		}
		munmap(src, SOME * PAGE);
		munmap(dst, SOME * PAGE);
	}
}

TEST_HARNESS_MAIN
