// SPDX-License-Identifier: GPL-2.0
/*
 * Fault injection: each allocation and each check of a move fails once. The
 * call tells a documented error or gets over it, and no page is lost.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "../../kselftest_harness.h"
#include "rival.h"

#define AREA		(2 * PMD_PAGES)
#define RUN		(2 * MTHP_PAGES)
#define FEW		6
#define FEW_ACROSS	(PMD_PAGES - FEW / 2)
#define BEFORE_BORDER	(PMD_PAGES - MTHP_PAGES)	/* a run from here takes two steps */

/* Far enough from all else to need page tables of every level. */
#define FAR		((void *)(1UL << 46))

#define NTH_FILE	"/proc/thread-self/fail-nth"
#define DEBUG_DIR	"/sys/kernel/debug/"

#define MAX_STOPS	6
#define SWEEPS		3

/* One sweep: the same move again and again, and each time the next thing fails. */
struct sweep {
	struct space space;
	enum page_kind_id kind;
	size_t pages;
	char *dst;
	__u64 mode;
	bool by_vector;
	bool is_shared;
	pid_t child;
	int nth_fd;
	__u64 before[AREA];
	__u64 after[AREA];
};

FIXTURE(fail_nth)
{
	struct sweep sweep;
};

FIXTURE_VARIANT(fail_nth)
{
	enum page_kind_id kind;
	size_t pages;
	size_t dst;
	__u64 mode;
	const char *stops[MAX_STOPS];	/* what the sweep must have met */
};

FIXTURE_VARIANT_ADD(fail_nth, small) { KIND_SMALL, RUN, BEFORE_BORDER, 0, {
	"stop_vma", "stop_nomem", "stop_raced", "stop_locked", "stop_pinned", "stop_writer" } };
FIXTURE_VARIANT_ADD(fail_nth, zero) { KIND_ZERO, RUN, BEFORE_BORDER, 0, {
	"stop_vma", "stop_nomem", "stop_raced", "stop_writer" } };
FIXTURE_VARIANT_ADD(fail_nth, hole) { KIND_HOLE, RUN, BEFORE_BORDER,
	UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES, { "stop_vma", "stop_writer" } };
FIXTURE_VARIANT_ADD(fail_nth, swapped) { KIND_SWAPPED, RUN, BEFORE_BORDER, 0, {
	"stop_vma", "stop_nomem", "stop_raced", "stop_writer" } };
FIXTURE_VARIANT_ADD(fail_nth, swap_cache) { KIND_SWAP_CACHE, RUN, BEFORE_BORDER, 0, {
	"stop_vma", "stop_nomem", "stop_raced", "stop_locked", "stop_writer" } };
FIXTURE_VARIANT_ADD(fail_nth, lazy_free) { KIND_LAZY_FREE, RUN, BEFORE_BORDER, 0, {
	"stop_vma", "stop_nomem", "stop_raced", "stop_locked", "stop_pinned", "stop_writer" } };
FIXTURE_VARIANT_ADD(fail_nth, mlocked) { KIND_MLOCKED, RUN, BEFORE_BORDER, 0, {
	"stop_vma", "stop_nomem", "stop_raced", "stop_locked", "stop_pinned", "stop_writer" } };
FIXTURE_VARIANT_ADD(fail_nth, mthp) { KIND_MTHP, RUN, BEFORE_BORDER, 0, {
	"stop_large", "stop_nomem", "stop_raced", "stop_locked", "stop_pinned", "stop_writer" } };
FIXTURE_VARIANT_ADD(fail_nth, part_of_mthp) { KIND_MTHP, RUN / 4, BEFORE_BORDER, 0, {
	"stop_split_failed", "stop_nomem", "stop_raced", "stop_locked", "stop_pinned",
	"stop_writer" } };
FIXTURE_VARIANT_ADD(fail_nth, mthp_swapped) { KIND_MTHP_SWAPPED, RUN, BEFORE_BORDER, 0, {
	"stop_vma", "stop_nomem", "stop_raced", "stop_writer" } };
