// SPDX-License-Identifier: GPL-2.0
/*
 * Large folios mapped by PTEs: moved whole wherever they fit, split where they
 * must be, and left as they are where they may not move.
 */
#include <sys/uio.h>
#include <liburing.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#define AREA	(3 * PMD_PAGES)

/* Folios to move, and the counters before they do. */
struct trial {
	struct space space;
	size_t folio;		/* pages in one */
	long long splits;
	long long moved;
};

FIXTURE(large)
{
	struct trial trial;
	long long calls;
};

FIXTURE_VARIANT(large)
{
	size_t folio;
};

FIXTURE_VARIANT_ADD(large, 16K) { 4 };
FIXTURE_VARIANT_ADD(large, 32K) { 8 };
FIXTURE_VARIANT_ADD(large, 64K) { 16 };
FIXTURE_VARIANT_ADD(large, 128K) { 32 };
FIXTURE_VARIANT_ADD(large, 512K) { 128 };
FIXTURE_VARIANT_ADD(large, 1M) { 256 };

FIXTURE_SETUP(large)
{
	struct trial *t = &self->trial;
	const char *missing = move_missing();

	missing = missing ? missing : base_serves();
	missing = missing ? missing : large_missing(variant->folio);
	if (missing)
		SKIP(return, "%s", missing);
	t->folio = variant->folio;
	ASSERT_EQ(0, space_open(&t->space, AREA, UFFD_FEATURE_SIGBUS));
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(large)
{
	space_close(&self->trial.space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

/* The source is registered afterwards only: a VMA that is gets small pages. */
static void make(struct __test_metadata *_metadata, struct trial *t, size_t first, size_t pages)
{
	ASSERT_EQ(0, make_large(&t->space, first, pages, t->folio));
	ASSERT_EQ(0, space_register_source(&t->space));
	t->splits = engine_count("splits");
	t->moved = engine_count("moved_large");
}

static struct moved move(struct trial *t, size_t dst, size_t src, size_t pages)
{
	struct space *s = &t->space;

	return move_pages_of(s->uffd, s->dst + dst * PAGE, s->src + src * PAGE, pages * PAGE, 0);
}

static void none_split(struct __test_metadata *_metadata, struct trial *t)
{
	if (engine_counts())
		EXPECT_EQ(t->splits, engine_count("splits"));
}

/* The folios that left are the ones that arrived, and none was split on the way. */
static void move_whole(struct __test_metadata *_metadata, struct trial *t, char *dst, char *src,
		       size_t pages)
{
	long long before = engine_count("moved_large");
	__u64 left[AREA], arrived[AREA];
	struct moved moved;

	ASSERT_EQ(0, look(src, pages, left));
	moved = move_pages_of(t->space.uffd, dst, src, pages * PAGE, 0);
	ASSERT_EQ(0, moved.err);
	EXPECT_EQ((long long)(pages * PAGE), moved.bytes);
	ASSERT_EQ(0, look(dst, pages, arrived));
	EXPECT_EQ(pages, first_unlike(left, arrived, pages, PM_PRESENT | PM_PFN | PM_EXCLUSIVE));
	EXPECT_TRUE(are_folios(dst, pages, t->folio));
	EXPECT_ENGINE(pages, "moved_large", before);
	none_split(_metadata, t);
}

/* Reclaim finds pages by the reverse map alone: what it can't find stays where it is. */
static void swap_and_compare(struct __test_metadata *_metadata, char *addr, size_t pages,
			     unsigned int id)
{
	const char *missing = swap_missing();

	if (missing)
		TH_LOG("reverse map not checked: %s", missing);
	else
		EXPECT_EQ(0, page_out(addr, pages));
	EXPECT_STREQ("", pages_differ(addr, pages, id));
}

TEST_F_TIMEOUT(large, whole_and_back, PATIENCE)
{
	struct trial *t = &self->trial;
	struct space *s = &t->space;
	size_t first = PMD_PAGES - t->folio, pages = PMD_PAGES + t->folio;

	make(_metadata, t, first, pages);
	move_whole(_metadata, t, s->dst + t->folio * PAGE, s->src + first * PAGE, pages);
	EXPECT_TRUE(all_pages(s->src, AREA, PM_PRESENT | PM_SWAP, 0));
	EXPECT_STREQ("", pages_differ(s->dst + t->folio * PAGE, pages, first + 1));
	move_whole(_metadata, t, s->src, s->dst + t->folio * PAGE, pages);
	swap_and_compare(_metadata, s->src, pages, first + 1);
}

TEST_F_TIMEOUT(large, shifted_by_a_page, PATIENCE)
{
	struct trial *t = &self->trial;
	struct space *s = &t->space;
	size_t pages = PMD_PAGES - t->folio;

	make(_metadata, t, 0, pages);
	move_whole(_metadata, t, s->dst + PAGE, s->src, pages);
	move_whole(_metadata, t, s->dst + PMD + 3 * PAGE, s->dst + PAGE, pages);
	swap_and_compare(_metadata, s->dst + PMD + 3 * PAGE, pages, 1);
}

/* One folio would lie in two page tables, the next one does not. */
TEST_F_TIMEOUT(large, across_two_tables_is_split, PATIENCE)
{
	struct trial *t = &self->trial;
	struct space *s = &t->space;
	size_t dst = PMD_PAGES - t->folio / 2;

	make(_metadata, t, 0, 2 * t->folio);
	ASSERT_EQ(0, move(t, dst, 0, 2 * t->folio).err);
	EXPECT_TRUE(are_folios(s->dst + (dst + t->folio) * PAGE, t->folio, t->folio));
	EXPECT_ENGINE(t->folio, "moved_large", t->moved);
	EXPECT_ENGINE(1, "splits", t->splits);
	swap_and_compare(_metadata, s->dst + dst * PAGE, 2 * t->folio, 1);
}

TEST_F_TIMEOUT(large, part_leaves_the_rest, PATIENCE)
{
	struct trial *t = &self->trial;
	struct space *s = &t->space;
	size_t half = t->folio / 2, end = 2 * t->folio + half;

	make(_metadata, t, 0, 3 * t->folio);
	ASSERT_EQ(0, move(t, half, half, end - half).err);
	EXPECT_TRUE(are_folios(s->dst + t->folio * PAGE, t->folio, t->folio));
	EXPECT_ENGINE(t->folio, "moved_large", t->moved);
	EXPECT_ENGINE(2, "splits", t->splits);
	EXPECT_TRUE(all_pages(s->src + half * PAGE, end - half, PM_PRESENT | PM_SWAP, 0));
	EXPECT_TRUE(all_pages(s->dst, half, PM_PRESENT | PM_SWAP, 0));
	swap_and_compare(_metadata, s->dst + half * PAGE, end - half, half + 1);
	swap_and_compare(_metadata, s->src, half, 1);
	swap_and_compare(_metadata, s->src + end * PAGE, half, end + 1);
}

/* One page of each folio is young, written to and soft-dirty, the others are neither. */
TEST_F_TIMEOUT(large, unlike_bits_move_whole, PATIENCE)
{
	struct trial *t = &self->trial;
	struct space *s = &t->space;
	const __u64 soft_dirty = no_soft_dirty() ? 0 : PM_SOFT_DIRTY;
	size_t pages = 4 * t->folio, i;

	make(_metadata, t, 0, pages);
	ASSERT_EQ(0, clear_soft_dirty());
	ASSERT_EQ(0, write_text("/proc/self/clear_refs", "1"));
	for (i = 0; i < 4; i++)
		fill_pages(s->src + (i * t->folio + i) * PAGE, 1, i * t->folio + i + 1);
	ASSERT_TRUE(all_pages(s->src + PAGE, t->folio - 1, PM_SOFT_DIRTY, 0));
	move_whole(_metadata, t, s->dst, s->src, pages);
	EXPECT_TRUE(all_pages(s->dst, pages, PM_SOFT_DIRTY, soft_dirty));
	/* Each page must still know that it was written to, or reclaim would drop it. */
	swap_and_compare(_metadata, s->dst, pages, 1);
	fill_pages(s->dst, pages, 50);
	EXPECT_STREQ("", pages_differ(s->dst, pages, 50));
}

/* The bits of @protect pages from the second one on, and no others, are there afterwards. */
static void move_protected(struct __test_metadata *_metadata, struct trial *t,
			   size_t protect)
{
	const __u64 mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP;
	size_t pages = 3 * t->folio;
	__u64 left[AREA], arrived[AREA];
	struct space s;

	ASSERT_EQ(0, space_open(&s, AREA, FEATURES_WP | UFFD_FEATURE_SIGBUS));
	ASSERT_EQ(0, make_large(&s, 0, pages, t->folio));
	ASSERT_EQ(0, uffd_register(s.uffd, s.dst, AREA * PAGE, mode));
	ASSERT_EQ(0, uffd_register(s.uffd, s.src, AREA * PAGE, mode));
	ASSERT_EQ(0, uffd_writeprotect(s.uffd, s.src + t->folio * PAGE, protect * PAGE));
	ASSERT_EQ(0, look(s.src, pages, left));
	ASSERT_EQ(protect, first_not(left + t->folio, pages - t->folio, PM_UFFD_WP,
				     PM_UFFD_WP));
	ASSERT_EQ(0, move_pages_of(s.uffd, s.dst, s.src, pages * PAGE, 0).err);
	ASSERT_EQ(0, look(s.dst, pages, arrived));
	EXPECT_EQ(pages, first_unlike(left, arrived, pages, PM_PRESENT | PM_PFN | PM_UFFD_WP));
	swap_and_compare(_metadata, s.dst, pages, 1);
	space_close(&s);
}

TEST_F_TIMEOUT(large, R18_write_protected, PATIENCE)
{
	struct trial *t = &self->trial;
	const char *missing = writeprotect_missing();

	if (missing)
		SKIP(return, "%s", missing);
	t->splits = engine_count("splits");
	move_protected(_metadata, t, t->folio);
	none_split(_metadata, t);
	move_protected(_metadata, t, 1);
}

TEST_F_TIMEOUT(large, stops_at_missing_page, PATIENCE)
{
	struct trial *t = &self->trial;
	struct space *s = &t->space;
	size_t hole = t->folio + t->folio / 2, pages = 3 * t->folio;
	struct moved moved;

	make(_metadata, t, 0, pages);
	ASSERT_EQ(0, madvise(s->src + hole * PAGE, PAGE, MADV_DONTNEED));
	moved = move(t, 0, 0, pages);
	EXPECT_EQ(EAGAIN, moved.err);
	EXPECT_EQ((long long)(hole * PAGE), moved.bytes);
	EXPECT_EQ(ENOENT, move(t, hole, hole, 1).err);
	moved = move_pages_of(s->uffd, s->dst + hole * PAGE, s->src + hole * PAGE,
			      (pages - hole) * PAGE, UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES);
	EXPECT_EQ(0, moved.err);
	EXPECT_TRUE(are_folios(s->dst, t->folio, t->folio));
	EXPECT_TRUE(all_pages(s->dst + hole * PAGE, 1, PM_PRESENT | PM_SWAP, 0));
	swap_and_compare(_metadata, s->dst, hole, 1);
	swap_and_compare(_metadata, s->dst + (hole + 1) * PAGE, pages - hole - 1, hole + 2);
}

TEST_F_TIMEOUT(large, stops_at_occupied_page, PATIENCE)
{
	struct trial *t = &self->trial;
	struct space *s = &t->space;
	size_t taken = t->folio + t->folio / 2, pages = 2 * t->folio;
	struct moved moved;

	make(_metadata, t, 0, pages);
	ASSERT_EQ(0, uffd_unregister(s->uffd, s->src, AREA * PAGE));
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, PMD_PAGES, 1));
	ASSERT_EQ(0, move(t, taken, PMD_PAGES, 1).err);
	moved = move(t, 0, 0, pages);
	EXPECT_EQ(EAGAIN, moved.err);
	EXPECT_EQ((long long)(taken * PAGE), moved.bytes);
	EXPECT_EQ(EEXIST, move(t, taken, taken, pages - taken).err);
	EXPECT_TRUE(are_folios(s->dst, t->folio, t->folio));
	swap_and_compare(_metadata, s->dst, taken, 1);
	swap_and_compare(_metadata, s->dst + taken * PAGE, 1, PMD_PAGES + 1);
	swap_and_compare(_metadata, s->src + taken * PAGE, pages - taken, taken + 1);
}

TEST_F_TIMEOUT(large, V8_shared_is_not_split, PATIENCE)
{
	struct trial *t = &self->trial;
	struct space *s = &t->space;
	long long before = engine_count("stop_shared");
	pid_t pid;

	make(_metadata, t, 0, t->folio);
	pid = share_with_child();
	ASSERT_LT(0, pid);
	EXPECT_EQ(EBUSY, move(t, 0, 0, t->folio).err);
	EXPECT_EQ(EBUSY, move(t, 1, 1, 1).err);
	EXPECT_TRUE(are_folios(s->src, t->folio, t->folio));
	none_split(_metadata, t);
	end_child(pid);
	EXPECT_STREQ("", pages_differ(s->src, t->folio, 1));
	EXPECT_ENGINE(2, "stop_shared", before);
}

/* The child shares one half of the folio, the upper or the lower one. */
static void share_half(struct __test_metadata *_metadata, struct trial *t, size_t keep)
{
	char *kept = t->space.src + keep * PAGE;
	size_t half = t->folio / 2;
	pid_t pid;

	make(_metadata, t, 0, t->folio);
	ASSERT_EQ(0, madvise(kept, half * PAGE, MADV_DONTFORK));
	pid = share_with_child();
	ASSERT_LT(0, pid);
	end_child(pid);
	/* One VMA again. The pages stay marked as shared until they are written to. */
	ASSERT_EQ(0, madvise(kept, half * PAGE, MADV_DOFORK));
}

TEST_F_TIMEOUT(large, O1_lower_half_is_exclusive, PATIENCE)
{
	struct trial *t = &self->trial;
	size_t half = t->folio / 2;
	struct moved moved;

	share_half(_metadata, t, 0);
	moved = move(t, 0, 0, t->folio);
	EXPECT_EQ(EAGAIN, moved.err);
	EXPECT_EQ((long long)(half * PAGE), moved.bytes);
	EXPECT_EQ(EBUSY, move(t, half, half, half).err);
	EXPECT_STREQ("", pages_differ(t->space.dst, half, 1));
	EXPECT_STREQ("", pages_differ(t->space.src + half * PAGE, half, half + 1));
}

TEST_F_TIMEOUT(large, O1_upper_half_is_exclusive, PATIENCE)
{
	struct trial *t = &self->trial;
	size_t half = t->folio / 2;

	share_half(_metadata, t, half);
	EXPECT_EQ(EBUSY, move(t, 0, 0, t->folio).err);
	EXPECT_TRUE(are_folios(t->space.src, t->folio, t->folio));
	EXPECT_EQ(0, move(t, half, half, half).err);
	EXPECT_STREQ("", pages_differ(t->space.dst + half * PAGE, half, half + 1));
	EXPECT_STREQ("", pages_differ(t->space.src, half, 1));
}

/* A pin of one page is one of the whole folio. */
TEST_F_TIMEOUT(large, R3_pinned_stays_whole, PATIENCE)
{
	struct trial *t = &self->trial;
	struct space *s = &t->space;
	size_t folio = t->folio;
	struct iovec iov = { .iov_base = s->src + (2 * folio - 1) * PAGE, .iov_len = PAGE };
	struct io_uring ring;
	struct moved moved;

	if (io_uring_queue_init(4, &ring, 0))
		SKIP(return, "no io_uring in this kernel");
	make(_metadata, t, 0, 2 * folio);
	ASSERT_EQ(0, io_uring_register_buffers(&ring, &iov, 1));
	moved = move(t, 0, 0, 2 * folio);
	EXPECT_EQ(EAGAIN, moved.err);
	EXPECT_EQ((long long)(folio * PAGE), moved.bytes);
	EXPECT_EQ(EBUSY, move(t, folio, folio, folio).err);
	EXPECT_EQ(EBUSY, move(t, folio, folio, 1).err);
	EXPECT_TRUE(are_folios(s->dst, folio, folio));
	EXPECT_TRUE(are_folios(s->src + folio * PAGE, folio, folio));
	EXPECT_STREQ("", pages_differ(s->src + folio * PAGE, folio, folio + 1));
	ASSERT_EQ(0, io_uring_unregister_buffers(&ring));
	io_uring_queue_exit(&ring);
	move_whole(_metadata, t, s->dst + folio * PAGE, s->src + folio * PAGE, folio);
	swap_and_compare(_metadata, s->dst, 2 * folio, 1);
}

/* Within one VMA, by a whole folio and by half of one. */
TEST_F_TIMEOUT(large, overlap_downwards, PATIENCE)
{
	struct trial *t = &self->trial;
	struct space *s = &t->space;
	size_t folio = t->folio, half = folio / 2;
	char *at = s->dst + 2 * folio * PAGE;

	make(_metadata, t, 0, 2 * folio);
	move_whole(_metadata, t, at, s->src, 2 * folio);
	move_whole(_metadata, t, at - folio * PAGE, at, 2 * folio);
	at -= folio * PAGE;
	EXPECT_EQ(0, move_pages_of(s->uffd, at - half * PAGE, at, 2 * folio * PAGE, 0).err);
	at -= half * PAGE;
	EXPECT_TRUE(all_pages(at + 2 * folio * PAGE, half, PM_PRESENT | PM_SWAP, 0));
	swap_and_compare(_metadata, at, 2 * folio, 1);
}

TEST_F_TIMEOUT(large, overlap_upwards, PATIENCE)
{
	struct trial *t = &self->trial;
	struct space *s = &t->space;
	size_t folio = t->folio;

	make(_metadata, t, 0, 2 * folio);
	move_whole(_metadata, t, s->dst, s->src, 2 * folio);
	EXPECT_EQ(EEXIST, move_pages_of(s->uffd, s->dst + PAGE, s->dst, 2 * folio * PAGE, 0).err);
	EXPECT_TRUE(are_folios(s->dst, 2 * folio, folio));
	swap_and_compare(_metadata, s->dst, 2 * folio, 1);
}

/* Folios, small pages and holes by turns, in one call. */
TEST_F_TIMEOUT(large, mixed_with_small_pages, PATIENCE)
{
	struct trial *t = &self->trial;
	struct space *s = &t->space;
	size_t folio = t->folio, pages = 2 * PMD_PAGES, i;
	long long small = engine_count("moved_small");

	for (i = 0; i < pages; i += 2 * folio) {
		ASSERT_EQ(0, make_large(s, i, folio, folio));
		ASSERT_EQ(0, make_kind(s, KIND_SMALL, i + folio + 1, folio - 1));
	}
	t->splits = engine_count("splits");
	t->moved = engine_count("moved_large");
	ASSERT_EQ(0, move_pages_of(s->uffd, s->dst, s->src, pages * PAGE,
				   UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES).err);
	EXPECT_ENGINE(pages / 2, "moved_large", t->moved);
	EXPECT_ENGINE(pages / (2 * folio) * (folio - 1), "moved_small", small);
	none_split(_metadata, t);
	for (i = 0; i < pages; i += 2 * folio)
		EXPECT_TRUE(are_folios(s->dst + i * PAGE, folio, folio));
	/* Now only, as compaction, which swapping out begins with, may split what is left. */
	for (i = 0; i < pages; i += 2 * folio) {
		swap_and_compare(_metadata, s->dst + i * PAGE, folio, i + 1);
		swap_and_compare(_metadata, s->dst + (i + folio + 1) * PAGE, folio - 1,
				 i + folio + 2);
	}
}

TEST_HARNESS_MAIN
