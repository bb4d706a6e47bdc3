/* SPDX-License-Identifier: GPL-2.0 */
/*
 * UFFDIO_MOVE and UFFDIO_MOVEV by io_uring, for callers: requests for a ring that the program has,
 * by liburing or not. `make install-headers` installs it beside uffd_move.h.
 *
 * The kernel tries a move at once, in io_uring_enter(); what would have to wait, and what is long,
 * is for a worker. It takes memory of the ring's own process only. UFFD_FEATURE_MOVE_URING in
 * uffd_move_features() says that it takes such requests.
 */
#ifndef UFFD_MOVE_URING_H
#define UFFD_MOVE_URING_H

/*
 * Which of them is the caller's to say. They share an include guard, and in C++ an
 * older one has the buffers of struct io_uring_buf_ring in another place.
 */
#ifndef LINUX_IO_URING_H
#error "include <liburing.h>, or <linux/io_uring.h>, before uffd_move_uring.h"
#endif

#include "uffd_move.h"

/* The command of IORING_OP_URING_CMD lies where others have an offset. */
static inline void uffd_move_prep_op(struct io_uring_sqe *sqe, int uffd, uint32_t op,
				     const void *arg)
{
	const uint64_t user_data = sqe->user_data;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = uffd;
	sqe->off = op;
	sqe->addr = (uintptr_t)arg;
	sqe->user_data = user_data;
}

/**
 * uffd_move_prep() - make UFFDIO_MOVE of a request
 * @sqe: the request; all but its user_data is set, its flags to 0; the second half that
 *	 it has with IORING_SETUP_SQE128 has to be 0
 * @uffd: descriptor that the destination is registered with
 * @arg: the argument, to be left alone until the completion, when its move is set:
 *	 bytes moved, or a negative errno
 *
 * The completion's result is 0 when everything moved, or a negative errno: as of the
 * ioctl; -EOPNOTSUPP or -EINVAL where the kernel has no such requests; -ECANCELED if
 * the ring has cancelled it, perhaps when part of it was done, as its move tells.
 */
static inline void uffd_move_prep(struct io_uring_sqe *sqe, int uffd, struct uffdio_move *arg)
{
	/* So that a request that was cancelled tells nothing of the one before. */
	arg->move = 0;
	uffd_move_prep_op(sqe, uffd, UFFDIO_MOVE, arg);
}

/**
 * uffd_movev_prep() - make UFFDIO_MOVEV of a request
 * @sqe: the request; as of uffd_move_prep()
 * @uffd: descriptor that the destinations are registered with
 * @arg: the argument, from uffd_movev_arg(); it and its ranges are to be left alone
 *	 until the completion
 *
 * Hand @arg and the completion's result, with its sign changed, to uffd_movev_told().
 * The result may be as that of uffd_move_prep().
 */
static inline void uffd_movev_prep(struct io_uring_sqe *sqe, int uffd, struct uffdio_movev *arg)
{
	/* As above. */
	arg->done = 0;
	uffd_move_prep_op(sqe, uffd, UFFDIO_MOVEV, arg);
}

#endif /* UFFD_MOVE_URING_H */
