// SPDX-License-Identifier: GPL-2.0
/* What other calls take where there are many VMAs, and where they have merged. */

#define _GNU_SOURCE
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remap_bench.h"

#define TRIES 64
#define TRIES_OF_FORK 3

/* The cheapest try of each. */
struct prices {
	unsigned long long mmap;
	unsigned long long munmap;
	unsigned long long mprotect;
	unsigned long long fault;
	unsigned long long fork;
};

static void keep_least(unsigned long long *price, unsigned long long ns)
{
	if (!*price || ns < *price)
		*price = ns;
}

/* A page somewhere else. Nobody has touched it. */
static void price_mapping(struct prices *prices)
{
	const unsigned long long start = clock_ns();
	unsigned long long mapped;
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mapped = clock_ns();
	if (page == MAP_FAILED || munmap(page, PAGE))
		err(FAILED, "mmap");
	keep_least(&prices->munmap, clock_ns() - mapped - clock_cost());
	keep_least(&prices->mmap, mapped - start - clock_cost());
}

static void protect(char *page, int prot)
{
	if (mprotect(page, PAGE, prot))
		err(FAILED, "mprotect");
}

/* Of a page that other pages lie beside, there and back. */
static void price_protection(struct prices *prices, char *page)
{
	const unsigned long long start = clock_ns();

	protect(page, PROT_READ);
	protect(page, PROT_READ | PROT_WRITE);
	keep_least(&prices->mprotect, (clock_ns() - start - clock_cost()) / 2);
}

static void price_fault(struct prices *prices, char *page)
{
	char bytes[PAGE];
	unsigned long long start;

	memcpy(bytes, page, PAGE);
	if (madvise(page, PAGE, MADV_DONTNEED))
		err(FAILED, "MADV_DONTNEED");
	start = clock_ns();
	__atomic_store_n(page, 1, __ATOMIC_RELAXED);
	keep_least(&prices->fault, clock_ns() - start - clock_cost());
	memcpy(page, bytes, PAGE);
}

/* With the end of the child, which has to take all of it down. */
static void price_fork(struct prices *prices)
{
	const unsigned long long start = clock_ns();
	pid_t child = fork();

	if (!child)
		_exit(0);
	if (child < 0 || waitpid(child, NULL, 0) != child)
		err(FAILED, "fork");
	keep_least(&prices->fork, clock_ns() - start);
}

/**
 * pay_back() - print what calls take that have nothing to do with moving
 * @play: whose VMAs there are
 * @heap: pages in them
 * @pages: their number
 */
void pay_back(struct play *play, char *heap, size_t pages)
{
	struct prices prices = { 0 };

	for (int i = 0; i < TRIES; i++) {
		price_mapping(&prices);
		price_protection(&prices, heap + random_below(play, pages) * PAGE);
		price_fault(&prices, heap + random_below(play, pages) * PAGE);
	}
	/* Last, as pages must be copied after it. */
	for (int i = 0; i < TRIES_OF_FORK; i++)
		price_fork(&prices);
	printf("{\"row\": \"payback\", \"mover\": \"%s\", \"mmap\": %llu, \"munmap\": %llu, ",
	       mover_names[play->mover], prices.mmap, prices.munmap);
	printf("\"mprotect\": %llu, \"fault\": %llu, \"fork\": %llu}\n",
	       prices.mprotect, prices.fault, prices.fork);
}
