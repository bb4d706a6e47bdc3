// SPDX-License-Identifier: GPL-2.0
/*
 * Modes of UFFDIO_MOVEV: copies of what may not move, arming of what arrives, several mappings.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <liburing.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#define AREA	(4 * PMD_PAGES)
#define SHIFT	3	/* pages that the destination lies farther in its area */

static const char *mode_missing(__u64 feature)
{
	const char *missing = vectors_missing();

	return missing ? missing : features_missing(feature, "no such mode in this kernel");
}

/* One range from the beginning of the source, and what became of it. */
static int go_to(struct space *s, char *dst, struct uffdio_movev_range *range, size_t pages,
		 __u64 mode)
{
	*range = (struct uffdio_movev_range) {
		.dst = (uintptr_t)dst,
		.src = (uintptr_t)s->src,
		.len = pages * PAGE,
	};
	return move_vector(s->uffd, range, 1, mode, NULL);
}

static int go(struct space *s, struct uffdio_movev_range *range, size_t pages, __u64 mode)
{
	return go_to(s, s->dst + SHIFT * PAGE, range, pages, mode);
}

/* Each of the first @pages is at its new address, and there alone. */
static void expect_there(struct __test_metadata *_metadata, struct space *s, size_t pages)
{
	ASSERT_EQ(0, uffd_unregister(s->uffd, s->dst, s->pages * PAGE));
	EXPECT_TRUE(all_pages(s->src, pages, PM_PRESENT | PM_SWAP, 0));
	EXPECT_STREQ("", pages_differ(s->dst + SHIFT * PAGE, pages, 1));
}

FIXTURE(copy)
{
	struct space space;
	struct uffdio_movev_range range;
	struct io_uring ring;
	pid_t child;
};

/* Pages that a child has too, or a device may write to. */
FIXTURE_VARIANT(copy)
{
	enum page_kind_id kind;
	size_t pages;
	bool pinned;
};

FIXTURE_VARIANT_ADD(copy, shared_one) { KIND_SMALL, 1, false };
FIXTURE_VARIANT_ADD(copy, shared_few) { KIND_SMALL, 40, false };
FIXTURE_VARIANT_ADD(copy, shared_many) { KIND_SMALL, PMD_PAGES + 40, false };
FIXTURE_VARIANT_ADD(copy, shared_swapped) { KIND_SWAPPED, 40, false };
FIXTURE_VARIANT_ADD(copy, shared_swap_cache) { KIND_SWAP_CACHE, 40, false };
FIXTURE_VARIANT_ADD(copy, shared_mlocked) { KIND_MLOCKED, 40, false };
FIXTURE_VARIANT_ADD(copy, shared_lazy_free) { KIND_LAZY_FREE, 40, false };
FIXTURE_VARIANT_ADD(copy, shared_mthp) { KIND_MTHP, 4 * MTHP_PAGES, false };
FIXTURE_VARIANT_ADD(copy, shared_mthp_swapped) { KIND_MTHP_SWAPPED, 4 * MTHP_PAGES, false };
FIXTURE_VARIANT_ADD(copy, shared_thp) { KIND_THP, PMD_PAGES, false };
FIXTURE_VARIANT_ADD(copy, shared_thp_by_ptes) { KIND_THP_BY_PTES, PMD_PAGES, false };
FIXTURE_VARIANT_ADD(copy, pinned_one) { KIND_SMALL, 1, true };
FIXTURE_VARIANT_ADD(copy, pinned_few) { KIND_SMALL, 40, true };
FIXTURE_VARIANT_ADD(copy, pinned_mthp) { KIND_MTHP, 4 * MTHP_PAGES, true };
FIXTURE_VARIANT_ADD(copy, pinned_thp) { KIND_THP, PMD_PAGES, true };

