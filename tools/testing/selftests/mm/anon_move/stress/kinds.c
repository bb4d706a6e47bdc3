// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of every kind: those of page_kinds.c, and what takes another thread,
 * process or subsystem to be.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <liburing.h>
#include <linux/mempolicy.h>

#include "stress.h"

#define NUMA_BALANCING	"/proc/sys/kernel/numa_balancing"
#define NODE1		"/sys/devices/system/node/node1"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102	/* <linux/mman.h> of 6.13 and later */
#endif

#define MERGED		16UL	/* pages that get a twin */
#define TRIES		500	/* of 10 ms at least, for what takes a while to happen */

/* The switches that make large folios are the machine's, so one lane makes pages at a time. */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t hinting = PTHREAD_MUTEX_INITIALIZER;

static size_t merged(const struct plan *p)
{
	return p->len < MERGED ? p->len : MERGED;
}

/**
 * is_merged() - is it a page that KSM has merged?
 * @p: the plan
 * @column: its column
 *
 * Return: true if it is.
 */
bool is_merged(const struct plan *p, size_t column)
{
	return p->kind == STRESS_KSM && column - p->src < merged(p);
}

static bool are_merged(const struct arena *a)
{
	const char *first = slot(a, AREA_SRC, a->plan.src);
	__u64 ours[MERGED], theirs[MERGED];
	size_t pages = merged(&a->plan);

	return !look(first, pages, ours) && !look(a->twins, pages, theirs) &&
	       first_unlike(ours, theirs, pages, PM_PRESENT | PM_PFN) == pages;
}

static int make_merged(struct arena *a)
{
	size_t pages = merged(&a->plan), len = a->plan.area * PAGE;
	int tries;

	if (map_at(a->twins, pages * PAGE))
		return -1;
	fill_pages(a->twins, pages, page_id(a, a->plan.src, AREA_SRC));
	if (madvise(a->twins, pages * PAGE, MADV_MERGEABLE) ||
	    madvise(a->area[AREA_SRC], len, MADV_MERGEABLE) ||
	    madvise(a->area[AREA_DST], len, MADV_MERGEABLE))
		return -1;
	for (tries = 0; tries < TRIES && !are_merged(a); tries++)
		usleep(10000);
	return are_merged(a) ? 0 : -1;
}

/* Page tables are not asked: nothing but a fault tells a hint from an ordinary entry. */
static bool had_hint(const char *addr)
{
	struct rusage before, after;

	getrusage(RUSAGE_THREAD, &before);
	touch(addr);
	getrusage(RUSAGE_THREAD, &after);
	return after.ru_minflt > before.ru_minflt;
}

/*
 * The kernel scans for threads that have used a CPU for a while, and if there are
 * two at least. With all rivals of all lanes around it that takes a priority.
 */
static void *use_cpu(void *stop)
{
	setpriority(PRIO_PROCESS, gettid(), -20);
	while (!__atomic_load_n((bool *)stop, __ATOMIC_RELAXED))
		;
	return NULL;
}

/* The scan goes on in address order, so when the last page has a hint all have. */
static bool wait_for_hints(const char *last)
{
	bool stop = false, hinted = false;
	pthread_t thread;
	int tries;

	if (pthread_create(&thread, NULL, use_cpu, &stop))
		return false;
	for (tries = 0; tries < TRIES && !hinted; tries++) {
		usleep(10000);
		hinted = had_hint(last);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	return hinted;
}

static int make_hinted(struct arena *a)
{
	bool hinted;

	pthread_mutex_lock(&hinting);
	write_text(NUMA_BALANCING, "1");
	hinted = wait_for_hints(a->area[AREA_SRC] + (a->plan.area - 1) * PAGE);
	write_text(NUMA_BALANCING, "0");
	pthread_mutex_unlock(&hinting);
	return hinted ? 0 : -1;
}

static int lock_other(struct arena *a)
{
	return mlock2(a->area[AREA_OTHER], a->plan.area * PAGE, MLOCK_ONFAULT);
}

static int share(struct arena *a)
{
	a->child = share_with_child();
	return a->child > 0 ? 0 : -1;
}

static struct iovec in_range_of(const struct arena *a, const struct span *span)
{
	const struct plan *p = &a->plan;
	size_t first = span->first > p->src ? span->first : p->src;
	size_t end = span->first + span->count, last = p->src + p->len;

	if (end > last)
		end = last;
	return (struct iovec){
		.iov_base = slot(a, AREA_SRC, first),
		.iov_len = (end - first) * PAGE,
	};
}

static int pin(struct arena *a)
{
	struct iovec iov[ARRAY_SIZE(a->plan.spans)];
	struct io_uring *ring = malloc(sizeof(*ring));
	unsigned int i;

	if (!ring || io_uring_queue_init(4, ring, 0)) {
		free(ring);
		return -1;
	}
	a->pins = ring;
	for (i = 0; i < a->plan.nr_spans; i++)
		iov[i] = in_range_of(a, &a->plan.spans[i]);
	return io_uring_register_buffers(ring, iov, a->plan.nr_spans);
}

/**
 * migrate_some() - migrate a few pages from one node to the other, or back
 * @a: the arena
 * @random: state of the generator
 *
 * Return: true if at least one has got there.
 */
bool migrate_some(struct arena *a, __u64 *random)
{
	void *pages[16];
	int nodes[16], status[16], node = draw_below(random, 2);
	bool any = false;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		pages[i] = slot(a, draw_below(random, AREAS), draw_column(&a->plan, random));
		nodes[i] = node;
		status[i] = -1;
	}
	syscall(__NR_move_pages, 0, ARRAY_SIZE(pages), pages, nodes, status, MPOL_MF_MOVE);
	for (i = 0; i < ARRAY_SIZE(pages); i++)
		any |= status[i] == node;
	return any;
}

