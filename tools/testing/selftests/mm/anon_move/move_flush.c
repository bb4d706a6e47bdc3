// SPDX-License-Identifier: GPL-2.0
/*
 * What another CPU has in its TLB while pages move: nobody reads a page at its
 * old address once the call has returned, and nobody writes to it there once
 * it can be seen at the new one.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <linux/mman.h>
#include <sys/mman.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#define AREA	PMD_PAGES

/* How often the new page was waited for, by a fault, before the writer went on. */
#define ENOUGH	200
#define FEW	10

FIXTURE(flush)
{
	struct space space;
	size_t pages;
	unsigned int id;	/* of the first page, 0 if all are zeroes */
	const char *counter;
	long long counted;
};

FIXTURE_VARIANT(flush)
{
	enum page_kind_id kind;
	size_t pages;
	const char *counter;
};

FIXTURE_VARIANT_ADD(flush, one_page) { KIND_SMALL, 1, "moved_small" };
FIXTURE_VARIANT_ADD(flush, few_pages) { KIND_SMALL, 8, "moved_small" };
FIXTURE_VARIANT_ADD(flush, whole_table) { KIND_SMALL, PMD_PAGES, "moved_small" };
FIXTURE_VARIANT_ADD(flush, zero_pages) { KIND_ZERO, 8, "moved_zero" };
FIXTURE_VARIANT_ADD(flush, one_mthp) { KIND_MTHP, MTHP_PAGES, "moved_large" };
FIXTURE_VARIANT_ADD(flush, table_of_mthp) { KIND_MTHP, PMD_PAGES, "moved_large" };
FIXTURE_VARIANT_ADD(flush, thp) { KIND_THP, PMD_PAGES, "moved_pmd" };
FIXTURE_VARIANT_ADD(flush, huge_zero) { KIND_HUGE_ZERO, PMD_PAGES, "moved_zero" };

FIXTURE_SETUP(flush)
{
	const char *missing = move_missing();
	struct space *s = &self->space;

	missing = missing ? missing : kind_missing(variant->kind);
	if (!missing && sysconf(_SC_NPROCESSORS_ONLN) < 2)
		missing = "one CPU has no other's TLB to flush";
	if (missing)
		SKIP(return, "%s", missing);
	self->pages = variant->pages;
	self->id = page_kinds[variant->kind].zeroes ? 0 : 1;
	ASSERT_EQ(0, space_open(s, AREA, UFFD_FEATURE_SIGBUS));
	ASSERT_EQ(0, make_kind(s, variant->kind, 0, self->pages));
	/* Or a look at a missing page leaves a page table there, which splits what comes next. */
	if (variant->kind == KIND_THP)
		ASSERT_EQ(0, space_allow_huge(s));
	ASSERT_EQ(0, space_register_source(s));
	ASSERT_TRUE(catch_sigbus());
	ASSERT_EQ(0, run_on_cpu(0));
	self->counter = variant->counter;
	self->counted = engine_count(self->counter);
}

