// SPDX-License-Identifier: GPL-2.0
/* Differential test: sets the scene of one call, has it made, records what came of it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "differential.h"

#define PM_PFN		(PM_SOFT_DIRTY - 1)

/* Each call is made by a process of its own, so these are one process's. */
static const struct plan *plan;
static int pagemap;
static int uffd[2];

/**
 * fail() - ends the process: the call can't be made as planned
 * @what: what went wrong; errno says why
 */
void fail(const char *what)
{
	fprintf(stderr, "differential: call %u: %s: %s\n", plan->number, what, strerror(errno));
	_exit(1);
}

/**
 * advise() - madvise() that works or ends the process
 * @first: first page
 * @count: pages
 * @advice: MADV_*
 * @what: its name
 */
void advise(int first, int count, int advice, const char *what)
{
	if (madvise(page_at(first), count * PAGE_BYTES, advice))
		fail(what);
}

static void read_pagemap(struct span span, __u64 *entries)
{
	size_t bytes = span.count * sizeof(*entries);
	off_t offset = (WORLD_START / PAGE_BYTES + span.first) * sizeof(*entries);

	if (pread(pagemap, entries, bytes, offset) != (ssize_t)bytes)
		fail("/proc/self/pagemap");
}

static void mark_huge(int first, int count, __u64 *states)
{
	struct page_region regions[64];
	struct pm_scan_arg arg = {
		.size = sizeof(arg), .start = (__u64)page_at(first),
		.end = (__u64)page_at(first + count), .vec = (__u64)regions,
		.vec_len = ARRAY_SIZE(regions), .category_mask = PAGE_IS_HUGE,
		.return_mask = PAGE_IS_HUGE,
	};
	int i, found = ioctl(pagemap, PAGEMAP_SCAN, &arg);

	if (found < 0)
		fail("PAGEMAP_SCAN");
	for (i = 0; i < found; i++) {
		int page = (regions[i].start - WORLD_START) / PAGE_BYTES;
		int end = (regions[i].end - WORLD_START) / PAGE_BYTES;

		for (; page < end; page++)
			states[page] |= STATE_HUGE;
	}
}

/* Empty entries all look alike, whether they lie in a page table or there is none. */
static void read_states(struct span span, __u64 *states)
{
	int page;

	read_pagemap(span, states + span.first);
	for (page = span.first; page < span.first + span.count; page++)
		states[page] &= states[page] & PM_MAPPED ? PM_COMPARED : 0;
	mark_huge(span.first, span.count, states);
}

/**
 * read_state() - state of one page
 * @page: in the world
 *
 * Return: PM_* and %STATE_HUGE.
 */
__u64 read_state(int page)
{
	static __u64 states[WORLD_PAGES];

	read_states((struct span){ page, 1 }, states);
	return states[page];
}

/**
 * read_frame() - frame number of a page that is present
 * @page: in the world
 *
 * Return: the number, 0 for who may not know it.
 */
__u64 read_frame(int page)
{
	__u64 entry;

	read_pagemap((struct span){ page, 1 }, &entry);
	return entry & PM_PFN;
}

static void remap(enum side side, int flags, int fd)
{
	struct span vma = vma_of(plan, side);

	if (mmap(page_at(vma.first), vma.count * PAGE_BYTES, PROT_READ | PROT_WRITE,
		 flags | MAP_FIXED | MAP_NORESERVE, fd, 0) == MAP_FAILED)
		fail("mmap of another kind");
}

static void remap_shmem(enum side side)
{
	remap(side, MAP_SHARED | MAP_ANONYMOUS, -1);
}

static void remap_hugetlb(enum side side)
{
	remap(side, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1);
}

static void remap_file(enum side side)
{
	int fd = memfd_create("differential", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, WORLD_PAGES * PAGE_BYTES))
		fail("memfd");
	remap(side, MAP_PRIVATE, fd);
}

static void remap_droppable(enum side side)
{
	remap(side, MAP_DROPPABLE | MAP_ANONYMOUS, -1);
}

