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
	ANON_MOVE_SPLIT_FAILED,	/* an extra reference keeps it whole */
	ANON_MOVE_MIGRATING,
	ANON_MOVE_RACED,	/* a page table or an entry changed */
	ANON_MOVE_EXISTS,	/* the destination is occupied */
	ANON_MOVE_HOLE,
	ANON_MOVE_SHARED,	/* not exclusive to this mapping */
	ANON_MOVE_PINNED,
	ANON_MOVE_CACHED,	/* a large folio is to leave the swap cache first */
	ANON_MOVE_MARKER,	/* poison and the like */
	ANON_MOVE_NOMEM,
	ANON_MOVE_KILLED,
	ANON_MOVE_VMA,		/* a check of the VMAs failed */
	ANON_MOVE_NR_STOPS,
};

/* Counters of /sys/kernel/debug/anon_move/stats; MOVED_*, HOLES and COPIED in pages. */
enum anon_move_counter {
	ANON_MOVE_CALLS,
	ANON_MOVE_BATCHES,
	ANON_MOVE_MOVED_SMALL,
	ANON_MOVE_MOVED_LARGE,
	ANON_MOVE_MOVED_PMD,
	ANON_MOVE_MOVED_ZERO,
	ANON_MOVE_MOVED_SWAP,
	ANON_MOVE_HOLES,
	ANON_MOVE_COPIED,
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
	unsigned long obstacle[ANON_MOVE_NR_STOPS];
};

/* What becomes of an entry's userfaultfd bit where it arrives. */
enum anon_move_uffd {
	ANON_MOVE_UFFD_CLEAR,
	ANON_MOVE_UFFD_KEEP,
	ANON_MOVE_UFFD_PROTECT,	/* set, and the entry read-only */
	ANON_MOVE_UFFD_ARM,	/* set, and the entry not accessible */
	ANON_MOVE_AS_IS,	/* nothing of the entry changes, but that it is soft-dirty */
};

/**
 * struct anon_move - one move, from the call to its return
 * @req: what was asked for
 * @dst_vma: destination, read-locked while the walk runs
 * @src_vma: source, read-locked likewise; may be @dst_vma
 * @uffd: what the destination asks for, as long as it is locked
 * @done: bytes moved or passed over as holes so far; the cursor of both ranges
 * @folio: with a reference, what the last stop waits for; NULL if nothing
 * @tries: steps without progress since @done last grew
 * @since: jiffies at the first of them
 * @error: 0, or the negative errno of %ANON_MOVE_VMA
 */
struct anon_move {
	struct anon_move_request *req;
	struct vm_area_struct *dst_vma;
	struct vm_area_struct *src_vma;
	enum anon_move_uffd uffd;
	unsigned long done;
	struct folio *folio;
	unsigned int tries;
	int error;
	unsigned long since;
};

/**
 * struct anon_move_vector - several ranges, and which of them is moved
 * @am: the move of the one that comes next, or of a part of it
 * @range: that one; @end if there is none
 * @first: the first one
 * @end: behind the last one
 * @arrived: see anon_move_ranges()
 * @together: no page has had to be put back yet
 */
struct anon_move_vector {
	struct anon_move am;
	struct uffdio_movev_range *range;
	struct uffdio_movev_range *first;
	struct uffdio_movev_range *end;
	anon_move_arrived_t *arrived;
	bool together;
};

/**
 * anon_move_load_range() - make the request the range at the cursor
 * @v: the vector; @v->range is not its end
 */
static inline void anon_move_load_range(struct anon_move_vector *v)
{
	const struct uffdio_movev_range *range = v->range;
	struct anon_move_request *req = v->am.req;

	req->dst = range->dst;
	req->src = range->src;
	req->len = range->len;
	v->am.tries = 0;
}

/**
 * anon_move_errno() - what a call comes to if it moved nothing and ended so
 * @am: the move
 * @stop: why it ended
 *
 * Return: 0, or a negative errno.
 */
static inline int anon_move_errno(const struct anon_move *am, enum anon_move_stop stop)
{
	return am->error ? am->error : -anon_move_stop_info[stop].error;
}

