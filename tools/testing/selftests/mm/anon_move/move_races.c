// SPDX-License-Identifier: GPL-2.0
/*
 * Short races: two things at once, a bounded number of times, and every byte
 * checked afterwards. Under the debug kernel lockdep and KASAN watch.
 */
#include <sys/syscall.h>
#include <linux/mempolicy.h>
#include <linux/mman.h>

#include "../../kselftest_harness.h"
#include "rival.h"

#define AREA	(2 * PMD_PAGES)
#define ROUNDS	200

/* Both areas are registered: a page that is away gives SIGBUS, or EFAULT to the kernel. */
FIXTURE(races)
{
	struct space space;
	long long counted;
	long long calls;
};

FIXTURE_SETUP(races)
{
	const char *missing = move_missing();
	struct space *s = &self->space;

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(s, AREA, UFFD_FEATURE_SIGBUS));
	ASSERT_TRUE(catch_sigbus());
	self->counted = engine_count(MOVED_ANYHOW);
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(races)
{
	space_close(&self->space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

#define TOUCHED	PMD_PAGES

/* Last page first: a move goes the other way, so the two meet if both begin at once. */
static void touch_all(void *area)
{
	size_t i;

	for (i = TOUCHED; i > 0; i--)
		asm volatile("" : : "r" (*((char *)area + (i - 1) * PAGE)));
}

/* @r->arg has an area for each time that it is to. */
static void touch_once(struct rival *r)
{
	char *area = __atomic_exchange_n((char **)r->arg, NULL, __ATOMIC_ACQUIRE);

	if (!area)
		return;
	survives(touch_all, area);
	__atomic_fetch_add(&r->hits, 1, __ATOMIC_RELEASE);
}

/* Nobody has used the pages when both begin; the next time is when both have ended. */
static void touch_against_move(struct __test_metadata *_metadata, struct rival *r, char *dst,
			       char *src)
{
	unsigned long hits = __atomic_load_n(&r->hits, __ATOMIC_ACQUIRE);

	ASSERT_EQ(0, madvise(src, TOUCHED * PAGE, MADV_COLD));
	__atomic_store_n((char **)r->arg, src, __ATOMIC_RELEASE);
	ASSERT_EQ(0, move_pages_of(r->space->uffd, dst, src, TOUCHED * PAGE, 0).err);
	while (__atomic_load_n(&r->hits, __ATOMIC_ACQUIRE) == hits)
		sched_yield();
}

/*
 * V1: the CPU sets accessed and dirty bits at any time; that is no other page.
 * It only sets those that are not set, so each move is of pages that nobody used.
 */
TEST_F_TIMEOUT(races, V1_touches_against_moves, PATIENCE)
{
	struct space *s = &self->space;
	char *area = NULL;
	struct rival r = { .space = s, .once = touch_once, .arg = &area };
	long long raced = engine_count("stop_raced");
	int i;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, TOUCHED));
	ASSERT_EQ(0, space_register_source(s));
	start(_metadata, &r);
	for (i = 0; i < ROUNDS; i++) {
		touch_against_move(_metadata, &r, s->dst, s->src);
		touch_against_move(_metadata, &r, s->src, s->dst);
	}
	stop(_metadata, &r);
	EXPECT_STREQ("", pages_differ(s->src, TOUCHED, 1));
	EXPECT_ENGINE(2 * TOUCHED * ROUNDS, MOVED_ANYHOW, self->counted);
	EXPECT_EQ(raced, engine_count("stop_raced"));
}

static void collapse_once(struct rival *r)
{
	r->hits += !madvise(r->space->src, PMD, MADV_COLLAPSE);
	r->hits += !madvise(r->space->dst, PMD, MADV_COLLAPSE);
}

/* R7: page tables turn into huge entries and back under the walk. */
TEST_F_TIMEOUT(races, R7_collapse_against_moves, PATIENCE)
{
	struct space *s = &self->space;
	struct rival r = { .space = s, .once = collapse_once };
	const char *missing = kind_missing(KIND_THP);
	int i;

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, PMD_PAGES));
	ASSERT_EQ(0, space_register_source(s));
	ASSERT_EQ(0, madvise(s->src, PMD, MADV_HUGEPAGE));
	start(_metadata, &r);
	for (i = 0; goes_on(&r, i, 20); i++) {
		ASSERT_EQ(0, move_there_and_back(s, PMD_PAGES));
		ASSERT_EQ(0, move_there_and_back(s, PMD_PAGES / 2));
	}
	stop(_metadata, &r);
	EXPECT_STREQ("", pages_differ(s->src, PMD_PAGES, 1));
	EXPECT_ENGINE(3 * 20 * PMD_PAGES, MOVED_ANYHOW, self->counted);
}

