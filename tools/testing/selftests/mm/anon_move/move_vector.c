// SPDX-License-Identifier: GPL-2.0
/*
 * UFFDIO_MOVEV: many ranges a call, what becomes of each, and one flush for many.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <liburing.h>
#include <linux/mman.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#define TABLES	64
#define AREA	(TABLES * PMD_PAGES)
#define RANGES	64

/* Put where outputs are to come: no result looks like it. */
#define CANARY	0xdecafbadU

/* A vector to be, and what became of it. */
struct vector {
	struct space space;
	struct uffdio_movev_range ranges[RANGES];
	size_t nr;
	size_t done;
};

FIXTURE(vector)
{
	struct vector v;
};

FIXTURE_SETUP(vector)
{
	const char *missing = vectors_missing();

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->v.space, AREA, 0));
}

FIXTURE_TEARDOWN(vector)
{
	space_close(&self->v.space);
}

/* One more range, in pages from the beginning of each area. */
static void add(struct vector *v, size_t dst, size_t src, size_t pages)
{
	v->ranges[v->nr++] = (struct uffdio_movev_range) {
		.dst = (uintptr_t)v->space.dst + dst * PAGE,
		.src = (uintptr_t)v->space.src + src * PAGE,
		.len = pages * PAGE,
		.moved = CANARY,
		.stop = CANARY,
	};
}

static int go(struct vector *v, __u64 mode)
{
	return move_vector(v->space.uffd, v->ranges, v->nr, mode, &v->done);
}

static void expect(struct __test_metadata *_metadata, struct vector *v,
		   size_t i, size_t pages, __u32 stop)
{
	EXPECT_EQ(pages * PAGE, v->ranges[i].moved)
		TH_LOG("range %zu", i);
	EXPECT_EQ(stop, v->ranges[i].stop)
		TH_LOG("range %zu", i);
}

/* All have come, each with its bytes. */
static void expect_arrived(struct __test_metadata *_metadata, struct vector *v)
{
	struct space *s = &v->space;
	size_t i, first;

	EXPECT_EQ(v->nr, v->done);
	ASSERT_EQ(0, uffd_unregister(s->uffd, s->dst, s->pages * PAGE));
	for (i = 0; i < v->nr; i++) {
		struct uffdio_movev_range *range = &v->ranges[i];

		first = ((char *)(uintptr_t)range->src - s->src) / PAGE;
		expect(_metadata, v, i, range->len / PAGE, UFFDIO_MOVEV_DONE);
		EXPECT_TRUE(all_pages((void *)(uintptr_t)range->src, range->len / PAGE,
				      PM_PRESENT | PM_SWAP, 0));
		EXPECT_STREQ("", pages_differ((void *)(uintptr_t)range->dst, range->len / PAGE,
					      first + 1));
	}
}

/* Every second page of one table. */
TEST_F_TIMEOUT(vector, one_table_is_flushed_for_twice, PATIENCE)
{
	long long flushes = engine_count("flushes"), moved = engine_count("moved_small");
	size_t i;

	ASSERT_EQ(0, make_kind(&self->v.space, KIND_SMALL, 0, 2 * RANGES));
	for (i = 0; i < RANGES; i++)
		add(&self->v, PMD_PAGES - 1 - 2 * i, 2 * i, 1);
	ASSERT_EQ(0, go(&self->v, 0));
	if (engine_counts()) {
		EXPECT_EQ(2, engine_count("flushes") - flushes);
		EXPECT_EQ(RANGES, engine_count("moved_small") - moved);
	}
	expect_arrived(_metadata, &self->v);
}

TEST_F_TIMEOUT(vector, many_tables_are_flushed_for_twice, PATIENCE)
{
	long long flushes = engine_count("flushes"), moved = engine_count("moved_small");
	size_t i;

	for (i = 0; i < TABLES; i++)
		ASSERT_EQ(0, make_kind(&self->v.space, KIND_SMALL, i * PMD_PAGES + i, 1));
	for (i = 0; i < TABLES; i++)
		add(&self->v, (TABLES - 1 - i) * PMD_PAGES + 7 * i, i * PMD_PAGES + i, 1);
	ASSERT_EQ(0, go(&self->v, 0));
	if (engine_counts()) {
		EXPECT_EQ(2, engine_count("flushes") - flushes);
		EXPECT_EQ(TABLES, engine_count("moved_small") - moved);
	}
	expect_arrived(_metadata, &self->v);
}

TEST_F_TIMEOUT(vector, runs_of_eight, PATIENCE)
{
	size_t i;

	ASSERT_EQ(0, make_kind(&self->v.space, KIND_SMALL, 0, 8 * RANGES));
	for (i = 0; i < RANGES; i++)
		add(&self->v, PMD_PAGES + 8 * (RANGES - i) - 4, 8 * i, 8);
	ASSERT_EQ(0, go(&self->v, 0));
	expect_arrived(_metadata, &self->v);
}

TEST_F_TIMEOUT(vector, long_ones_between_short_ones, PATIENCE)
{
	ASSERT_EQ(0, make_kind(&self->v.space, KIND_SMALL, 0, 3 * PMD_PAGES));
	add(&self->v, 0, 0, 1);
	add(&self->v, 1, 1, PMD_PAGES + 5);
	add(&self->v, PMD_PAGES + 6, PMD_PAGES + 6, 31);
	add(&self->v, PMD_PAGES + 37, PMD_PAGES + 37, 2 * PMD_PAGES - 37);
	ASSERT_EQ(0, go(&self->v, 0));
	expect_arrived(_metadata, &self->v);
}

