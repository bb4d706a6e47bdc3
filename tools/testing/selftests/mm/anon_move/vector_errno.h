/* SPDX-License-Identifier: GPL-2.0 */
/* Reasons of UFFDIO_MOVEV, as UFFDIO_MOVE would tell of them. */
#ifndef VECTOR_ERRNO_H
#define VECTOR_ERRNO_H

#include <errno.h>
#include <linux/anon_move.h>

/**
 * vector_errno() - what UFFDIO_MOVE says where a range of a vector stops so
 * @stop: enum uffdio_movev_stop
 *
 * Return: the errno, or 0.
 */
static inline int vector_errno(__u32 stop)
{
	/* Of those that are not here it is worth to try again. */
	static const int errnos[UFFDIO_MOVEV_KILLED + 1] = {
		[UFFDIO_MOVEV_INVALID] = EINVAL, [UFFDIO_MOVEV_MAPPINGS] = EINVAL,
		[UFFDIO_MOVEV_NO_DST] = ENOENT, [UFFDIO_MOVEV_NO_SRC] = ENOENT,
		[UFFDIO_MOVEV_HOLE] = ENOENT, [UFFDIO_MOVEV_EXISTS] = EEXIST,
		[UFFDIO_MOVEV_SHARED] = EBUSY, [UFFDIO_MOVEV_PINNED] = EBUSY,
		[UFFDIO_MOVEV_UNSPLIT] = EBUSY, [UFFDIO_MOVEV_MARKER] = EFAULT,
		[UFFDIO_MOVEV_NOMEM] = ENOMEM, [UFFDIO_MOVEV_KILLED] = EINTR,
	};

	if (stop == UFFDIO_MOVEV_DONE)
		return 0;
	return stop <= UFFDIO_MOVEV_KILLED && errnos[stop] ? errnos[stop] : EAGAIN;
}

#endif /* VECTOR_ERRNO_H */
