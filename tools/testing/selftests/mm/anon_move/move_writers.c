// SPDX-License-Identifier: GPL-2.0
/*
 * A long move gives way: whoever write-locks one of its VMAs meanwhile, for
 * another part of it, waits for a fraction of the move.
 */
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <linux/mman.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

/* Pages behind those that move, for the writer; and what its worst wait may be of the move. */
#define EXTRA		(8 * PMD_PAGES)
#define FRACTION	50

/* Fewer pages than that don't move in enough batches. */
#define LEAST		(64 * PMD_PAGES)

/*
 * The clock is the batches of the move, as a busy host stretches all others.
 * What a change costs of itself is no wait. A try may fail all the same, where
 * the host lets the two CPUs run by turns, and most of all where the change takes
 * long itself, as fork() does; it always does if no batch gives way. Nor does one
 * count that was over before the host let the writer ask.
 */
#define BATCH		"anon_move_ptes"
#define TRIES		20

/**
 * struct writer - a thread that changes VMAs, and how long each change has to wait
 * @thread: it
 * @space: the source and the destination, changed by turns
 * @spare: where mremap() takes pages to
 * @write: changes the VMA of an area, or -1
 * @changes: how often it did so
 * @left: pages of either area that it has not given away
 * @batches: counts those of the mover
 * @batch: nanoseconds that one takes when nobody waits
 * @worst: the longest wait for a change in nanoseconds, since this was set to 0
 * @measured: changes since then
 * @failed: changes that the kernel refused
 * @stop: it shall end
 */
struct writer {
	pthread_t thread;
	struct space *space;
	char *spare;
	int (*write)(struct writer *w, char *area);
	unsigned long changes;
	size_t left;
	int batches;
	long long batch;
	long long worst;
	int measured;
	int failed;
	bool stop;
};

static char *last_page(const struct writer *w, char *area)
{
	return area + (w->left - 1) * PAGE;
}

static int protect(struct writer *w, char *area)
{
	return mprotect(last_page(w, area), PAGE,
			w->changes & 2 ? PROT_READ : PROT_READ | PROT_WRITE);
}

static int unmap_and_map(struct writer *w, char *area)
{
	char *page = last_page(w, area);

	return munmap(page, PAGE) ||
	       mmap(page, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
		    0) != page ? -1 : 0;
}

static int move_away(struct writer *w, char *area)
{
	char *page = last_page(w, area);

	return mremap(page, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, w->spare) == w->spare ?
		0 : -1;
}

/* The areas are MADV_DONTFORK: their VMAs are locked, but nothing of them is shared or copied. */
static int fork_child(struct writer *w, char *area)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return pid < 0 ? -1 : 0;
}

FIXTURE(writers)
{
	struct space space;
	size_t pages;
	long long calls;
};

FIXTURE_VARIANT(writers)
{
	int (*write)(struct writer *w, char *area);
};

FIXTURE_VARIANT_ADD(writers, mprotect) { protect };
FIXTURE_VARIANT_ADD(writers, munmap_and_mmap) { unmap_and_map };
FIXTURE_VARIANT_ADD(writers, mremap) { move_away };
FIXTURE_VARIANT_ADD(writers, fork) { fork_child };

/* Pages for which there is room in so much memory. */
static size_t room_in(const char *memory)
{
	return read_number("/proc/meminfo", memory) * 1024 / PAGE * 2 / 3 / PMD_PAGES * PMD_PAGES;
}

/*
 * 1 GiB, if there is memory for it; less where everything takes a hundred times as
 * long. Memory of a test that was killed for its time comes back in a while.
 */
static size_t pages_to_move(void)
{
	size_t gib = (1UL << 30) / PAGE, most = access("/proc/lockdep", F_OK) ? gib : gib / 4;
	time_t deadline = time(NULL) + PATIENCE / 8;
	size_t room = room_in("MemAvailable:");

	while (room < LEAST && time(NULL) < deadline) {
		usleep(100000);
		room = room_in("MemAvailable:");
	}
	if (most < LEAST)
		most = LEAST;
	return room < most ? room : most;
}