FIXTURE_SETUP(copy)
{
	const char *missing = mode_missing(UFFD_FEATURE_MOVEV_COPY);
	struct space *s = &self->space;
	struct iovec iov;

	missing = missing ? missing : kind_missing(variant->kind);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(s, AREA, FEATURES_WP));
	ASSERT_EQ(0, make_kind(s, variant->kind, 0, variant->pages));
	if (variant->pinned) {
		iov = (struct iovec) { s->src, variant->pages * PAGE };
		ASSERT_EQ(0, io_uring_queue_init(2, &self->ring, 0));
		ASSERT_EQ(0, io_uring_register_buffers(&self->ring, &iov, 1));
	} else {
		self->child = share_with_child();
		ASSERT_LT(0, self->child);
	}
}

FIXTURE_TEARDOWN(copy)
{
	if (self->child)
		end_child(self->child);
	if (variant->pinned)
		io_uring_queue_exit(&self->ring);
	space_close(&self->space);
}

static bool child_has(pid_t child, char *addr, size_t pages)
{
	char path[32], page[PAGE];
	bool same = true;
	size_t i;
	int mem;

	snprintf(path, sizeof(path), "/proc/%d/mem", child);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	for (i = 0; same && i < pages; i++)
		same = pread(mem, page, PAGE, (uintptr_t)addr + i * PAGE) == PAGE &&
		       !*pages_differ(page, 1, i + 1);
	close(mem);
	return same;
}

/* Returns how much it has written: less than asked for if the CPU is wanted by others meanwhile. */
static int write_some_by_device(struct io_uring *ring, int zero, char *addr, size_t len)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	int res = -1;

	io_uring_prep_read_fixed(sqe, zero, addr, len, 0, 0);
	if (io_uring_submit_and_wait(ring, 1) == 1 && !io_uring_wait_cqe(ring, &cqe)) {
		res = cqe->res;
		io_uring_cqe_seen(ring, cqe);
	}
	return res;
}

/* The device has the old pages, and what it writes does not come to the copies. */
static int write_by_device(struct io_uring *ring, char *addr, size_t len)
{
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC), res = 1;
	size_t done;

	for (done = 0; done < len && res > 0; done += res)
		res = write_some_by_device(ring, zero, addr + done, len - done);
	close(zero);
	return res > 0 ? 0 : -1;
}

TEST_F_TIMEOUT(copy, arrives, PATIENCE)
{
	long long copied = engine_count("copied");
	struct space *s = &self->space;

	ASSERT_EQ(0, go(s, &self->range, variant->pages, UFFDIO_MOVEV_MODE_COPY));
	EXPECT_EQ(UFFDIO_MOVEV_DONE, self->range.stop);
	EXPECT_EQ(variant->pages * PAGE, self->range.moved);
	EXPECT_EQ(variant->pages * PAGE, self->range.copied);
	EXPECT_ENGINE(variant->pages, "copied", copied);
	EXPECT_TRUE(!variant->pinned ||
		    !write_by_device(&self->ring, s->src, variant->pages * PAGE));
	expect_there(_metadata, s, variant->pages);
	/* They are the caller's alone. */
	fill_pages(s->dst + SHIFT * PAGE, variant->pages, 5000);
	EXPECT_STREQ("", pages_differ(s->dst + SHIFT * PAGE, variant->pages, 5000));
	EXPECT_TRUE(!self->child || child_has(self->child, s->src, variant->pages));
	if (variant->kind == KIND_MLOCKED) {
		EXPECT_TRUE(folio_flags(s->dst + SHIFT * PAGE) & _BITULL(18))
			TH_LOG("a copy in an mlocked mapping is not unevictable");
	}
}

/* A second one finds that the first has been here. */
TEST_F_TIMEOUT(copy, ends_at_what_is_there, PATIENCE)
{
	const size_t last = variant->pages - 1;
	struct space *s = &self->space;

	fill_pages(s->src + (AREA - 1) * PAGE, 1, 77);
	ASSERT_EQ(0, move_surely(s->uffd, s->dst + (SHIFT + last) * PAGE,
				 s->src + (AREA - 1) * PAGE, PAGE).err);
	EXPECT_EQ(EAGAIN, go(s, &self->range, variant->pages, UFFDIO_MOVEV_MODE_COPY));
	EXPECT_EQ(UFFDIO_MOVEV_EXISTS, self->range.stop);
	EXPECT_EQ(last * PAGE, self->range.moved);
	EXPECT_EQ(last * PAGE, self->range.copied);
	EXPECT_STREQ("", pages_differ(s->src + last * PAGE, 1, last + 1));
	EXPECT_STREQ("", pages_differ(s->dst + (SHIFT + last) * PAGE, 1, 77));
	expect_there(_metadata, s, last);
}

