// SPDX-License-Identifier: GPL-2.0
/*
 * A cycle from the first pause to the last page dropped, and the GC threads.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "gc.h"
#include "backend.h"
#include "compact.h"
#include "cycle.h"
#include "disturb.h"
#include "heap.h"
#include "mark.h"
#include "meters.h"
#include "mutator.h"
#include "options.h"
#include "plan.h"
#include "safepoint.h"

static pthread_t gc_threads[GC_THREADS_MAX];
static pthread_barrier_t begin, done;
static bool end;
static unsigned int compacting;

/* Times a pause; the longest of a cycle is what counts. */
static uint64_t pause_began;

static void pause_begin(void)
{
	pause_began = clock_ns();
	stop_mutators();
}

static uint64_t pause_end(void)
{
	uint64_t ns;

	resume_mutators();
	ns = clock_ns() - pause_began;
	meters_time(METER_PAUSE, ns);
	return ns;
}

static bool stopped(void)
{
	return options.delivery == DELIVERY_STOPPED;
}

static void flip_pause_end(void)
{
	meters_time(METER_FLIP, pause_end());
}

static void *gc_thread(void *unused)
{
	struct worker w;

	worker_init(&w, BATCH);
	for (;;) {
		pthread_barrier_wait(&begin);
		if (end)
			return unused;
		compact_all();
		__atomic_fetch_sub(&compacting, 1, __ATOMIC_RELEASE);
		pthread_barrier_wait(&done);
	}
}

/**
 * gc_threads_start() - have the GC threads wait for cycles
 */
void gc_threads_start(void)
{
	static struct worker own;
	unsigned int i;

	worker_init(&own, BATCH);
	pthread_barrier_init(&begin, NULL, options.gc_threads + 1);
	pthread_barrier_init(&done, NULL, options.gc_threads + 1);
	for (i = 0; i < options.gc_threads; i++)
		if (pthread_create(&gc_threads[i], NULL, gc_thread, NULL))
			cannot("can't create a GC thread");
}

/**
 * gc_threads_end() - there are no more cycles
 */
void gc_threads_end(void)
{
	unsigned int i;

	end = true;
	pthread_barrier_wait(&begin);
	for (i = 0; i < options.gc_threads; i++)
		pthread_join(gc_threads[i], NULL);
}

static void retire_all(void)
{
	unsigned int i;

	for (i = 0; i < options.mutators; i++)
		retire_regions(&mutators[i].allocator);
}

static void mark_all(void)
{
	uint64_t ns = clock_ns();

	memset(heap.live, 0, heap.pages * PAGE_GRAINS / 8);
	pause_begin();
	retire_all();
	births_are_black = true;
	mark_roots();
	pause_end();
	mark_concurrently();
	pause_begin();
	mark_rest();
	pause_end();
	meters_time(METER_MARK, clock_ns() - ns);
}

static void flip_roots(void)
{
	size_t i;

	for (i = 0; i < ROOTS; i++)
		heap.roots[i] = new_address(heap.roots[i]);
}

/* Looking into /proc is no part of a pause. */
static void begin_meters(unsigned int nr)
{
	uint64_t ns = clock_ns();

	meters_begin(nr);
	pause_began += clock_ns() - ns;
}

static void flip(unsigned int nr)
{
	pause_begin();
	retire_all();
	plan_black();
	backend->flip();
	plan_takes_effect();
	flip_roots();
	compact_reset();
	births_are_black = false;
	begin_meters(nr);
	/* Before any mutator runs, as from now on it meets missing pages. */
	store(&phase, PHASE_COMPACT);
}

/*
 * Looks in /proc while others work; a mapping more or less lasts long enough to be seen. Returns
 * the CPU time of that, which on one CPU is time that nobody else had.
 */
static uint64_t watch(void)
{
	uint64_t cpu = 0, began;

	do {
		usleep(20000);
		began = thread_ns();
		meters_sample();
		cpu += thread_ns() - began;
	} while (load(&compacting));
	return options.icount ? cpu : 0;
}

static void compact(void)
{
	uint64_t ns = clock_ns(), watched = 0, cpu;

	compacting = options.gc_threads;
	pthread_barrier_wait(&begin);
	if (!stopped())
		watched = watch();
	pthread_barrier_wait(&done);
	compact_rest();
	fill_reserve();
	if (!stopped())
		meters_sample();
	compact_end();
	cpu = thread_ns();
	meters_end();
	backend->drop();
	meters_work(WORK_DROP, thread_ns() - cpu);
	store(&phase, PHASE_IDLE);
	meters_time(METER_COMPACT, clock_ns() - ns - watched);
}

/**
 * run_cycle() - collect garbage once
 * @nr: number of the cycle; objects slide to the other end each time
 */
void run_cycle(unsigned int nr)
{
	uint64_t ns;

	mark_all();
	ns = clock_ns();
	make_plan(nr % 2);
	meters_time(METER_PLAN, clock_ns() - ns);
	if (options.disturb & DISTURB_COLD)
		swap_leaves_out();
	flip(nr);
	if (!stopped())
		flip_pause_end();
	compact();
	if (stopped())
		flip_pause_end();
	/* Stopped, there are as many as ever: nothing is unmapped before the next flip. */
	meters_sample();
}