FIXTURE_TEARDOWN(flush)
{
	space_close(&self->space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(self->pages, self->counter, self->counted);
}

/*
 * A fault that finds the huge page about to leave, and a moment later gone, leaves an empty page
 * table there, so that the page is split when it comes back: that is how the kernel looks twice.
 * Without page tables at the destination, and collapsed, it is as before.
 */
static int make_huge_again(struct space *s)
{
	if (mmap(s->dst, PMD, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != s->dst ||
	    space_allow_huge(s) ||
	    uffd_register(s->uffd, s->dst, PMD, UFFDIO_REGISTER_MODE_MISSING))
		return -1;
	return madvise(s->src, PMD, MADV_COLLAPSE);
}

static int move_to(struct space *s, char *dst, char *src, size_t pages)
{
	return move_pages_of(s->uffd, dst, src, pages * PAGE, 0).err;
}

/* Reads one of the pages until they have moved, then once more. */
struct reader {
	pthread_t thread;
	char *page;
	int phase;	/* 1: it has the translation; 2: the call has returned */
	bool stale;
};

/* The page is there until phase 2, so only a flush can make it go. */
static void *read_on(void *arg)
{
	struct reader *r = arg;

	run_on_cpu(1);
	while (__atomic_load_n(&r->phase, __ATOMIC_ACQUIRE) < 2) {
		touch(r->page);
		__atomic_compare_exchange_n(&r->phase, &(int){ 0 }, 1, false,
					    __ATOMIC_RELEASE, __ATOMIC_RELAXED);
	}
	r->stale = touch(r->page);
	return NULL;
}

/* A flush that is too short misses the last page, or all but the first. */
static size_t some_page(size_t pages, int round)
{
	if (round < 2)
		return round ? pages - 1 : 0;
	return random() % pages;
}

TEST_F_TIMEOUT(flush, no_reads_after_the_call, PATIENCE)
{
	struct space *s = &self->space;
	struct reader r;
	int i;

	for (i = 0; i < 20; i++) {
		r = (struct reader) { .page = s->src + some_page(self->pages, i) * PAGE };
		ASSERT_EQ(0, pthread_create(&r.thread, NULL, read_on, &r));
		while (!__atomic_load_n(&r.phase, __ATOMIC_ACQUIRE))
			sched_yield();
		ASSERT_EQ(0, move_to(s, s->dst, s->src, self->pages));
		__atomic_store_n(&r.phase, 2, __ATOMIC_RELEASE);
		ASSERT_EQ(0, pthread_join(r.thread, NULL));
		ASSERT_FALSE(r.stale)
			TH_LOG("page %zu", (size_t)(r.page - s->src) / PAGE);
		ASSERT_EQ(0, move_to(s, s->src, s->dst, self->pages));
	}
	EXPECT_STREQ("", pages_differ(s->src, self->pages, self->id));
}

enum phase {
	IDLE,
	START,		/* the page is there, write to it */
	HOT,		/* its translation is in the writer's TLB; move it */
	END,
};

/* How far the writer got before SIGBUS. */
enum stage {
	WRITING,	/* the page went away under it: too late to learn anything */
	LOOKING,	/* not yet at the destination: too early */
	SEEN,		/* seen there, and then no write went through: as it must be */
	STALE,		/* seen there, and written to at the source after that */
	STAGES,
};

/**
 * struct writer - writes to the first page for a while, then looks for it at the destination
 * @thread: it
 * @src: a word of the page
 * @dst: where it moves to
 * @delay: how many writes are "a while"
 * @phase: of the round, set by turns by both threads
 * @stage: how far it got
 * @last: what was written last, for sure
 */
struct writer {
	pthread_t thread;
	__u64 *src;
	__u64 *dst;
	unsigned int delay;
	enum phase phase;
	enum stage stage;
	__u64 last;
};

/* SIGBUS may come at any access to the page: what was done before it must be done, and no more. */
static void barrier(void)
{
	asm volatile("" : : : "memory");
}

static void write_word(struct writer *w)
{
	*w->src = w->last + 1;
	barrier();
	w->last++;
	barrier();
}

/*
 * A look that faults waits for the page-table lock, and the mover is through
 * after that. One that does not fault has found the page while the mover may
 * still be at it: already then no translation of the old entry may be left.
 */
static void write_and_look(void *arg)
{
	struct writer *w = arg;
	unsigned int i;

	for (i = 0; i < w->delay; i++)
		write_word(w);
	w->stage = LOOKING;
	barrier();
	asm volatile("" : : "r" (*w->dst) : "memory");
	w->stage = SEEN;
	barrier();
	write_word(w);
	w->stage = STALE;
}

static void *write_on(void *arg)
{
	enum phase phase = IDLE;
	struct writer *w = arg;

	run_on_cpu(1);
	while (phase != END) {
		phase = __atomic_load_n(&w->phase, __ATOMIC_ACQUIRE);
		if (phase != START)
			continue;
		w->stage = WRITING;
		write_word(w);
		__atomic_store_n(&w->phase, HOT, __ATOMIC_RELEASE);
		survives(write_and_look, w);
		__atomic_store_n(&w->phase, IDLE, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void wait_for(struct writer *w, enum phase phase)
{
	while (__atomic_load_n(&w->phase, __ATOMIC_ACQUIRE) != phase)
		;
}

static enum stage write_against_move(struct __test_metadata *_metadata, struct writer *w,
				     struct space *s, size_t pages)
{
	__atomic_store_n(&w->phase, START, __ATOMIC_RELEASE);
	while (__atomic_load_n(&w->phase, __ATOMIC_ACQUIRE) == START)
		;
	ASSERT_EQ(0, move_to(s, s->dst, s->src, pages));
	wait_for(w, IDLE);
	EXPECT_EQ(w->last, *w->dst);
	ASSERT_EQ(0, move_to(s, s->src, s->dst, pages));
	return w->stage;
}

/* As long as the call takes to the flush, on the average: the best moment is just before that. */
static unsigned int next_delay(unsigned int *usual, enum stage stage)
{
	if (stage == WRITING)
		*usual -= *usual / 8;
	else
		*usual += *usual / 8 + 1;
	return *usual * 3 / 4 + random() % (*usual / 2 + 1);
}

/* On a busy host few rounds tell something; there must be some, but they must not take for ever. */
static bool goes_on(const unsigned int met[STAGES], time_t since)
{
	time_t patience = met[SEEN] < FEW ? PATIENCE / 2 : PATIENCE / 120;

	return !met[STALE] && met[SEEN] < ENOUGH && time(NULL) < since + patience;
}

/* Does a write make a huge page of the huge zero page? Else one page, and the others stay zero. */
static bool becomes_huge(char *page)
{
	*page = 0;
	return all_pages(page, PMD_PAGES, PM_HUGE | PM_ZERO, PM_HUGE);
}

TEST_F_TIMEOUT(flush, no_writes_once_visible, PATIENCE)
{
	struct space *s = &self->space;
	struct writer w = { .src = (__u64 *)s->src, .dst = (__u64 *)s->dst };
	time_t since = time(NULL);
	unsigned int usual = 100, split = 0, met[STAGES] = { };
	enum stage stage;

	if (variant->kind == KIND_HUGE_ZERO && becomes_huge(s->src)) {
		self->counter = "moved_large moved_pmd";
		self->counted = engine_count(self->counter);
	}
	ASSERT_EQ(0, pthread_create(&w.thread, NULL, write_on, &w));
	while (goes_on(met, since)) {
		stage = write_against_move(_metadata, &w, s, self->pages);
		w.delay = next_delay(&usual, stage);
		met[stage]++;
		if (variant->kind == KIND_THP && !all_pages(s->src, 1, PM_HUGE, PM_HUGE)) {
			ASSERT_EQ(0, make_huge_again(s));
			split++;
		}
	}
	__atomic_store_n(&w.phase, END, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(w.thread, NULL));
	TH_LOG("too late %u, too early %u, seen %u, stale %u, split %u", met[WRITING], met[LOOKING],
	       met[SEEN], met[STALE], split);
	EXPECT_EQ(0, met[STALE]);
	EXPECT_LE(FEW, met[SEEN] + met[STALE]);
	EXPECT_STREQ("", pages_differ(s->src + PAGE, self->pages - 1, 2 * self->id));
	if (variant->kind == KIND_THP)
		EXPECT_TRUE(all_pages(s->src, self->pages, PM_HUGE, PM_HUGE));
	EXPECT_LE(split, (met[WRITING] + met[LOOKING] + met[SEEN] + met[STALE]) / 4);
}

TEST_HARNESS_MAIN
