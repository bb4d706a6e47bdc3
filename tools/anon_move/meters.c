// SPDX-License-Identifier: GPL-2.0
/* Reads what the clock and the kernel say about the work: instructions, TLB flushes, counters. */

#define _GNU_SOURCE
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <linux/perf_event.h>

#include "demo.h"

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

/* Where no loop of known length is at hand, figures are called nanoseconds. */
static unsigned long long loop_ns(unsigned long long instructions)
{
#ifdef __x86_64__
	unsigned long long left = instructions / 2;
	unsigned long long ns = clock_ns();

	asm volatile("1: dec %0\n\tjnz 1b" : "+r" (left) : : "cc");
	return clock_ns() - ns;
#else
	return 0;
#endif
}

/**
 * clock_counts_instructions() - is a nanosecond an instruction?
 *
 * A guest under "qemu -icount shift=0" can't ask, but it can try: no real
 * processor takes a nanosecond for each instruction of so short a loop.
 *
 * Return: true under icount, false elsewhere.
 */
bool clock_counts_instructions(void)
{
	const unsigned long long instructions = 100000;

	/* An interrupt may hit one try, not five. */
	for (int try = 0; try < 5; try++) {
		unsigned long long ns = loop_ns(instructions);

		if (ns > instructions && ns < instructions * 1.01)
			return true;
	}
	return false;
}

/**
 * sum_counters() - add up lines of a file of "key value" lines
 * @path: the file
 * @prefix: what the keys to add up begin with
 *
 * Return: the sum.
 */
unsigned long long sum_counters(const char *path, const char *prefix)
{
	FILE *file = fopen(path, "r");
	unsigned long long value, sum = 0;
	char key[64];

	if (!file)
		err(CANNOT, "%s", path);
	while (fscanf(file, "%63s %llu", key, &value) == 2)
		if (!strncmp(key, prefix, strlen(prefix)))
			sum += value;
	fclose(file);
	return sum;
}

static int open_tracepoint(const char *id_file)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.inherit = 1,
	};
	FILE *file = fopen(id_file, "r");
	unsigned long long id;
	int fd = -1;

	if (!file)
		return -1;
	if (fscanf(file, "%llu", &id) == 1) {
		attr.config = id;
		fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	}
	fclose(file);
	return fd;
}

/**
 * flushes_open() - start to count the TLB flushes of this process
 *
 * Counts tlb:tlb_flush, not nr_tlb_local_flush_one of /proc/vmstat: a flush of
 * 8 pages raises that by 8, just as 8 flushes of a page do. Covers the calling
 * thread and the ones it makes afterwards.
 *
 * Return: a descriptor for flushes_read(), to be closed; -1 where the kernel
 * has no such tracepoint or the privilege is missing.
 */
int flushes_open(void)
{
	int fd = open_tracepoint("/sys/kernel/tracing/events/tlb/tlb_flush/id");

	if (fd < 0)
		fd = open_tracepoint("/sys/kernel/debug/tracing/events/tlb/tlb_flush/id");
	/* TLB_LOCAL_MM_SHOOTDOWN: once a flush on any number of CPUs, never a task switch. */
	if (fd >= 0 && ioctl(fd, PERF_EVENT_IOC_SET_FILTER, "reason == 3"))
		err(FAILED, "can't filter tlb:tlb_flush");
	return fd;
}

/**
 * flushes_read() - how many TLB flushes so far?
 * @fd: from flushes_open(), -1 included
 *
 * Return: flushes since flushes_open(), 0 where they can't be counted.
 */
unsigned long long flushes_read(int fd)
{
	unsigned long long count = 0;

	if (fd >= 0 && read(fd, &count, sizeof(count)) != sizeof(count))
		err(FAILED, "can't read the TLB flush counter");
	return count;
}