FIXTURE_SETUP(writers)
{
	const char *missing = move_missing();
	struct space *s = &self->space;

	missing = missing ? missing : base_serves();
	missing = missing ? missing : calls_missing();
	if (!missing && sysconf(_SC_NPROCESSORS_ONLN) < 2)
		missing = "one CPU does one thing at a time";
	if (!missing && room_in("MemTotal:") < LEAST)
		missing = "too little memory for a long move";
	if (missing)
		SKIP(return, "%s", missing);
	self->pages = pages_to_move();
	ASSERT_LE(LEAST, self->pages);
	ASSERT_EQ(0, space_open(s, self->pages + EXTRA, UFFD_FEATURE_SIGBUS));
	ASSERT_EQ(0, madvise(s->src, s->pages * PAGE, MADV_DONTFORK));
	ASSERT_EQ(0, madvise(s->dst, s->pages * PAGE, MADV_DONTFORK));
	ASSERT_EQ(0, madvise(s->src, s->pages * PAGE, MADV_POPULATE_WRITE));
	ASSERT_EQ(0, space_register_source(s));
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(writers)
{
	space_close(&self->space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

/* A word of each page must do: patterns for a GiB would take longer than all else. */
static void stamp(char *area, size_t pages)
{
	size_t i;

	for (i = 0; i < pages; i++)
		*(size_t *)(area + i * PAGE) = i + 1;
}

static size_t stamped(const char *area, size_t pages)
{
	size_t i;

	for (i = 0; i < pages; i++)
		if (*(const size_t *)(area + i * PAGE) != i + 1)
			break;
	return i;
}

static long long cpu_time(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* A child is waited for afterwards: that is no wait for the mover. */
static long long change(struct writer *w)
{
	long long batches = calls_count(w->batches), worked = cpu_time();

	w->failed += w->write(w, w->changes & 1 ? w->space->dst : w->space->src) != 0;
	worked = cpu_time() - worked;
	batches = calls_count(w->batches) - batches;
	while (waitpid(-1, NULL, 0) > 0)
		;
	return batches * w->batch - worked;
}

static void *write_on(void *arg)
{
	const struct sched_param first = { .sched_priority = 1 };
	struct writer *w = arg;
	long long waited;

	/* Or a child might run before its parent goes on. */
	w->failed += sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first) != 0;
	run_on_cpu(1);
	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED) && w->left > w->space->pages - EXTRA) {
		waited = change(w);
		if (waited > w->worst)
			w->worst = waited;
		/* A page of the destination follows one of the source. */
		w->left -= w->changes & 1;
		w->changes++;
		__atomic_fetch_add(&w->measured, 1, __ATOMIC_RELAXED);
		usleep(200);
	}
	return NULL;
}

static void move_all(struct __test_metadata *_metadata, struct writer *w, bool back)
{
	struct space *s = w->space;
	long long len = (s->pages - EXTRA) * PAGE;
	struct moved moved;

	moved = move_pages_of(s->uffd, back ? s->src : s->dst, back ? s->dst : s->src, len, 0);
	EXPECT_EQ(0, moved.err);
	ASSERT_EQ(len, moved.bytes);
}

/* There and back, without a writer. */
static void measure_batch(struct __test_metadata *_metadata, struct writer *w)
{
	long long batches = calls_count(w->batches), worked = cpu_time();

	move_all(_metadata, w, false);
	move_all(_metadata, w, true);
	w->batch = (cpu_time() - worked) / (calls_count(w->batches) - batches);
}

/* New pages for the writer, and one VMA again with those that move. */
static int restock(struct writer *w)
{
	char *areas[2] = { w->space->src, w->space->dst }, *extra;
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
	const size_t len = EXTRA * PAGE;
	int i;

	for (i = 0; i < 2; i++) {
		extra = areas[i] + (w->space->pages - EXTRA) * PAGE;
		if (mmap(extra, len, PROT_READ | PROT_WRITE, flags, -1, 0) != extra ||
		    madvise(extra, len, MADV_DONTFORK) ||
		    uffd_register(w->space->uffd, extra, len, UFFDIO_REGISTER_MODE_MISSING))
			return -1;
	}
	/* As the rest of it, see space_open(). */
	madvise(w->space->src, w->space->pages * PAGE, MADV_NOHUGEPAGE);
	w->left = w->space->pages;
	return 0;
}

/* Is the writer's worst wait a small enough fraction of the move? */
static bool move_against_writer(struct __test_metadata *_metadata, struct writer *w, bool back)
{
	long long batches = calls_count(w->batches), stops = engine_count("stop_writer");
	bool stopped;

	ASSERT_EQ(0, restock(w));
	w->worst = 0;
	w->measured = 0;
	w->stop = false;
	ASSERT_EQ(0, pthread_create(&w->thread, NULL, write_on, w));
	while (!__atomic_load_n(&w->measured, __ATOMIC_RELAXED))
		;
	move_all(_metadata, w, back);
	batches = calls_count(w->batches) - batches;
	__atomic_store_n(&w->stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(w->thread, NULL));

	EXPECT_EQ(0, w->failed);
	stopped = !engine_counts() || engine_count("stop_writer") > stops;
	TH_LOG("%d changes, worst wait %lld of %lld batches%s", w->measured,
	       w->worst / w->batch, batches, stopped ? "" : ", and none has given way");
	return stopped && w->worst * FRACTION < batches * w->batch;
}

TEST_F_TIMEOUT(writers, wait_for_a_fraction, PATIENCE)
{
	struct space *s = &self->space;
	struct writer w = { .space = s, .write = variant->write };
	time_t deadline = time(NULL) + PATIENCE / 4;
	bool held = false;
	int try;

	w.spare = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	w.batches = calls_open(BATCH, 0);
	ASSERT_LE(0, w.batches);
	stamp(s->src, self->pages);
	ASSERT_EQ(0, run_on_cpu(0));
	measure_batch(_metadata, &w);
	for (try = 0; !held && (try < TRIES || time(NULL) < deadline); try++)
		held = move_against_writer(_metadata, &w, try & 1);
	EXPECT_TRUE(held);
	EXPECT_EQ(self->pages, stamped(try & 1 ? s->dst : s->src, self->pages));
}

TEST_HARNESS_MAIN