TEST_F_TIMEOUT(copy, is_not_made_unasked, PATIENCE)
{
	struct space *s = &self->space;

	EXPECT_EQ(EAGAIN, go(s, &self->range, variant->pages, 0));
	EXPECT_EQ(variant->pinned ? UFFDIO_MOVEV_PINNED : UFFDIO_MOVEV_SHARED, self->range.stop);
	EXPECT_EQ(0, self->range.moved);
	EXPECT_EQ(0, self->range.copied);
	EXPECT_STREQ("", pages_differ(s->src, variant->pages, 1));
}

FIXTURE(copied)
{
	struct space space;
	struct uffdio_movev_range range;
	struct io_uring ring;
};

FIXTURE_SETUP(copied)
{
	const char *missing = mode_missing(UFFD_FEATURE_MOVEV_COPY);

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->space, AREA, FEATURES_WP));
}

FIXTURE_TEARDOWN(copied)
{
	space_close(&self->space);
}

TEST_F_TIMEOUT(copied, O17_occupied_is_not_split, PATIENCE)
{
	const char *missing = kind_missing(KIND_THP);
	struct space *s = &self->space;
	pid_t child;

	if (missing)
		SKIP(return, "%s", missing);
	fill_pages(s->src + (AREA - 1) * PAGE, 1, 77);
	ASSERT_EQ(0, move_surely(s->uffd, s->dst + SHIFT * PAGE, s->src + (AREA - 1) * PAGE,
				 PAGE).err);
	ASSERT_EQ(0, make_kind(s, KIND_THP, 0, PMD_PAGES));
	child = share_with_child();
	ASSERT_LT(0, child);
	EXPECT_EQ(EAGAIN, go(s, &self->range, PMD_PAGES, UFFDIO_MOVEV_MODE_COPY));
	EXPECT_EQ(UFFDIO_MOVEV_EXISTS, self->range.stop);
	EXPECT_EQ(0, self->range.moved);
	EXPECT_TRUE(all_pages(s->src, PMD_PAGES, PM_HUGE, PM_HUGE));
	EXPECT_STREQ("", pages_differ(s->src, PMD_PAGES, 1));
	end_child(child);
}

/* The others are the caller's alone again, and move. */
TEST_F_TIMEOUT(copied, every_second_page, PATIENCE)
{
	struct space *s = &self->space;
	pid_t child;
	size_t i;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 40));
	child = share_with_child();
	ASSERT_LT(0, child);
	for (i = 0; i < 40; i += 2)
		fill_pages(s->src + i * PAGE, 1, i + 1);
	EXPECT_EQ(0, go(s, &self->range, 40, UFFDIO_MOVEV_MODE_COPY));
	end_child(child);
	EXPECT_EQ(20 * PAGE, self->range.copied);
	expect_there(_metadata, s, 40);
}

TEST_F_TIMEOUT(copied, though_merged, PATIENCE)
{
	struct space *s = &self->space;

	if (ksm_missing())
		SKIP(return, "%s", ksm_missing());
	ASSERT_EQ(0, make_ksm_pair(s));
	ASSERT_EQ(0, go(s, &self->range, 1, UFFDIO_MOVEV_MODE_COPY));
	EXPECT_EQ(PAGE, self->range.copied);
	EXPECT_STREQ("", pages_differ(s->src + PAGE, 1, 1));
	expect_there(_metadata, s, 1);
}

