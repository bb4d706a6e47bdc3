// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of fs/userfaultfd_move.c: what it refuses, whom it wakes, what it returns and writes.
 */

#include "kselftest_harness.h"

#include "../../../../fs/userfaultfd_move.c"

#define TASK_SIZE	BIT(47)
#define DST		BIT(30)
#define SRC		BIT(31)
#define LEN		(16 * PAGE_SIZE)
#define UNWRITTEN	0x5ca1ab1e

struct task_struct this_task;
const void *faults_at;
int user_access;
bool is_64bit = true;

/* What the engine was asked for, what it answers, and whether it may run at all. */
static struct anon_move_request asked;
static int calls;
static ssize_t answer;

static unsigned long woken_start, woken_len;

ssize_t anon_move_pages(struct anon_move_request *req)
{
	asked = *req;
	calls++;
	return answer;
}

unsigned long copy_from_user(void *to, const void *from, unsigned long n)
{
	memcpy(to, from, n);
	return 0;
}

void userfaultfd_wake_moved(struct userfaultfd_ctx *ctx, unsigned long start, unsigned long len)
{
	(void)ctx;
	woken_start = start;
	woken_len = len;
}

FIXTURE(ioctl)
{
	struct mm_struct mm;
	struct userfaultfd_ctx ctx;
	struct uffdio_move *move;
};

FIXTURE_SETUP(ioctl)
{
	self->mm.task_size = TASK_SIZE;
	self->ctx.mm = &self->mm;
	self->ctx.move_key = 7;
	this_task.mm = &self->mm;
	/* On the heap, where ASan sees a byte read beyond it. */
	self->move = malloc(sizeof(*self->move));
	*self->move = (struct uffdio_move){ .dst = DST, .src = SRC, .len = LEN, .move = UNWRITTEN };
	answer = LEN;
}

FIXTURE_TEARDOWN(ioctl)
{
	EXPECT_EQ(0, user_access);
	free(self->move);
}

#define CALL() userfaultfd_anon_move(&self->ctx, (unsigned long)self->move)

TEST_F(ioctl, asks_the_engine_and_wakes)
{
	EXPECT_EQ(0, CALL());
	EXPECT_EQ(1, calls);
	EXPECT_EQ(&self->mm, asked.mm);
	EXPECT_EQ(7, asked.key);
	EXPECT_EQ(DST, asked.dst);
	EXPECT_EQ(SRC, asked.src);
	EXPECT_EQ(LEN, asked.len);
	EXPECT_EQ(0, asked.flags);
	EXPECT_EQ(LEN, self->move->move);
	EXPECT_EQ(DST, woken_start);
	EXPECT_EQ(LEN, woken_len);
}

/* As on 32 bits, where half of all addresses is more than a ssize_t can tell. */
TEST_F(ioctl, bytes_moved_are_never_negative)
{
	is_64bit = false;
	self->mm.task_size = -PAGE_SIZE;
	self->move->dst = 0;
	self->move->src = 0;
	self->move->len = BIT(63);
	answer = BIT(63) - PAGE_SIZE;
	EXPECT_EQ(-EAGAIN, CALL());
	EXPECT_EQ(answer, asked.len);
	EXPECT_EQ(answer, self->move->move);
	EXPECT_EQ(answer, woken_len);
}

TEST_F(ioctl, part_is_eagain)
{
	answer = PAGE_SIZE;
	EXPECT_EQ(-EAGAIN, CALL());
	EXPECT_EQ(PAGE_SIZE, self->move->move);
	EXPECT_EQ(PAGE_SIZE, woken_len);
}

TEST_F(ioctl, error_is_returned_and_written)
{
	answer = -EBUSY;
	EXPECT_EQ(-EBUSY, CALL());
	EXPECT_EQ(-EBUSY, self->move->move);
	EXPECT_EQ(0, woken_len);
}

TEST_F(ioctl, nobody_is_woken_who_does_not_wait)
{
	self->move->mode = UFFDIO_MOVE_MODE_DONTWAKE;
	EXPECT_EQ(0, CALL());
	self->move->mode = 0;
	self->ctx.features = UFFD_FEATURE_SIGBUS;
	EXPECT_EQ(0, CALL());
	EXPECT_EQ(2, calls);
	EXPECT_EQ(0, woken_len);
}

TEST_F(ioctl, holes_are_allowed_by_mode)
{
	self->move->mode = UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES;
	EXPECT_EQ(0, CALL());
	EXPECT_EQ(ANON_MOVE_ALLOW_HOLES, asked.flags);
}

