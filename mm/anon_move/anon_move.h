/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The state of one move and of one batch, and what the engine's files call of each other.
 */
#ifndef _MM_ANON_MOVE_H
#define _MM_ANON_MOVE_H

#include "anon_move_internal.h"

/* Why a step, a batch or a call ended; the names and errnos are in range.c. */
enum anon_move_stop {
	ANON_MOVE_DONE,		/* nothing in the way */
	ANON_MOVE_WRITER,	/* somebody wants to write-lock a VMA */
	ANON_MOVE_LOCKED,	/* somebody holds the folio's lock */
	ANON_MOVE_WRITEBACK,	/* a large folio is being written to swap */
	ANON_MOVE_LARGE,	/* a large folio is to be split first */
	ANON_MOVE_UNSPLIT,	/* an extra reference keeps it whole */
	ANON_MOVE_MIGRATING,
	ANON_MOVE_RACED,	/* a page table or an entry changed */
	ANON_MOVE_EXISTS,	/* the destination is occupied */
	ANON_MOVE_HOLE,
	ANON_MOVE_SHARED,	/* not exclusive to this mapping */
	ANON_MOVE_PINNED,
	ANON_MOVE_SWAP_LARGE,	/* a large folio in the swap cache */
	ANON_MOVE_MARKER,	/* poison and the like */
	ANON_MOVE_NOMEM,
	ANON_MOVE_KILLED,
	ANON_MOVE_VMA,		/* a check of the VMAs failed */
	ANON_MOVE_NR_STOPS,
};

/* Counters of /sys/kernel/debug/anon_move/stats; MOVED_* and HOLES in pages. */
enum anon_move_counter {
	ANON_MOVE_CALLS,
	ANON_MOVE_BATCHES,
	ANON_MOVE_MOVED_SMALL,
	ANON_MOVE_MOVED_LARGE,
	ANON_MOVE_MOVED_PMD,
	ANON_MOVE_MOVED_ZERO,
	ANON_MOVE_MOVED_SWAP,
	ANON_MOVE_HOLES,
	ANON_MOVE_FLUSHES,
	ANON_MOVE_SPLITS,
	ANON_MOVE_RETRIES,
	ANON_MOVE_NR_COUNTERS,
};

/**
 * struct anon_move_stop_info - what a stop is called and comes to
 * @name: as in the statistics and trace events
 * @error: positive errno of a call that moved nothing and ended so
 */
struct anon_move_stop_info {
	const char *name;
	int error;
};

extern const struct anon_move_stop_info anon_move_stop_info[ANON_MOVE_NR_STOPS];

struct anon_move_stats {
	unsigned long count[ANON_MOVE_NR_COUNTERS];
	unsigned long stop[ANON_MOVE_NR_STOPS];
};

/**
 * struct anon_move - one move, from the call to its return
 * @req: what was asked for
 * @dst_vma: destination, read-locked while the walk runs
 * @src_vma: source, read-locked likewise; may be @dst_vma
 * @done: bytes moved or passed over as holes so far; the cursor of both ranges
 * @folio: with a reference, what the last stop waits for; NULL if nothing
 * @tries: steps without progress since @done last grew
 * @error: 0, or the negative errno of ANON_MOVE_VMA
 */
struct anon_move {
	const struct anon_move_request *req;
	struct vm_area_struct *dst_vma;
	struct vm_area_struct *src_vma;
	unsigned long done;
	struct folio *folio;
	unsigned int tries;
	int error;
};

/**
 * struct anon_move_batch - what one hold of the two page-table locks moves
 * @dst: address of the first destination entry
 * @src: address of the first source entry
 * @dst_pmd: what maps @dst
 * @src_pmd: what maps @src
 * @size: bytes both ranges have left in these two PMDs; the most a batch moves
 * @nr: entries collected, then entries moved
 * @flush: a cleared entry may be in a TLB
 * @stop: why the batch ended before its last entry
 * @anon_vma: write-locked (its root), NULL while the source VMA has none
 * @range: mmu notifier range over the source
 * @dst_ptl: page-table lock of the destination
 * @src_ptl: page-table lock of the source; may be @dst_ptl
 * @dst_pte: mapped entry of @dst
 * @src_pte: mapped entry of @src
 */
