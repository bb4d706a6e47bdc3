// SPDX-License-Identifier: GPL-2.0
/*
 * A process that dies in the middle of a move, with a thread of it asleep on a
 * page that is to come: nothing of it stays behind.
 */
#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "../../kselftest_harness.h"
#include "rival.h"

#define AREA	(4 * PMD_PAGES)
#define DEATHS	12

/* What may vary from one time to the next: less than any one thing lost at each death. */
#define SLACK	(DEATHS * 3 / 4)

/* CPUs keep free swap slots back, 64 each for either use. */
#define SLOT_SLACK_KIB	2048

/* What a child leaves to its parent, in shared memory. */
struct will {
	bool moving;
	const char *trouble;
	__u64 view[AREA];
};

FIXTURE(killed)
{
	struct will *will;
};

static const char *move_until_killed(struct will *will, enum page_kind_id kind);
static const char *move_ranges_until_killed(struct will *will, enum page_kind_id kind);
static const char *relocate_until_killed(struct will *will, enum page_kind_id kind);

FIXTURE_VARIANT(killed)
{
	enum page_kind_id kind;
	const char *(*missing)(void);
	/* Returns only if something is wrong: what that is. */
	const char *(*live)(struct will *will, enum page_kind_id kind);
};

FIXTURE_VARIANT_ADD(killed, small) { KIND_SMALL, move_missing, move_until_killed };
FIXTURE_VARIANT_ADD(killed, mthp) { KIND_MTHP, move_missing, move_until_killed };
FIXTURE_VARIANT_ADD(killed, thp) { KIND_THP, move_missing, move_until_killed };
FIXTURE_VARIANT_ADD(killed, swapped) { KIND_SWAPPED, move_missing, move_until_killed };
FIXTURE_VARIANT_ADD(killed, ranges) { KIND_SMALL, vectors_missing, move_ranges_until_killed };
FIXTURE_VARIANT_ADD(killed, A12_small) { KIND_SMALL, relocate_missing, relocate_until_killed };
FIXTURE_VARIANT_ADD(killed, A12_mthp) { KIND_MTHP, relocate_missing, relocate_until_killed };
FIXTURE_VARIANT_ADD(killed, A12_thp) { KIND_THP, relocate_missing, relocate_until_killed };
FIXTURE_VARIANT_ADD(killed, A12_swapped) { KIND_SWAPPED, relocate_missing, relocate_until_killed };

FIXTURE_SETUP(killed)
{
	const char *missing = variant->missing();

	missing = missing ? missing : kind_missing(variant->kind);
	if (missing)
		SKIP(return, "%s: %s", page_kinds[variant->kind].name, missing);
	self->will = mmap(NULL, sizeof(*self->will), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->will);
}

FIXTURE_TEARDOWN(killed)
{
	munmap(self->will, sizeof(*self->will));
}

static void touch_last_once(struct rival *r)
{
	touch(r->space->src + (AREA - 1) * PAGE);
	touch(r->space->dst + (AREA - 1) * PAGE);
}

/* Shifted by a page at times, so that what is large is split. */
static int move_on(struct space *s, unsigned int round)
{
	size_t shift = round % 4 == 3 ? PAGE : 0, len = AREA * PAGE - shift;
	int err = move_surely(s->uffd, s->dst + shift, s->src, len).err;

	return err ? err : move_surely(s->uffd, s->src, s->dst + shift, len).err;
}

/* A page shifted at times too, for which what is large is taken apart. */
static int relocate_on(struct space *s, unsigned int round)
{
	size_t shift = round % 2, pages = AREA - shift;
	char *dst = s->dst + shift * PAGE;

	return relocate(dst, s->src, pages, MUST) || relocate(s->src, dst, pages, MUST);
}