TEST_F_TIMEOUT(copied, stays_write_protected, PATIENCE)
{
	const __u64 mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP;
	struct space *s = &self->space;
	pid_t child;

	if (writeprotect_missing())
		SKIP(return, "%s", writeprotect_missing());
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 8));
	ASSERT_EQ(0, uffd_register(s->uffd, s->dst, s->pages * PAGE, mode));
	ASSERT_EQ(0, uffd_register(s->uffd, s->src, s->pages * PAGE, mode));
	ASSERT_EQ(0, uffd_writeprotect(s->uffd, s->src, 4 * PAGE));
	child = share_with_child();
	ASSERT_LT(0, child);
	EXPECT_EQ(0, go(s, &self->range, 8, UFFDIO_MOVEV_MODE_COPY));
	end_child(child);
	EXPECT_EQ(8 * PAGE, self->range.copied);
	EXPECT_TRUE(all_pages(s->dst + SHIFT * PAGE, 4, PM_UFFD_WP, PM_UFFD_WP));
	EXPECT_TRUE(all_pages(s->dst + (SHIFT + 4) * PAGE, 4, PM_UFFD_WP, 0));
}

#define FRAMES	600

/* Batches of this CPU and another may keep a few for a while. */
static bool most_are_freed(const __u64 *view)
{
	size_t i, left;

	for (i = 0, left = 0; i < FRAMES; i++)
		left += !!(frame_flags(view[i] & PM_PFN) & KPF_ANON);
	return left < FRAMES / 2;
}

TEST_F_TIMEOUT(copied, are_freed_when_nobody_has_them, PATIENCE)
{
	struct space *s = &self->space;
	__u64 view[FRAMES];
	pid_t child;

	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, FRAMES));
	ASSERT_EQ(0, look(s->src, FRAMES, view));
	child = share_with_child();
	ASSERT_LT(0, child);
	EXPECT_EQ(0, go(s, &self->range, FRAMES, UFFDIO_MOVEV_MODE_COPY));
	EXPECT_FALSE(most_are_freed(view));
	end_child(child);
	EXPECT_TRUE(most_are_freed(view));
}

#define WORDS	511	/* and one behind them that says which page it is */

struct writer {
	__u64 *words;
	__u64 last;
	bool ready;
};

/* Writes to one word after the other until it sees another page. */
static void *write_until_gone(void *arg)
{
	struct writer *w = arg;

	run_on_cpu(1);
	do {
		w->last++;
		__atomic_store_n(&w->words[w->last % WORDS], w->last, __ATOMIC_RELAXED);
		__atomic_store_n(&w->ready, w->last > WORDS, __ATOMIC_RELEASE);
	} while (__atomic_load_n(&w->words[WORDS], __ATOMIC_RELAXED));
	return NULL;
}

/* What was written to the old page is in the copy; only the last word may be in neither. */
static __u64 lost_word(const struct writer *w, const __u64 *copy)
{
	__u64 i;

	for (i = w->last - WORDS + 1; i < w->last; i++)
		if (copy[i % WORDS] != i)
			return i;
	return 0;
}

/* A pinned page is the process's own, and so may be written to up to the last moment. */
TEST_F_TIMEOUT(copied, while_written_to, PATIENCE)
{
	struct space *s = &self->space;
	struct iovec iov = { s->src, PAGE };
	pthread_t thread;
	int round;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "one CPU has no other's TLB to flush");
	ASSERT_EQ(0, run_on_cpu(0));
	ASSERT_EQ(0, uffd_register(s->uffd, s->dst, s->pages * PAGE, UFFDIO_REGISTER_MODE_MISSING));
	for (round = 0; round < 50; round++) {
		struct writer w = { .words = (__u64 *)s->src };

		w.words[WORDS] = 1;
		ASSERT_EQ(0, io_uring_queue_init(2, &self->ring, 0));
		ASSERT_EQ(0, io_uring_register_buffers(&self->ring, &iov, 1));
		ASSERT_EQ(0, pthread_create(&thread, NULL, write_until_gone, &w));
		while (!__atomic_load_n(&w.ready, __ATOMIC_ACQUIRE))
			sched_yield();
		ASSERT_EQ(0, go(s, &self->range, 1, UFFDIO_MOVEV_MODE_COPY));
		ASSERT_EQ(0, pthread_join(thread, NULL));
		io_uring_queue_exit(&self->ring);
		EXPECT_EQ(PAGE, self->range.copied);
		ASSERT_EQ(0, lost_word(&w, (__u64 *)(s->dst + SHIFT * PAGE)))
			TH_LOG("round %d", round);
		ASSERT_EQ(0, madvise(s->dst, s->pages * PAGE, MADV_DONTNEED));
	}
}

