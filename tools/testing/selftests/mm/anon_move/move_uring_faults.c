// SPDX-License-Identifier: GPL-2.0
/*
 * Faults that come by a multishot read and are resolved by the same io_uring_enter() that
 * waits for the next ones; and rings that end while moves are under way.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"
#include "uring.h"

#define MOVES	4
#define EACH_MOVE	512	/* pages */
#define AREA	(MOVES * EACH_MOVE)
#define THREADS	16
#define EACH	20	/* pages a thread touches, one after the other */

/* What completions of the read are told by; those of moves by the number of the buffer. */
#define READ	URING_BUFFERS

/* What one read has brought, and what is asked for because of it. */
struct batch {
	struct uffdio_movev arg;
	struct uffdio_movev_range ranges[URING_FAULTS];
};

struct collector {
	struct space space;
	struct io_uring ring;
	struct uring_faults faults;
	struct batch batches[URING_BUFFERS];
	size_t moved;
};

FIXTURE(faults)
{
	struct collector c;
};

FIXTURE_VARIANT(faults)
{
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(faults, plain) { 0 };
FIXTURE_VARIANT_ADD(faults, deferred) { IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER };
FIXTURE_VARIANT_ADD(faults, cooperative) { IORING_SETUP_COOP_TASKRUN };
FIXTURE_VARIANT_ADD(faults, polled) { IORING_SETUP_SQPOLL };

FIXTURE_SETUP(faults)
{
	const char *missing = uring_missing();

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->c.space, AREA, 0));
	ASSERT_EQ(0, io_uring_queue_init(16, &self->c.ring, variant->flags));
	ASSERT_EQ(0, uring_open_faults(&self->c.ring, &self->c.faults));
}

FIXTURE_TEARDOWN(faults)
{
	io_uring_queue_exit(&self->c.ring);
	space_close(&self->c.space);
	free(self->c.faults.buffers);
}

/* One who needs pages, and what he found in them. */
struct toucher {
	pthread_t thread;
	char *dst;
	unsigned int first;
	const char *differ;
};

static void *touch_one_by_one(void *arg)
{
	struct toucher *t = arg;
	size_t i;

	t->differ = "";
	for (i = 0; i < EACH && !*t->differ; i++)
		t->differ = pages_differ(t->dst + (t->first + i) * PAGE, 1, t->first + i + 1);
	return NULL;
}

/* One move for all that a read has brought. */
static void prep_batch(struct io_uring_sqe *sqe, const struct space *s, struct batch *batch,
		       const struct uffd_msg *msgs, size_t nr)
{
	size_t i;

	batch->arg = vector_arg(batch->ranges, nr, UFFDIO_MOVEV_MODE_GO_ON);
	for (i = 0; i < nr; i++) {
		__u64 dst = msgs[i].arg.pagefault.address & -PAGE;

		batch->ranges[i] = (struct uffdio_movev_range) {
			.dst = dst,
			.src = dst - (uintptr_t)s->dst + (uintptr_t)s->src,
			.len = PAGE,
		};
	}
	uring_prep(sqe, s->uffd, UFFDIO_MOVEV, &batch->arg);
}

static void prep_read(struct collector *c)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&c->ring);

	uring_prep_faults(sqe, c->space.uffd);
	io_uring_sqe_set_data64(sqe, READ);
}

static void handle(struct __test_metadata *_metadata, struct collector *c,
		   const struct io_uring_cqe *cqe)
{
	unsigned int buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
	struct io_uring_sqe *sqe;

	if (cqe->user_data != READ) {
		ASSERT_EQ(0, cqe->res);
		c->moved += c->batches[cqe->user_data].arg.done;
		uring_give_back(&c->faults, cqe->user_data);
		return;
	}
	/* The thread that polls has other work at times, which ends a read as a signal does. */
	ASSERT_TRUE(cqe->res > 0 || cqe->res == -ENOBUFS || cqe->res == -EINTR)
		TH_LOG("read: %d", cqe->res);
	if (cqe->res > 0) {
		sqe = io_uring_get_sqe(&c->ring);
		prep_batch(sqe, &c->space, &c->batches[buffer], c->faults.msgs[buffer],
			   cqe->res / sizeof(struct uffd_msg));
		io_uring_sqe_set_data64(sqe, buffer);
	}
	if (!(cqe->flags & IORING_CQE_F_MORE))
		prep_read(c);
}

TEST_F_TIMEOUT(faults, read_and_moved_by_one_call, PATIENCE)
{
	struct toucher touchers[THREADS];
	struct space *s = &self->c.space;
	struct io_uring_cqe *cqe;
	size_t i, calls = 0;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, THREADS * EACH));
	prep_read(&self->c);
	for (i = 0; i < THREADS; i++) {
		touchers[i].dst = s->dst;
		touchers[i].first = i * EACH;
		ASSERT_EQ(0, pthread_create(&touchers[i].thread, NULL, touch_one_by_one,
					    &touchers[i]));
	}
	for (; self->c.moved < THREADS * EACH; calls++) {
		ASSERT_LE(0, io_uring_submit_and_wait(&self->c.ring, 1));
		while (!io_uring_peek_cqe(&self->c.ring, &cqe)) {
			handle(_metadata, &self->c, cqe);
			io_uring_cqe_seen(&self->c.ring, cqe);
		}
	}
	for (i = 0; i < THREADS; i++) {
		ASSERT_EQ(0, pthread_join(touchers[i].thread, NULL));
		EXPECT_STREQ("", touchers[i].differ);
	}
	EXPECT_EQ(THREADS * EACH, self->c.moved);
	/* One by one it takes a call to read a fault and one to resolve it. */
	EXPECT_GT(2 * THREADS * EACH, calls);
}