/* What is wrong, or NULL. */
static const char *prepare(struct will *will, struct space *s, enum page_kind_id kind)
{
	if (space_open(s, AREA, 0))
		return "can't map and register both areas";
	if (make_kind(s, kind, 0, AREA))
		return "can't make such pages";
	return look(s->src, AREA, will->view) ? "can't look at the source" : NULL;
}

static const char *relocate_until_killed(struct will *will, enum page_kind_id kind)
{
	unsigned int round;
	struct space s;
	const char *trouble = prepare(will, &s, kind);

	if (trouble)
		return trouble;
	__atomic_store_n(&will->moving, true, __ATOMIC_RELEASE);
	for (round = 0; !relocate_on(&s, round); round++)
		;
	return "a mapping was not relocated";
}

/* Page by page, in one call: what is in the way for a moment ends it. */
static int move_each(struct space *s, char *dst, char *src)
{
	static struct uffdio_movev_range ranges[AREA];
	size_t i, n, done = 0;
	int err;

	for (i = 0; i < AREA; i++)
		ranges[i] = (struct uffdio_movev_range) {
			.dst = (uintptr_t)dst + i * PAGE, .src = (uintptr_t)src + i * PAGE,
			.len = PAGE,
		};
	while (done < AREA) {
		err = move_vector(s->uffd, ranges + done, AREA - done, 0, &n);
		done += n;
		if (err && (!n || ranges[--done].stop % 2))
			return err;
	}
	return 0;
}

static const char *move_ranges_until_killed(struct will *will, enum page_kind_id kind)
{
	struct space s;
	const char *trouble = prepare(will, &s, kind);

	if (trouble)
		return trouble;
	if (space_register_source(&s))
		return "can't register the source";
	__atomic_store_n(&will->moving, true, __ATOMIC_RELEASE);
	while (!move_each(&s, s.dst, s.src) && !move_each(&s, s.src, s.dst))
		;
	return "a range was not moved";
}

static const char *move_until_killed(struct will *will, enum page_kind_id kind)
{
	struct space s;
	struct rival sleeper = { .space = &s, .once = touch_last_once };
	const char *trouble = prepare(will, &s, kind);
	unsigned int round;

	if (trouble)
		return trouble;
	if (space_register_source(&s))
		return "can't register the source";
	if (kind != KIND_SWAPPED && pthread_create(&sleeper.thread, NULL, run_rival, &sleeper))
		return "can't create a thread";
	__atomic_store_n(&will->moving, true, __ATOMIC_RELEASE);
	for (round = 0; !move_on(&s, round); round++)
		;
	return "a move failed";
}

static bool has_died(pid_t pid)
{
	siginfo_t info = { };

	return waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == pid;
}

static void live_and_die(struct __test_metadata *_metadata, struct will *will,
			 enum page_kind_id kind,
			 const char *(*live)(struct will *will, enum page_kind_id kind))
{
	int status = 0;
	pid_t pid;

	memset(will, 0, sizeof(*will));
	pid = fork();
	if (!pid) {
		will->trouble = live(will, kind);
		_exit(1);
	}
	ASSERT_LT(0, pid);
	/* If it dies before it is killed, it stays to be waited for. */
	while (!__atomic_load_n(&will->moving, __ATOMIC_ACQUIRE) && !has_died(pid))
		usleep(1000);
	usleep(rand() % 20000);
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		TH_LOG("status %#x: %s", status, will->trouble ? will->trouble : "it died");
	EXPECT_EQ(0, frames_kept(will->view, AREA));
}

static long long page_tables(void)
{
	write_text("/proc/sys/vm/stat_refresh", "1");
	return read_number("/proc/vmstat", "nr_page_table_pages");
}

static long long swap_in_use(void)
{
	return read_number("/proc/meminfo", "SwapTotal:") -
	       read_number("/proc/meminfo", "SwapFree:");
}

/*
 * What is freed after a grace period is freed some time after it: this waits
 * until there is no more of it than @least, or for twenty of them in which it has
 * not become less.
 */
