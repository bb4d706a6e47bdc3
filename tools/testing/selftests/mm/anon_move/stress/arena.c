// SPDX-License-Identifier: GPL-2.0
/*
 * Where a round happens: three areas at fixed addresses that no other mmap()
 * takes, so that a range which was unmapped stays ours.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/fs.h>
#include <linux/userfaultfd.h>

#include "stress.h"

/* Far below the places that the kernel chooses by itself. */
#define LANES_START	0x100000000000UL
/* For the largest area, in whole GiB. */
#define PLACE		((AREA_MAX * PAGE + (1UL << 30) - 1) >> 30 << 30)
#define PLACES		8

static char *place(unsigned int lane, unsigned int n)
{
	return (char *)(LANES_START + (lane * PLACES + n) * PLACE);
}

/**
 * arena_new() - what lasts from round to round
 * @lane: its number, which decides about the addresses
 *
 * Children of fork() note their trouble in it too, so it is shared with them.
 *
 * Return: the arena, or NULL.
 */
struct arena *arena_new(unsigned int lane)
{
	struct arena *a = mmap(NULL, sizeof(*a), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t shared;
	enum area_id area;

	if (a == MAP_FAILED)
		return NULL;
	pthread_mutexattr_init(&shared);
	pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&a->lock, &shared);
	a->area[AREA_SRC] = place(lane, 0);
	a->area[AREA_OTHER] = place(lane, 2);
	a->refuge = place(lane, 3);
	a->twins = place(lane, 4);
	a->writes = calloc(AREA_MAX, sizeof(*a->writes));
	for (area = 0; area < AREAS; area++)
		a->views[area] = calloc(AREA_MAX, sizeof(*a->views[area]));
	return a;
}

/**
 * slot() - the page of a column in an area
 * @a: the arena
 * @area: the area
 * @column: the column
 *
 * Return: its address. The destination lags behind or runs ahead of the source.
 */
char *slot(const struct arena *a, enum area_id area, size_t column)
{
	size_t shift = area == AREA_SRC ? 0 : a->plan.dst - a->plan.src;

	return a->area[area] + (column + shift) * PAGE;
}

/**
 * page_id() - the pattern of a column's page
 * @a: the arena
 * @column: the column
 * @home: %AREA_SRC, or %AREA_OTHER for the page that competes with it
 *
 * Two rounds in a row, of one lane or of two, have no pattern in common.
 *
 * Return: its number.
 */
unsigned int page_id(const struct arena *a, size_t column, enum area_id home)
{
	return a->space.id + column + 1 + (home == AREA_OTHER ? 2 * GIB_PAGES : 0);
}

/**
 * trouble() - note what is wrong, if it is the first thing
 * @a: the arena
 * @format: as for printf()
 */
void trouble(struct arena *a, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	pthread_mutex_lock(&a->lock);
	if (!*a->trouble)
		vsnprintf(a->trouble, sizeof(a->trouble), format, args);
	pthread_mutex_unlock(&a->lock);
	va_end(args);
}

/**
 * in_trouble() - has anything gone wrong?
 * @a: the arena
 *
 * Return: true if it has.
 */
bool in_trouble(struct arena *a)
{
	bool any;

	pthread_mutex_lock(&a->lock);
	any = *a->trouble;
	pthread_mutex_unlock(&a->lock);
	return any;
}

/**
 * map_at() - map memory where nothing is mapped
 * @addr: first byte
 * @len: bytes
 *
 * Return: 0 or -1.
 */
int map_at(char *addr, size_t len)
{
	return mmap(addr, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
		    MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) == addr ? 0 : -1;
}

static int map_areas(struct arena *a)
{
	size_t len = a->plan.area * PAGE;
	char *src = a->area[AREA_SRC];

	a->area[AREA_DST] = a->plan.one_vma ? src + len : src + PLACE;
	a->space.src = src;
	a->space.dst = a->area[AREA_DST];
	a->space.pages = a->plan.area;
	/* Of the 32 bits 20 are the page's. */
	a->space.id = a->plan.number << 20;
	return map_at(src, len) || map_at(a->area[AREA_DST], len) ||
	       map_at(a->area[AREA_OTHER], len) ? -1 : 0;
}

