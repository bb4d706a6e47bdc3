// SPDX-License-Identifier: GPL-2.0
/*
 * Two threads that move different pages of one VMA at the same time get in
 * each other's way nowhere: neither takes a lock for writing that the other
 * one needs.
 */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#define AREA	(4 * PMD_PAGES)
#define HALF	(AREA / 2)
#define ROUNDS	10

/*
 * All that takes a rw_semaphore for writing; three are lockdep's names. The last
 * one is what takes a VMA's lock where that is a count of references. A kernel has
 * some of these functions, and can_count() sees whether they are enough.
 */
static const char * const write_locks[] = {
	"down_write",
	"down_write_killable",
	"down_write_trylock",
	"down_write_nested",
	"down_write_killable_nested",
	"_down_write_nest_lock",
	"__vma_start_write",
};

#define WRITE_LOCKS	(sizeof(write_locks) / sizeof(*write_locks))

/**
 * struct mover - one of the threads
 * @thread: it
 * @space: between whose areas it moves
 * @other: the other one
 * @first: first page of its own
 * @a_call: pages it moves with a call
 * @begin: both wait here
 * @round: what it is at
 * @met: rounds in which it saw the other one get on
 * @err: 0 or an errno of a move
 * @locks: calls of write_locks[]
 */
struct mover {
	pthread_t thread;
	struct space *space;
	const struct mover *other;
	size_t first;
	size_t a_call;
	pthread_barrier_t *begin;
	int round;
	int met;
	int err;
	long long locks;
};

FIXTURE(parallel)
{
	struct space space;
	long long calls;
};

FIXTURE_VARIANT(parallel)
{
	enum page_kind_id kind;
	size_t a_call;
	const char *door;	/* see move_pages_of() */
};

FIXTURE_VARIANT_ADD(parallel, small) { KIND_SMALL, PMD_PAGES };
FIXTURE_VARIANT_ADD(parallel, small_by_mremap) { KIND_SMALL, 8, "onlypages" };
FIXTURE_VARIANT_ADD(parallel, small_by_eights) { KIND_SMALL, 8 };
FIXTURE_VARIANT_ADD(parallel, mthp) { KIND_MTHP, PMD_PAGES };
FIXTURE_VARIANT_ADD(parallel, thp) { KIND_THP, PMD_PAGES };

FIXTURE_SETUP(parallel)
{
	const char *missing = move_missing();

	missing = missing ? missing : base_serves();
	missing = missing ? missing : kind_missing(variant->kind);
	missing = missing ? missing : calls_missing();
	missing = missing ? missing : config_missing();
	if (missing)
		SKIP(return, "%s", missing);
	if (variant->door)
		ASSERT_EQ(0, setenv("ANON_MOVE_DOOR", variant->door, true));
	ASSERT_EQ(0, space_open(&self->space, AREA, UFFD_FEATURE_SIGBUS));
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(parallel)
{
	space_close(&self->space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

static void move_half(struct mover *m, char *dst, char *src)
{
	size_t i;

	for (i = m->first; i < m->first + HALF && !m->err; i += m->a_call)
		m->err = move_pages_of(m->space->uffd, dst + i * PAGE, src + i * PAGE,
				       m->a_call * PAGE, 0).err;
}

/* Until both have met, but not for ever. A host may keep a CPU of ours waiting. */
static bool goes_on(const struct mover *m, time_t since)
{
	return m->round < ROUNDS ||
	       ((!m->met || !__atomic_load_n(&m->other->met, __ATOMIC_RELAXED)) &&
		time(NULL) < since + PATIENCE / 4);
}

/* For the calling thread, from now on. */
static void open_counters(int fds[WRITE_LOCKS])
{
	size_t i;

	for (i = 0; i < WRITE_LOCKS; i++)
		fds[i] = calls_open(write_locks[i], 0);
}

static long long locks_taken(const int fds[WRITE_LOCKS])
{
	long long locks = 0;
	size_t i;

	for (i = 0; i < WRITE_LOCKS; i++)
		locks += fds[i] >= 0 ? calls_count(fds[i]) : 0;
	return locks;
}

static void close_counters(int fds[WRITE_LOCKS])
{
	size_t i;

	for (i = 0; i < WRITE_LOCKS; i++)
		close(fds[i]);
}

static void *move_on(void *arg)
{
	int fds[WRITE_LOCKS], before;
	time_t since = time(NULL);
	struct mover *m = arg;

	open_counters(fds);
	pthread_barrier_wait(m->begin);
	for (; goes_on(m, since); __atomic_fetch_add(&m->round, 1, __ATOMIC_RELAXED)) {
		before = __atomic_load_n(&m->other->round, __ATOMIC_RELAXED);
		move_half(m, m->space->dst, m->space->src);
		move_half(m, m->space->src, m->space->dst);
		m->met += __atomic_load_n(&m->other->round, __ATOMIC_RELAXED) > before;
	}
	m->locks = locks_taken(fds);
	close_counters(fds);
	return NULL;
}

/*
 * Counters that count nothing would prove nothing. Each of these changes locks the
 * address space for writing, and one VMA; the second one splits that, and so locks
 * the new one and the anon_vma too.
 */
static void can_count(struct __test_metadata *_metadata)
{
	char *area = map_aligned(PMD);
	int fds[WRITE_LOCKS];
	long long before;

	ASSERT_NE(NULL, area);
	fill_pages(area, 1, 1);
	open_counters(fds);
	ASSERT_EQ(0, mprotect(area, PMD, PROT_READ));
	EXPECT_LE(2, locks_taken(fds));
	before = locks_taken(fds);
	ASSERT_EQ(0, mprotect(area, PAGE, PROT_READ | PROT_WRITE));
	EXPECT_LE(4, locks_taken(fds) - before);
	close_counters(fds);
	munmap(area, PMD);
}

static void move_both(struct __test_metadata *_metadata, struct mover movers[2])
{
	pthread_barrier_t begin;
	int i;

	ASSERT_EQ(0, pthread_barrier_init(&begin, NULL, 2));
	for (i = 0; i < 2; i++) {
		movers[i].begin = &begin;
		ASSERT_EQ(0, pthread_create(&movers[i].thread, NULL, move_on, &movers[i]));
	}
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_join(movers[i].thread, NULL));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, movers[i].err);
		EXPECT_LT(0, movers[i].met);
	}
}

TEST_F_TIMEOUT(parallel, two_movers_of_one_vma, PATIENCE)
{
	struct space *s = &self->space;
	struct mover movers[2] = {
		{ .space = s, .other = &movers[1], .a_call = variant->a_call },
		{ .space = s, .other = &movers[0], .a_call = variant->a_call, .first = HALF },
	};
	long long counted = engine_count(MOVED_ANYHOW);

	can_count(_metadata);
	ASSERT_EQ(0, make_kind(s, variant->kind, 0, AREA));
	ASSERT_EQ(0, space_register_source(s));
	/* The first move of all makes the destination's anon_vma, under locks. */
	ASSERT_EQ(0, move_there_and_back(s, AREA));
	move_both(_metadata, movers);
	EXPECT_EQ(0, movers[0].locks);
	EXPECT_EQ(0, movers[1].locks);
	EXPECT_STREQ("", pages_differ(s->src, AREA, 1));
	EXPECT_ENGINE(2 * ROUNDS * AREA, MOVED_ANYHOW, counted);
}

TEST_HARNESS_MAIN
