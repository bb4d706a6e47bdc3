// SPDX-License-Identifier: GPL-2.0
/*
 * UFFDIO_MOVEV: mode x page kind x length. Each page arrives with its own bytes and bits,
 * or stays, and who waits for it is woken or not.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#define AREA		(5 * PMD_PAGES)
#define TROUBLE		(AREA - 2)	/* a page and a hole behind it */

/* Put where outputs are to come: no result looks like it. */
#define CANARY		0xdecafbadU

/* What is asked of the call, and whether the kernel knows how. */
static const struct mode {
	const char *name;
	__u64 mode;
	__u64 feature;
} modes[] = {
	{ "no mode", 0, UFFD_FEATURE_MOVEV },
	{ "DONTWAKE", UFFDIO_MOVEV_MODE_DONTWAKE, UFFD_FEATURE_MOVEV },
	{ "ALLOW_SRC_HOLES", UFFDIO_MOVEV_MODE_ALLOW_SRC_HOLES, UFFD_FEATURE_MOVEV },
	{ "GO_ON", UFFDIO_MOVEV_MODE_GO_ON, UFFD_FEATURE_MOVEV },
	{ "DONTWAKE and GO_ON", UFFDIO_MOVEV_MODE_DONTWAKE | UFFDIO_MOVEV_MODE_GO_ON,
	  UFFD_FEATURE_MOVEV },
	{ "ALLOW_SRC_HOLES and GO_ON",
	  UFFDIO_MOVEV_MODE_ALLOW_SRC_HOLES | UFFDIO_MOVEV_MODE_GO_ON, UFFD_FEATURE_MOVEV },
	{ "DONTWAKE and ALLOW_SRC_HOLES",
	  UFFDIO_MOVEV_MODE_DONTWAKE | UFFDIO_MOVEV_MODE_ALLOW_SRC_HOLES, UFFD_FEATURE_MOVEV },
	{ "all of them",
	  UFFDIO_MOVEV_MODE_DONTWAKE | UFFDIO_MOVEV_MODE_ALLOW_SRC_HOLES |
	  UFFDIO_MOVEV_MODE_GO_ON, UFFD_FEATURE_MOVEV },
};

/* In order: pages of the kind; what stops unless holes are allowed; pages of the kind again. */
enum { FIRST, STOPS, LAST, RANGES };

/* One call; all positions are page numbers in their area. */
struct trial {
	struct space space;
	const struct mode *mode;
	enum page_kind_id kind;
	size_t pages;		/* of the first and last range */
	size_t src[RANGES];
	size_t dst[RANGES];
	struct uffdio_movev_range ranges[RANGES];
	size_t done;
	pthread_t reader;
	__u64 before[AREA];
};

FIXTURE(cell)
{
	struct trial trial;
};

FIXTURE_VARIANT(cell)
{
	enum page_kind_id kind;
};

FIXTURE_VARIANT_ADD(cell, small) { .kind = KIND_SMALL };
FIXTURE_VARIANT_ADD(cell, zero) { .kind = KIND_ZERO };
FIXTURE_VARIANT_ADD(cell, hole) { .kind = KIND_HOLE };
FIXTURE_VARIANT_ADD(cell, swapped) { .kind = KIND_SWAPPED };
FIXTURE_VARIANT_ADD(cell, swap_cache) { .kind = KIND_SWAP_CACHE };
FIXTURE_VARIANT_ADD(cell, lazy_free) { .kind = KIND_LAZY_FREE };
FIXTURE_VARIANT_ADD(cell, mlocked) { .kind = KIND_MLOCKED };
FIXTURE_VARIANT_ADD(cell, mthp) { .kind = KIND_MTHP };
FIXTURE_VARIANT_ADD(cell, mthp_swapped) { .kind = KIND_MTHP_SWAPPED };
FIXTURE_VARIANT_ADD(cell, thp) { .kind = KIND_THP };
FIXTURE_VARIANT_ADD(cell, thp_by_ptes) { .kind = KIND_THP_BY_PTES };
FIXTURE_VARIANT_ADD(cell, huge_zero) { .kind = KIND_HUGE_ZERO };

FIXTURE_SETUP(cell)
{
	const char *missing = vectors_missing();

	if (!missing)
		missing = kind_missing(variant->kind);
	if (missing)
		SKIP(return, "%s: %s", page_kinds[variant->kind].name, missing);
	self->trial.kind = variant->kind;
}

FIXTURE_TEARDOWN(cell)
{
}

