// SPDX-License-Identifier: GPL-2.0
/* Differential test: makes the pages of the world, each of the kind the plan says. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "differential.h"

#define KPF_COMPOUND	(BIT_ULL(15) | BIT_ULL(16))

/* Each call's memory is built in a process of its own, so this is one process's. */
static unsigned int number;

/* For the whole world at once, so that no VMA is split. */
static void allow_huge(bool allow)
{
	advise(0, WORLD_PAGES, allow ? MADV_HUGEPAGE : MADV_NOHUGEPAGE, "MADV_HUGEPAGE");
}

/* The first word tells the page apart from every other. Odd, and above all CONTENT_* values. */
static __u64 pattern_of(unsigned int call, int page)
{
	return (__u64)(call + 1) << 32 | page << 1 | 1;
}

/**
 * planned_content() - what a page of the plan holds before the call
 * @plan: the call
 * @page: in the world
 *
 * Return: first word of the page's pattern or %CONTENT_ZERO.
 */
__u64 planned_content(const struct plan *plan, int page)
{
	enum kind kind = plan->kind[page];

	return kind == ZERO || kind == HUGE_ZERO ? CONTENT_ZERO : pattern_of(plan->number, page);
}

static void fill(int first, int count)
{
	int page;

	for (page = first; page < first + count; page++) {
		__u64 *words = (__u64 *)page_at(page);
		__u64 word = pattern_of(number, page);
		size_t i;

		for (i = 0; i < PAGE_BYTES / sizeof(word); i++, word += PATTERN_STEP)
			words[i] = word;
	}
}

static void fault_for_reading(int first, int count)
{
	int page;

	for (page = first; page < first + count; page++)
		__atomic_load_n(page_at(page), __ATOMIC_RELAXED);
}

static void build_small(int first, int count)
{
	allow_huge(false);
	fill(first, count);
}

static void build_zero(int first, int count)
{
	allow_huge(false);
	fault_for_reading(first, count);
}

static void build_swapped(int first, int count)
{
	build_small(first, count);
	advise(first, count, MADV_PAGEOUT, "MADV_PAGEOUT");
}

static void build_cached(int first, int count)
{
	build_swapped(first, count);
	advise(first, count, MADV_WILLNEED, "MADV_WILLNEED");
}

static void build_read_back(int first, int count)
{
	build_swapped(first, count);
	fault_for_reading(first, count);
}

/* A fault makes a huge page where there is no page table, and smaller folios where there is. */
static void build_mthp(int first, int count)
{
	int page;

	allow_huge(false);
	for (page = first; page < first + count; page += HUGE_PAGES - page % HUGE_PAGES) {
		*page_at(page) = 1;
		advise(page, 1, MADV_DONTNEED, "MADV_DONTNEED");
	}
	allow_huge(true);
	fill(first, count);
}

static void build_mthp_swapped(int first, int count)
{
	build_mthp(first, count);
	advise(first, count, MADV_PAGEOUT, "MADV_PAGEOUT");
}

static void build_thp(int first, int count)
{
	allow_huge(true);
	fill(first, count);
}

static void build_huge_zero(int first, int count)
{
	allow_huge(true);
	fault_for_reading(first, count);
}

static void build_collapsed(int first, int count)
{
	int tries = 5;

	build_small(first, count);
	allow_huge(true);
	while (madvise(page_at(first), count * PAGE_BYTES, MADV_COLLAPSE))
		if (errno != EAGAIN || !--tries)
			fail("MADV_COLLAPSE");
}

/* Which half stays behind at the fork; this also maps the folio by PTEs. */
static void build_half_shared(int first, int count, int private_half)
{
	int end = first + count;

	build_thp(first, count);
	for (first += private_half * HUGE_PAGES / 2; first < end; first += HUGE_PAGES)
		advise(first, HUGE_PAGES / 2, MADV_DONTFORK, "MADV_DONTFORK");
}

static void build_head_shared(int first, int count)
{
	build_half_shared(first, count, 1);
}

static void build_tail_shared(int first, int count)
{
	build_half_shared(first, count, 0);
}

