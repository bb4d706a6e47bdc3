// SPDX-License-Identifier: GPL-2.0
/*
 * Huge pages: moved whole where that is possible, split where it is not, and
 * left as they are where they may not move.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#define AREA	(3 * PMD_PAGES)
#define BATCH_MAX	2048	/* pages that the engine takes at once */

FIXTURE(huge)
{
	struct space space;
	long long counted;
	long long calls;
};

FIXTURE_SETUP(huge)
{
	const char *missing = move_missing();

	missing = missing ? missing : kind_missing(KIND_THP);
	missing = missing ? missing : kind_missing(KIND_HUGE_ZERO);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->space, AREA, 0));
	self->counted = engine_count("moved_pmd");
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(huge)
{
	space_close(&self->space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

static struct moved move(struct space *s, size_t dst, size_t src, size_t pages)
{
	return move_pages_of(s->uffd, s->dst + dst * PAGE, s->src + src * PAGE, pages * PAGE, 0);
}

static bool is_huge(const char *addr)
{
	return all_pages(addr, PMD_PAGES, PM_HUGE, PM_HUGE);
}

TEST_F_TIMEOUT(huge, whole_pmd_is_one_entry, PATIENCE)
{
	struct space *s = &self->space;
	long long splits = engine_count("splits");

	ASSERT_EQ(0, make_kind(s, KIND_THP, 0, 2 * PMD_PAGES));
	ASSERT_EQ(0, move(s, PMD_PAGES, 0, 2 * PMD_PAGES).err);
	EXPECT_TRUE(is_huge(s->dst + PMD));
	EXPECT_TRUE(is_huge(s->dst + 2 * PMD));
	EXPECT_STREQ("", pages_differ(s->dst + PMD, 2 * PMD_PAGES, 1));
	EXPECT_ENGINE(2 * PMD_PAGES, "moved_pmd", self->counted);
	if (engine_counts())
		EXPECT_EQ(splits, engine_count("splits"));
}

/* The deposited page table has moved along if a split at the new place finds one. */
TEST_F_TIMEOUT(huge, moved_pmd_can_be_split, PATIENCE)
{
	struct space *s = &self->space;

	ASSERT_EQ(0, make_kind(s, KIND_THP, 0, PMD_PAGES));
	ASSERT_EQ(0, move(s, PMD_PAGES, 0, PMD_PAGES).err);
	ASSERT_EQ(0, madvise(s->dst + PMD + 5 * PAGE, PAGE, MADV_DONTNEED));
	EXPECT_FALSE(is_huge(s->dst + PMD));
	EXPECT_STREQ("", pages_differ(s->dst + PMD, 5, 1));
	EXPECT_STREQ("", pages_differ(s->dst + PMD + 6 * PAGE, PMD_PAGES - 6, 7));
}

TEST_F_TIMEOUT(huge, part_leaves_the_rest, PATIENCE)
{
	struct space *s = &self->space;
	long long small = engine_count("moved_small moved_large");

	ASSERT_EQ(0, make_kind(s, KIND_THP, 0, PMD_PAGES));
	ASSERT_EQ(0, move(s, 0, 100, 12).err);
	EXPECT_ENGINE(12, "moved_small moved_large", small);
	EXPECT_STREQ("", pages_differ(s->dst, 12, 101));
	EXPECT_STREQ("", pages_differ(s->src, 100, 1));
	EXPECT_TRUE(all_pages(s->src + 100 * PAGE, 12, PM_PRESENT | PM_SWAP, 0));
	EXPECT_STREQ("", pages_differ(s->src + 112 * PAGE, PMD_PAGES - 112, 113));
}

/* The largest folio that PTEs may map fills a table: it fits at a PMD boundary only. */
TEST_F_TIMEOUT(huge, mapped_by_ptes_moves_whole, PATIENCE)
{
	struct space *s = &self->space;
	const char *missing = base_serves();
	long long before = engine_count("moved_large"), splits;

	if (missing)
		SKIP(return, "%s", missing);
	if (PMD_PAGES > BATCH_MAX)
		SKIP(return, "a folio of so many pages is split");
	ASSERT_EQ(0, make_kind(s, KIND_THP_BY_PTES, 0, 2 * PMD_PAGES));
	splits = engine_count("splits");
	ASSERT_EQ(0, move(s, PMD_PAGES, 0, PMD_PAGES).err);
	EXPECT_TRUE(are_folios(s->dst + PMD, PMD_PAGES, PMD_PAGES));
	EXPECT_ENGINE(PMD_PAGES, "moved_large", before);
	EXPECT_EQ(splits, engine_count("splits"));
	ASSERT_EQ(0, move(s, 1, PMD_PAGES, PMD_PAGES - 1).err);
	EXPECT_ENGINE(1, "splits", splits);
	EXPECT_STREQ("", pages_differ(s->dst + PAGE, PMD_PAGES - 1, PMD_PAGES + 1));
	EXPECT_STREQ("", pages_differ(s->dst + PMD, PMD_PAGES, 1));
}

/* R1: a split sleeps, so no page table may be mapped meanwhile. Lockdep would tell. */
TEST_F_TIMEOUT(huge, R1_part_of_folio_mapped_by_ptes, PATIENCE)
{
	struct space *s = &self->space;
	long long splits = engine_count("splits");

	ASSERT_EQ(0, make_kind(s, KIND_THP_BY_PTES, 0, PMD_PAGES));
	ASSERT_EQ(0, move(s, 33, 100, 12).err);
	EXPECT_ENGINE(1, "splits", splits);
	EXPECT_STREQ("", pages_differ(s->dst + 33 * PAGE, 12, 101));
	EXPECT_STREQ("", pages_differ(s->src, 100, 1));
	EXPECT_STREQ("", pages_differ(s->src + 112 * PAGE, PMD_PAGES - 112, 113));
}

/* All that can be seen of a huge page, after a move that marks none of it dirty. */
TEST_F_TIMEOUT(huge, R12_clean_stays_clean, PATIENCE)
{
	struct space *s = &self->space;
	const char *missing = base_serves();
	struct smaps before, after;

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, make_kind(s, KIND_THP, 0, PMD_PAGES));
	ASSERT_EQ(0, madvise(s->src, PMD, MADV_FREE));
	ASSERT_TRUE(is_huge(s->src));
	ASSERT_EQ(0, smaps_of(s, &before));
	ASSERT_LT(0, before.kib[SMAPS_PRIVATE_CLEAN]);
	ASSERT_EQ(0, move(s, 0, 0, PMD_PAGES).err);
	ASSERT_EQ(0, smaps_of(s, &after));
	EXPECT_EQ(before.kib[SMAPS_PRIVATE_CLEAN], after.kib[SMAPS_PRIVATE_CLEAN]);
	EXPECT_EQ(before.kib[SMAPS_PRIVATE_DIRTY], after.kib[SMAPS_PRIVATE_DIRTY]);
	EXPECT_ENGINE(PMD_PAGES, "moved_pmd", self->counted);
}

/* R2 and R16: there is no folio to lock, to split or to make an entry from. */
TEST_F_TIMEOUT(huge, R2_R16_huge_zero_page, PATIENCE)
{
	long long before = engine_count("moved_zero moved_pmd");
	struct space *s = &self->space;
	struct smaps smaps;

	ASSERT_EQ(0, make_kind(s, KIND_HUGE_ZERO, 0, 2 * PMD_PAGES));
	ASSERT_EQ(0, move(s, 0, 0, PMD_PAGES).err);
	EXPECT_TRUE(all_pages(s->dst, PMD_PAGES, PM_HUGE | PM_ZERO, PM_HUGE | PM_ZERO));
	/* Part of the other one, not aligned. */
	ASSERT_EQ(0, move(s, PMD_PAGES + 7, PMD_PAGES + 3, 100).err);
	EXPECT_TRUE(all_pages(s->dst + (PMD_PAGES + 7) * PAGE, 100, PM_ZERO, PM_ZERO));
	EXPECT_TRUE(all_pages(s->src + (PMD_PAGES + 103) * PAGE, PMD_PAGES - 103,
			      PM_ZERO, PM_ZERO));
	ASSERT_EQ(0, smaps_of(s, &smaps));
	EXPECT_EQ(0, smaps.kib[SMAPS_ANONYMOUS]);

	/* Writing must copy, and never reach the zero page itself. */
	ASSERT_EQ(0, uffd_unregister(s->uffd, s->dst, AREA * PAGE));
	fill_pages(s->dst, 3, 1);
	fill_pages(s->dst + (PMD_PAGES + 7) * PAGE, 3, 50);
	EXPECT_STREQ("", pages_differ(s->dst, 3, 1));
	EXPECT_STREQ("", pages_differ(s->dst + 3 * PAGE, PMD_PAGES - 3, 0));
	EXPECT_STREQ("", pages_differ(s->src + PMD, PMD_PAGES, 0));
	/* What was written to above may be anywhere but in what others read. */
	ASSERT_EQ(0, make_kind(s, KIND_HUGE_ZERO, 2 * PMD_PAGES, PMD_PAGES));
	EXPECT_STREQ("", pages_differ(s->src + 2 * PMD, PMD_PAGES, 0));
	EXPECT_ENGINE(PMD_PAGES + 100, "moved_zero moved_pmd", before);
}

TEST_F_TIMEOUT(huge, R2_zero_page, PATIENCE)
{
	struct space *s = &self->space;
	long long before = engine_count("moved_zero");

	ASSERT_EQ(0, make_kind(s, KIND_ZERO, 0, 8));
	ASSERT_EQ(0, move(s, 3, 0, 8).err);
	EXPECT_ENGINE(8, "moved_zero", before);
	fill_pages(s->dst + 3 * PAGE, 1, 1);
	EXPECT_STREQ("", pages_differ(s->dst + 3 * PAGE, 1, 1));
	EXPECT_STREQ("", pages_differ(s->dst + 4 * PAGE, 7, 0));
}

/* V8: found out before the PMD is split, not after. */
TEST_F_TIMEOUT(huge, V8_shared_is_not_split, PATIENCE)
{
	struct space *s = &self->space;
	long long before = engine_count("stop_shared");
	pid_t pid;

	ASSERT_EQ(0, make_kind(s, KIND_THP, 0, PMD_PAGES));
	pid = share_with_child();
	ASSERT_LT(0, pid);
	EXPECT_EQ(EBUSY, move(s, 0, 0, PMD_PAGES).err);
	EXPECT_EQ(EBUSY, move(s, 1, 0, PMD_PAGES).err);
	EXPECT_EQ(EBUSY, move(s, 0, 17, 1).err);
	EXPECT_TRUE(is_huge(s->src));
	end_child(pid);
	EXPECT_ENGINE(3, "stop_shared", before);
}

TEST_F_TIMEOUT(huge, V9_huge_destination_exists, PATIENCE)
{
	struct space *s = &self->space;
	long long before = engine_count("stop_exists");

	ASSERT_EQ(0, make_kind(s, KIND_THP, 0, 2 * PMD_PAGES));
	ASSERT_EQ(0, move(s, 0, 0, PMD_PAGES).err);
	EXPECT_EQ(EEXIST, move(s, 0, PMD_PAGES, PMD_PAGES).err);
	EXPECT_EQ(EEXIST, move(s, 9, PMD_PAGES, 1).err);
	EXPECT_TRUE(is_huge(s->dst));
	EXPECT_STREQ("", pages_differ(s->dst, PMD_PAGES, 1));
	EXPECT_STREQ("", pages_differ(s->src + PMD, PMD_PAGES, PMD_PAGES + 1));
	EXPECT_ENGINE(2, "stop_exists", before);
}

/* An aligned PMD meets a page table instead of a hole; one page in it is too many. */
TEST_F_TIMEOUT(huge, occupied_page_in_destination, PATIENCE)
{
	struct space *s = &self->space;
	struct moved moved;

	ASSERT_EQ(0, make_kind(s, KIND_THP, 0, 2 * PMD_PAGES));
	ASSERT_EQ(0, move(s, 40, PMD_PAGES, 1).err);
	moved = move(s, 0, 0, PMD_PAGES);
	EXPECT_EQ(EAGAIN, moved.err);
	EXPECT_EQ((long long)(40 * PAGE), moved.bytes);
	EXPECT_STREQ("", pages_differ(s->dst, 40, 1));
	EXPECT_STREQ("", pages_differ(s->dst + 40 * PAGE, 1, PMD_PAGES + 1));
	EXPECT_STREQ("", pages_differ(s->src + 40 * PAGE, PMD_PAGES - 40, 41));
}

/* Where the first page goes to one is there already: nothing moves, so nothing is split. */
static void expect_exists_and_huge(struct __test_metadata *_metadata, struct space *s,
				   size_t dst, size_t src, size_t pages)
{
	struct moved moved = move(s, dst, src, pages);

	EXPECT_EQ(EEXIST, moved.err);
	EXPECT_EQ(-EEXIST, moved.bytes);
	EXPECT_TRUE(is_huge(s->src + src / PMD_PAGES * PMD));
}

/* O17: the whole of it to a page table, a part that is shifted, a part that is aligned. */
TEST_F_TIMEOUT(huge, O17_occupied_is_not_split, PATIENCE)
{
	struct space *s = &self->space;
	long long before = engine_count("stop_exists");
	const char *missing = base_serves();

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 2 * PMD_PAGES, 2));
	ASSERT_EQ(0, move(s, 0, 2 * PMD_PAGES, 1).err);
	ASSERT_EQ(0, move(s, 40, 2 * PMD_PAGES + 1, 1).err);
	ASSERT_EQ(0, make_kind(s, KIND_THP, 0, PMD_PAGES));
	ASSERT_EQ(0, make_kind(s, KIND_HUGE_ZERO, PMD_PAGES, PMD_PAGES));
	expect_exists_and_huge(_metadata, s, 0, 0, PMD_PAGES);
	expect_exists_and_huge(_metadata, s, 40, 3, 100);
	expect_exists_and_huge(_metadata, s, 40, 40, 1);
	expect_exists_and_huge(_metadata, s, 0, PMD_PAGES, PMD_PAGES);
	expect_exists_and_huge(_metadata, s, 40, PMD_PAGES + 3, 100);
	EXPECT_ENGINE(5, "stop_exists", before);
	EXPECT_STREQ("", pages_differ(s->src, PMD_PAGES, 1));
}