static void *migrate(void *arg)
{
	struct arena *a = arg;
	__u64 random = a->plan.random;

	while (__atomic_load_n(&a->migrates, __ATOMIC_RELAXED))
		migrate_some(a, &random);
	return NULL;
}

static int keep_migrating(struct arena *a)
{
	a->migrates = true;
	if (pthread_create(&a->migrating, NULL, migrate, a))
		a->migrates = false;
	return a->migrates ? 0 : -1;
}

static int write_protect(struct arena *a)
{
	unsigned int i;
	int failed = 0;

	for (i = 0; i < a->plan.nr_spans; i++)
		failed |= uffd_writeprotect(a->space.uffd,
					    slot(a, AREA_SRC, a->plan.spans[i].first),
					    a->plan.spans[i].count * PAGE);
	return failed;
}

/**
 * is_marker() - is a marker, poison or a guard, in the page's place?
 * @p: the plan
 * @column: its column
 *
 * At every other one, so that there is something to move too.
 *
 * Return: true if there is.
 */
bool is_marker(const struct plan *p, size_t column)
{
	return (p->kind == STRESS_POISONED || p->kind == STRESS_GUARD) && in_range(p, column) &&
	       populated(p, column) && column % 2;
}

static int put_markers(struct arena *a, int (*put)(const struct arena *a, char *page))
{
	size_t column;

	for (column = 0; column < a->plan.area; column++)
		if (is_marker(&a->plan, column) && put(a, slot(a, AREA_SRC, column)))
			return -1;
	return 0;
}

static int guard_page(const struct arena *a, char *page)
{
	return madvise(page, PAGE, MADV_GUARD_INSTALL);
}

static int guard(struct arena *a)
{
	return put_markers(a, guard_page);
}

static int poison_page(const struct arena *a, char *page)
{
	struct uffdio_poison arg = { .range = { .start = (uintptr_t)page, .len = PAGE } };

	madvise(page, PAGE, MADV_DONTNEED);
	return ioctl(a->space.uffd, UFFDIO_POISON, &arg);
}

static int poison(struct arena *a)
{
	return put_markers(a, poison_page);
}

static const char *uring_missing(void)
{
	struct io_uring ring;

	if (io_uring_queue_init(4, &ring, 0))
		return "no io_uring in this kernel";
	io_uring_queue_exit(&ring);
	return NULL;
}

static const char *node_missing(void)
{
	return access(NODE1, F_OK) ? "one NUMA node only (numa=fake=2 makes two)" : NULL;
}

static const char *hints_missing(void)
{
	if (access(NUMA_SCAN, W_OK))
		return "no " NUMA_SCAN " (CONFIG_NUMA_BALANCING, CONFIG_SCHED_DEBUG)";
	return node_missing();
}

static const char *tracking_missing(void)
{
	return features_missing(UFFD_FEATURE_WP_ASYNC, "no UFFD_FEATURE_WP_ASYNC in this kernel");
}

static const char *guard_missing(void)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool guarded = page != MAP_FAILED && !madvise(page, PAGE, MADV_GUARD_INSTALL);

	munmap(page, PAGE);
	return guarded ? NULL : "no MADV_GUARD_INSTALL in this kernel; Linux has it from 6.13 on";
}