static void protect(enum side side, int prot)
{
	struct span vma = vma_of(plan, side);

	if (mprotect(page_at(vma.first), vma.count * PAGE_BYTES, prot))
		fail("mprotect");
}

static void make_readonly(enum side side)
{
	protect(side, PROT_READ);
}

static void make_both_readonly(enum side side)
{
	protect(side, PROT_READ);
	protect(!side, PROT_READ);
}

static void make_executable(enum side side)
{
	protect(side, PROT_READ | PROT_WRITE | PROT_EXEC);
}

static void lock(enum side side)
{
	struct span vma = vma_of(plan, side);

	if (mlock2(page_at(vma.first), vma.count * PAGE_BYTES, MLOCK_ONFAULT))
		fail("mlock2");
}

static void unmap_middle(enum side side)
{
	struct span range = plan->range[side];

	if (munmap(page_at(range.first + range.count / 2), PAGE_BYTES))
		fail("munmap");
}

static const struct {
	void (*apply)(enum side side);
	enum side side;
} world_twists[NR_TWISTS] = {
	[SRC_GAP]	= { unmap_middle, SRC },
	[DST_GAP]	= { unmap_middle, DST },
	[SRC_SHMEM]	= { remap_shmem, SRC },
	[DST_SHMEM]	= { remap_shmem, DST },
	[SRC_FILE]	= { remap_file, SRC },
	[DST_FILE]	= { remap_file, DST },
	[SRC_HUGETLB]	= { remap_hugetlb, SRC },
	[DST_HUGETLB]	= { remap_hugetlb, DST },
	[SRC_READONLY]	= { make_readonly, SRC },
	[DST_READONLY]	= { make_readonly, DST },
	[BOTH_READONLY]	= { make_both_readonly, SRC },
	[SRC_EXEC]	= { make_executable, SRC },
	[SRC_LOCKED]	= { lock, SRC },
	[DST_LOCKED]	= { lock, DST },
	[SRC_DROPPABLE]	= { remap_droppable, SRC },
	[DST_DROPPABLE]	= { remap_droppable, DST },
};

static void twist_world(enum twist twist)
{
	if (world_twists[twist].apply)
		world_twists[twist].apply(world_twists[twist].side);
}

static int open_uffd(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_MOVE | UFFD_FEATURE_SIGBUS | UFFD_FEATURE_POISON |
			    UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_UNPOPULATED,
	};
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		fail("userfaultfd");
	return fd;
}

static void register_vma(enum side side, int fd)
{
	struct span vma = vma_of(plan, side), range = plan->range[side];
	struct uffdio_register reg = { .mode = plan->registered[side] };

	if (side == DST && has_twist(plan, DST_HALF_REGISTERED))
		vma.count = range.first + (range.count + 1) / 2 - vma.first;
	reg.range.start = (__u64)page_at(vma.first);
	reg.range.len = vma.count * PAGE_BYTES;
	/* Not every base takes droppable memory; unregistered, it is EINVAL for both engines. */
	if (ioctl(fd, UFFDIO_REGISTER, &reg) && !has_twist(plan, DST_DROPPABLE))
		fail("UFFDIO_REGISTER");
}

static void register_world(void)
{
	uffd[0] = open_uffd();
	uffd[1] = open_uffd();
	if (plan->registered[DST] && !has_twist(plan, DST_UNREGISTERED))
		register_vma(DST, uffd[0]);
	if (plan->registered[SRC])
		register_vma(SRC, uffd[plan->src_fd]);
}

static int uffd_of(int page)
{
	struct span dst = vma_of(plan, DST);

	return page >= dst.first && page < dst.first + dst.count ? uffd[0] : uffd[plan->src_fd];
}

static void punch(struct span span)
{
	advise(span.first, span.count, MADV_DONTNEED, "MADV_DONTNEED");
}

static void free_lazily(struct span span)
{
	advise(span.first, span.count, MADV_FREE, "MADV_FREE");
}

/* A VMA boundary inside a huge page splits its PMD, and stays split when the VMAs are one again. */
static void map_by_ptes(struct span span)
{
	char *start = page_at(span.first);

	if (mprotect(start, span.count * PAGE_BYTES, PROT_READ) ||
	    mprotect(start, span.count * PAGE_BYTES, PROT_READ | PROT_WRITE))
		fail("mprotect");
}