/* O1: a child shares the lower half only, and with it the folio's head. */
TEST_F_TIMEOUT(huge, O1_other_half_is_exclusive, PATIENCE)
{
	struct space *s = &self->space;
	const char *missing = base_serves();
	size_t half = PMD_PAGES / 2;
	long long before;
	pid_t pid;

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, make_kind(s, KIND_THP, 0, PMD_PAGES));
	ASSERT_EQ(0, madvise(s->src + half * PAGE, (AREA - half) * PAGE, MADV_DONTFORK));
	pid = share_with_child();
	ASSERT_LT(0, pid);
	before = engine_count("moved_small moved_large");
	EXPECT_EQ(EBUSY, move(s, 0, 0, half).err);
	EXPECT_EQ(0, move(s, half, half, half).err);
	EXPECT_ENGINE(half, "moved_small moved_large", before);
	EXPECT_STREQ("", pages_differ(s->dst + half * PAGE, half, half + 1));
	EXPECT_STREQ("", pages_differ(s->src, half, 1));
	end_child(pid);
}

/*
 * A move tries for half a second, and so often at least, before it says EBUSY. A
 * writer waits for one or two of them, or for all if the VMAs are locked meanwhile.
 */
#define LEAST_TRIES	16

/* A thread that changes flags of the source VMA, which takes its lock for writing. */
struct writer {
	pthread_t thread;
	struct space *space;
	bool stop;
	unsigned long rounds;
	long long longest;	/* in tries of the move */
};