static void drop_once(struct rival *r)
{
	r->hits += !madvise(r->space->dst, PMD, MADV_DONTNEED);
	r->hits += !madvise(r->space->src + PMD, PMD, MADV_DONTNEED);
}

/* R7 again: pages vanish; what is left must be where it was put. */
TEST_F_TIMEOUT(races, R7_dontneed_against_moves, PATIENCE)
{
	struct space *s = &self->space;
	struct rival r = { .space = s, .once = drop_once };
	struct moved moved;
	size_t n;
	int i;

	start(_metadata, &r);
	for (i = 0; goes_on(&r, i, ROUNDS); i++) {
		fill_pages(s->src + PMD, 32, 1);
		moved = move_pages_of(s->uffd, s->dst, s->src + PMD, 32 * PAGE, 0);
		n = moved.bytes > 0 ? moved.bytes / PAGE : 0;
		ASSERT_LE(n, 32);
		EXPECT_TRUE(!moved.err || moved.err == EAGAIN || moved.err == ENOENT ||
			    moved.err == EEXIST)
			TH_LOG("errno %d", moved.err);
	}
	stop(_metadata, &r);
	ASSERT_EQ(0, madvise(s->dst, PMD, MADV_DONTNEED));
	fill_pages(s->src + PMD, 32, 1);
	EXPECT_EQ(0, move_pages_of(s->uffd, s->dst, s->src + PMD, 32 * PAGE, 0).err);
	EXPECT_STREQ("", pages_differ(s->dst, 32, 1));
}

static void migrate_once(struct rival *r)
{
	char *pages[4] = { r->space->src, r->space->dst,
			   r->space->src + PMD / 2, r->space->dst + PMD / 2 };
	int node = r->rounds & 1, nodes[4] = { node, node, node, node }, status[4];

	/* Pages that are away or busy are no failure. */
	syscall(__NR_move_pages, 0, 4, pages, nodes, status, MPOL_MF_MOVE);
	r->hits = read_number("/proc/vmstat", "pgmigrate_success") - *(long long *)r->arg;
}

/* R14, R17: entries of pages under migration, waited for under the right lock. */
static void migrate_against_moves(struct __test_metadata *_metadata, struct space *s,
				  enum page_kind_id kind)
{
	long long migrated;
	struct rival r = { .space = s, .once = migrate_once, .arg = &migrated };
	long long before = engine_count(MOVED_ANYHOW);
	const char *missing = kind_missing(kind);
	int i;

	if (!missing && access("/sys/devices/system/node/node1", F_OK))
		missing = "one NUMA node only (numa=fake=2 makes two)";
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, make_kind(s, kind, 0, PMD_PAGES));
	ASSERT_EQ(0, space_register_source(s));
	migrated = read_number("/proc/vmstat", "pgmigrate_success");
	start(_metadata, &r);
	for (i = 0; goes_on(&r, i, ROUNDS / 4); i++)
		ASSERT_EQ(0, move_there_and_back(s, PMD_PAGES));
	/* Half of it, which splits what is huge. */
	for (i = 0; goes_on(&r, i, ROUNDS / 4); i++)
		ASSERT_EQ(0, move_there_and_back(s, PMD_PAGES / 2));
	stop(_metadata, &r);
	EXPECT_STREQ("", pages_differ(s->src, PMD_PAGES, 1));
	EXPECT_ENGINE(3 * PMD_PAGES * (ROUNDS / 4), MOVED_ANYHOW, before);
}

TEST_F_TIMEOUT(races, R14_migration_against_moves, PATIENCE)
{
	migrate_against_moves(_metadata, &self->space, KIND_SMALL);
}

TEST_F_TIMEOUT(races, R14_R17_huge_migration_against_moves, PATIENCE)
{
	const char *base = base_serves();

	if (base)
		SKIP(return, "%s", base);
	migrate_against_moves(_metadata, &self->space, KIND_THP);
}

/* R8: movers of the parts of one folio, each of whose references makes the others' splits fail. */
#define MOVERS	4
#define FOLIOS	50

