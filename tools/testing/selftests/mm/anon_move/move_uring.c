// SPDX-License-Identifier: GPL-2.0
/*
 * UFFDIO_MOVE and UFFDIO_MOVEV by io_uring: what the submitter does at once, what a worker ends,
 * and who may not.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <dirent.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"
#include "uring.h"

#define AREA	(4 * PMD_PAGES)
#define RANGES	600

FIXTURE(uring)
{
	struct space space;
	struct io_uring ring;
	struct uffdio_movev_range ranges[RANGES];
	struct uffdio_movev arg;
};

FIXTURE_SETUP(uring)
{
	const char *missing = uring_missing();

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->space, AREA, 0));
	ASSERT_EQ(0, io_uring_queue_init(8, &self->ring, 0));
	self->arg = vector_arg(self->ranges, 0, 0);
}

FIXTURE_TEARDOWN(uring)
{
	io_uring_queue_exit(&self->ring);
	space_close(&self->space);
}

/* Workers outlive their work by seconds. */
static int workers(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *task;
	char path[300], comm[20];
	int n = 0;
	FILE *file;

	while (tasks && (task = readdir(tasks))) {
		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fgets(comm, sizeof(comm), file) && !strncmp(comm, "iou-wrk", 7))
			n++;
		fclose(file);
	}
	if (tasks)
		closedir(tasks);
	return n;
}

static struct uffdio_move whole(const struct space *s, size_t dst, size_t src, size_t pages)
{
	return (struct uffdio_move) {
		.dst = (uintptr_t)s->dst + dst * PAGE,
		.src = (uintptr_t)s->src + src * PAGE,
		.len = pages * PAGE,
		.move = MOVE_CANARY,
	};
}

static void add(struct uffdio_movev *arg, const struct space *s, size_t dst, size_t src,
		size_t pages)
{
	struct uffdio_movev_range *ranges = (void *)(uintptr_t)arg->ranges;

	ranges[arg->count++] = (struct uffdio_movev_range) {
		.dst = (uintptr_t)s->dst + dst * PAGE,
		.src = (uintptr_t)s->src + src * PAGE,
		.len = pages * PAGE,
		.stop = ~0U,
	};
}

/* What the command comes to: 0 or a negative errno. */
static int result_of(struct io_uring *ring, struct io_uring_sqe *sqe)
{
	struct io_uring_cqe *cqe;
	int err;

	sqe->user_data = 17;
	if (io_uring_submit(ring) != 1 || io_uring_wait_cqe(ring, &cqe))
		return -ENODATA;
	err = cqe->user_data == 17 ? cqe->res : -ENODATA;
	io_uring_cqe_seen(ring, cqe);
	return err;
}

static int go(struct io_uring *ring, int uffd, __u32 op, void *arg)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	uring_prep(sqe, uffd, op, arg);
	return result_of(ring, sqe);
}

TEST_F_TIMEOUT(uring, one_range_at_once, PATIENCE)
{
	struct space *s = &self->space;
	struct uffdio_move move = whole(s, 3, 1, 7);
	struct io_uring_cqe *cqe;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 8));
	uring_prep(io_uring_get_sqe(&self->ring), s->uffd, UFFDIO_MOVE, &move);
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_EQ(0, io_uring_peek_cqe(&self->ring, &cqe));
	EXPECT_EQ(0, cqe->res);
	EXPECT_EQ(7 * PAGE, move.move);
	EXPECT_STREQ("", pages_differ(s->dst + 3 * PAGE, 7, 2));
	EXPECT_EQ(0, workers());
}

TEST_F_TIMEOUT(uring, many_ranges_at_once, PATIENCE)
{
	struct space *s = &self->space;
	struct io_uring_cqe *cqe;
	/* Of more than 2 MiB not all at once. */
	const size_t nr = (2 << 20) / PAGE < 100 ? (2 << 20) / PAGE : 100;
	size_t i;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 200));
	for (i = 0; i < nr; i++)
		add(&self->arg, s, PMD_PAGES - i, 2 * i, 1);
	uring_prep(io_uring_get_sqe(&self->ring), s->uffd, UFFDIO_MOVEV, &self->arg);
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_EQ(0, io_uring_peek_cqe(&self->ring, &cqe));
	EXPECT_EQ(0, cqe->res);
	EXPECT_EQ(nr, self->arg.done);
	for (i = 0; i < nr; i++) {
		EXPECT_EQ(PAGE, self->ranges[i].moved);
		EXPECT_EQ(UFFDIO_MOVEV_DONE, self->ranges[i].stop);
		EXPECT_STREQ("", pages_differ(s->dst + (PMD_PAGES - i) * PAGE, 1, 2 * i + 1));
	}
	EXPECT_EQ(0, workers());
}

