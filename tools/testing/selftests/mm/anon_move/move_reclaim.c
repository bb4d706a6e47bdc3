// SPDX-License-Identifier: GPL-2.0
/*
 * Pages that move to where reclaim has just unmapped others. It puts the flush
 * of other CPUs' TLBs off until it has unmapped some more; when the move is
 * over nobody may read there what was there before.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <sys/mman.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#define AREA	PMD_PAGES

/* Large, so that it takes reclaim a while, and too few for it to flush before it is through. */
#define FOLIOS	12UL
#define MADE	(FOLIOS * MTHP_PAGES)

#define ENOUGH	10
#define FEW	2

/* Patterns of the pages that make room. */
#define OLD	1000

/**
 * struct race - lazily freed pages that reclaim is at while others move there
 * @space: both areas, with the lazily freed pages in the source
 * @reclaimer: on this CPU
 * @reader: on the other one
 * @delay: how long reclaim is kept from beginning, in turns of a loop
 * @ready: the reader has the translations of all pages
 * @word: what the reader is to read
 * @id: pattern of the page it is in
 * @done: it has
 * @got: what it read
 */
struct race {
	struct space *space;
	pthread_t reclaimer;
	pthread_t reader;
	unsigned int delay;
	bool ready;
	__u64 *word;
	unsigned int id;
	bool done;
	__u64 got;
};

/* No other thread runs there before this one sleeps, of the kernel neither: the TLB is kept. */
static int have_cpu(int cpu)
{
	const struct sched_param urgent = { .sched_priority = 1 };

	return run_on_cpu(cpu) ? : sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &urgent);
}

FIXTURE(reclaim)
{
	struct space space;
	long long counted;
};

/* Reclaim has our CPU, but gives way when we want to move. The reader has another one. */
FIXTURE_SETUP(reclaim)
{
	const char *missing = move_missing();

	missing = missing ? missing : base_serves();
	missing = missing ? missing : kind_missing(KIND_SWAPPED);
	missing = missing ? missing : kind_missing(KIND_MTHP);
	if (!missing && sysconf(_SC_NPROCESSORS_ONLN) < 2)
		missing = "one CPU has no other's TLB to flush";
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->space, AREA, 0));
	ASSERT_EQ(0, have_cpu(0));
	self->counted = engine_count("moved_swap");
}

FIXTURE_TEARDOWN(reclaim)
{
	space_close(&self->space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "moved_swap", self->counted);
}

/* What moves is swapped out: what is mapped would bring a flush of its own, which is as good. */
static void make(struct __test_metadata *_metadata, struct space *s)
{
	s->id = 0;
	ASSERT_EQ(0, make_kind(s, KIND_SWAPPED, 0, MADE));
	ASSERT_EQ(0, move_surely(s->uffd, s->dst, s->src, MADE * PAGE).err);
	s->id = OLD;
	ASSERT_EQ(0, make_kind(s, KIND_MTHP, 0, MADE));
	ASSERT_EQ(0, madvise(s->src, MADE * PAGE, MADV_FREE));
	ASSERT_EQ(0, space_register_source(s));
}

static void unmake(struct __test_metadata *_metadata, struct space *s)
{
	ASSERT_EQ(0, uffd_unregister(s->uffd, s->src, AREA * PAGE));
	ASSERT_EQ(0, madvise(s->src, MADE * PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, madvise(s->dst, MADE * PAGE, MADV_DONTNEED));
}

static void *reclaim(void *arg)
{
	struct race *r = arg;
	unsigned int i;

	for (i = 0; i < r->delay; i++)
		asm volatile("");
	madvise(r->space->src, MADE * PAGE, MADV_PAGEOUT);
	return NULL;
}

/* It stays on the CPU and in user space: nothing but a flush takes the translations away. */
static void *read_when_told(void *arg)
{
	struct race *r = arg;
	size_t i;

	have_cpu(1);
	for (i = 0; i < MADE; i++)
		touch(r->space->src + i * PAGE);
	__atomic_store_n(&r->ready, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&r->word, __ATOMIC_ACQUIRE))
		;
	r->got = *r->word;
	__atomic_store_n(&r->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/* How many pages reclaim has unmapped in a millisecond, or by the next tick. */
static size_t unmapped_so_far(struct race *r)
{
	__u64 view[MADE];

	usleep(1000);
	return look(r->space->src, MADE, view) ? 0 : first_not(view, MADE, PM_PRESENT, 0);
}

/*
 * Moves a page to where the last folio was that reclaim is through with, and
 * has it read. Reclaim can't go on before that, as it has this CPU.
 */
static bool move_and_read(struct race *r, size_t unmapped)
{
	size_t at = (unmapped - MTHP_PAGES - 1) * PAGE;
	struct space *s = r->space;

	if (unmapped <= MTHP_PAGES || unmapped == MADE ||
	    move_pages_of(s->uffd, s->src + at, s->dst + at, PAGE, 0).err)
		return false;
	r->id = 1 + at / PAGE;
	__atomic_store_n(&r->word, (__u64 *)(s->src + at), __ATOMIC_RELEASE);
	while (!__atomic_load_n(&r->done, __ATOMIC_ACQUIRE))
		;
	return true;
}

/* The best moment to begin is when that is over in the midst of it. */
static void next_delay(unsigned int *delay, size_t unmapped)
{
	if (unmapped < MADE / 2)
		*delay -= *delay / 16;
	else
		*delay += *delay / 16 + 1;
}

/* True if it came to what it is for. */
static bool race(struct __test_metadata *_metadata, struct race *r, unsigned int *delay)
{
	__u64 nothing = 0;
	size_t unmapped;
	bool moved;

	ASSERT_EQ(0, pthread_create(&r->reader, NULL, read_when_told, r));
	while (!__atomic_load_n(&r->ready, __ATOMIC_ACQUIRE))
		usleep(1000);
	r->delay = *delay - random() % (*delay / 32 + 1);
	ASSERT_EQ(0, pthread_create(&r->reclaimer, NULL, reclaim, r));
	unmapped = unmapped_so_far(r);
	moved = move_and_read(r, unmapped);
	next_delay(delay, unmapped);
	if (!moved)
		__atomic_store_n(&r->word, &nothing, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(r->reader, NULL));
	ASSERT_EQ(0, pthread_join(r->reclaimer, NULL));
	return moved;
}

static bool goes_on(unsigned int hits, time_t since)
{
	return hits < ENOUGH && time(NULL) < since + (hits < FEW ? PATIENCE / 2 : PATIENCE / 40);
}

TEST_F_TIMEOUT(reclaim, O5_flush_is_put_off, PATIENCE)
{
	struct space *s = &self->space;
	time_t since = time(NULL);
	unsigned int delay = 100000, hits = 0;

	while (goes_on(hits, since)) {
		struct race r = { .space = s };

		make(_metadata, s);
		if (race(_metadata, &r, &delay)) {
			hits++;
			ASSERT_EQ(*r.word, r.got);
			ASSERT_STREQ("", pages_differ(r.word, 1, r.id));
		}
		unmake(_metadata, s);
	}
	EXPECT_LE(FEW, hits);
}

TEST_HARNESS_MAIN
