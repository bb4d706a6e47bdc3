// SPDX-License-Identifier: GPL-2.0
/*
 * Swap entries and the swap cache: moved as they are, nothing read in. Touches single entries.
 */

#include "anon_move.h"

static __hot_inline enum anon_move_stop check_swap(pte_t pte, softleaf_t entry)
{
	if (likely(softleaf_is_swap(entry)))
		return likely(pte_swp_exclusive(pte)) ? ANON_MOVE_DONE : ANON_MOVE_SHARED;
	return softleaf_is_migration(entry) ? ANON_MOVE_MIGRATING : ANON_MOVE_MARKER;
}

/* Guards, poison, frames that failed: nothing but the entry says where they are. */
static bool goes_along(const struct anon_move *am, softleaf_t entry)
{
	return anon_move_whole_mapping(am) && !softleaf_is_device_private(entry) &&
	       !softleaf_is_device_exclusive(entry);
}

/**
 * anon_move_check_swap() - may what is neither present nor none move?
 * @am: the move
 * @pte: the source entry
 *
 * Only a swap entry of this mapping alone may; what else there is, stays (O9).
 *
 * Context: the entry's page-table lock.
 * Return: %ANON_MOVE_DONE, %ANON_MOVE_SHARED, %ANON_MOVE_MIGRATING or %ANON_MOVE_MARKER.
 */
enum anon_move_stop anon_move_check_swap(const struct anon_move *am, pte_t pte)
{
	softleaf_t entry = softleaf_from_pte(pte);
	enum anon_move_stop stop = check_swap(pte, entry);

	return stop == ANON_MOVE_MARKER && goes_along(am, entry) ? ANON_MOVE_DONE : stop;
}

static __hot_inline void move_entry(struct anon_move *am, struct anon_move_batch *b,
				    unsigned int i, pte_t pte)
{
	pte_clear(am->req->mm, anon_move_src(b, i), b->src_pte + i);
	set_pte_at(am->req->mm, anon_move_dst(b, i), b->dst_pte + i, pte);
}

/**
 * anon_move_swapped() - move a swap entry, whatever folio its slot has
 * @am: the move
 * @b: the batch
 * @i: index of the entry
 * @pte: the entry, exclusive
 *
 * Context: both page-table locks; if its slot has a folio in the cache, that is locked.
 */
__always_inline void anon_move_swapped(struct anon_move *am, struct anon_move_batch *b,
				       unsigned int i, pte_t pte)
{
	pte = pte_swp_mksoft_dirty(pte);
	if (am->uffd == ANON_MOVE_UFFD_CLEAR)
		pte = pte_swp_clear_uffd(pte);
	else if (am->uffd == ANON_MOVE_UFFD_PROTECT || am->uffd == ANON_MOVE_UFFD_ARM)
		pte = pte_swp_mkuffd(pte);
	move_entry(am, b, i, pte);
	anon_move_count(ANON_MOVE_MOVED_SWAP, 1);
}

/* Nothing is left to be installed in its place. */
static __hot_inline void move_swapped(struct anon_move *am, struct anon_move_batch *b,
				      unsigned int i, pte_t pte)
{
	anon_move_swapped(am, b, i, pte);
	b->staging->moved[i] = __pte(0);
}

/* What is no swap entry that may move. Out of the way of those that may. */
static noinline unsigned int move_other(struct anon_move *am, struct anon_move_batch *b,
					unsigned int i, pte_t pte, enum anon_move_stop stop)
{
	if (stop != ANON_MOVE_MARKER || !goes_along(am, softleaf_from_pte(pte)))
		return anon_move_end(b, stop);
	move_entry(am, b, i, pte);
	b->staging->moved[i] = __pte(0);
	return 1;
}

/* Are the @nr entries from @i on those of the folio in slots @first and on, and may all move? */
static bool all_follow(const struct anon_move_batch *b, unsigned int i,
		       softleaf_t first, unsigned int nr)
{
	unsigned int k;

	if (nr > b->max - i)
		return false;
	for (k = 0; k < nr; k++) {
		pte_t pte = ptep_get(b->src_pte + i + k);

		if (pte_none(pte) || pte_present(pte) || !pte_swp_exclusive(pte) ||
		    softleaf_from_pte(pte).val != first.val + k ||
		    !pte_none(ptep_get(b->dst_pte + i + k)))
			return false;
	}
	return true;
}

