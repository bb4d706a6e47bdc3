// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of tools/anon_move/uffd_move.h and uffd_move_uring.h: how far a move came and why it
 * stopped, and what the kernel offers.
 *
 * Its calls come through the ioctl() below, which can be a kernel that knows less than this one.
 */
#define _GNU_SOURCE
#include <liburing.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "../../anon_move/uffd_move_uring.h"

#define PAGE		4096UL
#define PAGES		16UL
#define RW		(PROT_READ | PROT_WRITE)
#define USER_ONLY	(O_CLOEXEC | UFFD_USER_MODE_ONLY)
#define GO_ON		UFFDIO_MOVEV_MODE_GO_ON
#define CANARY		0xdecafbadU

#define FEATURES_MODES	(UFFD_FEATURE_MOVEV_COPY | UFFD_FEATURE_MOVEV_ARM | UFFD_FEATURE_MOVEV_SPAN)
#define FEATURES_OURS	(FEATURES_MODES | UFFD_FEATURE_MOVEV | UFFD_FEATURE_ANON_MOVE | \
			 UFFD_FEATURE_MOVE_URING)
#define MODES_OF_FIRST	(UFFDIO_MOVEV_MODE_DONTWAKE | UFFDIO_MOVEV_MODE_ALLOW_SRC_HOLES | GO_ON)

/* What the kernel seems to know: all, no vectors, or vectors without the modes that came later. */
static enum kernel { THIS, WITHOUT_VECTORS, FIRST_VECTORS } kernel;
static int moves;

static int ask(int fd, unsigned long request, void *arg)
{
	return syscall(SYS_ioctl, fd, request, arg);
}

static int refuse(void)
{
	errno = EINVAL;
	return -1;
}

static int ask_less(int fd, struct uffdio_api *api, unsigned long long unknown)
{
	int ret;

	if (api->features & unknown) {
		memset(api, 0, sizeof(*api));
		return refuse();
	}
	ret = ask(fd, UFFDIO_API, api);
	api->features &= ~unknown;
	return ret;
}

int ioctl(int fd, unsigned long request, ...)
{
	struct uffdio_movev *vector;
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	vector = arg;
	moves += request == UFFDIO_MOVE;
	if (kernel == WITHOUT_VECTORS && request == UFFDIO_API)
		return ask_less(fd, arg, FEATURES_OURS);
	if (kernel == WITHOUT_VECTORS && request == UFFDIO_MOVEV)
		return refuse();
	if (kernel == FIRST_VECTORS && request == UFFDIO_API)
		return ask_less(fd, arg, FEATURES_MODES | UFFD_FEATURE_MOVE_URING);
	if (kernel == FIRST_VECTORS && request == UFFDIO_MOVEV && vector->mode & ~MODES_OF_FIRST)
		return refuse();
	return ask(fd, request, arg);
}

struct area {
	int uffd;
	char *src;
	char *dst;
	struct uffdio_movev_range *ranges;
};

FIXTURE(area)
{
	struct area a;
};

static char *map(size_t pages)
{
	char *area = mmap(NULL, pages * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return area == MAP_FAILED ? NULL : area;
}

/* Page i of the source has bytes i + 1; the ranges are at the end of what is mapped. */
FIXTURE_SETUP(area)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	char *table = map(2);
	size_t i;

	self->a.uffd = uffd_move_open(USER_ONLY, UFFD_FEATURE_MOVE, NULL);
	ASSERT_LE(0, self->a.uffd);
	self->a.src = map(PAGES);
	self->a.dst = map(PAGES);
	ASSERT_NE(NULL, self->a.src);
	ASSERT_NE(NULL, self->a.dst);
	ASSERT_NE(NULL, table);
	ASSERT_EQ(0, mprotect(table + PAGE, PAGE, PROT_NONE));
	self->a.ranges = (void *)(table + PAGE - 3 * sizeof(*self->a.ranges));
	for (i = 0; i < PAGES; i++)
		memset(self->a.src + i * PAGE, i + 1, PAGE);
	reg.range.start = (uintptr_t)self->a.dst;
	reg.range.len = PAGES * PAGE;
	ASSERT_EQ(0, ioctl(self->a.uffd, UFFDIO_REGISTER, &reg));
	moves = 0;
}

FIXTURE_TEARDOWN(area)
{
	close(self->a.uffd);
	kernel = THIS;
}

