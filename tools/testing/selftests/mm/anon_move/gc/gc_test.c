// SPDX-License-Identifier: GPL-2.0
/*
 * The collector as a test: each backend with each delivery, under disturbances,
 * and killed; what it says of itself is held against what it should cost.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../../kselftest_harness.h"
#include "../anon_move_test.h"

#define THP		"/sys/kernel/mm/transparent_hugepage/"
#define TAINTED		"/proc/sys/kernel/tainted"
#define SKIPPED		4	/* gc_compaction's "this machine can't do it" */
#define ARGS_MAX	40

/* What one run gave. */
struct outcome {
	int status;
	char names[4096];
	char values[4096];
	char said[800];
};

static const char *program(void)
{
	static char path[4096];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 32);

	path[len > 0 ? len : 0] = '\0';
	dirname(path);
	strcat(path, "/gc_compaction");
	return path;
}

/* Splits at blanks, so that a test can say what it runs in one string. */
static void split(char *text, char **argv)
{
	int n = 0;

	argv[n++] = "gc_compaction";
	while ((argv[n] = strsep(&text, " ")) && n < ARGS_MAX - 1)
		n += *argv[n] != '\0';
	argv[n] = NULL;
}

static pid_t spawn(const char *options, int out, int err)
{
	char text[512], *argv[ARGS_MAX];
	pid_t pid = fork();

	if (pid)
		return pid;
	snprintf(text, sizeof(text), "%s", options);
	split(text, argv);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	execv(program(), argv);
	_exit(127);
}

/* The end of it, if there is more than fits. */
static void read_back(int fd, char *text, size_t len)
{
	off_t end = lseek(fd, 0, SEEK_END), start = end < (off_t)len ? 0 : end - len + 1;
	ssize_t got = pread(fd, text, len - 1, start);

	text[got > 0 ? got : 0] = '\0';
	close(fd);
}

static int scratch(void)
{
	return memfd_create("output", MFD_CLOEXEC);
}

/* Standard output has a line of names and one of values, as it is CSV of one run. */
static void run(struct outcome *o, const char *options)
{
	int out = scratch(), err = scratch(), status;
	char all[512], *newline;
	pid_t pid;

	snprintf(all, sizeof(all), "--format csv %s", options);
	pid = spawn(all, out, err);
	waitpid(pid, &status, 0);
	o->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	read_back(out, o->names, sizeof(o->names));
	read_back(err, o->said, sizeof(o->said));
	newline = strchr(o->names, '\n');
	snprintf(o->values, sizeof(o->values), "%s", newline ? newline + 1 : "");
	if (newline)
		*newline = '\0';
}

/* Returns a column's value, -1 where it is empty, -2 where there is none. */
static double value_of(const struct outcome *o, const char *name)
{
	char names[4096], values[4096], *n = names, *v = values, *key, *value;

	memcpy(names, o->names, sizeof(names));
	memcpy(values, o->values, sizeof(values));
	while ((key = strsep(&n, ",")) && (value = strsep(&v, ",\n")))
		if (!strcmp(key, name))
			return *value ? atof(value) : -1;
	return -2;
}

/* Returns whether it ran; where it can't, the test is skipped. */
static bool ran(struct __test_metadata *_metadata, struct outcome *o, const char *options)
{
	run(o, options);
	if (o->status == SKIPPED)
		SKIP(return false, "%s", o->said);
	EXPECT_EQ(0, o->status)
		TH_LOG("%s: %s", options, o->said);
	return !o->status;
}

/* Columns with blanks between them, with + where one of them is enough: which counted nothing? */
static const char *uncounted(const struct outcome *o, const char *columns)
{
	static char group[64];
	char all[256], *rest = all, *names, *name;
	double sum;

	snprintf(all, sizeof(all), "%s", columns);
	while ((names = strsep(&rest, " "))) {
		snprintf(group, sizeof(group), "%s", names);
		for (sum = 0; (name = strsep(&names, "+"));)
			sum += value_of(o, name);
		if (sum <= 0)
			return group;
	}
	return "";
}

/*
 * What takes two threads at once may not come about in a run of which a busy host
 * lets them have no part together. So it is run until it has, but not for ever.
 */
