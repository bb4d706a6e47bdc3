// SPDX-License-Identifier: GPL-2.0
/*
 * A device that mirrors the page tables: it is told before pages leave, so it
 * neither reads nor writes them at their old address afterwards. And memory of
 * the device, which stays where it is.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <lib/test_hmm_uapi.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#define AREA	PMD_PAGES
#define RUN	(2 * MTHP_PAGES)

#define DEVICE	"/dev/hmm_dmirror0"

/* What is written over pattern 1. */
#define OTHER	10000

/* How often a device that is busy must have been told. */
#define ROUNDS	30

/**
 * struct mirror - a space and a device that mirrors it
 * @space: the space
 * @fd: the device
 * @bounce: pages that the device reads to and writes from
 */
struct mirror {
	struct space space;
	int fd;
	char *bounce;
};

static const char *mirror_missing(void)
{
	const char *missing = move_missing();

	if (!missing && access(DEVICE, R_OK | W_OK))
		return "no " DEVICE " (CONFIG_TEST_HMM)";
	return missing;
}

static void mirror_open(struct __test_metadata *_metadata, struct mirror *m)
{
	ASSERT_EQ(0, space_open(&m->space, AREA, 0));
	m->bounce = map_aligned(AREA * PAGE);
	ASSERT_NE(NULL, m->bounce);
	m->fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, m->fd);
}

static void mirror_close(struct mirror *m)
{
	close(m->fd);
	munmap(m->bounce, AREA * PAGE);
	space_close(&m->space);
}

/* How many faults of the device it took, 0 if it had all of the pages mapped; or -1. */
static int device(const struct mirror *m, unsigned long what, const void *addr, size_t pages)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = (uintptr_t)addr,
		.ptr = (uintptr_t)m->bounce,
		.npages = pages,
	};

	return ioctl(m->fd, what, &cmd) || cmd.cpages != pages ? -1 : (int)cmd.faults;
}

static int device_read(const struct mirror *m, const void *addr, size_t pages)
{
	return device(m, HMM_DMIRROR_READ, addr, pages);
}

static int device_write(const struct mirror *m, const void *addr, size_t pages, unsigned int id)
{
	fill_pages(m->bounce, pages, id);
	return device(m, HMM_DMIRROR_WRITE, addr, pages);
}

static int move(const struct mirror *m, size_t pages)
{
	const struct space *s = &m->space;

	return move_pages_of(s->uffd, s->dst, s->src, pages * PAGE, 0).err;
}

FIXTURE(mirror)
{
	struct mirror mirror;
	long long counted;
};

FIXTURE_VARIANT(mirror)
{
	enum page_kind_id kind;
	size_t pages;
	const char *counters;
};

FIXTURE_VARIANT_ADD(mirror, one_page) { KIND_SMALL, 1, "moved_small" };
FIXTURE_VARIANT_ADD(mirror, whole_table) { KIND_SMALL, PMD_PAGES, "moved_small" };
FIXTURE_VARIANT_ADD(mirror, mthp) { KIND_MTHP, RUN, "moved_large" };
FIXTURE_VARIANT_ADD(mirror, thp) { KIND_THP, PMD_PAGES, "moved_pmd" };
FIXTURE_VARIANT_ADD(mirror, thp_by_ptes) { KIND_THP_BY_PTES, PMD_PAGES, "moved_large" };

FIXTURE_SETUP(mirror)
{
	struct mirror *m = &self->mirror;
	const char *missing = mirror_missing();

	missing = missing ? missing : kind_missing(variant->kind);
	if (missing)
		SKIP(return, "%s", missing);
	mirror_open(_metadata, m);
	ASSERT_EQ(0, make_kind(&m->space, variant->kind, 0, variant->pages));
	self->counted = engine_count(variant->counters);
}

FIXTURE_TEARDOWN(mirror)
{
	mirror_close(&self->mirror);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(variant->pages, variant->counters, self->counted);
}

/* A device that was not told reads from its own table, without a fault. */
TEST_F_TIMEOUT(mirror, V4_reads_follow, PATIENCE)
{
	struct mirror *m = &self->mirror;
	const struct space *s = &m->space;

	ASSERT_LT(0, device_read(m, s->src, variant->pages));
	ASSERT_EQ(0, device_read(m, s->src, variant->pages));
	ASSERT_EQ(0, move(m, variant->pages));

	EXPECT_LT(0, device_read(m, s->src, variant->pages));
	EXPECT_STREQ("", pages_differ(m->bounce, variant->pages, 0));
	EXPECT_LT(0, device_read(m, s->dst, variant->pages));
	EXPECT_STREQ("", pages_differ(m->bounce, variant->pages, 1));
	EXPECT_STREQ("", pages_differ(s->dst, variant->pages, 1));
}

