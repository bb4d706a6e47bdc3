// SPDX-License-Identifier: GPL-2.0
/*
 * Swap entries and the swap cache: moved as they are, nothing read in. Touches single entries.
 */

#include "anon_move.h"

/**
 * anon_move_check_swap() - may this non-present entry move?
 * @pte: a source entry that is neither present nor none
 *
 * Context: the source's page-table lock.
 * Return: %ANON_MOVE_DONE for a swap entry of this mapping alone,
 *	   %ANON_MOVE_SHARED if a forked process uses the slot too (S1.3),
 *	   %ANON_MOVE_MIGRATING, or %ANON_MOVE_MARKER for all else (O9).
 */
enum anon_move_stop anon_move_check_swap(pte_t pte)
{
	swp_entry_t entry = pte_to_swp_entry(pte);

	if (is_migration_entry(entry))
		return ANON_MOVE_MIGRATING;
	if (non_swap_entry(entry))
		return ANON_MOVE_MARKER;
	return pte_swp_exclusive(pte) ? ANON_MOVE_DONE : ANON_MOVE_SHARED;
}

/*
 * A folio swapped out but not yet dropped from the cache still says where it
 * was mapped, and would be mapped again as it is (R10).
 */
static enum anon_move_stop reindex_cached(struct anon_move *am, struct folio *folio,
					  swp_entry_t entry, unsigned long addr)
{
	if (folio_test_large(folio))
		return ANON_MOVE_SWAP_LARGE;
	if (!folio_trylock(folio)) {
		folio_get(folio);
		am->folio = folio;
		return ANON_MOVE_LOCKED;
	}
	/*
	 * Left the cache before it was locked: then nobody finds it by the
	 * entry. A folio read ahead has no anon_vma before it is mapped.
	 */
	if (folio_test_swapcache(folio) && folio->swap.val == entry.val &&
	    folio_test_anon(folio))
		anon_move_reindex(am, folio, addr);
	folio_unlock(folio);
	return ANON_MOVE_DONE;
}

/*
 * The page-table lock pins the entry, and with it the slot: its cache flag was
 * set before the lock was taken if it matters at all, because a folio that
 * enters the cache from now on was read in and is not mapped yet (R11).
 */
static enum anon_move_stop reindex_slot(struct anon_move *am, swp_entry_t entry,
					unsigned long addr)
{
	enum anon_move_stop stop;
	struct folio *folio;

	if (!anon_move_slot_cached(entry))
		return ANON_MOVE_DONE;
	folio = anon_move_cached_folio(entry);
	/* A slot being read past the cache, or being given back: soon over. */
	if (IS_ERR(folio))
		return ANON_MOVE_LOCKED;
	stop = reindex_cached(am, folio, entry, addr);
	folio_put(folio);
	return stop;
}

/**
 * anon_move_swap() - move one swap entry, and its folio if the cache has one
 * @am: the move; @am->folio is set when %ANON_MOVE_LOCKED has one to wait for
 * @b: the batch
 * @i: index of the entry, which anon_move_check_swap() has passed
 * @pte: the entry
 *
 * Context: both page-table locks.
 * Return: %ANON_MOVE_DONE, %ANON_MOVE_LOCKED or %ANON_MOVE_SWAP_LARGE (O6).
 */
enum anon_move_stop anon_move_swap(struct anon_move *am, struct anon_move_batch *b,
				   unsigned int i, pte_t pte)
{
	unsigned long dst = b->dst + i * PAGE_SIZE;
	enum anon_move_stop stop;

	stop = reindex_slot(am, pte_to_swp_entry(pte), dst);
	if (stop)
		return stop;

	if (!userfaultfd_wp(am->dst_vma))
		pte = pte_swp_clear_uffd_wp(pte);
	pte_clear(am->req->mm, b->src + i * PAGE_SIZE, b->src_pte + i);
	set_pte_at(am->req->mm, dst, b->dst_pte + i, pte_swp_mksoft_dirty(pte));
	anon_move_count(ANON_MOVE_MOVED_SWAP, 1);
	return ANON_MOVE_DONE;
}
