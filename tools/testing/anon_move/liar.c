// SPDX-License-Identifier: GPL-2.0
/*
 * A kernel that says of each range of UFFDIO_MOVEV that it has moved, and moves nothing. Preloaded
 * into a program it shows whether that looks at its pages.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/anon_move.h>

static int lie(struct uffdio_movev *arg)
{
	struct uffdio_movev_range *ranges = (void *)(uintptr_t)arg->ranges;

	for (arg->done = 0; arg->done < arg->count; arg->done++)
		ranges[arg->done].moved = ranges[arg->done].len;
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	return request == UFFDIO_MOVEV ? lie(arg) : (int)syscall(SYS_ioctl, fd, request, arg);
}