static void write_protect(struct span span)
{
	struct uffdio_writeprotect arg = {
		.range = { (__u64)page_at(span.first), span.count * PAGE_BYTES },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	if (ioctl(uffd_of(span.first), UFFDIO_WRITEPROTECT, &arg))
		fail("UFFDIO_WRITEPROTECT");
}

static void poison(struct span span)
{
	struct uffdio_poison arg = {
		.range = { (__u64)page_at(span.first), span.count * PAGE_BYTES },
	};

	punch(span);
	if (ioctl(uffd_of(span.first), UFFDIO_POISON, &arg))
		fail("UFFDIO_POISON");
}

static void (*const touches[NR_TOUCHES])(struct span span) = {
	[PUNCH] = punch, [LAZY_FREE] = free_lazily, [MAP_BY_PTES] = map_by_ptes,
	[WRITE_PROTECT] = write_protect, [POISON] = poison,
};

static void clear_soft_dirty(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "4", 1) != 1)
		fail("/proc/self/clear_refs");
	close(fd);
}

/* Everything up to the call. Returns what build_world() does. */
static pid_t prepare(void)
{
	pid_t sharer = build_world(plan);
	int i;

	for (i = 0; i < 2; i++)
		twist_world(plan->twists[i]);
	register_world();
	for (i = 0; i < plan->touches; i++)
		touches[plan->touched[i].touch](plan->touched[i].span);
	if (plan->clear_soft_dirty)
		clear_soft_dirty();
	if (plan->locked) {
		lock(SRC);
		lock(DST);
	}
	return sharer;
}

static int descriptor(int foreign_fd)
{
	if (has_twist(plan, FD_FOREIGN))
		return foreign_fd;
	return uffd[has_twist(plan, FD_OTHER)];
}

static sigjmp_buf sigbus_exit;

static void on_sigbus(int signal)
{
	siglongjmp(sigbus_exit, signal);
}

static __u64 read_content(int page)
{
	const __u64 *words = (const __u64 *)page_at(page);
	__u64 first, step;
	size_t i;

	if (sigsetjmp(sigbus_exit, 0))
		return CONTENT_SIGBUS;
	first = words[0];
	step = first ? PATTERN_STEP : 0;
	for (i = 1; i < PAGE_BYTES / sizeof(first); i++)
		if (words[i] != first + i * step)
			return CONTENT_CORRUPT;
	return first;
}

static void read_contents(struct outcome *out, struct span span)
{
	int page;

	/* The descriptors have the SIGBUS feature: no fault waits to be resolved. */
	for (page = span.first; page < span.first + span.count; page++)
		if (out->after[page] & PM_MAPPED)
			out->content[page] = read_content(page);
}

/**
 * run_plan() - builds the memory, has the call made, records what came of it
 * @call: what to do
 * @out: what came of it, in memory that outlives this process
 * @foreign_fd: a userfaultfd of another process
 * @ours: the second of both ways, see make_call()
 *
 * For a process of its own: it maps the world and leaves it behind.
 */
void run_plan(const struct plan *call, struct outcome *out, int foreign_fd, bool ours)
{
	struct sigaction action = { .sa_handler = on_sigbus, .sa_flags = SA_NODEFER };
	enum side side;
	pid_t sharer;

	plan = call;
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pagemap < 0)
		fail("/proc/self/pagemap");
	sigaction(SIGBUS, &action, NULL);
	sharer = prepare();
	for (side = SRC; side <= DST; side++)
		read_states(plan->window[side], out->before);
	out->made = true;
	make_call(plan, descriptor(foreign_fd), ours, out);
	for (side = SRC; side <= DST; side++)
		read_states(plan->window[side], out->after);
	for (side = SRC; side <= DST; side++)
		read_contents(out, plan->window[side]);
	if (sharer) {
		kill(sharer, SIGKILL);
		waitpid(sharer, NULL, 0);
	}
	out->finished = true;
}