FIXTURE_VARIANT_ADD(fail_nth, thp) { KIND_THP, PMD_PAGES, 0, 0, {
	"stop_vma", "stop_nomem", "stop_raced", "stop_locked", "stop_pinned" } };
FIXTURE_VARIANT_ADD(fail_nth, part_of_thp) { KIND_THP, RUN / 4, BEFORE_BORDER, 0, {
	"stop_split_failed", "stop_nomem", "stop_raced", "stop_locked", "stop_pinned",
	"stop_writer" } };
FIXTURE_VARIANT_ADD(fail_nth, part_of_thp_by_ptes) { KIND_THP_BY_PTES, RUN / 4, BEFORE_BORDER, 0, {
	"stop_split_failed", "stop_nomem", "stop_raced", "stop_locked", "stop_pinned",
	"stop_writer" } };
FIXTURE_VARIANT_ADD(fail_nth, huge_zero) { KIND_HUGE_ZERO, PMD_PAGES, 0, 0, {
	"stop_vma", "stop_nomem", "stop_raced" } };

/* None of these lets anything fail yet; fail-nth does, for one thread. */
static const char *injection_missing(void)
{
	if (access(NTH_FILE, W_OK))
		return "no " NTH_FILE " (CONFIG_FAULT_INJECTION)";
	if (write_text(DEBUG_DIR "failslab/ignore-gfp-wait", "N") ||
	    write_text(DEBUG_DIR "failslab/verbose", "0"))
		return "no " DEBUG_DIR "failslab (CONFIG_FAILSLAB)";
	if (write_text(DEBUG_DIR "fail_page_alloc/ignore-gfp-wait", "N") ||
	    write_text(DEBUG_DIR "fail_page_alloc/min-order", "0") ||
	    write_text(DEBUG_DIR "fail_page_alloc/verbose", "0"))
		return "no " DEBUG_DIR "fail_page_alloc (CONFIG_FAIL_PAGE_ALLOC)";
	if (write_text(DEBUG_DIR "anon_move/fail/verbose", "0"))
		return "no " DEBUG_DIR "anon_move/fail (CONFIG_ANON_MOVE_FAIL)";
	return NULL;
}

/* The file is open before anything is made to fail, so that nothing but the move can. */
static int sweep_open(struct sweep *w, enum page_kind_id kind, size_t pages, size_t dst)
{
	w->kind = kind;
	w->pages = pages;
	w->dst = (char *)FAR + dst * PAGE;
	w->nth_fd = open(NTH_FILE, O_RDWR | O_CLOEXEC);
	return w->nth_fd < 0 ? -1 : 0;
}

FIXTURE_SETUP(fail_nth)
{
	struct sweep *w = &self->sweep;
	const char *missing = move_missing();

	missing = missing ? missing : base_serves();
	missing = missing ? missing : injection_missing();
	missing = missing ? missing : kind_missing(variant->kind);
	if (missing)
		SKIP(return, "%s: %s", page_kinds[variant->kind].name, missing);
	w->mode = variant->mode;
	ASSERT_EQ(0, sweep_open(w, variant->kind, variant->pages, variant->dst));
}

FIXTURE_TEARDOWN(fail_nth)
{
	close(self->sweep.nth_fd);
}

