// SPDX-License-Identifier: GPL-2.0
/*
 * Between VMAs that are write-protected, tracked for any access (RWP), or
 * neither: one bit of an entry has two meanings, and what arrives must have
 * that of its new VMA.
 */
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "../../kselftest_harness.h"
#include "rival.h"

/* Linux 7.3 has these. A kernel that has not refuses them, and the tests are skipped. */
#ifndef UFFD_FEATURE_RWP
#define UFFD_FEATURE_RWP		_BITULL(17)
#define UFFD_FEATURE_RWP_ASYNC		_BITULL(18)
#define UFFDIO_REGISTER_MODE_RWP	_BITULL(3)
#define UFFDIO_RWPROTECT_MODE_RWP	_BITULL(0)
struct uffdio_rwprotect {
	struct uffdio_range range;
	__u64 mode;
};

#define UFFDIO_RWPROTECT		_IOWR(UFFDIO, 0x09, struct uffdio_rwprotect)
#endif

enum mode { NONE, WP, RWP, RWP_ASYNC };

static const struct {
	__u64 features;
	__u64 registered;
} modes[] = {
	[NONE] = { 0, 0 },
	[WP] = { FEATURES_WP, UFFDIO_REGISTER_MODE_WP },
	[RWP] = { UFFD_FEATURE_RWP, UFFDIO_REGISTER_MODE_RWP },
	[RWP_ASYNC] = { UFFD_FEATURE_RWP | UFFD_FEATURE_RWP_ASYNC, UFFDIO_REGISTER_MODE_RWP },
};

static const char no_mode[] = "userfaultfd lacks a mode, most likely RWP of later kernels";

static int rwprotect(int uffd, char *addr, size_t len, __u64 mode)
{
	struct uffdio_rwprotect protect = {
		.range = { (unsigned long)addr, len }, .mode = mode,
	};

	return ioctl(uffd, UFFDIO_RWPROTECT, &protect);
}

static int protect(int uffd, char *addr, enum mode mode)
{
	if (mode == NONE)
		return 0;
	if (mode == WP)
		return uffd_writeprotect(uffd, addr, PMD);
	return rwprotect(uffd, addr, PMD, UFFDIO_RWPROTECT_MODE_RWP);
}

static void write_byte(void *addr)
{
	*(char *)addr = 77;
}

FIXTURE(tracked)
{
	struct space space;
	int from;
	long long before;
};

FIXTURE_VARIANT(tracked)
{
	enum mode from;
	enum mode to;
	enum page_kind_id kind;
};

FIXTURE_VARIANT_ADD(tracked, wp_to_wp_small) { WP, WP, KIND_SMALL };
FIXTURE_VARIANT_ADD(tracked, wp_to_wp_zero) { WP, WP, KIND_ZERO };
FIXTURE_VARIANT_ADD(tracked, wp_to_wp_swapped) { WP, WP, KIND_SWAPPED };
FIXTURE_VARIANT_ADD(tracked, wp_to_wp_thp) { WP, WP, KIND_THP };
FIXTURE_VARIANT_ADD(tracked, none_to_rwp_small) { NONE, RWP, KIND_SMALL };
FIXTURE_VARIANT_ADD(tracked, none_to_rwp_zero) { NONE, RWP, KIND_ZERO };
FIXTURE_VARIANT_ADD(tracked, none_to_rwp_swapped) { NONE, RWP, KIND_SWAPPED };
FIXTURE_VARIANT_ADD(tracked, none_to_rwp_mthp) { NONE, RWP, KIND_MTHP };
FIXTURE_VARIANT_ADD(tracked, none_to_rwp_thp) { NONE, RWP, KIND_THP };
FIXTURE_VARIANT_ADD(tracked, none_to_rwp_huge_zero) { NONE, RWP, KIND_HUGE_ZERO };
FIXTURE_VARIANT_ADD(tracked, wp_to_rwp_small) { WP, RWP, KIND_SMALL };
FIXTURE_VARIANT_ADD(tracked, wp_to_rwp_zero) { WP, RWP, KIND_ZERO };
FIXTURE_VARIANT_ADD(tracked, wp_to_rwp_swapped) { WP, RWP, KIND_SWAPPED };
FIXTURE_VARIANT_ADD(tracked, wp_to_rwp_thp) { WP, RWP, KIND_THP };
FIXTURE_VARIANT_ADD(tracked, rwp_to_rwp_small) { RWP, RWP, KIND_SMALL };
FIXTURE_VARIANT_ADD(tracked, rwp_to_rwp_zero) { RWP, RWP, KIND_ZERO };
FIXTURE_VARIANT_ADD(tracked, rwp_to_rwp_swapped) { RWP, RWP, KIND_SWAPPED };
FIXTURE_VARIANT_ADD(tracked, rwp_to_rwp_thp) { RWP, RWP, KIND_THP };
FIXTURE_VARIANT_ADD(tracked, rwp_to_none_small) { RWP, NONE, KIND_SMALL };
FIXTURE_VARIANT_ADD(tracked, rwp_to_none_zero) { RWP, NONE, KIND_ZERO };
FIXTURE_VARIANT_ADD(tracked, rwp_to_none_swapped) { RWP, NONE, KIND_SWAPPED };
FIXTURE_VARIANT_ADD(tracked, rwp_to_none_mthp) { RWP, NONE, KIND_MTHP };
FIXTURE_VARIANT_ADD(tracked, rwp_to_none_thp) { RWP, NONE, KIND_THP };
FIXTURE_VARIANT_ADD(tracked, rwp_to_none_huge_zero) { RWP, NONE, KIND_HUGE_ZERO };
FIXTURE_VARIANT_ADD(tracked, rwp_to_wp_small) { RWP, WP, KIND_SMALL };
FIXTURE_VARIANT_ADD(tracked, rwp_to_wp_zero) { RWP, WP, KIND_ZERO };
FIXTURE_VARIANT_ADD(tracked, rwp_to_wp_swapped) { RWP, WP, KIND_SWAPPED };
FIXTURE_VARIANT_ADD(tracked, rwp_to_wp_thp) { RWP, WP, KIND_THP };
FIXTURE_VARIANT_ADD(tracked, none_to_async_small) { NONE, RWP_ASYNC, KIND_SMALL };
FIXTURE_VARIANT_ADD(tracked, none_to_async_zero) { NONE, RWP_ASYNC, KIND_ZERO };
FIXTURE_VARIANT_ADD(tracked, async_to_none_small) { RWP_ASYNC, NONE, KIND_SMALL };
FIXTURE_VARIANT_ADD(tracked, async_to_wp_small) { RWP_ASYNC, WP, KIND_SMALL };

