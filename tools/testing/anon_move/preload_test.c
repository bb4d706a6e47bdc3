// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of tools/anon_move/mremap_preload.c, run with it preloaded: which calls get the flag, and
 * that a program can't tell.
 *
 * Its system calls come through the syscall() below, which sees what the kernel would see, and
 * can be a kernel that does not know the flag.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "../../anon_move/mremap_move.h"

#define PAGE		4096UL
#define PAGES(n)	((n) * PAGE)
#define AREA		64UL
#define RW		(PROT_READ | PROT_WRITE)
#define MAY		MREMAP_MAYMOVE
#define FIX		MREMAP_FIXED
#define KEEP		4	/* MREMAP_DONTUNMAP */
#define ERRNO		12345
#define THREADS		8

/* What this thread asked of the kernel. */
static __thread struct {
	int calls;
	int flags;	/* of the last one */
	long new;
} asked;
static bool kernel_is_old;

long syscall(long nr, ...)
{
	long (*next)(long nr, ...) = dlsym(RTLD_NEXT, "syscall");
	long arg[6];
	va_list args;
	int i;

	va_start(args, nr);
	for (i = 0; i < 6; i++)
		arg[i] = va_arg(args, long);
	va_end(args);
	if (nr == SYS_mremap) {
		asked.calls++;
		asked.flags = arg[3];
		asked.new = arg[4];
	}
	if (nr == SYS_mremap && kernel_is_old && (arg[3] & MREMAP_RELOCATE_ANON)) {
		errno = EINVAL;
		return -1;
	}
	return next(nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

static void *libc_mremap(void)
{
	return dlsym(dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD), "mremap");
}

/* Whose mremap() is called: the one that is preloaded, or the C library's. */
enum callee { PRELOADED, LIBC };

struct request {
	long old;	/* bytes from the start of an area where 4 pages are mapped */
	size_t old_len;
	size_t new_len;
	int flags;
	long new;	/* likewise */
};

static void *request(enum callee who, char *area, const struct request *r)
{
	void *(*call)(void *old, size_t old_len, size_t new_len, int flags, ...) = mremap;

	if (who == LIBC)
		call = libc_mremap();
	errno = ERRNO;
	return call(area + r->old, r->old_len, r->new_len, r->flags, area + r->new);
}

/* Addresses of our own, with so many pages mapped at the start and each of them touched. */
static char *map(size_t pages)
{
	char *area = mmap(NULL, PAGES(AREA), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;

	if (area == MAP_FAILED)
		abort();
	munmap(area, PAGES(AREA));
	mmap(area, PAGES(pages), RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	for (i = 0; i < pages; i++)
		area[PAGES(i)] = i + 1;
	return area;
}

TEST(is_preloaded)
{
	ASSERT_NE(NULL, libc_mremap());
	ASSERT_NE((void *)mremap, libc_mremap());
}

TEST(calls_that_may_move_get_the_flag)
{
	const int flags[] = { MAY, MAY | FIX, MAY | KEEP, MAY | FIX | KEEP };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		char *area = map(1), *new = area + PAGES(2);

		ASSERT_NE(MAP_FAILED, mremap(area, PAGE, PAGE, flags[i], new));
		EXPECT_EQ(flags[i] | MREMAP_RELOCATE_ANON, asked.flags);
		EXPECT_EQ(flags[i] & (FIX | KEEP) ? (long)new : 0, asked.new);
	}
}

static bool is_one_vma(char *start, size_t pages)
{
	unsigned long from, to;
	bool found = false;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");

	while (!found && fgets(line, sizeof(line), maps))
		found = sscanf(line, "%lx-%lx", &from, &to) == 2 &&
			from <= (uintptr_t)start && to >= (uintptr_t)start + PAGES(pages);
	fclose(maps);
	return found;
}

/* Moves the second of two mappings next to the first. */
static bool merges(enum callee who)
{
	char *area = map(2), *other = map(2);
	const struct request move = { 0, PAGES(2), PAGES(2), MAY | FIX, area + PAGES(2) - other };

	return request(who, other, &move) == area + PAGES(2) && area[PAGES(3)] == 2 &&
	       is_one_vma(area, 4);
}

TEST(mappings_merge_then)
{
	EXPECT_FALSE(merges(LIBC));
	EXPECT_TRUE(merges(PRELOADED));
}

TEST(calls_that_stay_are_left_alone)
{
	char *area = map(1);

	EXPECT_EQ(area, mremap(area, PAGE, PAGES(2), 0));
	EXPECT_EQ(1, asked.calls);
	EXPECT_EQ(0, asked.flags);
	EXPECT_EQ(0, asked.new);
}

TEST(an_old_kernel_is_asked_once)
{
	char *area = map(1);
	int i;

	kernel_is_old = true;
	errno = ERRNO;
	for (i = 0; i < 3; i++) {
		char *old = area + PAGES(2 * i), *new = old + PAGES(2);

		EXPECT_EQ(new, mremap(old, PAGE, PAGE, MAY | FIX, new));
		EXPECT_EQ(2 + i, asked.calls);
		EXPECT_EQ(MAY | FIX, asked.flags);
		EXPECT_EQ(ERRNO, errno);
	}
}

TEST(a_child_need_not_ask)
{
	char *area = map(1);
	int status;

	ASSERT_NE(MAP_FAILED, mremap(area, PAGE, PAGE, MAY | FIX, area + PAGES(2)));
	EXPECT_EQ(2, asked.calls);
	if (!fork()) {
		mremap(area + PAGES(2), PAGE, PAGE, MAY | FIX, area);
		_exit(asked.calls != 3 || area[0] != 1 || !(asked.flags & MREMAP_RELOCATE_ANON));
	}
	wait(&status);
	EXPECT_EQ(0, status);
}

static pthread_barrier_t together;

static void *first_call(void *arg)
{
	char *area = arg, *new = area + PAGES(2);

	pthread_barrier_wait(&together);
	errno = ERRNO;
	return (void *)(long)(mremap(area, PAGE, PAGE, MAY | FIX, new) == new && *new == 1 &&
			      errno == ERRNO && asked.flags == (MAY | FIX | MREMAP_RELOCATE_ANON));
}

TEST(threads_may_come_at_once)
{
	pthread_t threads[THREADS];
	void *good;
	int i;

	pthread_barrier_init(&together, NULL, THREADS);
	for (i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, first_call, map(1)));
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &good);
		EXPECT_EQ((void *)1, good);
	}
}