/* Each range as if the one before it had been a call of its own. */
TEST_F_TIMEOUT(vector, ranges_see_what_those_before_have_done, PATIENCE)
{
	struct space *s = &self->v.space;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 4));
	ASSERT_EQ(0, space_register_source(s));
	add(&self->v, 0, 0, 1);
	add(&self->v, 1, 0, 1);	/* it is gone */
	add(&self->v, 0, 1, 1);	/* that place is taken */
	add(&self->v, 5, 1, 1);
	self->v.ranges[4] = self->v.ranges[3];	/* and back */
	self->v.ranges[4].dst = self->v.ranges[0].src;
	self->v.ranges[4].src = self->v.ranges[3].dst;
	self->v.nr++;
	add(&self->v, 1, 0, 1);	/* and on */
	ASSERT_EQ(EAGAIN, go(&self->v, UFFDIO_MOVEV_MODE_GO_ON));
	ASSERT_EQ(self->v.nr, self->v.done);
	expect(_metadata, &self->v, 0, 1, UFFDIO_MOVEV_DONE);
	expect(_metadata, &self->v, 1, 0, UFFDIO_MOVEV_HOLE);
	expect(_metadata, &self->v, 2, 0, UFFDIO_MOVEV_EXISTS);
	expect(_metadata, &self->v, 3, 1, UFFDIO_MOVEV_DONE);
	expect(_metadata, &self->v, 4, 1, UFFDIO_MOVEV_DONE);
	expect(_metadata, &self->v, 5, 1, UFFDIO_MOVEV_DONE);
	EXPECT_STREQ("", pages_differ(s->dst, 1, 1));
	EXPECT_STREQ("", pages_differ(s->dst + PAGE, 1, 2));
	EXPECT_TRUE(all_pages(s->src, 2, PM_PRESENT, 0));
}

/* A huge page is in the place of the second; of the third there is not even a page table. */
TEST_F_TIMEOUT(vector, meets_huge_pages_and_no_tables, PATIENCE)
{
	struct vector *v = &self->v;
	struct space *s = &v->space;

	if (kind_missing(KIND_THP))
		SKIP(return, "%s", kind_missing(KIND_THP));
	ASSERT_EQ(0, make_kind(s, KIND_THP, 4 * PMD_PAGES, PMD_PAGES));
	add(v, 4 * PMD_PAGES, 4 * PMD_PAGES, PMD_PAGES);
	ASSERT_EQ(0, go(v, 0));
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 3));
	ASSERT_EQ(0, clear_soft_dirty());
	v->nr = 0;
	add(v, 0, 0, 1);
	add(v, 4 * PMD_PAGES + 7, 1, 1);
	add(v, 9 * PMD_PAGES, 8 * PMD_PAGES, 1);
	add(v, 2, 2, 1);
	EXPECT_EQ(EAGAIN, go(v, UFFDIO_MOVEV_MODE_GO_ON));
	ASSERT_EQ(4, v->done);
	expect(_metadata, v, 0, 1, UFFDIO_MOVEV_DONE);
	expect(_metadata, v, 1, 0, UFFDIO_MOVEV_EXISTS);
	expect(_metadata, v, 2, 0, UFFDIO_MOVEV_HOLE);
	expect(_metadata, v, 3, 1, UFFDIO_MOVEV_DONE);
	EXPECT_STREQ("", pages_differ(s->src + PAGE, 1, 2));
	EXPECT_STREQ("", pages_differ(s->dst + 2 * PAGE, 1, 3));
}

/* Both are taken when the second turns out to have no place. Sources lie @apart pages apart. */
static void give_one_place_to_two(struct __test_metadata *_metadata, struct vector *v, size_t apart)
{
	struct space *s = &v->space;
	char *late = s->src + apart * PAGE;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 3));
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, apart, 3));
	add(v, 0, 0, 1);
	add(v, 7, 1, 2);	/* 8 is another's from here on */
	add(v, 8, apart, 2);
	add(v, 20, apart + 2, 1);
	EXPECT_EQ(EAGAIN, go(v, 0));
	ASSERT_EQ(3, v->done);
	expect(_metadata, v, 1, 2, UFFDIO_MOVEV_DONE);
	expect(_metadata, v, 2, 0, UFFDIO_MOVEV_EXISTS);
	EXPECT_STREQ("", pages_differ(late, 3, apart + 1));
	EXPECT_EQ(EAGAIN, go(v, UFFDIO_MOVEV_MODE_GO_ON));
	ASSERT_EQ(4, v->done);
	expect(_metadata, v, 0, 0, UFFDIO_MOVEV_EXISTS);
	expect(_metadata, v, 2, 0, UFFDIO_MOVEV_EXISTS);
	expect(_metadata, v, 3, 1, UFFDIO_MOVEV_DONE);
	EXPECT_STREQ("", pages_differ(late, 2, apart + 1));
	EXPECT_STREQ("", pages_differ(s->dst + 7 * PAGE, 2, 2));
	EXPECT_STREQ("", pages_differ(s->dst + 20 * PAGE, 1, apart + 3));
}

TEST_F_TIMEOUT(vector, one_destination_for_two, PATIENCE)
{
	give_one_place_to_two(_metadata, &self->v, 3);
}

TEST_F_TIMEOUT(vector, one_destination_for_two_tables, PATIENCE)
{
	give_one_place_to_two(_metadata, &self->v, 3 * PMD_PAGES);
}

/* What has been put back can be reclaimed, so its reverse map is right. */
static void reclaim_what_came_back(struct __test_metadata *_metadata, struct vector *v,
				   size_t apart)
{
	struct space *s = &v->space;
	size_t i;

	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, make_kind(s, KIND_SMALL, i * apart, 1));
		add(v, 5, i * apart, 1);
	}
	EXPECT_EQ(EAGAIN, go(v, UFFDIO_MOVEV_MODE_GO_ON));
	ASSERT_EQ(20, v->done);
	EXPECT_EQ(0, page_out(s->dst + 5 * PAGE, 1));
	EXPECT_STREQ("", pages_differ(s->dst + 5 * PAGE, 1, 1));
	for (i = 1; i < 20; i++) {
		EXPECT_EQ(0, page_out(s->src + i * apart * PAGE, 1));
		EXPECT_STREQ("", pages_differ(s->src + i * apart * PAGE, 1, i * apart + 1));
	}
}

