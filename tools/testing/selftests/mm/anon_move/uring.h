/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What tests ask of io_uring and Debian's liburing has no name for.
 */
#ifndef ANON_MOVE_URING_H
#define ANON_MOVE_URING_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <liburing.h>

#include "anon_move_test.h"

/* IORING_OP_READ_MULTISHOT: the headers of liburing 2.3 end before it. */
#define URING_OP_READ_MULTISHOT	49

/* Faults that one read brings at most, and reads that may be waiting to be looked at. */
#define URING_FAULTS	32
#define URING_BUFFERS	4

/**
 * struct uring_faults - where a multishot read of a userfaultfd puts what it reads
 * @buffers: the ring of buffers
 * @msgs: the buffers
 */
struct uring_faults {
	struct io_uring_buf_ring *buffers;
	struct uffd_msg msgs[URING_BUFFERS][URING_FAULTS];
};

/* Why moves can't be asked for by io_uring, or NULL. */
static inline const char *uring_missing(void)
{
	const char *missing = vectors_missing();

	return missing ? missing : features_missing(UFFD_FEATURE_MOVE_URING,
						    "no moves by io_uring in this kernel");
}

/* The ioctl @op with the argument @arg. */
static inline void uring_prep(struct io_uring_sqe *sqe, int uffd, __u32 op, const void *arg)
{
	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, uffd, arg, 0, op);
}

static inline void uring_give_back(struct uring_faults *f, unsigned int buffer)
{
	io_uring_buf_ring_add(f->buffers, f->msgs[buffer], sizeof(f->msgs[buffer]), buffer,
			      URING_BUFFERS - 1, 0);
	io_uring_buf_ring_advance(f->buffers, 1);
}

/* Returns 0, or why there are no such buffers. */
static inline int uring_open_faults(struct io_uring *ring, struct uring_faults *f)
{
	struct io_uring_buf_reg reg = { .ring_entries = URING_BUFFERS };
	unsigned int i;

	f->buffers = aligned_alloc(PAGE, PAGE);
	memset(f->buffers, 0, PAGE);
	reg.ring_addr = (uintptr_t)f->buffers;
	for (i = 0; i < URING_BUFFERS; i++)
		uring_give_back(f, i);
	return io_uring_register_buf_ring(ring, &reg, 0);
}

/* Ends only where a completion has no IORING_CQE_F_MORE. */
static inline void uring_prep_faults(struct io_uring_sqe *sqe, int uffd)
{
	io_uring_prep_rw(URING_OP_READ_MULTISHOT, sqe, uffd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = 0;
}

#endif /* ANON_MOVE_URING_H */
