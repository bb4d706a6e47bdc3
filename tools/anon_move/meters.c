// SPDX-License-Identifier: GPL-2.0
/* Reads the clock, finds out whether it counts instructions, and reads the counters of files. */

#define _GNU_SOURCE
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shared.h"

/**
 * clock_ns() - read a clock that nobody adjusts
 *
 * Return: nanoseconds since some moment.
 */
unsigned long long clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/**
 * clock_cost() - what reading the clock costs
 *
 * That shows where what is measured is one short call.
 *
 * Return: nanoseconds.
 */
unsigned long long clock_cost(void)
{
	unsigned long long ns, least = -1;

	for (int i = 0; i < 10; i++) {
		ns = clock_ns();
		ns = clock_ns() - ns;
		if (ns < least)
			least = ns;
	}
	return least;
}

/* Where no loop of known length is at hand, figures are called nanoseconds. */
static unsigned long long loop_ns(unsigned long long instructions)
{
#ifdef __x86_64__
	unsigned long long left = instructions / 2;
	unsigned long long ns = clock_ns();

	asm volatile("1: dec %0\n\tjnz 1b" : "+r" (left) : : "cc");
	return clock_ns() - ns;
#elif defined(__aarch64__)
	unsigned long long left = instructions / 2;
	unsigned long long ns = clock_ns();

	asm volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r" (left) : : "cc");
	return clock_ns() - ns;
#else
	return 0;
#endif
}

/**
 * clock_counts_instructions() - is a nanosecond an instruction?
 *
 * A guest under "qemu -icount shift=0" can't ask, but it can try. Others may take a
 * nanosecond for each instruction of a short loop by chance, but not twice the same.
 *
 * Return: true under icount, false elsewhere.
 */
bool clock_counts_instructions(void)
{
	const unsigned long long instructions = 100000, grain = 64;
	unsigned long long ns, last = 0;

	/* An interrupt may hit one try, not ten. */
	for (int try = 0; try < 10; try++, last = ns) {
		ns = loop_ns(instructions);
		if (ns > instructions && ns < instructions * 1.01 &&
		    ns < last + grain && last < ns + grain)
			return true;
	}
	return false;
}

/**
 * sum_counters() - add up lines of a file that begin with a key and a value
 * @path: the file; other lines are passed over
 * @prefix: what the keys to add up begin with
 *
 * Return: the sum.
 */
unsigned long long sum_counters(const char *path, const char *prefix)
{
	FILE *file = fopen(path, "r");
	unsigned long long value, sum = 0;
	char line[256], key[64];

	if (!file)
		err(CANNOT, "%s", path);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%63s %llu", key, &value) == 2 &&
		    !strncmp(key, prefix, strlen(prefix)))
			sum += value;
	fclose(file);
	return sum;
}