/**
 * struct anon_move_template - what an entry becomes, but for its frame
 * @from: an entry that was taken
 * @from_step: difference to one for the next frame; see anon_move_pte_step()
 * @pfn: frame number of @from
 * @to: what @from becomes
 * @to_step: difference to one for the next frame
 *
 * Most entries differ from the one before by the frame alone. What does not
 * depend on it is worked out once.
 */
struct anon_move_template {
	pte_t from;
	u64 from_step;
	unsigned long pfn;
	pte_t to;
	u64 to_step;
};

/*
 * Entries of a batch. No preemption while they are moved: a page table may have 8192 where
 * pages are of 64 KiB, which would take a million instructions.
 */
#define ANON_MOVE_BATCH_MAX	(MAX_PTRS_PER_PTE < 2048 ? MAX_PTRS_PER_PTE : 2048)

/**
 * struct anon_move_staging - where a CPU keeps what its batch will install
 * @lock: for all of it; innermost, after the page-table locks
 * @template: in a VMA with @prot and @uffd; not even worked out for each call
 * @prot: protection of the destination
 * @uffd: of the move
 * @moved: what the entries of the batch become; none where nothing is to be installed
 */
struct anon_move_staging {
	local_lock_t lock;
	struct anon_move_template template;
	pgprot_t prot;
	enum anon_move_uffd uffd;
	pte_t moved[ANON_MOVE_BATCH_MAX];
};

/**
 * struct anon_move_batch - what one hold of the two page-table locks moves
 * @dst: address of the first destination entry
 * @src: address of the first source entry
 * @dst_pmd: what maps @dst; NULL if there is no such table yet
 * @src_pmd: what maps @src
 * @size: bytes both ranges have left in these two PMDs; the most a batch moves
 * @max: entries that fit into it
 * @nr: entries moved
 * @flush: a page was taken, so a TLB may still have its old entry
 * @large: a large folio was taken
 * @large_pte: a large folio's first entry, dirty and accessed if any of its entries was
 * @large_differs: its entries differed
 * @staging: of the CPU that the batch runs on
 * @stop: why the batch ended before its last entry
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
	unsigned int max;
	unsigned int nr;
	bool flush;
	bool large;
	pte_t large_pte;
	bool large_differs;
	struct anon_move_staging *staging;
	enum anon_move_stop stop;
	struct mmu_notifier_range range;
	spinlock_t *dst_ptl; /* may be src_ptl */
	spinlock_t *src_ptl; /* taken with dst_ptl, in address order */
	pte_t *dst_pte;
	pte_t *src_pte;
};

static inline unsigned long anon_move_dst(const struct anon_move_batch *b, unsigned int i)
{
	return b->dst + i * PAGE_SIZE;
}

static inline unsigned long anon_move_src(const struct anon_move_batch *b, unsigned int i)
{
	return b->src + i * PAGE_SIZE;
}

/* For those who return how many entries they took. */
static inline unsigned int anon_move_end(struct anon_move_batch *b, enum anon_move_stop stop)
{
	b->stop = stop;
	return 0;
}

/**
 * anon_move_next_has_room() - does a folio fit into the next batch only?
 * @b: the batch
 * @i: index of the folio's first entry
 * @nr: entries of the folio
 *
 * Return: true if there is no room from @i on only because of the distance between
 *	   overlapping ranges, or as a batch may have no more entries.
 */
static inline bool anon_move_next_has_room(const struct anon_move_batch *b,
					   unsigned int i, unsigned int nr)
{
	return i && nr > b->max - i && nr <= b->max && b->max < b->size >> PAGE_SHIFT;
}

static inline bool anon_move_holes_allowed(const struct anon_move *am)
{
	return am->req->flags & ANON_MOVE_ALLOW_HOLES;
}

/* Must it end where others would wait? */
static inline bool anon_move_no_wait(const struct anon_move *am)
{
	return unlikely(am->req->flags & ANON_MOVE_NO_WAIT);
}

/* Is it mremap() that moves? It holds the mmap_lock and both VMAs for writing. */
static inline bool anon_move_whole_mapping(const struct anon_move *am)
{
	return am->req->flags & ANON_MOVE_WHOLE_MAPPING;
}

/* What the inline functions below call: debugfs.c, folio.c, ptes.c */
#ifdef CONFIG_ANON_MOVE_FAIL
bool anon_move_should_fail(void);
#else
/* A function, though it be inline, would change how gcc lays out the hot path. */
#define anon_move_should_fail() false
#endif
enum anon_move_stop anon_move_busy(struct anon_move *am, struct folio *folio);
void anon_move_set_template(struct anon_move_template *template, const struct anon_move *am,
			    pte_t pte);