TEST_F_TIMEOUT(vector, what_came_back_is_as_it_was, PATIENCE)
{
	if (swap_missing())
		SKIP(return, "%s", swap_missing());
	reclaim_what_came_back(_metadata, &self->v, 1);
}

TEST_F_TIMEOUT(vector, what_came_back_to_many_tables, PATIENCE)
{
	if (swap_missing())
		SKIP(return, "%s", swap_missing());
	reclaim_what_came_back(_metadata, &self->v, PMD_PAGES);
}

TEST_F_TIMEOUT(vector, overlaps_itself, PATIENCE)
{
	struct space *s = &self->v.space;
	size_t i;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 40));
	ASSERT_EQ(0, space_register_source(s));
	/* Down by one page each, into what the one before has left. */
	add(&self->v, 0, 0, 1);
	for (i = 1; i < 40; i++) {
		add(&self->v, 0, i, 1);
		self->v.ranges[i].dst = self->v.ranges[i].src - PAGE;
	}
	ASSERT_EQ(0, go(&self->v, 0));
	EXPECT_STREQ("", pages_differ(s->dst, 1, 1));
	EXPECT_STREQ("", pages_differ(s->src, 39, 2));
	EXPECT_TRUE(all_pages(s->src + 39 * PAGE, 1, PM_PRESENT, 0));
}

TEST_F_TIMEOUT(vector, holes_are_passed_over_where_asked, PATIENCE)
{
	ASSERT_EQ(0, make_kind(&self->v.space, KIND_SMALL, 0, 1));
	ASSERT_EQ(0, make_kind(&self->v.space, KIND_SMALL, 4, 1));
	add(&self->v, 0, 0, 5);
	add(&self->v, 9, 9, 1);
	ASSERT_EQ(0, go(&self->v, UFFDIO_MOVEV_MODE_ALLOW_SRC_HOLES));
	expect(_metadata, &self->v, 0, 5, UFFDIO_MOVEV_DONE);
	expect(_metadata, &self->v, 1, 1, UFFDIO_MOVEV_DONE);
	EXPECT_STREQ("", pages_differ(self->v.space.dst + 4 * PAGE, 1, 5));
}

/* The source has a page in each table, but not the one that is asked for. */
TEST_F_TIMEOUT(vector, O4_holes_take_no_page_tables, PATIENCE)
{
	long long before;
	size_t i;

	for (i = 0; i < TABLES; i++) {
		ASSERT_EQ(0, make_kind(&self->v.space, KIND_SMALL, i * PMD_PAGES + 1, 1));
		add(&self->v, i * PMD_PAGES, i * PMD_PAGES, 1);
	}
	before = table_kib();
	ASSERT_EQ(0, go(&self->v, UFFDIO_MOVEV_MODE_ALLOW_SRC_HOLES));
	EXPECT_LE(table_kib(), before + TABLES_OF_A_PAGE);
	for (i = 0; i < TABLES; i++)
		expect(_metadata, &self->v, i, 1, UFFDIO_MOVEV_DONE);
}

/* Each to a table that is not there yet, and the second one ends the call. */
static void expect_one_table(struct __test_metadata *_metadata, struct vector *v, __u32 stop)
{
	long long before;
	size_t i;

	for (i = 0; i < TABLES; i++)
		add(v, i * PMD_PAGES, i * PMD_PAGES, 1);
	before = table_kib();
	EXPECT_EQ(EAGAIN, go(v, 0));
	EXPECT_LE(table_kib(), before + TABLES_OF_A_PAGE);
	expect(_metadata, v, 0, 1, UFFDIO_MOVEV_DONE);
	expect(_metadata, v, 1, 0, stop);
}

TEST_F_TIMEOUT(vector, O18_a_hole_leaves_no_page_tables, PATIENCE)
{
	size_t i;

	for (i = 0; i < TABLES; i++)
		if (i != 1)
			ASSERT_EQ(0, make_kind(&self->v.space, KIND_SMALL, i * PMD_PAGES, 1));
	expect_one_table(_metadata, &self->v, UFFDIO_MOVEV_HOLE);
}

TEST_F_TIMEOUT(vector, O18_what_is_there_leaves_no_page_tables, PATIENCE)
{
	struct space *s = &self->v.space;
	size_t i;

	for (i = 0; i < TABLES; i++)
		ASSERT_EQ(0, make_kind(s, KIND_SMALL, i * PMD_PAGES, 2));
	ASSERT_EQ(0, move_surely(s->uffd, s->dst + PMD, s->src + PMD + PAGE, PAGE).err);
	expect_one_table(_metadata, &self->v, UFFDIO_MOVEV_EXISTS);
}

/* Drops the first page and writes to it again, while it may be under way. */
struct dropper {
	pthread_t thread;
	char *page;
	unsigned int delay;
	__u64 value;
	enum { DROPPER_STARTS, DROPPER_IS_HOT, DROPPER_GOES } phase;
};

static void *drop_and_write(void *arg)
{
	struct dropper *d = arg;
	__u64 *word = (__u64 *)d->page;
	unsigned int i;

	run_on_cpu(1);
	do {
		__atomic_store_n(word, 0, __ATOMIC_RELAXED);
		if (d->phase == DROPPER_STARTS)
			__atomic_store_n(&d->phase, DROPPER_IS_HOT, __ATOMIC_RELEASE);
	} while (__atomic_load_n(&d->phase, __ATOMIC_ACQUIRE) != DROPPER_GOES);
	for (i = 0; i < d->delay; i++)
		asm volatile("" : : : "memory");
	madvise(d->page, PAGE, MADV_DONTNEED);
	__atomic_store_n(word, d->value, __ATOMIC_RELAXED);
	return NULL;
}

