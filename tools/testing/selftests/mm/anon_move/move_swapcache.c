// SPDX-License-Identifier: GPL-2.0
/*
 * Folios that a slow swap device keeps in the swap cache: written ones and ones
 * under write-back, small and large, whole and in parts.
 */
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/wait.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#define AREA	(2 * PMD_PAGES)
#define MADE	(4 * MTHP_PAGES)

/* A source, and the frames that its pages were in before they were paged out. */
struct made {
	struct space space;
	__u64 frames[MADE];
};

static const char *cache_missing(enum page_kind_id kind)
{
	const char *missing = move_missing();

	missing = missing ? missing : slow_swap_missing();
	missing = missing ? missing : kind_missing(kind);
	return missing ? missing : base_serves();
}

/* New pages wait in a batch of the CPU that faulted them in; MADV_PAGEOUT empties only its own. */
static bool stay_on_cpu(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	return !sched_setaffinity(0, sizeof(one), &one);
}

static void make(struct __test_metadata *_metadata, struct made *m, enum page_kind_id kind)
{
	ASSERT_TRUE(stay_on_cpu());
	ASSERT_EQ(0, space_open(&m->space, AREA, 0));
	ASSERT_EQ(0, make_kind(&m->space, kind, 0, MADE));
	ASSERT_EQ(0, look(m->space.src, MADE, m->frames));
}

/* How many of these frames have one of the flags? */
static size_t frames_with(const __u64 *frames, size_t pages, __u64 flags)
{
	size_t i, n = 0;

	for (i = 0; i < pages; i++)
		n += !!(frame_flags(frames[i] & PM_PFN) & flags);
	return n;
}

static bool written(const struct made *m)
{
	int i;

	for (i = 0; i < 1000 && frames_with(m->frames, MADE, KPF_WRITEBACK); i++)
		usleep(10000);
	return !frames_with(m->frames, MADE, KPF_WRITEBACK);
}

/* Unmaps all that was made, and leaves the device to write it. */
static bool begin_page_out(const struct made *m)
{
	return !madvise(m->space.src, MADE * PAGE, MADV_PAGEOUT) &&
	       all_pages(m->space.src, MADE, PM_PRESENT | PM_SWAP, PM_SWAP);
}

static bool page_out_to_cache(const struct made *m)
{
	return begin_page_out(m) && written(m) &&
	       frames_with(m->frames, MADE, KPF_SWAPCACHE) == MADE;
}

static void touch_pages(const char *addr, size_t pages)
{
	size_t i;

	for (i = 0; i < pages; i++)
		touch(addr + i * PAGE);
}

/* One call moves everything: it may wait, but there is nothing to refuse. */
static void move_all(struct __test_metadata *_metadata, int uffd, char *dst, char *src,
		     size_t pages)
{
	struct moved moved = move_pages_of(uffd, dst, src, pages * PAGE,
					   UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES);

	/* Whoever touches what did not arrive waits for ever. */
	ASSERT_EQ(0, moved.err);
	ASSERT_EQ(pages * PAGE, moved.bytes);
}

/* Out of memory and in again, and once more with other bytes: reclaim finds them by their index. */
static void out_and_in(struct __test_metadata *_metadata, char *addr, size_t pages,
		       unsigned int id)
{
	EXPECT_STREQ("", pages_differ(addr, pages, id));
	EXPECT_EQ(0, page_out(addr, pages));
	EXPECT_STREQ("", pages_differ(addr, pages, id));
	fill_pages(addr, pages, id + 1000);
	EXPECT_EQ(0, page_out(addr, pages));
	EXPECT_STREQ("", pages_differ(addr, pages, id + 1000));
}

/* Which pages move where, and whether their folios do so in one piece. */
struct plan {
	enum page_kind_id kind;
	size_t src;
	size_t pages;
	size_t dst;
	bool whole;
};

FIXTURE(cache)
{
	struct made made;
	long long calls;
};

FIXTURE_VARIANT(cache)
{
	struct plan plan;
};

FIXTURE_VARIANT_ADD(cache, small) { { KIND_SMALL, 3, 40, 8, true } };
FIXTURE_VARIANT_ADD(cache, aligned) { { KIND_MTHP, 0, MADE, 0, true } };
FIXTURE_VARIANT_ADD(cache, shifted) { { KIND_MTHP, MTHP_PAGES, 2 * MTHP_PAGES, 5, true } };
FIXTURE_VARIANT_ADD(cache, parts) { { KIND_MTHP, 3, 40, 8, false } };
FIXTURE_VARIANT_ADD(cache, one_page) { { KIND_MTHP, 20, 1, 20, false } };
FIXTURE_VARIANT_ADD(cache, across_pmd) { { KIND_MTHP, 0, MADE, PMD_PAGES - 24, false } };