static bool ran_until(struct __test_metadata *_metadata, struct outcome *o, const char *options,
		      const char *columns)
{
	time_t deadline = time(NULL) + PATIENCE / 4;

	do {
		if (!ran(_metadata, o, options))
			return false;
	} while (*uncounted(o, columns) && time(NULL) < deadline);
	EXPECT_STREQ("", uncounted(o, columns))
		TH_LOG("%s: %s", options, o->said);
	return true;
}

FIXTURE(backends)
{
	struct outcome o;
};

FIXTURE_VARIANT(backends)
{
	const char *backend;
	const char *delivery;
	bool has_wall;
};

FIXTURE_VARIANT_ADD(backends, move_sigbus) {
	.backend = "move", .delivery = "sigbus",
};

FIXTURE_VARIANT_ADD(backends, move_thread) {
	.backend = "move", .delivery = "thread",
};

FIXTURE_VARIANT_ADD(backends, move_uring) {
	.backend = "move", .delivery = "uring",
};

FIXTURE_VARIANT_ADD(backends, vector_sigbus) {
	.backend = "vector", .delivery = "sigbus",
};

FIXTURE_VARIANT_ADD(backends, vector_thread) {
	.backend = "vector", .delivery = "thread",
};

FIXTURE_VARIANT_ADD(backends, vector_uring) {
	.backend = "vector", .delivery = "uring",
};

FIXTURE_VARIANT_ADD(backends, onlypages_sigbus) {
	.backend = "onlypages", .delivery = "sigbus",
};

FIXTURE_VARIANT_ADD(backends, onlypages_thread) {
	.backend = "onlypages", .delivery = "thread",
};

FIXTURE_VARIANT_ADD(backends, onlypages_uring) {
	.backend = "onlypages", .delivery = "uring",
};

FIXTURE_VARIANT_ADD(backends, onlypages_stopped) {
	.backend = "onlypages", .delivery = "stopped",
};

FIXTURE_VARIANT_ADD(backends, copy_sigbus) {
	.backend = "copy", .delivery = "sigbus",
};

FIXTURE_VARIANT_ADD(backends, copy_thread) {
	.backend = "copy", .delivery = "thread",
};

FIXTURE_VARIANT_ADD(backends, copy_uring) {
	.backend = "copy", .delivery = "uring",
};

FIXTURE_VARIANT_ADD(backends, continue_sigbus) {
	.backend = "continue", .delivery = "sigbus",
};

FIXTURE_VARIANT_ADD(backends, continue_thread) {
	.backend = "continue", .delivery = "thread",
};

FIXTURE_VARIANT_ADD(backends, continue_uring) {
	.backend = "continue", .delivery = "uring",
};

FIXTURE_VARIANT_ADD(backends, sigsegv_sigsegv) {
	.backend = "sigsegv", .delivery = "sigsegv",
};

FIXTURE_VARIANT_ADD(backends, mremap_sigbus) {
	.backend = "mremap", .delivery = "sigbus", .has_wall = true,
};

FIXTURE_VARIANT_ADD(backends, mremap_thread) {
	.backend = "mremap", .delivery = "thread", .has_wall = true,
};

FIXTURE_VARIANT_ADD(backends, mremap_uring) {
	.backend = "mremap", .delivery = "uring", .has_wall = true,
};

FIXTURE_VARIANT_ADD(backends, mremap_stopped) {
	.backend = "mremap", .delivery = "stopped", .has_wall = true,
};

FIXTURE_VARIANT_ADD(backends, relocate_stopped) {
	.backend = "relocate", .delivery = "stopped",
};

FIXTURE_SETUP(backends)
{
}

FIXTURE_TEARDOWN(backends)
{
}

static void ten_cycles(struct __test_metadata *_metadata, struct outcome *o,
		       const char *options, bool has_wall)
{
	const bool stopped = strstr(options, "stopped");

	if (!ran_until(_metadata, o, options, stopped ? "pages_produced" : "pages_produced stalls"))
		return;
	/* A wall is met by kernels that can't mremap() several VMAs at once. */
	if (!has_wall || !strstr(o->said, "wall:"))
		EXPECT_EQ(10, value_of(o, "cycles"))
			TH_LOG("%s: %s", options, o->said);
}