/* All folios that the first and the last range touch, and what lies between. */
static void make_pages(struct __test_metadata *_metadata, struct trial *t)
{
	size_t unit = page_kinds[t->kind].unit;
	size_t first = t->src[FIRST] / unit * unit;
	size_t end = (t->src[LAST] + t->pages + unit - 1) / unit * unit;

	ASSERT_LE(end, TROUBLE);
	ASSERT_EQ(0, space_open(&t->space, AREA, 0));
	ASSERT_EQ(0, make_kind(&t->space, t->kind, first, end - first));
	/* Or khugepaged would fill the hole. */
	ASSERT_EQ(0, madvise(t->space.src, AREA * PAGE, MADV_NOHUGEPAGE));
	ASSERT_EQ(0, make_kind(&t->space, KIND_SMALL, TROUBLE, 1));
	ASSERT_EQ(0, look(t->space.src, AREA, t->before));
}

static void add_ranges(struct trial *t)
{
	size_t i;

	for (i = 0; i < RANGES; i++)
		t->ranges[i] = (struct uffdio_movev_range) {
			.dst = (uintptr_t)t->space.dst + t->dst[i] * PAGE,
			.src = (uintptr_t)t->space.src + t->src[i] * PAGE,
			.len = (i == STOPS ? 2 : t->pages) * PAGE,
			.moved = CANARY,
			.copied = CANARY,
			.stop = CANARY,
		};
}

static void *read_word(void *page)
{
	return (void *)__atomic_load_n((uintptr_t *)page, __ATOMIC_RELAXED);
}

/* Nothing would come to who waits where a hole comes. */
static bool has_reader(const struct trial *t)
{
	return t->kind != KIND_HOLE;
}

static bool wakes(const struct trial *t)
{
	return !(t->mode->mode & UFFDIO_MOVEV_MODE_DONTWAKE);
}

static char *page_waited_for(const struct trial *t)
{
	return t->space.dst + (t->dst[FIRST] + t->pages - 1) * PAGE;
}

static void start_reader(struct __test_metadata *_metadata, struct trial *t)
{
	char *page = page_waited_for(t);
	struct uffd_msg msg;

	if (!has_reader(t))
		return;
	ASSERT_EQ(0, pthread_create(&t->reader, NULL, read_word, page));
	ASSERT_EQ(0, uffd_read(t->space.uffd, &msg));
	ASSERT_EQ((uintptr_t)page, msg.arg.pagefault.address & -PAGE);
}

/* Of faults that have been read, which nobody has been woken from. */
static long long waiting(const struct space *s)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", s->uffd);
	return read_number(path, "total:");
}

/* No fault waits for us afterwards. */
static void end_reader(struct __test_metadata *_metadata, struct trial *t)
{
	struct space *s = &t->space;
	void *word;

	if (has_reader(t))
		EXPECT_EQ(!wakes(t), waiting(s));
	ASSERT_EQ(0, uffd_unregister(s->uffd, s->dst, s->pages * PAGE));
	if (!has_reader(t))
		return;
	ASSERT_EQ(0, pthread_join(t->reader, &word));
	EXPECT_EQ(*(uintptr_t *)page_waited_for(t), (uintptr_t)word);
}

/* So many pages, and why not more. */
static void expect(struct __test_metadata *_metadata, struct trial *t, size_t i,
		   size_t pages, __u32 stop)
{
	EXPECT_EQ(pages * PAGE, t->ranges[i].moved)
		TH_LOG("range %zu", i);
	EXPECT_EQ(0, t->ranges[i].copied)
		TH_LOG("range %zu", i);
	EXPECT_EQ(stop, t->ranges[i].stop)
		TH_LOG("range %zu", i);
}

/* The first @done ranges have outputs, and no other. */
static void check_outputs(struct __test_metadata *_metadata, struct trial *t, size_t done)
{
	const __u64 holes = t->mode->mode & UFFDIO_MOVEV_MODE_ALLOW_SRC_HOLES;
	bool stays = t->kind == KIND_HOLE && !holes;
	size_t i, pages = stays ? 0 : t->pages;

	ASSERT_EQ(done, t->done);
	for (i = 0; i < RANGES; i++) {
		if (i >= done) {
			EXPECT_EQ(CANARY, t->ranges[i].stop);
		} else if (i == STOPS) {
			expect(_metadata, t, i, holes ? 2 : 1,
			       holes ? UFFDIO_MOVEV_DONE : UFFDIO_MOVEV_HOLE);
		} else {
			expect(_metadata, t, i, pages,
			       stays ? UFFDIO_MOVEV_HOLE : UFFDIO_MOVEV_DONE);
		}
	}
}

/* The same PFN means the same page; but there may be more than one zero page. */
static __u64 kept_bits(const struct trial *t)
{
	__u64 bits = PM_PRESENT | PM_SWAP | PM_EXCLUSIVE | PM_ZERO | PM_UFFD_WP;

	return page_kinds[t->kind].zeroes ? bits : bits | PM_PFN;
}