/* Swap entries need no wait. */
TEST_F_TIMEOUT(uring, swapped_out_at_once, PATIENCE)
{
	struct uffdio_move move = whole(&self->space, 0, 0, 20);

	if (kind_missing(KIND_SWAPPED))
		SKIP(return, "%s", kind_missing(KIND_SWAPPED));
	ASSERT_EQ(0, make_kind(&self->space, KIND_SWAPPED, 0, 20));
	EXPECT_EQ(0, go(&self->ring, self->space.uffd, UFFDIO_MOVE, &move));
	EXPECT_STREQ("", pages_differ(self->space.dst, 20, 1));
	EXPECT_EQ(0, workers());
}

/* What stays is told at once, though it is told by EAGAIN. */
TEST_F_TIMEOUT(uring, what_stays_is_for_no_worker, PATIENCE)
{
	struct space *s = &self->space;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 9));
	ASSERT_EQ(0, madvise(s->src + 4 * PAGE, PAGE, MADV_DONTNEED));
	add(&self->arg, s, 0, 0, 2);
	add(&self->arg, s, 2, 2, 4);
	add(&self->arg, s, 1, 6, 1);
	add(&self->arg, s, 8, 8, 1);
	EXPECT_EQ(-EAGAIN, go(&self->ring, s->uffd, UFFDIO_MOVEV, &self->arg));
	EXPECT_EQ(2, self->arg.done);
	EXPECT_EQ(2 * PAGE, self->ranges[1].moved);
	EXPECT_EQ(UFFDIO_MOVEV_HOLE, self->ranges[1].stop);
	EXPECT_EQ(~0U, self->ranges[2].stop);
	self->arg.mode = UFFDIO_MOVEV_MODE_GO_ON;
	EXPECT_EQ(-EAGAIN, go(&self->ring, s->uffd, UFFDIO_MOVEV, &self->arg));
	EXPECT_EQ(4, self->arg.done);
	EXPECT_EQ(UFFDIO_MOVEV_EXISTS, self->ranges[2].stop);
	EXPECT_EQ(UFFDIO_MOVEV_DONE, self->ranges[3].stop);
	EXPECT_STREQ("", pages_differ(s->dst + 8 * PAGE, 1, 9));
	EXPECT_EQ(0, workers());
}

/* A large folio is split by a worker, who goes on in the middle of a range. */
TEST_F_TIMEOUT(uring, worker_splits, PATIENCE)
{
	struct space *s = &self->space;
	struct uffdio_move move = whole(s, 0, 0, 2 * MTHP_PAGES + 3);

	if (kind_missing(KIND_MTHP))
		SKIP(return, "%s", kind_missing(KIND_MTHP));
	ASSERT_EQ(0, make_kind(s, KIND_MTHP, 0, 3 * MTHP_PAGES));
	EXPECT_EQ(0, go(&self->ring, s->uffd, UFFDIO_MOVE, &move));
	EXPECT_EQ(move.len, move.move);
	EXPECT_STREQ("", pages_differ(s->dst, 2 * MTHP_PAGES + 3, 1));
	EXPECT_STREQ("", pages_differ(s->src + move.len, MTHP_PAGES - 3, 2 * MTHP_PAGES + 4));
	EXPECT_LT(0, workers());
}

