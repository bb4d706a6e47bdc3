// SPDX-License-Identifier: GPL-2.0
/*
 * Walks source and destination together, PMD by PMD, and hands each stretch to what can move it.
 */

#include "anon_move.h"

#define CREATE_TRACE_POINTS
#include <trace/events/anon_move.h>

/*
 * How long without progress before the caller is told, whatever a tick is. What
 * is waited for asleep is not cut short by it. Who was not given a CPU for so
 * long, or slept, still tries a few times.
 */
#define ANON_MOVE_PATIENCE	(HZ / 2)
#define ANON_MOVE_MIN_TRIES	16

const struct anon_move_stop_info anon_move_stop_info[ANON_MOVE_NR_STOPS] = {
	[ANON_MOVE_DONE]	= { "done", 0 },
	[ANON_MOVE_WRITER]	= { "writer", EAGAIN },
	[ANON_MOVE_LOCKED]	= { "locked", EAGAIN },
	[ANON_MOVE_WRITEBACK]	= { "writeback", EAGAIN },
	[ANON_MOVE_LARGE]	= { "large", EBUSY },
	[ANON_MOVE_SPLIT_FAILED]	= { "split_failed", EBUSY },
	[ANON_MOVE_MIGRATING]	= { "migrating", EAGAIN },
	[ANON_MOVE_RACED]	= { "raced", EAGAIN },
	[ANON_MOVE_EXISTS]	= { "exists", EEXIST },
	[ANON_MOVE_HOLE]	= { "hole", ENOENT },
	[ANON_MOVE_SHARED]	= { "shared", EBUSY },
	[ANON_MOVE_PINNED]	= { "pinned", EBUSY },
	[ANON_MOVE_CACHED]	= { "cached", EBUSY },
	[ANON_MOVE_MARKER]	= { "marker", EFAULT },
	[ANON_MOVE_NOMEM]	= { "nomem", ENOMEM },
	[ANON_MOVE_KILLED]	= { "killed", EINTR },
	[ANON_MOVE_VMA]		= { "vma", EINVAL },
};

/**
 * anon_move_trace_batch() - the trace event of a batch
 * @b: the batch, over
 *
 * Context: any; asked for only while somebody listens.
 */
void anon_move_trace_batch(const struct anon_move_batch *b)
{
	trace_anon_move_batch(b);
}

/**
 * anon_move_leading_none() - how many entries from an address on are empty?
 * @mm: the address space
 * @pmd: of the page table
 * @addr: of the first entry
 * @size: bytes to look at, all in this table
 *
 * Context: the VMA locked; takes the page-table lock.
 * Return: entries, or -1 if the table went away.
 */
long anon_move_leading_none(struct mm_struct *mm, pmd_t *pmd, unsigned long addr,
			    unsigned long size)
{
	long i, nr = size >> PAGE_SHIFT;
	spinlock_t *ptl; /* of the table that @pmd points to */
	pte_t *pte;

	pte = pte_offset_map_lock(mm, pmd, addr, &ptl);
	if (!pte)
		return -1;
	anon_move_mapped();
	for (i = 0; i < nr && pte_none(ptep_get(pte + i)); i++)
		;
	pte_unmap_unlock(pte, ptl);
	return i;
}

/*
 * None also is, for a moment, a huge zero page that is being split and a pinned
 * huge page that is being put back, both under this lock; what a collapse takes
 * away without it, it does with the VMA write-locked (O15).
 */
static __hot_inline pmd_t settled_pmd(struct mm_struct *mm, pmd_t *pmdp)
{
	pmd_t pmd = anon_move_pmd_or_none(pmdp);
	spinlock_t *ptl; /* of @pmdp */

	if (!pmdp || !pmd_none(pmd))
		return pmd;
	ptl = pmd_lock(mm, pmdp);
	pmd = pmdp_get_lockless(pmdp);
	spin_unlock(ptl);
	return pmd;
}

static void pass_holes(struct anon_move *am, unsigned long size)
{
	am->done += size;
	anon_move_count(ANON_MOVE_HOLES, size >> PAGE_SHIFT);
}

/*
 * Nothing seems to be mapped in the source for @b->size bytes. That makes no page
 * table for the destination (O4), but an occupied destination is still an error.
 */
static __hot_inline enum anon_move_stop step_hole(struct anon_move *am,
						  struct anon_move_batch *b)
{
	struct mm_struct *mm = am->req->mm;
	long nr = b->size >> PAGE_SHIFT;
	pmd_t pmd;

