// SPDX-License-Identifier: GPL-2.0
/* The row of faults: threads wait for pages, which come one by one, or by io_uring together. */

#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/anon_move.h>

#include "bench.h"
#include "uffd_move_uring.h"

#define RESOLVING "vec.uring"	/* what the thread takes that resolves faults */
#define ALL "vec.fault"		/* and those that fault */
#define THREADS 32
#define WARM 8		/* pages that each thread has touched before it counts */
#define EACH 128
#define READ THREADS	/* what completions of the read are told by */

/* The headers of Debian's liburing 2.3 end before it. */
#define OP_READ_MULTISHOT 49

/* What one io_uring_enter() brings, and what the next one moves. */
struct deliverer {
	struct io_uring ring;
	struct io_uring_buf_ring *buffers;
	struct uffd_msg msgs[THREADS];
	struct uffdio_movev arg;
	struct uffdio_movev_range ranges[THREADS];
};

static int uffd;
static char *src, *dst;
static size_t resolved;
static unsigned long long enters;	/* calls that moved something */

static uintptr_t source_of(const struct uffd_msg *msg)
{
	return (msg->arg.pagefault.address & -PAGE) - (uintptr_t)dst + (uintptr_t)src;
}

static void *touch_all(void *arg)
{
	const size_t first = (uintptr_t)arg * EACH;

	for (size_t i = first; i < first + EACH; i++)
		if (__atomic_load_n((uintptr_t *)(dst + i * PAGE), __ATOMIC_RELAXED) != i + 1)
			errx(FAILED, "faults: page %zu has wrong bytes", i);
	return NULL;
}

/* One fault a read, one page a call. */
static void deliver_one_by_one(void)
{
	struct pollfd pfd = { .fd = uffd, .events = POLLIN };
	struct uffd_moved moved;
	struct uffd_msg msg;

	if (poll(&pfd, 1, -1) != 1 || read(uffd, &msg, sizeof(msg)) != sizeof(msg))
		err(FAILED, "faults: read of the userfaultfd");
	moved = uffd_move(uffd, (void *)(uintptr_t)(msg.arg.pagefault.address & -PAGE),
			  (void *)source_of(&msg), PAGE, 0);
	if (moved.stop)
		errx(FAILED, "faults: a page stays: %s", strerror(moved.stop));
	resolved++;
	enters++;
}

static struct deliverer deliverer;

static void give_back_buffer(struct deliverer *d)
{
	io_uring_buf_ring_add(d->buffers, d->msgs, sizeof(d->msgs), 0, 0, 0);
	io_uring_buf_ring_advance(d->buffers, 1);
}

static void open_ring(struct deliverer *d)
{
	struct io_uring_buf_reg reg = { .ring_entries = 1 };
	struct io_uring_sqe *sqe;
	int error = io_uring_queue_init(4, &d->ring, IORING_SETUP_SINGLE_ISSUER |
						     IORING_SETUP_DEFER_TASKRUN);

	if (error)
		errx(CANNOT, "faults: no io_uring: %s", strerror(-error));
	d->buffers = aligned_alloc(PAGE, PAGE);
	memset(d->buffers, 0, PAGE);
	reg.ring_addr = (uintptr_t)d->buffers;
	error = io_uring_register_buf_ring(&d->ring, &reg, 0);
	if (error)
		errx(CANNOT, "faults: no ring of buffers: %s", strerror(-error));
	give_back_buffer(d);
	sqe = io_uring_get_sqe(&d->ring);
	io_uring_prep_rw(OP_READ_MULTISHOT, sqe, uffd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->user_data = READ;
}

static void close_ring(struct deliverer *d)
{
	io_uring_queue_exit(&d->ring);
	free(d->buffers);
}

static void submit_moves(struct deliverer *d, size_t count)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&d->ring);

	d->arg = uffd_movev_arg(d->ranges, count, 0);
	for (size_t i = 0; i < count; i++)
		d->ranges[i] = (struct uffdio_movev_range) {
			.dst = d->msgs[i].arg.pagefault.address & -PAGE,
			.src = source_of(&d->msgs[i]),
			.len = PAGE,
		};
	give_back_buffer(d);
	uffd_movev_prep(sqe, uffd, &d->arg);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	resolved += count;
}