#define CONTENDED	64	/* pages */

/* One of two threads that copy the same pages, each page by a range of its own. */
struct copier {
	struct uffdio_movev_range ranges[CONTENDED];
	pthread_barrier_t *start;
	struct space *space;
	char *dst;
	int cpu;
};

static void *copy_page_by_page(void *arg)
{
	struct copier *c = arg;
	size_t i;

	for (i = 0; i < CONTENDED; i++)
		c->ranges[i] = (struct uffdio_movev_range) {
			.dst = (uintptr_t)c->dst + i * PAGE,
			.src = (uintptr_t)c->space->src + i * PAGE,
			.len = PAGE,
		};
	run_on_cpu(c->cpu);
	pthread_barrier_wait(c->start);
	move_vector(c->space->uffd, c->ranges, CONTENDED,
		    UFFDIO_MOVEV_MODE_COPY | UFFDIO_MOVEV_MODE_GO_ON, NULL);
	return NULL;
}

/* Returns how many pages a copier got, or more than there are if a range says what is not so. */
static size_t pages_got(const struct copier *c)
{
	size_t i, got = 0;

	for (i = 0; i < CONTENDED; i++) {
		bool moved = c->ranges[i].moved == PAGE;

		if (c->ranges[i].stop != (moved ? UFFDIO_MOVEV_DONE : UFFDIO_MOVEV_HOLE) ||
		    (moved && *pages_differ(c->dst + i * PAGE, 1, i + 1)))
			return CONTENDED + 1;
		got += moved;
	}
	return got;
}

/* What one of them is about to read in the other one may have taken away by then. */
TEST_F_TIMEOUT(copied, by_two_at_once, PATIENCE)
{
	struct space *s = &self->space;
	struct copier copiers[2];
	pthread_barrier_t start;
	pthread_t threads[2];
	int round, i;
	pid_t child;

	if (kind_missing(KIND_SWAPPED))
		SKIP(return, "%s", kind_missing(KIND_SWAPPED));
	ASSERT_EQ(0, pthread_barrier_init(&start, NULL, 2));
	for (round = 0; round < 40; round++) {
		ASSERT_EQ(0, make_kind(s, KIND_SWAPPED, 0, CONTENDED));
		child = share_with_child();
		ASSERT_LT(0, child);
		ASSERT_EQ(0, uffd_register(s->uffd, s->dst, s->pages * PAGE,
					   UFFDIO_REGISTER_MODE_MISSING));
		for (i = 0; i < 2; i++) {
			copiers[i].start = &start;
			copiers[i].space = s;
			copiers[i].dst = s->dst + i * 2 * PMD;
			copiers[i].cpu = i;
			ASSERT_EQ(0, pthread_create(&threads[i], NULL, copy_page_by_page,
						    &copiers[i]));
		}
		for (i = 0; i < 2; i++)
			ASSERT_EQ(0, pthread_join(threads[i], NULL));
		end_child(child);
		ASSERT_EQ(0, uffd_unregister(s->uffd, s->dst, s->pages * PAGE));
		ASSERT_EQ(CONTENDED, pages_got(&copiers[0]) + pages_got(&copiers[1]))
			TH_LOG("round %d", round);
		ASSERT_TRUE(all_pages(s->src, CONTENDED, PM_PRESENT | PM_SWAP, 0));
		ASSERT_EQ(0, madvise(s->dst, s->pages * PAGE, MADV_DONTNEED));
	}
}

