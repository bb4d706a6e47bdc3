// SPDX-License-Identifier: GPL-2.0
/*
 * Delivery "uring": a multishot read brings faults, and pages are moved by the same ring. So one
 * io_uring_enter() moves what was read before it, and brings what has been read meanwhile.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "gc.h"
#include "backend.h"
#include "compact.h"
#include "delivery.h"
#include "meters.h"
#include "../uring.h"

/* What completions are called. */
enum { READ, MOVE, STOP };

/**
 * struct deliverer - what the thread that has the ring knows
 * @ring: the ring
 * @faults: where messages are read to
 * @addrs: addresses that have been read and are to be resolved
 * @nr: how many
 * @filled: bit for each buffer that they came in
 * @reading: the read has not ended
 * @moves: the kernel moves pages by io_uring
 * @moving: a move has not ended
 * @result: of the last one that has, 0 or a negative errno
 * @stop: it is time to end
 * @stop_value: read when it is
 */
struct deliverer {
	struct io_uring ring;
	struct uring_faults faults;
	uint64_t addrs[URING_BUFFERS * URING_FAULTS];
	size_t nr;
	unsigned int filled;
	bool reading;
	bool moves;
	bool moving;
	int result;
	bool stop;
	uint64_t stop_value;
};

static __thread struct deliverer *own;

static struct io_uring_sqe *new_sqe(struct deliverer *d)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&d->ring);

	if (!sqe)
		fail("io_uring: no room for a request");
	return sqe;
}

static void queue_stop(struct deliverer *d, int event)
{
	struct io_uring_sqe *sqe = new_sqe(d);

	io_uring_prep_read(sqe, event, &d->stop_value, sizeof(d->stop_value), 0);
	io_uring_sqe_set_data64(sqe, STOP);
}

static void queue_read(struct deliverer *d)
{
	struct io_uring_sqe *sqe = new_sqe(d);

	uring_prep_faults(sqe, uffd);
	io_uring_sqe_set_data64(sqe, READ);
	d->reading = true;
}

static void queue_move(struct deliverer *d, __u32 op, void *arg)
{
	struct io_uring_sqe *sqe = new_sqe(d);

	uring_prep(sqe, uffd, op, arg);
	io_uring_sqe_set_data64(sqe, MOVE);
	d->moving = true;
}

static void on_read(struct deliverer *d, const struct io_uring_cqe *cqe)
{
	const unsigned int buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
	size_t i;

	d->reading = cqe->flags & IORING_CQE_F_MORE;
	/* No buffer was free, so there is enough to do. */
	if (cqe->res == -ENOBUFS || cqe->res == -EAGAIN || cqe->res == -EINTR)
		return;
	if (cqe->res <= 0 || cqe->res % sizeof(struct uffd_msg))
		fail("io_uring read of the userfaultfd: %s", strerror(-cqe->res));
	d->filled |= 1U << buffer;
	for (i = 0; i < cqe->res / sizeof(struct uffd_msg); i++)
		d->addrs[d->nr++] = faulting_address(&d->faults.msgs[buffer][i]);
}

static void on_completion(struct deliverer *d, const struct io_uring_cqe *cqe)
{
	switch (io_uring_cqe_get_data64(cqe)) {
	case READ:
		on_read(d, cqe);
		break;
	case MOVE:
		d->moving = false;
		d->result = cqe->res;
		break;
	case STOP:
		d->stop = true;
	}
}

/* Submits what there is, and waits until something has come. */
static void enter(struct deliverer *d)
{
	struct io_uring_cqe *cqe;
	unsigned int head, n = 0;
	int err;

	if (!d->reading && !d->filled)
		queue_read(d);
	err = io_uring_submit_and_wait(&d->ring, 1);
	if (err < 0 && err != -EINTR)
		fail("io_uring_enter: %s", strerror(-err));
	io_uring_for_each_cqe(&d->ring, head, cqe) {
		on_completion(d, cqe);
		n++;
	}
	io_uring_cq_advance(&d->ring, n);
}

/* All that has been read; while it is resolved more may be. */
static void resolve_read(struct deliverer *d)
{
	uint64_t addrs[URING_BUFFERS * URING_FAULTS];
	const size_t nr = d->nr;
	unsigned int i;

	memcpy(addrs, d->addrs, nr * sizeof(*addrs));
	for (i = 0; i < URING_BUFFERS; i++)
		if (d->filled & 1U << i)
			uring_give_back(&d->faults, i);
	d->nr = 0;
	d->filled = 0;
	resolve_faults(addrs, nr);
}

static void open_ring(struct deliverer *d, int stop_event)
{
	int err = io_uring_queue_init(8, &d->ring, IORING_SETUP_SINGLE_ISSUER |
						   IORING_SETUP_DEFER_TASKRUN);

	if (!err)
		err = uring_open_faults(&d->ring, &d->faults);
	if (err)
		cannot("no io_uring: %s", strerror(-err));
	queue_stop(d, stop_event);
	/* Whoever has chosen the base's mover would get ours. */
	d->moves = !base_serves() && kernel_has(UFFD_FEATURE_MOVE_URING);
}

/**
 * read_by_uring() - a thread that resolves faults until it is stopped
 * @stop_event: descriptor of an eventfd that says when
 *
 * Return: NULL.
 */
void *read_by_uring(void *stop_event)
{
	static struct deliverer d;
	struct worker w;
	uint64_t cpu;

	open_ring(&d, *(int *)stop_event);
	own = &d;
	worker_init(&w, URING_BUFFERS * URING_FAULTS * AROUND_MAX);
	while (!d.stop) {
		cpu = thread_ns();
		if (d.nr)
			resolve_read(&d);
		else
			enter(&d);
		meters_work(WORK_FAULTS, thread_ns() - cpu);
	}
	io_uring_queue_exit(&d.ring);
	free(d.faults.buffers);
	return NULL;
}

/**
 * uffd_command() - an ioctl on the userfaultfd, or the same by the calling thread's ring
 * @op: UFFDIO_MOVE or UFFDIO_MOVEV
 * @arg: its argument
 *
 * Return: 0 or the errno.
 */
int uffd_command(__u32 op, void *arg)
{
	struct deliverer *d = own;

	if (!d || !d->moves)
		return ioctl(uffd, op, arg) ? errno : 0;
	add(&events[EV_BY_RING], 1);
	queue_move(d, op, arg);
	while (d->moving)
		enter(d);
	return -d->result;
}