TEST_F(ioctl, any_other_mode_bit_is_invalid)
{
	const u64 known = UFFDIO_MOVE_MODE_DONTWAKE | UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES;

	for (u64 bit = 1; bit; bit <<= 1)
		if (!(bit & known)) {
			self->move->mode = bit | known;
			EXPECT_EQ(-EINVAL, CALL());
		}
	EXPECT_EQ(0, calls);
}

TEST_F(ioctl, R13_output_is_written_for_bad_arguments)
{
	self->move->len = 0;
	EXPECT_EQ(-EINVAL, CALL());
	EXPECT_EQ(-EINVAL, self->move->move);
	self->ctx.mmap_changing.counter = 1;
	EXPECT_EQ(-EAGAIN, CALL());
	EXPECT_EQ(-EAGAIN, self->move->move);
	EXPECT_EQ(0, calls);
}

TEST_F(ioctl, another_process_is_refused)
{
	struct mm_struct other = self->mm;

	this_task.mm = &other;
	EXPECT_EQ(-EINVAL, CALL());
	EXPECT_EQ(0, calls);
}

TEST_F(ioctl, fault_on_any_field_moves_nothing)
{
	const void *fields[] = {
		&self->move->dst, &self->move->src, &self->move->len, &self->move->mode,
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		faults_at = fields[i];
		EXPECT_EQ(-EFAULT, CALL());
		EXPECT_EQ(0, user_access);
	}
	EXPECT_EQ(-EFAULT, userfaultfd_anon_move(&self->ctx, 0));
	EXPECT_EQ(0, calls);
	EXPECT_EQ(UNWRITTEN, self->move->move);
}

/* Who waits for the page must not wait for ever because the mover's memory went away. */
TEST_F(ioctl, fault_on_the_output_comes_after_the_wake)
{
	faults_at = &self->move->move;
	EXPECT_EQ(-EFAULT, CALL());
	EXPECT_EQ(LEN, woken_len);
}

struct range_case {
	u64 start, len;
	bool valid;
};

static const struct range_case range_cases[] = {
	{ 0, PAGE_SIZE, true },
	{ 0, TASK_SIZE, true },
	{ TASK_SIZE - PAGE_SIZE, PAGE_SIZE, true },
	{ DST, 0, false },
	{ DST, 1, false },
	{ DST, PAGE_SIZE + 1, false },
	{ DST + 1, PAGE_SIZE, false },
	{ DST + PAGE_SIZE / 2, PAGE_SIZE, false },
	{ TASK_SIZE, PAGE_SIZE, false },
	{ TASK_SIZE - PAGE_SIZE, 2 * PAGE_SIZE, false },
	{ PAGE_SIZE, TASK_SIZE, false },
	/* Their sum wraps. */
	{ DST, -DST, false },
	{ DST, -PAGE_SIZE, false },
	{ -PAGE_SIZE, PAGE_SIZE, false },
	{ -PAGE_SIZE, 2 * PAGE_SIZE, false },
	{ BIT(63), BIT(63), false },
};

TEST_F(ioctl, ranges_are_aligned_and_of_user_space)
{
	for (size_t i = 0; i < ARRAY_SIZE(range_cases); i++) {
		const struct range_case *c = &range_cases[i];

		/* The same for either range. */
		self->move->len = c->len;
		self->move->dst = c->start;
		self->move->src = 0;
		EXPECT_EQ(c->valid, move_valid(&self->ctx, self->move)) {
			TH_LOG("%llx + %llx", c->start, c->len);
		}
		self->move->dst = 0;
		self->move->src = c->start;
		EXPECT_EQ(c->valid, move_valid(&self->ctx, self->move));
	}
}

/* By io_uring: what the submitter does, and the worker after him. */
#define SUBMIT(progress) move_on(&self->ctx, self->move, progress, true)
#define WORK(progress) move_on(&self->ctx, self->move, progress, false)

static int move_on(struct userfaultfd_ctx *ctx, struct uffdio_move *move,
		   struct userfaultfd_move_progress *progress, bool no_wait)
{
	progress->no_wait = no_wait;
	progress->again = false;
	return userfaultfd_move_on(ctx, move, progress);
}