/* How the destination is registered, what is asked for, and what comes of it. */
FIXTURE(arm)
{
	struct space space;
	struct uffdio_movev_range range;
};

FIXTURE_VARIANT(arm)
{
	enum page_kind_id kind;
	size_t pages;
	size_t shift;
	bool shared;
};

FIXTURE_VARIANT_ADD(arm, one) { KIND_SMALL, 1, SHIFT, false };
FIXTURE_VARIANT_ADD(arm, small) { KIND_SMALL, 40, SHIFT, false };
FIXTURE_VARIANT_ADD(arm, zero) { KIND_ZERO, 40, SHIFT, false };
FIXTURE_VARIANT_ADD(arm, swapped) { KIND_SWAPPED, 40, SHIFT, false };
FIXTURE_VARIANT_ADD(arm, swap_cache) { KIND_SWAP_CACHE, 40, SHIFT, false };
FIXTURE_VARIANT_ADD(arm, mthp) { KIND_MTHP, 4 * MTHP_PAGES, SHIFT, false };
FIXTURE_VARIANT_ADD(arm, thp) { KIND_THP, PMD_PAGES, 0, false };
FIXTURE_VARIANT_ADD(arm, thp_shifted) { KIND_THP, PMD_PAGES, SHIFT, false };
FIXTURE_VARIANT_ADD(arm, huge_zero) { KIND_HUGE_ZERO, PMD_PAGES, 0, false };
FIXTURE_VARIANT_ADD(arm, huge_zero_shifted) { KIND_HUGE_ZERO, PMD_PAGES, SHIFT, false };
FIXTURE_VARIANT_ADD(arm, copied) { KIND_SMALL, 40, SHIFT, true };

FIXTURE_SETUP(arm)
{
	const char *missing = mode_missing(UFFD_FEATURE_MOVEV_ARM);
	struct space *s = &self->space;
	pid_t child;

	missing = missing ? missing : writeprotect_missing();
	missing = missing ? missing : kind_missing(variant->kind);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(s, AREA, FEATURES_WP));
	ASSERT_EQ(0, make_kind(s, variant->kind, 0, variant->pages));
	if (variant->shared) {
		child = share_with_child();
		ASSERT_LT(0, child);
		end_child(child);
	}
}

FIXTURE_TEARDOWN(arm)
{
	space_close(&self->space);
}

static void *write_to(void *page)
{
	__atomic_store_n((char *)page, 1, __ATOMIC_RELAXED);
	return NULL;
}

/* A write behind the move is told of, though nobody has protected anything. */
TEST_F_TIMEOUT(arm, tells_of_the_first_write, PATIENCE)
{
	struct space *s = &self->space;
	char *dst = s->dst + variant->shift * PAGE;
	pthread_t writer;
	struct uffd_msg msg;

	ASSERT_EQ(0, uffd_register(s->uffd, s->dst, s->pages * PAGE,
				   UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP));
	ASSERT_EQ(0, go_to(s, dst, &self->range, variant->pages,
			   UFFDIO_MOVEV_MODE_WP | UFFDIO_MOVEV_MODE_COPY));
	EXPECT_EQ(variant->pages * PAGE, self->range.moved);
	EXPECT_TRUE(all_pages(dst, variant->pages, PM_UFFD_WP, PM_UFFD_WP));
	EXPECT_STREQ("", pages_differ(dst, variant->pages, !page_kinds[variant->kind].zeroes));
	ASSERT_EQ(0, pthread_create(&writer, NULL, write_to, dst));
	ASSERT_EQ(0, uffd_read(s->uffd, &msg));
	EXPECT_EQ(UFFD_EVENT_PAGEFAULT, msg.event);
	EXPECT_TRUE(msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP);
	EXPECT_EQ((uintptr_t)dst, msg.arg.pagefault.address & ~(PAGE - 1));
	ASSERT_EQ(0, uffd_unprotect(s->uffd, dst, PAGE));
	ASSERT_EQ(0, pthread_join(writer, NULL));
}