struct mover {
	pthread_t thread;
	pthread_barrier_t *start;
	struct space *space;
	size_t first;
	struct moved moved;
};

static void *move_part(void *arg)
{
	struct mover *m = arg;
	size_t offset = m->first * PAGE;

	pthread_barrier_wait(m->start);
	m->moved = move_surely(m->space->uffd, m->space->dst + offset, m->space->src + offset,
			       PMD / MOVERS);
	return NULL;
}

static void move_in_parts(struct __test_metadata *_metadata, struct space *s)
{
	struct mover movers[MOVERS];
	pthread_barrier_t start;
	int i;

	ASSERT_EQ(0, pthread_barrier_init(&start, NULL, MOVERS));
	ASSERT_EQ(0, make_kind(s, KIND_THP_BY_PTES, 0, PMD_PAGES));
	for (i = 0; i < MOVERS; i++) {
		movers[i] = (struct mover) { .start = &start, .space = s,
			.first = i * PMD_PAGES / MOVERS };
		ASSERT_EQ(0, pthread_create(&movers[i].thread, NULL, move_part, &movers[i]));
	}
	for (i = 0; i < MOVERS; i++) {
		ASSERT_EQ(0, pthread_join(movers[i].thread, NULL));
		ASSERT_EQ(0, movers[i].moved.err);
	}
	EXPECT_STREQ("", pages_differ(s->dst, PMD_PAGES, 1));
}

/* A new space each time: a source that has a page table gets no huge page any more. */
TEST_F_TIMEOUT(races, R8_many_split_one_folio, PATIENCE)
{
	const char *missing = kind_missing(KIND_THP_BY_PTES);
	long long unsplit = engine_count("stop_split_failed");
	struct space s;
	int i;

	if (missing)
		SKIP(return, "%s", missing);
	for (i = 0; i < FOLIOS; i++) {
		ASSERT_EQ(0, space_open(&s, AREA, UFFD_FEATURE_SIGBUS));
		move_in_parts(_metadata, &s);
		space_close(&s);
	}
	EXPECT_ENGINE(FOLIOS * PMD_PAGES, MOVED_ANYHOW, self->counted);
	/* Nobody else has a reference, so whoever got the lock could split. */
	EXPECT_EQ(unsplit, engine_count("stop_split_failed"));
}

/* V9: a huge page and a small one for one place. The loser stays where it is. */
struct contender {
	pthread_t thread;
	pthread_barrier_t *start;
	struct space *space;
	char *dst;
	char *src;
	size_t len;
	struct moved moved;
};

static void *contend(void *arg)
{
	struct contender *c = arg;

	pthread_barrier_wait(c->start);
	c->moved = move_pages_of(c->space->uffd, c->dst, c->src, c->len, 0);
	return NULL;
}

static void contest(struct __test_metadata *_metadata, struct space *s)
{
	pthread_barrier_t start;
	struct contender huge = { .start = &start, .space = s,
		.dst = s->dst, .src = s->src, .len = PMD };
	struct contender small = { .start = &start, .space = s,
		.dst = s->dst + 7 * PAGE, .src = s->src + PMD, .len = PAGE };
	size_t n;

	ASSERT_EQ(0, pthread_barrier_init(&start, NULL, 2));
	ASSERT_EQ(0, pthread_create(&huge.thread, NULL, contend, &huge));
	ASSERT_EQ(0, pthread_create(&small.thread, NULL, contend, &small));
	ASSERT_EQ(0, pthread_join(huge.thread, NULL));
	ASSERT_EQ(0, pthread_join(small.thread, NULL));

	if (!huge.moved.err) {
		EXPECT_EQ(EEXIST, small.moved.err);
		EXPECT_STREQ("", pages_differ(s->dst, PMD_PAGES, 1));
		EXPECT_STREQ("", pages_differ(small.src, 1, PMD_PAGES + 1));
		return;
	}
	EXPECT_EQ(0, small.moved.err);
	EXPECT_STREQ("", pages_differ(small.dst, 1, PMD_PAGES + 1));
	n = huge.moved.bytes > 0 ? huge.moved.bytes / PAGE : 0;
	ASSERT_GE(7, n);
	EXPECT_STREQ("", pages_differ(s->dst, n, 1));
	EXPECT_STREQ("", pages_differ(s->src + n * PAGE, PMD_PAGES - n, n + 1));
}

