// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of mm/anon_move/mremap.c: what it refuses and returns, how it gets from VMA to VMA.
 */

#include "kselftest_harness.h"
#include "page_tables.h"
#include "../../../../mm/anon_move/mremap.c"

#define DST		BIT(30)
#define SRC		BIT(31)
#define PAGES		24
#define TASK_SIZE	BIT(47)
#define LEN		(PAGES * PAGE_SIZE)
#define FLAGS		(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_ONLYPAGES)
#define VMAS		4

struct task_struct this_task;
const void *faults_at;
int user_access;
bool is_64bit = true;
bool is_compat;
unsigned long jiffies;

/* What there is to move between, and what the engine was called for. */
static struct {
	struct vm_area_struct dst[VMAS];
	struct vm_area_struct src[VMAS];
	unsigned long obstacle;	/* page that can't move */
	unsigned long flags;
	bool kills;
	int calls;
} world;

static const struct vm_area_struct *vma_of(const struct vm_area_struct *vmas, unsigned long addr)
{
	int i;

	for (i = 0; i < VMAS; i++) {
		if (addr >= vmas[i].vm_start && addr < vmas[i].vm_end)
			return &vmas[i];
	}
	return NULL;
}

static unsigned long least(unsigned long a, unsigned long b)
{
	return a < b ? a : b;
}

ssize_t anon_move_pages(struct anon_move_request *req)
{
	const struct vm_area_struct *dst_vma = vma_of(world.dst, req->dst);
	const struct vm_area_struct *src_vma = vma_of(world.src, req->src);
	unsigned long end = SRC + world.obstacle * PAGE_SIZE;
	int error;

	world.calls++;
	world.flags = req->flags;
	if (!dst_vma || !src_vma)
		return -EFAULT;
	error = req->check(req, dst_vma, src_vma);
	if (error)
		return error;
	/* The caller would be told of -EINVAL. */
	assert(req->len && req->flags & ANON_MOVE_SPAN);
	req->len = least(req->len, dst_vma->vm_end - req->dst);
	req->len = least(req->len, src_vma->vm_end - req->src);
	this_task.killed = world.kills;
	if (end < req->src || end >= req->src + req->len)
		return req->len;
	return end > req->src ? end - req->src : -EBUSY;
}

static void divide(struct vm_area_struct *vmas, unsigned long start, const unsigned int *pages)
{
	int i;

	for (i = 0; i < VMAS; i++) {
		vmas[i] = (struct vm_area_struct){
			.vm_start = start, .vm_end = start + pages[i] * PAGE_SIZE
		};
		start = vmas[i].vm_end;
	}
}

FIXTURE(mremap)
{
	struct mm_struct mm;
};

FIXTURE_SETUP(mremap)
{
	static const unsigned int dst[VMAS] = { 5, 5, 10, 4 }, src[VMAS] = { 3, 2, 11, 8 };

	self->mm.task_size = TASK_SIZE;
	this_task.mm = &self->mm;
	divide(world.dst, DST, dst);
	divide(world.src, SRC, src);
	world.obstacle = PAGES;
}

FIXTURE_TEARDOWN(mremap)
{
}

static long move(unsigned long flags)
{
	return anon_move_mremap(SRC, LEN, LEN, flags, DST);
}

TEST_F(mremap, goes_from_pair_to_pair)
{
	EXPECT_EQ(LEN, move(FLAGS));
	/* Eight VMAs end, at six places. */
	EXPECT_EQ(6, world.calls);
	EXPECT_EQ(ANON_MOVE_UNMAPPED_EFAULT | ANON_MOVE_SPAN, world.flags);
	EXPECT_EQ(LEN, move(FLAGS | MREMAP_ONLYPAGES_HOLES));
	EXPECT_EQ(ANON_MOVE_UNMAPPED_EFAULT | ANON_MOVE_SPAN | ANON_MOVE_ALLOW_HOLES, world.flags);
}

