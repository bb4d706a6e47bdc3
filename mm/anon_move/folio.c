// SPDX-License-Identifier: GPL-2.0
/*
 * May this folio move? Claims, re-indexes, splits folios, waits for them. Touches no page table.
 */

#include "anon_move.h"

/**
 * anon_move_claim() - lock the folio of a page if the page may move
 * @am: the move; @am->folio is set for a folio to wait for or to split
 * @page: what the source entry maps, NULL if it has no struct page to speak of
 *
 * The entry keeps a mapped folio alive, so a reference is taken only for use
 * after the lock is dropped, and never to wait for a large folio: it would make
 * whoever splits it fail (R8).
 *
 * Context: the source's page-table lock.
 * Return: %ANON_MOVE_DONE with the folio locked, %ANON_MOVE_SHARED,
 *	   %ANON_MOVE_PINNED, %ANON_MOVE_LOCKED, or %ANON_MOVE_LARGE with the
 *	   folio locked and a reference to it in @am->folio.
 */
enum anon_move_stop anon_move_claim(struct anon_move *am, struct page *page)
{
	enum anon_move_stop stop;
	struct folio *folio;

	if (!page)
		return ANON_MOVE_SHARED;
	folio = page_folio(page);
	stop = anon_move_judge(folio, page);
	if (stop)
		return stop;
	if (!folio_trylock(folio)) {
		if (!folio_test_large(folio)) {
			folio_get(folio);
			am->folio = folio;
		}
		return ANON_MOVE_LOCKED;
	}
	if (folio_test_large(folio)) {
		folio_get(folio);
		am->folio = folio;
		return ANON_MOVE_LARGE;
	}
	return ANON_MOVE_DONE;
}

/**
 * anon_move_drop() - give back what anon_move_claim() left in the move
 * @folio: with a reference, and locked if @stop is %ANON_MOVE_LARGE; or NULL
 * @stop: what the claim returned
 *
 * Context: any.
 */
void anon_move_drop(struct folio *folio, enum anon_move_stop stop)
{
	if (!folio)
		return;
	if (stop == ANON_MOVE_LARGE)
		folio_unlock(folio);
	folio_put(folio);
}

/**
 * anon_move_reindex() - tell the reverse map where a folio is now
 * @am: the move
 * @folio: locked; its entries cleared and flushed, the pin check passed
 * @addr: address of its first page in the destination
 *
 * Context: the source's anon_vma root write-locked if the folio was mapped:
 *	    folio_referenced(), page_idle and DAMON walk without the folio lock.
 */
void anon_move_reindex(struct anon_move *am, struct folio *folio, unsigned long addr)
{
	WRITE_ONCE(folio->index, linear_page_index(am->dst_vma, addr));
	/* A walker that finds the new anon_vma is not held off by the old one's lock. */
	smp_wmb();
	folio_move_anon_rmap(folio, am->dst_vma);
}

/**
 * anon_move_split() - split the large folio that ended a batch
 * @am: the move; takes over the locked folio with a reference in @am->folio,
 *	leaves one to wait for there for %ANON_MOVE_WRITEBACK
 *
 * Context: VMA locks; may sleep, takes the folio's anon_vma lock.
 * Return: %ANON_MOVE_DONE, %ANON_MOVE_WRITEBACK, or %ANON_MOVE_UNSPLIT while
 *	   somebody holds a reference.
 */
enum anon_move_stop anon_move_split(struct anon_move *am)
{
	struct folio *folio = am->folio;
	int error;

	if (folio_test_writeback(folio)) {
		folio_unlock(folio);
		return ANON_MOVE_WRITEBACK;
	}
	error = split_folio(folio);
	anon_move_drop(folio, ANON_MOVE_LARGE);
	am->folio = NULL;
	if (error)
		return ANON_MOVE_UNSPLIT;
	anon_move_count(ANON_MOVE_SPLITS, 1);
	return ANON_MOVE_DONE;
}

/**
 * anon_move_wait() - wait for what stopped the walk
 * @am: the move; drops the reference in @am->folio, if there is one
 * @stop: %ANON_MOVE_LOCKED, %ANON_MOVE_WRITEBACK, %ANON_MOVE_UNSPLIT,
 *	  %ANON_MOVE_MIGRATING or %ANON_MOVE_WRITER
 *
 * Context: no locks: whoever holds the folio may need the VMAs (O2); sleeps,
 *	    but not past a fatal signal.
 */
void anon_move_wait(struct anon_move *am, enum anon_move_stop stop)
{
	struct folio *folio = am->folio;

	am->folio = NULL;
	if (folio) {
		if (stop == ANON_MOVE_WRITEBACK)
			folio_wait_writeback_killable(folio);
		else
			folio_wait_locked_killable(folio);
		folio_put(folio);
	} else if (stop != ANON_MOVE_WRITER) {
		/*
		 * To wait for a large folio takes a reference, which would
		 * keep it large (R8); for a migrating one, the VMA lock (O2).
		 */
		schedule_timeout_killable(1);
	}
}
