// SPDX-License-Identifier: GPL-2.0
/*
 * Disturbances: threads that make pages of the heap shared, pinned or swapped out
 * while it is collected.
 */
#define _GNU_SOURCE
#include <liburing.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gc.h"
#include "disturb.h"
#include "graph.h"
#include "heap.h"
#include "meters.h"
#include "options.h"
#include "safepoint.h"

#define PINNED_MOST	16U	/* pages */
#define LINGER		20000U	/* microseconds that pages stay shared or pinned, at most */

struct disturber {
	pthread_t thread;
	unsigned int kind;
	uint64_t random;
	void (*once)(struct disturber *d);
	struct io_uring ring;
};

static struct disturber disturbers[3];
static unsigned int nr_disturbers;
static bool end;

static void linger(struct disturber *d)
{
	usleep(draw(&d->random) % LINGER + 1);
}

static char *draw_range(struct disturber *d, size_t pages)
{
	return page_addr(draw(&d->random) % (heap.pages - pages));
}

/* Until the child is gone, and after that until the parent writes, pages are not exclusive. */
static void fork_once(struct disturber *d)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		linger(d);
		_exit(0);
	}
	if (pid > 0) {
		waitpid(pid, NULL, 0);
		add(&events[EV_FORKS], 1);
	}
	linger(d);
}

/*
 * Fails where a page is missing just then: faults of the kernel are not delivered to
 * us. In a pause it must not be tried, as the heap is not registered all the time.
 */
static void pin_once(struct disturber *d)
{
	size_t pages = 1 + draw(&d->random) % PINNED_MOST;
	struct iovec range = { .iov_base = draw_range(d, pages), .iov_len = pages * PAGE };
	int err;

	safepoint_join();
	err = io_uring_register_buffers(&d->ring, &range, 1);
	safepoint_leave();
	if (!err) {
		add(&events[EV_PINS], 1);
		linger(d);
		io_uring_unregister_buffers(&d->ring);
	}
}

static void page_out_once(struct disturber *d)
{
	if (!madvise(draw_range(d, REGION_PAGES), REGION, MADV_PAGEOUT))
		add(&events[EV_PAGEOUTS], 1);
	usleep(2000);
}

static void *disturb(void *arg)
{
	struct disturber *d = arg;

	while (!load_relaxed(&end))
		d->once(d);
	return NULL;
}

static void start(unsigned int kind, void (*once)(struct disturber *d))
{
	struct disturber *d = &disturbers[nr_disturbers];
	int err;

	if (!(options.disturb & kind))
		return;
	d->kind = kind;
	d->once = once;
	d->random = options.seed + kind;
	err = kind == DISTURB_PIN ? io_uring_queue_init(2, &d->ring, 0) : 0;
	if (err)
		cannot("no io_uring to pin pages with: %s", strerror(-err));
	if (pthread_create(&d->thread, NULL, disturb, d))
		cannot("can't create a thread");
	nr_disturbers++;
}

/**
 * disturb_start() - begin with what the options ask for
 */
void disturb_start(void)
{
	if (options.disturb & (DISTURB_PAGEOUT | DISTURB_COLD) && swap_missing())
		cannot("%s", swap_missing());
	start(DISTURB_FORK, fork_once);
	start(DISTURB_PIN, pin_once);
	start(DISTURB_PAGEOUT, page_out_once);
}

/**
 * disturb_end() - leave the heap in peace
 */
void disturb_end(void)
{
	struct disturber *d;

	store_relaxed(&end, true);
	for (d = disturbers; d < disturbers + nr_disturbers; d++) {
		pthread_join(d->thread, NULL);
		if (d->kind == DISTURB_PIN)
			io_uring_queue_exit(&d->ring);
	}
}

/**
 * swap_leaves_out() - page out the noscan regions, as if they had been idle for long
 */
void swap_leaves_out(void)
{
	const struct region *r;

	for (r = heap.regions; r < heap.regions + heap.nr_regions; r++)
		if (r->kind == REGION_NOSCAN &&
		    madvise(heap.base + (r - heap.regions) * REGION, REGION, MADV_PAGEOUT))
			fail("MADV_PAGEOUT of a region of leaves");
}