/* Those before it are not moved again, and those behind it don't come first. */
TEST_F_TIMEOUT(uring, worker_keeps_the_order, PATIENCE)
{
	struct space *s = &self->space;
	size_t cut = 2 * MTHP_PAGES + 3;

	if (kind_missing(KIND_MTHP))
		SKIP(return, "%s", kind_missing(KIND_MTHP));
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 8));
	ASSERT_EQ(0, madvise(s->src + 2 * PAGE, PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, make_kind(s, KIND_MTHP, PMD_PAGES, 3 * MTHP_PAGES));
	self->arg.mode = UFFDIO_MOVEV_MODE_GO_ON;
	add(&self->arg, s, 0, 0, 2);
	add(&self->arg, s, 2, 2, 1);
	add(&self->arg, s, PMD_PAGES, PMD_PAGES, cut);
	add(&self->arg, s, PMD_PAGES + cut - 1, 4, 1);
	add(&self->arg, s, 5, 5, 1);
	EXPECT_EQ(-EAGAIN, go(&self->ring, s->uffd, UFFDIO_MOVEV, &self->arg));
	EXPECT_EQ(5, self->arg.done);
	EXPECT_EQ(UFFDIO_MOVEV_DONE, self->ranges[0].stop);
	EXPECT_EQ(UFFDIO_MOVEV_HOLE, self->ranges[1].stop);
	EXPECT_EQ(UFFDIO_MOVEV_DONE, self->ranges[2].stop);
	EXPECT_EQ(cut * PAGE, self->ranges[2].moved);
	EXPECT_EQ(UFFDIO_MOVEV_EXISTS, self->ranges[3].stop);
	EXPECT_EQ(UFFDIO_MOVEV_DONE, self->ranges[4].stop);
	EXPECT_STREQ("", pages_differ(s->dst, 2, 1));
	EXPECT_STREQ("", pages_differ(s->dst + PMD, cut, PMD_PAGES + 1));
	EXPECT_STREQ("", pages_differ(s->dst + 5 * PAGE, 1, 6));
	EXPECT_LT(0, workers());
}

TEST_F_TIMEOUT(uring, worker_moves_what_is_long, PATIENCE)
{
	struct space *s = &self->space;
	struct uffdio_move move = whole(s, 1, 0, 3 * PMD_PAGES);

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 3 * PMD_PAGES));
	EXPECT_EQ(0, go(&self->ring, s->uffd, UFFDIO_MOVE, &move));
	EXPECT_EQ(move.len, move.move);
	EXPECT_STREQ("", pages_differ(s->dst + PAGE, 3 * PMD_PAGES, 1));
	EXPECT_LT(0, workers());
}

TEST_F_TIMEOUT(uring, worker_moves_what_are_many, PATIENCE)
{
	struct space *s = &self->space;
	size_t i;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, RANGES));
	for (i = 0; i < RANGES; i++)
		add(&self->arg, s, AREA - 1 - 2 * i, i, 1);
	EXPECT_EQ(0, go(&self->ring, s->uffd, UFFDIO_MOVEV, &self->arg));
	EXPECT_EQ(RANGES, self->arg.done);
	for (i = 0; i < RANGES; i++) {
		EXPECT_EQ(UFFDIO_MOVEV_DONE, self->ranges[i].stop);
		EXPECT_STREQ("", pages_differ(s->dst + (AREA - 1 - 2 * i) * PAGE, 1, i + 1));
	}
	EXPECT_LT(0, workers());
}

TEST_F_TIMEOUT(uring, worker_from_the_beginning, PATIENCE)
{
	struct space *s = &self->space;
	struct uffdio_move move = whole(s, 0, 0, 4);
	struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 4));
	uring_prep(sqe, s->uffd, UFFDIO_MOVE, &move);
	sqe->flags |= IOSQE_ASYNC;
	EXPECT_EQ(0, result_of(&self->ring, sqe));
	EXPECT_STREQ("", pages_differ(s->dst, 4, 1));
	EXPECT_LT(0, workers());
}

static void *read_page_in(void *page)
{
	touch(page);
	return NULL;
}

