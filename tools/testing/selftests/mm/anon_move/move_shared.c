// SPDX-License-Identifier: GPL-2.0
/*
 * Pages that may not move, for somebody else maps or pins them: EBUSY, nothing
 * changes, and they move as soon as the other one is gone.
 */
#include <fcntl.h>
#include <time.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <liburing.h>
#include <mm/gup_test.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#define AREA	PMD_PAGES
#define GUP_TEST	"/sys/kernel/debug/gup_test"

FIXTURE(shared)
{
	struct space space;
	size_t pages;		/* that are to move */
	long long counted;
	long long calls;
};

FIXTURE_VARIANT(shared)
{
	enum page_kind_id kind;
};

FIXTURE_VARIANT_ADD(shared, small) { KIND_SMALL };
FIXTURE_VARIANT_ADD(shared, mthp) { KIND_MTHP };
FIXTURE_VARIANT_ADD(shared, thp) { KIND_THP };

FIXTURE_SETUP(shared)
{
	const char *missing = move_missing();

	missing = missing ? missing : kind_missing(variant->kind);
	if (missing)
		SKIP(return, "%s", missing);
	self->pages = page_kinds[variant->kind].unit;
	ASSERT_EQ(0, space_open(&self->space, AREA, 0));
	ASSERT_EQ(0, make_kind(&self->space, variant->kind, 0, self->pages));
	self->counted = engine_count(MOVED_ANYHOW);
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(shared)
{
	space_close(&self->space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

/* The move is refused for that reason, and no entry and no byte changes. */
static void refused(struct __test_metadata *_metadata, struct space *s, size_t pages,
		    const char *stop)
{
	__u64 before[AREA], after[AREA];
	long long counted = engine_count(stop);
	struct moved moved;

	ASSERT_EQ(0, look(s->src, pages, before));
	moved = move_pages_of(s->uffd, s->dst, s->src, pages * PAGE, 0);
	EXPECT_EQ(EBUSY, moved.err);
	EXPECT_EQ(-EBUSY, moved.bytes);
	ASSERT_EQ(0, look(s->src, pages, after));
	EXPECT_EQ(pages, first_unlike(before, after, pages, ~PM_HUGE));
	EXPECT_TRUE(all_pages(s->dst, pages, PM_PRESENT | PM_SWAP, 0));
	EXPECT_STREQ("", pages_differ(s->src, pages, 1));
	EXPECT_ENGINE(1, stop, counted);
}

static void accepted(struct __test_metadata *_metadata, struct space *s, size_t pages,
		     unsigned int id)
{
	struct moved moved = move_surely(s->uffd, s->dst, s->src, pages * PAGE);

	EXPECT_EQ(0, moved.err);
	ASSERT_EQ((long long)(pages * PAGE), moved.bytes);
	EXPECT_STREQ("", pages_differ(s->dst, pages, id));
}

TEST_F_TIMEOUT(shared, with_child, PATIENCE)
{
	struct space *s = &self->space;
	pid_t pid = share_with_child();

	ASSERT_LT(0, pid);
	refused(_metadata, s, self->pages, "stop_shared");
	end_child(pid);
	/* Still marked as shared, until the next write finds that it is not. */
	refused(_metadata, s, self->pages, "stop_shared");
	fill_pages(s->src, self->pages, 50);
	accepted(_metadata, s, self->pages, 50);
	EXPECT_ENGINE(self->pages, MOVED_ANYHOW, self->counted);
}

TEST_F_TIMEOUT(shared, dontfork_is_not_shared, PATIENCE)
{
	struct space *s = &self->space;
	pid_t pid;

	ASSERT_EQ(0, madvise(s->src, AREA * PAGE, MADV_DONTFORK));
	pid = share_with_child();
	ASSERT_LT(0, pid);
	accepted(_metadata, s, self->pages, 1);
	end_child(pid);
	EXPECT_ENGINE(self->pages, MOVED_ANYHOW, self->counted);
}

/* O2: the base tries for ever to split a large folio that is pinned. */
static const char *pin_missing(enum page_kind_id kind)
{
	return kind == KIND_MTHP ? base_serves() : NULL;
}

static const char *uring_missing(struct io_uring *ring, enum page_kind_id kind)
{
	const char *missing = pin_missing(kind);

	if (!missing && io_uring_queue_init(4, ring, 0))
		missing = "no io_uring in this kernel";
	return missing;
}

/* R4 when the page is a huge one. */
TEST_F_TIMEOUT(shared, R4_io_uring_fixed_buffers, PATIENCE)
{
	struct space *s = &self->space;
	struct iovec iov = { .iov_base = s->src, .iov_len = self->pages * PAGE };
	struct io_uring ring;
	const char *missing = uring_missing(&ring, variant->kind);

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, io_uring_register_buffers(&ring, &iov, 1));
	refused(_metadata, s, self->pages, "stop_pinned");
	EXPECT_TRUE(all_pages(s->src, self->pages, PM_HUGE,
			      variant->kind == KIND_THP ? PM_HUGE : 0));
	ASSERT_EQ(0, io_uring_unregister_buffers(&ring));
	io_uring_queue_exit(&ring);
	accepted(_metadata, s, self->pages, 1);
	EXPECT_ENGINE(self->pages, MOVED_ANYHOW, self->counted);
}

/* There is one in the destination. */
static void make_page_table(struct __test_metadata *_metadata, struct space *s)
{
	size_t last = (PMD_PAGES - 1) * PAGE;

	fill_pages(s->src + last, 1, 1);
	ASSERT_EQ(0, move_pages_of(s->uffd, s->dst + last, s->src + last, PAGE, 0).err);
}

/*
 * What the pin's owner sees must be the page that stayed where it was. It was not
 * even taken if it would have been the first one in its page table (O18).
 */
static void pin_and_move(struct __test_metadata *_metadata, struct space *s, size_t pages,
			 __u32 flags)
{
	int fd = open(GUP_TEST, O_RDWR | O_CLOEXEC);
	struct pin_longterm_test pin = {
		.addr = (uintptr_t)s->src,
		.size = pages * PAGE,
		.flags = PIN_LONGTERM_TEST_FLAG_USE_WRITE | flags,
	};
	char *seen = map_aligned(PMD);
	__u64 addr = (uintptr_t)seen;

	ASSERT_EQ(0, ioctl(fd, PIN_LONGTERM_TEST_START, &pin));
	refused(_metadata, s, pages, "stop_pinned");
	if (pages < PMD_PAGES) {
		make_page_table(_metadata, s);
		refused(_metadata, s, pages, "stop_pinned");
	}
	fill_pages(s->src, pages, 50);
	ASSERT_EQ(0, ioctl(fd, PIN_LONGTERM_TEST_READ, &addr));
	EXPECT_STREQ("", pages_differ(seen, pages, 50));
	ASSERT_EQ(0, ioctl(fd, PIN_LONGTERM_TEST_STOP));
	close(fd);
	munmap(seen, PMD);
	accepted(_metadata, s, pages, 50);
}

static const char *gup_test_missing(enum page_kind_id kind)
{
	return access(GUP_TEST, R_OK) ? "no " GUP_TEST : pin_missing(kind);
}

TEST_F_TIMEOUT(shared, gup_pin, PATIENCE)
{
	const char *missing = gup_test_missing(variant->kind);

	if (missing)
		SKIP(return, "%s", missing);
	pin_and_move(_metadata, &self->space, self->pages, 0);
}

TEST_F_TIMEOUT(shared, gup_pin_fast, PATIENCE)
{
	const char *missing = gup_test_missing(variant->kind);

	if (missing)
		SKIP(return, "%s", missing);
	pin_and_move(_metadata, &self->space, self->pages, PIN_LONGTERM_TEST_FLAG_USE_FAST);
}

/* The last page of a folio is pinned: none of its pages may move, not even the first one. */
TEST_F_TIMEOUT(shared, last_page_pinned, PATIENCE)
{
	struct space *s = &self->space;
	char *last = s->src + (self->pages - 1) * PAGE;
	struct iovec iov = { .iov_base = last, .iov_len = PAGE };
	struct io_uring ring;
	const char *missing = uring_missing(&ring, variant->kind);

	/* The base has to split a huge page for this; see pin_missing(). */
	if (!missing && variant->kind == KIND_THP)
		missing = base_serves();
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, io_uring_register_buffers(&ring, &iov, 1));
	EXPECT_EQ(EBUSY, move_pages_of(s->uffd, s->dst, s->src, PAGE, 0).err);
	EXPECT_EQ(EBUSY, move_pages_of(s->uffd, s->dst, last, PAGE, 0).err);
	EXPECT_STREQ("", pages_differ(s->src, self->pages, 1));
	ASSERT_EQ(0, io_uring_unregister_buffers(&ring));
	io_uring_queue_exit(&ring);
	accepted(_metadata, s, self->pages, 1);
}

FIXTURE(small)
{
	struct space space;
	long long calls;
};

FIXTURE_SETUP(small)
{
	const char *missing = move_missing();

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->space, AREA, 0));
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(small)
{
	space_close(&self->space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

/* Takes a reference, not a pin, on the page into a pipe. */
static int splice_page(int fds[2], char *page)
{
	struct iovec iov = { .iov_base = page, .iov_len = PAGE };

	return vmsplice(fds[1], &iov, 1, 0) == PAGE ? 0 : -1;
}

/*
 * V2: the child has gone and the page is mapped once, but a pipe still shows it.
 * What we write after the move must not appear in the pipe.
 */
TEST_F_TIMEOUT(small, V2_spliced_by_exited_child, PATIENCE)
{
	struct space *s = &self->space;
	char *seen = map_aligned(PMD);
	int fds[2], status = -1;
	pid_t pid;

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 1));
	pid = fork();
	if (!pid)
		_exit(splice_page(fds, s->src) ? 1 : 0);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);

	refused(_metadata, s, 1, "stop_shared");
	fill_pages(s->src, 1, 50);
	accepted(_metadata, s, 1, 50);
	ASSERT_EQ((ssize_t)PAGE, read(fds[0], seen, PAGE));
	EXPECT_STREQ("", pages_differ(seen, 1, 1));
	close(fds[0]);
	close(fds[1]);
}

