// SPDX-License-Identifier: GPL-2.0
/* Rows with two threads: two movers, or a mover and one who changes its source VMA. */

#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "uffd_move.h"

#define THREADS 2
/* Back and forth: all memory is together again at the end. */
#define ROUNDS 2

/* Targets. A writer waits for a batch at most, a 512th of the move. */
#define MOST_WRITE_LOCKS 0
#define MOST_WAIT (1.0 / 50)

/* A thread moves so much, a page a call: that takes locks as often as one can. */
#define SHARE (32 * MIB)

/* What the writer changes: a part of the VMA that is not moved. */
#define TAIL (16 * PAGE)

/* Either row has one source, one destination and one descriptor. */
static int uffd;
static char *src, *dst;
static pthread_barrier_t barrier;

static void open_areas(size_t len, size_t tail)
{
	src = map_small_pages(len + tail);
	dst = map_small_pages(len + tail);
	make_kind(KIND_4K, src, len);
	uffd = open_uffd(0);
	register_area(uffd, src, len + tail);
	register_area(uffd, dst, len + tail);
}

static void swap_areas(void)
{
	char *area = src;

	src = dst;
	dst = area;
}

static void close_areas(size_t len, size_t tail)
{
	close(uffd);
	check_bytes(KIND_4K, src, len);
	unmap_area(src, len + tail);
	unmap_area(dst, len + tail);
}

static void move(size_t at, size_t len)
{
	struct uffd_moved moved = uffd_move(uffd, dst + at, src + at, len, 0);

	/* Events are off, so EAGAIN means that the engine gave up too early. */
	if (moved.stop)
		errx(FAILED, "page %zu stays: %s", (at + moved.bytes) / PAGE,
		     strerror(moved.stop));
}

static void end_line(enum mover mover, double at_most)
{
	if (mover == ANON_MOVE)
		printf(", \"at_most\": %.2f", at_most);
	puts("}");
}

static pthread_t start(void *(*function)(void *), void *arg)
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, function, arg);
	if (errno)
		err(FAILED, "pthread_create");
	return thread;
}

struct share {
	size_t at;
	unsigned long long before[NR_EVENTS], after[NR_EVENTS];
};

static void *move_share(void *arg)
{
	struct event_counters counters;
	struct share *share = arg;

	events_open(&counters);
	pthread_barrier_wait(&barrier);
	events_read(&counters, share->before);
	for (size_t at = share->at; at < share->at + SHARE; at += PAGE)
		move(at, PAGE);
	events_read(&counters, share->after);
	events_close(&counters);
	return NULL;
}

