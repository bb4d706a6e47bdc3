// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of tools/anon_move/mremap_move.h: what its calls do, return and leave in errno.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "../../anon_move/mremap_move.h"

#define PAGE	4096UL
#define AREA	4UL
#define MUST	MREMAP_MUST_RELOCATE_ANON

static char *map(int flags)
{
	return mmap(NULL, AREA * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
}

FIXTURE(areas)
{
	char *src;	/* 'a', 'b', a hole, 'd' */
	char *dst;
};

FIXTURE_SETUP(areas)
{
	self->src = map(MAP_PRIVATE);
	self->dst = map(MAP_PRIVATE);
	ASSERT_NE(MAP_FAILED, self->src);
	ASSERT_NE(MAP_FAILED, self->dst);
	self->src[0] = 'a';
	self->src[PAGE] = 'b';
	self->src[3 * PAGE] = 'd';
	errno = 0;
}

FIXTURE_TEARDOWN(areas)
{
	munmap(self->src, AREA * PAGE);
	munmap(self->dst, AREA * PAGE);
}

TEST_F(areas, move_tells_how_far_it_came)
{
	EXPECT_EQ(0, mremap_move(self->dst, self->src, 0, 0));
	EXPECT_EQ((ssize_t)(2 * PAGE), mremap_move(self->dst, self->src, AREA * PAGE, 0));
	EXPECT_EQ('a', self->dst[0]);
	EXPECT_EQ('b', self->dst[PAGE]);
	EXPECT_EQ(0, self->src[0]);
}

TEST_F(areas, move_passes_over_holes)
{
	EXPECT_EQ((ssize_t)(AREA * PAGE),
		  mremap_move(self->dst, self->src, AREA * PAGE, MREMAP_ONLYPAGES_HOLES));
	EXPECT_EQ('d', self->dst[3 * PAGE]);
}

TEST_F(areas, move_tells_what_is_in_the_way)
{
	EXPECT_EQ(-1, mremap_move(self->dst, self->src + 2 * PAGE, PAGE, 0));
	EXPECT_EQ(ENOENT, errno);
	self->dst[0] = 'e';
	EXPECT_EQ(-1, mremap_move(self->dst, self->src, PAGE, 0));
	EXPECT_EQ(EEXIST, errno);
	EXPECT_EQ(-1, mremap_move(self->dst + 1, self->src, PAGE, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ('a', self->src[0]);
	EXPECT_EQ('e', self->dst[0]);
}

TEST_F(areas, relocate_moves_the_mapping)
{
	self->dst[0] = 'e';
	EXPECT_EQ(0, mremap_relocate(self->dst, self->src, AREA * PAGE, MUST));
	EXPECT_EQ('a', self->dst[0]);
	EXPECT_EQ('d', self->dst[3 * PAGE]);
	EXPECT_EQ(-1, msync(self->src, PAGE, MS_ASYNC));
	EXPECT_EQ(ENOMEM, errno);
}

TEST_F(areas, relocate_tells_that_it_can_not)
{
	char *shared = map(MAP_SHARED);

	ASSERT_NE(MAP_FAILED, shared);
	shared[0] = 's';
	EXPECT_EQ(-1, mremap_relocate(self->dst, shared, AREA * PAGE, MUST));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0, mremap_relocate(self->dst, shared, AREA * PAGE, MREMAP_RELOCATE_ANON));
	EXPECT_EQ('s', self->dst[0]);
}

/* Whatever page it is asked with. */
TEST_F(areas, the_kernel_has_both)
{
	EXPECT_EQ(1, mremap_can_move());
	EXPECT_EQ(1, mremap_can_relocate(self->src));
	EXPECT_EQ('a', self->src[0]);
	ASSERT_EQ(0, munmap(self->src, PAGE));
	EXPECT_EQ(1, mremap_can_relocate(self->src));
}

TEST_HARNESS_MAIN
