// SPDX-License-Identifier: GPL-2.0
/* Fills pages, brings them to another address in one of the ways, checks every byte there. */

#define _GNU_SOURCE
#include <err.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "demo.h"
#include "uffd_move.h"

/* TLB flushes are counted in the last rounds only, because counting costs instructions. */
#define COUNTED_ROUNDS 2

const char *const way_names[NR_WAYS] = { "ranges", "faults", "sigbus" };

/* What is being played. One at a time: a signal handler has no other way to know. */
static struct {
	const struct row *row;
	unsigned int rounds;
	bool copies;
	int uffd;
	char *src;
	char *dst;
	pthread_t resolver;
	pthread_barrier_t barrier;
} play;

static noreturn void fail(size_t at, const char *what)
{
	errx(FAILED, "%s by %s: page %zu of %zu: %s", way_names[play.row->way], play.row->mover,
	     at / PAGE, play.row->area / PAGE, what);
}

/* No two words of a play are alike, so neither a page nor a piece of one passes for another. */
static void fill_page(void *page, size_t at, unsigned int round)
{
	unsigned long long *words = page;
	unsigned long long value = (at + round + 1) * 0x9e3779b97f4a7c15;

	/* An emulated processor fills and checks for longer than it moves. */
	#pragma GCC unroll 16
	for (size_t i = 0; i < PAGE / sizeof(*words); i++, value += 0xc2b2ae3d27d4eb4f)
		words[i] = value;
}

static void fill(unsigned int round)
{
	for (size_t at = 0; at < play.row->area; at += PAGE)
		fill_page(play.src + at, at, round);
}

/* A page that is mapped at both ends has the right bytes, too. */
static void check_source(void)
{
	static unsigned char resident[MAX_MIB * MIB / ROUNDS / PAGE];

	if (mincore(play.src, play.row->area, resident))
		err(FAILED, "mincore");
	for (size_t at = 0; at < play.row->area; at += PAGE)
		if (resident[at / PAGE] & 1)
			fail(at, "still at the source");
}

static void check(unsigned int round)
{
	unsigned long long right[PAGE / sizeof(long long)];

	for (size_t at = 0; at < play.row->area; at += PAGE) {
		fill_page(right, at, round);
		if (memcmp(play.dst + at, right, PAGE))
			fail(at, "wrong bytes at the destination");
	}
	check_source();
}

static void copy(size_t at, size_t len)
{
	size_t end = at + len, bunch = (end - 1) / play.row->bunch * play.row->bunch;
	struct uffdio_copy arg = {
		.dst = (uintptr_t)play.dst + at,
		.src = (uintptr_t)play.src + at,
		.len = len,
	};

	if (ioctl(play.uffd, UFFDIO_COPY, &arg))
		fail(at, strerror(errno));
	/* In bunches, also after single faults: copying is shown at its best. */
	if (end < bunch + play.row->bunch && end < play.row->area)
		return;
	if (madvise(play.src + bunch, end - bunch, MADV_DONTNEED))
		err(FAILED, "MADV_DONTNEED");
}

static void bring(size_t at, size_t len)
{
	struct uffd_moved moved;

	if (play.copies) {
		copy(at, len);
		return;
	}
	moved = uffd_move(play.uffd, play.dst + at, play.src + at, len, 0);
	if (moved.stop)
		fail(at + moved.bytes, strerror(moved.stop));
}

static void bring_ranges(void)
{
	for (size_t at = 0, len; at < play.row->area; at += len) {
		len = play.row->area - at;
		if (len > play.row->bunch)
			len = play.row->bunch;
		bring(at, len);
	}
}

static void touch_pages(void)
{
	for (size_t at = 0; at < play.row->area; at += PAGE)
		__atomic_load_n(play.dst + at, __ATOMIC_RELAXED);
}