TEST_F_TIMEOUT(mirror, V4_writes_follow, PATIENCE)
{
	struct mirror *m = &self->mirror;
	const struct space *s = &m->space;

	ASSERT_LE(0, device_write(m, s->src, variant->pages, OTHER));
	ASSERT_EQ(0, device_write(m, s->src, variant->pages, 1));
	ASSERT_EQ(0, move(m, variant->pages));

	EXPECT_LT(0, device_write(m, s->src, variant->pages, OTHER));
	EXPECT_STREQ("", pages_differ(s->dst, variant->pages, 1));
	EXPECT_STREQ("", pages_differ(s->src, variant->pages, OTHER));
	EXPECT_LT(0, device_write(m, s->dst, variant->pages, 2));
	EXPECT_STREQ("", pages_differ(s->dst, variant->pages, 2));
}

/* Keeps the device busy, whose lock the notifier takes. */
struct business {
	pthread_t thread;
	struct mirror mirror;	/* its bounce pages are its own */
	char *pages;
	bool end;
};

static void *read_on(void *arg)
{
	struct business *b = arg;

	while (!__atomic_load_n(&b->end, __ATOMIC_RELAXED))
		if (device_read(&b->mirror, b->pages, AREA) < 0)
			return "it can't read";
	return NULL;
}

static void start_business(struct __test_metadata *_metadata, struct business *b,
			   const struct mirror *m)
{
	b->mirror = *m;
	b->mirror.bounce = map_aligned(AREA * PAGE);
	b->pages = map_aligned(AREA * PAGE);
	ASSERT_TRUE(b->mirror.bounce && b->pages);
	fill_pages(b->pages, AREA, OTHER);
	ASSERT_EQ(0, pthread_create(&b->thread, NULL, read_on, b));
}

static void end_business(struct __test_metadata *_metadata, struct business *b)
{
	void *trouble;

	__atomic_store_n(&b->end, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(b->thread, &trouble));
	EXPECT_EQ(NULL, trouble);
	munmap(b->mirror.bounce, AREA * PAGE);
	munmap(b->pages, AREA * PAGE);
}

/* A notifier that must not wait would give up, and leave the device its old mapping. */
TEST_F_TIMEOUT(mirror, V4_busy_device_is_waited_for, PATIENCE)
{
	struct mirror *m = &self->mirror;
	struct business b = { };
	int round;

	ASSERT_EQ(0, space_register_source(&m->space));
	start_business(_metadata, &b, m);
	for (round = 0; round < ROUNDS && !_metadata->exit_code; round++) {
		ASSERT_LE(0, device_read(m, m->space.src, variant->pages));
		ASSERT_EQ(0, move_there_and_back(&m->space, variant->pages));
		EXPECT_LT(0, device_read(m, m->space.src, variant->pages));
		EXPECT_STREQ("", pages_differ(m->bounce, variant->pages, 1));
	}
	end_business(_metadata, &b);
}

FIXTURE(swapped)
{
	struct mirror mirror;
};

FIXTURE_SETUP(swapped)
{
	const char *missing = mirror_missing();

	missing = missing ? missing : kind_missing(KIND_SWAPPED);
	if (missing)
		SKIP(return, "%s", missing);
	mirror_open(_metadata, &self->mirror);
}

FIXTURE_TEARDOWN(swapped)
{
	mirror_close(&self->mirror);
}

/* The device had them mapped before they were swapped out, and asks for them again. */
TEST_F_TIMEOUT(swapped, V4_swapped_follow, PATIENCE)
{
	struct mirror *m = &self->mirror;
	long long counted;

	ASSERT_LE(0, device_write(m, m->space.src, RUN, 1));
	ASSERT_EQ(0, page_out(m->space.src, RUN));
	counted = engine_count("moved_swap");
	ASSERT_EQ(0, move(m, RUN));
	EXPECT_ENGINE(RUN, "moved_swap", counted);

	EXPECT_LT(0, device_read(m, m->space.src, RUN));
	EXPECT_STREQ("", pages_differ(m->bounce, RUN, 0));
	EXPECT_LT(0, device_read(m, m->space.dst, RUN));
	EXPECT_STREQ("", pages_differ(m->bounce, RUN, 1));
}

FIXTURE(owned)
{
	struct mirror mirror;
};

/* What a device can do with a page, so that no CPU can reach it. */
FIXTURE_VARIANT(owned)
{
	unsigned long what;
};

FIXTURE_VARIANT_ADD(owned, private) { HMM_DMIRROR_MIGRATE_TO_DEV };
FIXTURE_VARIANT_ADD(owned, exclusive) { HMM_DMIRROR_EXCLUSIVE };

FIXTURE_SETUP(owned)
{
	const char *missing = mirror_missing();

	if (missing)
		SKIP(return, "%s", missing);
	mirror_open(_metadata, &self->mirror);
	ASSERT_EQ(0, make_kind(&self->mirror.space, KIND_SMALL, 0, RUN));
}

FIXTURE_TEARDOWN(owned)
{
	mirror_close(&self->mirror);
}