/* A page of zeroes is at the destination already. */
static int occupy(struct area *a, size_t page)
{
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)a->dst + page * PAGE, .len = PAGE },
	};

	return ioctl(a->uffd, UFFDIO_ZEROPAGE, &zero);
}

/* The source has no page. */
static int drop(struct area *a, size_t page)
{
	return madvise(a->src + page * PAGE, PAGE, MADV_DONTNEED);
}

static void set_range(struct area *a, size_t i, size_t first, size_t pages)
{
	a->ranges[i] = uffd_movev_range(a->dst + first * PAGE, a->src + first * PAGE,
					pages * PAGE);
}

/* Three ranges, of 1, 2 and 3 pages. */
static void set_ranges(struct area *a)
{
	set_range(a, 0, 0, 1);
	set_range(a, 1, 1, 2);
	set_range(a, 2, 3, 3);
}

/* Nobody may serve the descriptor: a page that has not come reads as zeroes then. */
static bool arrived(struct area *a, size_t first, size_t pages)
{
	size_t i;

	close(a->uffd);
	for (i = first * PAGE; i < (first + pages) * PAGE; i++)
		if (a->dst[i] != (char)(i / PAGE + 1) || a->src[i])
			return false;
	return true;
}

static void expect(struct __test_metadata *_metadata, const struct uffdio_movev_range *range,
		   size_t pages, uint32_t stop)
{
	EXPECT_EQ(pages * PAGE, range->moved);
	EXPECT_EQ(0, range->copied);
	EXPECT_EQ(stop, range->stop);
}

static struct uffd_moved move(struct area *a, size_t first, size_t pages)
{
	return uffd_move(a->uffd, a->dst + first * PAGE, a->src + first * PAGE, pages * PAGE, 0);
}

TEST_F(area, one_range_moves)
{
	const struct uffd_moved moved = move(&self->a, 0, 4);

	EXPECT_EQ(4 * PAGE, moved.bytes);
	EXPECT_EQ(0, moved.stop);
	EXPECT_EQ(1, moves);
	EXPECT_TRUE(arrived(&self->a, 0, 4));
}

TEST_F(area, a_part_moves_and_the_rest_tells_why)
{
	struct uffd_moved moved;

	ASSERT_EQ(0, occupy(&self->a, 2));
	ASSERT_EQ(0, drop(&self->a, 6));
	moved = move(&self->a, 0, 4);
	EXPECT_EQ(2 * PAGE, moved.bytes);
	EXPECT_EQ(EEXIST, moved.stop);
	EXPECT_EQ(2, moves);
	moved = move(&self->a, 4, 4);
	EXPECT_EQ(2 * PAGE, moved.bytes);
	EXPECT_EQ(ENOENT, moved.stop);
	EXPECT_TRUE(arrived(&self->a, 0, 2));
	EXPECT_TRUE(arrived(&self->a, 4, 2));
}

TEST_F(area, nothing_moves)
{
	struct uffd_moved moved;

	ASSERT_EQ(0, occupy(&self->a, 0));
	moved = move(&self->a, 0, 4);
	EXPECT_EQ(0, moved.bytes);
	EXPECT_EQ(EEXIST, moved.stop);
	moved = uffd_move(self->a.uffd, self->a.dst + 1, self->a.src, PAGE, 0);
	EXPECT_EQ(0, moved.bytes);
	EXPECT_EQ(EINVAL, moved.stop);
	EXPECT_EQ(2, moves);
}

/* Returns the completion's result; the request says 7 of itself. */
static int by_ring(int uffd, struct uffdio_move *one, struct uffdio_movev *several)
{
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	int result = -EIO;

	if (io_uring_queue_init(2, &ring, 0))
		return result;
	sqe = io_uring_get_sqe(&ring);
	/* What the request before it has left there. */
	memset(sqe, 0xff, sizeof(*sqe));
	io_uring_sqe_set_data64(sqe, 7);
	if (one)
		uffd_move_prep(sqe, uffd, one);
	else
		uffd_movev_prep(sqe, uffd, several);
	if (io_uring_submit_and_wait(&ring, 1) == 1 && !io_uring_peek_cqe(&ring, &cqe))
		result = cqe->user_data == 7 ? cqe->res : -EILSEQ;
	io_uring_queue_exit(&ring);
	return result;
}