/* A plain reference, of an exclusive page, hinders nobody. */
TEST_F_TIMEOUT(small, spliced_page_moves, PATIENCE)
{
	struct space *s = &self->space;
	long long before = engine_count("moved_small");
	char *seen = map_aligned(PMD);
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 1));
	ASSERT_EQ(0, splice_page(fds, s->src));
	EXPECT_EQ(0, move_pages_of(s->uffd, s->dst, s->src, PAGE, 0).err);
	EXPECT_ENGINE(1, "moved_small", before);
	ASSERT_EQ((ssize_t)PAGE, read(fds[0], seen, PAGE));
	EXPECT_STREQ("", pages_differ(seen, 1, 1));
	EXPECT_STREQ("", pages_differ(s->dst, 1, 1));
	close(fds[0]);
	close(fds[1]);
}

TEST_F_TIMEOUT(small, swapped_and_shared, PATIENCE)
{
	struct space *s = &self->space;
	long long before = engine_count("stop_shared");
	const char *missing = kind_missing(KIND_SWAPPED);
	pid_t pid;

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, make_kind(s, KIND_SWAPPED, 0, 4));
	pid = share_with_child();
	ASSERT_LT(0, pid);
	EXPECT_EQ(EBUSY, move_pages_of(s->uffd, s->dst, s->src, 4 * PAGE, 0).err);
	EXPECT_TRUE(all_pages(s->src, 4, PM_SWAP, PM_SWAP));
	EXPECT_TRUE(all_pages(s->dst, 4, PM_PRESENT | PM_SWAP, 0));
	end_child(pid);
	EXPECT_ENGINE(1, "stop_shared", before);
	EXPECT_STREQ("", pages_differ(s->src, 4, 1));
}

TEST_F_TIMEOUT(small, merged_by_ksm, PATIENCE)
{
	struct space *s = &self->space;

	if (ksm_missing())
		SKIP(return, "%s", ksm_missing());
	ASSERT_EQ(0, make_ksm_pair(s));
	refused(_metadata, s, 1, "stop_shared");
	/* A write makes a page of one's own. */
	fill_pages(s->src, 1, 50);
	EXPECT_EQ(0, move_pages_of(s->uffd, s->dst, s->src, PAGE, 0).err);
	EXPECT_STREQ("", pages_differ(s->dst, 1, 50));
}

TEST_HARNESS_MAIN
