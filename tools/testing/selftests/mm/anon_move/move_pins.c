// SPDX-License-Identifier: GPL-2.0
/*
 * A pin that comes while the page moves: either it is refused or the page stays
 * where it is, with its reverse map as it was.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <sys/uio.h>
#include <liburing.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#define AREA	PMD_PAGES

/* How often each must have come first. */
#define ENOUGH	150
#define FEW	10

/*
 * In turns of spin(), of a few instructions each. Where both CPUs run on one of
 * the host's, the lag is a time slice of the host, or some.
 */
#define STEP_MIN	32
#define STEP_MAX	(LAG_MAX / 4)
#define LAG_MAX		(64 << 20)

/* What is moved and pinned. */
struct trial {
	struct space space;
	enum page_kind_id kind;
	size_t pages;
};

FIXTURE(pins)
{
	struct trial trial;
	long long counted;
};

FIXTURE_VARIANT(pins)
{
	enum page_kind_id kind;
	size_t pages;
	const char *counter;
};

FIXTURE_VARIANT_ADD(pins, one_page) { KIND_SMALL, 1, "moved_small" };
FIXTURE_VARIANT_ADD(pins, few_pages) { KIND_SMALL, 8, "moved_small" };
FIXTURE_VARIANT_ADD(pins, mthp) { KIND_MTHP, MTHP_PAGES, "moved_large" };
FIXTURE_VARIANT_ADD(pins, thp) { KIND_THP, PMD_PAGES, "moved_pmd" };

static void make(struct __test_metadata *_metadata, struct trial *t)
{
	struct space *s = &t->space;

	ASSERT_EQ(0, space_open(s, AREA, UFFD_FEATURE_SIGBUS));
	ASSERT_EQ(0, make_kind(s, t->kind, 0, t->pages));
	/* Or to pin a missing page leaves a page table there, which splits what comes next. */
	if (t->kind == KIND_THP)
		ASSERT_EQ(0, space_allow_huge(s));
	ASSERT_EQ(0, space_register_source(s));
}

FIXTURE_SETUP(pins)
{
	struct trial *t = &self->trial;
	const char *missing = move_missing();

	missing = missing ? missing : kind_missing(variant->kind);
	/* Without it nothing tells a wrong reverse map; and the base splits large folios. */
	missing = missing ? missing : swap_missing();
	if (!missing && variant->kind == KIND_MTHP)
		missing = base_serves();
	if (!missing && sysconf(_SC_NPROCESSORS_ONLN) < 2)
		missing = "one CPU does one thing at a time";
	if (missing)
		SKIP(return, "%s", missing);
	t->kind = variant->kind;
	t->pages = variant->pages;
	make(_metadata, t);
	self->counted = engine_count(variant->counter);
}