/**
 * anon_move_check_folio() - may the folio of this page move with it?
 * @folio: the folio of @page
 * @page: what the source entry maps
 *
 * Judges by the page, not by the folio's head: half of a large folio may be
 * shared with a child, and not the other half (REGRESSIONS O1).
 *
 * Context: the lock of the entry, which is what keeps the folio alive.
 * Return: %ANON_MOVE_DONE or %ANON_MOVE_SHARED.
 */
static inline enum anon_move_stop anon_move_check_folio(struct folio *folio, struct page *page)
{
	/* In this order: KSM takes the first away, under the lock, before it changes the second. */
	return anon_move_exclusive(page) && folio_test_anon(folio) ?
		ANON_MOVE_DONE : ANON_MOVE_SHARED;
}

/**
 * anon_move_lock() - lock a folio that may move
 * @am: the move; @am->folio is set if there is a folio to wait for
 * @folio: the folio
 *
 * The entry keeps a mapped folio alive: no reference is needed.
 *
 * Context: the source's page-table lock.
 * Return: %ANON_MOVE_DONE with the folio locked, or %ANON_MOVE_LOCKED.
 */
static inline enum anon_move_stop anon_move_lock(struct anon_move *am, struct folio *folio)
{
	if (likely(!anon_move_should_fail() && folio_trylock(folio)))
		return ANON_MOVE_DONE;
	return anon_move_busy(am, folio);
}

/**
 * anon_move_pin_holds() - must a folio stay where it is as it is pinned?
 * @am: the move
 * @folio: the folio
 *
 * Who moves the whole mapping takes pins along.
 *
 * Context: the source's page-table lock.
 * Return: true if it must.
 */
static inline bool anon_move_pin_holds(const struct anon_move *am, struct folio *folio)
{
	return folio_maybe_dma_pinned(folio) && !anon_move_whole_mapping(am);
}

/**
 * anon_move_pinned() - was the folio pinned before its entry was cleared?
 * @am: the move
 * @folio: the folio
 *
 * Either GUP-fast finds the entry gone when it looks again after raising the
 * reference count, or the raised count is seen here (REGRESSIONS R3, R4).
 *
 * Context: the entry was just cleared, under its lock.
 * Return: true if the entry must be put back.
 */
static __hot_inline bool anon_move_pinned(const struct anon_move *am, struct folio *folio)
{
	/*
	 * Pairs with what orders the reference before the second look in
	 * gup_fast(). The exchange that cleared the entry is a full barrier by
	 * itself on x86; one with less order is made one here.
	 */
	smp_mb__after_atomic();
	return (anon_move_should_fail() || folio_maybe_dma_pinned(folio)) &&
	       !anon_move_whole_mapping(am);
}

/**
 * anon_move_reindex() - tell the reverse map where a folio is now
 * @am: the move
 * @folio: locked; its entries cleared, the pin check passed
 * @addr: address of its first page in the destination
 *
 * Context: a page-table lock that keeps the reverse map's walkers out of the destination for
 *	    as long as a TLB may still have the old entry: the source's before the flush, the
 *	    destination's behind it.
 */
static __hot_inline void anon_move_reindex(struct anon_move *am, struct folio *folio,
					   unsigned long addr)
{
	WRITE_ONCE(folio->index, linear_anon_page_index(am->dst_vma, addr));
	folio_move_anon_rmap(folio, am->dst_vma);
}

/**
 * anon_move_moved() - what a present entry becomes
 * @template: what the entries before it became; made anew if this one is of another kind
 * @am: the move
 * @pte: the entry, as it was when it was cleared
 * @pfn: its frame number
 *
 * Return: the entry to install.
 */
static inline pte_t anon_move_moved(struct anon_move_template *template,
				    const struct anon_move *am, pte_t pte, unsigned long pfn)
{
	u64 distance = (u64)pfn - template->pfn;
	pte_t expected = anon_move_pte_add(template->from, distance * template->from_step);

	if (unlikely(!pte_same(pte, expected))) {
		anon_move_set_template(template, am, pte);
		distance = 0;
	}
	return anon_move_pte_add(template->to, distance * template->to_step);
}