/* A page that is being read in is locked, for as long as a slow disk takes. */
TEST_F_TIMEOUT(uring, worker_waits_for_a_lock, PATIENCE)
{
	long long locked = engine_count("stop_locked");
	struct space *s = &self->space;
	pthread_t reader;
	int i;

	if (slow_swap_missing() || !engine_counts())
		SKIP(return, "%s", slow_swap_missing() ?: "no counters of the engine");
	for (i = 0; i < 1000 && engine_count("stop_locked") == locked; i++) {
		struct uffdio_move move = whole(s, i, i, 1);

		ASSERT_EQ(0, make_kind(s, KIND_SWAPPED, i, 1));
		ASSERT_EQ(0, pthread_create(&reader, NULL, read_page_in, s->src + i * PAGE));
		usleep(rand() % 20000);
		ASSERT_EQ(0, go(&self->ring, s->uffd, UFFDIO_MOVE, &move));
		ASSERT_EQ(0, pthread_join(reader, NULL));
		EXPECT_STREQ("", pages_differ(s->dst + i * PAGE, 1, i + 1));
	}
	EXPECT_LT(locked, engine_count("stop_locked"));
	EXPECT_LT(0, workers());
}

/* A folio under write-back is in two parts only when it is written. */
TEST_F_TIMEOUT(uring, worker_waits_for_write_back, PATIENCE)
{
	struct space *s = &self->space;
	struct uffdio_move move = whole(s, 0, 0, 3);
	long long waited = engine_count("stop_writeback");

	if (slow_swap_missing() || kind_missing(KIND_MTHP) || !engine_counts())
		SKIP(return, "%s", slow_swap_missing() ?: kind_missing(KIND_MTHP) ?:
		     "no counters of the engine");
	/* MADV_PAGEOUT empties only its own CPU's batch of new pages. */
	ASSERT_EQ(0, run_on_cpu(0));
	ASSERT_EQ(0, make_kind(s, KIND_MTHP, 0, 4 * MTHP_PAGES));
	ASSERT_EQ(0, madvise(s->src, 4 * MTHP_PAGES * PAGE, MADV_PAGEOUT));
	ASSERT_TRUE(all_pages(s->src, 4 * MTHP_PAGES, PM_PRESENT | PM_SWAP, PM_SWAP));
	ASSERT_EQ(0, go(&self->ring, s->uffd, UFFDIO_MOVE, &move));
	EXPECT_STREQ("", pages_differ(s->dst, 3, 1));
	EXPECT_STREQ("", pages_differ(s->src + 3 * PAGE, 4 * MTHP_PAGES - 3, 4));
	EXPECT_LT(waited, engine_count("stop_writeback"));
	EXPECT_LT(0, workers());
}

/* As the one worker there may be is busy: nothing of it has moved, and that is what it tells. */
TEST_F_TIMEOUT(uring, cancelled_before_a_worker_has_it, PATIENCE)
{
	struct space *s = &self->space;
	struct uffdio_move busy = whole(s, 0, 0, 3);
	struct uffdio_move waiting = whole(s, PMD_PAGES, PMD_PAGES, 2 * PMD_PAGES);
	struct iovec iov = { s->src, 1 };
	unsigned int i, one[2] = { 1, 1 };
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	int pipes[2], results[3];

	if (kind_missing(KIND_MTHP))
		SKIP(return, "%s", kind_missing(KIND_MTHP));
	ASSERT_EQ(0, make_kind(s, KIND_MTHP, 0, MTHP_PAGES));
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, PMD_PAGES, 2 * PMD_PAGES));
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(1, vmsplice(pipes[1], &iov, 1, 0));
	ASSERT_EQ(0, io_uring_register_iowq_max_workers(&self->ring, one));
	uring_prep(io_uring_get_sqe(&self->ring), s->uffd, UFFDIO_MOVE, &busy);
	sqe = io_uring_get_sqe(&self->ring);
	uring_prep(sqe, s->uffd, UFFDIO_MOVE, &waiting);
	sqe->user_data = 1;
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_cancel64(sqe, 1, 0);
	sqe->user_data = 2;
	ASSERT_EQ(3, io_uring_submit_and_wait(&self->ring, 3));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, io_uring_wait_cqe(&self->ring, &cqe));
		results[cqe->user_data] = cqe->res;
		io_uring_cqe_seen(&self->ring, cqe);
	}
	EXPECT_EQ(-EBUSY, results[0]);
	EXPECT_EQ(0, results[2]);
	EXPECT_EQ(-ECANCELED, results[1]);
	EXPECT_EQ(-EAGAIN, waiting.move);
	EXPECT_STREQ("", pages_differ(s->src + PMD, 2 * PMD_PAGES, PMD_PAGES + 1));
	close(pipes[0]);
	close(pipes[1]);
}