/* A new space each time: a destination that has a page table takes no huge page any more. */
TEST_F_TIMEOUT(races, V9_huge_page_appears, PATIENCE)
{
	const char *missing = kind_missing(KIND_THP);
	struct space s;
	int i;

	if (missing)
		SKIP(return, "%s", missing);
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, space_open(&s, AREA, UFFD_FEATURE_SIGBUS));
		ASSERT_EQ(0, make_kind(&s, KIND_THP, 0, PMD_PAGES));
		ASSERT_EQ(0, madvise(s.src, AREA * PAGE, MADV_NOHUGEPAGE));
		fill_pages(s.src + PMD, 1, PMD_PAGES + 1);
		contest(_metadata, &s);
		space_close(&s);
	}
	EXPECT_ENGINE(20, MOVED_ANYHOW, self->counted);
}

/* R5 and R6 are lockdep's to find: source and destination change places, writers in between. */
static void back_once(struct rival *r)
{
	struct space *s = r->space;

	r->hits++;
	r->failed += !!move_surely(s->uffd, s->src + PMD, s->dst + PMD, 4 * PAGE).err;
	r->failed += !!move_surely(s->uffd, s->dst + PMD, s->src + PMD, 4 * PAGE).err;
}

static void map_once(struct rival *r)
{
	char *extra = mmap(NULL, PMD, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	r->hits += !madvise(r->space->src, AREA * PAGE, MADV_DONTFORK);
	r->hits += !madvise(r->space->dst, AREA * PAGE, MADV_DONTFORK);
	r->failed += munmap(extra, PMD) != 0;
	madvise(r->space->src, AREA * PAGE, MADV_DOFORK);
	madvise(r->space->dst, AREA * PAGE, MADV_DOFORK);
}

TEST_F_TIMEOUT(races, R5_R6_writers_and_both_ways, PATIENCE)
{
	struct space *s = &self->space;
	struct rival mover = { .space = s, .once = back_once };
	struct rival mapper = { .space = s, .once = map_once };
	int i;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, PMD_PAGES + 4));
	ASSERT_EQ(0, space_register_source(s));
	ASSERT_EQ(0, move_surely(s->uffd, s->dst + PMD, s->src + PMD, 4 * PAGE).err);
	start(_metadata, &mover);
	start(_metadata, &mapper);
	for (i = 0; goes_on(&mapper, i, ROUNDS); i++)
		ASSERT_EQ(0, move_there_and_back(s, 4));
	stop(_metadata, &mapper);
	stop(_metadata, &mover);
	EXPECT_STREQ("", pages_differ(s->src, 4, 1));
	EXPECT_STREQ("", pages_differ(s->dst + PMD, 4, PMD_PAGES + 1));
	EXPECT_ENGINE(8 * ROUNDS, MOVED_ANYHOW, self->counted);
}

#define BESIDE	(PMD_PAGES / 2)	/* where in its page table another mapping lies */
#define FEW	16

/* Takes that mapping from the source's page table to the destination's, or back. */
static void remap_once(struct rival *r)
{
	const size_t offset = BESIDE * PAGE, len = FEW * PAGE;
	char *from = r->arg, *to = from == r->space->src + offset ? r->space->dst : r->space->src;

	r->arg = mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to + offset);
	r->hits += r->arg != MAP_FAILED;
	r->failed += r->arg == MAP_FAILED;
}

/*
 * mremap() locks page tables in the order in which it moves, and no VMA but its own: what moves
 * beside it must not wait for one of them with the other one locked.
 */
TEST_F_TIMEOUT(races, mremap_between_the_same_tables, PATIENCE)
{
	const size_t offset = BESIDE * PAGE, len = FEW * PAGE;
	struct space *s = &self->space;
	struct rival rival = { .space = s, .once = remap_once, .arg = s->src + offset };
	int round;

	ASSERT_EQ(0, munmap(s->src + offset, AREA * PAGE - offset));
	ASSERT_EQ(0, munmap(s->dst + offset, AREA * PAGE - offset));
	ASSERT_EQ(rival.arg, mmap(rival.arg, len, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	fill_pages(rival.arg, FEW, 77);
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, FEW));
	ASSERT_EQ(0, uffd_register(s->uffd, s->src, offset, UFFDIO_REGISTER_MODE_MISSING));
	start(_metadata, &rival);
	for (round = 0; goes_on(&rival, round, 2000); round++) {
		ASSERT_EQ(0, move_surely(s->uffd, s->dst, s->src, len).err);
		ASSERT_EQ(0, move_surely(s->uffd, s->src, s->dst, len).err);
	}
	stop(_metadata, &rival);
	EXPECT_STREQ("", pages_differ(s->src, FEW, 1));
	EXPECT_STREQ("", pages_differ(rival.arg, FEW, 77));
}

