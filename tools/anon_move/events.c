// SPDX-License-Identifier: GPL-2.0
/* Counts what the kernel does for a thread: flushes, locks, splits, faults, allocations. */

#define _GNU_SOURCE
#include <assert.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/perf_event.h>

#include "shared.h"

enum source_kind { TRACEPOINT, PROBE, SOFTWARE };

/*
 * Where each event is counted. Probes count calls of a kernel function by the
 * thread, and by interrupts that hit it: some 8 spin locks a timer tick.
 *
 * tlb:tlb_flush and not nr_tlb_local_flush_one of /proc/vmstat: a flush of 8
 * pages raises that by 8, just as 8 flushes of a page do. Of its reasons only
 * TLB_LOCAL_MM_SHOOTDOWN: once a flush on any number of CPUs, never a task switch.
 */
static const struct source {
	enum event event;
	enum source_kind kind;
	const char *what;
	const char *filter;
	const char *renamed;	/* what later kernels call the function */
} sources[] = {
	{ EVENT_TLB_FLUSHES, TRACEPOINT, "tlb/tlb_flush", "reason == 3" },
	{ EVENT_SPIN_LOCKS, PROBE, "_raw_spin_lock", NULL },
	{ EVENT_WRITE_LOCKS, PROBE, "down_write", NULL },
	{ EVENT_WRITE_LOCKS, PROBE, "down_write_trylock", NULL },
	{ EVENT_CONTENTIONS, TRACEPOINT, "lock/contention_begin", NULL },
	{ EVENT_SPLITS, PROBE, "split_huge_page_to_list_to_order", NULL, "__folio_split" },
	{ EVENT_FAULTS, SOFTWARE, "page faults", NULL },
	{ EVENT_ALLOCATIONS, TRACEPOINT, "kmem/mm_page_alloc", NULL },
};

#define NR_SOURCES (sizeof(sources) / sizeof(*sources))
static_assert(NR_SOURCES == MAX_SOURCES, "shared.h says how many");

const char *const event_names[NR_EVENTS] = {
	"tlb_flushes", "spin_locks", "write_locks", "contentions", "splits", "faults",
	"allocations",
};

/* Returns -1 where the file is not there or has no number. */
static long long read_number(const char *directory, const char *name, const char *file)
{
	char path[128];
	long long number = -1;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/%s", directory, name, file);
	f = fopen(path, "r");
	if (!f)
		return -1;
	if (fscanf(f, "%lld", &number) != 1)
		number = -1;
	fclose(f);
	return number;
}

static long long tracepoint_id(const char *name)
{
	long long id = read_number("/sys/kernel/tracing/events", name, "id");

	return id < 0 ? read_number("/sys/kernel/debug/tracing/events", name, "id") : id;
}

static int open_counter(const struct perf_event_attr *attr)
{
	return syscall(SYS_perf_event_open, attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/* Counts for the calling thread and those it makes. Returns -1 where that can't be done. */
static int open_source(const struct source *source)
{
	struct perf_event_attr attr = { .size = sizeof(attr), .inherit = 1 };
	long long id = 0;
	int fd;

	if (source->kind == TRACEPOINT) {
		attr.type = PERF_TYPE_TRACEPOINT;
		id = tracepoint_id(source->what);
		attr.config = id;
	} else if (source->kind == PROBE) {
		id = read_number("/sys/bus/event_source/devices", "kprobe", "type");
		attr.type = id;
		attr.kprobe_func = (uintptr_t)source->what;
	} else {
		attr.type = PERF_TYPE_SOFTWARE;
		attr.config = PERF_COUNT_SW_PAGE_FAULTS;
	}
	if (id < 0)
		return -1;
	fd = open_counter(&attr);
	if (fd < 0 && source->renamed) {
		attr.kprobe_func = (uintptr_t)source->renamed;
		fd = open_counter(&attr);
	}
	if (fd >= 0 && source->filter && ioctl(fd, PERF_EVENT_IOC_SET_FILTER, source->filter))
		err(FAILED, "can't filter %s", source->what);
	return fd;
}

static unsigned long long read_source(int fd, const char *what)
{
	unsigned long long count;

	if (read(fd, &count, sizeof(count)) != sizeof(count))
		err(FAILED, "can't read the counter of %s", what);
	return count;
}

/**
 * event_counted() - can it be counted on this architecture?
 * @event: the event
 *
 * Others than x86 take a spin lock without a call, and never say that they flush.
 *
 * Return: false if not.
 */
bool event_counted(enum event event)
{
#ifdef __x86_64__
	return true;
#else
	return event != EVENT_TLB_FLUSHES && event != EVENT_SPIN_LOCKS;
#endif
}

/**
 * flushes_open() - start to count the TLB flushes of this process
 *
 * Return: a descriptor for flushes_read(), to be closed; -1 where the kernel
 * has no such tracepoint or the privilege is missing.
 */
int flushes_open(void)
{
	return event_counted(EVENT_TLB_FLUSHES) ? open_source(&sources[EVENT_TLB_FLUSHES]) : -1;
}

/**
 * flushes_read() - how many TLB flushes so far?
 * @fd: from flushes_open(), -1 included
 *
 * Return: flushes since flushes_open(), 0 where they can't be counted.
 */
unsigned long long flushes_read(int fd)
{
	return fd < 0 ? 0 : read_source(fd, sources[EVENT_TLB_FLUSHES].what);
}

/**
 * events_open() - start to count all events of this thread and those it makes
 * @counters: for events_read() and events_close()
 *
 * Ends the program where one of them can't be counted and event_counted() says it can.
 */
void events_open(struct event_counters *counters)
{
	for (size_t i = 0; i < NR_SOURCES; i++) {
		counters->fds[i] = open_source(&sources[i]);
		if (counters->fds[i] < 0 && event_counted(sources[i].event))
			errx(CANNOT, "can't count %s: be root on a kernel of 'make bench'",
			     sources[i].what);
	}
}

/**
 * events_read() - how many events so far?
 * @counters: from events_open()
 * @counts: result: each kind since events_open()
 */
void events_read(const struct event_counters *counters, unsigned long long counts[NR_EVENTS])
{
	memset(counts, 0, NR_EVENTS * sizeof(*counts));
	for (size_t i = 0; i < NR_SOURCES; i++)
		if (counters->fds[i] >= 0)
			counts[sources[i].event] += read_source(counters->fds[i], sources[i].what);
}

/**
 * events_close() - stop to count; that makes the kernel as fast again as it was
 * @counters: from events_open()
 */
void events_close(const struct event_counters *counters)
{
	for (size_t i = 0; i < NR_SOURCES; i++)
		if (counters->fds[i] >= 0)
			close(counters->fds[i]);
}
