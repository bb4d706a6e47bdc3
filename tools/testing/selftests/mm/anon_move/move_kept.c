// SPDX-License-Identifier: GPL-2.0
/*
 * What the mover remembers from one call to the next is never believed when it
 * has changed. That it follows no pointer to freed memory is for KASAN to see.
 */
#include <linux/membarrier.h>
#include <linux/mman.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../../kselftest_harness.h"
#include "rival.h"

#define ROUNDS	20

/* What was taken out of use is freed when an RCU grace period has passed, or soon afterwards. */
static int let_rcu_free(void)
{
	if (syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		return -1;
	return usleep(100000);
}

static int map_at(char *area)
{
	return mmap(area, PMD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		    -1, 0) == area ? 0 : -1;
}

FIXTURE(kept)
{
	struct space space;
	long long calls;
};

FIXTURE_SETUP(kept)
{
	const char *missing = move_missing();

	if (missing)
		SKIP(return, "%s", missing);
	/* What is remembered is remembered for each CPU. */
	ASSERT_EQ(0, run_on_cpu(0));
	ASSERT_EQ(0, space_open(&self->space, PMD_PAGES, UFFD_FEATURE_SIGBUS));
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(kept)
{
	space_close(&self->space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

/* One page to page @to of the destination, which is not looked at. */
static int move_unread(struct space *s, size_t to, unsigned int id)
{
	fill_pages(s->src, 1, id);
	return move_pages_of(s->uffd, s->dst + to * PAGE, s->src, PAGE, 0).err;
}

static int move_one(struct space *s, size_t to, unsigned int id)
{
	int err = move_unread(s, to, id);

	return !err && *pages_differ(s->dst + to * PAGE, 1, id) ? -1 : err;
}

/* The first move into a VMA gives it an anon_vma; only the second finds nothing missing. */
static int move_two(struct space *s)
{
	return move_one(s, 0, 1) || move_one(s, 1, 2) ? -1 : 0;
}

TEST_F_TIMEOUT(kept, unmapped_vmas_are_not_found, PATIENCE)
{
	struct space *s = &self->space;

	ASSERT_EQ(0, move_two(s));
	ASSERT_EQ(0, munmap(s->dst, PMD));
	EXPECT_EQ(ENOENT, move_one(s, 2, 3));
	ASSERT_EQ(0, let_rcu_free());
	EXPECT_EQ(ENOENT, move_one(s, 2, 3));
	EXPECT_STREQ("", pages_differ(s->src, 1, 3));
}

/* At the same addresses, so that only the number of changes tells old from new. */
TEST_F_TIMEOUT(kept, freed_vmas_are_not_followed, PATIENCE)
{
	struct space *s = &self->space;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, move_two(s));
		ASSERT_EQ(0, munmap(s->src, PMD));
		ASSERT_EQ(0, munmap(s->dst, PMD));
		ASSERT_EQ(0, let_rcu_free());
		ASSERT_EQ(0, map_at(s->src));
		ASSERT_EQ(0, map_at(s->dst));
		ASSERT_EQ(0, uffd_register(s->uffd, s->dst, PMD, UFFDIO_REGISTER_MODE_MISSING));
	}
}

static int move_in_child(void)
{
	struct space s;
	pid_t pid = fork();
	int status;

	if (pid)
		return waitpid(pid, &status, 0) == pid ? status : -1;
	_exit(space_open(&s, PMD_PAGES, UFFD_FEATURE_SIGBUS) || move_two(&s));
}

/* Each has changed its mappings as often as the last one, and may have its mm_struct's address. */
TEST_F_TIMEOUT(kept, other_processes_are_told_apart, PATIENCE)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, move_in_child());
		ASSERT_EQ(0, let_rcu_free());
	}
}

TEST_F_TIMEOUT(kept, ranges_may_take_turns, PATIENCE)
{
	struct space *s = &self->space, other;
	char *last = s->dst + PMD - PAGE;
	int i;

	ASSERT_EQ(0, space_open(&other, PMD_PAGES, UFFD_FEATURE_SIGBUS));
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, move_one(s, i, i + 1));
		ASSERT_EQ(0, move_one(&other, i, 100 + i));
	}
	/* One of the two it remembers, and within one. */
	EXPECT_EQ(0, move_pages_of(s->uffd, s->dst + ROUNDS * PAGE, other.dst, PAGE, 0).err);
	EXPECT_EQ(0, move_pages_of(s->uffd, last, s->dst + ROUNDS * PAGE, PAGE, 0).err);
	EXPECT_STREQ("", pages_differ(last, 1, 100));
	ASSERT_EQ(0, move_one(s, ROUNDS, ROUNDS + 1));
	EXPECT_EQ(EINVAL, move_pages_of(other.uffd, last - PAGE, s->src, PAGE, 0).err);
	EXPECT_STREQ("", pages_differ(s->dst, ROUNDS + 1, 1));
	EXPECT_STREQ("", pages_differ(other.dst + PAGE, ROUNDS - 1, 101));
	space_close(&other);
}