static bool no_ring(void)
{
	return !(uffd_move_features() & UFFD_FEATURE_MOVE_URING);
}

TEST_F(area, one_range_moves_by_a_ring)
{
	struct area *a = &self->a;
	struct uffdio_move arg = {
		.dst = (uintptr_t)a->dst, .src = (uintptr_t)a->src, .len = 4 * PAGE,
	};

	if (no_ring())
		SKIP(return, "no moves by io_uring in this kernel");
	EXPECT_EQ(0, by_ring(a->uffd, &arg, NULL));
	EXPECT_EQ(4 * PAGE, arg.move);
	EXPECT_EQ(0, moves);
	EXPECT_TRUE(arrived(a, 0, 4));
}

TEST_F(area, ranges_move_by_a_ring)
{
	struct area *a = &self->a;
	struct uffdio_movev arg = uffd_movev_arg(a->ranges, 3, GO_ON);
	struct uffd_moved_ranges moved;

	if (no_ring())
		SKIP(return, "no moves by io_uring in this kernel");
	set_ranges(a);
	ASSERT_EQ(0, occupy(a, 2));
	moved = uffd_movev_told(&arg, -by_ring(a->uffd, NULL, &arg));
	EXPECT_EQ(3, moved.done);
	EXPECT_EQ(1, moved.first);
	EXPECT_EQ(UFFDIO_MOVEV_EXISTS, moved.stop);
	EXPECT_EQ(EAGAIN, moved.error);
	expect(_metadata, &a->ranges[1], 1, UFFDIO_MOVEV_EXISTS);
	expect(_metadata, &a->ranges[2], 3, UFFDIO_MOVEV_DONE);
	EXPECT_TRUE(arrived(a, 3, 3));
}

TEST_F(area, all_ranges_move)
{
	struct uffd_moved_ranges moved;

	set_ranges(&self->a);
	moved = uffd_movev(self->a.uffd, self->a.ranges, 3, 0);
	EXPECT_EQ(3, moved.done);
	EXPECT_EQ(3, moved.first);
	EXPECT_EQ(UFFDIO_MOVEV_DONE, moved.stop);
	EXPECT_EQ(0, moved.error);
	expect(_metadata, &self->a.ranges[0], 1, UFFDIO_MOVEV_DONE);
	expect(_metadata, &self->a.ranges[1], 2, UFFDIO_MOVEV_DONE);
	expect(_metadata, &self->a.ranges[2], 3, UFFDIO_MOVEV_DONE);
	EXPECT_TRUE(arrived(&self->a, 0, 6));
}

TEST_F(area, the_first_that_stops_ends_the_call)
{
	struct uffd_moved_ranges moved;

	ASSERT_EQ(0, occupy(&self->a, 2));
	set_ranges(&self->a);
	self->a.ranges[2].stop = CANARY;
	moved = uffd_movev(self->a.uffd, self->a.ranges, 3, 0);
	EXPECT_EQ(2, moved.done);
	EXPECT_EQ(1, moved.first);
	EXPECT_EQ(UFFDIO_MOVEV_EXISTS, moved.stop);
	EXPECT_EQ(EAGAIN, moved.error);
	expect(_metadata, &self->a.ranges[1], 1, UFFDIO_MOVEV_EXISTS);
	expect(_metadata, &self->a.ranges[2], 0, CANARY);
	EXPECT_TRUE(arrived(&self->a, 0, 2));
}

TEST_F(area, the_first_of_two_that_stop_is_told)
{
	struct uffd_moved_ranges moved;

	ASSERT_EQ(0, drop(&self->a, 2));
	ASSERT_EQ(0, occupy(&self->a, 3));
	set_ranges(&self->a);
	moved = uffd_movev(self->a.uffd, self->a.ranges, 3, GO_ON);
	EXPECT_EQ(3, moved.done);
	EXPECT_EQ(1, moved.first);
	EXPECT_EQ(UFFDIO_MOVEV_HOLE, moved.stop);
	EXPECT_EQ(EAGAIN, moved.error);
	expect(_metadata, &self->a.ranges[0], 1, UFFDIO_MOVEV_DONE);
	expect(_metadata, &self->a.ranges[1], 1, UFFDIO_MOVEV_HOLE);
	expect(_metadata, &self->a.ranges[2], 0, UFFDIO_MOVEV_EXISTS);
	EXPECT_TRUE(arrived(&self->a, 0, 2));
}