static bool moves_by_ring(const char *backend, const char *delivery)
{
	return !strcmp(delivery, "uring") &&
	       (!strcmp(backend, "move") || !strcmp(backend, "vector")) &&
	       !base_serves() && !features_missing(UFFD_FEATURE_MOVE_URING, "");
}

TEST_F_TIMEOUT(backends, shadow_agrees, PATIENCE)
{
	static const char * const threads[] = {
		"--mutators 1 --gc-threads 1", "--mutators 2 --gc-threads 2",
		"--mutators 3 --gc-threads 1", "--mutators 4 --gc-threads 2",
	};
	char options[256];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		snprintf(options, sizeof(options),
			 "--mib 16 --cycles 10 --churn 8 --backend %s --delivery %s --seed %zu %s",
			 variant->backend, variant->delivery, i + 1, threads[i]);
		ten_cycles(_metadata, &self->o, options, variant->has_wall);
		if (moves_by_ring(variant->backend, variant->delivery))
			EXPECT_LT(0, value_of(&self->o, "event_calls_by_ring"));
	}
}

FIXTURE(collector)
{
	struct outcome o;
	char options[256];
};

FIXTURE_SETUP(collector)
{
}

FIXTURE_TEARDOWN(collector)
{
}

/* The backends that move pages by userfaultfd. */
FIXTURE(moving)
{
	struct outcome o;
};

FIXTURE_VARIANT(moving)
{
	const char *backend;
};

FIXTURE_VARIANT_ADD(moving, move) { .backend = "move" };
FIXTURE_VARIANT_ADD(moving, vector) { .backend = "vector" };

FIXTURE_SETUP(moving)
{
}

FIXTURE_TEARDOWN(moving)
{
}

static const char *with(const char *backend, const char *rest)
{
	static char options[256];

	snprintf(options, sizeof(options), "--backend %s %s", backend, rest);
	return options;
}

/*
 * Page tables are all that the kernel allocates, and cold pages stay where they
 * are. The counter also has what an interrupt takes, or a slab that is just full:
 * that is seldom, so not each time.
 */
TEST_F_TIMEOUT(moving, costs_nothing, PATIENCE)
{
	int i;

	if (swap_missing())
		SKIP(return, "%s", swap_missing());
	if (base_serves())
		SKIP(return, "%s", base_serves());
	for (i = 0; i < 3; i++) {
		if (!ran(_metadata, &self->o,
			 with(variant->backend, "--mib 64 --cycles 10 --disturb cold")))
			return;
		if (value_of(&self->o, "pages_allocated") <= value_of(&self->o, "page_tables_new"))
			break;
	}
	EXPECT_EQ(10, value_of(&self->o, "cycles"));
	EXPECT_EQ(0, value_of(&self->o, "bytes_copied"));
	EXPECT_EQ(0, value_of(&self->o, "swap_ins"));
	EXPECT_EQ(0, value_of(&self->o, "vmas_more"));
	EXPECT_EQ(0, value_of(&self->o, "event_pool_empty"));
	EXPECT_LT(0, value_of(&self->o, "page_tables_new"));
	EXPECT_LE(0, value_of(&self->o, "pages_allocated"));
	EXPECT_LE(value_of(&self->o, "pages_allocated"), value_of(&self->o, "page_tables_new"));
}

/* The same counters do count where there is something to count. */
TEST_F_TIMEOUT(collector, copy_costs, PATIENCE)
{
	if (swap_missing())
		SKIP(return, "%s", swap_missing());
	if (!ran(_metadata, &self->o, "--backend copy --mib 64 --cycles 2 --disturb cold"))
		return;
	EXPECT_LT(64 << 20, value_of(&self->o, "bytes_copied"));
	EXPECT_LT(100, value_of(&self->o, "swap_ins"));
	EXPECT_LT(5000, value_of(&self->o, "pages_allocated"));
}