/* Pages of a kind that are moved back and forth by workers, in big pieces. */
static void submit_many(struct io_uring *ring, struct space *s, struct uffdio_move *moves,
			size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

		moves[i] = (struct uffdio_move) {
			.dst = (uintptr_t)s->dst + i * EACH_MOVE * PAGE,
			.src = (uintptr_t)s->src + i * EACH_MOVE * PAGE,
			.len = EACH_MOVE * PAGE,
			.move = MOVE_CANARY,
		};
		uring_prep(sqe, s->uffd, UFFDIO_MOVE, &moves[i]);
		sqe->flags |= IOSQE_ASYNC;
	}
	io_uring_submit(ring);
}

/* Each page is at one of both addresses, and as it was. */
static size_t arrived(struct __test_metadata *_metadata, struct space *s)
{
	size_t i, n = 0;

	for (i = 0; i < AREA; i++) {
		bool there = all_pages(s->dst + i * PAGE, 1, PM_PRESENT, PM_PRESENT);
		char *page = (there ? s->dst : s->src) + i * PAGE;

		ASSERT_NE(there, all_pages(s->src + i * PAGE, 1, PM_PRESENT, PM_PRESENT));
		ASSERT_STREQ("", pages_differ(page, 1, i + 1));
		n += there;
	}
	return n;
}

/* Until the last user of the descriptor has gone. */
static bool is_registered(const char *addr)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	bool found = false, registered = false;
	unsigned long start, end;
	char line[500];

	while (file && !registered && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			found = (uintptr_t)addr >= start && (uintptr_t)addr < end;
		registered = found && !strncmp(line, "VmFlags:", 8) && strstr(line, " um");
	}
	if (file)
		fclose(file);
	return registered;
}

TEST_F_TIMEOUT(faults, ring_ends_under_way, PATIENCE)
{
	struct uffdio_move moves[MOVES];
	struct space *s = &self->c.space;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, AREA));
	submit_many(&self->c.ring, s, moves, MOVES);
	while (all_pages(s->dst, 1, PM_PRESENT, 0))
		sched_yield();
	io_uring_queue_exit(&self->c.ring);
	/* What is under way has the descriptor as well. */
	close(s->uffd);
	s->uffd = -1;
	while (is_registered(s->dst))
		usleep(1000);
	EXPECT_LT(0, arrived(_metadata, s));
	ASSERT_EQ(0, io_uring_queue_init(16, &self->c.ring, 0));
}

TEST_F_TIMEOUT(faults, descriptor_is_closed_under_way, PATIENCE)
{
	struct uffdio_move moves[MOVES];
	struct space *s = &self->c.space;
	struct io_uring_cqe *cqe;
	const bool polled = variant->flags & IORING_SETUP_SQPOLL;
	size_t i, done = 0;
	int uffd = fcntl(s->uffd, F_DUPFD_CLOEXEC, 0);

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, AREA));
	submit_many(&self->c.ring, s, moves, MOVES);
	close(s->uffd);
	s->uffd = uffd;
	for (i = 0; i < MOVES; i++) {
		ASSERT_EQ(0, io_uring_wait_cqe(&self->c.ring, &cqe));
		/* The kernel's thread for the ring looks the descriptor up when it comes to it. */
		EXPECT_TRUE(!cqe->res || (cqe->res == -EBADF && polled))
			TH_LOG("%d", cqe->res);
		done += !cqe->res;
		io_uring_cqe_seen(&self->c.ring, cqe);
	}
	ASSERT_EQ(0, uffd_unregister(s->uffd, s->dst, s->pages * PAGE));
	EXPECT_EQ(done * EACH_MOVE, arrived(_metadata, s));
}

/* What a child leaves to its parent, in shared memory. */
struct will {
	bool moving;
	__u64 view[AREA];
};

static int move_until_killed(struct will *will)
{
	struct uffdio_move moves[MOVES];
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	struct space s;
	size_t i;
	char *src;

	if (space_open(&s, AREA, 0) || make_kind(&s, KIND_SMALL, 0, AREA) ||
	    look(s.src, AREA, will->view) || space_register_source(&s) ||
	    io_uring_queue_init(16, &ring, 0))
		return 1;
	for (;;) {
		submit_many(&ring, &s, moves, MOVES);
		__atomic_store_n(&will->moving, true, __ATOMIC_RELEASE);
		for (i = 0; i < MOVES; i++) {
			if (io_uring_wait_cqe(&ring, &cqe) || cqe->res)
				return 1;
			io_uring_cqe_seen(&ring, cqe);
		}
		src = s.src;
		s.src = s.dst;
		s.dst = src;
	}
}

TEST_F_TIMEOUT(faults, process_is_killed_under_way, PATIENCE)
{
	struct will *will = mmap(NULL, sizeof(*will), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status, i;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, will);
	for (i = 0; i < 5; i++) {
		will->moving = false;
		pid = fork();
		if (!pid)
			_exit(move_until_killed(will));
		ASSERT_LT(0, pid);
		while (!__atomic_load_n(&will->moving, __ATOMIC_ACQUIRE) &&
		       !waitpid(pid, &status, WNOHANG))
			usleep(1000);
		usleep(rand() % 20000);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status))
			TH_LOG("status %#x", status);
		EXPECT_EQ(0, frames_kept(will->view, AREA));
	}
	munmap(will, sizeof(*will));
}

TEST_HARNESS_MAIN