static bool wants_huge(const struct plan *p)
{
	return page_kinds[p->base].unit == PMD_PAGES || p->rivals & BIT(RIVAL_COLLAPSE);
}

/**
 * wants_fork() - does fork() give the areas to children?
 * @p: the plan of the round
 *
 * Return: whether it does, also where another lane forks.
 */
bool wants_fork(const struct plan *p)
{
	return p->kind == STRESS_FORK_SHARED || p->rivals & BIT(RIVAL_FORK);
}

/* All areas alike: what differs from one half to the other would make two VMAs of one. */
static void advise_areas(struct arena *a, int advice)
{
	enum area_id area;

	for (area = 0; area < AREAS; area++)
		madvise(a->area[area], a->plan.area * PAGE, advice);
}

/* Both at once if they are one VMA: its two halves would become two. */
static int register_areas(struct arena *a)
{
	size_t len = a->plan.area * PAGE;
	enum area_id area;
	__u64 mode;

	for (area = 0; area < AREAS; area++) {
		mode = UFFDIO_REGISTER_MODE_MISSING;
		if (a->plan.wp & BIT(area))
			mode |= UFFDIO_REGISTER_MODE_WP;
		if (area == AREA_SRC && !a->plan.registered)
			continue;
		if (area == AREA_DST && a->plan.one_vma)
			continue;
		if (uffd_register(a->space.uffd, a->area[area],
				  area == AREA_SRC && a->plan.one_vma ? 2 * len : len, mode))
			return -1;
	}
	return 0;
}

static __u64 vma_start(const char *addr)
{
	struct procmap_query query = {
		.size = sizeof(query),
		.query_addr = (uintptr_t)addr,
	};
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	if (ioctl(fd, PROCMAP_QUERY, &query))
		query.vma_start = 0;
	close(fd);
	return query.vma_start;
}

static bool is_one_vma(const struct arena *a)
{
	char *last = slot(a, AREA_DST, a->plan.src + a->plan.len - 1);

	return vma_start(slot(a, AREA_SRC, a->plan.src)) == vma_start(last);
}

/* The pages of a second source compete with those of the first. */
static void fill_other(struct arena *a)
{
	size_t column;

	for (column = a->plan.src; column < a->plan.src + a->plan.len; column++)
		if (populated(&a->plan, column))
			fill_pages(slot(a, AREA_OTHER, column), 1,
				   page_id(a, column, AREA_OTHER));
}

/**
 * arena_open() - map the areas of a round and make its pages
 * @a: the arena, with its plan
 *
 * Return: 0, or -1 if they are not as planned.
 */
int arena_open(struct arena *a)
{
	memset(a->writes, 0, a->plan.area * sizeof(*a->writes));
	*a->trouble = '\0';
	a->stop = false;
	a->calls = 0;
	a->space.uffd = uffd_open(0, UFFD_FEATURE_SIGBUS | UFFD_FEATURE_PAGEFAULT_FLAG_WP |
				  UFFD_FEATURE_POISON | stress_kinds[a->plan.kind].features);
	if (a->space.uffd < 0 || map_areas(a))
		return -1;
	/* The children of other rounds leave our pages alone. */
	if (!wants_fork(&a->plan))
		advise_areas(a, MADV_DONTFORK);
	advise_areas(a, MADV_NOHUGEPAGE);
	if (a->plan.rivals & BIT(RIVAL_MOVE_DST))
		fill_other(a);
	if (make_pages(a))
		return -1;
	advise_areas(a, wants_huge(&a->plan) ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	if (register_areas(a) || arm_pages(a))
		return -1;
	return is_one_vma(a) == a->plan.one_vma ? 0 : -1;
}

/**
 * arena_close() - give back what arena_open() took
 * @a: the arena
 */
void arena_close(struct arena *a)
{
	disarm_pages(a);
	close(a->space.uffd);
	munmap(a->area[AREA_SRC], PLACE * PLACES - PLACE);
}
