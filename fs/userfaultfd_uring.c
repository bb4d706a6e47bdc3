// SPDX-License-Identifier: GPL-2.0
/*
 * UFFDIO_MOVE and UFFDIO_MOVEV by io_uring: tried in the submitter, ended by a worker if need be.
 */

#include <linux/anon_move.h>
#include <linux/io_uring/cmd.h>
#include <linux/string.h>
#include <linux/userfaultfd_k.h>
#include "userfaultfd_move.h"

/* Of all that a request may say, these commands want to hear nothing but an address. */
static bool has_more(const struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	const struct io_uring_sqe *sqe = cmd->sqe;

	if (cmd->flags & IORING_URING_CMD_MASK || sqe->len || sqe->buf_index ||
	    sqe->splice_fd_in || sqe->addr3 || sqe->__pad2[0])
		return true;
	return issue_flags & IO_URING_F_SQE128 && memchr_inv(sqe + 1, 0, sizeof(*sqe));
}

static int go_on(const struct io_uring_cmd *cmd, struct userfaultfd_move_progress *progress)
{
	struct userfaultfd_ctx *ctx = cmd->file->private_data;
	void __user *uarg = u64_to_user_ptr(READ_ONCE(cmd->sqe->addr));

	/* UFFDIO_API comes first, as for any ioctl. */
	if (!READ_ONCE(ctx->features))
		return -EINVAL;
	switch (cmd->cmd_op) {
	case UFFDIO_MOVE:
		return userfaultfd_move_on(ctx, uarg, progress);
	case UFFDIO_MOVEV:
		return userfaultfd_movev_on(ctx, uarg, progress);
	default:
		return -EINVAL;
	}
}

/**
 * userfaultfd_anon_uring() - IORING_OP_URING_CMD on a userfaultfd
 * @cmd: the command: UFFDIO_MOVE or UFFDIO_MOVEV; its address is that of the ioctl's argument
 * @issue_flags: IO_URING_F_*
 *
 * The submitter holds the ring's lock, and everybody else who wants to submit waits for it. So
 * he waits for nothing, and does not begin what is long. What he has not moved a worker
 * does, who begins where he ended. Both have the mm of whom the ring belongs to, and no other
 * mm's memory moves.
 *
 * Context: may sleep; with %IO_URING_F_NONBLOCK under the ring's lock, and then for no longer
 *	    than a page fault may.
 * Return: as the ioctl, but -EINVAL for another command, for fields that are not 0 and before
 *	   UFFDIO_API; -EIOCBQUEUED if that was handed to io_uring already; -EAGAIN with
 *	   %IO_URING_F_NONBLOCK if the rest is for a worker.
 */
int userfaultfd_anon_uring(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	struct userfaultfd_move_progress *progress =
		io_uring_cmd_to_pdu(cmd, struct userfaultfd_move_progress);
	int result;

	if (has_more(cmd, issue_flags))
		return -EINVAL;
	if (!(cmd->flags & IORING_URING_CMD_REISSUE))
		*progress = (struct userfaultfd_move_progress){ };
	progress->no_wait = issue_flags & IO_URING_F_NONBLOCK;
	progress->again = false;
	result = go_on(cmd, progress);
	if (progress->again) {
		cmd->flags |= IORING_URING_CMD_REISSUE;
		return -EAGAIN;
	}
	if (result != -EAGAIN || !progress->no_wait)
		return result;
	/* To return it would have a worker try. */
	__io_uring_cmd_done(cmd, -EAGAIN, 0, issue_flags, false);
	return -EIOCBQUEUED;
}