FIXTURE(result) { };
FIXTURE_SETUP(result) { }
FIXTURE_TEARDOWN(result) { }

/* More than any CPU can address. */
#define MANY	0x4000000000000UL

FIXTURE_VARIANT(result)
{
	struct request request;
};

FIXTURE_VARIANT_ADD(result, same) { { 0, PAGES(4), PAGES(4), MAY, 0 } };
FIXTURE_VARIANT_ADD(result, shrink) { { 0, PAGES(4), PAGES(1), MAY, 0 } };
FIXTURE_VARIANT_ADD(result, grow) { { 0, PAGES(4), PAGES(8), MAY, 0 } };
FIXTURE_VARIANT_ADD(result, grow_a_part) { { 0, PAGES(2), PAGES(8), MAY, 0 } };
FIXTURE_VARIANT_ADD(result, grow_a_part_without) { { 0, PAGES(2), PAGES(8), 0, 0 } };
FIXTURE_VARIANT_ADD(result, grow_without) { { 0, PAGES(4), PAGES(8), 0, 0 } };
FIXTURE_VARIANT_ADD(result, too_long) { { 0, PAGES(4), PAGES(MANY), MAY, 0 } };
FIXTURE_VARIANT_ADD(result, to_nothing) { { 0, PAGES(4), 0, MAY, 0 } };
FIXTURE_VARIANT_ADD(result, of_nothing) { { 0, 0, PAGES(4), MAY, 0 } };
FIXTURE_VARIANT_ADD(result, not_aligned) { { 8, PAGES(4), PAGES(4), MAY, 0 } };
FIXTURE_VARIANT_ADD(result, not_mapped) { { PAGES(20), PAGES(4), PAGES(8), MAY, 0 } };
FIXTURE_VARIANT_ADD(result, partly_mapped) { { PAGES(2), PAGES(4), PAGES(8), MAY, 0 } };
FIXTURE_VARIANT_ADD(result, fixed) { { 0, PAGES(4), PAGES(4), MAY | FIX, PAGES(8) } };
FIXTURE_VARIANT_ADD(result, fixed_growing) { { 0, PAGES(4), PAGES(8), MAY | FIX, PAGES(8) } };
FIXTURE_VARIANT_ADD(result, fixed_over_itself) { { 0, PAGES(4), PAGES(4), MAY | FIX, PAGES(2) } };
FIXTURE_VARIANT_ADD(result, fixed_over_another) { { 0, PAGES(2), PAGES(2), MAY | FIX, PAGES(2) } };
FIXTURE_VARIANT_ADD(result, fixed_not_aligned) { { 0, PAGES(4), PAGES(4), MAY | FIX, 8 } };

