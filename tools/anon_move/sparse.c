// SPDX-License-Identifier: GPL-2.0
/* A row of few pages far apart: what passing over holes costs, in instructions and page tables. */

#define _GNU_SOURCE
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "uffd_move.h"

/* The base's mover goes through holes page by page, so it gets less of them. */
#define OURS (1024 * GIB)
#define BASES (8 * GIB)

/* There is one page in each of these, and one more at the end. */
#define APART (64 * GIB)

static char *map_sparse(size_t len)
{
	char *area = mmap(NULL, len, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (area == MAP_FAILED || madvise(area, len, MADV_NOHUGEPAGE))
		err(FAILED, "can't map %zu GiB", len / GIB);
	return area;
}

static void fill_sparse(char *area, size_t len)
{
	for (size_t at = 0; at < len; at += APART)
		*(size_t *)(area + at) = at + 1;
	*(size_t *)(area + len - PAGE) = len;
}

static void check_sparse(const char *area, size_t len)
{
	for (size_t at = 0; at < len; at += APART)
		if (*(size_t *)(area + at) != at + 1)
			errx(FAILED, "the page at %zu GiB has wrong bytes", at / GIB);
	if (*(size_t *)(area + len - PAGE) != len)
		errx(FAILED, "the last page has wrong bytes");
}

static unsigned long long page_table_kib(void)
{
	return sum_counters("/proc/self/status", "VmPTE:");
}

static void sparse_by(enum mover mover, size_t len)
{
	char *src = map_sparse(len), *dst = map_sparse(len);
	unsigned long long kib, ns;
	struct uffd_moved moved;
	int uffd = open_uffd(0);

	fprintf(stderr, ">> sparse by %s\n", mover_names[mover]);
	choose_engine(mover_names[mover]);
	register_area(uffd, dst, len);
	fill_sparse(src, len);
	kib = page_table_kib();
	ns = clock_ns();
	moved = uffd_move(uffd, dst, src, len, UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES);
	ns = clock_ns() - ns;
	kib = page_table_kib() - kib;
	if (moved.stop)
		errx(FAILED, "%zu GiB move, then: %s", moved.bytes / GIB, strerror(moved.stop));
	close(uffd);
	check_sparse(dst, len);
	munmap(src, len);
	munmap(dst, len);
	printf("{\"row\": \"sparse\", \"mover\": \"%s\", \"gib\": %zu, \"million\": %.2f, ",
	       mover_names[mover], len / GIB, ns / 1e6);
	printf("\"table_kib\": %llu, \"million_a_gib\": %.4f}\n", kib, ns / 1e6 / (len / GIB));
}

/**
 * bench_sparse() - a move of nearly nothing but holes, in one call
 */
void bench_sparse(void)
{
	sparse_by(BASE, BASES);
	sparse_by(ANON_MOVE, OURS);
}