	if (!pmd_none(settled_pmd(mm, b->src_pmd)))
		return ANON_MOVE_RACED;
	pmd = settled_pmd(mm, b->dst_pmd);
	/* The base looks at the source's PUD, then the destination, then the source's PMD. */
	if (b->src_pmd && anon_move_pmd_huge(pmd))
		return ANON_MOVE_EXISTS;
	if (!anon_move_holes_allowed(am))
		return ANON_MOVE_HOLE;
	if (anon_move_pmd_huge(pmd))
		return ANON_MOVE_EXISTS;
	if (!pmd_none(pmd))
		nr = anon_move_leading_none(mm, b->dst_pmd, b->dst, b->size);
	if (nr < 0)
		return ANON_MOVE_RACED;
	pass_holes(am, nr * PAGE_SIZE);
	return nr < b->size >> PAGE_SHIFT ? ANON_MOVE_EXISTS : ANON_MOVE_DONE;
}

static noinline pmd_t *alloc_pmd(struct mm_struct *mm, unsigned long addr)
{
	p4d_t *p4d = p4d_alloc(mm, pgd_offset(mm, addr), addr);
	pud_t *pud = p4d ? pud_alloc(mm, p4d, addr) : NULL;

	return pud ? pmd_alloc(mm, pud, addr) : NULL;
}

/* The source has a page table; no table, of any level, for the holes it begins with (O4). */
static bool pass_leading_holes(struct anon_move *am, struct anon_move_batch *b)
{
	long holes;

	if (!pmd_none(settled_pmd(am->req->mm, b->dst_pmd)))
		return false;
	holes = anon_move_leading_none(am->req->mm, b->src_pmd, b->src, b->size);
	if (holes <= 0)
		return false;
	pass_holes(am, holes * PAGE_SIZE);
	return true;
}

/**
 * anon_move_make_dst_table() - make the page table that the destination lacks
 * @am: the move
 * @b: the batch; @b->dst_pmd is set
 * @huge: the source is a huge page, or was when somebody looked
 *
 * There gets none, of any level, for what may not move (REGRESSIONS O18): who calls
 * again and again, each time for another place, would fill memory with empty ones.
 *
 * Context: both VMAs read-locked, no other lock; may sleep.
 * Return: %ANON_MOVE_DONE; %ANON_MOVE_NOMEM; or why the first page may not move.
 */
enum anon_move_stop anon_move_make_dst_table(struct anon_move *am, struct anon_move_batch *b,
					     bool huge)
{
	struct mm_struct *mm = am->req->mm;
	enum anon_move_stop stop;

	/* A huge PMD brings its table along, and is checked where it is moved or split. */
	if (huge && b->dst_pmd)
		return ANON_MOVE_DONE;
	stop = huge ? anon_move_check_pmd(am, b) : anon_move_check_pte(am, b);
	if (stop)
		return stop;
	if (!b->dst_pmd) {
		/* Looks at a table before it locks it; others may be filling it. */
		b->dst_pmd = data_race(alloc_pmd(mm, b->dst));
	}
	if (!b->dst_pmd)
		return ANON_MOVE_NOMEM;
	/* Likewise. If it has turned huge, this leaves it and the batch finds no table (V9). */
	if (!huge && data_race(pte_alloc(mm, b->dst_pmd)))
		return ANON_MOVE_NOMEM;
	return ANON_MOVE_DONE;
}

static __hot_inline enum anon_move_stop step_table(struct anon_move *am,
						   struct anon_move_batch *b)
{
	enum anon_move_stop stop = anon_move_ptes(am, b);

	if (stop != ANON_MOVE_LARGE && stop != ANON_MOVE_CACHED)
		return stop;
	anon_move_count_stop(stop);
	if (anon_move_whole_mapping(am))
		return anon_move_apart(am);
	if (anon_move_no_wait(am))
		return anon_move_leave_large(am, stop);
	return stop == ANON_MOVE_LARGE ? anon_move_split(am) : anon_move_drop_cached(am);
}

/* Nothing else of it is read before it is set, and to clear it takes longer than to lock a VMA. */
static __hot_inline void init_batch(const struct anon_move *am, struct anon_move_batch *b)
{
	b->dst = am->req->dst + am->done;
	b->src = am->req->src + am->done;
	/* Not pmd_addr_end(): with a folded PMD that is the end of the range, not of the table. */
	b->size = min3(am->req->len - am->done, PMD_SIZE - (b->dst & ~PMD_MASK),
		       PMD_SIZE - (b->src & ~PMD_MASK));
	b->nr = 0;
	b->flush = false;
	b->large = false;
	b->stop = ANON_MOVE_DONE;
}