static int use_far_destination(struct space *s, __u64 mode)
{
	size_t len = s->pages * PAGE;

	munmap(s->dst, len);
	s->dst = mmap(FAR, len, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (s->dst != FAR)
		return -1;
	return uffd_register(s->uffd, s->dst, len, mode);
}

static void prepare(struct __test_metadata *_metadata, struct sweep *w)
{
	size_t unit = page_kinds[w->kind].unit;
	__u64 mode = UFFDIO_REGISTER_MODE_MISSING;

	if (w->mode & UFFDIO_MOVEV_MODE_WP)
		mode |= UFFDIO_REGISTER_MODE_WP;
	ASSERT_EQ(0, space_open(&w->space, AREA, 0));
	ASSERT_EQ(0, use_far_destination(&w->space, mode));
	ASSERT_EQ(0, make_kind(&w->space, w->kind, 0, (w->pages + unit - 1) / unit * unit));
	ASSERT_EQ(0, look(w->space.src, w->pages, w->before));
	if (w->mode & UFFDIO_MOVEV_MODE_SPAN)
		ASSERT_EQ(0, madvise(w->dst + PAGE, 3 * PAGE, MADV_DONTFORK));
	if (!w->is_shared)
		return;
	w->child = share_with_child();
	ASSERT_LT(0, w->child);
}

static bool arm(const struct sweep *w, unsigned int nth)
{
	return dprintf(w->nth_fd, "%u", nth) > 0;
}

/* Was something made to fail since? Nothing is any more. */
static bool has_failed(const struct sweep *w)
{
	char left[16] = "";

	if (pread(w->nth_fd, left, sizeof(left) - 1, 0) < 0 || pwrite(w->nth_fd, "0", 1, 0) < 0)
		return false;
	return atoi(left) == 0;
}

static struct moved move_from(const struct sweep *w, size_t n)
{
	const int uffd = w->space.uffd;
	char *dst = w->dst + n * PAGE, *src = w->space.src + n * PAGE;
	const size_t len = (w->pages - n) * PAGE;

	if (w->by_vector)
		return move_by_vector(uffd, dst, src, len, w->mode);
	return move_pages_of(uffd, dst, src, len, w->mode);
}

static bool move_failing(struct sweep *w, unsigned int nth, struct moved *moved)
{
	if (!arm(w, nth))
		return false;
	*moved = move_from(w, 0);
	return has_failed(w);
}

/* How many pages have moved, by what the call says, which must be documented. */
static size_t pages_moved(struct __test_metadata *_metadata, const struct sweep *w,
			  const struct moved *moved)
{
	long long len = w->pages * PAGE;

	/* A page that can't be read stays. */
	if (!(w->mode & UFFDIO_MOVEV_MODE_COPY) || moved->err != EFAULT)
		EXPECT_TRUE(!moved->err || moved->err == EAGAIN || moved->err == EBUSY ||
			    moved->err == ENOMEM)
		TH_LOG("errno %d", moved->err);
	if (moved->err == EAGAIN && moved->bytes > 0)
		EXPECT_GT(len, moved->bytes);
	if (moved->err != EAGAIN || moved->bytes <= 0)
		EXPECT_EQ(moved->err ? -moved->err : len, moved->bytes);
	return moved->bytes > 0 ? moved->bytes / PAGE : 0;
}

/* What is shared is copied, and else at most the one page whose pins could not be seen. */
static void check_copies(struct __test_metadata *_metadata, const struct sweep *w,
			 const __u64 *dst, size_t n)
{
	size_t copies = 0, i;

	EXPECT_EQ(n, first_not(dst, n, PM_PRESENT, PM_PRESENT));
	/* What was swapped out has no frame to compare with. */
	for (i = 0; i < n; i++)
		copies += ((dst[i] ^ w->before[i]) & PM_PFN) != 0;
	EXPECT_TRUE(w->is_shared ? copies == n : copies <= 1)
		TH_LOG("%zu of %zu pages are copies", copies, n);
}

/* The first @n pages are in the destination and nowhere else, the others in the source. */
static void check_places(struct __test_metadata *_metadata, const struct sweep *w, size_t n)
{
	const __u64 there = PM_PRESENT | PM_SWAP;
	const __u64 same = page_kinds[w->kind].zeroes ? there : there | PM_PFN;
	__u64 src[AREA], dst[AREA];

	ASSERT_EQ(0, look(w->space.src, w->pages, src));
	ASSERT_EQ(0, look(w->dst, w->pages, dst));
	EXPECT_EQ(n, first_not(src, n, there, 0));
	EXPECT_EQ(w->pages - n, first_not(dst + n, w->pages - n, there, 0));
	if (w->mode & UFFDIO_MOVEV_MODE_WP)
		EXPECT_EQ(n, first_not(dst, n, PM_UFFD_WP, PM_UFFD_WP));
	if (w->mode & UFFDIO_MOVEV_MODE_COPY) {
		check_copies(_metadata, w, dst, n);
		return;
	}
	EXPECT_EQ(n, first_unlike(w->before, dst, n, same));
	EXPECT_EQ(w->pages - n, first_unlike(w->before + n, src + n, w->pages - n, same));
}

static void finish(struct __test_metadata *_metadata, const struct sweep *w, size_t n)
{
	const struct space *s = &w->space;

	if (n < w->pages)
		EXPECT_EQ(0, move_from(w, n).err);
	check_places(_metadata, w, w->pages);
	/* A page that is missing after all must not make its reader wait. */
	ASSERT_EQ(0, uffd_unregister(s->uffd, s->dst, s->pages * PAGE));
	EXPECT_STREQ("", pages_differ(w->dst, w->pages, page_kinds[w->kind].zeroes ? 0 : 1));
}

/* Returns false when the move had fewer than @nth things that can fail. */
static bool attempt(struct __test_metadata *_metadata, struct sweep *w, unsigned int nth)
{
	struct moved moved = { };
	bool failed;
	size_t n;

	prepare(_metadata, w);
	failed = move_failing(w, nth, &moved);
	n = pages_moved(_metadata, w, &moved);
	if (!failed)
		EXPECT_EQ(w->pages, n);
	check_places(_metadata, w, n);
	finish(_metadata, w, n);
	ASSERT_EQ(0, look(w->dst, w->pages, w->after));
	space_close(&w->space);
	if (w->is_shared)
		end_child(w->child);
	EXPECT_EQ(0, frames_kept(w->before, w->pages));
	EXPECT_EQ(0, frames_kept(w->after, w->pages));
	if (_metadata->exit_code)
		TH_LOG("when number %u failed: errno %d, %lld bytes", nth, moved.err, moved.bytes);
	return failed;
}

static bool met_all(const char *const *stops, const long long *before)
{
	int i;

	for (i = 0; i < MAX_STOPS && stops[i]; i++)
		if (engine_count(stops[i]) == before[i])
			return false;
	return true;
}

/*
 * What allocates a new slab now and then has one thing more that can fail, and
 * what comes after it may then be passed over: hence more than one sweep.
 */
TEST_F_TIMEOUT(fail_nth, sweep, PATIENCE)
{
	long long before[MAX_STOPS];
	unsigned int nth;
	int i;

	for (i = 0; i < MAX_STOPS && variant->stops[i]; i++)
		before[i] = engine_count(variant->stops[i]);
	for (i = 0; i < SWEEPS && !met_all(variant->stops, before); i++) {
		for (nth = 1; attempt(_metadata, &self->sweep, nth); nth++)
			ASSERT_EQ(KSFT_PASS, _metadata->exit_code);
		TH_LOG("%u things failed, one by one", nth - 1);
	}
	for (i = 0; i < MAX_STOPS && variant->stops[i]; i++)
		EXPECT_ENGINE(1, variant->stops[i], before[i]);
}

/* What fails while pages are under way puts them back, and they move alone then. */
FIXTURE(vector_nth)
{
	struct sweep sweep;
};

FIXTURE_VARIANT(vector_nth)
{
	enum page_kind_id kind;
	size_t pages;
	size_t dst;
	__u64 mode;
	__u64 feature;
	bool is_shared;
};

FIXTURE_VARIANT_ADD(vector_nth, one) { KIND_SMALL, 1, 0 };
FIXTURE_VARIANT_ADD(vector_nth, small) { KIND_SMALL, RUN, 0 };
FIXTURE_VARIANT_ADD(vector_nth, small_across) { KIND_SMALL, RUN, BEFORE_BORDER };
FIXTURE_VARIANT_ADD(vector_nth, few_across) { KIND_SMALL, MTHP_PAGES - 1, PMD_PAGES - 7 };
FIXTURE_VARIANT_ADD(vector_nth, swapped) { KIND_SWAPPED, MTHP_PAGES - 1, PMD_PAGES - 7 };

/*
 * What a mode has to do beside the move fails as well. What is pinned only as failure has it
 * is copied; what is shared always.
 */
FIXTURE_VARIANT_ADD(vector_nth, copy) {
	KIND_SMALL, FEW, FEW_ACROSS, UFFDIO_MOVEV_MODE_COPY, UFFD_FEATURE_MOVEV_COPY, false };
FIXTURE_VARIANT_ADD(vector_nth, copy_shared) {
	KIND_SMALL, FEW, FEW_ACROSS, UFFDIO_MOVEV_MODE_COPY, UFFD_FEATURE_MOVEV_COPY, true };
FIXTURE_VARIANT_ADD(vector_nth, copy_shared_swapped) {
	KIND_SWAPPED, FEW, FEW_ACROSS, UFFDIO_MOVEV_MODE_COPY, UFFD_FEATURE_MOVEV_COPY, true };
FIXTURE_VARIANT_ADD(vector_nth, copy_armed) {
	KIND_SMALL, FEW, FEW_ACROSS, UFFDIO_MOVEV_MODE_COPY | UFFDIO_MOVEV_MODE_WP,
	UFFD_FEATURE_MOVEV_COPY | UFFD_FEATURE_MOVEV_ARM, true };
FIXTURE_VARIANT_ADD(vector_nth, armed) {
	KIND_SMALL, FEW, FEW_ACROSS, UFFDIO_MOVEV_MODE_WP, UFFD_FEATURE_MOVEV_ARM, false };
FIXTURE_VARIANT_ADD(vector_nth, armed_swapped) {
	KIND_SWAPPED, FEW, FEW_ACROSS, UFFDIO_MOVEV_MODE_WP, UFFD_FEATURE_MOVEV_ARM, false };
FIXTURE_VARIANT_ADD(vector_nth, span) {
	KIND_SMALL, RUN, FEW_ACROSS, UFFDIO_MOVEV_MODE_SPAN, UFFD_FEATURE_MOVEV_SPAN, false };
FIXTURE_VARIANT_ADD(vector_nth, copy_span) {
	KIND_SMALL, RUN, FEW_ACROSS, UFFDIO_MOVEV_MODE_COPY | UFFDIO_MOVEV_MODE_SPAN,
	UFFD_FEATURE_MOVEV_COPY | UFFD_FEATURE_MOVEV_SPAN, true };

FIXTURE_SETUP(vector_nth)
{
	struct sweep *w = &self->sweep;
	const char *missing = vectors_missing();

	missing = missing ? missing : features_missing(variant->feature,
						       "no such mode in this kernel");
	missing = missing ? missing : injection_missing();
	missing = missing ? missing : kind_missing(variant->kind);
	if (missing)
		SKIP(return, "%s: %s", page_kinds[variant->kind].name, missing);
	ASSERT_EQ(0, sweep_open(w, variant->kind, variant->pages, variant->dst));
	w->by_vector = true;
	w->mode = variant->mode;
	w->is_shared = variant->is_shared;
}

FIXTURE_TEARDOWN(vector_nth)
{
	close(self->sweep.nth_fd);
}

TEST_F_TIMEOUT(vector_nth, sweep, PATIENCE)
{
	unsigned int nth;

	for (nth = 1; attempt(_metadata, &self->sweep, nth); nth++)
		ASSERT_EQ(KSFT_PASS, _metadata->exit_code);
	TH_LOG("%u things failed, one by one", nth - 1);
	EXPECT_LT(variant->kind == KIND_SMALL ? 2 * variant->pages : 1, nth)
		TH_LOG("to lock a page and to look at its pins can fail for each");
}

FIXTURE(relocate_nth)
{
	struct sweep sweep;
};

FIXTURE_VARIANT(relocate_nth)
{
	enum page_kind_id kind;
	size_t made;
	size_t pages;
	size_t dst;
};

FIXTURE_VARIANT_ADD(relocate_nth, small) { KIND_SMALL, RUN, RUN, BEFORE_BORDER };
FIXTURE_VARIANT_ADD(relocate_nth, swapped) { KIND_SWAPPED, RUN, RUN, BEFORE_BORDER };
FIXTURE_VARIANT_ADD(relocate_nth, mthp) { KIND_MTHP, RUN, RUN, BEFORE_BORDER + 1 };
FIXTURE_VARIANT_ADD(relocate_nth, mthp_cut) { KIND_MTHP, RUN, RUN - 1, BEFORE_BORDER };
FIXTURE_VARIANT_ADD(relocate_nth, thp) { KIND_THP, PMD_PAGES, PMD_PAGES, 0 };
FIXTURE_VARIANT_ADD(relocate_nth, thp_apart) { KIND_THP, PMD_PAGES, PMD_PAGES, 1 };

FIXTURE_VARIANT_ADD(relocate_nth, thp_to_two_gibs) {
	KIND_THP, PMD_PAGES, PMD_PAGES, PMD_PAGES * PMD_PAGES - PMD_PAGES / 2 };

FIXTURE_VARIANT_ADD(relocate_nth, thp_cut) { KIND_THP, PMD_PAGES, PMD_PAGES - 1, 0 };

FIXTURE_SETUP(relocate_nth)
{
	struct sweep *w = &self->sweep;
	const char *missing = move_missing();

	missing = missing ? missing : injection_missing();
	missing = missing ? missing : kind_missing(variant->kind);
	if (missing)
		SKIP(return, "%s: %s", page_kinds[variant->kind].name, missing);
	ASSERT_EQ(0, sweep_open(w, variant->kind, variant->pages, variant->dst));
}

FIXTURE_TEARDOWN(relocate_nth)
{
	close(self->sweep.nth_fd);
}

/* Returns whether something was made to fail. */
static bool relocate_failing(struct sweep *w, unsigned int nth, int *err)
{
	if (!arm(w, nth))
		return false;
	*err = -relocate(w->dst, w->space.src, w->pages, MUST);
	return has_failed(w);
}

/* All pages are at one of both ends, whatever failed. */
static bool attempt_relocation(struct __test_metadata *_metadata, struct sweep *w, size_t made,
			       unsigned int nth)
{
	const __u64 same = PM_PRESENT | PM_SWAP | PM_PFN;
	__u64 after[AREA];
	bool failed;
	char *end;
	int err = EIO;
	long vmas;

	ASSERT_EQ(0, space_open(&w->space, AREA, 0));
	ASSERT_EQ(0, make_kind(&w->space, w->kind, 0, made));
	ASSERT_EQ(0, look(w->space.src, made, w->before));
	ASSERT_EQ(FAR, mmap(FAR, AREA * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			    -1, 0));
	vmas = vma_count();
	failed = relocate_failing(w, nth, &err);
	/* What was at the destination may have been unmapped, in the middle of its VMA. */
	if (err)
		EXPECT_GE(1, labs(vma_count() - vmas));
	EXPECT_TRUE(!err || (failed && (err == ENOMEM || err == EFAULT)))
		TH_LOG("errno %d", err);
	end = err ? w->space.src : w->dst;
	ASSERT_EQ(0, look(end, w->pages, after));
	EXPECT_EQ(w->pages, first_unlike(w->before, after, w->pages, same));
	EXPECT_STREQ("", pages_differ(end, w->pages, 1));
	EXPECT_STREQ("", pages_differ(w->space.src + w->pages * PAGE, made - w->pages,
				      w->pages + 1));
	if (!swap_missing())
		EXPECT_EQ(0, page_out(end, w->pages));
	EXPECT_STREQ("", pages_differ(end, w->pages, 1));
	ASSERT_EQ(0, munmap(FAR, AREA * PAGE));
	munmap(w->dst, w->pages * PAGE);
	space_close(&w->space);
	if (_metadata->exit_code)
		TH_LOG("when number %u failed: errno %d", nth, err);
	return failed;
}

TEST_F_TIMEOUT(relocate_nth, D13_sweep, PATIENCE)
{
	unsigned int nth;

	/* Of a huge page that is cut there are a thousand: not each, the further one gets. */
	for (nth = 1; attempt_relocation(_metadata, &self->sweep, variant->made, nth);
	     nth += 1 + nth / 8)
		ASSERT_EQ(KSFT_PASS, _metadata->exit_code);
	TH_LOG("up to %u things fail", nth - 1);
	EXPECT_LT(4, nth);
}

FIXTURE(late_pin)
{
	struct sweep sweep;
	int tracker;
};

/* A huge page that is write-protected and left alone over and over, while it fails to move. */
FIXTURE_SETUP(late_pin)
{
	struct sweep *w = &self->sweep;
	const char *missing = move_missing();

	missing = missing ? missing : base_serves();
	missing = missing ? missing : injection_missing();
	missing = missing ? missing : writeprotect_missing();
	missing = missing ? missing : kind_missing(KIND_THP);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, sweep_open(w, KIND_THP, PMD_PAGES, 0));
	prepare(_metadata, w);
	self->tracker = uffd_open(0, FEATURES_WP);
	ASSERT_LE(0, self->tracker);
	ASSERT_EQ(0, uffd_register(self->tracker, w->space.src, PMD, UFFDIO_REGISTER_MODE_WP));
}