FIXTURE_SETUP(tracked)
{
	const __u64 features = modes[variant->from].features | modes[variant->to].features;
	const char *missing = move_missing();
	struct space *s = &self->space;

	missing = missing ? missing : features_missing(features, no_mode);
	missing = missing ? missing : kind_missing(variant->kind);
	/* The base lets some of these bits travel, others not. */
	missing = missing ? missing : base_serves();
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(s, PMD_PAGES, UFFD_FEATURE_SIGBUS | modes[variant->to].features));
	ASSERT_EQ(0, make_kind(s, variant->kind, 0, PMD_PAGES));
	self->from = uffd_open(0, modes[variant->from].features);
	ASSERT_LE(0, self->from);
	if (variant->from != NONE)
		ASSERT_EQ(0, uffd_register(self->from, s->src, PMD,
					   modes[variant->from].registered));
	ASSERT_EQ(0, protect(self->from, s->src, variant->from));
	ASSERT_EQ(0, uffd_register(s->uffd, s->dst, PMD, UFFDIO_REGISTER_MODE_MISSING |
				   modes[variant->to].registered));
	ASSERT_TRUE(catch_sigbus());
	self->before = engine_count(page_kinds[variant->kind].counters);
}

FIXTURE_TEARDOWN(tracked)
{
	close(self->from);
	space_close(&self->space);
}

/* All but the first page, which was written to. */
static bool has_its_bytes(enum page_kind_id kind, const char *addr)
{
	return page_kinds[kind].zeroes ? !addr[PMD - 1] :
		!*pages_differ(addr + PAGE, PMD_PAGES - 1, 2);
}

/* Does an access end in a signal, as whoever is told of it wants it? */
static void expect_accesses(struct __test_metadata *_metadata, char *dst, enum mode from,
			    enum mode to)
{
	EXPECT_EQ(to != RWP, touch(dst));
	EXPECT_EQ(to != RWP && !(to == WP && from == WP), survives(write_byte, dst));
}

TEST_F_TIMEOUT(tracked, R20_arrives_as_registered, PATIENCE)
{
	const bool armed = variant->to == RWP || variant->to == RWP_ASYNC ||
			   (variant->to == WP && variant->from == WP);
	struct space *s = &self->space;

	ASSERT_EQ(0, move_pages_of(s->uffd, s->dst, s->src, PMD, 0).err);
	EXPECT_ENGINE(PMD_PAGES, page_kinds[variant->kind].counters, self->before);
	EXPECT_TRUE(all_pages(s->dst, PMD_PAGES, PM_UFFD_WP, armed ? PM_UFFD_WP : 0));
	expect_accesses(_metadata, s->dst, variant->from, variant->to);
	if (variant->to == RWP)
		ASSERT_EQ(0, rwprotect(s->uffd, s->dst, PMD, 0));
	EXPECT_TRUE(has_its_bytes(variant->kind, s->dst));
}