FIXTURE_TEARDOWN(pins)
{
	space_close(&self->trial.space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(FEW * variant->pages, variant->counter, self->counted);
}

enum phase {
	IDLE,
	START,		/* the pages are there */
	READY,		/* both begin */
	MOVED,		/* the call has returned */
	END,
};

/**
 * struct pinner - the thread that pins, and how far it is ahead of the one that moves
 * @thread: it
 * @ring: what it pins for
 * @page: what it pins
 * @lag: for how long it waits before it begins; if negative, the mover waits
 * @step: by how much more or less the next time
 * @phase: of the round, set by turns by both threads
 * @pinned: the pin was granted, and held until the call returned
 */
struct pinner {
	pthread_t thread;
	struct io_uring ring;
	char *page;
	int lag;
	int step;
	enum phase phase;
	bool pinned;
};

static void spin(int turns)
{
	while (turns-- > 0)
		asm volatile("");
}

static void set_phase(struct pinner *p, enum phase phase)
{
	__atomic_store_n(&p->phase, phase, __ATOMIC_RELEASE);
}

static enum phase wait_for(struct pinner *p, enum phase phase)
{
	enum phase now;

	do {
		now = __atomic_load_n(&p->phase, __ATOMIC_ACQUIRE);
	} while (now != phase && now != END);
	return now;
}

static void *pin_on(void *arg)
{
	struct pinner *p = arg;

	run_on_cpu(1);
	while (wait_for(p, START) != END) {
		struct iovec iov = { .iov_base = p->page, .iov_len = PAGE };

		set_phase(p, READY);
		spin(p->lag);
		p->pinned = !io_uring_register_buffers(&p->ring, &iov, 1);
		wait_for(p, MOVED);
		if (p->pinned)
			io_uring_unregister_buffers(&p->ring);
		set_phase(p, IDLE);
	}
	return NULL;
}

/* Both at once; the pages that have moved are at their destination then. */
static size_t pin_against_move(struct __test_metadata *_metadata, struct trial *t, struct pinner *p)
{
	struct space *s = &t->space;
	struct moved moved;

	set_phase(p, START);
	wait_for(p, READY);
	spin(-p->lag);
	moved = move_pages_of(s->uffd, s->dst, s->src, t->pages * PAGE, 0);
	set_phase(p, MOVED);
	wait_for(p, IDLE);
	EXPECT_TRUE(!moved.err || moved.err == EBUSY || moved.err == EAGAIN)
		TH_LOG("errno %d", moved.err);
	return moved.bytes > 0 ? moved.bytes / PAGE : 0;
}

/* Reclaim finds a page by its reverse map, so one that was put back with a wrong one stays. */
static void check_left(struct __test_metadata *_metadata, struct space *s, size_t done,
		       size_t pages)
{
	ASSERT_EQ(0, page_out(s->src + done * PAGE, 1));
	ASSERT_STREQ("", pages_differ(s->dst, done, 1));
	ASSERT_STREQ("", pages_differ(s->src + done * PAGE, pages - done, done + 1));
}

/*
 * Search for the lag with which it is a matter of luck who comes first: then
 * the two meet between the look at the pin count and the clearing of the entry.
 */
static void adjust(struct pinner *p, bool as_before)
{
	p->step = as_before ? p->step * 3 / 2 : p->step / 2 + STEP_MIN;
	if (p->step > STEP_MAX)
		p->step = STEP_MAX;
	p->lag += (p->pinned ? 1 : -1) * (random() % p->step);
	if (abs(p->lag) > LAG_MAX)
		p->lag = 0;
}

static void duel(struct __test_metadata *_metadata, struct trial *t, struct pinner *p)
{
	size_t done, page = t->pages / 2, unit = page_kinds[t->kind].unit;
	struct space *s = &t->space;

	p->page = s->src + page * PAGE;
	done = pin_against_move(_metadata, t, p);
	if (p->pinned)
		ASSERT_LE(done, page / unit * unit)
			TH_LOG("page %zu has moved though it was pinned", page);
	if (done < t->pages) {
		check_left(_metadata, s, done, t->pages);
		/* Swapped out it is no more of its kind. */
		space_close(s);
		make(_metadata, t);
	} else {
		ASSERT_EQ(0, move_surely(s->uffd, s->src, s->dst, t->pages * PAGE).err);
	}
}

/* On a busy host each round takes long; there must be some, but they must not take for ever. */
static bool goes_on(unsigned int pinned, unsigned int refused, time_t since)
{
	unsigned int least = pinned < refused ? pinned : refused;
	time_t patience = least < FEW ? PATIENCE * 3 / 4 : PATIENCE / 60;

	return least < ENOUGH && time(NULL) < since + patience;
}

/* R4 where the pages are a huge one. */
TEST_F_TIMEOUT(pins, R3_R4_pins_against_moves, PATIENCE)
{
	struct pinner p = { .step = STEP_MIN };
	unsigned int met[2] = { };
	bool before = false;
	time_t since = time(NULL);

	if (io_uring_queue_init(4, &p.ring, 0))
		SKIP(return, "no io_uring in this kernel");
	ASSERT_EQ(0, run_on_cpu(0));
	ASSERT_EQ(0, pthread_create(&p.thread, NULL, pin_on, &p));
	while (goes_on(met[true], met[false], since)) {
		duel(_metadata, &self->trial, &p);
		met[p.pinned]++;
		adjust(&p, p.pinned == before);
		before = p.pinned;
	}
	set_phase(&p, END);
	ASSERT_EQ(0, pthread_join(p.thread, NULL));
	io_uring_queue_exit(&p.ring);
	TH_LOG("pinned %u, refused %u, lag %d", met[true], met[false], p.lag);
	EXPECT_LE(FEW, met[true]);
	EXPECT_LE(FEW, met[false]);
}

TEST_HARNESS_MAIN