/*
 * What was written after the page was dropped is at one of both addresses: not in the page
 * that was dropped, by a CPU which still had it in its TLB.
 */
TEST_F_TIMEOUT(vector, dropped_under_way, PATIENCE)
{
	struct space *s = &self->v.space;
	struct dropper d = { .page = s->src };
	size_t i, round;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "one CPU has no other's TLB to flush");
	ASSERT_EQ(0, run_on_cpu(0));
	for (round = 1; round <= 300; round++) {
		for (i = 0, self->v.nr = 0; i < 32; i++) {
			ASSERT_EQ(0, make_kind(s, KIND_SMALL, i * PMD_PAGES, 1));
			add(&self->v, i * PMD_PAGES, i * PMD_PAGES, 1);
		}
		/* Or the page table is empty, and to free it takes a flush in any case. */
		ASSERT_EQ(0, make_kind(s, KIND_SMALL, 1, 1));
		d.phase = DROPPER_STARTS;
		d.delay = random() % 400000;
		d.value = round << 32;
		ASSERT_EQ(0, pthread_create(&d.thread, NULL, drop_and_write, &d));
		while (__atomic_load_n(&d.phase, __ATOMIC_ACQUIRE) != DROPPER_IS_HOT)
			sched_yield();
		__atomic_store_n(&d.phase, DROPPER_GOES, __ATOMIC_RELEASE);
		go(&self->v, UFFDIO_MOVEV_MODE_GO_ON);
		ASSERT_EQ(0, pthread_join(d.thread, NULL));
		ASSERT_TRUE(*(__u64 *)s->src == d.value ||
			    (self->v.ranges[0].moved && *(__u64 *)s->dst == d.value))
			TH_LOG("round %zu", round);
		ASSERT_EQ(0, madvise(s->src, s->pages * PAGE, MADV_DONTNEED));
		ASSERT_EQ(0, madvise(s->dst, s->pages * PAGE, MADV_DONTNEED));
	}
}

/* What stops the second range of three, and how far it comes. */
FIXTURE(stop)
{
	struct vector v;
	struct io_uring ring;
	pid_t child;
};

FIXTURE_VARIANT(stop)
{
	__u32 stop;
	size_t moved;	/* pages of the second range, which has two */
	enum page_kind_id kind;
};

enum { ANY_KIND = KIND_SMALL };

FIXTURE_VARIANT_ADD(stop, exists) { UFFDIO_MOVEV_EXISTS, 1, ANY_KIND };
FIXTURE_VARIANT_ADD(stop, hole) { UFFDIO_MOVEV_HOLE, 1, ANY_KIND };
FIXTURE_VARIANT_ADD(stop, shared) { UFFDIO_MOVEV_SHARED, 0, ANY_KIND };
FIXTURE_VARIANT_ADD(stop, pinned) { UFFDIO_MOVEV_PINNED, 1, ANY_KIND };
FIXTURE_VARIANT_ADD(stop, invalid) { UFFDIO_MOVEV_INVALID, 0, ANY_KIND };
FIXTURE_VARIANT_ADD(stop, no_src) { UFFDIO_MOVEV_NO_SRC, 0, ANY_KIND };
FIXTURE_VARIANT_ADD(stop, no_dst) { UFFDIO_MOVEV_NO_DST, 0, ANY_KIND };
FIXTURE_VARIANT_ADD(stop, mappings) { UFFDIO_MOVEV_MAPPINGS, 0, ANY_KIND };
FIXTURE_VARIANT_ADD(stop, marker) { UFFDIO_MOVEV_MARKER, 1, ANY_KIND };
FIXTURE_VARIANT_ADD(stop, nothing_swapped) { UFFDIO_MOVEV_DONE, 2, KIND_SWAPPED };
FIXTURE_VARIANT_ADD(stop, nothing_zero) { UFFDIO_MOVEV_DONE, 2, KIND_ZERO };
FIXTURE_VARIANT_ADD(stop, nothing_large) { UFFDIO_MOVEV_DONE, 2, KIND_MTHP };
FIXTURE_VARIANT_ADD(stop, nothing_lazy_free) { UFFDIO_MOVEV_DONE, 2, KIND_LAZY_FREE };
FIXTURE_VARIANT_ADD(stop, nothing_mlocked) { UFFDIO_MOVEV_DONE, 2, KIND_MLOCKED };

/* Pages 8 and 9 are to come to 8 and 9, between pages that are like all others. */
static int put_in_the_way(struct space *s, struct uffdio_movev_range *range, __u32 stop)
{
	char *page = s->src + 9 * PAGE;

	switch (stop) {
	case UFFDIO_MOVEV_EXISTS:
		return move_surely(s->uffd, s->dst + 9 * PAGE, s->src + 20 * PAGE, PAGE).err;
	case UFFDIO_MOVEV_HOLE:
		return madvise(page, PAGE, MADV_DONTNEED);
	case UFFDIO_MOVEV_INVALID:
		range->len--;
		return 0;
	case UFFDIO_MOVEV_NO_SRC:
		return munmap(page - PAGE, PAGE);
	case UFFDIO_MOVEV_NO_DST:
		return munmap(s->dst + 8 * PAGE, PAGE);
	case UFFDIO_MOVEV_MAPPINGS:
		return mprotect(page, PAGE, PROT_READ);
	case UFFDIO_MOVEV_MARKER: {
		struct uffdio_poison poison = {
			.range = { .start = (uintptr_t)page, .len = PAGE },
		};

		return space_register_source(s) || madvise(page, PAGE, MADV_DONTNEED) ||
		       ioctl(s->uffd, UFFDIO_POISON, &poison);
	}
	default:
		return 0;
	}
}