FIXTURE_VARIANT_ADD(result, fixed_not_mapped) {
	{ PAGES(20), PAGES(4), PAGES(4), MAY | FIX, PAGES(8) }
};

FIXTURE_VARIANT_ADD(result, fixed_too_long) { { 0, PAGES(4), PAGES(MANY), MAY | FIX, PAGES(8) } };
FIXTURE_VARIANT_ADD(result, fixed_without) { { 0, PAGES(4), PAGES(4), FIX, PAGES(8) } };
FIXTURE_VARIANT_ADD(result, keep) { { 0, PAGES(4), PAGES(4), MAY | FIX | KEEP, PAGES(8) } };
FIXTURE_VARIANT_ADD(result, keep_growing) { { 0, PAGES(4), PAGES(8), MAY | FIX | KEEP, PAGES(8) } };
FIXTURE_VARIANT_ADD(result, keep_without) { { 0, PAGES(4), PAGES(4), KEEP, 0 } };
FIXTURE_VARIANT_ADD(result, flag_of_nobody) { { 0, PAGES(4), PAGES(4), MAY | 8, 0 } };

FIXTURE_VARIANT_ADD(result, wish_of_the_program) {
	{ 0, PAGES(4), PAGES(4), MAY | FIX | MREMAP_MUST_RELOCATE_ANON, PAGES(8) }
};

FIXTURE_VARIANT_ADD(result, without_one_of_ours) {
	{ 0, PAGES(4), PAGES(4), MREMAP_RELOCATE_ANON, 0 }
};

/* What the program sees of a call: result, errno, and what is at each page afterwards. */
struct seen {
	long ret;	/* bytes from the start, -1, or AREA for anywhere else */
	int error;
	char page[AREA];
};

static struct seen call(enum callee who, const struct request *r)
{
	char *area = map(4), *ret;
	struct seen seen = { };
	unsigned char resident;
	size_t i;

	ret = request(who, area, r);
	seen.error = errno;
	seen.ret = ret == MAP_FAILED ? -1 : ret - area;
	/* The kernel may choose a place between those that are looked at. */
	if (seen.ret != -1 && seen.ret != r->old && seen.ret != r->new) {
		seen.ret = PAGES(AREA) + ret[0];
		munmap(ret, r->new_len);
	}
	for (i = 0; i < AREA; i++)
		seen.page[i] = mincore(area + PAGES(i), PAGE, &resident) ? -1 : area[PAGES(i)];
	munmap(area, PAGES(AREA));
	return seen;
}

TEST_F(result, is_as_without)
{
	struct seen without = call(LIBC, &variant->request);
	struct seen with = call(PRELOADED, &variant->request);

	EXPECT_EQ(without.ret, with.ret);
	EXPECT_EQ(without.error, with.error);
	EXPECT_EQ(0, memcmp(without.page, with.page, sizeof(with.page)));
}

TEST_HARNESS_MAIN
