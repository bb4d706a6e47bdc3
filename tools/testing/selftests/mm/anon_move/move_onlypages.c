// SPDX-License-Identifier: GPL-2.0
/*
 * MREMAP_ONLYPAGES: what it returns for each way to stop, and what it needs no descriptor for.
 *
 * That pages of every kind arrive is for the tests of UFFDIO_MOVE to show, with
 * ANON_MOVE_DOOR=onlypages in the environment.
 */
#include <fcntl.h>
#include <linux/anon_move.h>
#include <linux/mman.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#define AREA	(2 * PMD_PAGES)
#define MADE	16		/* pages in the source */
#define NOBODY	65534

static const char *onlypages_missing(void)
{
	const char *missing = move_missing();

	if (missing)
		return missing;
	return move_only_pages(NULL, NULL, 0, 0) ? "no MREMAP_ONLYPAGES in this kernel" : NULL;
}

/* Two areas that nobody has registered. */
FIXTURE(onlypages)
{
	struct space space;
	long long calls;
};

FIXTURE_SETUP(onlypages)
{
	struct space *s = &self->space;
	const char *missing = onlypages_missing();

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(s, AREA, 0));
	ASSERT_EQ(0, uffd_unregister(s->uffd, s->dst, AREA * PAGE));
	ASSERT_EQ(0, close(s->uffd));
	s->uffd = -1;
	ASSERT_EQ(0, madvise(s->dst, AREA * PAGE, MADV_NOHUGEPAGE));
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, MADE));
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(onlypages)
{
	space_close(&self->space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

static long move(struct space *s, size_t to, size_t from, size_t pages)
{
	return move_only_pages(s->dst + to * PAGE, s->src + from * PAGE, pages * PAGE, 0);
}

/* The first @pages pages are at the destination, the others of those made at the source. */
static void expect_moved(struct __test_metadata *_metadata, struct space *s, size_t pages)
{
	EXPECT_TRUE(all_pages(s->src, pages, PM_PRESENT | PM_SWAP, 0));
	EXPECT_TRUE(all_pages(s->dst + pages * PAGE, MADE - pages, PM_PRESENT | PM_SWAP, 0));
	EXPECT_STREQ("", pages_differ(s->dst, pages, 1));
	EXPECT_STREQ("", pages_differ(s->src + pages * PAGE, MADE - pages, pages + 1));
}

TEST_F_TIMEOUT(onlypages, moves_without_a_descriptor, PATIENCE)
{
	struct space *s = &self->space;
	long long before = engine_count("moved_small");
	long vmas = vma_count();

	EXPECT_EQ((long)(MADE * PAGE), move(s, 0, 0, MADE));
	expect_moved(_metadata, s, MADE);
	EXPECT_EQ(vmas, vma_count());
	EXPECT_ENGINE(MADE, "moved_small", before);
	/* The source reads as never touched. */
	EXPECT_STREQ("", pages_differ(s->src, MADE, 0));
}

TEST_F_TIMEOUT(onlypages, part_is_bytes_then_the_reason, PATIENCE)
{
	struct space *s = &self->space;

	ASSERT_EQ((long)PAGE, move(s, 5, MADE - 1, 1));
	EXPECT_EQ((long)(5 * PAGE), move(s, 0, 0, MADE));
	EXPECT_EQ(-EEXIST, move(s, 5, 5, MADE - 5));
	EXPECT_STREQ("", pages_differ(s->dst, 5, 1));
	EXPECT_STREQ("", pages_differ(s->src + 5 * PAGE, MADE - 6, 6));
}

TEST_F_TIMEOUT(onlypages, holes_end_it_unless_allowed, PATIENCE)
{
	struct space *s = &self->space;

	EXPECT_EQ((long)(MADE * PAGE), move(s, 0, 0, MADE + 1));
	EXPECT_EQ(-ENOENT, move(s, MADE, MADE, 1));
	/* In places without a page table, too, and over a border of two. */
	EXPECT_EQ((long)(PMD + PAGE), move_only_pages(s->src, s->dst, PMD + PAGE,
						      MREMAP_ONLYPAGES_HOLES));
	EXPECT_STREQ("", pages_differ(s->src, MADE, 1));
}

TEST_F_TIMEOUT(onlypages, what_is_shared_stays, PATIENCE)
{
	struct space *s = &self->space;
	pid_t child = share_with_child();

	ASSERT_LT(0, child);
	EXPECT_EQ(-EBUSY, move(s, 0, 0, MADE));
	end_child(child);
	expect_moved(_metadata, s, 0);
}

TEST_F_TIMEOUT(onlypages, overlaps_like_single_pages, PATIENCE)
{
	struct space *s = &self->space;

	ASSERT_EQ((long)(MADE * PAGE), move(s, 3, 0, MADE));
	EXPECT_EQ((long)(MADE * PAGE), move_only_pages(s->dst, s->dst + 3 * PAGE, MADE * PAGE, 0));
	EXPECT_STREQ("", pages_differ(s->dst, MADE, 1));
	EXPECT_EQ(-EEXIST, move_only_pages(s->dst + 3 * PAGE, s->dst, MADE * PAGE, 0));
	EXPECT_EQ(-EEXIST, move_only_pages(s->dst, s->dst, PAGE, 0));
	EXPECT_STREQ("", pages_differ(s->dst, MADE, 1));
}

/* A VMA of its own for some pages, alike in all that matters to a move. */
static int divide(char *area, size_t page, size_t pages)
{
	return madvise(area + page * PAGE, pages * PAGE, MADV_DONTFORK);
}

TEST_F_TIMEOUT(onlypages, ranges_lie_in_several_vmas, PATIENCE)
{
	struct space *s = &self->space;
	long vmas;

	ASSERT_EQ(0, divide(s->src, 3, 2));
	ASSERT_EQ(0, divide(s->dst, 4, 5));
	vmas = vma_count();
	EXPECT_EQ((long)(MADE * PAGE), move(s, 0, 0, MADE));
	EXPECT_EQ(vmas, vma_count());
	expect_moved(_metadata, s, MADE);
}

TEST_F_TIMEOUT(onlypages, ends_where_nothing_is_mapped, PATIENCE)
{
	struct space *s = &self->space;

	ASSERT_EQ(0, munmap(s->dst + 7 * PAGE, PAGE));
	EXPECT_EQ((long)(7 * PAGE), move(s, 0, 0, MADE));
	EXPECT_EQ(-EFAULT, move(s, 7, 7, MADE - 7));
	ASSERT_EQ(0, munmap(s->src + 7 * PAGE, PAGE));
	EXPECT_EQ(-EFAULT, move(s, 8, 7, MADE - 7));
	EXPECT_STREQ("", pages_differ(s->dst, 7, 1));
	EXPECT_STREQ("", pages_differ(s->src + 8 * PAGE, MADE - 8, 9));
}

TEST_F_TIMEOUT(onlypages, ends_where_vmas_are_unlike, PATIENCE)
{
	struct space *s = &self->space;

	ASSERT_EQ(0, mprotect(s->src + 6 * PAGE, PAGE, PROT_READ));
	EXPECT_EQ((long)(6 * PAGE), move(s, 0, 0, MADE));
	EXPECT_EQ(-EINVAL, move(s, 6, 6, MADE - 6));
	ASSERT_EQ(0, mlock2(s->dst + 8 * PAGE, PAGE, MLOCK_ONFAULT));
	EXPECT_EQ((long)PAGE, move(s, 7, 7, 2));
	EXPECT_EQ(-EINVAL, move(s, 8, 8, 1));
	EXPECT_STREQ("", pages_differ(s->dst, 6, 1));
	EXPECT_STREQ("", pages_differ(s->dst + 7 * PAGE, 1, 8));
	EXPECT_STREQ("", pages_differ(s->src + 6 * PAGE, 1, 7));
	EXPECT_STREQ("", pages_differ(s->src + 8 * PAGE, MADE - 8, 9));
}

/* Only memory that is private, anonymous and may be written. */
TEST_F_TIMEOUT(onlypages, refuses_other_memory, PATIENCE)
{
	char *shared = mmap(NULL, PMD, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct space *s = &self->space;
	char *file, *code = (char *)((unsigned long)&onlypages_missing & -PAGE);
	int fd = memfd_create("onlypages", MFD_CLOEXEC);

	ASSERT_EQ(0, ftruncate(fd, PMD));
	file = mmap(NULL, PMD, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, shared);
	ASSERT_NE(MAP_FAILED, file);
	EXPECT_EQ(-EINVAL, move_only_pages(shared, s->src, PAGE, 0));
	EXPECT_EQ(-EINVAL, move_only_pages(s->dst, shared, PAGE, 0));
	EXPECT_EQ(-EINVAL, move_only_pages(file, s->src, PAGE, 0));
	EXPECT_EQ(-EINVAL, move_only_pages(s->dst, file, PAGE, 0));
	EXPECT_EQ(-EINVAL, move_only_pages(s->dst, code, PAGE, 0));
	expect_moved(_metadata, s, 0);
	close(fd);
	munmap(shared, PMD);
	munmap(file, PMD);
}

/* Reclaim may drop the pages of one, and never those of the other. */
TEST_F_TIMEOUT(onlypages, O11_droppable_is_unlike, PATIENCE)
{
	char *area = mmap(NULL, PMD, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_DROPPABLE, -1, 0);
	struct space *s = &self->space;

	if (area == MAP_FAILED)
		SKIP(return, "no droppable mappings here");
	EXPECT_EQ(-EINVAL, move_only_pages(area, s->src, PAGE, 0));
	fill_pages(area + PAGE, 1, 1);
	EXPECT_EQ(-EINVAL, move_only_pages(s->dst, area + PAGE, PAGE, 0));
	EXPECT_EQ((long)PAGE, move_only_pages(area, area + PAGE, PAGE, 0));
	expect_moved(_metadata, s, 0);
	munmap(area, PMD);
}

#ifndef __NR_mseal
#define __NR_mseal 462
#endif

TEST_F_TIMEOUT(onlypages, sealed_is_eperm, PATIENCE)
{
	struct space *s = &self->space;

	if (syscall(__NR_mseal, s->src + 4 * PAGE, PAGE, 0))
		SKIP(return, "no mseal() in this kernel");
	EXPECT_EQ((long)(4 * PAGE), move(s, 0, 0, MADE));
	EXPECT_EQ(-EPERM, move(s, 4, 4, 1));
	ASSERT_EQ(0, syscall(__NR_mseal, s->dst + 8 * PAGE, PAGE, 0));
	EXPECT_EQ((long)(3 * PAGE), move(s, 5, 5, MADE - 5));
	EXPECT_EQ(-EPERM, move(s, 8, 8, MADE - 8));
	EXPECT_STREQ("", pages_differ(s->src + 4 * PAGE, 1, 5));
	EXPECT_STREQ("", pages_differ(s->src + 8 * PAGE, MADE - 8, 9));
}

static long call(struct space *s, int flags, size_t old_len, size_t new_len)
{
	return syscall(__NR_mremap, s->src, old_len, new_len, flags, s->dst) == -1 ? -errno : 0;
}

/* In particular nothing is unmapped, which is what MREMAP_FIXED is for elsewhere. */
TEST_F_TIMEOUT(onlypages, bad_calls_are_einval, PATIENCE)
{
	const int all = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_ONLYPAGES;
	struct space *s = &self->space;
	unsigned int bit;

	for (bit = 0; bit < 31; bit++) {
		if (1 << bit == MREMAP_ONLYPAGES || 1 << bit == MREMAP_ONLYPAGES_HOLES)
			continue;
		EXPECT_EQ(-EINVAL, call(s, all ^ 1 << bit, MADE * PAGE, MADE * PAGE))
			TH_LOG("flag %#x", 1 << bit);
	}
	/* Nor does the one flag mean anything without the other. */
	EXPECT_EQ(-EINVAL, call(s, (all | MREMAP_ONLYPAGES_HOLES) ^ MREMAP_ONLYPAGES,
				MADE * PAGE, MADE * PAGE));
	EXPECT_EQ(-EINVAL, call(s, all, MADE * PAGE, MADE * PAGE + PAGE));
	EXPECT_EQ(-EINVAL, call(s, all, MADE * PAGE - 8, MADE * PAGE - 8));
	EXPECT_EQ(-EINVAL, move_only_pages(s->dst + 8, s->src, PAGE, 0));
	EXPECT_EQ(-EINVAL, move_only_pages(s->dst, s->src + 8, PAGE, 0));
	EXPECT_EQ(-EINVAL, move_only_pages((void *)-PAGE, s->src, 2 * PAGE, 0));
	EXPECT_EQ(-EINVAL, move_only_pages(s->dst, (void *)-PAGE, 2 * PAGE, 0));
	EXPECT_EQ(-EINVAL, move_only_pages(s->dst, s->src, -PAGE, 0));
	expect_moved(_metadata, s, 0);
	EXPECT_EQ((long)(MADE * PAGE), move(s, 0, 0, MADE));
}

/* The call is about one's own memory, like all of mremap(). */
TEST_F_TIMEOUT(onlypages, anybody_may, PATIENCE)
{
	struct space *s = &self->space;
	int status;
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		if (setuid(NOBODY))
			_exit(2);
		fill_pages(s->src, MADE, 1);
		_exit(move(s, 0, 0, MADE) != MADE * PAGE || *pages_differ(s->dst, MADE, 1));
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

static void *read_first_page(void *arg)
{
	struct space *s = arg;

	return (void *)(uintptr_t)!*pages_differ(s->dst, 1, 1);
}

/* Nobody is woken: who resolves a fault so has to say so himself. */
TEST_F_TIMEOUT(onlypages, registered_memory_moves_and_wakes_nobody, PATIENCE)
{
	struct space *s = &self->space;
	struct uffd_msg msg;
	pthread_t thread;
	void *good;

	s->uffd = uffd_open(O_NONBLOCK, 0);
	ASSERT_LE(0, s->uffd);
	ASSERT_EQ(0, uffd_register(s->uffd, s->dst, AREA * PAGE, UFFDIO_REGISTER_MODE_MISSING));
	ASSERT_EQ(0, pthread_create(&thread, NULL, read_first_page, s));
	ASSERT_EQ(1, poll(&(struct pollfd){ .fd = s->uffd, .events = POLLIN }, 1,
			  PATIENCE / 4 * 1000));
	EXPECT_EQ((long)(MADE * PAGE), move(s, 0, 0, MADE));
	/* It is waiting still, and its fault has not been read. */
	ASSERT_EQ(0, uffd_read(s->uffd, &msg));
	EXPECT_EQ((uintptr_t)s->dst, msg.arg.pagefault.address & -PAGE);
	ASSERT_EQ(0, uffd_wake(s->uffd, s->dst, PAGE));
	ASSERT_EQ(0, pthread_join(thread, &good));
	EXPECT_TRUE(good);
}

TEST_HARNESS_MAIN