TEST_F(area, what_was_done_before_an_error_is_told)
{
	struct uffd_moved_ranges moved;

	ASSERT_EQ(0, occupy(&self->a, 1));
	set_ranges(&self->a);
	moved = uffd_movev(self->a.uffd, self->a.ranges, 4, GO_ON);
	EXPECT_EQ(3, moved.done);
	EXPECT_EQ(1, moved.first);
	EXPECT_EQ(UFFDIO_MOVEV_EXISTS, moved.stop);
	EXPECT_EQ(EFAULT, moved.error);
	EXPECT_TRUE(arrived(&self->a, 0, 1));
	EXPECT_TRUE(arrived(&self->a, 3, 3));
}

static int error_of(int uffd, struct uffdio_movev_range *ranges, size_t count,
		    unsigned long long mode)
{
	struct uffd_moved_ranges moved = uffd_movev(uffd, ranges, count, mode);

	/* Nothing was dealt with, and nothing is made up. */
	return moved.done || moved.first || moved.stop ? -moved.error : moved.error;
}

TEST_F(area, a_call_that_is_wrong_has_an_error)
{
	set_ranges(&self->a);
	EXPECT_EQ(EINVAL, error_of(self->a.uffd, self->a.ranges, 0, 0));
	EXPECT_EQ(EINVAL, error_of(self->a.uffd, self->a.ranges, 3, 1));
	EXPECT_EQ(EFAULT, error_of(self->a.uffd, self->a.ranges + 3, 1, 0));
	EXPECT_EQ(EBADF, error_of(-1, self->a.ranges, 3, 0));
	self->a.ranges[0].reserved = 1;
	EXPECT_EQ(EINVAL, error_of(self->a.uffd, self->a.ranges, 3, 0));
}

TEST_F(area, what_is_left_moves_later)
{
	struct uffdio_movev_range *range = self->a.ranges;

	ASSERT_EQ(0, occupy(&self->a, 1));
	set_range(&self->a, 0, 0, 4);
	ASSERT_EQ(EAGAIN, uffd_movev(self->a.uffd, range, 1, 0).error);
	EXPECT_EQ(3 * PAGE, uffd_movev_rest(range, 0));
	expect(_metadata, range, 0, UFFDIO_MOVEV_DONE);
	EXPECT_EQ((uintptr_t)self->a.dst + PAGE, range->dst);
	EXPECT_EQ((uintptr_t)self->a.src + PAGE, range->src);
	/* The same page again, which is passed over now. */
	ASSERT_EQ(EAGAIN, uffd_movev(self->a.uffd, range, 1, 0).error);
	EXPECT_EQ(2 * PAGE, uffd_movev_rest(range, PAGE));
	ASSERT_EQ(0, uffd_movev(self->a.uffd, range, 1, 0).error);
	EXPECT_EQ(0, uffd_movev_rest(range, 0));
	EXPECT_TRUE(arrived(&self->a, 0, 1));
	EXPECT_TRUE(arrived(&self->a, 2, 2));
	set_range(&self->a, 0, 0, 1);
	EXPECT_EQ(0, uffd_movev_rest(range, 2 * PAGE));
}

static pid_t share_with_child(void)
{
	pid_t child = fork();

	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	return child;
}

/* Which reasons there are, and whether what the kernel copied is told, goes by the modes it has. */
TEST_F(area, a_shared_page_stays_or_is_copied)
{
	const int copies = uffd_movev_takes(self->a.uffd, UFFDIO_MOVEV_MODE_COPY);
	struct uffdio_movev_range *range = self->a.ranges;
	pid_t child = share_with_child();
	struct uffd_moved_ranges moved;

	ASSERT_LT(0, child);
	set_range(&self->a, 0, 0, 2);
	moved = uffd_movev(self->a.uffd, range, 1, 0);
	EXPECT_EQ(EAGAIN, moved.error);
	EXPECT_EQ(UFFDIO_MOVEV_SHARED, moved.stop);
	moved = uffd_movev(self->a.uffd, range, 1, UFFDIO_MOVEV_MODE_COPY);
	EXPECT_EQ(copies ? 0 : EINVAL, moved.error);
	EXPECT_EQ(copies ? 1 : 0, moved.done);
	EXPECT_EQ(copies ? 2 * PAGE : 0, range->copied);
	/* It has the descriptor too. */
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	EXPECT_EQ(copies, arrived(&self->a, 0, 2));
}