TEST_F_TIMEOUT(moving, memory_pressure, PATIENCE)
{
	if (swap_missing())
		SKIP(return, "%s", swap_missing());
	if (!ran_until(_metadata, &self->o,
		       with(variant->backend, "--mib 32 --cycles 10 --disturb pageout,cold --warm"),
		       "event_pageouts"))
		return;
	EXPECT_EQ(10, value_of(&self->o, "cycles"));
	if (!ran(_metadata, &self->o,
		 with(variant->backend,
		      "--delivery thread --mib 32 --cycles 10 --disturb pageout")))
		return;
	EXPECT_EQ(10, value_of(&self->o, "cycles"));
}

/* Such pages are copied instead, and nothing gets lost by that. */
TEST_F_TIMEOUT(moving, shared_and_pinned, PATIENCE)
{
	if (!ran_until(_metadata, &self->o,
		       with(variant->backend,
			    "--mib 32 --cycles 10 --disturb fork,pin --gc-threads 2"),
		       "event_forks event_pins event_ebusy bytes_copied"))
		return;
	EXPECT_EQ(10, value_of(&self->o, "cycles"));
	if (!ran(_metadata, &self->o,
		 with(variant->backend,
		      "--delivery uring --mib 32 --cycles 10 --disturb fork,pin")))
		return;
	EXPECT_EQ(10, value_of(&self->o, "cycles"));
}

/* What is shared then can't be relocated, and comes all the same. */
TEST_F_TIMEOUT(collector, shared_and_pinned_when_stopped, PATIENCE)
{
	static const char only[] =
		"--backend onlypages --delivery stopped --mib 32 --cycles 10 --disturb fork,pin";

	if (!ran_until(_metadata, &self->o, only,
		       "event_forks event_pins event_ebusy bytes_copied"))
		return;
	EXPECT_EQ(10, value_of(&self->o, "cycles"));
	ran_until(_metadata, &self->o,
		  "--backend relocate --mib 32 --cycles 10 --disturb fork,pin --gc-threads 2",
		  "event_forks event_pins pages_produced");
}

/* Threads that come to the same page at once are told so. */
TEST_F_TIMEOUT(moving, threads_meet, PATIENCE)
{
	ran_until(_metadata, &self->o,
		  with(variant->backend,
		       "--mib 32 --cycles 10 --mutators 4 --gc-threads 2 --churn 5"),
		  "event_eexist+event_enoent event_partial");
}

FIXTURE(large)
{
	struct outcome o;
	char before[64];
};

FIXTURE_VARIANT(large)
{
	const char *file;
	const char *options;
};

FIXTURE_VARIANT_ADD(large, thp) {
	.file = THP "enabled", .options = "--huge thp",
};

FIXTURE_VARIANT_ADD(large, mthp) {
	.file = THP "hugepages-64kB/enabled", .options = "--huge mthp",
};

FIXTURE_VARIANT_ADD(large, vector_thp) {
	.file = THP "enabled", .options = "--huge thp --backend vector",
};

FIXTURE_VARIANT_ADD(large, vector_mthp) {
	.file = THP "hugepages-64kB/enabled", .options = "--huge mthp --backend vector",
};