/* Nobody is told, but who asks sees what was accessed since it arrived, and what was not. */
TEST(R20_armed_until_accessed)
{
	const char *missing = move_missing();
	struct space s;

	missing = missing ? missing : features_missing(modes[RWP_ASYNC].features, no_mode);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&s, PMD_PAGES, modes[RWP_ASYNC].features));
	ASSERT_EQ(0, make_kind(&s, KIND_SMALL, 0, PMD_PAGES));
	ASSERT_EQ(0, uffd_register(s.uffd, s.dst, PMD, UFFDIO_REGISTER_MODE_MISSING |
				   UFFDIO_REGISTER_MODE_RWP));
	ASSERT_EQ(0, move_pages_of(s.uffd, s.dst, s.src, PMD, 0).err);
	ASSERT_TRUE(catch_sigbus());
	EXPECT_TRUE(touch(s.dst + PAGE));
	EXPECT_TRUE(all_pages(s.dst, 1, PM_UFFD_WP, PM_UFFD_WP));
	EXPECT_TRUE(all_pages(s.dst + PAGE, 1, PM_UFFD_WP, 0));
	EXPECT_TRUE(all_pages(s.dst + 2 * PAGE, PMD_PAGES - 2, PM_UFFD_WP, PM_UFFD_WP));
	space_close(&s);
}

#define WIDE	(4 * PMD_PAGES)
#define STEP	64UL	/* pages */

/* Moves what is protected to what is tracked, from the end on, step by step: @rounds of them. */
static void *move_backwards(void *arg)
{
	struct rival *r = arg;
	struct space *s = r->space;
	size_t left;

	for (left = WIDE; left; left -= STEP) {
		size_t at = (left - STEP) * PAGE;

		if (move_pages_of(s->uffd, s->dst + at, s->src + at, STEP * PAGE, 0).err)
			break;
		__atomic_fetch_add(&r->rounds, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

FIXTURE(unregistered)
{
	struct space space;
	int from;
};

FIXTURE_SETUP(unregistered)
{
	const char *missing = move_missing();
	struct space *s = &self->space;

	missing = missing ? missing : features_missing(FEATURES_WP, no_mode);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(s, WIDE, FEATURES_WP));
	self->from = uffd_open(0, FEATURES_WP);
	ASSERT_LE(0, self->from);
}

FIXTURE_TEARDOWN(unregistered)
{
	close(self->from);
	space_close(&self->space);
}

/*
 * A page that comes while the destination is unregistered must not keep the bit of those who
 * track it: nobody would clear it, and later on its writes would be told to nobody.
 */
TEST_F_TIMEOUT(unregistered, means_untracked, PATIENCE)
{
	struct space *s = &self->space;
	struct rival r = { .space = s };
	int i;

	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, WIDE));
		ASSERT_EQ(0, uffd_register(self->from, s->src, WIDE * PAGE,
					   UFFDIO_REGISTER_MODE_WP));
		ASSERT_EQ(0, uffd_writeprotect(self->from, s->src, WIDE * PAGE));
		ASSERT_EQ(0, uffd_register(s->uffd, s->dst, WIDE * PAGE,
					   UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP));
		r.rounds = 0;
		ASSERT_EQ(0, pthread_create(&r.thread, NULL, move_backwards, &r));
		while (__atomic_load_n(&r.rounds, __ATOMIC_ACQUIRE) < WIDE / STEP / 2)
			sched_yield();
		ASSERT_EQ(0, uffd_unregister(s->uffd, s->dst, WIDE * PAGE));
		/* Of UFFDIO_MOVE it is the end; MREMAP_ONLYPAGES goes on. */
		r.hits += __atomic_load_n(&r.rounds, __ATOMIC_ACQUIRE) < WIDE / STEP;
		ASSERT_EQ(0, pthread_join(r.thread, NULL));
		ASSERT_TRUE(all_pages(s->dst, WIDE, PM_UFFD_WP, 0))
			TH_LOG("round %d", i);
		ASSERT_EQ(0, uffd_unregister(self->from, s->src, WIDE * PAGE));
		ASSERT_EQ(0, madvise(s->dst, WIDE * PAGE, MADV_DONTNEED));
	}
	EXPECT_LT(0, r.hits);
}

TEST_HARNESS_MAIN
