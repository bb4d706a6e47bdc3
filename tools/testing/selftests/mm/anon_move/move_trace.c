// SPDX-License-Identifier: GPL-2.0
/*
 * What the trace events say of a call and of its batches, and when a batch flushes the TLB.
 */
#include <sys/stat.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#define AREA	PMD_PAGES
#define TRACING	"/sys/kernel/tracing"
#define OURS	TRACING "/instances/move_trace"

FIXTURE(trace)
{
	struct space space;
	bool made;
};

static bool begin_tracing(void)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	return !write_text(OURS "/set_event_pid", pid) &&
	       !write_text(OURS "/events/anon_move/enable", "1");
}

FIXTURE_SETUP(trace)
{
	const char *missing = move_missing();

	missing = missing ? missing : base_serves();
	if (!missing && access(TRACING "/events/anon_move", F_OK))
		missing = "no " TRACING "/events/anon_move (CONFIG_FTRACE)";
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->space, AREA, 0));
	/* What was left by a run that was killed goes too. */
	rmdir(OURS);
	ASSERT_EQ(0, mkdir(OURS, 0700));
	self->made = true;
	ASSERT_TRUE(begin_tracing());
}

FIXTURE_TEARDOWN(trace)
{
	space_close(&self->space);
	if (self->made)
		rmdir(OURS);
}

/* What the last event of a name said, or "". */
static const char *last_event(const char *name)
{
	static char text[512];
	FILE *file = fopen(OURS "/trace", "re");
	char line[512], *at;

	*text = '\0';
	while (file && fgets(line, sizeof(line), file)) {
		at = strstr(line, name);
		if (at)
			snprintf(text, sizeof(text), "%s", at);
	}
	if (file)
		fclose(file);
	return text;
}

static struct moved move(struct space *s, size_t dst, size_t src, size_t pages)
{
	return move_pages_of(s->uffd, s->dst + dst * PAGE, s->src + src * PAGE, pages * PAGE, 0);
}

static void expect_call(struct __test_metadata *_metadata, size_t pages, int error,
			const char *stop)
{
	const char *event = last_event("anon_move_call: ");
	char said[80];

	snprintf(said, sizeof(said), " done=%lu error=%d stop=%s\n", pages * PAGE, error, stop);
	EXPECT_TRUE(strstr(event, said))
		TH_LOG("not '%s' but '%s'", said, event);
}

static void expect_batch(struct __test_metadata *_metadata, size_t pages, bool flush,
			 const char *stop)
{
	const char *event = last_event("anon_move_batch: ");
	char said[80];

	snprintf(said, sizeof(said), " pages=%zu flush=%d stop=%s\n", pages, flush, stop);
	EXPECT_TRUE(strstr(event, said))
		TH_LOG("not '%s' but '%s'", said, event);
}

/* The caller sees EAGAIN of each, as something was moved. */
TEST_F_TIMEOUT(trace, error_is_the_reason_of_a_partial_move, PATIENCE)
{
	struct space *s = &self->space;
	pid_t pid;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 2));
	ASSERT_EQ(EAGAIN, move(s, 0, 0, 3).err);
	expect_call(_metadata, 2, -ENOENT, "hole");

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 8, 3));
	ASSERT_EQ(0, move(s, 20, 10, 1).err);
	expect_call(_metadata, 1, 0, "done");
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 10, 1));
	ASSERT_EQ(EAGAIN, move(s, 18, 8, 3).err);
	expect_call(_metadata, 2, -EEXIST, "exists");

	pid = share_with_child();
	ASSERT_LT(0, pid);
	fill_pages(s->src + 9 * PAGE, 1, 10);
	ASSERT_EQ(EAGAIN, move(s, 30, 9, 2).err);
	expect_call(_metadata, 1, -EBUSY, "shared");
	end_child(pid);

	ASSERT_EQ(EEXIST, move(s, 18, 10, 1).err);
	expect_call(_metadata, 0, -EEXIST, "exists");
}

TEST_F_TIMEOUT(trace, flush_is_for_what_was_taken, PATIENCE)
{
	struct space *s = &self->space;
	long long flushes;
	pid_t pid;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 2));
	ASSERT_EQ(0, move(s, 0, 0, 1).err);
	expect_batch(_metadata, 1, true, "done");
	pid = share_with_child();
	ASSERT_LT(0, pid);
	flushes = engine_count("flushes");
	ASSERT_EQ(EBUSY, move(s, 1, 1, 1).err);
	expect_batch(_metadata, 0, false, "shared");
	if (engine_counts())
		EXPECT_EQ(flushes, engine_count("flushes"));
	end_child(pid);
}

/* No TLB has what was swapped out, nor is that of a page wrong which has stayed. */
TEST_F_TIMEOUT(trace, swap_entries_need_no_flush, PATIENCE)
{
	struct space *s = &self->space;
	const char *missing = swap_missing();
	long long flushes;
	pid_t pid;

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 4, 1));
	pid = share_with_child();
	ASSERT_LT(0, pid);
	ASSERT_EQ(0, make_kind(s, KIND_SWAPPED, 0, 4));
	ASSERT_EQ(0, make_kind(s, KIND_ZERO, 12, 1));
	ASSERT_EQ(0, make_kind(s, KIND_SWAPPED, 8, 4));
	flushes = engine_count("flushes");
	ASSERT_EQ(EAGAIN, move(s, 0, 0, 5).err);
	expect_batch(_metadata, 4, false, "shared");
	if (engine_counts())
		EXPECT_EQ(flushes, engine_count("flushes"));
	ASSERT_EQ(0, move(s, 8, 8, 5).err);
	expect_batch(_metadata, 5, true, "done");
	EXPECT_ENGINE(1, "flushes", flushes);
	end_child(pid);
	EXPECT_STREQ("", pages_differ(s->dst, 4, 1));
	EXPECT_STREQ("", pages_differ(s->dst + 8 * PAGE, 4, 9));
	EXPECT_STREQ("", pages_differ(s->src + 4 * PAGE, 1, 5));
}

TEST_HARNESS_MAIN
