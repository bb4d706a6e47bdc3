// SPDX-License-Identifier: GPL-2.0
/*
 * Counts how often a thread calls a kernel function, by the PMU of kprobes.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>
#include <linux/perf_event.h>

#include "anon_move_test.h"

#define PMU_TYPE	"/sys/bus/event_source/devices/kprobe/type"

/**
 * calls_missing() - can calls of kernel functions be counted?
 *
 * Return: what is missing, or NULL.
 */
const char *calls_missing(void)
{
	return access(PMU_TYPE, R_OK) ? "no " PMU_TYPE " (CONFIG_KPROBE_EVENTS)" : NULL;
}

/**
 * calls_open() - count the calls that a thread makes from now on
 * @function: of the kernel
 * @thread: its id, or 0 for the calling one
 *
 * Return: a descriptor for calls_count() and close(), or -1 if there is no such function.
 */
int calls_open(const char *function, pid_t thread)
{
	struct perf_event_attr attr = { .size = sizeof(attr), .config1 = (uintptr_t)function };
	FILE *file = fopen(PMU_TYPE, "re");
	int found = file ? fscanf(file, "%u", &attr.type) : 0;

	if (file)
		fclose(file);
	if (found != 1)
		return -1;
	return syscall(__NR_perf_event_open, &attr, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/**
 * calls_count() - how many calls were there?
 * @fd: from calls_open()
 *
 * Return: calls since then, -1 if that can't be read.
 */
long long calls_count(int fd)
{
	long long count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : -1;
}