/* Nobody would be told. */
TEST_F_TIMEOUT(arm, needs_a_listener, PATIENCE)
{
	struct space *s = &self->space;
	char *dst = s->dst + variant->shift * PAGE;

	EXPECT_EQ(EAGAIN, go_to(s, dst, &self->range, variant->pages, UFFDIO_MOVEV_MODE_WP));
	EXPECT_EQ(UFFDIO_MOVEV_UNREGISTERED, self->range.stop);
	EXPECT_EQ(EAGAIN, go_to(s, dst, &self->range, variant->pages, UFFDIO_MOVEV_MODE_RWP));
	EXPECT_EQ(UFFDIO_MOVEV_UNREGISTERED, self->range.stop);
	EXPECT_EQ(0, self->range.moved);
	EXPECT_EQ(EINVAL, go_to(s, dst, &self->range, variant->pages,
				UFFDIO_MOVEV_MODE_WP | UFFDIO_MOVEV_MODE_RWP));
}

#ifdef UFFDIO_REGISTER_MODE_RWP
TEST_F_TIMEOUT(arm, accesses_where_those_are_tracked, PATIENCE)
{
	struct space *s = &self->space;
	char *dst;

	if (features_missing(UFFD_FEATURE_RWP, "no RWP"))
		SKIP(return, "no UFFDIO_REGISTER_MODE_RWP");
	space_close(s);
	ASSERT_EQ(0, space_open(s, AREA, UFFD_FEATURE_RWP));
	dst = s->dst + variant->shift * PAGE;
	ASSERT_EQ(0, make_kind(s, variant->kind, 0, variant->pages));
	ASSERT_EQ(0, uffd_register(s->uffd, s->dst, s->pages * PAGE,
				   UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_RWP));
	EXPECT_EQ(EAGAIN, go_to(s, dst, &self->range, variant->pages, UFFDIO_MOVEV_MODE_WP));
	EXPECT_EQ(UFFDIO_MOVEV_UNREGISTERED, self->range.stop);
	ASSERT_EQ(0, go_to(s, dst, &self->range, variant->pages, UFFDIO_MOVEV_MODE_RWP));
	EXPECT_TRUE(all_pages(dst, variant->pages, PM_UFFD_WP, PM_UFFD_WP));
}
#endif

/* Both areas are several mappings each, cut at different places. */
FIXTURE(span)
{
	struct space space;
	struct uffdio_movev_range range;
};

FIXTURE_SETUP(span)
{
	const char *missing = mode_missing(UFFD_FEATURE_MOVEV_SPAN);
	struct space *s = &self->space;

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(s, AREA, 0));
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 64));
	ASSERT_EQ(0, madvise(s->src + 5 * PAGE, 7 * PAGE, MADV_DONTFORK));
	ASSERT_EQ(0, madvise(s->src + 33 * PAGE, 20 * PAGE, MADV_DONTFORK));
	ASSERT_EQ(0, madvise(s->dst + 9 * PAGE, 4 * PAGE, MADV_DONTFORK));
}

FIXTURE_TEARDOWN(span)
{
	space_close(&self->space);
}

TEST_F_TIMEOUT(span, moves_all, PATIENCE)
{
	ASSERT_EQ(0, go(&self->space, &self->range, 64, UFFDIO_MOVEV_MODE_SPAN));
	EXPECT_EQ(64 * PAGE, self->range.moved);
	expect_there(_metadata, &self->space, 64);
}

TEST_F_TIMEOUT(span, needs_to_be_asked_for, PATIENCE)
{
	EXPECT_EQ(EAGAIN, go(&self->space, &self->range, 64, 0));
	EXPECT_EQ(UFFDIO_MOVEV_MAPPINGS, self->range.stop);
	EXPECT_EQ(0, self->range.moved);
}