/**
 * anon_move_stage() - see a folio off that was taken from the source
 * @am: the move
 * @b: the batch; says what to install when all TLBs are flushed
 * @i: index of its first entry
 * @folio: the folio, locked; its entries cleared, not pinned
 * @pte: its first entry, as it was
 *
 * Context: both page-table locks.
 */
static inline void anon_move_stage(struct anon_move *am, struct anon_move_batch *b,
				   unsigned int i, struct folio *folio, pte_t pte)
{
	anon_move_reindex(am, folio, anon_move_dst(b, i));
	b->staging->moved[i] = anon_move_moved(&b->staging->template, am, pte,
					       folio_pfn(folio));
	b->flush = true;
}

/* vma.c */
int anon_move_lock_vmas(struct anon_move *am);
void anon_move_unlock_vmas(struct anon_move *am);
bool anon_move_writer_waits(struct anon_move *am);

/* kept.c */
bool anon_move_recall_vmas(struct anon_move *am);
void anon_move_keep_vmas(const struct anon_move *am);

/* ptes.c */
enum anon_move_stop anon_move_check_entry(const struct anon_move *am, pte_t pte);
enum anon_move_stop anon_move_check_pte(struct anon_move *am, const struct anon_move_batch *b);
bool anon_move_dst_occupied(const struct anon_move_batch *b);
enum anon_move_stop anon_move_ptes(struct anon_move *am, struct anon_move_batch *b);
bool anon_move_lock_contended(const struct anon_move *am, spinlock_t *first, spinlock_t *second)
	__releases(first);

/* folio.c */
void anon_move_wait(struct anon_move *am, enum anon_move_stop stop);

/* large.c */
pte_t anon_move_add_accesses(pte_t pte, pte_t other);
unsigned int anon_move_take_large(struct anon_move *am, struct anon_move_batch *b,
				  unsigned int i, struct folio *folio, struct page *page);
enum anon_move_stop anon_move_split(struct anon_move *am);
enum anon_move_stop anon_move_drop_cached(struct anon_move *am);
enum anon_move_stop anon_move_leave_large(struct anon_move *am, enum anon_move_stop stop);
bool anon_move_reclaim(struct folio *folio);

/* swap.c */
enum anon_move_stop anon_move_check_swap(const struct anon_move *am, pte_t pte);
unsigned int anon_move_swap(struct anon_move *am, struct anon_move_batch *b,
			    unsigned int i, pte_t pte);
void anon_move_swapped(struct anon_move *am, struct anon_move_batch *b, unsigned int i, pte_t pte);

/* apart.c */
enum anon_move_stop anon_move_apart(struct anon_move *am);
bool anon_move_all_inside(struct anon_move *am);

/* vector.c, together.c */
void anon_move_before_wait(struct anon_move *am);
bool anon_move_together(struct anon_move_vector *v);

/* copy.c */
/* May what stopped so be copied instead? */
static inline bool anon_move_copyable(enum anon_move_stop stop)
{
	return stop == ANON_MOVE_SHARED || stop == ANON_MOVE_PINNED;
}

enum anon_move_stop anon_move_copy(struct anon_move *am);

/* check.c */
enum anon_move_stop anon_move_check(struct anon_move *am);

/* pmd.c */
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
enum anon_move_stop anon_move_check_pmd_locked(const struct anon_move *am, pmd_t pmd);
enum anon_move_stop anon_move_check_pmd(struct anon_move *am, const struct anon_move_batch *b);
enum anon_move_stop anon_move_pmd(struct anon_move *am, struct anon_move_batch *b);
#else
static inline enum anon_move_stop anon_move_check_pmd(struct anon_move *am,
						      const struct anon_move_batch *b)
{
	return ANON_MOVE_RACED;
}

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

/* Of mappings that were to be relocated, by what was in the way; those with nothing too. */
static inline void anon_move_count_obstacle(enum anon_move_stop stop)
{
	this_cpu_inc(anon_move_stats.obstacle[stop]);
}

extern bool anon_move_relocate_always;