FIXTURE_SETUP(stop)
{
	const char *missing = vectors_missing();
	const bool large = variant->kind == KIND_MTHP;
	const size_t src = large ? PMD_PAGES : 8;
	struct space *s = &self->v.space;

	missing = missing ? missing : kind_missing(variant->kind);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(s, AREA, UFFD_FEATURE_POISON));
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 1));
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 20, 2));
	ASSERT_EQ(0, make_kind(s, variant->kind, src, large ? MTHP_PAGES : 2));
	add(&self->v, 0, 0, 1);
	add(&self->v, 8, src, 2);
	add(&self->v, 30, 21, 1);
	if (variant->stop == UFFDIO_MOVEV_SHARED) {
		/* The others are written to again, and so nobody else's. */
		self->child = share_with_child();
		ASSERT_LT(0, self->child);
		fill_pages(s->src, 1, 1);
		fill_pages(s->src + 21 * PAGE, 1, 22);
	}
	if (variant->stop == UFFDIO_MOVEV_PINNED) {
		struct iovec iov = { s->src + 9 * PAGE, PAGE };

		ASSERT_EQ(0, io_uring_queue_init(2, &self->ring, 0));
		if (io_uring_register_buffers(&self->ring, &iov, 1))
			SKIP(return, "no registered buffers");
	}
	ASSERT_EQ(0, put_in_the_way(s, &self->v.ranges[1], variant->stop));
}

FIXTURE_TEARDOWN(stop)
{
	if (self->child)
		end_child(self->child);
	if (variant->stop == UFFDIO_MOVEV_PINNED)
		io_uring_queue_exit(&self->ring);
	space_close(&self->v.space);
}

TEST_F_TIMEOUT(stop, ends_the_call, PATIENCE)
{
	struct vector *v = &self->v;
	bool all = variant->stop == UFFDIO_MOVEV_DONE;

	EXPECT_EQ(all ? 0 : EAGAIN, go(v, 0));
	ASSERT_EQ(all ? 3 : 2, v->done);
	expect(_metadata, v, 0, 1, UFFDIO_MOVEV_DONE);
	expect(_metadata, v, 1, variant->moved, variant->stop);
	EXPECT_TRUE(all || v->ranges[2].stop == CANARY);
	EXPECT_TRUE(all_pages(v->space.src + 21 * PAGE, 1, PM_PRESENT, all ? 0 : PM_PRESENT));
}

TEST_F_TIMEOUT(stop, is_passed_where_asked, PATIENCE)
{
	struct vector *v = &self->v;

	EXPECT_EQ(variant->stop ? EAGAIN : 0, go(v, UFFDIO_MOVEV_MODE_GO_ON));
	ASSERT_EQ(3, v->done);
	expect(_metadata, v, 0, 1, UFFDIO_MOVEV_DONE);
	expect(_metadata, v, 1, variant->moved, variant->stop);
	expect(_metadata, v, 2, 1, UFFDIO_MOVEV_DONE);
	EXPECT_STREQ("", pages_differ(v->space.dst + 30 * PAGE, 1, 22));
}

/* An argument of one range, with room behind its structures. */
struct argument {
	struct vector v;
	struct {
		struct uffdio_movev arg;
		__u64 more[2];
	} long_one;
	struct {
		struct uffdio_movev_range range;
		__u64 more;
	} long_range;
};

static void open_argument(struct __test_metadata *_metadata, struct argument *a)
{
	ASSERT_EQ(0, space_open(&a->v.space, PMD_PAGES, 0));
	ASSERT_EQ(0, make_kind(&a->v.space, KIND_SMALL, 0, 1));
	add(&a->v, 0, 0, 1);
	a->long_range.range = a->v.ranges[0];
	a->long_one.arg = (struct uffdio_movev) {
		.size = sizeof(struct uffdio_movev),
		.range_size = sizeof(struct uffdio_movev_range),
		.ranges = (uintptr_t)&a->long_range,
		.count = 1,
		.done = CANARY,
	};
}

/* What is wrong with it: nothing moves then. */
FIXTURE(argument)
{
	struct argument a;
};

FIXTURE_SETUP(argument)
{
	const char *missing = vectors_missing();

	if (missing)
		SKIP(return, "%s", missing);
	open_argument(_metadata, &self->a);
}

FIXTURE_TEARDOWN(argument)
{
	space_close(&self->a.v.space);
}

FIXTURE_VARIANT(argument)
{
	int err;
	size_t field;	/* offset of what is set */
	__u64 value;
	size_t bytes;	/* of the field */
};

#define AT(field)	offsetof(struct argument, field)

FIXTURE_VARIANT_ADD(argument, as_it_is) { 0, AT(long_one.arg.done), 0, 8 };
FIXTURE_VARIANT_ADD(argument, size_0) { EINVAL, AT(long_one.arg.size), 0, 4 };

FIXTURE_VARIANT_ADD(argument, size_too_small) {
	EINVAL, AT(long_one.arg.size), sizeof(struct uffdio_movev) - 1, 4 };

FIXTURE_VARIANT_ADD(argument, size_too_large) { E2BIG, AT(long_one.arg.size), 65536, 4 };
FIXTURE_VARIANT_ADD(argument, range_size_too_small) { EINVAL, AT(long_one.arg.range_size), 32, 4 };
FIXTURE_VARIANT_ADD(argument, range_size_odd) { EINVAL, AT(long_one.arg.range_size), 44, 4 };

FIXTURE_VARIANT_ADD(argument, range_size_too_large) {
	EINVAL, AT(long_one.arg.range_size), 2 * PAGE, 4 };

FIXTURE_VARIANT_ADD(argument, no_ranges) { EFAULT, AT(long_one.arg.ranges), 0, 8 };
FIXTURE_VARIANT_ADD(argument, ranges_unaligned) { EINVAL, AT(long_one.arg.ranges), 4, 8 };

FIXTURE_VARIANT_ADD(argument, ranges_of_the_kernel) {
	EFAULT, AT(long_one.arg.ranges), 0xffff888000000000, 8 };