static long long settled(long long (*in_use)(void), long long least)
{
	long long now = in_use(), before = now;
	int still;

	for (still = 0; now > least && still < 20; still = now < before ? 0 : still + 1) {
		before = now;
		syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
		usleep(100000);
		now = in_use();
	}
	return now;
}

/* In the middle of a move, that is: it may have been between two of them. */
static bool none_killed(long long before)
{
	return engine_counts() && engine_count("stop_killed") == before;
}

TEST_F_TIMEOUT(killed, leaves_nothing, PATIENCE)
{
	long long killed = engine_count("stop_killed"), tables, swap;
	/* What is relocated is not half relocated, and a range of a page has no middle. */
	const bool counted = variant->live == move_until_killed;
	const int most = counted ? 10 * DEATHS : DEATHS;
	int i;

	live_and_die(_metadata, self->will, variant->kind, variant->live);
	tables = settled(page_tables, 0) + SLACK;
	swap = settled(swap_in_use, 0) + SLOT_SLACK_KIB;
	for (i = 0; i < DEATHS || (i < most && none_killed(killed)); i++)
		live_and_die(_metadata, self->will, variant->kind, variant->live);
	EXPECT_GE(tables, settled(page_tables, tables));
	EXPECT_GE(swap, settled(swap_in_use, swap));
	if (counted)
		EXPECT_ENGINE(1, "stop_killed", killed);
}

#define ARRAY_PIECE	(2UL << 20)	/* one file, mapped again and again */
#define ARRAY_BYTES	(32 * ARRAY_PIECE)
#define ARRAY_RANGES	(ARRAY_BYTES / sizeof(struct uffdio_movev_range))

FIXTURE(refused)
{
	struct uffdio_movev *arg;
	char *ranges;
};

FIXTURE_SETUP(refused)
{
	const char *missing = vectors_missing();
	size_t offset;
	int file;

	if (missing)
		SKIP(return, "%s", missing);
	self->arg = mmap(NULL, sizeof(*self->arg), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->arg);
	self->ranges = mmap(NULL, ARRAY_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->ranges);
	file = memfd_create("ranges", MFD_CLOEXEC);
	ASSERT_LE(0, file);
	ASSERT_EQ(0, ftruncate(file, ARRAY_PIECE));
	for (offset = 0; offset < ARRAY_BYTES; offset += ARRAY_PIECE)
		ASSERT_NE(MAP_FAILED, mmap(self->ranges + offset, ARRAY_PIECE,
					   PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
					   file, 0));
	close(file);
	*self->arg = vector_arg((void *)self->ranges, ARRAY_RANGES, UFFDIO_MOVEV_MODE_GO_ON);
}

FIXTURE_TEARDOWN(refused)
{
	munmap(self->ranges, ARRAY_BYTES);
	munmap(self->arg, sizeof(*self->arg));
}

/* Returns the status of a process that was killed in the middle of the call, if it was in time. */
static int refuse_until_killed(struct uffdio_movev *arg)
{
	struct space s;
	int status = 0;
	pid_t pid;

	arg->done = 0;
	pid = fork();
	if (!pid) {
		if (!space_open(&s, AREA, 0))
			ioctl(s.uffd, UFFDIO_MOVEV, arg);
		_exit(1);
	}
	while (!__atomic_load_n(&arg->done, __ATOMIC_ACQUIRE) && !has_died(pid))
		usleep(1000);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return status;
}

/* No page is moved of ranges that are empty, and whoever moves pages asks for the signal. */
TEST_F_TIMEOUT(refused, hold_up_no_end, PATIENCE)
{
	int tries = 10, status;

	do
		status = refuse_until_killed(self->arg);
	while (!WIFSIGNALED(status) && --tries);
	ASSERT_TRUE(WIFSIGNALED(status));
	EXPECT_LT(0, self->arg->done);
	EXPECT_LT(self->arg->done, ARRAY_RANGES);
}

TEST_HARNESS_MAIN