/* The faulting thread waits in the kernel meanwhile, so play.src and play.dst stand still. */
static void *resolve_faults(void *unused)
{
	struct uffd_msg msg;

	for (unsigned int round = 0; round < play.rounds; round++) {
		for (size_t n = 0; n < play.row->area; n += PAGE) {
			if (read(play.uffd, &msg, sizeof(msg)) != sizeof(msg))
				err(FAILED, "can't read a fault from the userfaultfd");
			bring((msg.arg.pagefault.address & -PAGE) - (uintptr_t)play.dst, PAGE);
		}
		/* What comes after the last wake-up belongs to the round. */
		pthread_barrier_wait(&play.barrier);
	}
	return unused;
}

/* touch_pages() holds no lock of the C library when it faults: anything may be called. */
static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	size_t at = ((uintptr_t)info->si_addr & -PAGE) - (uintptr_t)play.dst;

	(void)context;
	if (at >= play.row->area)
		errx(FAILED, "signal %d: nothing is to be moved to %p", signal, info->si_addr);
	bring(at, PAGE);
}

static void bring_all(void)
{
	if (play.row->way == WAY_RANGES)
		bring_ranges();
	else
		touch_pages();
	if (play.row->way == WAY_FAULTS)
		pthread_barrier_wait(&play.barrier);
}

static void set_up(const struct row *row, unsigned int rounds)
{
	const struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	play.row = row;
	play.rounds = rounds;
	play.copies = !strcmp(row->mover, "copy");
	play.uffd = open_uffd(row->way == WAY_SIGBUS ? UFFD_FEATURE_SIGBUS : 0);
	play.src = map_small_pages(row->area);
	play.dst = map_small_pages(row->area);
	/* While faults on it are still the kernel's business. */
	if (madvise(play.src, row->area, MADV_POPULATE_WRITE))
		err(FAILED, "MADV_POPULATE_WRITE");
	register_area(play.uffd, play.src, row->area);
	register_area(play.uffd, play.dst, row->area);
	if (row->way == WAY_SIGBUS && sigaction(SIGBUS, &action, NULL))
		err(FAILED, "sigaction");
	if (row->way != WAY_FAULTS)
		return;
	pthread_barrier_init(&play.barrier, NULL, 2);
	errno = pthread_create(&play.resolver, NULL, resolve_faults, NULL);
	if (errno)
		err(FAILED, "pthread_create");
}

static void tear_down(void)
{
	if (play.row->way == WAY_FAULTS) {
		pthread_join(play.resolver, NULL);
		pthread_barrier_destroy(&play.barrier);
	}
	close(play.uffd);
	unmap_area(play.src, play.row->area);
	unmap_area(play.dst, play.row->area);
}

static void measure(struct row *row, int counter)
{
	unsigned long long flushes = flushes_read(counter);
	unsigned long long allocated = sum_counters("/proc/vmstat", "pgalloc_");
	unsigned long long ns = clock_ns();
	const double pages = row->area / PAGE;

	bring_all();
	ns = clock_ns() - ns;
	if (!row->cost || row->cost > ns / pages)
		row->cost = ns / pages;
	allocated = sum_counters("/proc/vmstat", "pgalloc_") - allocated;
	row->allocated = allocated * 1000 / pages;
	flushes = flushes_read(counter) - flushes;
	row->flushes = counter < 0 ? -1 : flushes * 1000 / pages;
	row->pages += pages;
}

static void play_rounds(struct row *row, unsigned int rounds, int counter)
{
	char *src;

	set_up(row, rounds);
	for (unsigned int round = 0; round < rounds; round++) {
		fill(round);
		measure(row, counter);
		check(round);
		/* Where the pages are now is where the next round takes them from. */
		src = play.dst;
		play.dst = play.src;
		play.src = src;
	}
	tear_down();
}

/**
 * play_row() - bring pages over, measure it, check every byte
 * @row: what to do; its results are filled in
 *
 * The cost is that of the cheapest round, events are those of the last one:
 * by then the page tables are there. Ends the program at the first wrong byte.
 */
void play_row(struct row *row)
{
	int counter;

	play_rounds(row, ROUNDS - COUNTED_ROUNDS, -1);
	/* Opened before there is a second thread, as that one's flushes count too. */
	counter = flushes_open();
	play_rounds(row, COUNTED_ROUNDS, counter);
	if (counter >= 0)
		close(counter);
}