/* Whole workloads can be tried so, without a change to the programs. */
static inline bool anon_move_relocates_unasked(void)
{
	return READ_ONCE(anon_move_relocate_always);
}
#else
static inline bool anon_move_relocates_unasked(void) { return false; }
static inline void anon_move_count(enum anon_move_counter counter, unsigned long n) { }
static inline void anon_move_count_stop(enum anon_move_stop stop) { }
static inline void anon_move_count_obstacle(enum anon_move_stop stop) { }
#endif

/* range.c */
void anon_move_trace_batch(const struct anon_move_batch *b);
enum anon_move_stop anon_move_walk(struct anon_move *am);
bool anon_move_patience_left(const struct anon_move *am);
void anon_move_find_pmds(struct mm_struct *mm, struct anon_move_batch *b);
enum anon_move_stop anon_move_make_dst_table(struct anon_move *am, struct anon_move_batch *b,
					     bool huge);
enum anon_move_stop anon_move_step(struct anon_move *am);
pmd_t anon_move_look(const struct anon_move *am, struct anon_move_batch *b);
bool anon_move_make_table(const struct anon_move *am, struct anon_move_batch *b);
long anon_move_leading_none(struct mm_struct *mm, pmd_t *pmd, unsigned long addr,
			    unsigned long size);

/* held.c */
enum anon_move_stop anon_move_walk_held(struct anon_move *am);
bool anon_move_wait_held(struct anon_move *am, enum anon_move_stop stop);

DECLARE_TRACEPOINT(anon_move_batch);

/**
 * anon_move_batch_begin() - what must happen before the page-table locks
 * @am: the move
 * @b: the batch: @b->src and @b->size set
 *
 * The notifier may sleep, so it comes before any page table is mapped
 * (REGRESSIONS V4).
 *
 * Context: VMAs read-locked; may sleep.
 */
static inline void anon_move_batch_begin(struct anon_move *am, struct anon_move_batch *b)
{
	flush_cache_range(am->src_vma, b->src, b->src + b->size);
	mmu_notifier_range_init(&b->range, MMU_NOTIFY_CLEAR, 0, am->req->mm,
				b->src, b->src + b->size);
	mmu_notifier_invalidate_range_start(&b->range);
}

/**
 * anon_move_batch_end() - undo anon_move_batch_begin() and account for the batch
 * @am: the move; @am->done grows by the @b->nr pages of the batch
 * @b: the batch
 *
 * Context: as left by anon_move_batch_begin(), page-table locks dropped.
 */
static inline void anon_move_batch_end(struct anon_move *am, struct anon_move_batch *b)
{
	mmu_notifier_invalidate_range_end(&b->range);

	am->done += b->nr * PAGE_SIZE;
	anon_move_count(ANON_MOVE_BATCHES, 1);
	if (tracepoint_enabled(anon_move_batch))
		anon_move_trace_batch(b);
}

/* Sparse can't follow locks that are held if a function says so, and is not told of them. */
static inline bool lock_pair(const struct anon_move *am, spinlock_t *first, spinlock_t *second)
{
	spin_lock(first);
	if (unlikely(!spin_trylock(second)))
		return anon_move_lock_contended(am, first, second);
	__release(first);
	__release(second);
	return true;
}

/**
 * anon_move_lock_tables() - lock the page tables of a batch
 * @am: the move
 * @b: the batch, both locks known; they may be one
 *
 * Two moves may want the same two the other way round, so the lower address comes first, as a
 * rule. mremap() takes them in the order in which it moves, as nobody else does that under
 * the mmap_lock; but a move does not have that, and other VMAs than mremap()'s may lie in
 * the same two tables.
 *
 * Context: both page-table locks held on success.
 * Return: false if others had one of them each time: then as if a table had gone away. Not
 *	   with %ANON_MOVE_WHOLE_MAPPING, which has the mmap_lock.
 */
static inline bool anon_move_lock_tables(const struct anon_move *am, struct anon_move_batch *b)
{
	if (b->dst_ptl < b->src_ptl)
		return lock_pair(am, b->dst_ptl, b->src_ptl);
	if (b->dst_ptl != b->src_ptl)
		return lock_pair(am, b->src_ptl, b->dst_ptl);
	spin_lock(b->src_ptl);
	__release(b->src_ptl);
	return true;
}

/**
 * anon_move_unlock_tables() - undo anon_move_lock_tables()
 * @b: the batch
 *
 * Context: both page-table locks held on entry.
 */
