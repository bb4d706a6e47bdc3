/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The other threads of a race: each does one thing over and over, until it is
 * told to stop. Needs kselftest_harness.h.
 */
#ifndef ANON_MOVE_RIVAL_H
#define ANON_MOVE_RIVAL_H

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "anon_move_test.h"

/**
 * struct rival - one other thread
 * @thread: it
 * @space: what it works on
 * @once: what it does, and counts in @hits and @failed
 * @arg: for @once
 * @stop: it has been told to
 * @deadline: how long its first hit is waited for
 * @rounds: how often it did it
 * @hits: what that came to; a race without any was none
 * @failed: what must not have happened
 */
struct rival {
	pthread_t thread;
	struct space *space;
	void (*once)(struct rival *r);
	void *arg;
	bool stop;
	time_t deadline;
	unsigned long rounds;
	unsigned long hits;
	unsigned long failed;
};

static void *run_rival(void *arg)
{
	struct rival *r = arg;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		r->once(r);
		__atomic_fetch_add(&r->rounds, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* Returns when the rival has been round once. */
static inline void start(struct __test_metadata *_metadata, struct rival *r)
{
	r->deadline = time(NULL) + PATIENCE / 2;
	ASSERT_EQ(0, pthread_create(&r->thread, NULL, run_rival, r));
	while (!__atomic_load_n(&r->rounds, __ATOMIC_ACQUIRE))
		sched_yield();
}

/*
 * Goes on past its rounds until the rival has done something, but not for ever.
 * Where both CPUs run on one of the host's, the rival gets it while a move waits
 * for its flush, with the page tables locked: an unfair lock, as guests have, it
 * may never get. So the mover sleeps.
 */
static inline bool goes_on(const struct rival *r, int round, int rounds)
{
	if (round < rounds)
		return true;
	if (__atomic_load_n(&r->hits, __ATOMIC_RELAXED))
		return false;
	usleep(1000);
	return time(NULL) < r->deadline;
}

static inline void stop(struct __test_metadata *_metadata, struct rival *r)
{
	__atomic_store_n(&r->stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(r->thread, NULL));
	EXPECT_LT(0, r->hits);
	EXPECT_EQ(0, r->failed);
}

#endif /* ANON_MOVE_RIVAL_H */