TEST_F_TIMEOUT(span, ends_where_mappings_are_unlike, PATIENCE)
{
	struct space *s = &self->space;

	ASSERT_EQ(0, mprotect(s->src + 40 * PAGE, PAGE, PROT_READ));
	EXPECT_EQ(EAGAIN, go(s, &self->range, 64, UFFDIO_MOVEV_MODE_SPAN));
	EXPECT_EQ(UFFDIO_MOVEV_MAPPINGS, self->range.stop);
	EXPECT_EQ(40 * PAGE, self->range.moved);
	EXPECT_STREQ("", pages_differ(s->src + 40 * PAGE, 24, 41));
	expect_there(_metadata, s, 40);
}

TEST_F_TIMEOUT(span, ends_where_nothing_is_mapped, PATIENCE)
{
	struct space *s = &self->space;

	ASSERT_EQ(0, munmap(s->dst + (SHIFT + 20) * PAGE, PAGE));
	EXPECT_EQ(EAGAIN, go(s, &self->range, 64, UFFDIO_MOVEV_MODE_SPAN));
	EXPECT_EQ(UFFDIO_MOVEV_NO_DST, self->range.stop);
	EXPECT_EQ(20 * PAGE, self->range.moved);
	EXPECT_STREQ("", pages_differ(s->src + 20 * PAGE, 44, 21));
}

struct unmapper {
	char *tail;
	unsigned int delay;
};

static void *unmap_tail(void *arg)
{
	struct unmapper *u = arg;
	unsigned int i;

	for (i = 0; i < u->delay; i++)
		asm volatile("" : : : "memory");
	munmap(u->tail, 13 * PAGE);
	return NULL;
}

/* The destination ends farther and farther in front, while pages are copied to it. */
TEST_F_TIMEOUT(span, copies_nothing_to_where_nothing_is, PATIENCE)
{
	const __u64 mode = UFFDIO_MOVEV_MODE_SPAN | UFFDIO_MOVEV_MODE_COPY;
	struct space *s = &self->space;
	pthread_t thread;
	size_t round, i;
	pid_t child;

	for (round = 0; round < 50; round++) {
		struct unmapper u = { s->dst + (SHIFT + 3) * PAGE, random() % 100000 };

		ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, 16));
		child = share_with_child();
		ASSERT_LT(0, child);
		/* Every second one moves, so that the VMAs are locked anew for each. */
		for (i = 1; i < 16; i += 2)
			fill_pages(s->src + i * PAGE, 1, i + 1);
		ASSERT_EQ(0, pthread_create(&thread, NULL, unmap_tail, &u));
		go(s, &self->range, 16, mode);
		ASSERT_EQ(0, pthread_join(thread, NULL));
		end_child(child);
		i = self->range.moved / PAGE;
		EXPECT_STREQ("", pages_differ(s->src + i * PAGE, 16 - i, i + 1));
		EXPECT_STREQ("", pages_differ(s->dst + SHIFT * PAGE, i < 3 ? i : 3, 1));
		ASSERT_EQ(u.tail, mmap(u.tail, 13 * PAGE, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
		ASSERT_EQ(0, uffd_register(s->uffd, s->dst, s->pages * PAGE,
					   UFFDIO_REGISTER_MODE_MISSING));
		ASSERT_EQ(0, madvise(s->dst, s->pages * PAGE, MADV_DONTNEED));
	}
}

/* As many ranges as pages, so that some of them go together and some alone. */
TEST_F_TIMEOUT(span, with_short_ranges, PATIENCE)
{
	struct uffdio_movev_range ranges[8];
	struct space *s = &self->space;
	size_t i, done;

	for (i = 0; i < 8; i++)
		ranges[i] = (struct uffdio_movev_range) {
			.dst = (uintptr_t)s->dst + (SHIFT + 8 * i) * PAGE,
			.src = (uintptr_t)s->src + 8 * i * PAGE,
			.len = 8 * PAGE,
		};
	ASSERT_EQ(0, move_vector(s->uffd, ranges, 8, UFFDIO_MOVEV_MODE_SPAN, &done));
	EXPECT_EQ(8, done);
	for (i = 0; i < 8; i++)
		EXPECT_EQ(8 * PAGE, ranges[i].moved);
	expect_there(_metadata, s, 64);
}

TEST_HARNESS_MAIN