static const struct reason {
	enum uffdio_movev_stop stop;
	const char *name;
} reasons[] = {
	{ UFFDIO_MOVEV_DONE, "done" },
	{ UFFDIO_MOVEV_INVALID, "invalid" },
	{ UFFDIO_MOVEV_NO_DST, "no_dst" },
	{ UFFDIO_MOVEV_NO_SRC, "no_src" },
	{ UFFDIO_MOVEV_MAPPINGS, "mappings" },
	{ UFFDIO_MOVEV_CHANGING, "changing" },
	{ UFFDIO_MOVEV_UNREGISTERED, "unregistered" },
	{ UFFDIO_MOVEV_EXISTS, "exists" },
	{ UFFDIO_MOVEV_HOLE, "hole" },
	{ UFFDIO_MOVEV_SHARED, "shared" },
	{ UFFDIO_MOVEV_PINNED, "pinned" },
	{ UFFDIO_MOVEV_MARKER, "marker" },
	{ UFFDIO_MOVEV_UNSPLIT, "unsplit" },
	{ UFFDIO_MOVEV_LOCKED, "locked" },
	{ UFFDIO_MOVEV_WRITEBACK, "writeback" },
	{ UFFDIO_MOVEV_MIGRATING, "migrating" },
	{ UFFDIO_MOVEV_RACED, "raced" },
	{ UFFDIO_MOVEV_NOMEM, "nomem" },
	{ UFFDIO_MOVEV_KILLED, "killed" },
};

/* The name that the table has. */
static const char *name_of(uint32_t stop)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(reasons); i++)
		if (reasons[i].stop == stop)
			return reasons[i].name;
	return "unknown";
}

TEST(reasons_have_names)
{
	uint32_t stop;

	for (stop = 0; stop < 1000; stop++)
		EXPECT_STREQ(name_of(stop), uffd_movev_name(stop));
	EXPECT_STREQ("unknown", uffd_movev_name(UINT32_MAX));
}

TEST(some_reasons_pass)
{
	EXPECT_EQ(0, uffd_movev_passes(UFFDIO_MOVEV_DONE));
	EXPECT_EQ(0, uffd_movev_passes(UFFDIO_MOVEV_PINNED));
	EXPECT_EQ(1, uffd_movev_passes(UFFDIO_MOVEV_LOCKED));
	EXPECT_EQ(1, uffd_movev_passes(UFFDIO_MOVEV_NOMEM));
	EXPECT_EQ(0, uffd_movev_passes(1001));
	EXPECT_EQ(1, uffd_movev_passes(1000));
}

/* Modes that a feature bit is for. */
static const struct mode {
	unsigned long long mode;
	unsigned long long feature;
} modes[] = {
	{ 0, UFFD_FEATURE_MOVEV },
	{ MODES_OF_FIRST, UFFD_FEATURE_MOVEV },
	{ UFFDIO_MOVEV_MODE_COPY, UFFD_FEATURE_MOVEV_COPY },
	{ UFFDIO_MOVEV_MODE_SPAN, UFFD_FEATURE_MOVEV_SPAN },
	{ UFFDIO_MOVEV_MODE_WP, UFFD_FEATURE_MOVEV_ARM },
	{ UFFDIO_MOVEV_MODE_RWP, UFFD_FEATURE_MOVEV_ARM },
};

TEST_F(area, features_tell_of_modes)
{
	unsigned long long offered = uffd_move_features();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(modes); i++)
		EXPECT_EQ(!!(offered & modes[i].feature),
			  uffd_movev_takes(self->a.uffd, modes[i].mode))
			TH_LOG("mode %#llx", modes[i].mode);
	EXPECT_EQ(UFFD_FEATURE_MOVEV | UFFD_FEATURE_ANON_MOVE | UFFD_FEATURE_MOVE,
		  offered & (UFFD_FEATURE_MOVEV | UFFD_FEATURE_ANON_MOVE | UFFD_FEATURE_MOVE));
	EXPECT_EQ(0, uffd_movev_takes(self->a.uffd, 1ULL << 63));
	EXPECT_EQ(0, uffd_movev_takes(self->a.uffd, GO_ON | 1ULL << 63));
}

