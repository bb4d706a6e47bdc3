// SPDX-License-Identifier: GPL-2.0
/*
 * A huge PMD: moved as one entry with its deposited page table, or split. Touches two PMDs.
 */

#include "anon_move.h"

/*
 * Keeps what the entry says of the page (dirty, accessed), takes the
 * destination's protection, and arrives soft-dirty (REGRESSIONS R12).
 */
static pmd_t make_moved_pmd(pmd_t pmd, const struct anon_move *am)
{
	bool zero = is_huge_zero_pmd(pmd);

	if (am->uffd == ANON_MOVE_AS_IS)
		return pmd_mksoft_dirty(pmd);
	pmd = pmd_mksoft_dirty(pmd_modify(pmd, am->dst_vma->vm_page_prot));
	if (am->uffd == ANON_MOVE_UFFD_ARM)
		return pmd_mkuffd(pmd_modify(pmd, PAGE_NONE));
	if (am->uffd == ANON_MOVE_UFFD_CLEAR)
		pmd = pmd_clear_uffd(pmd);
	else if (am->uffd == ANON_MOVE_UFFD_PROTECT)
		pmd = pmd_mkuffd(pmd);
	if (zero || pmd_uffd(pmd))
		return pmd;
	return pmd_mkwrite(pmd, am->dst_vma);
}

/**
 * anon_move_check_pmd_locked() - may what a PMD maps move?
 * @am: the move
 * @pmd: the source PMD, which was seen huge or migrating
 *
 * A shared or pinned THP stays huge (V8). Of any other the PMD may be
 * split, in the expectation that some of it moves; a page that is locked then,
 * or was pinned meanwhile, stays all the same. The folio is split only when a
 * batch comes to it. A migrating one may be either when it is back.
 *
 * Context: the lock of the PMD: nothing else keeps the folio alive.
 * Return: %ANON_MOVE_DONE, or %ANON_MOVE_MIGRATING, %ANON_MOVE_MARKER, %ANON_MOVE_RACED,
 *	   %ANON_MOVE_SHARED or %ANON_MOVE_PINNED.
 */
enum anon_move_stop anon_move_check_pmd_locked(const struct anon_move *am, pmd_t pmd)
{
	enum anon_move_stop stop;

	if (pmd_is_migration_entry(pmd))
		return ANON_MOVE_MIGRATING;
	/* A device has the page; its entries would be no better, so it is not split either (O9). */
	if (pmd_is_device_private_entry(pmd))
		return ANON_MOVE_MARKER;
	/* Split or zapped since the walk looked. */
	if (!pmd_trans_huge(pmd))
		return ANON_MOVE_RACED;
	if (is_huge_zero_pmd(pmd))
		return ANON_MOVE_DONE;
	stop = anon_move_check_folio(pmd_folio(pmd), pmd_page(pmd));
	if (!stop && anon_move_pin_holds(am, pmd_folio(pmd)))
		return ANON_MOVE_PINNED;
	return stop;
}

/**
 * anon_move_check_pmd() - may what a huge PMD maps move?
 * @am: the move
 * @b: the batch: @b->src_pmd, which was seen huge or migrating
 *
 * Context: both VMAs read-locked, no other lock.
 * Return: %ANON_MOVE_DONE, or why not, as long as nothing has changed.
 */
enum anon_move_stop anon_move_check_pmd(struct anon_move *am, const struct anon_move_batch *b)
{
	spinlock_t *ptl = pmd_lock(am->req->mm, b->src_pmd);
	enum anon_move_stop stop = anon_move_check_pmd_locked(am, *b->src_pmd);

	spin_unlock(ptl);
	return stop;
}

/* Both PMD locks held; the folio, if there is one, is locked. */
static enum anon_move_stop move_claimed(struct anon_move *am, struct anon_move_batch *b)
{
	struct mm_struct *mm = am->req->mm;
	/* Never none before it is decided: who walks without the lock would pass it over (O15). */
	pmd_t pmd = pmdp_invalidate(am->src_vma, b->src, b->src_pmd);