/* One call moves what the last one has read, and reads on. */
static void deliver_together(void)
{
	struct deliverer *d = &deliverer;
	struct io_uring_cqe *cqe;

	if (io_uring_submit_and_wait(&d->ring, 1) < 0 || io_uring_peek_cqe(&d->ring, &cqe))
		err(FAILED, "faults: io_uring_enter");
	enters++;
	if (cqe->user_data != READ || cqe->res <= 0 || !(cqe->flags & IORING_CQE_F_MORE))
		errx(FAILED, "faults: %s: %s", cqe->user_data == READ ? "read" : "move",
		     strerror(-cqe->res));
	submit_moves(d, cqe->res / sizeof(struct uffd_msg));
	io_uring_cqe_seen(&d->ring, cqe);
}

static void deliver_until(size_t total, void (*deliver)(void))
{
	while (resolved < total)
		deliver();
}

/* Only when nobody else can run: each has faulted by then. */
static void go_last(bool last)
{
	const struct sched_param none = { 0 };

	if (sched_setscheduler(0, last ? SCHED_IDLE : SCHED_OTHER, &none))
		err(FAILED, "faults: sched_setscheduler");
}

/* Of the thread that resolves faults. */
static unsigned long long thread_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void measure(const char *mover, void (*deliver)(void))
{
	unsigned long long ns, own, flushes, calls;
	size_t faults;

	deliver_until(THREADS * WARM, deliver);
	faults = resolved;
	calls = enters;
	flushes = engine_counter("flushes");
	own = thread_ns();
	ns = clock_ns();
	deliver_until(THREADS * (EACH - WARM), deliver);
	ns = clock_ns() - ns - clock_cost();
	own = thread_ns() - own;
	flushes = engine_counter("flushes") - flushes;
	calls = enters - calls;
	faults = resolved - faults;
	deliver_until(THREADS * EACH, deliver);
	fprintf(stderr, ">> %s by %s: %.1f instructions a fault, %.1f of them to resolve it; "
		"%.1f faults a call\n", ALL, mover, (double)ns / faults, (double)own / faults,
		(double)faults / calls);
	print_vector(RESOLVING, mover, (double)own / faults, (double)flushes * THREADS / faults);
	print_vector(ALL, mover, (double)ns / faults, (double)flushes * THREADS / faults);
}

static void open_areas(void)
{
	const size_t len = THREADS * EACH * PAGE;

	src = map_small_pages(len);
	dst = map_small_pages(len);
	for (size_t i = 0; i < THREADS * EACH; i++)
		*(uintptr_t *)(src + i * PAGE) = i + 1;
	uffd = open_uffd(UFFD_FEATURE_MOVE_URING);
	fcntl(uffd, F_SETFL, O_NONBLOCK);
	register_area(uffd, dst, len);
	resolved = 0;
}

static void close_areas(void)
{
	close(uffd);
	unmap_area(src, THREADS * EACH * PAGE);
	unmap_area(dst, THREADS * EACH * PAGE);
}

static void start_threads(pthread_t threads[THREADS])
{
	for (size_t i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, touch_all, (void *)i))
			errx(FAILED, "faults: no thread");
}

static void join_threads(const pthread_t threads[THREADS])
{
	for (size_t i = 0; i < THREADS; i++)
		if (pthread_join(threads[i], NULL))
			errx(FAILED, "faults: a thread is lost");
}

/**
 * bench_faults() - faults of many threads, resolved by one
 */
void bench_faults(void)
{
	pthread_t threads[THREADS];

	choose_engine(mover_names[ANON_MOVE]);
	open_areas();
	start_threads(threads);
	go_last(true);
	measure("calls", deliver_one_by_one);
	go_last(false);
	join_threads(threads);
	close_areas();

	open_areas();
	open_ring(&deliverer);
	start_threads(threads);
	go_last(true);
	measure("vector", deliver_together);
	/* The last ones have been read only. */
	io_uring_submit(&deliverer.ring);
	go_last(false);
	join_threads(threads);
	close_ring(&deliverer);
	close_areas();
}