static void *write_vma(void *arg)
{
	long long tries, before = engine_count("stop_split_failed");
	struct writer *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
		madvise(w->space->src, AREA * PAGE, MADV_DONTFORK);
		madvise(w->space->src, AREA * PAGE, MADV_DOFORK);
		tries = engine_count("stop_split_failed");
		if (tries - before > w->longest)
			w->longest = tries - before;
		before = tries;
		__atomic_fetch_add(&w->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/*
 * O2: a pipe's reference keeps the folio whole, and no split can succeed. The
 * base tries until it is killed, with the VMAs locked all the time.
 */
TEST_F_TIMEOUT(huge, O2_unsplittable_is_busy, PATIENCE)
{
	struct space *s = &self->space;
	struct writer w = { .space = s };
	struct iovec iov = { .iov_base = s->src + 9 * PAGE, .iov_len = PAGE };
	const char *missing = base_serves();
	long long before = engine_count("stop_split_failed"), tries;
	int fds[2], i;

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, make_kind(s, KIND_THP_BY_PTES, 0, PMD_PAGES));
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ((ssize_t)PAGE, vmsplice(fds[1], &iov, 1, 0));
	ASSERT_EQ(0, pthread_create(&w.thread, NULL, write_vma, &w));
	while (!__atomic_load_n(&w.rounds, __ATOMIC_RELAXED))
		sched_yield();
	for (i = 0; i < 2; i++)
		EXPECT_EQ(EBUSY, move(s, 0, 0, 8).err);
	__atomic_store_n(&w.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(w.thread, NULL));
	EXPECT_ENGINE(2 * LEAST_TRIES, "stop_split_failed", before);
	/* Half of what one of the two calls has tried. */
	tries = engine_count("stop_split_failed") - before;
	if (engine_counts())
		EXPECT_GT(tries / 4, w.longest);

	close(fds[0]);
	close(fds[1]);
	EXPECT_EQ(0, move(s, 0, 0, 8).err);
	EXPECT_STREQ("", pages_differ(s->dst, 8, 1));
	EXPECT_STREQ("", pages_differ(s->src + 8 * PAGE, PMD_PAGES - 8, 9));
}

/* Returns only if something is wrong. */
static void wait_until_killed(void)
{
	struct space s;
	struct iovec iov;
	int fds[2];

	if (space_open(&s, AREA, 0) || make_kind(&s, KIND_THP_BY_PTES, 0, PMD_PAGES) || pipe(fds))
		return;
	iov = (struct iovec){ .iov_base = s.src + 9 * PAGE, .iov_len = PAGE };
	if (vmsplice(fds[1], &iov, 1, 0) != (ssize_t)PAGE)
		return;
	while (move(&s, 0, 0, 8).err == EBUSY)
		;
}

/* O2: between two tries to split it sleeps, and nothing else would notice the signal. */
TEST_F_TIMEOUT(huge, O2_waits_killable, PATIENCE)
{
	long long unsplit = engine_count("stop_split_failed"), killed = engine_count("stop_killed");
	const char *missing = base_serves();
	int status = -1;
	pid_t pid;

	if (!missing && !engine_counts())
		missing = "no CONFIG_ANON_MOVE_STATS";
	if (missing)
		SKIP(return, "%s", missing);
	pid = fork();
	if (!pid) {
		wait_until_killed();
		_exit(1);
	}
	ASSERT_LT(0, pid);
	while (engine_count("stop_split_failed") < unsplit + 2 && !waitpid(pid, NULL, WNOHANG))
		usleep(1000);
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_ENGINE(1, "stop_killed", killed);
}

TEST_HARNESS_MAIN