/* One in the chain that stops short of its end ends the chain. */
TEST_F_TIMEOUT(uring, links, PATIENCE)
{
	struct space *s = &self->space;
	struct uffdio_move moves[3] = { whole(s, 0, 0, 3), whole(s, 9, 0, 3), whole(s, 4, 4, 1) };
	const int expected[3] = { 0, -ENOENT, -ECANCELED };
	struct io_uring_cqe *cqe;
	int i;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 5));
	for (i = 0; i < 3; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);

		uring_prep(sqe, s->uffd, UFFDIO_MOVE, &moves[i]);
		sqe->user_data = i;
		sqe->flags |= i < 2 ? IOSQE_IO_LINK : 0;
	}
	ASSERT_EQ(3, io_uring_submit_and_wait(&self->ring, 3));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, io_uring_wait_cqe(&self->ring, &cqe));
		EXPECT_EQ(expected[cqe->user_data], cqe->res);
		io_uring_cqe_seen(&self->ring, cqe);
	}
	EXPECT_STREQ("", pages_differ(s->dst, 3, 1));
	EXPECT_STREQ("", pages_differ(s->src + 4 * PAGE, 1, 5));
}

/* Each as the ioctl. */
FIXTURE(same)
{
	struct space space;
	struct io_uring ring;
};

FIXTURE_VARIANT(same)
{
	size_t dst;	/* pages; both areas have 8 */
	size_t src;
	size_t len;	/* bytes */
	__u64 mode;
	size_t moved;	/* pages */
	int err;
	bool child;
};

FIXTURE_VARIANT_ADD(same, done) { 0, 0, 4 * PAGE, 0, 4, 0 };
FIXTURE_VARIANT_ADD(same, occupied) { 7, 0, PAGE, 0, 0, EEXIST };
FIXTURE_VARIANT_ADD(same, in_part) { 0, 4, 5 * PAGE, 0, 4, EAGAIN };
FIXTURE_VARIANT_ADD(same, hole) { 0, 8, PAGE, 0, 0, ENOENT };
FIXTURE_VARIANT_ADD(same, hole_allowed) { 0, 8, PAGE, UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES, 1, 0 };
FIXTURE_VARIANT_ADD(same, mode) { 0, 0, PAGE, 1ULL << 40, 0, EINVAL };
FIXTURE_VARIANT_ADD(same, length) { 0, 0, PAGE - 1, 0, 0, EINVAL };
FIXTURE_VARIANT_ADD(same, wraps) { 0, 0, -PAGE, 0, 0, EINVAL };
FIXTURE_VARIANT_ADD(same, unmapped) { 0, AREA, PAGE, 0, 0, EINVAL };
FIXTURE_VARIANT_ADD(same, shared) { 0, 0, PAGE, 0, 0, EBUSY, true };

FIXTURE_SETUP(same)
{
	const char *missing = uring_missing();

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->space, AREA, 0));
	ASSERT_EQ(0, io_uring_queue_init(8, &self->ring, 0));
	ASSERT_EQ(0, make_kind(&self->space, KIND_SMALL, 0, 8));
	ASSERT_EQ(0, make_kind(&self->space, KIND_SMALL, 20, 1));
	ASSERT_EQ(0, move_surely(self->space.uffd, self->space.dst + 7 * PAGE,
				 self->space.src + 20 * PAGE, PAGE).err);
}

FIXTURE_TEARDOWN(same)
{
	io_uring_queue_exit(&self->ring);
	space_close(&self->space);
}

TEST_F_TIMEOUT(same, as_the_ioctl, PATIENCE)
{
	struct space *s = &self->space;
	struct uffdio_move move = whole(s, variant->dst, variant->src, 0), by_ioctl;
	pid_t child = variant->child ? share_with_child() : 0;
	int err;

	move.len = variant->len;
	move.mode = variant->mode;
	by_ioctl = move;
	if (!variant->moved) {
		err = ioctl(s->uffd, UFFDIO_MOVE, &by_ioctl) ? errno : 0;
		EXPECT_EQ(variant->err, err);
	} else {
		by_ioctl.move = variant->moved * PAGE;
	}
	EXPECT_EQ(-variant->err, go(&self->ring, s->uffd, UFFDIO_MOVE, &move));
	EXPECT_EQ(by_ioctl.move, move.move);
	if (child)
		end_child(child);
}