struct anon_move_batch {
	unsigned long dst;
	unsigned long src;
	pmd_t *dst_pmd;
	pmd_t *src_pmd;
	unsigned long size;
	unsigned int nr;
	bool flush;
	enum anon_move_stop stop;
	struct anon_vma *anon_vma;
	struct mmu_notifier_range range;
	spinlock_t *dst_ptl; /* may be src_ptl */
	spinlock_t *src_ptl; /* taken with dst_ptl, in address order */
	pte_t *dst_pte;
	pte_t *src_pte;
};

static inline bool anon_move_holes_allowed(const struct anon_move *am)
{
	return am->req->flags & ANON_MOVE_ALLOW_HOLES;
}

/**
 * anon_move_judge() - may the folio of this page move with it?
 * @folio: the folio of @page
 * @page: what the source entry maps
 *
 * Judges by the page, not by the folio's head: half of a large folio may be
 * shared with a child, and not the other half (REGRESSIONS O1). Asked before
 * anything is split, so that what may not move stays as large as it was (V8).
 *
 * Context: the lock of the entry, which is what keeps the folio alive.
 * Return: %ANON_MOVE_DONE, %ANON_MOVE_SHARED or %ANON_MOVE_PINNED.
 */
static inline enum anon_move_stop anon_move_judge(struct folio *folio, struct page *page)
{
	if (!folio_test_anon(folio) || !PageAnonExclusive(page))
		return ANON_MOVE_SHARED;
	if (folio_maybe_dma_pinned(folio))
		return ANON_MOVE_PINNED;
	return ANON_MOVE_DONE;
}

/* range.c */
void anon_move_batch_begin(struct anon_move *am, struct anon_move_batch *b);
void anon_move_batch_end(struct anon_move *am, struct anon_move_batch *b);

/* vma.c */
int anon_move_lock_vmas(struct anon_move *am);
void anon_move_unlock_vmas(struct anon_move *am);
bool anon_move_writer_waits(struct anon_move *am);

/* ptes.c */
enum anon_move_stop anon_move_ptes(struct anon_move *am, struct anon_move_batch *b);

/* folio.c */
enum anon_move_stop anon_move_claim(struct anon_move *am, struct page *page);
void anon_move_drop(struct folio *folio, enum anon_move_stop stop);
void anon_move_reindex(struct anon_move *am, struct folio *folio,
		       unsigned long addr);
enum anon_move_stop anon_move_split(struct anon_move *am);
void anon_move_wait(struct anon_move *am, enum anon_move_stop stop);

/* swap.c */
enum anon_move_stop anon_move_check_swap(pte_t pte);
enum anon_move_stop anon_move_swap(struct anon_move *am, struct anon_move_batch *b,
				   unsigned int i, pte_t pte);

/* pmd.c */
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
enum anon_move_stop anon_move_pmd(struct anon_move *am, struct anon_move_batch *b);
#else
static inline enum anon_move_stop anon_move_pmd(struct anon_move *am,
						struct anon_move_batch *b)
{
	return ANON_MOVE_RACED;
}
#endif

#ifdef CONFIG_ANON_MOVE_STATS
DECLARE_PER_CPU(struct anon_move_stats, anon_move_stats);

static inline void anon_move_count(enum anon_move_counter counter, unsigned long n)
{
	this_cpu_add(anon_move_stats.count[counter], n);
}

static inline void anon_move_count_stop(enum anon_move_stop stop)
{
	this_cpu_inc(anon_move_stats.stop[stop]);
}
#else
static inline void anon_move_count(enum anon_move_counter counter, unsigned long n) { }
static inline void anon_move_count_stop(enum anon_move_stop stop) { }
#endif

#endif /* _MM_ANON_MOVE_H */
