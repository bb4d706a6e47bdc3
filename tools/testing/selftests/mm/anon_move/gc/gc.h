/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A concurrent compacting collector, as the workload that UFFDIO_MOVE was made
 * for: how its parts fit together, and what all of them use.
 *
 * The heap is one mapping at a fixed address, in regions of 64 pages. Objects
 * are small, of mixed sizes and full of references, or they are leaves: a few
 * whole pages without any reference, in "noscan" regions of their own, so that
 * nobody needs to read them to mark them. Side tables tell the rest: where
 * objects begin, how long leaves are, how many reference slots of an object
 * that began earlier lead a page.
 *
 * A cycle:
 *  1. First pause: mutators retire their regions; the roots are marked. From now
 *     on new objects are born live ("black"), and a write barrier logs each
 *     reference that is overwritten (snapshot at the beginning).
 *  2. The live bitmap is filled while the mutators run. Second pause: what the
 *     barrier has logged is marked too.
 *  3. The plan is made while the mutators run: a region with many live bytes is
 *     dense, and its objects stay; objects of fragmented ones get addresses side
 *     by side; live pages of noscan regions get page addresses side by side.
 *  4. Third pause, the flip: the backend takes the pages of the heap away to
 *     where the collector alone sees them, the roots are rewritten, and whoever
 *     touches the heap from now on faults.
 *  5. GC threads go through the heap, mutators through their faults, and each
 *     page is produced once, by whoever comes first: PAGE_RAW -> PAGE_CLAIMED ->
 *     PAGE_READY -> PAGE_MAPPED. Any thread may publish a page that is ready,
 *     as the one that prepared it may be about to publish a whole run; the kernel
 *     lets one of them win.
 *  6. When all are mapped the rest is dropped, and the heap no longer faults.
 * With delivery "stopped" the third pause lasts until then, and nothing ever faults.
 *
 * Pages are recycled: how many pages to come need each fragmented page is known
 * from the plan; the last one that has read it puts it into the pool, from where
 * it is taken to be filled and moved to another address. The pool begins with a
 * reserve at the end of the heap, which is filled again in the end; so backend
 * "move" allocates no page. Page tables are all the kernel has to allocate.
 *
 * A reference in a page is rewritten before the page is published, so mutators
 * see new addresses only, and need no read barrier but the fault. Leaf pages
 * have no references: they are moved without having been looked at, and so
 * without having been read in from swap.
 *
 * There is one heap in a process, as a signal handler has no other way to know.
 */
#ifndef GC_H
#define GC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

#include "../anon_move_test.h"

#define MIB		(1024 * 1024UL)

/* Exit statuses: the heap is wrong; the options are; this machine can't do it, as KSFT_SKIP. */
#define FAILED		1
#define MISUSED		2
#define CANNOT		4

#define load(p)		__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define store(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)
#define load_relaxed(p)	__atomic_load_n(p, __ATOMIC_RELAXED)
#define store_relaxed(p, v)	__atomic_store_n(p, v, __ATOMIC_RELAXED)
#define add(p, n)	__atomic_fetch_add(p, n, __ATOMIC_RELAXED)

/* gc_compaction.c: how a run ends, or nearly does */
noreturn void hit_wall(const char *format, ...) __printf(1, 2);
void near_wall(const char *text);
noreturn void fail(const char *format, ...) __printf(1, 2);
noreturn void cannot(const char *format, ...) __printf(1, 2);
noreturn void misused(const char *format, ...) __printf(1, 2);

#endif /* GC_H */