static inline void anon_move_unlock_tables(struct anon_move_batch *b)
{
	__acquire(b->dst_ptl);
	if (b->src_ptl != b->dst_ptl) {
		__acquire(b->src_ptl);
		spin_unlock(b->src_ptl);
	}
	spin_unlock(b->dst_ptl);
}

/**
 * anon_move_map() - map a page table, as pte_offset_map_rw_nolock() does it
 * @mm: the mm
 * @pmd: the table's entry
 * @addr: an address, of whose entry it returns the place
 * @pmdval: output: what @pmd was; who has taken the lock must see that it still is
 * @ptl: output: the lock of the table's entries
 *
 * Context: the VMA locked; begins an RCU read-side section on success, pte_unmap() ends it.
 * Return: the place, or NULL if the table went away since the walk saw it (R7).
 */
static __hot_inline pte_t *anon_move_map(struct mm_struct *mm, pmd_t *pmd, unsigned long addr,
					 pmd_t *pmdval, spinlock_t **ptl)
{
	pte_t *pte = __pte_offset_map(pmd, addr, pmdval);

	if (likely(pte))
		*ptl = pte_lockptr(mm, pmdval);
	return pte;
}

/**
 * anon_move_try_map() - anon_move_map() of a table that may have gone away
 * @mm: the mm
 * @pmd: the table's entry
 * @addr: an address, of whose entry it returns the place
 * @pmdval: output: what @pmd was
 * @ptl: output: the lock of the table's entries
 *
 * Context: as anon_move_map(). Fault injection may have it fail.
 * Return: the place, or NULL.
 */
static __hot_inline pte_t *anon_move_try_map(struct mm_struct *mm, pmd_t *pmd, unsigned long addr,
					     pmd_t *pmdval, spinlock_t **ptl)
{
	return anon_move_should_fail() ? NULL : anon_move_map(mm, pmd, addr, pmdval, ptl);
}

typedef void (*anon_move_entries_fn)(struct anon_move *am, struct anon_move_batch *b);

/*
 * The destination is mapped, by a PMD that was @dst_pmdval. A table that went
 * away or became a huge page since then ends the batch (R7). Mapped last,
 * unmapped first: the order of kmap_local (R9, R15).
 */
static __hot_inline void anon_move_with_both(struct anon_move *am, struct anon_move_batch *b,
					     pmd_t dst_pmdval, anon_move_entries_fn entries)
{
	pmd_t src_pmdval __uninitialized;

	b->src_pte = anon_move_try_map(am->req->mm, b->src_pmd, b->src, &src_pmdval, &b->src_ptl);
	if (!b->src_pte) {
		b->stop = ANON_MOVE_RACED;
		return;
	}
	anon_move_mapped();

	if (unlikely(!anon_move_lock_tables(am, b))) {
		b->stop = ANON_MOVE_RACED;
		goto unmap;
	}
	if (!anon_move_should_fail() && pmd_same(dst_pmdval, pmdp_get_lockless(b->dst_pmd)) &&
	    pmd_same(src_pmdval, pmdp_get_lockless(b->src_pmd)))
		entries(am, b);
	else
		b->stop = ANON_MOVE_RACED;
	anon_move_unlock_tables(b);
unmap:
	pte_unmap(b->src_pte);
}

/**
 * anon_move_with_tables() - lock both page tables, and work on their entries
 * @am: the move
 * @b: the batch: addresses and PMDs filled in; @b->stop is set if a table went away
 * @entries: what to do then, with @b->src_pte and @b->dst_pte mapped
 *
 * Inline, as @entries is with it.
 *
 * Context: both VMAs read-locked on entry and exit, no page-table lock.
 */
static __hot_inline void anon_move_with_tables(struct anon_move *am, struct anon_move_batch *b,
					       anon_move_entries_fn entries)
{
	pmd_t dst_pmdval __uninitialized;

	b->dst_pte = anon_move_try_map(am->req->mm, b->dst_pmd, b->dst, &dst_pmdval, &b->dst_ptl);
	if (!b->dst_pte) {
		b->stop = ANON_MOVE_RACED;
		return;
	}
	anon_move_mapped();
	anon_move_with_both(am, b, dst_pmdval, entries);
	pte_unmap(b->dst_pte);
}

#endif /* _MM_ANON_MOVE_H */