FIXTURE_TEARDOWN(late_pin)
{
	close(self->tracker);
	close(self->sweep.nth_fd);
	space_close(&self->sweep.space);
}

/* Which of all that can fail is the look at its pins when it has been unmapped; 0 if none is. */
static unsigned int find_late_pin(struct sweep *w, int tracker)
{
	struct moved moved = { };
	unsigned int nth;

	for (nth = 1; move_failing(w, nth, &moved); nth++) {
		if (moved.err == EBUSY)
			return nth;
		if (!moved.err && move_pages_of(tracker, w->space.src, w->dst, PMD, 0).err)
			break;
	}
	return 0;
}

static void protect_once(struct rival *r)
{
	const int tracker = *(int *)r->arg;

	r->failed += uffd_writeprotect(tracker, r->space->src, PMD) != 0 ||
		     !all_pages(r->space->src, 1, PM_UFFD_WP, PM_UFFD_WP);
	r->failed += uffd_unprotect(tracker, r->space->src, PMD) != 0;
	r->hits++;
}

/* Who walks page tables without their lock passes over what he finds unmapped. */
TEST_F_TIMEOUT(late_pin, O15_is_never_none, PATIENCE)
{
	struct sweep *w = &self->sweep;
	struct rival r = { .once = protect_once, .space = &w->space, .arg = &self->tracker };
	unsigned int nth = find_late_pin(w, self->tracker);
	struct moved moved = { };
	int i;

	ASSERT_LT(0, nth);
	start(_metadata, &r);
	for (i = 0; goes_on(&r, i, 4000); i++) {
		move_failing(w, nth, &moved);
		if (!moved.err)
			break;
	}
	stop(_metadata, &r);
	TH_LOG("%d moves, protected %lu times", i, r.hits);
	EXPECT_EQ(EBUSY, moved.err);
	EXPECT_STREQ("", pages_differ(w->space.src, PMD_PAGES, 1));
}

TEST_HARNESS_MAIN