static __hot_inline pud_t *find_pud(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;

	if (!pgd_present(pgdp_get(pgd)))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	return p4d_present(p4dp_get(p4d)) ? pud_offset(p4d, addr) : NULL;
}

static __hot_inline pmd_t *find_pmd(pud_t *pud, unsigned long addr)
{
	return pud && pud_present(pudp_get(pud)) ? pmd_offset(pud, addr) : NULL;
}

/* Not mm_find_pmd() twice: most of the way down is the same for both. */
static __hot_inline void find_pmds(struct mm_struct *mm, struct anon_move_batch *b)
{
	pud_t *src = find_pud(mm, b->src), *dst;

	if (likely(src && (b->dst ^ b->src) < P4D_SIZE))
		dst = src - pud_index(b->src) + pud_index(b->dst);
	else
		dst = find_pud(mm, b->dst);
	b->src_pmd = find_pmd(src, b->src);
	b->dst_pmd = find_pmd(dst, b->dst);
}

/*
 * One stretch from the cursor to the next PMD border of either range. Inline, as
 * what calls it: who moves one page pays for each call.
 */
static __hot_inline enum anon_move_stop step(struct anon_move *am)
{
	const struct anon_move_request *req = am->req;
	struct anon_move_batch b __uninitialized;
	enum anon_move_stop stop;
	pmd_t pmd, dst_pmd;
	bool huge;

	init_batch(am, &b);
	find_pmds(req->mm, &b);
	pmd = anon_move_pmd_or_none(b.src_pmd);
	if (pmd_none(pmd))
		return step_hole(am, &b);
	huge = anon_move_pmd_huge(pmd);
	dst_pmd = anon_move_pmd_or_none(b.dst_pmd);
	if (unlikely(pmd_none(dst_pmd))) {
		if (!huge && anon_move_holes_allowed(am) && pass_leading_holes(am, &b))
			return ANON_MOVE_DONE;
		stop = anon_move_make_dst_table(am, &b, huge);
		if (stop)
			return stop;
	} else if (anon_move_pmd_huge(dst_pmd)) {
		return ANON_MOVE_EXISTS;
	}
	return huge ? anon_move_pmd(am, &b) : step_table(am, &b);
}

/* What passes by itself once the VMAs have been let go for a while. */
static bool stop_waits(enum anon_move_stop stop)
{
	return stop == ANON_MOVE_WRITER || stop == ANON_MOVE_LOCKED ||
	       stop == ANON_MOVE_WRITEBACK || stop == ANON_MOVE_SPLIT_FAILED ||
	       stop == ANON_MOVE_CACHED || stop == ANON_MOVE_MIGRATING;
}

/**
 * anon_move_patience_left() - has it not been tried for too long without progress?
 * @am: the move
 *
 * Return: false when the caller is to be told.
 */
bool anon_move_patience_left(const struct anon_move *am)
{
	if (likely(am->tries < ANON_MOVE_MIN_TRIES))
		return true;
	return !anon_move_no_wait(am) && time_before(jiffies, am->since + ANON_MOVE_PATIENCE);
}

static enum anon_move_stop stopped(enum anon_move_stop stop)
{
	anon_move_count_stop(stop);
	return stop;
}

/*
 * As far as one hold of the VMA locks goes. With %ANON_MOVE_SPAN the request may have become
 * shorter than what has moved, as its VMAs did.
 */
static __hot_inline enum anon_move_stop walk(struct anon_move *am)
{
	while (am->done < am->req->len) {
		unsigned long done = am->done;
		enum anon_move_stop stop = stopped(step(am));

		if (likely(am->done > done))
			am->tries = 0;
		else if (!am->tries++)
			am->since = jiffies;
		if (am->done == am->req->len)
			break;
		if (stop && stop != ANON_MOVE_RACED)
			return stop;
		if (!anon_move_patience_left(am))
			return ANON_MOVE_RACED;
		if (stop)
			anon_move_count(ANON_MOVE_RETRIES, 1);
		if (fatal_signal_pending(current))
			return stopped(ANON_MOVE_KILLED);
		if (anon_move_writer_waits(am))
			return stopped(ANON_MOVE_WRITER);
		cond_resched();
	}
	return ANON_MOVE_DONE;
}

/* One hold of the VMA locks. */
static __hot_inline enum anon_move_stop walk_locked(struct anon_move *am)
{
	enum anon_move_stop stop;

	am->error = anon_move_lock_vmas(am);
	if (am->error)
		return stopped(ANON_MOVE_VMA);
	stop = walk(am);
	anon_move_unlock_vmas(am);
	return stop;
}

