// SPDX-License-Identifier: GPL-2.0
/*
 * What a compaction costs: clocks, the kernel's counters, and how stalls are
 * distributed.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <linux/perf_event.h>

#include "gc.h"
#include "compact.h"
#include "heap.h"
#include "meters.h"
#include "mutator.h"
#include "options.h"

#define STATUS		"/proc/self/status"
#define VMSTAT		"/proc/vmstat"
#define TRACING		"/sys/kernel/tracing/events/"

const struct meter_kind meter_kinds[METERS] = {
	[METER_PAUSE] = { "pause_max", "time", true },
	[METER_FLIP] = { "flip_pause", "time", false },
	[METER_MARK] = { "marking", "time", false },
	[METER_PLAN] = { "planning", "time", false },
	[METER_COMPACT] = { "compaction", "time", false },
	[METER_WORK] = { "compaction_cpu", "time", false },
	[METER_STALL_50] = { "stall_p50", "time", false },
	[METER_STALL_99] = { "stall_p99", "time", false },
	[METER_STALL_999] = { "stall_p99_9", "time", false },
	[METER_STALL_MAX] = { "stall_max", "time", false },
	[METER_STALLS] = { "stalls", "per cycle", false },
	[METER_PAGES] = { "pages_produced", "per cycle", false },
	[METER_FAULTS] = { "faults", "per cycle", false },
	[METER_ALLOCATED] = { "pages_allocated", "highest of a cycle", true },
	[METER_TABLES_NEW] = { "page_tables_new", "highest of a cycle", true },
	[METER_COPIED] = { "bytes_copied", "sum", false },
	[METER_SWAPPED_IN] = { "swap_ins", "highest of a cycle", true },
	[METER_FLUSHES] = { "tlb_flushes", "highest of a cycle", true },
	[METER_TABLES] = { "page_tables", "highest", true },
	[METER_VMAS] = { "vmas_max", "highest", true },
	[METER_VMAS_MORE] = { "vmas_more", "most above the count at the first flip", true },
	[METER_VMAS_END] = { "vmas_end", "after the last cycle", false },
	[METER_RSS] = { "rss_peak_kib", "highest", true },
	[METER_CYCLES] = { "cycles", "", false },
};

const double stall_points[STALL_POINTS] = {
	0, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.99, 100
};

const char *const work_names[WORKS] = {
	[WORK_PREPARE] = "preparing pages", [WORK_PUBLISH] = "publishing pages",
	[WORK_FAULTS] = "faults", [WORK_DROP] = "dropping the rest",
};

struct result *result;

/* What is read before and after, by the counter that it comes from. */
enum counter { COUNT_ALLOCATED, COUNT_FLUSHES, COUNT_TABLES, COUNT_SWAPPED_IN, COUNTERS };

static long long before[COUNTERS];
static int perf_allocated = -1, perf_flushes = -1;
static uint64_t work[WORKS], stalled_before, faults_before, produced_before;
static long first_vmas, last_vmas;
static bool counted;

/* Sums over the cycles that were timed, by meter. */
static double sums[METERS];
static unsigned int nr_timed, nr_cycles;

/**
 * clock_ns() - read a clock that nobody adjusts
 *
 * Return: nanoseconds since some moment.
 */
uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/**
 * thread_ns() - CPU time of the calling thread
 *
 * Return: nanoseconds.
 */
uint64_t thread_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static int open_tracepoint(const char *name, const char *filter)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr), .inherit = 1, .disabled = 1,
	};
	char path[128];
	long long id;
	int fd;

	snprintf(path, sizeof(path), TRACING "%s/id", name);
	id = read_number(path, "");
	if (id < 0)
		return -1;
	attr.config = id;
	fd = syscall(__NR_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd >= 0 && filter && ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter)) {
		close(fd);
		return -1;
	}
	return fd;
}

static long long read_perf(int fd)
{
	long long count;

	return fd >= 0 && read(fd, &count, sizeof(count)) == sizeof(count) ? count : -1;
}

/**
 * meters_open() - count for this thread and those it makes from now on
 *
 * A flush is counted once, on however many CPUs; of its reasons only the one that
 * is no task switch: TLB_LOCAL_MM_SHOOTDOWN.
 */
void meters_open(void)
{
	perf_allocated = open_tracepoint("kmem/mm_page_alloc", NULL);
	perf_flushes = open_tracepoint("tlb/tlb_flush", "reason == 3");
	for (int i = 0; i < METERS; i++)
		result->meters[i] = -1;
}

/* An event that is counted costs instructions, so some cycles are not counted but timed. */
static void count_events(bool count)
{
	unsigned long request = count ? PERF_EVENT_IOC_ENABLE : PERF_EVENT_IOC_DISABLE;

	counted = count;
	if (perf_allocated >= 0)
		ioctl(perf_allocated, request, 0);
	if (perf_flushes >= 0)
		ioctl(perf_flushes, request, 0);
}

static uint64_t stalled_cpu(void)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < options.mutators; i++)
		sum += load_relaxed(&mutators[i].stalled_cpu);
	return sum;
}

/* The first cycle warms up; where it is the only one, its figures have to do. */
static void forget_first(void)
{
	unsigned int i;

	memset(sums, 0, sizeof(sums));
	memset(result->work, 0, sizeof(result->work));
	nr_timed = 0;
	for (i = 0; i < options.mutators; i++)
		store_relaxed(&mutators[i].nr_stalls, 0);
}