static const struct {
	void (*build)(int first, int count);
	__u64 state;	/* of its first page, or the plan did not work out */
	bool shared;	/* with a child, from a fork right after it is built */
} kinds[NR_KINDS] = {
	[SMALL]		= { build_small, PM_PRESENT | PM_EXCLUSIVE },
	[ZERO]		= { build_zero, PM_PRESENT },
	[SWAPPED]	= { build_swapped, PM_SWAPPED },
	[CACHED]	= { build_cached, PM_SWAPPED },
	[READ_BACK]	= { build_read_back, PM_PRESENT | PM_EXCLUSIVE },
	[MTHP]		= { build_mthp, PM_PRESENT | STATE_LARGE },
	[MTHP_SWAPPED]	= { build_mthp_swapped, PM_SWAPPED },
	[THP]		= { build_thp, PM_PRESENT | STATE_HUGE },
	[COLLAPSED]	= { build_collapsed, PM_PRESENT | STATE_HUGE },
	[HUGE_ZERO]	= { build_huge_zero, PM_PRESENT | STATE_HUGE },
	[SHARED]	= { build_small, PM_PRESENT, true },
	[SHARED_THP]	= { build_thp, PM_PRESENT | STATE_HUGE, true },
	[HEAD_SHARED]	= { build_head_shared, PM_PRESENT | STATE_LARGE, true },
	[TAIL_SHARED]	= { build_tail_shared, PM_PRESENT | STATE_LARGE, true },
};

const char *const kind_names[NR_KINDS] = {
	[HOLE] = "hole", [SMALL] = "small", [ZERO] = "zero", [SWAPPED] = "swapped",
	[CACHED] = "swap cache", [READ_BACK] = "read back", [MTHP] = "64K",
	[MTHP_SWAPPED] = "64K swapped", [THP] = "2M", [COLLAPSED] = "2M collapsed",
	[HUGE_ZERO] = "huge zero", [SHARED] = "fork-shared", [SHARED_THP] = "2M fork-shared",
	[HEAD_SHARED] = "2M first half fork-shared",
	[TAIL_SHARED] = "2M second half fork-shared",
};

/* Pages of the folio that a page of this kind is part of. */
const int kind_pages[NR_KINDS] = {
	[HOLE] = 1, [SMALL] = 1, [ZERO] = 1, [SWAPPED] = 1, [CACHED] = 1, [READ_BACK] = 1,
	[MTHP] = 16, [MTHP_SWAPPED] = 16, [SHARED] = 1, [THP] = HUGE_PAGES,
	[COLLAPSED] = HUGE_PAGES, [HUGE_ZERO] = HUGE_PAGES, [SHARED_THP] = HUGE_PAGES,
	[HEAD_SHARED] = HUGE_PAGES, [TAIL_SHARED] = HUGE_PAGES,
};

/* The frame number alone does not tell that a folio is a large one. */
static bool is_large(int page)
{
	int kpageflags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	off_t offset = read_frame(page) * sizeof(__u64);
	__u64 flags = 0;

	if (kpageflags < 0 || pread(kpageflags, &flags, sizeof(flags), offset) < 0)
		fail("/proc/kpageflags");
	close(kpageflags);
	return flags & KPF_COMPOUND;
}

static void check_made(int page, enum kind kind)
{
	__u64 wanted = kinds[kind].state, state = read_state(page);

	if (wanted & STATE_LARGE && is_large(page))
		state |= STATE_LARGE;
	if ((state & wanted) == wanted)
		return;
	errno = EAGAIN;
	fail(kind_names[kind]);
}

static void build_kinds(const struct plan *plan, bool shared)
{
	int first, end;

	for (first = 0; first < WORLD_PAGES; first = end) {
		enum kind kind = plan->kind[first];

		for (end = first + 1; end < WORLD_PAGES && plan->kind[end] == kind; end++)
			;
		if (!kinds[kind].build || kinds[kind].shared != shared)
			continue;
		kinds[kind].build(first, end - first);
		check_made(first, kind);
	}
}

static bool any_shared(const struct plan *plan)
{
	int page;

	for (page = 0; page < WORLD_PAGES; page++)
		if (kinds[plan->kind[page]].shared)
			return true;
	return false;
}

/*
 * With every other call the child is gone at once: nobody else maps the pages
 * then, and yet they are not marked exclusive.
 */
static pid_t share(bool keep)
{
	pid_t sharer = fork();

	if (sharer < 0)
		fail("fork");
	if (!sharer) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (keep)
			pause();
		_exit(0);
	}
	if (!keep)
		waitpid(sharer, NULL, 0);
	advise(0, WORLD_PAGES, MADV_DOFORK, "MADV_DOFORK");
	return keep ? sharer : 0;
}

/**
 * build_world() - maps the world and makes the pages that a plan asks for
 * @plan: the call
 *
 * What is shared is made first: nothing else may be there at the fork.
 *
 * Return: a process to kill in the end, as it shares pages, or 0.
 */
pid_t build_world(const struct plan *plan)
{
	pid_t sharer = 0;

	number = plan->number;
	if (mmap(page_at(0), WORLD_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
		 -1, 0) != page_at(0))
		fail("mmap");
	if (any_shared(plan)) {
		build_kinds(plan, true);
		sharer = share(plan->number % 2);
	}
	build_kinds(plan, false);
	return sharer;
}