/* Hold after hold, until all is moved or something is in the way that stays. */
static __hot_inline enum anon_move_stop walk_patiently(struct anon_move *am)
{
	for (;;) {
		enum anon_move_stop stop = walk_locked(am);

		if (likely(!stop_waits(stop)) || anon_move_no_wait(am) ||
		    !anon_move_patience_left(am))
			return stop;
		anon_move_count(ANON_MOVE_RETRIES, 1);
		anon_move_wait(am, stop);
		if (fatal_signal_pending(current))
			return stopped(ANON_MOVE_KILLED);
	}
}

/**
 * anon_move_pages() - move the pages of one range to another
 * @req: what to move
 *
 * Moves page after page in address order and stops at the first that can't
 * move: what was moved is then at its new address only, all else at its old
 * address only. Retries by itself what passes (a locked folio, a migration, a
 * large folio being split), but not for ever, and without the VMA locks.
 *
 * Context: no mmap_lock, no VMA lock; may sleep.
 * Return: bytes moved, or if none were:
 *	   -ENOENT a hole in the source, or no VMA at the start of a range
 *	   (-EFAULT with %ANON_MOVE_UNMAPPED_EFAULT);
 *	   -EEXIST something is mapped at the destination;
 *	   -EBUSY a page is shared, pinned, or of a large folio that can't be
 *	   split; -EFAULT a marker or poisoned page in the source;
 *	   -EAGAIN a page or table stayed busy, nothing is wrong with trying
 *	   again; -EINTR a fatal signal is pending; -ENOMEM no memory for a
 *	   page table; -EINVAL see anon_move_lock_vmas(); or what
 *	   the caller's check returned.
 */
ssize_t anon_move_pages(struct anon_move_request *req)
{
	struct anon_move am __uninitialized;
	enum anon_move_stop stop;

	/* The rest is set before it is read, and to clear it would take longer than to move it. */
	am.req = req;
	am.done = 0;
	am.folio = NULL;
	am.tries = 0;
	anon_move_count(ANON_MOVE_CALLS, 1);
	stop = walk_patiently(&am);
	if (unlikely(am.folio))
		folio_put(am.folio);
	trace_anon_move_call(&am, stop);
	return am.done ? am.done : anon_move_errno(&am, stop);
}

/**
 * anon_move_walk() - move what is left of one range
 * @am: the move; @am->done is where it begins, and where it ends
 *
 * Context: no mmap_lock, no VMA lock; may sleep.
 * Return: why it ended; @am->folio may be set.
 */
enum anon_move_stop anon_move_walk(struct anon_move *am)
{
	enum anon_move_stop stop = walk_patiently(am);

	trace_anon_move_call(am, stop);
	return stop;
}

/**
 * anon_move_find_pmds() - find what maps two addresses
 * @mm: the address space
 * @b: the batch, whose addresses are set; its PMDs become NULL if there are none
 *
 * Context: both VMAs locked.
 */
void anon_move_find_pmds(struct mm_struct *mm, struct anon_move_batch *b)
{
	find_pmds(mm, b);
}

/**
 * anon_move_step() - move what lies in one pair of page tables, or as much of it as goes
 * @am: the move; @am->done grows by what was moved, @am->folio may be set
 *
 * Context: both VMAs locked, no other lock; may sleep.
 * Return: why it ended, with or without progress.
 */
enum anon_move_stop anon_move_step(struct anon_move *am)
{
	return stopped(step(am));
}

/**
 * anon_move_look() - what is to be moved next, and which PMDs it lies in
 * @am: the move, VMAs locked
 * @b: its addresses, PMDs (NULL if there are none) and size are set
 *
 * Context: both VMAs locked, no other lock.
 * Return: the source PMD as it is when nobody is in the middle of changing it (O15).
 */
pmd_t anon_move_look(const struct anon_move *am, struct anon_move_batch *b)
{
	init_batch(am, b);
	find_pmds(am->req->mm, b);
	return settled_pmd(am->req->mm, b->src_pmd);
}

/**
 * anon_move_make_table() - see to it that there is a page table for the destination
 * @am: the move
 * @b: the batch; @b->dst_pmd is set
 *
 * Context: both VMAs write-locked; may sleep.
 * Return: false if there is no memory for one.
 */
bool anon_move_make_table(const struct anon_move *am, struct anon_move_batch *b)
{
	if (!b->dst_pmd)
		b->dst_pmd = alloc_pmd(am->req->mm, b->dst);
	return b->dst_pmd && !pte_alloc(am->req->mm, b->dst_pmd);
}

#include "tests/range-kunit.h"