/*
 * Linux 7.3 reads maps without the mmap_lock. With one CPU it may go round for ever there: it
 * waits for a VMA to be replaced by a thread that it keeps from running.
 */
static long count_vmas(void)
{
	long vmas = count_lines("/proc/self/numa_maps");

	return vmas > 0 ? vmas : vma_count();
}

/**
 * meters_begin() - a compaction begins; in the flip
 * @cycle: its number
 */
void meters_begin(unsigned int cycle)
{
	if (cycle == 1)
		forget_first();
	if (cycle == 0)
		first_vmas = count_vmas();
	write_text("/proc/self/clear_refs", "5");
	memset(work, 0, sizeof(work));
	stalled_before = stalled_cpu();
	faults_before = load_relaxed(&events[EV_FAULTS]);
	produced_before = load_relaxed(&produced_pages);
	before[COUNT_TABLES] = read_number(STATUS, "VmPTE:");
	before[COUNT_SWAPPED_IN] = read_number(VMSTAT, "pswpin");
	count_events(!options.icount || cycle == 0);
	before[COUNT_ALLOCATED] = read_perf(perf_allocated);
	before[COUNT_FLUSHES] = read_perf(perf_flushes);
}

static void most(enum meter which, double value)
{
	if (result->meters[which] < value)
		result->meters[which] = value;
}

/**
 * meters_sample() - look how many VMAs there are
 */
void meters_sample(void)
{
	last_vmas = count_vmas();
	most(METER_VMAS, last_vmas);
	most(METER_VMAS_MORE, last_vmas - first_vmas);
}

/**
 * meters_work() - CPU time went into a compaction
 * @kind: of work
 * @ns: how much
 */
void meters_work(enum work kind, uint64_t ns)
{
	add(&work[kind], ns);
}

/**
 * meters_time() - something took its time, once in this cycle
 * @which: what
 * @ns: how long
 */
void meters_time(enum meter which, uint64_t ns)
{
	unsigned int i;

	if (which == METER_PAUSE)
		most(which, ns);
	else
		sums[which] += ns;
	if (which != METER_COMPACT)
		return;
	/* It is the last of a cycle. */
	nr_timed++;
	nr_cycles++;
	for (i = 0; i < WORKS; i++) {
		sums[METER_WORK] += work[i];
		result->work[i] += work[i];
	}
}

/**
 * meters_end() - all pages have been produced
 */
void meters_end(void)
{
	long long allocated = read_perf(perf_allocated), flushes = read_perf(perf_flushes);
	long long tables = read_number(STATUS, "VmPTE:");

	if (counted && allocated >= 0)
		most(METER_ALLOCATED, allocated - before[COUNT_ALLOCATED]);
	if (counted && flushes >= 0)
		most(METER_FLUSHES, flushes - before[COUNT_FLUSHES]);
	count_events(false);
	most(METER_TABLES, tables * 1024 / PAGE);
	most(METER_TABLES_NEW, (tables - before[COUNT_TABLES]) * 1024.0 / PAGE);
	most(METER_SWAPPED_IN, read_number(VMSTAT, "pswpin") - before[COUNT_SWAPPED_IN]);
	most(METER_RSS, read_number(STATUS, "VmHWM:"));
	sums[METER_FAULTS] += load_relaxed(&events[EV_FAULTS]) - faults_before;
	sums[METER_PAGES] += load_relaxed(&produced_pages) - produced_before;
	meters_work(WORK_FAULTS, stalled_cpu() - stalled_before);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static double quantile(const uint32_t *sorted, size_t nr, double percent)
{
	size_t i = percent / 100 * nr;

	return nr ? (double)sorted[i < nr ? i : nr - 1] : -1;
}

static void sum_up_stalls(void)
{
	size_t nr = 0, at = 0;
	uint32_t *all;
	unsigned int i;

	for (i = 0; i < options.mutators; i++)
		nr += mutators[i].nr_stalls;
	all = side_table(nr * sizeof(*all));
	for (i = 0; i < options.mutators; i++) {
		memcpy(all + at, mutators[i].stalls, mutators[i].nr_stalls * sizeof(*all));
		at += mutators[i].nr_stalls;
	}
	qsort(all, nr, sizeof(*all), compare);
	for (i = 0; i < STALL_POINTS; i++)
		result->stalls[i] = quantile(all, nr, stall_points[i]);
	result->meters[METER_STALL_50] = quantile(all, nr, 50);
	result->meters[METER_STALL_99] = quantile(all, nr, 99);
	result->meters[METER_STALL_999] = quantile(all, nr, 99.9);
	result->meters[METER_STALL_MAX] = quantile(all, nr, 100);
	result->meters[METER_STALLS] = nr_timed ? (double)nr / nr_timed : 0;
}

/**
 * meters_finish() - turn what was counted into figures; no mutator may be in a step
 */
void meters_finish(void)
{
	int i;

	for (i = 0; i < METERS; i++)
		if (!meter_kinds[i].highest && nr_timed)
			result->meters[i] = sums[i] / nr_timed;
	for (i = 0; i < WORKS && nr_timed; i++)
		result->work[i] /= nr_timed;
	sum_up_stalls();
	for (i = 0; i < EVENTS; i++)
		result->events[i] = events[i];
	result->meters[METER_COPIED] = events[EV_COPIED_BYTES];
	result->meters[METER_CYCLES] = nr_cycles;
	result->meters[METER_VMAS_END] = last_vmas;
}