/* Splits the last page off either VMA, and merges it again: each time a VMA is freed. */
static void split_and_merge(struct rival *r)
{
	struct space *s = r->space;
	char *area = r->rounds & 1 ? s->src : s->dst;

	r->failed += mprotect(area + PMD - PAGE, PAGE, PROT_READ) != 0;
	r->failed += mprotect(area + PMD - PAGE, PAGE, PROT_READ | PROT_WRITE) != 0;
	r->hits++;
}

TEST_F_TIMEOUT(kept, vmas_change_against_moves, PATIENCE)
{
	struct space *s = &self->space;
	struct rival r = { .space = s, .once = split_and_merge };
	int i;

	fill_pages(s->src, 1, 1);
	ASSERT_EQ(0, space_register_source(s));
	start(_metadata, &r);
	for (i = 0; goes_on(&r, i, 50 * ROUNDS); i++)
		ASSERT_EQ(0, move_there_and_back(s, 1));
	stop(_metadata, &r);
	EXPECT_STREQ("", pages_differ(s->src, 1, 1));
}

/**
 * struct gap - while the destination is unmapped
 * @hold: no call is to begin
 * @in_call: one may have begun
 */
struct gap {
	bool hold;
	bool in_call;
};

static bool get(const bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_SEQ_CST);
}

static void set(bool *flag, bool to)
{
	__atomic_store_n(flag, to, __ATOMIC_SEQ_CST);
}

/*
 * The page that may be there goes with the VMA. Sleeps so that each of two
 * processes gets what the other has freed. What comes in between belongs nowhere.
 */
static void unmap_and_map(struct rival *r)
{
	struct space *s = r->space;
	struct gap *gap = r->arg;
	__u64 view = 0;

	if (!r->rounds)
		r->failed += run_on_cpu(1) != 0;
	usleep(100);
	r->failed += munmap(s->dst, PMD) != 0;
	usleep(100);
	set(&gap->hold, true);
	while (get(&gap->in_call))
		sched_yield();
	r->failed += map_at(s->dst) || look(s->dst, 1, &view) || view & (PM_PRESENT | PM_SWAP);
	r->failed += uffd_register(s->uffd, s->dst, PMD, UFFDIO_REGISTER_MODE_MISSING) != 0;
	set(&gap->hold, false);
	r->hits += r->rounds > 50 * ROUNDS;
}

/* An errno, or -1 if this is no time for a move. */
static int move_in_gap(struct space *s, struct gap *gap, unsigned int id)
{
	int err = -1;

	set(&gap->in_call, true);
	if (!get(&gap->hold))
		err = move_unread(s, 0, id);
	set(&gap->in_call, false);
	return err;
}

/* Returns how many pages found their destination. */
static size_t move_where_it_comes_and_goes(struct __test_metadata *_metadata, struct space *s,
					   unsigned int id)
{
	struct gap gap = { };
	struct rival r = { .space = s, .once = unmap_and_map, .arg = &gap };
	size_t moved = 0;
	int i, err;

	start(_metadata, &r);
	for (i = 0; goes_on(&r, i, 50 * ROUNDS); i++) {
		err = move_in_gap(s, &gap, id);
		ASSERT_TRUE(err <= 0 || err == ENOENT || err == EFAULT || err == EINVAL ||
			    err == EAGAIN || err == EEXIST)
			TH_LOG("errno %d", err);
		moved += !err;
	}
	stop(_metadata, &r);
	return moved;
}

static void use_vmas_again(struct __test_metadata *_metadata, struct space *s)
{
	pid_t child = fork();
	int status = 0;

	ASSERT_LE(0, child);
	/* What it inherits is registered with nobody. It moves while the parent does. */
	if (!child) {
		s->uffd = uffd_open(0, UFFD_FEATURE_SIGBUS);
		ASSERT_EQ(0, run_on_cpu(1));
	}
	ASSERT_LE(0, s->uffd);
	EXPECT_LT(0, move_where_it_comes_and_goes(_metadata, s, child ? 1 : 2));
	ASSERT_EQ(0, munmap(s->dst, PMD) || map_at(s->dst));
	ASSERT_EQ(0, uffd_register(s->uffd, s->dst, PMD, UFFDIO_REGISTER_MODE_MISSING));
	EXPECT_EQ(0, move_one(s, 0, child ? 1 : 2));
	if (!child)
		_exit(_metadata->exit_code);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

/*
 * A VMA that was freed may be the other process's at once, with the same range,
 * where bases use VMAs again without a grace period (R21).
 */
TEST_F_TIMEOUT(kept, two_processes_use_vmas_again, PATIENCE)
{
	use_vmas_again(_metadata, &self->space);
}

/* Here no userfaultfd tells one destination from the other. */
TEST_F_TIMEOUT(kept, two_processes_use_vmas_again_by_mremap, PATIENCE)
{
	if (move_only_pages(NULL, NULL, 0, 0))
		SKIP(return, "no MREMAP_ONLYPAGES in this kernel");
	ASSERT_EQ(0, setenv("ANON_MOVE_DOOR", "onlypages", true));
	use_vmas_again(_metadata, &self->space);
}

TEST_HARNESS_MAIN