/*
 * A folio swapped out but not yet dropped from the cache still says where it
 * was mapped, and would be mapped again as it is (R10). One read ahead has no
 * anon_vma before it is mapped. How many entries are to move with the folio;
 * 0 if it has more than can.
 */
static unsigned int entries_to_move(const struct anon_move_batch *b, unsigned int i,
				    struct folio *folio, softleaf_t entry)
{
	unsigned int nr = folio_nr_pages(folio);

	if (nr == 1 || !folio_test_anon(folio))
		return 1;
	return folio->swap.val == entry.val && all_follow(b, i, entry, nr) ? nr : 0;
}

/* The folio is locked. It is that of the entry: who holds the slot and a reference keeps it so. */
static unsigned int move_cached_locked(struct anon_move *am, struct anon_move_batch *b,
				       unsigned int i, struct folio *folio)
{
	unsigned int nr = entries_to_move(b, i, folio, softleaf_from_pte(ptep_get(b->src_pte + i)));
	unsigned int k;

	if (!nr) {
		folio_get(folio);
		am->folio = folio;
		return anon_move_end(b, ANON_MOVE_CACHED);
	}
	if (folio_test_anon(folio))
		anon_move_reindex(am, folio, anon_move_dst(b, i));
	for (k = i; k < i + nr; k++)
		move_swapped(am, b, k, ptep_get(b->src_pte + k));
	folio_unlock(folio);
	return nr;
}

static unsigned int move_cached(struct anon_move *am, struct anon_move_batch *b,
				unsigned int i, struct folio *folio)
{
	if (anon_move_next_has_room(b, i, folio_nr_pages(folio)))
		return anon_move_end(b, ANON_MOVE_DONE);
	if (anon_move_should_fail() || !folio_trylock(folio))
		return anon_move_end(b, anon_move_busy(am, folio));
	return move_cached_locked(am, b, i, folio);
}

static noinline unsigned int move_in_cache(struct anon_move *am, struct anon_move_batch *b,
					   unsigned int i, softleaf_t entry)
{
	struct folio *folio = anon_move_cached_folio(entry);
	unsigned int nr;

	/* A slot being read past the cache, or being given back: soon over. */
	if (!folio)
		return anon_move_end(b, ANON_MOVE_LOCKED);
	nr = move_cached(am, b, i, folio);
	folio_put(folio);
	return nr;
}

/**
 * anon_move_swap() - move what is neither present nor none, if it is in swap
 * @am: the move; @am->folio is set when there is a folio to wait for or to
 *	get out of the cache
 * @b: the batch; @b->stop is set when nothing moves
 * @i: index of the entry
 * @pte: the entry
 *
 * Moved as it is, nothing is read in, and at once, as no TLB has it.
 *
 * The page-table lock pins the entry, and with it the slot: its cache flag was
 * set before the lock was taken if it matters at all, because a folio that
 * enters the cache from now on was read in and is not mapped yet (R11).
 *
 * Context: both page-table locks.
 * Return: entries moved, or 0 with %ANON_MOVE_SHARED, %ANON_MOVE_MIGRATING,
 *	   %ANON_MOVE_MARKER, %ANON_MOVE_LOCKED, %ANON_MOVE_DONE if the next batch
 *	   can move them, or %ANON_MOVE_CACHED with the folio locked and a
 *	   reference to it in @am->folio.
 */
unsigned int anon_move_swap(struct anon_move *am, struct anon_move_batch *b,
			    unsigned int i, pte_t pte)
{
	softleaf_t entry = softleaf_from_pte(pte);
	enum anon_move_stop stop = check_swap(pte, entry);

	if (unlikely(stop))
		return move_other(am, b, i, pte, stop);
	if (anon_move_slot_cached(entry))
		return move_in_cache(am, b, i, entry);
	move_swapped(am, b, i, pte);
	return 1;
}

#include "tests/swap-kunit.h"
