// SPDX-License-Identifier: GPL-2.0
/*
 * Safepoints: stops the mutators between two of their steps, where they hold no
 * reference that a pause would have to rewrite. Likewise whoever hands addresses in
 * the heap to system calls.
 */
#include <pthread.h>

#include "gc.h"
#include "safepoint.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned int running;
static bool stop;

/**
 * safepoint_join() - a mutator begins to run; waits until none of them is stopped
 */
void safepoint_join(void)
{
	pthread_mutex_lock(&lock);
	while (stop)
		pthread_cond_wait(&changed, &lock);
	running++;
	pthread_mutex_unlock(&lock);
}

/**
 * safepoint_leave() - a mutator ends
 */
void safepoint_leave(void)
{
	pthread_mutex_lock(&lock);
	running--;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

/**
 * safepoint_poll() - wait here if the mutators are to stop
 */
void safepoint_poll(void)
{
	if (!load_relaxed(&stop))
		return;
	safepoint_leave();
	safepoint_join();
}

/**
 * stop_mutators() - returns when each of them waits
 */
void stop_mutators(void)
{
	pthread_mutex_lock(&lock);
	store_relaxed(&stop, true);
	while (running)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

/**
 * resume_mutators() - let them go on
 */
void resume_mutators(void)
{
	pthread_mutex_lock(&lock);
	store_relaxed(&stop, false);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}