/* Arguments that can't be read, or not be understood. */
TEST_F_TIMEOUT(uring, arguments, PATIENCE)
{
	struct space *s = &self->space;
	struct {
		struct uffdio_movev arg;
		__u64 more;
	} longer = { self->arg };

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 1));
	EXPECT_EQ(-EFAULT, go(&self->ring, s->uffd, UFFDIO_MOVE, NULL));
	EXPECT_EQ(-EFAULT, go(&self->ring, s->uffd, UFFDIO_MOVEV, NULL));
	EXPECT_EQ(-EINVAL, go(&self->ring, s->uffd, UFFDIO_MOVEV, &self->arg));
	longer.arg.size = sizeof(longer);
	longer.arg.count = 1;
	longer.more = 1;
	EXPECT_EQ(-E2BIG, go(&self->ring, s->uffd, UFFDIO_MOVEV, &longer));
	longer.more = 0;
	EXPECT_EQ(-EAGAIN, go(&self->ring, s->uffd, UFFDIO_MOVEV, &longer));
	EXPECT_EQ(UFFDIO_MOVEV_INVALID, self->ranges[0].stop);
	add(&self->arg, s, 0, 0, 1);
	self->ranges[0].reserved = 1;
	EXPECT_EQ(-EINVAL, go(&self->ring, s->uffd, UFFDIO_MOVEV, &self->arg));
	self->arg.ranges = 8;
	EXPECT_EQ(-EFAULT, go(&self->ring, s->uffd, UFFDIO_MOVEV, &self->arg));
	EXPECT_STREQ("", pages_differ(s->src, 1, 1));
}

static void set_len(struct io_uring_sqe *sqe) { sqe->len = 1; }
static void set_ioprio(struct io_uring_sqe *sqe) { sqe->ioprio = 1; }
static void set_flags(struct io_uring_sqe *sqe) { sqe->rw_flags = 16; }
static void set_buffer(struct io_uring_sqe *sqe) { sqe->buf_index = 1; }
static void set_file(struct io_uring_sqe *sqe) { sqe->splice_fd_in = 1; }
static void set_addr3(struct io_uring_sqe *sqe) { sqe->addr3 = 1; }
static void set_pad(struct io_uring_sqe *sqe) { sqe->__pad2[0] = 1ULL << 63; }
static void set_upper_half(struct io_uring_sqe *sqe) { sqe->off |= 1ULL << 32; }
static void set_command(struct io_uring_sqe *sqe) { sqe->off = (__u32)UFFDIO_COPY; }
static void set_other_half(struct io_uring_sqe *sqe) { ((__u8 *)(sqe + 1))[63] = 1; }

static void (*const setters[])(struct io_uring_sqe *sqe) = {
	set_len, set_ioprio, set_flags, set_buffer, set_file, set_addr3, set_pad, set_upper_half,
	set_command, set_other_half
};

TEST_F_TIMEOUT(uring, fields_that_are_not_zero, PATIENCE)
{
	struct space *s = &self->space;
	struct uffdio_move move = whole(s, 0, 0, 1);
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	size_t i;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 1));
	ASSERT_EQ(0, io_uring_queue_init(8, &ring, IORING_SETUP_SQE128));
	for (i = 0; i < sizeof(setters) / sizeof(*setters); i++) {
		sqe = io_uring_get_sqe(&ring);
		uring_prep(sqe, s->uffd, UFFDIO_MOVE, &move);
		memset(sqe + 1, 0, sizeof(*sqe));
		setters[i](sqe);
		EXPECT_EQ(-EINVAL, result_of(&ring, sqe))
			TH_LOG("field %zu", i);
	}
	EXPECT_EQ(MOVE_CANARY, move.move);
	sqe = io_uring_get_sqe(&ring);
	uring_prep(sqe, s->uffd, UFFDIO_MOVE, &move);
	memset(sqe + 1, 0, sizeof(*sqe));
	EXPECT_EQ(0, result_of(&ring, sqe));
	EXPECT_STREQ("", pages_differ(s->dst, 1, 1));
	io_uring_queue_exit(&ring);
}