/* Adds the events of all threads to @events. */
static void move_side_by_side(unsigned long long events[NR_EVENTS])
{
	struct share shares[THREADS];
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++) {
		shares[i].at = i * SHARE;
		threads[i] = start(move_share, &shares[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		for (int event = 0; event < NR_EVENTS; event++)
			events[event] += shares[i].after[event] - shares[i].before[event];
	}
}

static void parallel_by(enum mover mover)
{
	unsigned long long events[NR_EVENTS] = { 0 };
	const double thousands = ROUNDS * THREADS * (SHARE / PAGE) / 1000.0;

	fprintf(stderr, ">> parallel by %s\n", mover_names[mover]);
	choose_engine(mover_names[mover]);
	for (int round = 0; round < ROUNDS; round++) {
		move_side_by_side(events);
		swap_areas();
	}
	printf("{\"row\": \"parallel\", \"mover\": \"%s\"", mover_names[mover]);
	for (int event = 0; event < NR_EVENTS; event++)
		if (event_counted(event))
			printf(", \"%s\": %.2f", event_names[event], events[event] / thousands);
	end_line(mover, MOST_WRITE_LOCKS);
}

/**
 * bench_parallel() - two threads move different pages of one VMA
 *
 * Each counts its own events.
 */
void bench_parallel(void)
{
	open_areas(THREADS * SHARE, 0);
	pthread_barrier_init(&barrier, NULL, THREADS);
	parallel_by(BASE);
	parallel_by(ANON_MOVE);
	close_areas(THREADS * SHARE, 0);
	pthread_barrier_destroy(&barrier);
}

struct writes {
	unsigned long long nr, worst_ns, move_ns;
};

static atomic_bool moving;

static void *move_much(void *arg)
{
	struct writes *writes = arg;
	unsigned long long ns;

	pthread_barrier_wait(&barrier);
	ns = clock_ns();
	move(0, GIB);
	writes->move_ns = clock_ns() - ns;
	atomic_store(&moving, false);
	return NULL;
}

/* Each call write-locks the VMA that is being moved: it is cut in two, or made one again. */
static void write_vma(unsigned long long nr)
{
	if (mprotect(src + GIB, TAIL, nr % 2 ? PROT_READ | PROT_WRITE : PROT_READ))
		err(FAILED, "mprotect");
}

static struct writes write_while_moving(void)
{
	const struct sched_param above_all = { .sched_priority = 1 };
	struct writes writes = { 0 };
	pthread_t mover;

	atomic_store(&moving, true);
	mover = start(move_much, &writes);
	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &above_all))
		err(CANNOT, "SCHED_FIFO; be root");
	pthread_barrier_wait(&barrier);
	for (; atomic_load(&moving); writes.nr++) {
		unsigned long long ns = clock_ns();

		write_vma(writes.nr);
		ns = clock_ns() - ns;
		if (ns > writes.worst_ns)
			writes.worst_ns = ns;
		usleep(50);
	}
	pthread_join(mover, NULL);
	write_vma(1);
	swap_areas();
	return writes;
}

/* The last of some rounds: the page tables of both sides are there. */
static unsigned long long undisturbed_ns(void)
{
	struct writes writes = { 0 };
	pthread_t mover;

	for (int round = 0; round < ROUNDS; round++) {
		mover = start(move_much, &writes);
		pthread_barrier_wait(&barrier);
		pthread_join(mover, NULL);
		swap_areas();
	}
	return writes.move_ns;
}

/* Adds up all but the worst wait, which is a part of the move. */
static double write_and_wait(struct writes *all)
{
	double worst_wait = 0;

	for (int round = 0; round < ROUNDS; round++) {
		const struct writes writes = write_while_moving();
		const double wait = (double)writes.worst_ns / writes.move_ns;

		all->nr += writes.nr;
		all->move_ns += writes.move_ns;
		if (wait > worst_wait)
			worst_wait = wait;
	}
	return worst_wait;
}

static void writer_by(enum mover mover)
{
	unsigned long long batches, gave_way;
	double worst_wait, alone_ns;
	struct writes all = { 0 };

	fprintf(stderr, ">> writer by %s\n", mover_names[mover]);
	choose_engine(mover_names[mover]);
	alone_ns = (double)undisturbed_ns() * ROUNDS;
	batches = engine_counter("batches");
	gave_way = engine_counter("stop_writer");
	worst_wait = write_and_wait(&all);
	printf("{\"row\": \"writer\", \"mover\": \"%s\", \"worst_wait\": %.5f, \"mprotects\": %.1f",
	       mover_names[mover], worst_wait, (double)all.nr / ROUNDS);
	printf(", \"batches\": %.1f, \"gave_way\": %.1f",
	       (double)(engine_counter("batches") - batches) / ROUNDS,
	       (double)(engine_counter("stop_writer") - gave_way) / ROUNDS);
	printf(", \"alone\": %.2f, \"longer\": %.3f", alone_ns / ROUNDS / 1e6,
	       all.move_ns / alone_ns);
	end_line(mover, MOST_WAIT);
}

/**
 * bench_writer() - 1 GiB is moved, and another thread wants to change the source VMA
 *
 * A part of it that is not moved is protected and unprotected all the time.
 */
void bench_writer(void)
{
	open_areas(GIB, TAIL);
	pthread_barrier_init(&barrier, NULL, THREADS);
	writer_by(BASE);
	writer_by(ANON_MOVE);
	close_areas(GIB, TAIL);
	pthread_barrier_destroy(&barrier);
}
