// SPDX-License-Identifier: GPL-2.0
/*
 * A process that dies in the middle of a move, with a thread of it asleep on a
 * page that is to come: nothing of it stays behind.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "../../kselftest_harness.h"
#include "rival.h"

#define AREA	(4 * PMD_PAGES)
#define DEATHS	20

/* What may vary from one time to the next: less than any one thing lost at each death. */
#define SLACK	(DEATHS / 2)

/* CPUs keep free swap slots back, 64 each for either use. */
#define SLOT_SLACK_KIB	2048

/* What a child leaves to its parent, in shared memory. */
struct will {
	bool moving;
	__u64 view[AREA];
};

FIXTURE(killed)
{
	struct will *will;
};

FIXTURE_VARIANT(killed)
{
	enum page_kind_id kind;
};

FIXTURE_VARIANT_ADD(killed, small) { KIND_SMALL };
FIXTURE_VARIANT_ADD(killed, mthp) { KIND_MTHP };
FIXTURE_VARIANT_ADD(killed, thp) { KIND_THP };
FIXTURE_VARIANT_ADD(killed, swapped) { KIND_SWAPPED };

FIXTURE_SETUP(killed)
{
	const char *missing = move_missing();

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

/* Returns only if something is wrong. */
static void move_until_killed(struct will *will, enum page_kind_id kind)
{
	struct space s;
	struct rival sleeper = { .space = &s, .once = touch_last_once };
	unsigned int round;

	if (space_open(&s, AREA, 0) || make_kind(&s, kind, 0, AREA) ||
	    look(s.src, AREA, will->view) || space_register_source(&s))
		return;
	if (kind != KIND_SWAPPED && pthread_create(&sleeper.thread, NULL, run_rival, &sleeper))
		return;
	__atomic_store_n(&will->moving, true, __ATOMIC_RELEASE);
	for (round = 0; !move_on(&s, round); round++)
		;
}

static void live_and_die(struct __test_metadata *_metadata, struct will *will,
			 enum page_kind_id kind)
{
	int status = -1;
	pid_t pid;

	memset(will, 0, sizeof(*will));
	pid = fork();
	if (!pid) {
		move_until_killed(will, kind);
		_exit(1);
	}
	ASSERT_LT(0, pid);
	while (!__atomic_load_n(&will->moving, __ATOMIC_ACQUIRE) && !waitpid(pid, NULL, WNOHANG))
		usleep(1000);
	usleep(rand() % 20000);
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(0, frames_kept(will->view, AREA));
}

/* Exact, when what is freed after a grace period has been freed. */
static long long page_tables(void)
{
	usleep(200000);
	write_text("/proc/sys/vm/stat_refresh", "1");
	return read_number("/proc/vmstat", "nr_page_table_pages");
}

TEST_F_TIMEOUT(killed, leaves_nothing, PATIENCE)
{
	long long killed = engine_count("stop_killed"), tables, swap_free;
	int i;

	live_and_die(_metadata, self->will, variant->kind);
	tables = page_tables();
	swap_free = read_number("/proc/meminfo", "SwapFree:");
	for (i = 0; i < DEATHS; i++)
		live_and_die(_metadata, self->will, variant->kind);
	EXPECT_GE(tables + SLACK, page_tables());
	EXPECT_LE(swap_free - SLOT_SLACK_KIB, read_number("/proc/meminfo", "SwapFree:"));
	EXPECT_ENGINE(1, "stop_killed", killed);
}

TEST_HARNESS_MAIN