TEST_F_TIMEOUT(uring, before_the_handshake, PATIENCE)
{
	struct uffdio_move move = whole(&self->space, 0, 0, 1);
	int uffd = syscall(__NR_userfaultfd, O_CLOEXEC);

	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, make_kind(&self->space, KIND_SMALL, 0, 1));
	EXPECT_EQ(-EINVAL, go(&self->ring, uffd, UFFDIO_MOVE, &move));
	close(uffd);
}

FIXTURE(owners)
{
	struct space space;
	struct io_uring ring;
};

FIXTURE_VARIANT(owners)
{
	unsigned int flags;
	bool async;
};

FIXTURE_VARIANT_ADD(owners, submitter) { 0, false };
FIXTURE_VARIANT_ADD(owners, worker) { 0, true };
FIXTURE_VARIANT_ADD(owners, sqpoll) { IORING_SETUP_SQPOLL, false };

FIXTURE_SETUP(owners)
{
	const char *missing = uring_missing();

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->space, AREA, 0));
	ASSERT_EQ(0, io_uring_queue_init(8, &self->ring, variant->flags));
	ASSERT_EQ(0, make_kind(&self->space, KIND_SMALL, 0, 2));
}

FIXTURE_TEARDOWN(owners)
{
	io_uring_queue_exit(&self->ring);
	space_close(&self->space);
}

static int go_as(struct io_uring *ring, int uffd, struct uffdio_move *move, bool async)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	uring_prep(sqe, uffd, UFFDIO_MOVE, move);
	sqe->flags |= async ? IOSQE_ASYNC : 0;
	return result_of(ring, sqe);
}

/* Who is lent a ring moves nothing, but for one that the kernel polls for its creator. */
TEST_F_TIMEOUT(owners, ring_of_another_process, PATIENCE)
{
	const bool polled = variant->flags & IORING_SETUP_SQPOLL;
	struct space *s = &self->space;
	struct uffdio_move move;
	int status, result;
	pid_t pid;

	/* Else pages are shared with the child. */
	ASSERT_EQ(0, madvise(s->src, s->pages * PAGE, MADV_DONTFORK));
	ASSERT_EQ(0, madvise(s->dst, s->pages * PAGE, MADV_DONTFORK));
	move = whole(s, 0, 0, 1);
	pid = fork();
	if (!pid) {
		result = go_as(&self->ring, s->uffd, &move, variant->async);
		_exit(result != (polled ? 0 : -EINVAL));
	}
	ASSERT_LT(0, pid);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	/* The kernel's thread reads the creator's argument, and moves the creator's memory. */
	EXPECT_STREQ("", pages_differ(polled ? s->dst : s->src, 1, 1));
	EXPECT_EQ(polled ? (long long)PAGE : MOVE_CANARY, move.move);
}

TEST_F_TIMEOUT(owners, descriptor_of_another_process, PATIENCE)
{
	struct space *s = &self->space;
	struct uffdio_move move = whole(s, 0, 0, 1);
	int pipes[2], uffd, pidfd, theirs;
	pid_t pid;

	ASSERT_EQ(0, pipe(pipes));
	pid = fork();
	if (!pid) {
		uffd = uffd_open(0, 0);
		_exit(write(pipes[1], &uffd, sizeof(uffd)) != sizeof(uffd) || pause());
	}
	ASSERT_LT(0, pid);
	ASSERT_EQ(sizeof(uffd), read(pipes[0], &uffd, sizeof(uffd)));
	pidfd = syscall(__NR_pidfd_open, pid, 0);
	theirs = syscall(__NR_pidfd_getfd, pidfd, uffd, 0);
	ASSERT_LE(0, theirs);
	EXPECT_EQ(-EINVAL, go_as(&self->ring, theirs, &move, variant->async));
	EXPECT_STREQ("", pages_differ(s->src, 2, 1));
	end_child(pid);
	close(theirs);
	close(pidfd);
}

TEST_F_TIMEOUT(owners, own, PATIENCE)
{
	struct uffdio_move move = whole(&self->space, 0, 0, 2);

	EXPECT_EQ(0, go_as(&self->ring, self->space.uffd, &move, variant->async));
	EXPECT_STREQ("", pages_differ(self->space.dst, 2, 1));
}

TEST_HARNESS_MAIN