FIXTURE_SETUP(cache)
{
	const char *missing = cache_missing(variant->plan.kind);

	if (missing)
		SKIP(return, "%s", missing);
	make(_metadata, &self->made, variant->plan.kind);
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(cache)
{
	space_close(&self->made.space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

/* A fault maps the very folios that were moved, if their index is right. */
static void expect_same_folios(struct __test_metadata *_metadata, const struct made *m,
			       const struct plan *p)
{
	char *dst = m->space.dst + p->dst * PAGE;
	const __u64 *frames = m->frames + p->src;
	long long reads = swap_reads();
	__u64 now[MADE];

	EXPECT_EQ(p->pages, frames_with(frames, p->pages, KPF_SWAPCACHE));
	touch_pages(dst, p->pages);
	EXPECT_EQ(reads, swap_reads());
	ASSERT_EQ(0, look(dst, p->pages, now));
	EXPECT_EQ(p->pages, first_unlike(frames, now, p->pages, PM_PRESENT | PM_PFN));
	if (p->kind == KIND_MTHP)
		EXPECT_TRUE(are_folios(dst, p->pages, MTHP_PAGES));
}

static void move_and_check(struct __test_metadata *_metadata, const struct made *m,
			   const struct plan *p, const char *counters)
{
	const struct space *s = &m->space;
	char *dst = s->dst + p->dst * PAGE, *src = s->src + p->src * PAGE;
	long long counted = engine_count(counters);
	size_t end = p->src + p->pages;

	move_all(_metadata, s->uffd, dst, src, p->pages);
	EXPECT_ENGINE(p->pages, counters, counted);
	if (p->whole)
		expect_same_folios(_metadata, m, p);
	out_and_in(_metadata, dst, p->pages, p->src + 1);
	/* What stayed behind, if anything did. */
	out_and_in(_metadata, s->src, p->src, 1);
	out_and_in(_metadata, s->src + end * PAGE, MADE - end, end + 1);
}

TEST_F_TIMEOUT(cache, O6_written, PATIENCE)
{
	ASSERT_TRUE(page_out_to_cache(&self->made));
	move_and_check(_metadata, &self->made, &variant->plan, "moved_swap");
}

/* Leaves what is going to move under write-back; mapped again by a fault, if so wanted. */
static void begin_write(struct __test_metadata *_metadata, const struct made *m,
			const struct plan *p, bool mapped)
{
	const __u64 *last = m->frames + p->src + p->pages - 1;
	const time_t since = time(NULL);

	/* It may be over before it is looked for, when the guest has to wait for the host's CPU. */
	do {
		ASSERT_GT(since + PATIENCE / 4, time(NULL));
		ASSERT_TRUE(written(m));
		fill_pages(m->space.src, MADE, 1);
		ASSERT_TRUE(begin_page_out(m));
		if (mapped)
			touch_pages(m->space.src + p->src * PAGE, p->pages);
	} while (!frames_with(last, 1, KPF_WRITEBACK));
}

TEST_F_TIMEOUT(cache, O7_under_writeback, PATIENCE)
{
	begin_write(_metadata, &self->made, &variant->plan, false);
	move_and_check(_metadata, &self->made, &variant->plan, "moved_swap");
}

TEST_F_TIMEOUT(cache, O7_mapped_under_writeback, PATIENCE)
{
	begin_write(_metadata, &self->made, &variant->plan, true);
	move_and_check(_metadata, &self->made, &variant->plan, "moved_small moved_large");
}

/* The mapping moves with them, by mremap(), and so do folios that come into two page tables. */
FIXTURE(relocated)
{
	struct made made;
};

FIXTURE_VARIANT(relocated)
{
	struct plan plan;
};

FIXTURE_VARIANT_ADD(relocated, small) { { KIND_SMALL, 3, 40, 8, true } };
FIXTURE_VARIANT_ADD(relocated, shifted) { { KIND_MTHP, MTHP_PAGES, 2 * MTHP_PAGES, 5, true } };
FIXTURE_VARIANT_ADD(relocated, across_pmd) { { KIND_MTHP, 0, MADE, PMD_PAGES - 24, true } };
FIXTURE_VARIANT_ADD(relocated, parts) { { KIND_MTHP, 3, 40, 8, false } };

FIXTURE_SETUP(relocated)
{
	const char *missing = cache_missing(variant->plan.kind);

	missing = missing ? missing : relocate_missing();
	if (missing)
		SKIP(return, "%s", missing);
	make(_metadata, &self->made, variant->plan.kind);
}

FIXTURE_TEARDOWN(relocated)
{
	space_close(&self->made.space);
}

static void relocate_and_check(struct __test_metadata *_metadata, const struct made *m,
			       const struct plan *p)
{
	char *dst = m->space.dst + p->dst * PAGE, *src = m->space.src + p->src * PAGE;
	const size_t end = p->src + p->pages;

	ASSERT_EQ(0, relocate(dst, src, p->pages, MUST));
	if (p->whole)
		expect_same_folios(_metadata, m, p);
	out_and_in(_metadata, dst, p->pages, p->src + 1);
	out_and_in(_metadata, m->space.src, p->src, 1);
	out_and_in(_metadata, m->space.src + end * PAGE, MADE - end, end + 1);
}

TEST_F_TIMEOUT(relocated, D6_written, PATIENCE)
{
	ASSERT_TRUE(page_out_to_cache(&self->made));
	relocate_and_check(_metadata, &self->made, &variant->plan);
}

TEST_F_TIMEOUT(relocated, D6_under_writeback, PATIENCE)
{
	begin_write(_metadata, &self->made, &variant->plan, false);
	relocate_and_check(_metadata, &self->made, &variant->plan);
}

TEST_F_TIMEOUT(relocated, D6_mapped_under_writeback, PATIENCE)
{
	begin_write(_metadata, &self->made, &variant->plan, true);
	relocate_and_check(_metadata, &self->made, &variant->plan);
}

/* Here all entries of each folio are back; the child has as many, which are those of its slots. */
TEST_F_TIMEOUT(relocated, V2_slots_of_a_child, PATIENCE)
{
	struct made *m = &self->made;
	const struct plan *p = &variant->plan;
	char *dst = m->space.dst + p->dst * PAGE, *src = m->space.src + p->src * PAGE;
	pid_t child;

	ASSERT_TRUE(page_out_to_cache(m));
	child = share_with_child();
	ASSERT_LT(0, child);
	touch_pages(m->space.src, MADE);
	EXPECT_EQ(-EFAULT, relocate(dst, src, p->pages, MUST));
	end_child(child);
	/* What lies across an edge of the range is not looked at as a whole. */
	if (!p->whole)
		return;
	ASSERT_EQ(0, relocate(dst, src, p->pages, MUST));
	out_and_in(_metadata, dst, p->pages, p->src + 1);
}

/* The slots are nobody's any more, and the child maps the folios: they are in the cache still. */
TEST_F_TIMEOUT(relocated, V2_mapped_by_a_child, PATIENCE)
{
	struct made *m = &self->made;
	const struct plan *p = &variant->plan;
	char *dst = m->space.dst + p->dst * PAGE, *src = m->space.src + p->src * PAGE;
	pid_t child;

	begin_write(_metadata, m, p, true);
	child = share_with_child();
	ASSERT_LT(0, child);
	EXPECT_EQ(-EFAULT, relocate(dst, src, p->pages, MUST));
	end_child(child);
	out_and_in(_metadata, src, p->pages, p->src + 1);
}

/* What the device writes must not change: what is mapped meanwhile has lost its mark. */
FIXTURE(stable)
{
	struct made made;
};

FIXTURE_VARIANT(stable)
{
	struct plan plan;
};

FIXTURE_VARIANT_ADD(stable, small) { { KIND_SMALL, 3, 40, 8, true } };
FIXTURE_VARIANT_ADD(stable, mthp) { { KIND_MTHP, MTHP_PAGES, 2 * MTHP_PAGES, 5, true } };
FIXTURE_VARIANT_ADD(stable, parts) { { KIND_MTHP, 3, 40, 8, false } };

static bool set_stable_writes(const char *value)
{
	char name[64], path[80], file[128];

	if (!swap_device(name))
		return false;
	snprintf(path, sizeof(path), "/dev/%s", name);
	snprintf(file, sizeof(file), "/sys/block/%s/queue/stable_writes", name);
	return !swapoff(path) & !write_text(file, value) & !swapon(path, 0);
}

FIXTURE_SETUP(stable)
{
	const char *missing = cache_missing(variant->plan.kind);

	missing = missing ? missing : relocate_missing();
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_TRUE(set_stable_writes("1"));
	make(_metadata, &self->made, variant->plan.kind);
}

FIXTURE_TEARDOWN(stable)
{
	EXPECT_TRUE(set_stable_writes("0"));
	space_close(&self->made.space);
}

/* It regains the mark when it is written, unless it is a part of what has lost it. */
TEST_F_TIMEOUT(stable, D7_mapped_under_writeback, PATIENCE)
{
	const struct plan *p = &variant->plan;
	struct space *s = &self->made.space;
	char *dst = s->dst + p->dst * PAGE, *src = s->src + p->src * PAGE;

	begin_write(_metadata, &self->made, p, true);
	ASSERT_EQ(p->whole ? 0 : -EFAULT, relocate(dst, src, p->pages, MUST));
	if (!p->whole) {
		EXPECT_STREQ("", pages_differ(s->src, MADE, 1));
		fill_pages(s->src, MADE, 1);
		ASSERT_EQ(0, relocate(dst, src, p->pages, MUST));
	}
	out_and_in(_metadata, dst, p->pages, p->src + 1);
}

/* What others have as well is read in first, for which nobody must hold a lock for so long. */
TEST(copied_when_it_has_been_read)
{
	const char *missing = slow_swap_missing();
	struct uffdio_movev_range range;
	struct space s;
	pid_t child;

	missing = missing ? missing : features_missing(UFFD_FEATURE_MOVEV_COPY, "no copies");
	missing = missing ? missing : vectors_missing();
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&s, PMD_PAGES, 0));
	ASSERT_EQ(0, make_kind(&s, KIND_SWAPPED, 0, 8));
	child = share_with_child();
	ASSERT_LT(0, child);
	range = (struct uffdio_movev_range) {
		.dst = (uintptr_t)s.dst, .src = (uintptr_t)s.src, .len = 8 * PAGE,
	};
	EXPECT_EQ(0, move_vector(s.uffd, &range, 1, UFFDIO_MOVEV_MODE_COPY, NULL));
	EXPECT_EQ(8 * PAGE, range.copied);
	end_child(child);
	out_and_in(_metadata, s.dst, 8, 1);
	space_close(&s);
}

/* Large folios, written, some of whose entries are not what they were. */
FIXTURE(odd)
{
	struct made made;
	long long counted;
	long long calls;
};

FIXTURE_SETUP(odd)
{
	const char *missing = cache_missing(KIND_MTHP);

	if (missing)
		SKIP(return, "%s", missing);
	make(_metadata, &self->made, KIND_MTHP);
	ASSERT_TRUE(page_out_to_cache(&self->made));
	self->counted = engine_count(MOVED_ANYHOW);
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(odd)
{
	space_close(&self->made.space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

TEST_F_TIMEOUT(odd, O6_holes, PATIENCE)
{
	static const size_t holes[] = { 0, 8, 15, 40, MADE };
	struct space *s = &self->made.space;
	size_t i, first;

	for (i = 0; holes[i] < MADE; i++)
		ASSERT_EQ(0, madvise(s->src + holes[i] * PAGE, PAGE, MADV_DONTNEED));
	move_all(_metadata, s->uffd, s->dst, s->src, MADE);
	EXPECT_ENGINE(MADE - i, MOVED_ANYHOW, self->counted);
	for (i = 0, first = 0; first < MADE; first = holes[i++] + 1) {
		EXPECT_TRUE(all_pages(s->dst + holes[i] * PAGE, 1, PM_PRESENT | PM_SWAP, 0));
		out_and_in(_metadata, s->dst + first * PAGE, holes[i] - first, first + 1);
	}
}

/*
 * Next to a hole a fault maps one page, not the folio. So small pages, entries and
 * whole folios go in one batch; it must not mind what the batch before it was.
 */
TEST_F_TIMEOUT(odd, O6_partly_mapped, PATIENCE)
{
	struct space *s = &self->made.space;
	__u64 now[MTHP_PAGES];

	fill_pages(s->src + PMD, MADE, 500);
	move_all(_metadata, s->uffd, s->dst + PMD, s->src + PMD, MADE);
	ASSERT_EQ(0, madvise(s->src + 5 * PAGE, PAGE, MADV_DONTNEED));
	touch(s->src + 7 * PAGE);
	fill_pages(s->src + 9 * PAGE, 1, 10);
	ASSERT_EQ(0, look(s->src, MTHP_PAGES, now));
	ASSERT_EQ(self->made.frames[7] & PM_PFN, now[7] & PM_PFN);
	ASSERT_EQ(self->made.frames[9] & PM_PFN, now[9] & PM_PFN);
	ASSERT_TRUE(now[8] & PM_SWAP);
	move_all(_metadata, s->uffd, s->dst + PAGE, s->src, MADE);
	EXPECT_ENGINE(2 * MADE - 1, MOVED_ANYHOW, self->counted);
	out_and_in(_metadata, s->dst + PAGE, 5, 1);
	out_and_in(_metadata, s->dst + 7 * PAGE, MADE - 6, 7);
	EXPECT_STREQ("", pages_differ(s->dst + PMD, MADE, 500));
}

TEST_F_TIMEOUT(odd, O6_occupied, PATIENCE)
{
	struct space *s = &self->made.space;
	struct moved moved;

	ASSERT_EQ(0, uffd_unregister(s->uffd, s->dst, AREA * PAGE));
	fill_pages(s->dst + 20 * PAGE, 1, 500);
	ASSERT_EQ(0, uffd_register(s->uffd, s->dst, AREA * PAGE, UFFDIO_REGISTER_MODE_MISSING));
	moved = move_pages_of(s->uffd, s->dst, s->src, MADE * PAGE, 0);
	EXPECT_EQ(EAGAIN, moved.err);
	ASSERT_EQ(20 * PAGE, moved.bytes);
	moved = move_pages_of(s->uffd, s->dst + 20 * PAGE, s->src + 20 * PAGE, PAGE, 0);
	EXPECT_EQ(EEXIST, moved.err);
	out_and_in(_metadata, s->dst, 20, 1);
	out_and_in(_metadata, s->src + 20 * PAGE, MADE - 20, 21);
	EXPECT_STREQ("", pages_differ(s->dst + 20 * PAGE, 1, 500));
}

/* Closer to its destination than it is long, a folio can't go in one piece. */
TEST_F_TIMEOUT(odd, O6_overlap, PATIENCE)
{
	struct space *s = &self->made.space;
	char *there = s->dst + MTHP_PAGES * PAGE, *near = there - 6 * PAGE;

	move_all(_metadata, s->uffd, there, s->src, MADE);
	move_all(_metadata, s->uffd, near, there, MADE);
	EXPECT_ENGINE(2 * MADE, MOVED_ANYHOW, self->counted);
	out_and_in(_metadata, near, MADE, 1);
}

/* Has the entries as they are now, until it is killed. */
static pid_t child_that_shares(void)
{
	pid_t child = fork();

	if (!child) {
		pause();
		_exit(0);
	}
	return child;
}

static bool killed(pid_t child)
{
	return !kill(child, SIGKILL) && waitpid(child, NULL, 0) == child;
}

/* V8 in the cache: what may not move is neither split nor dropped. */
TEST_F_TIMEOUT(odd, O6_shared_stays_whole, PATIENCE)
{
	struct space *s = &self->made.space;
	pid_t child = child_that_shares();
	struct moved moved;

	ASSERT_LT(0, child);
	moved = move_pages_of(s->uffd, s->dst, s->src, MADE * PAGE, 0);
	ASSERT_TRUE(killed(child));
	EXPECT_EQ(EBUSY, moved.err);
	EXPECT_EQ(-EBUSY, moved.bytes);
	EXPECT_EQ(MADE, frames_with(self->made.frames, MADE, KPF_SWAPCACHE));
	EXPECT_EQ(MADE, frames_with(self->made.frames, MADE, KPF_COMPOUND));
	out_and_in(_metadata, s->src, MADE, 1);
}

/* O1 in the cache: the half that the child did not get moves. */
TEST_F_TIMEOUT(odd, O1_O6_half_is_exclusive, PATIENCE)
{
	struct space *s = &self->made.space;
	struct moved moved;
	pid_t child;

	ASSERT_EQ(0, madvise(s->src, 8 * PAGE, MADV_DONTFORK));
	child = child_that_shares();
	ASSERT_LT(0, child);
	EXPECT_EQ(0, madvise(s->src, 8 * PAGE, MADV_DOFORK));
	moved = move_pages_of(s->uffd, s->dst, s->src, MADE * PAGE, 0);
	ASSERT_TRUE(killed(child));
	EXPECT_EQ(EAGAIN, moved.err);
	ASSERT_EQ(8 * PAGE, moved.bytes);
	out_and_in(_metadata, s->dst, 8, 1);
	out_and_in(_metadata, s->src + 8 * PAGE, MADE - 8, 9);
}

TEST_HARNESS_MAIN