/* What moved is there and nowhere else, the rest is where it was. */
static void check_places(struct __test_metadata *_metadata, struct trial *t)
{
	static __u64 src[AREA], dst[AREA], want_src[AREA], want_dst[AREA];
	size_t i, page;

	memcpy(want_src, t->before, sizeof(want_src));
	memset(want_dst, 0, sizeof(want_dst));
	for (i = 0; i < t->done; i++)
		for (page = 0; page < t->ranges[i].moved / PAGE; page++) {
			want_dst[t->dst[i] + page] = t->before[t->src[i] + page];
			want_src[t->src[i] + page] = 0;
		}
	ASSERT_EQ(0, look(t->space.src, AREA, src));
	ASSERT_EQ(0, look(t->space.dst, AREA, dst));
	/* Who has been woken may have read what was swapped out. */
	if (has_reader(t) && wakes(t))
		memcpy(want_dst + t->dst[FIRST], dst + t->dst[FIRST], t->pages * sizeof(*dst));
	EXPECT_EQ(AREA, first_unlike(want_src, src, AREA, kept_bits(t)));
	EXPECT_EQ(AREA, first_unlike(want_dst, dst, AREA, kept_bits(t)));
}

static void check_bytes(struct __test_metadata *_metadata, struct trial *t)
{
	bool zeroes = page_kinds[t->kind].zeroes;
	size_t i, moved;

	for (i = 0; i < RANGES; i++) {
		const char *src = (char *)(uintptr_t)t->ranges[i].src;
		size_t id = zeroes && i != STOPS ? 0 : t->src[i] + 1;

		moved = i < t->done ? t->ranges[i].moved / PAGE : 0;
		if (i == STOPS && moved)
			moved = 1;
		EXPECT_STREQ("", pages_differ((void *)(uintptr_t)t->ranges[i].dst, moved, id));
		EXPECT_STREQ("", pages_differ(src, moved, 0));
		if (i != STOPS && !moved)
			EXPECT_STREQ("", pages_differ(src, t->pages, id));
	}
}

static void try_mode(struct __test_metadata *_metadata, struct trial *t)
{
	const __u64 mode = t->mode->mode;
	bool all = mode & UFFDIO_MOVEV_MODE_ALLOW_SRC_HOLES;
	size_t done = all || mode & UFFDIO_MOVEV_MODE_GO_ON ? RANGES : 1 + (t->kind != KIND_HOLE);

	make_pages(_metadata, t);
	add_ranges(t);
	start_reader(_metadata, t);
	EXPECT_EQ(all ? 0 : EAGAIN,
		  move_vector(t->space.uffd, t->ranges, RANGES, mode, &t->done));
	check_outputs(_metadata, t, done);
	check_places(_metadata, t);
	end_reader(_metadata, t);
	check_bytes(_metadata, t);
	space_close(&t->space);
}

/* Ranges of so many pages, the first from @src on to @dst, the last so far behind it. */
static void try_modes(struct __test_metadata *_metadata, struct trial *t, size_t src, size_t dst,
		      size_t apart)
{
	const char *missing;
	size_t i;

	t->src[FIRST] = src;
	t->dst[FIRST] = dst;
	t->src[LAST] = src + apart;
	t->dst[LAST] = dst + apart;
	t->src[STOPS] = TROUBLE;
	t->dst[STOPS] = TROUBLE;
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		t->mode = &modes[i];
		missing = features_missing(t->mode->feature, "not in this kernel");
		if (missing) {
			TH_LOG("%s: %s", t->mode->name, missing);
			continue;
		}
		try_mode(_metadata, t);
		if (_metadata->exit_code) {
			TH_LOG("in mode %s", t->mode->name);
			return;
		}
	}
}

TEST_F_TIMEOUT(cell, one_page, PATIENCE)
{
	self->trial.pages = 1;
	try_modes(_metadata, &self->trial, 3, 5, 2);
}

TEST_F_TIMEOUT(cell, some_pages, PATIENCE)
{
	self->trial.pages = 2 * MTHP_PAGES;
	try_modes(_metadata, &self->trial, MTHP_PAGES, 5 * MTHP_PAGES, 3 * MTHP_PAGES);
}

TEST_F_TIMEOUT(cell, some_pages_unaligned, PATIENCE)
{
	self->trial.pages = 7;
	try_modes(_metadata, &self->trial, 5, PMD_PAGES - 4, 9);
}

TEST_F_TIMEOUT(cell, a_whole_table, PATIENCE)
{
	self->trial.pages = PMD_PAGES;
	try_modes(_metadata, &self->trial, 0, 0, PMD_PAGES);
}

TEST_F_TIMEOUT(cell, across_tables, PATIENCE)
{
	self->trial.pages = PMD_PAGES + 8;
	try_modes(_metadata, &self->trial, PMD_PAGES - 4, 8, PMD_PAGES + 8);
}

TEST_HARNESS_MAIN
