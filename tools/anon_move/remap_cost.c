// SPDX-License-Identifier: GPL-2.0
/* What a call of mremap() costs, by kind of memory and mover: a page, in all, and at its worst. */

#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mremap_move.h"
#include "remap_bench.h"

/* The cheapest round counts. */
#define ROUNDS 6
#define ROUNDS_OF_MUCH 2

static const struct row {
	const char *name;
	enum kind kind;
	size_t area;
	size_t shift;
} rows[] = {
	{ "4k", KIND_4K, AREA, 0 },
	{ "64k", KIND_64K, AREA, 0 },
	{ "pmd", KIND_PMD, AREA, 0 },
	{ "swap", KIND_SWAP, AREA, 0 },
	{ "mixed", KIND_MIXED, AREA, 0 },
	{ "empty", KIND_NONE, AREA, 0 },
	{ "4k+1", KIND_4K, AREA, PAGE },
	{ "64k+1", KIND_64K, AREA, PAGE },
	{ "pmd+1", KIND_PMD, AREA, PAGE },
	{ "swap+1", KIND_SWAP, AREA, PAGE },
	{ "mixed+1", KIND_MIXED, AREA, PAGE },
	{ "empty+1", KIND_NONE, AREA, PAGE },
	{ "4k.512", KIND_4K, PMD_SIZE, 0 },
	{ "4k.64", KIND_4K, 64 * PAGE, 0 },
	{ "4k.8", KIND_4K, 8 * PAGE, 0 },
	{ "4k.1", KIND_4K, PAGE, 0 },
};

#define NR(array) (sizeof(array) / sizeof(*(array)))

static void print_cost(const char *row, const char *mover, double page)
{
	printf("{\"row\": \"%s\", \"mover\": \"%s\", \"instructions\": %.2f}\n", row, mover, page);
	fprintf(stderr, ">> %s by %s: %.1f instructions a page\n", row, mover, page);
}

static void run_mover(const struct row *row, enum mover mover)
{
	struct work work = {
		.kind = row->kind, .mover = mover, .pages = row->area / PAGE, .area = row->area,
		.shift = row->shift,
	};
	struct cost cost;

	open_work(&work);
	cost = do_work(&work, row->area, ROUNDS, NULL);
	close_work(&work);
	print_cost(row->name, mover_names[mover], cost.page);
}

/* The child gets no other page. Together with those it is one VMA before and afterwards. */
static pid_t share_page_behind(char *area, size_t len, int advice)
{
	pid_t child;

	if (mmap(area + len, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		 -1, 0) == MAP_FAILED || madvise(area + len, PAGE, advice))
		err(FAILED, "mmap of the page behind");
	__atomic_store_n(area + len, 1, __ATOMIC_RELAXED);
	if (madvise(area, len, MADV_DONTFORK))
		err(FAILED, "MADV_DONTFORK");
	child = fork();
	if (!child)
		for (;;)
			pause();
	if (child < 0 || madvise(area, len, MADV_DOFORK))
		err(FAILED, "fork");
	return child;
}

