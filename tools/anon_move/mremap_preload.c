// SPDX-License-Identifier: GPL-2.0
/*
 * LD_PRELOAD object: mremap() that asks for MREMAP_RELOCATE_ANON where the call may move.
 *
 *	LD_PRELOAD=/path/to/mremap_preload.so PROGRAM
 *
 * It meets the calls that a program or a library makes by name. realloc() of the C library
 * moves its large chunks by a call of its own that can't be met so; see the admin guide.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>

#include "mremap_move.h"

/* Newer than some C libraries. */
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif

/* What the flag goes with. Any other is one that we don't know, or the program's own wish. */
#define KNOWN_FLAGS	(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)

enum answer { UNKNOWN, YES, NO };

/*
 * Asked at the first call, as programs call before any constructor of ours would run. Threads
 * that ask at once get the same answer, and a child keeps its parent's.
 */
static int kernel_relocates(void)
{
	static enum answer answer;
	const int saved = errno;

	if (__atomic_load_n(&answer, __ATOMIC_RELAXED) == UNKNOWN) {
		const uintptr_t page = (uintptr_t)&answer & -sysconf(_SC_PAGESIZE);
		const int can = mremap_can_relocate((void *)page);

		__atomic_store_n(&answer, can ? YES : NO, __ATOMIC_RELAXED);
		errno = saved;
	}
	return __atomic_load_n(&answer, __ATOMIC_RELAXED) == YES;
}

/* Some C libraries refuse flags that they don't know, others don't. */
static void *as_without_us(void *old, size_t old_len, size_t new_len, int flags, void *new)
{
	void *(*libc_mremap)(void *old, size_t old_len, size_t new_len, int flags, ...);

	libc_mremap = dlsym(RTLD_NEXT, "mremap");
	return libc_mremap(old, old_len, new_len, flags, new);
}

/*
 * A call that fails is not made again without the flag: its errors are the same, and by then
 * it may have unmapped the destination, or moved the first of several mappings. It does not go
 * through the C library, which may refuse the flag.
 */
void *mremap(void *old, size_t old_len, size_t new_len, int flags, ...)
{
	void *new = NULL;
	va_list args;

	/* Without these flags there may be no fifth argument. */
	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_start(args, flags);
		new = va_arg(args, void *);
		va_end(args);
	}
	if (flags & ~KNOWN_FLAGS)
		return as_without_us(old, old_len, new_len, flags, new);
	if ((flags & MREMAP_MAYMOVE) && kernel_relocates())
		flags |= MREMAP_RELOCATE_ANON;
	return (void *)syscall(SYS_mremap, old, old_len, new_len, flags, new);
}