FIXTURE_VARIANT_ADD(argument, count_0) { EINVAL, AT(long_one.arg.count), 0, 8 };
FIXTURE_VARIANT_ADD(argument, count_huge) { EFAULT, AT(long_one.arg.count), 1ULL << 61, 8 };
FIXTURE_VARIANT_ADD(argument, count_wraps) { EFAULT, AT(long_one.arg.count), ~0ULL, 8 };

FIXTURE_VARIANT_ADD(argument, mode_of_uffdio_move) {
	EINVAL, AT(long_one.arg.mode), UFFDIO_MOVE_MODE_DONTWAKE, 8 };

FIXTURE_VARIANT_ADD(argument, mode_unknown) { EINVAL, AT(long_one.arg.mode), 1ULL << 63, 8 };
FIXTURE_VARIANT_ADD(argument, reserved) { EINVAL, AT(long_range.range.reserved), 1, 4 };

TEST_F_TIMEOUT(argument, is_checked, PATIENCE)
{
	struct space *s = &self->a.v.space;
	int err;

	memcpy((char *)&self->a + variant->field, &variant->value, variant->bytes);
	err = ioctl(s->uffd, UFFDIO_MOVEV, &self->a.long_one.arg) ? errno : 0;
	EXPECT_EQ(variant->err, err);
	EXPECT_TRUE(all_pages(s->src, 1, PM_PRESENT, err ? PM_PRESENT : 0));
	EXPECT_TRUE(err || self->a.long_one.arg.done == 1);
}

FIXTURE(array)
{
	struct argument a;
};

FIXTURE_SETUP(array)
{
	const char *missing = vectors_missing();

	if (missing)
		SKIP(return, "%s", missing);
	open_argument(_metadata, &self->a);
}

FIXTURE_TEARDOWN(array)
{
	space_close(&self->a.v.space);
}

TEST_F_TIMEOUT(array, may_be_of_a_later_kernel, PATIENCE)
{
	struct space *s = &self->a.v.space;

	self->a.long_one.arg.size = sizeof(self->a.long_one);
	self->a.long_one.arg.range_size = sizeof(self->a.long_range);
	self->a.long_one.more[1] = 1;
	EXPECT_EQ(-1, ioctl(s->uffd, UFFDIO_MOVEV, &self->a.long_one.arg));
	EXPECT_EQ(E2BIG, errno);
	self->a.long_one.more[1] = 0;
	self->a.long_range.more = 1;
	EXPECT_EQ(-1, ioctl(s->uffd, UFFDIO_MOVEV, &self->a.long_one.arg));
	EXPECT_EQ(E2BIG, errno);
	EXPECT_EQ(0, self->a.long_one.arg.done);
	self->a.long_range.more = 0;
	EXPECT_EQ(0, ioctl(s->uffd, UFFDIO_MOVEV, &self->a.long_one.arg));
	EXPECT_EQ(PAGE, self->a.long_range.range.moved);
}

TEST_F_TIMEOUT(array, may_be_nowhere, PATIENCE)
{
	struct space *s = &self->a.v.space;

	EXPECT_EQ(-1, ioctl(s->uffd, UFFDIO_MOVEV, NULL));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_TRUE(all_pages(s->src, 1, PM_PRESENT, PM_PRESENT));
}

/* The second range has what it must not have; the first one has moved. */
TEST_F_TIMEOUT(array, has_a_reserved_field_set, PATIENCE)
{
	struct vector *v = &self->a.v;

	ASSERT_EQ(0, make_kind(&v->space, KIND_SMALL, 1, 1));
	add(v, 1, 1, 1);
	v->ranges[1].reserved = 1;
	EXPECT_EQ(EINVAL, go(v, 0));
	EXPECT_EQ(1, v->done);
	EXPECT_STREQ("", pages_differ(v->space.src + PAGE, 1, 2));
}

/* The range ends with a page, and what is to be 0 behind it would be in the next one. */
TEST_F_TIMEOUT(array, ends_too_early, PATIENCE)
{
	struct space *s = &self->a.v.space;
	struct uffdio_movev *arg = &self->a.long_one.arg;
	struct uffdio_movev_range *last = (void *)(s->src + s->pages * PAGE);

	last[-1] = self->a.v.ranges[0];
	arg->ranges = (uintptr_t)(last - 1);
	arg->range_size = sizeof(*last) + 8;
	EXPECT_EQ(-1, ioctl(s->uffd, UFFDIO_MOVEV, arg));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0, arg->done);
	EXPECT_TRUE(all_pages(s->src, 1, PM_PRESENT, PM_PRESENT));
}

/* Of several that are longer than is known, those before the one that can't be understood move. */
TEST_F_TIMEOUT(array, has_several_of_a_later_kernel, PATIENCE)
{
	struct space *s = &self->a.v.space;
	struct uffdio_movev *arg = &self->a.long_one.arg;
	struct {
		struct uffdio_movev_range range;
		__u64 more;
	} wide[3] = { }, *end = (void *)(s->src + s->pages * PAGE - sizeof(*wide) - 32);
	size_t i;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 1, 2));
	for (i = 0; i < 3; i++) {
		wide[i].range = self->a.v.ranges[0];
		wide[i].range.dst += i * PAGE;
		wide[i].range.src += i * PAGE;
	}
	wide[1].more = 1;
	arg->ranges = (uintptr_t)wide;
	arg->range_size = sizeof(*wide);
	arg->count = 3;
	EXPECT_EQ(-1, ioctl(s->uffd, UFFDIO_MOVEV, arg));
	EXPECT_EQ(E2BIG, errno);
	EXPECT_EQ(1, arg->done);
	/* The array ends in the middle of the second of two. */
	*end = wide[2];
	arg->ranges = (uintptr_t)end;
	EXPECT_EQ(-1, ioctl(s->uffd, UFFDIO_MOVEV, arg));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(1, arg->done);
	wide[1].more = 0;
	arg->ranges = (uintptr_t)&wide[1];
	arg->count = 1;
	EXPECT_EQ(0, ioctl(s->uffd, UFFDIO_MOVEV, arg));
	EXPECT_STREQ("", pages_differ(s->dst, 3, 1));
}