/* Like poison, what is neither a page nor in swap does not move (O9); its neighbours do. */
TEST_F_TIMEOUT(owned, O9_stays, PATIENCE)
{
	const size_t before = RUN / 2, left = RUN - before;
	const struct space *s = &self->mirror.space;
	char *src = s->src + before * PAGE, *dst = s->dst + before * PAGE;
	struct moved moved;

	ASSERT_EQ(0, device(&self->mirror, variant->what, src, 1));
	moved = move_pages_of(s->uffd, s->dst, s->src, RUN * PAGE, 0);
	EXPECT_EQ(EAGAIN, moved.err);
	EXPECT_EQ((long long)(before * PAGE), moved.bytes);
	moved = move_pages_of(s->uffd, dst, src, left * PAGE, 0);
	EXPECT_EQ(EFAULT, moved.err);
	EXPECT_EQ(-EFAULT, moved.bytes);

	/* Who touches it gets it back. */
	EXPECT_STREQ("", pages_differ(src, 1, before + 1));
	EXPECT_EQ(0, move_pages_of(s->uffd, dst, src, left * PAGE, 0).err);
	EXPECT_STREQ("", pages_differ(s->dst, RUN, 1));
}

FIXTURE(owned_in_part)
{
	struct mirror mirror;
};

FIXTURE_SETUP(owned_in_part)
{
	const char *missing = mirror_missing();

	missing = missing ? missing : relocate_missing();
	missing = missing ? missing : kind_missing(KIND_MTHP);
	if (missing)
		SKIP(return, "%s", missing);
	mirror_open(_metadata, &self->mirror);
	ASSERT_EQ(0, make_kind(&self->mirror.space, KIND_MTHP, 0, RUN));
}

FIXTURE_TEARDOWN(owned_in_part)
{
	mirror_close(&self->mirror);
}

/*
 * For a device Linux 6.12 takes all pages of a large folio from the CPU, and its mapcount
 * knows nothing of those that nobody has touched since. They keep the folio where it is.
 */
TEST_F_TIMEOUT(owned_in_part, O9_entries_elsewhere_count, PATIENCE)
{
	const size_t half = MTHP_PAGES / 2;
	const struct space *s = &self->mirror.space;
	char *rest = s->src + half * PAGE, *dst = s->dst + half * PAGE;

	ASSERT_EQ(0, device(&self->mirror, HMM_DMIRROR_EXCLUSIVE, s->src, 1));
	ASSERT_STREQ("", pages_differ(rest, half, half + 1));
	ASSERT_EQ(0, relocate(dst, rest, half, MAY));

	EXPECT_STREQ("", pages_differ(s->src, half, 1));
	EXPECT_EQ(0, page_out(s->src, half));
	EXPECT_EQ(0, page_out(dst, half));
	EXPECT_STREQ("", pages_differ(s->src, half, 1));
	EXPECT_STREQ("", pages_differ(dst, half, half + 1));
}

FIXTURE(owned_huge)
{
	struct mirror mirror;
};

FIXTURE_SETUP(owned_huge)
{
	const char *missing = mirror_missing();
	struct space *s = &self->mirror.space;

	missing = missing ? missing : kind_missing(KIND_THP);
	if (missing)
		SKIP(return, "%s", missing);
	mirror_open(_metadata, &self->mirror);
	ASSERT_EQ(0, make_kind(s, KIND_THP, 0, PMD_PAGES));
	ASSERT_EQ(0, device(&self->mirror, HMM_DMIRROR_MIGRATE_TO_DEV, s->src, PMD_PAGES));
}

FIXTURE_TEARDOWN(owned_huge)
{
	mirror_close(&self->mirror);
}

/* By one entry of the device, as from Linux 6.19 on, or by entries for each page. */
static bool is_huge_of_device(const struct mirror *m, const void *addr)
{
	const unsigned char huge = HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | HMM_DMIRROR_PROT_PMD;

	return !device(m, HMM_DMIRROR_SNAPSHOT, addr, PMD_PAGES) &&
	       (*(unsigned char *)m->bounce & huge) == huge;
}

TEST_F_TIMEOUT(owned_huge, O9_stays_as_it_is, PATIENCE)
{
	const struct space *s = &self->mirror.space;
	bool huge = is_huge_of_device(&self->mirror, s->src);
	long long splits = engine_count("splits"), markers = engine_count("stop_marker");
	struct moved moved = move_pages_of(s->uffd, s->dst, s->src, PMD, 0);

	TH_LOG("the device has it %s", huge ? "as a huge page" : "page by page");
	EXPECT_EQ(EFAULT, moved.err);
	EXPECT_EQ(-EFAULT, moved.bytes);
	EXPECT_ENGINE(1, "stop_marker", markers);
	if (engine_counts())
		EXPECT_EQ(splits, engine_count("splits"));
	EXPECT_EQ(huge, is_huge_of_device(&self->mirror, s->src));

	/* Who touches it gets it back. */
	EXPECT_STREQ("", pages_differ(s->src, PMD_PAGES, 1));
	EXPECT_EQ(0, move(&self->mirror, PMD_PAGES));
	EXPECT_STREQ("", pages_differ(s->dst, PMD_PAGES, 1));
}

TEST_HARNESS_MAIN
