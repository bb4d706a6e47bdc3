// SPDX-License-Identifier: GPL-2.0
/*
 * Delivery: who gets to know of a fault on the heap. The faulting thread itself,
 * by a signal; a thread that polls the userfaultfd and reads the faults there are;
 * or one that has several reads in flight and takes what there is in batches.
 * Nobody, where the mutators are stopped until all is done.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "gc.h"
#include "backend.h"
#include "compact.h"
#include "delivery.h"
#include "heap.h"
#include "meters.h"
#include "options.h"

#define READS		16U	/* messages at a time */
#define STOP		READS	/* what the read of the stop event is called */

static struct uffd_msg messages[READS];
static pthread_t thread;
static int stop_event = -1;

/* Wakes also those whose fault came while the heap was being unregistered. */
static void resolve_and_wake(uint64_t addr)
{
	if (!resolve_fault(addr))
		uffd_wake(uffd, (void *)(addr & -PAGE), PAGE);
}

static void resolve_faults(const uint64_t *addrs, size_t nr)
{
	size_t i;

	if (nr > 1)
		prepare_faults(addrs, nr);
	/* What others had claimed, and pages with nothing in them, one by one. */
	for (i = 0; i < nr; i++)
		resolve_and_wake(addrs[i]);
}

static uint64_t faulting_address(const struct uffd_msg *msg)
{
	if (msg->event != UFFD_EVENT_PAGEFAULT)
		fail("the userfaultfd delivers event %#x", msg->event);
	return msg->arg.pagefault.address;
}

static void read_faults(void)
{
	uint64_t cpu = thread_ns(), addrs[READS];
	ssize_t got = read(uffd, messages, sizeof(messages));
	size_t nr = got / sizeof(*messages), i;

	/* Resolved meanwhile, so it is not there any more. */
	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0 || got % sizeof(*messages))
		fail("read of the userfaultfd: %s", strerror(errno));
	for (i = 0; i < nr; i++)
		addrs[i] = faulting_address(&messages[i]);
	resolve_faults(addrs, nr);
	meters_work(WORK_FAULTS, thread_ns() - cpu);
}

static void *poll_and_read(void *unused)
{
	struct pollfd fds[2] = {
		{ .fd = uffd, .events = POLLIN }, { .fd = stop_event, .events = POLLIN },
	};
	struct worker w;

	worker_init(&w, READS * AROUND_MAX);
	while (poll(fds, 2, -1) > 0 && !fds[1].revents)
		read_faults();
	return unused;
}

static uint64_t stop_value;

static void queue_read(struct io_uring *ring, unsigned int nr)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe)
		fail("io_uring: no room for a read");
	if (nr == STOP)
		io_uring_prep_read(sqe, stop_event, &stop_value, sizeof(stop_value), 0);
	else
		io_uring_prep_read(sqe, uffd, &messages[nr], sizeof(messages[nr]), 0);
	io_uring_sqe_set_data64(sqe, nr);
}

/* Returns false when it is time to end. */
static bool reap(struct io_uring *ring)
{
	struct io_uring_cqe *cqes[READS + 1];
	unsigned int got = io_uring_peek_batch_cqe(ring, cqes, READS + 1), i, nr = 0, who;
	uint64_t addrs[READS], cpu = thread_ns();
	bool go_on = true;

	for (i = 0; i < got; i++) {
		who = io_uring_cqe_get_data64(cqes[i]);
		if (who == STOP) {
			go_on = false;
			continue;
		}
		if (cqes[i]->res == sizeof(messages[who]))
			addrs[nr++] = faulting_address(&messages[who]);
		else if (cqes[i]->res != -EAGAIN && cqes[i]->res != -EINTR)
			fail("io_uring read of the userfaultfd: %s", strerror(-cqes[i]->res));
		queue_read(ring, who);
	}
	io_uring_cq_advance(ring, got);
	resolve_faults(addrs, nr);
	meters_work(WORK_FAULTS, thread_ns() - cpu);
	return go_on;
}

static void *read_by_uring(void *unused)
{
	struct io_uring ring;
	struct worker w;
	unsigned int i;
	int err = io_uring_queue_init(2 * READS, &ring, 0);

	if (err)
		cannot("no io_uring: %s", strerror(-err));
	worker_init(&w, READS * AROUND_MAX);
	for (i = 0; i <= READS; i++)
		queue_read(&ring, i);
	while (io_uring_submit_and_wait(&ring, 1) >= 0 && reap(&ring))
		;
	io_uring_queue_exit(&ring);
	return unused;
}

static bool in_heap(uint64_t addr)
{
	return addr >= (uintptr_t)heap.base && addr < (uintptr_t)heap.base + heap.pages * PAGE;
}

/* Only accesses of the heap fault, and no lock is held around one: anything may be called. */
static void on_signal(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (!in_heap((uintptr_t)info->si_addr))
		fail("signal %d at %p, which is not in the heap", signal, info->si_addr);
	resolve_fault((uintptr_t)info->si_addr);
}

static void open_uffd(void)
{
	uint64_t features = backend->features;

	if (options.delivery == DELIVERY_SIGBUS)
		features |= UFFD_FEATURE_SIGBUS;
	uffd = uffd_open(UFFD_USER_MODE_ONLY, features);
	if (uffd < 0)
		cannot("no userfaultfd with UFFDIO_MOVE%s in this kernel, or it is not allowed",
		       backend->features ? " and minor faults" : "");
	/* io_uring would not wait for what must not block. */
	if (options.delivery == DELIVERY_URING)
		fcntl(uffd, F_SETFL, fcntl(uffd, F_GETFL) & ~O_NONBLOCK);
}

/**
 * delivery_start() - be ready for faults
 */
void delivery_start(void)
{
	const struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	int err = 0;

	if (options.delivery == DELIVERY_STOPPED)
		return;
	if (options.delivery != DELIVERY_SIGSEGV)
		open_uffd();
	stop_event = eventfd(0, EFD_CLOEXEC);
	if (options.delivery == DELIVERY_THREAD)
		err = pthread_create(&thread, NULL, poll_and_read, NULL);
	else if (options.delivery == DELIVERY_URING)
		err = pthread_create(&thread, NULL, read_by_uring, NULL);
	else
		err = sigaction(options.delivery == DELIVERY_SIGBUS ? SIGBUS : SIGSEGV, &action,
				NULL);
	if (err)
		cannot("can't get faults delivered");
}

/**
 * delivery_end() - no more faults come
 */
void delivery_end(void)
{
	const uint64_t one = 1;

	if (options.delivery == DELIVERY_STOPPED)
		return;
	if (write(stop_event, &one, sizeof(one)) != sizeof(one))
		fail("eventfd: %s", strerror(errno));
	if (options.delivery == DELIVERY_THREAD || options.delivery == DELIVERY_URING)
		pthread_join(thread, NULL);
	close(stop_event);
	if (uffd >= 0)
		close(uffd);
}