TEST_F_TIMEOUT(array, is_told_of_in_read_only_memory, PATIENCE)
{
	struct space *s = &self->a.v.space;
	struct uffdio_movev *arg = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, arg);
	*arg = self->a.long_one.arg;
	ASSERT_EQ(0, mprotect(arg, PAGE, PROT_READ));
	EXPECT_EQ(-1, ioctl(s->uffd, UFFDIO_MOVEV, arg));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(PAGE, self->a.long_range.range.moved);
	munmap(arg, PAGE);
}

TEST_F_TIMEOUT(array, is_of_another_process, PATIENCE)
{
	struct space *s = &self->a.v.space;
	pid_t child = fork();
	int status;

	ASSERT_LE(0, child);
	if (!child)
		_exit(ioctl(s->uffd, UFFDIO_MOVEV, &self->a.long_one.arg) ? errno : 0);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(EINVAL, WEXITSTATUS(status));
	EXPECT_TRUE(all_pages(s->src, 1, PM_PRESENT, PM_PRESENT));
}

/* Each is told that it is not valid, and those between them move. */
TEST_F_TIMEOUT(array, has_ranges_that_are_not_valid, PATIENCE)
{
	const __u64 end = 1ULL << 63;
	struct vector *v = &self->a.v;
	size_t i;

	ASSERT_EQ(0, make_kind(&v->space, KIND_SMALL, 0, 8));
	for (i = 1; i < 8; i++)
		add(v, i, i, 1);
	v->ranges[0].len = 0;
	v->ranges[2].dst++;
	v->ranges[3].dst = end;
	v->ranges[4].src = end;
	v->ranges[6].dst = end - 2 * PAGE;
	v->ranges[6].len = 4 * PAGE;
	v->ranges[7].len = -PAGE;
	EXPECT_EQ(EAGAIN, go(v, UFFDIO_MOVEV_MODE_GO_ON));
	ASSERT_EQ(8, v->done);
	for (i = 0; i < 8; i++) {
		bool valid = i == 1 || i == 5;

		expect(_metadata, v, i, valid, valid ? UFFDIO_MOVEV_DONE : UFFDIO_MOVEV_INVALID);
	}
	EXPECT_STREQ("", pages_differ(v->space.dst + 5 * PAGE, 1, 6));
}

static void *read_word(void *page)
{
	return (void *)__atomic_load_n((uintptr_t *)page, __ATOMIC_RELAXED);
}

/* Who waits for a page is woken by the call that moves it, unless told not to be. */
TEST_F_TIMEOUT(array, wakes_who_waits, PATIENCE)
{
	struct vector *v = &self->a.v;
	uintptr_t expected = *(uintptr_t *)v->space.src;
	struct uffd_msg msg;
	pthread_t reader;
	void *word;

	ASSERT_EQ(0, pthread_create(&reader, NULL, read_word, v->space.dst));
	ASSERT_EQ(0, uffd_read(v->space.uffd, &msg));
	ASSERT_EQ(0, go(v, 0));
	ASSERT_EQ(0, pthread_join(reader, &word));
	EXPECT_EQ(expected, (uintptr_t)word);
	/* Again, and by hand. */
	ASSERT_EQ(0, make_kind(&v->space, KIND_SMALL, 1, 1));
	v->nr = 0;
	add(v, 1, 1, 1);
	ASSERT_EQ(0, pthread_create(&reader, NULL, read_word, v->space.dst + PAGE));
	ASSERT_EQ(0, uffd_read(v->space.uffd, &msg));
	ASSERT_EQ(0, go(v, UFFDIO_MOVEV_MODE_DONTWAKE));
	usleep(50000);
	EXPECT_NE(0, pthread_tryjoin_np(reader, &word))
		TH_LOG("woken, though nobody should be");
	ASSERT_EQ(0, uffd_wake(v->space.uffd, v->space.dst + PAGE, PAGE));
	ASSERT_EQ(0, pthread_join(reader, &word));
}

/* Who waits for a page, and when he had it. */
struct waiter {
	char *page;
	struct timespec woken;
};

static void *wait_for_page(void *arg)
{
	struct waiter *w = arg;

	read_word(w->page);
	clock_gettime(CLOCK_MONOTONIC, &w->woken);
	return NULL;
}

static double seconds_between(struct timespec a, struct timespec b)
{
	return b.tv_sec - a.tv_sec + (b.tv_nsec - a.tv_nsec) / 1e9;
}

/*
 * Each page but the first is of a folio that a pipe keeps from being split, which is tried for
 * a while. Who waits for the first one might be the one who reads the pipe.
 */
TEST_F_TIMEOUT(vector, wakes_before_it_waits, PATIENCE)
{
	struct vector *v = &self->v;
	struct space *s = &v->space;
	struct waiter w = { .page = s->dst };
	struct timespec began, ended;
	struct iovec iov = { s->src + PMD + 100 * PAGE, 1 };
	struct uffd_msg msg;
	pthread_t thread;
	int pipes[2];
	size_t i;

	if (kind_missing(KIND_THP_BY_PTES))
		SKIP(return, "%s", kind_missing(KIND_THP_BY_PTES));
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 1));
	ASSERT_EQ(0, make_kind(s, KIND_THP_BY_PTES, PMD_PAGES, PMD_PAGES));
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(1, vmsplice(pipes[1], &iov, 1, 0));
	add(v, 0, 0, 1);
	for (i = 0; i < 6; i++)
		add(v, 2 * i + 2, PMD_PAGES + 2 * i, 1);
	ASSERT_EQ(0, pthread_create(&thread, NULL, wait_for_page, &w));
	ASSERT_EQ(0, uffd_read(s->uffd, &msg));
	clock_gettime(CLOCK_MONOTONIC, &began);
	EXPECT_EQ(EAGAIN, go(v, UFFDIO_MOVEV_MODE_GO_ON));
	clock_gettime(CLOCK_MONOTONIC, &ended);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	for (i = 0; i < 6; i++)
		expect(_metadata, v, i + 1, false, UFFDIO_MOVEV_UNSPLIT);
	EXPECT_LT(seconds_between(began, w.woken), seconds_between(began, ended) / 2);
	close(pipes[0]);
	close(pipes[1]);
}

