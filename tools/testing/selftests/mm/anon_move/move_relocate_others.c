// SPDX-License-Identifier: GPL-2.0
/*
 * MREMAP_RELOCATE_ANON among others: what families share stays where it is, and who is at work on
 * the pages or on the address space finds one state or the other.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "../../kselftest_harness.h"
#include "relocate.h"
#include "rival.h"

#define AREA	(2 * PMD_PAGES)
#define ROUNDS	30

/* Pages of one process, when there are others. */
FIXTURE(family)
{
	char *src;
	char *dst;
};

FIXTURE_SETUP(family)
{
	const char *missing = relocate_missing();

	if (missing)
		SKIP(return, "%s", missing);
	self->src = map_alone(SOME);
	self->dst = reserve(SOME);
	ASSERT_NE(MAP_FAILED, self->dst);
	fill_pages(self->src, SOME, 1);
}

FIXTURE_TEARDOWN(family)
{
	munmap(self->src, SOME * PAGE);
	munmap(self->dst, SOME * PAGE);
}

/* Refused, with all as it was? */
static bool is_refused(char *dst, char *src)
{
	return relocate(dst, src, SOME, MUST) == -EFAULT && is_vma(src, SOME) &&
	       is_vma(dst, SOME) && !*pages_differ(src, SOME, 1);
}

static bool is_done(char *dst, char *src)
{
	return !relocate(dst, src, SOME, MUST) && is_vma(dst, SOME) &&
	       !*pages_differ(dst, SOME, 1) && !page_out(dst, SOME) &&
	       !*pages_differ(dst, SOME, 1);
}

/* Did the child end well? */
static bool ended(pid_t child)
{
	int status;

	return waitpid(child, &status, 0) == child && !status;
}

/* Neither may any of so many descendants, nor this process, while its parent is there. */
static bool all_are_refused(char *dst, char *src, int descendants)
{
	pid_t child;

	if (descendants) {
		child = fork();
		if (!child)
			_exit(!all_are_refused(dst, src, descendants - 1));
		if (!ended(child))
			return false;
	}
	return is_refused(dst, src);
}

TEST_F_TIMEOUT(family, F2_child_and_grandchild, PATIENCE)
{
	pid_t child = fork();

	if (!child)
		_exit(!all_are_refused(self->dst, self->src, 1));
	EXPECT_TRUE(ended(child));
	EXPECT_TRUE(is_done(self->dst, self->src));
}

/* What the parent of an orphan does when it is told to, and what the orphan then finds. */
struct talk {
	int asks[2];
	int told[2];
	int found[2];
};

static bool said(int *pipe)
{
	char byte;

	return read(pipe[0], &byte, 1) == 1 && byte == 'y';
}

static void say(int *pipe, bool yes)
{
	if (write(pipe[1], yes ? "y" : "n", 1) != 1)
		_exit(1);
}

/* Its child may get the anon_vma that its parent has left, which has no VMA any more. */
static void be_orphan(struct talk *t, char *dst, char *src)
{
	pid_t child = fork();

	if (!child)
		_exit(!is_refused(dst, src));
	say(t->asks, ended(child) && is_refused(dst, src));
	if (said(t->told))
		say(t->found, is_done(dst, src));
	_exit(0);
}

TEST_F_TIMEOUT(family, F3_D12_orphan, PATIENCE)
{
	struct talk t;
	pid_t child;

	ASSERT_EQ(0, pipe(t.asks) | pipe(t.told) | pipe(t.found));
	child = fork();
	if (!child) {
		if (!fork())
			be_orphan(&t, self->dst, self->src);
		_exit(0);
	}
	ASSERT_TRUE(ended(child));
	close(t.asks[1]);
	close(t.found[1]);
	EXPECT_TRUE(said(t.asks));
	/* It has none of the pages any more when they all have been copied here. */
	fill_pages(self->src, SOME, 1);
	say(t.told, true);
	EXPECT_TRUE(said(t.found));
	EXPECT_TRUE(is_done(self->dst, self->src));
	close(t.asks[0]);
	close(t.told[0]);
	close(t.told[1]);
	close(t.found[0]);
}

/* What has copied all it has inherited can be at one with what comes beside it. */
TEST_F_TIMEOUT(family, A15_child_merges, PATIENCE)
{
	char *beside = self->dst + SOME / 2 * PAGE;
	pid_t child = fork();

	if (!child) {
		fill_pages(self->src, SOME, 1);
		if (relocate(self->dst, self->src, SOME / 2, MUST))
			_exit(1);
		if (mmap(beside, SOME / 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			 -1, 0) != beside)
			_exit(2);
		_exit(!is_vma(self->dst, SOME) || *pages_differ(self->dst, SOME / 2, 1));
	}
	EXPECT_TRUE(ended(child));
}

/* Both pages are one, which this mapping has twice. */
TEST(D8_merged_by_ksm)
{
	const char *missing = relocate_missing();
	struct space s;
	int i;

	missing = missing ? missing : ksm_missing();
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&s, PMD_PAGES, 0));
	ASSERT_EQ(0, make_ksm_pair(&s));
	ASSERT_EQ(0, relocate(s.dst, s.src, 2, MUST));
	for (i = 0; i < 2; i++)
		expect_whole(_metadata, s.dst + i * PAGE, 1, 1);
	fill_pages(s.dst + PAGE, 1, 2);
	expect_whole(_metadata, s.dst, 2, 1);
	space_close(&s);
}

/* Others lock the folios, take their entries away for a while, and look for them. */
FIXTURE(busy)
{
	char *ends[2];
};