static bool choose_engine(const char *name)
{
	FILE *file = fopen("/sys/kernel/debug/anon_move/engine", "w");

	return file && (fputs(name, file) >= 0) & !fclose(file);
}

/* Vectors are ours also where UFFDIO_MOVE is the base's. */
TEST(a_feature_tells_whose_move_it_is)
{
	unsigned long long offered;

	if (!choose_engine("base"))
		SKIP(return, "no CONFIG_ANON_MOVE_COMPARE in this kernel");
	offered = uffd_move_features();
	ASSERT_TRUE(choose_engine("anon_move"));
	EXPECT_EQ(UFFD_FEATURE_MOVEV | UFFD_FEATURE_MOVE, offered &
		  (UFFD_FEATURE_MOVEV | UFFD_FEATURE_ANON_MOVE | UFFD_FEATURE_MOVE));
	EXPECT_TRUE(uffd_move_features() & UFFD_FEATURE_ANON_MOVE);
}

TEST_F(area, a_kernel_without_vectors_is_told)
{
	unsigned long long offered = 1;

	kernel = WITHOUT_VECTORS;
	EXPECT_EQ(UFFD_FEATURE_MOVE, uffd_move_features() & (UFFD_FEATURE_MOVE | FEATURES_OURS));
	EXPECT_EQ(0, uffd_movev_takes(self->a.uffd, 0));
	errno = 0;
	EXPECT_EQ(-1, uffd_move_open(USER_ONLY, UFFD_FEATURE_MOVEV, &offered));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, offered);
	set_ranges(&self->a);
	EXPECT_EQ(EINVAL, error_of(self->a.uffd, self->a.ranges, 3, 0));
	EXPECT_EQ(4 * PAGE, move(&self->a, 0, 4).bytes);
}

TEST_F(area, a_kernel_without_later_modes_is_told)
{
	kernel = FIRST_VECTORS;
	EXPECT_EQ(UFFD_FEATURE_MOVEV,
		  uffd_move_features() & (FEATURES_MODES | UFFD_FEATURE_MOVEV));
	EXPECT_EQ(1, uffd_movev_takes(self->a.uffd, MODES_OF_FIRST));
	EXPECT_EQ(0, uffd_movev_takes(self->a.uffd, GO_ON | UFFDIO_MOVEV_MODE_COPY));
	set_ranges(&self->a);
	EXPECT_EQ(0, uffd_movev(self->a.uffd, self->a.ranges, 3, GO_ON).error);
	EXPECT_TRUE(arrived(&self->a, 0, 6));
}

TEST(what_is_no_open_userfaultfd_takes_nothing)
{
	int ends[2], uffd = syscall(SYS_userfaultfd, USER_ONLY);

	ASSERT_LE(0, uffd);
	EXPECT_EQ(0, uffd_movev_takes(uffd, 0));
	ASSERT_EQ(0, pipe(ends));
	EXPECT_EQ(0, uffd_movev_takes(ends[0], 0));
	EXPECT_EQ(0, uffd_movev_takes(-1, 0));
}

TEST(what_is_opened_is_as_asked_for)
{
	unsigned long long offered;
	int uffd = uffd_move_open(USER_ONLY, UFFD_FEATURE_MOVEV, &offered);

	ASSERT_LE(0, uffd);
	EXPECT_EQ(offered, uffd_move_features());
	EXPECT_EQ(1, uffd_movev_takes(uffd, 0));
	EXPECT_EQ(FD_CLOEXEC, fcntl(uffd, F_GETFD));
	close(uffd);
	/* Whatever opens and fails, or only asks, has closed what it had. */
	EXPECT_EQ(-1, uffd_move_open(USER_ONLY, UFFD_FEATURE_MOVE | 1ULL << 63, NULL));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, fcntl(uffd, F_GETFD));
}

TEST(no_descriptor_is_no_feature)
{
	const struct rlimit none = { 0, 0 };
	unsigned long long offered = 1;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	errno = 0;
	EXPECT_EQ(-1, uffd_move_open(USER_ONLY, 0, &offered));
	EXPECT_EQ(EMFILE, errno);
	EXPECT_EQ(0, offered);
	EXPECT_EQ(0, uffd_move_features());
	EXPECT_EQ(EMFILE, errno);
}

TEST_HARNESS_MAIN