/* A page of ranges, of which the last lies where nothing is mapped, or where no one may write. */
TEST_F_TIMEOUT(array, can_not_be_read_to_its_end, PATIENCE)
{
	struct space *s = &self->a.v.space;
	struct uffdio_movev_range *ranges = (void *)(s->dst + s->pages * PAGE - PAGE);
	size_t done, i, fit = PAGE / sizeof(*ranges);

	ASSERT_EQ(0, uffd_unregister(s->uffd, s->dst, s->pages * PAGE));
	ASSERT_EQ(0, uffd_register(s->uffd, s->dst, (s->pages - 1) * PAGE,
				   UFFDIO_REGISTER_MODE_MISSING));
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, fit));
	for (i = 0, self->a.v.nr = 0; i < fit && i < RANGES; i++)
		add(&self->a.v, i, i, 1);
	memcpy(ranges, self->a.v.ranges, self->a.v.nr * sizeof(*ranges));
	for (; i < fit; i++) {
		ranges[i] = ranges[0];
		ranges[i].dst += i * PAGE;
		ranges[i].src += i * PAGE;
	}
	EXPECT_EQ(EFAULT, move_vector(s->uffd, ranges, fit + 1, 0, &done));
	EXPECT_EQ(fit, done);
	for (i = 0; i < fit; i++)
		EXPECT_EQ(PAGE, ranges[i].moved);
	EXPECT_STREQ("", pages_differ(s->dst, fit, 1));
}

TEST_F_TIMEOUT(array, can_not_be_written, PATIENCE)
{
	struct space *s = &self->a.v.space;
	struct uffdio_movev_range *ranges = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
						 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t done;

	ASSERT_NE(MAP_FAILED, ranges);
	ranges[0] = self->a.v.ranges[0];
	ASSERT_EQ(0, mprotect(ranges, PAGE, PROT_READ));
	EXPECT_EQ(EFAULT, move_vector(s->uffd, ranges, 1, 0, &done));
	/* It has moved, and nobody said that it has not. */
	EXPECT_EQ(0, done);
	EXPECT_STREQ("", pages_differ(s->dst, 1, 1));
	munmap(ranges, PAGE);
}

/* Two pages of which the second can't be read or, when it has been filled, not written. */
static char *border(struct __test_metadata *_metadata, int prot)
{
	char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);

	EXPECT_NE(MAP_FAILED, pages);
	EXPECT_EQ(0, mprotect(pages + PAGE, PAGE, prot));
	return pages + PAGE;
}

/* It goes beyond what can be read at any of its fields, and so does the argument. */
TEST_F_TIMEOUT(array, ends_within_a_range, PATIENCE)
{
	struct space *s = &self->a.v.space;
	char *end = border(_metadata, PROT_NONE);
	size_t off, count, done;

	for (off = 8; off < sizeof(struct uffdio_movev_range); off += 8) {
		memcpy(end - off, &self->a.v.ranges[0], off);
		for (count = 1; count <= 2; count++) {
			EXPECT_EQ(EFAULT, move_vector(s->uffd, (void *)(end - off), count, 0,
						      &done));
			EXPECT_EQ(0, done);
		}
	}
	for (off = 8; off < offsetof(struct uffdio_movev, done); off += 8) {
		memcpy(end - off, &self->a.long_one.arg, off);
		EXPECT_EQ(-1, ioctl(s->uffd, UFFDIO_MOVEV, end - off));
		EXPECT_EQ(EFAULT, errno);
	}
	EXPECT_TRUE(all_pages(s->src, 1, PM_PRESENT, PM_PRESENT));
	munmap(end - PAGE, 2 * PAGE);
}

/* Each time the page has moved, though not all that is to be said of it could be. */
TEST_F_TIMEOUT(array, can_be_written_in_part, PATIENCE)
{
	struct space *s = &self->a.v.space;
	struct uffdio_movev_range range = self->a.v.ranges[0];
	char *end = border(_metadata, PROT_READ | PROT_WRITE);
	size_t off, done, i = 0;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 1, 5));
	for (off = 8; off < sizeof(range); off += 8, i++) {
		ASSERT_EQ(0, mprotect(end, PAGE, PROT_READ | PROT_WRITE));
		memcpy(end - off, &range, sizeof(range));
		ASSERT_EQ(0, mprotect(end, PAGE, PROT_READ));
		EXPECT_EQ(EFAULT, move_vector(s->uffd, (void *)(end - off), 1, 0, &done));
		EXPECT_EQ(0, done);
		range.dst += PAGE;
		range.src += PAGE;
	}
	EXPECT_STREQ("", pages_differ(s->dst, i, 1));
	munmap(end - PAGE, 2 * PAGE);
}

TEST_F_TIMEOUT(array, lies_in_what_moves, PATIENCE)
{
	struct space *s = &self->a.v.space;
	struct uffdio_movev_range *ranges = (void *)s->src;
	size_t done;

	ranges[0] = self->a.v.ranges[0];
	EXPECT_EQ(0, move_vector(s->uffd, ranges, 1, 0, &done));
	EXPECT_EQ(1, done);
	/* The outputs were written to where it had been. */
	EXPECT_EQ(PAGE, ranges[0].moved);
	EXPECT_EQ(0, ranges[0].src);
	EXPECT_EQ((uintptr_t)s->src, ((struct uffdio_movev_range *)s->dst)->src);
}

TEST_HARNESS_MAIN