/*
 * O15: whoever is first to move a page of the huge zero page splits it, and its
 * PMD is none until the page table is there. That is no hole to the other one.
 */
FIXTURE(splits)
{
	struct space space;
	long long counted;
	long long calls;
};

FIXTURE_VARIANT(splits)
{
	__u64 mode;
};

FIXTURE_VARIANT_ADD(splits, no_holes) { 0 };
FIXTURE_VARIANT_ADD(splits, holes) { UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES };

#define SPLITS	64	/* huge zero pages in a space */
#define SPACES	4

FIXTURE_SETUP(splits)
{
	const char *missing = move_missing();

	missing = missing ? missing : kind_missing(KIND_HUGE_ZERO);
	/* The base has it, too, if no holes are allowed. */
	if (!missing && !variant->mode)
		missing = base_serves();
	if (missing)
		SKIP(return, "%s", missing);
	self->counted = engine_count("moved_zero");
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(splits)
{
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

/* One of two that move a page out of each huge page, at about the same time. */
struct splitter {
	pthread_t thread;
	struct space *space;
	__u64 mode;
	int cpu;
	size_t *begun;	/* by either */
	size_t first;	/* page, of the first huge page */
	size_t moved;
	int err;
};

/* One is late, by more each time, and then the other: the moment is short. */
static void begin_together(struct splitter *s, size_t n)
{
	size_t late = (n + s->cpu) % 2 ? n * 4 : 0;

	__atomic_fetch_add(s->begun, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(s->begun, __ATOMIC_ACQUIRE) < 2 * (n + 1))
		sched_yield();
	for (; late; late--)
		asm volatile("");
}

static void *split_all(void *arg)
{
	struct splitter *s = arg;
	size_t n, at;

	s->err = run_on_cpu(s->cpu);
	for (n = 0; n < SPLITS; n++) {
		at = (s->first + n * PMD_PAGES) * PAGE;
		begin_together(s, n);
		if (s->err)
			continue;
		s->err = move_pages_of(s->space->uffd, s->space->dst + at, s->space->src + at,
				       PAGE, s->mode).err;
		s->moved += !s->err;
	}
	return NULL;
}

/* How many count as moved and are where they were. */
static size_t left_behind(const struct splitter *s)
{
	size_t n, at, left = 0;

	for (n = 0; n < s->moved; n++) {
		at = (s->first + n * PMD_PAGES) * PAGE;
		left += !all_pages(s->space->src + at, 1, PM_PRESENT, 0) ||
			!all_pages(s->space->dst + at, 1, PM_PRESENT, PM_PRESENT);
	}
	return left;
}

static void split_together(struct __test_metadata *_metadata, struct space *space, __u64 mode)
{
	size_t begun = 0;
	struct splitter s[2];
	int i;

	for (i = 0; i < 2; i++) {
		s[i] = (struct splitter) { .space = space, .mode = mode, .cpu = i,
			.begun = &begun, .first = i ? PMD_PAGES - 1 : 0 };
		ASSERT_EQ(0, pthread_create(&s[i].thread, NULL, split_all, &s[i]));
	}
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, pthread_join(s[i].thread, NULL));
		EXPECT_EQ(0, s[i].err);
		EXPECT_EQ(0, left_behind(&s[i]))
			TH_LOG("of %zu", s[i].moved);
	}
}

/* A new space each time: a source that has a page table gets no huge page any more. */
TEST_F_TIMEOUT(splits, O15_split_is_no_hole, PATIENCE)
{
	struct space s;
	int i;

	for (i = 0; i < SPACES; i++) {
		ASSERT_EQ(0, space_open(&s, SPLITS * PMD_PAGES, 0));
		ASSERT_EQ(0, make_kind(&s, KIND_HUGE_ZERO, 0, SPLITS * PMD_PAGES));
		split_together(_metadata, &s, variant->mode);
		space_close(&s);
	}
	EXPECT_ENGINE(SPACES * 2 * SPLITS, "moved_zero", self->counted);
}

TEST_HARNESS_MAIN