/* The chosen word is the one in brackets. */
FIXTURE_SETUP(large)
{
	char text[128] = "", *from, *to;
	int fd = open(variant->file, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		SKIP(return, "no %s", variant->file);
	close(fd);
	from = strchr(text, '[');
	to = strchr(text, ']');
	ASSERT_TRUE(from && to);
	*to = '\0';
	snprintf(self->before, sizeof(self->before), "%s", from + 1);
	if (write_text(variant->file, "madvise"))
		SKIP(return, "can't write %s: needs root", variant->file);
}

FIXTURE_TEARDOWN(large)
{
	if (*self->before)
		write_text(variant->file, self->before);
}

TEST_F_TIMEOUT(large, folios, PATIENCE)
{
	char options[256];

	snprintf(options, sizeof(options), "--mib 32 --cycles 10 %s", variant->options);
	ten_cycles(_metadata, &self->o, options, false);
	strcat(options, " --delivery thread --gc-threads 2 --mutators 3");
	ten_cycles(_metadata, &self->o, options, false);
}

/* Where nothing is registered, pieces merge if their pages are relocated; pages alone are none. */
TEST_F_TIMEOUT(collector, vmas_of_a_stopped_heap, PATIENCE)
{
	static const char * const good[] = {
		"--backend relocate --mib 32 --cycles 4",
		"--backend onlypages --delivery stopped --mib 32 --cycles 4",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		if (!ran(_metadata, &self->o, good[i]))
			return;
		EXPECT_EQ(4, value_of(&self->o, "cycles"));
		EXPECT_EQ(0, value_of(&self->o, "bytes_copied"));
		EXPECT_EQ(0, value_of(&self->o, "vmas_more"))
			TH_LOG("%s", good[i]);
	}
	if (!ran(_metadata, &self->o, "--backend mremap --delivery stopped --mib 32 --cycles 1"))
		return;
	EXPECT_LT(300, value_of(&self->o, "vmas_more"));
	EXPECT_LT(300, value_of(&self->o, "vmas_end"));
}

static void meets(struct __test_metadata *_metadata, struct outcome *o, const char *wall,
		  const char *options)
{
	run(o, options);
	EXPECT_EQ(0, o->status);
	EXPECT_NE(NULL, strstr(o->said, wall))
		TH_LOG("%s: %s", options, o->said);
}

/* Both rivals that pay with VMAs go on with less, and say so. */
TEST_F_TIMEOUT(collector, walls, PATIENCE)
{
	meets(_metadata, &self->o, "wall: mprotect() of a page: ENOMEM",
	      "--backend sigsegv --mib 32 --cycles 5 --mutators 3 --spare-vmas 250");
	EXPECT_EQ(5, value_of(&self->o, "cycles"));
	meets(_metadata, &self->o, "wall: mremap() of a page: ENOMEM",
	      "--backend mremap --mib 32 --cycles 1 --spare-vmas 250");
	meets(_metadata, &self->o, "wall: mremap() of a page: ENOMEM",
	      "--backend mremap --delivery stopped --mib 32 --cycles 1 --spare-vmas 250");
}

/* In the middle of whatever; the next run finds nothing of it. */
TEST_F_TIMEOUT(collector, killed, PATIENCE)
{
	long long tainted = read_number(TAINTED, "");
	int said, i, status;
	pid_t pid;

	for (i = 1; i <= 6; i++) {
		said = scratch();
		pid = spawn("--mib 16 --cycles 100000 --mutators 3 --disturb fork,pin", said, said);
		ASSERT_LT(0, pid);
		usleep(i * 400000);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		read_back(said, self->o.said, sizeof(self->o.said));
		ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
			TH_LOG("it ended by itself: %s", self->o.said);
	}
	if (!ran(_metadata, &self->o, "--mib 16 --cycles 3"))
		return;
	EXPECT_EQ(3, value_of(&self->o, "cycles"));
	EXPECT_EQ(tainted, read_number(TAINTED, ""));
}

TEST_F_TIMEOUT(collector, checker_notices, PATIENCE)
{
	run(&self->o, "--self-check --mib 16 --cycles 2");
	EXPECT_EQ(0, self->o.status)
		TH_LOG("%s\n%s", self->o.names, self->o.values);
	EXPECT_EQ(NULL, strstr(self->o.values, "not ok"));
	EXPECT_NE(NULL, strstr(self->o.values, "a lost page of a leaf: "));
}

/* One clear line, and nothing on standard output. */
TEST_F_TIMEOUT(collector, wrong_options, PATIENCE)
{
	static const char * const wrong[] = {
		"--backend nobody", "--delivery pigeon", "--mib 0", "--mib 64k", "--cycles -1",
		"--regions dense", "--regions dense:95:50", "--disturb all", "--what", "extra",
		"--backend sigsegv,move --format xml", "--backend move --delivery sigsegv",
		"--backend move --delivery stopped", "--backend vector --delivery stopped",
		"--backend mremap --delivery stopped --huge thp",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		run(&self->o, wrong[i]);
		EXPECT_EQ(2, self->o.status)
			TH_LOG("%s", wrong[i]);
		EXPECT_NE(NULL, strstr(self->o.said, "gc_compaction: "));
	}
}

TEST_HARNESS_MAIN