const struct stress_kind stress_kinds[STRESS_KINDS] = {
	[STRESS_SMALL] = { .name = "4K", .base = KIND_SMALL },
	[STRESS_MTHP] = { .name = "64K mTHP", .base = KIND_MTHP },
	[STRESS_THP] = { .name = "2M THP", .base = KIND_THP },
	[STRESS_THP_BY_PTES] = { .name = "2M THP by PTEs", .base = KIND_THP_BY_PTES },
	[STRESS_ZERO] = { .name = "zero", .base = KIND_ZERO },
	[STRESS_HUGE_ZERO] = { .name = "huge zero", .base = KIND_HUGE_ZERO },
	[STRESS_SWAPPED] = { .name = "swapped", .base = KIND_SWAPPED, .may = MAY_BUSY },
	[STRESS_SWAP_CACHE] = {
		.name = "in swap cache", .base = KIND_SWAP_CACHE, .may = MAY_BUSY },
	[STRESS_MTHP_SWAPPED] = {
		.name = "swapped large", .base = KIND_MTHP_SWAPPED, .may = MAY_BUSY },
	[STRESS_KSM] = {
		.name = "KSM", .base = KIND_SMALL, .may = MAY_BUSY,
		.missing = ksm_missing, .make = make_merged },
	[STRESS_FORK_SHARED] = {
		.name = "fork-shared", .base = KINDS, .may = MAY_BUSY, .arm = share },
	[STRESS_PINNED] = {
		.name = "pinned", .base = KINDS, .may = MAY_BUSY,
		.missing = uring_missing, .arm = pin },
	[STRESS_MLOCKED] = { .name = "mlocked", .base = KIND_MLOCKED, .make = lock_other },
	[STRESS_LAZY_FREE] = {
		.name = "lazily freed", .base = KIND_LAZY_FREE, .may = MAY_NOENT,
		.vanishes = true },
	[STRESS_MIGRATING] = {
		.name = "migrating", .base = KINDS, .missing = node_missing,
		.arm = keep_migrating },
	[STRESS_NUMA_HINTED] = {
		.name = "NUMA-hinted", .base = KIND_SMALL, .missing = hints_missing,
		.make = make_hinted },
	[STRESS_GUARD] = {
		.name = "guard", .base = KIND_SMALL, .may = MAY_FAULT, .missing = guard_missing,
		.make = guard },
	[STRESS_WRITE_PROTECTED] = {
		.name = "write-protected", .base = KINDS, .register_src = true,
		.missing = writeprotect_missing, .arm = write_protect },
	[STRESS_WRITE_TRACKED] = {
		.name = "write-tracked", .base = KINDS, .register_src = true,
		.features = UFFD_FEATURE_WP_ASYNC, .missing = tracking_missing,
		.arm = write_protect },
	[STRESS_POISONED] = {
		.name = "poisoned", .base = KIND_SMALL, .may = MAY_FAULT, .register_src = true,
		.arm = poison },
};

/**
 * stress_kind_missing() - can the machine have such pages?
 * @kind: the kind
 *
 * Return: what is missing, or NULL.
 */
const char *stress_kind_missing(enum stress_kind_id kind)
{
	const struct stress_kind *k = &stress_kinds[kind];
	const char *missing = k->missing ? k->missing() : NULL;

	/* Those that have a choice choose a huge page now and then. */
	return missing ? missing : kind_missing(k->base == KINDS ? KIND_THP : k->base);
}

/**
 * make_pages() - make the pages of a round
 * @a: the arena, mapped
 *
 * Return: 0, or -1 if they are not as planned.
 */
int make_pages(struct arena *a)
{
	const struct stress_kind *kind = &stress_kinds[a->plan.kind];
	unsigned int i;
	int failed = 0;

	pthread_mutex_lock(&making);
	for (i = 0; i < a->plan.nr_spans && !failed; i++)
		failed = make_kind(&a->space, a->plan.base, a->plan.spans[i].first,
				   a->plan.spans[i].count);
	pthread_mutex_unlock(&making);
	if (!failed && kind->make)
		failed = kind->make(a);
	return failed;
}

/**
 * arm_pages() - do to the pages what needs registered areas, or another thread
 * @a: the arena, registered
 *
 * Return: 0 or -1.
 */
int arm_pages(struct arena *a)
{
	const struct stress_kind *kind = &stress_kinds[a->plan.kind];

	return kind->arm ? kind->arm(a) : 0;
}

/**
 * disarm_pages() - make ordinary pages of those that others share, pin or migrate
 * @a: the arena
 */
void disarm_pages(struct arena *a)
{
	if (a->child)
		end_child(a->child);
	a->child = 0;
	if (a->pins)
		io_uring_queue_exit(a->pins);
	free(a->pins);
	a->pins = NULL;
	if (__atomic_exchange_n(&a->migrates, false, __ATOMIC_RELAXED))
		pthread_join(a->migrating, NULL);
}