	b->flush = true;
	anon_move_count(ANON_MOVE_FLUSHES, 1);
	if (!is_huge_zero_pmd(pmd)) {
		if (anon_move_pinned(am, pmd_folio(pmd))) {
			set_pmd_at(mm, b->src, b->src_pmd, pmd);
			return ANON_MOVE_PINNED;
		}
		anon_move_reindex(am, pmd_folio(pmd), b->dst);
	}
	pmd_clear(b->src_pmd);
	set_pmd_at(mm, b->dst, b->dst_pmd, make_moved_pmd(pmd, am));
	pgtable_trans_huge_deposit(mm, b->dst_pmd,
				   pgtable_trans_huge_withdraw(mm, b->src_pmd));
	return ANON_MOVE_DONE;
}

static enum anon_move_stop move_pmd_locked(struct anon_move *am, struct anon_move_batch *b)
{
	pmd_t pmd = *b->src_pmd;
	bool zero = is_huge_zero_pmd(pmd);
	enum anon_move_stop stop;

	if (anon_move_should_fail() || !pmd_none(*b->dst_pmd))
		return ANON_MOVE_RACED;
	stop = anon_move_check_pmd_locked(am, pmd);
	/* Nothing about the huge zero page depends on where it is mapped: no lock (R2, R16). */
	if (!stop && !zero)
		stop = anon_move_lock(am, pmd_folio(pmd));
	if (stop)
		return stop;

	stop = move_claimed(am, b);
	if (!zero)
		folio_unlock(pmd_folio(pmd));
	if (!stop) {
		b->nr = HPAGE_PMD_NR;
		anon_move_count(zero ? ANON_MOVE_MOVED_ZERO : ANON_MOVE_MOVED_PMD, HPAGE_PMD_NR);
	}
	return stop;
}

static enum anon_move_stop move_whole(struct anon_move *am, struct anon_move_batch *b)
{
	anon_move_batch_begin(am, b);
	b->src_ptl = pmd_lockptr(am->req->mm, b->src_pmd);
	b->dst_ptl = pmd_lockptr(am->req->mm, b->dst_pmd);
	b->stop = ANON_MOVE_RACED;
	if (likely(anon_move_lock_tables(am, b))) {
		flush_tlb_batched_pending(am->req->mm);
		b->stop = move_pmd_locked(am, b);
		anon_move_unlock_tables(b);
	}
	anon_move_batch_end(am, b);
	return b->stop;
}

/**
 * anon_move_pmd() - move what a huge PMD maps, or split the PMD
 * @am: the move; @am->done grows by what was moved
 * @b: the batch: addresses, PMDs and size filled in; the source PMD was seen
 *     huge or migrating
 *
 * Moved as one entry when both ranges have all of it, aligned, and nothing is
 * in the destination PMD, not even an empty page table. Else split, so that
 * the next step finds page table entries; but left as it is if not even the
 * first page can move.
 *
 * Context: both VMAs read-locked on entry and exit, no other lock; may sleep.
 * Return: %ANON_MOVE_DONE if it was moved or split, or why neither could be.
 */
enum anon_move_stop anon_move_pmd(struct anon_move *am, struct anon_move_batch *b)
{
	enum anon_move_stop stop;

	if (b->size == HPAGE_PMD_SIZE && pmd_none(pmdp_get_lockless(b->dst_pmd)))
		return move_whole(am, b);

	stop = anon_move_check_pmd(am, b);
	/* Nothing would move, so nothing is split for it (REGRESSIONS O17). */
	if (!stop && anon_move_dst_occupied(b))
		return ANON_MOVE_EXISTS;
	if (!stop)
		split_huge_pmd(am->src_vma, b->src_pmd, b->src);
	return stop;
}

#include "tests/pmd-kunit.h"