FIXTURE_VARIANT(busy)
{
	enum page_kind_id kind;
};

FIXTURE_VARIANT_ADD(busy, small) { KIND_SMALL };
FIXTURE_VARIANT_ADD(busy, mthp) { KIND_MTHP };
FIXTURE_VARIANT_ADD(busy, thp) { KIND_THP };

FIXTURE_SETUP(busy)
{
	const char *missing = relocate_missing();
	struct space s;

	missing = missing ? missing : kind_missing(variant->kind);
	missing = missing ? missing : swap_missing();
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&s, AREA, 0));
	ASSERT_EQ(0, make_kind(&s, variant->kind, 0, AREA));
	self->ends[0] = reserve(AREA + 1);
	self->ends[1] = reserve(AREA + 1);
	ASSERT_EQ(0, relocate(self->ends[0], s.src, AREA, MUST));
	space_close(&s);
}

FIXTURE_TEARDOWN(busy)
{
	munmap(self->ends[0], (AREA + 1) * PAGE);
	munmap(self->ends[1], (AREA + 1) * PAGE);
}

static void reclaim_once(struct rival *r)
{
	char **ends = r->arg;

	r->hits += !madvise(ends[r->rounds & 1], AREA * PAGE, MADV_PAGEOUT);
}

static void compact_once(struct rival *r)
{
	r->hits += !write_text("/proc/sys/vm/compact_memory", "1");
}

/* GUP-fast, and no lock that the moves hold: through a pipe, page by page. */
static void pin_once(struct rival *r)
{
	char **ends = r->arg, page[PAGE];
	size_t i = r->rounds % AREA;
	struct iovec iov = { ends[r->rounds & 1] + i * PAGE, PAGE };
	static int fds[2];

	if (!fds[1] && pipe(fds))
		return;
	if (vmsplice(fds[1], &iov, 1, SPLICE_F_NONBLOCK) == (ssize_t)PAGE) {
		r->failed += read(fds[0], page, PAGE) != (ssize_t)PAGE;
		r->hits++;
	}
}

/* Where the pages are: the other end is not mapped, or is for a moment. */
static char *end_with_pages(char **ends)
{
	char *at[2] = { ends[0], ends[1] + PAGE };
	int i;

	for (i = 0; i < 2; i++)
		if (!msync(at[i], AREA * PAGE, MS_ASYNC))
			return at[i];
	return NULL;
}

/* A child has all the pages at one address, whenever it was forked. */
static void fork_once(struct rival *r)
{
	char **ends = r->arg, *at;
	pid_t child = fork();

	if (!child) {
		at = end_with_pages(ends);
		_exit(!at || *pages_differ(at, AREA, 1));
	}
	r->failed += child < 0 || !ended(child);
	r->hits++;
}

/* Fails where nothing is mapped, and nobody writes meanwhile. */
static void protect_once(struct rival *r)
{
	char **ends = r->arg, *at = r->rounds & 1 ? ends[1] + PAGE : ends[0];

	r->hits += !mprotect(at, AREA * PAGE, PROT_READ);
	mprotect(at, AREA * PAGE, RW);
}

/* GUP drops the mmap_lock while it waits for a page to be read: the folio stays locked. */
static void read_once(struct rival *r)
{
	char **ends = r->arg;

	madvise(ends[r->rounds & 1], AREA * PAGE, MADV_PAGEOUT);
	pin_once(r);
}

static void swap_off_and_on(struct rival *r)
{
	char **ends = r->arg, path[80] = "/dev/";

	if (!swap_device(path + strlen(path)))
		return;
	madvise(ends[r->rounds & 1], AREA * PAGE, MADV_PAGEOUT);
	if (swapoff(path))
		return;
	r->hits++;
	r->failed += !!swapon(path, 0);
}

static void relocate_against(struct __test_metadata *_metadata, char **ends, int flags,
			     void (*once)(struct rival *r))
{
	struct rival r = { .once = once, .arg = ends };
	int i;

	start(_metadata, &r);
	for (i = 0; goes_on(&r, i, ROUNDS); i++) {
		/* To another place in its page table each time. */
		ASSERT_EQ(0, relocate(ends[1] + PAGE, ends[0], AREA, flags));
		ASSERT_EQ(0, relocate(ends[0], ends[1] + PAGE, AREA, flags));
	}
	stop(_metadata, &r);
	expect_whole(_metadata, ends[0], AREA, 1);
}

TEST_F_TIMEOUT(busy, D16_reclaim, PATIENCE)
{
	relocate_against(_metadata, self->ends, MUST, reclaim_once);
}

TEST_F_TIMEOUT(busy, D5_compaction, PATIENCE)
{
	relocate_against(_metadata, self->ends, MUST, compact_once);
}

TEST_F_TIMEOUT(busy, D2_references, PATIENCE)
{
	relocate_against(_metadata, self->ends, MUST, pin_once);
}

/* What a child has must not be relocated, and is moved as it always was. */
TEST_F_TIMEOUT(busy, A14_fork, PATIENCE)
{
	relocate_against(_metadata, self->ends, MAY, fork_once);
}

TEST_F_TIMEOUT(busy, A14_mprotect, PATIENCE)
{
	relocate_against(_metadata, self->ends, MUST, protect_once);
}

TEST_F_TIMEOUT(busy, A14_swapoff, PATIENCE)
{
	relocate_against(_metadata, self->ends, MUST, swap_off_and_on);
}

TEST_F_TIMEOUT(busy, D15_locked_by_a_reader, PATIENCE)
{
	relocate_against(_metadata, self->ends, MUST, read_once);
}

TEST_HARNESS_MAIN