static void end_child(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* Ends where the shared page is found, which is behind all others: so they were all looked at. */
static unsigned long long time_check(char *dst, char *src, size_t len)
{
	const unsigned long long shared = engine_counter("relocate_shared");
	unsigned long long ns = clock_ns();
	int ret = mremap_relocate(dst, src, len, MREMAP_MUST_RELOCATE_ANON);

	ns = clock_ns() - ns - clock_cost();
	if (!ret || errno != EFAULT || engine_counter("relocate_shared") != shared + 1)
		errx(FAILED, "the check should end at a shared page, and does not");
	return ns;
}

/* What make_kind() gave its memory. */
static int advice_of(const struct row *row)
{
	return row->kind == KIND_64K || row->kind == KIND_PMD ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;
}

/* The engine has no door to its check alone. A call that must relocate and can't, only checks. */
static void run_check(const struct row *row)
{
	const size_t len = row->area + PAGE;
	char *src = map_area(len), *dst = map_area(len);
	unsigned long long ns, least = -1;
	pid_t child;

	make_kind(row->kind, src, row->area);
	child = share_page_behind(src, row->area, advice_of(row));
	for (int round = 0; round < ROUNDS; round++) {
		ns = time_check(dst, src, len);
		if (ns < least)
			least = ns;
	}
	end_child(child);
	if (!is_kind(row->kind, src, row->area))
		errx(FAILED, "%s: the check changed what the memory is made of", row->name);
	check_bytes(row->kind, src, row->area);
	unmap_area(src, len);
	unmap_area(dst, len);
	print_cost(row->name, "check", least / (double)(len / PAGE));
}

/**
 * bench_cost() - what a page costs, by each mover that moves memory of its kind
 */
void bench_cost(void)
{
	for (size_t i = 0; i < NR(rows); i++) {
		run_mover(&rows[i], MREMAP);
		/* Does not depend on where the memory goes; and of few pages it is the call. */
		if (rows[i].area == AREA && !rows[i].shift && rows[i].kind != KIND_NONE)
			run_check(&rows[i]);
		run_mover(&rows[i], RELOCATE);
		run_mover(&rows[i], MUST);
		run_mover(&rows[i], ONLYPAGES);
		run_mover(&rows[i], ANON_MOVE);
	}
}

static void print_call(const char *row, enum mover mover, double ns)
{
	printf("{\"row\": \"%s\", \"mover\": \"%s\", \"million\": %.4f}\n", row,
	       mover_names[mover], ns / 1e6);
	fprintf(stderr, ">> %s by %s: %.4f million instructions a call\n", row,
		mover_names[mover], ns / 1e6);
}

static void hold_by(struct work *work, enum mover mover)
{
	static const struct {
		const char *row;
		size_t len;
	} sizes[] = { { "2M", 2 * MIB }, { "64M", 64 * MIB }, { "1G", GIB } };
	struct cost cost;

	work->mover = mover;
	for (size_t i = 0; i < NR(sizes); i++) {
		cost = do_work(work, sizes[i].len, ROUNDS_OF_MUCH, NULL);
		print_call(sizes[i].row, mover, cost.page * (sizes[i].len / PAGE));
	}
}

/**
 * bench_hold() - how long a call has the mmap_lock for writing
 *
 * That is as long as the call: nothing is before or behind it.
 */
void bench_hold(void)
{
	struct work work = { .kind = KIND_4K, .mover = MREMAP, .pages = 512, .area = GIB };

	fprintf(stderr, ">> hold: making 1 GiB\n");
	open_work(&work);
	hold_by(&work, MREMAP);
	hold_by(&work, RELOCATE);
	close_work(&work);
}

/* Behind a fork no page is marked as one's own, until it is written to. */
static void lose_marks(void)
{
	pid_t child = fork();

	if (!child)
		_exit(0);
	if (child < 0)
		err(FAILED, "fork");
	waitpid(child, NULL, 0);
}

static void regain_by(enum mover mover)
{
	struct work work = { .kind = KIND_4K, .mover = mover, .pages = 512, .area = AREA };
	double page, least = 0;

	open_work(&work);
	for (int round = 0; round < ROUNDS; round++) {
		lose_marks();
		page = do_work(&work, AREA, 1, NULL).page;
		if (!least || page < least)
			least = page;
	}
	close_work(&work);
	print_cost("regain", mover_names[mover], least);
}

/* The range has all of the huge page in the middle, and a part of the two beside it. */
static void edges_by(enum mover mover)
{
	const int flags = relocate_flags(mover);
	const size_t area = 3 * PMD_SIZE, len = area - 2 * PAGE;
	unsigned long long ns, least = -1;

	for (int round = 0; round < ROUNDS; round++) {
		char *src = map_area(area), *dst = map_area(area);

		make_kind(KIND_PMD, src, area);
		munmap(dst + PAGE, len);
		ns = clock_ns();
		if (mremap_relocate(dst + PAGE, src + PAGE, len, flags))
			err(FAILED, "mremap of a part of huge pages");
		ns = clock_ns() - ns - clock_cost();
		if (ns < least)
			least = ns;
		/* All together again: its first and last page stayed. */
		if (mremap_relocate(src + PAGE, dst + PAGE, len, 0))
			err(FAILED, "mremap back");
		check_bytes(KIND_PMD, src, area);
		unmap_area(src, area);
		unmap_area(dst, area);
	}
	print_call("edges", mover, least);
}

/**
 * bench_worst() - what is dearest to relocate
 *
 * Large folios that come to lie apart are rows of bench_cost().
 */
void bench_worst(void)
{
	regain_by(MREMAP);
	regain_by(RELOCATE);
	edges_by(MREMAP);
	edges_by(RELOCATE);
}