TEST_F(mremap, returns_what_was_moved_then_why_not_more)
{
	unsigned long i, at;

	for (i = 0; i < PAGES; i++) {
		world.obstacle = i;
		at = i * PAGE_SIZE;
		EXPECT_EQ(i ? (long)at : -EBUSY, move(FLAGS));
		EXPECT_EQ(-EBUSY, anon_move_mremap(SRC + at, LEN - at, LEN - at, FLAGS, DST + at));
	}
}

TEST_F(mremap, what_is_not_mapped_ends_it)
{
	world.src[2].vm_start += PAGE_SIZE;
	EXPECT_EQ(5 * PAGE_SIZE, move(FLAGS));
	world.dst[0].vm_start += PAGE_SIZE;
	EXPECT_EQ(-EFAULT, move(FLAGS));
}

TEST_F(mremap, what_is_sealed_ends_it)
{
	world.dst[2].vm_flags = VM_SEALED;
	EXPECT_EQ(10 * PAGE_SIZE, move(FLAGS));
	world.src[0].vm_flags = VM_SEALED;
	EXPECT_EQ(-EPERM, move(FLAGS));
}

TEST_F(mremap, a_signal_ends_it)
{
	world.kills = true;
	EXPECT_EQ(3 * PAGE_SIZE, move(FLAGS));
	EXPECT_EQ(1, world.calls);
}

TEST_F(mremap, each_other_set_of_flags_is_refused)
{
	unsigned int bit;

	for (bit = 0; bit < 64; bit++) {
		if (BIT(bit) != MREMAP_ONLYPAGES_HOLES)
			EXPECT_EQ(-EINVAL, move(FLAGS ^ BIT(bit)));
	}
	EXPECT_EQ(0, world.calls);
}

TEST_F(mremap, bad_ranges_are_refused)
{
	EXPECT_EQ(-EINVAL, anon_move_mremap(SRC + 8, LEN, LEN, FLAGS, DST));
	EXPECT_EQ(-EINVAL, anon_move_mremap(SRC, LEN, LEN, FLAGS, DST + 8));
	EXPECT_EQ(-EINVAL, anon_move_mremap(SRC, LEN + 8, LEN + 8, FLAGS, DST));
	EXPECT_EQ(-EINVAL, anon_move_mremap(SRC, LEN, LEN + PAGE_SIZE, FLAGS, DST));
	EXPECT_EQ(-EINVAL, anon_move_mremap(TASK_SIZE, LEN, LEN, FLAGS, DST));
	EXPECT_EQ(-EINVAL, anon_move_mremap(SRC, LEN, LEN, FLAGS, TASK_SIZE - LEN + PAGE_SIZE));
	EXPECT_EQ(-EINVAL, anon_move_mremap(SRC, -PAGE_SIZE, -PAGE_SIZE, FLAGS, DST));
	EXPECT_EQ(0, world.calls);
	EXPECT_EQ(-EFAULT, anon_move_mremap(SRC, LEN, LEN, FLAGS, TASK_SIZE - LEN));
}

/* How a program asks whether there is such a call. */
TEST_F(mremap, nothing_is_zero_bytes)
{
	EXPECT_EQ(0, anon_move_mremap(0, 0, 0, FLAGS, 0));
	EXPECT_EQ(0, world.calls);
}

/* Where half of all addresses is more than a long of the caller's can tell. */
TEST_F(mremap, bytes_moved_are_never_negative)
{
	self->mm.task_size = BIT(31) + BIT(30);
	world.dst[0] = (struct vm_area_struct){ .vm_end = -PAGE_SIZE };
	world.src[0] = world.dst[0];
	world.obstacle = BIT(31) / PAGE_SIZE;
	EXPECT_EQ(BIT(31), anon_move_mremap(0, BIT(31), BIT(31), FLAGS, 0));
	is_64bit = false;
	EXPECT_EQ(INT_MAX & PAGE_MASK, anon_move_mremap(0, BIT(31), BIT(31), FLAGS, 0));
	is_64bit = true;
	is_compat = true;
	EXPECT_EQ(INT_MAX & PAGE_MASK, anon_move_mremap(0, BIT(31), BIT(31), FLAGS, 0));
	is_compat = false;
}

TEST_HARNESS_MAIN