TEST_F(ioctl, submitter_ends_what_needs_no_wait)
{
	const ssize_t finals[] = { -ENOENT, -EEXIST, -EFAULT, -EINVAL, -EINTR };
	struct userfaultfd_move_progress progress = { };

	EXPECT_EQ(0, SUBMIT(&progress));
	EXPECT_FALSE(progress.again);
	EXPECT_EQ(ANON_MOVE_NO_WAIT, asked.flags);
	EXPECT_EQ(LEN, self->move->move);
	for (size_t i = 0; i < ARRAY_SIZE(finals); i++) {
		answer = finals[i];
		EXPECT_EQ(finals[i], SUBMIT(&progress));
		EXPECT_FALSE(progress.again);
		EXPECT_EQ(finals[i], self->move->move);
	}
}

TEST_F(ioctl, worker_goes_on_where_the_submitter_ended)
{
	struct userfaultfd_move_progress progress = { };

	answer = 3 * PAGE_SIZE;
	EXPECT_EQ(-EAGAIN, SUBMIT(&progress));
	EXPECT_TRUE(progress.again);
	EXPECT_EQ(3 * PAGE_SIZE, self->move->move);
	EXPECT_EQ(3 * PAGE_SIZE, woken_len);
	answer = LEN - 3 * PAGE_SIZE;
	EXPECT_EQ(0, WORK(&progress));
	EXPECT_FALSE(progress.again);
	EXPECT_EQ(0, asked.flags);
	EXPECT_EQ(DST + 3 * PAGE_SIZE, asked.dst);
	EXPECT_EQ(SRC + 3 * PAGE_SIZE, asked.src);
	EXPECT_EQ(answer, asked.len);
	EXPECT_EQ(DST + 3 * PAGE_SIZE, woken_start);
	EXPECT_EQ(answer, woken_len);
	EXPECT_EQ(LEN, self->move->move);
}

TEST_F(ioctl, what_the_submitter_has_moved_counts)
{
	struct userfaultfd_move_progress progress = { .moved = 3 * PAGE_SIZE };

	answer = -EEXIST;
	EXPECT_EQ(-EAGAIN, WORK(&progress));
	EXPECT_FALSE(progress.again);
	EXPECT_EQ(3 * PAGE_SIZE, self->move->move);
	EXPECT_EQ(0, woken_len);
}

TEST_F(ioctl, less_than_has_moved_is_invalid)
{
	struct userfaultfd_move_progress progress = { .moved = LEN + PAGE_SIZE };

	EXPECT_EQ(-EAGAIN, WORK(&progress));
	EXPECT_EQ(LEN + PAGE_SIZE, self->move->move);
	EXPECT_EQ(0, calls);
}

TEST_F(ioctl, what_may_pass_or_is_long_is_for_the_worker)
{
	const ssize_t passing[] = { -EAGAIN, -EBUSY, -ENOMEM };
	struct userfaultfd_move_progress progress = { };

	for (size_t i = 0; i < ARRAY_SIZE(passing); i++) {
		answer = passing[i];
		EXPECT_EQ(passing[i], SUBMIT(&progress));
		EXPECT_TRUE(progress.again);
		EXPECT_EQ(0, progress.moved);
		EXPECT_EQ(passing[i], WORK(&progress));
		EXPECT_FALSE(progress.again);
	}
	calls = 0;
	self->move->len = SZ_2M + PAGE_SIZE;
	EXPECT_EQ(-EAGAIN, SUBMIT(&progress));
	EXPECT_TRUE(progress.again);
	EXPECT_EQ(0, calls);
}

TEST_F(ioctl, V5_V6_checks)
{
	struct vm_area_struct vma = { .vm_userfaultfd_ctx.ctx = &self->ctx };
	struct userfaultfd_ctx other = self->ctx;

	EXPECT_EQ(0, CALL());
	EXPECT_EQ(&self->ctx.map_changing_lock, asked.lock);
	EXPECT_EQ(0, asked.check(&asked, &vma, &vma));
	self->ctx.mmap_changing.counter = 1;
	EXPECT_EQ(-EAGAIN, asked.check(&asked, &vma, &vma));
	self->ctx.mmap_changing.counter = 0;
	vma.vm_userfaultfd_ctx.ctx = &other;
	EXPECT_EQ(-EINVAL, asked.check(&asked, &vma, &vma));
	vma.vm_userfaultfd_ctx.ctx = NULL;
	EXPECT_EQ(-EINVAL, asked.check(&asked, &vma, &vma));
}

TEST_HARNESS_MAIN
