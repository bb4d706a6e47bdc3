// SPDX-License-Identifier: GPL-2.0
/*
 * Delivery: who gets to know of a fault on the heap. The faulting thread itself,
 * by a signal; a thread that polls the userfaultfd and reads the faults there are;
 * or one that does so by io_uring. Nobody, where the mutators are stopped until all
 * is done.
 */
#define _GNU_SOURCE
#include <errno.h>
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

static struct uffd_msg messages[READS];
static pthread_t thread;
static int stop_event = -1;

/* Wakes also those whose fault came while the heap was being unregistered. */
static void resolve_and_wake(uint64_t addr)
{
	if (!resolve_fault(addr))
		uffd_wake(uffd, (void *)(addr & -PAGE), PAGE);
}

/**
 * resolve_faults() - see to it that pages are there, and that nobody waits for them
 * @addrs: an address in each
 * @nr: how many; the worker's batch has room for AROUND_MAX times as many
 */
void resolve_faults(const uint64_t *addrs, size_t nr)
{
	size_t i;

	if (nr > 1)
		prepare_faults(addrs, nr);
	/* What others had claimed, and pages with nothing in them, one by one. */
	for (i = 0; i < nr; i++)
		resolve_and_wake(addrs[i]);
}

/**
 * faulting_address() - where a fault was
 * @msg: what the userfaultfd says of it
 *
 * Return: the address.
 */
uint64_t faulting_address(const struct uffd_msg *msg)
{
	if (msg->event != UFFD_EVENT_PAGEFAULT)
		fail("the userfaultfd delivers event %#x", msg->event);
	return msg->arg.pagefault.address;
}

static void read_faults(void)
{
	uint64_t addrs[READS];
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
}

static void *poll_and_read(void *unused)
{
	struct pollfd fds[2] = {
		{ .fd = uffd, .events = POLLIN }, { .fd = stop_event, .events = POLLIN },
	};
	uint64_t cpu = thread_ns(), now;
	struct worker w;

	worker_init(&w, READS * AROUND_MAX);
	while (poll(fds, 2, -1) > 0 && !fds[1].revents) {
		read_faults();
		now = thread_ns();
		meters_work(WORK_FAULTS, now - cpu);
		cpu = now;
	}
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
		err = pthread_create(&thread, NULL, read_by_uring, &stop_event);
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
