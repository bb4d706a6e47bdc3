// SPDX-License-Identifier: GPL-2.0
/*
 * Large folios that are mapped by entries: taken whole, or got rid of. Touches two page tables.
 */

#include "anon_move.h"

/* It is split before it is tried again, unless the next batch can take all of it. */
static unsigned int end_at_large(struct anon_move *am, struct anon_move_batch *b,
				 unsigned int i, struct folio *folio)
{
	enum anon_move_stop stop = ANON_MOVE_LARGE;

	if (anon_move_next_has_room(b, i, folio_nr_pages(folio)))
		stop = ANON_MOVE_DONE;
	else if (anon_move_pin_holds(am, folio))
		stop = ANON_MOVE_PINNED; /* stays as large as it was (REGRESSIONS V8) */

	if (stop == ANON_MOVE_LARGE) {
		folio_get(folio);
		am->folio = folio;
	} else {
		folio_unlock(folio);
	}
	return anon_move_end(b, stop);
}

/* Differences that moving levels out, most of them as fork() does for the entries of one folio. */
static pte_t comparable(pte_t pte)
{
	pte = pte_modify(pte, PAGE_NONE);
	return pte_clear_soft_dirty(pte_mkold(pte_mkclean(pte)));
}

/**
 * anon_move_add_accesses() - the entry that stands for two of one folio
 * @pte: one of them
 * @other: the other one, which the CPU may have set bits of
 *
 * Return: @pte, dirty and accessed if either is.
 */
pte_t anon_move_add_accesses(pte_t pte, pte_t other)
{
	if (pte_dirty(other))
		pte = pte_mkdirty(pte);
	if (pte_young(other))
		pte = pte_mkyoung(pte);
	return pte;
}

/* False for another page, or if uffd-wp differs. Else @b->large_pte takes up dirty and accessed. */
static noinline bool add_entry(struct anon_move_batch *b, pte_t pte, pte_t expected)
{
	if (!pte_present(pte) || !pte_same(comparable(pte), comparable(expected)))
		return false;
	b->large_differs = true;
	b->large_pte = anon_move_add_accesses(b->large_pte, pte);
	return true;
}

/*
 * Entries that differed come back as one: too soft-dirty is safe, and who may
 * not write any more must not do so by an entry that is still in a TLB. Nor may
 * there be any where they come back folded and were not before (arm64).
 */
static void put_back(struct anon_move *am, struct anon_move_batch *b, unsigned int i,
		     unsigned int nr)
{
	pte_t pte = b->large_differs ? pte_mksoft_dirty(b->large_pte) : b->large_pte;

	if (!nr)
		return;
	if (b->large_differs || ANON_MOVE_BY_BLOCKS)
		flush_tlb_range(am->src_vma, anon_move_src(b, i), anon_move_src(b, i + nr));
	set_ptes(am->req->mm, anon_move_src(b, i), b->src_pte + i, pte, nr);
}

/* As it is, and cleared by that, if it need not be cleared with its neighbours. */
static __always_inline pte_t take_entry(struct mm_struct *mm, unsigned long addr, pte_t *ptep)
{
	return ANON_MOVE_BY_BLOCKS ? anon_move_peek(ptep) : ptep_get_and_clear(mm, addr, ptep);
}

/*
 * Clears all entries of the folio if it can move with one update of its index:
 * all of its pages are mapped here, in order, from entry @i on and within the
 * batch, are exclusive, and the destination has room. Else clears none.
 *
 * Blocks of entries that may be folded (arm64) are looked at first and cleared then,
 * so that they need not be unfolded. The locks keep all as it was seen, but accessed
 * and dirty, which the exchange tells (V1).
 *
 * The new address needs no alignment: the index of an anonymous folio is any
 * number, as after mremap(). What crosses into another page table is split,
 * because its entries can't be cleared under one pair of locks.
 */
static bool clear_whole(struct anon_move *am, struct anon_move_batch *b, unsigned int i,
			struct page *page, unsigned int nr)
{
	pte_t *src_pte = b->src_pte + i, *dst_pte = b->dst_pte + i;
	pte_t pte, expected = anon_move_peek(src_pte);
	const u64 step = anon_move_pte_step(expected);
	unsigned int k;

	b->large_pte = expected;
	b->large_differs = false;
	/* Half of what a page of it costs is the loop. */
	#pragma GCC unroll 16
	for (k = 0; k < nr; k++, expected = anon_move_pte_add(expected, step)) {
		if (!pte_none(anon_move_read(dst_pte + k)) || !anon_move_exclusive(page + k) ||
		    anon_move_should_fail())
			break;
		pte = take_entry(am->req->mm, anon_move_src(b, i + k), src_pte + k);
		if (likely(pte_same(pte, expected)) || add_entry(b, pte, expected))
			continue;
		if (!ANON_MOVE_BY_BLOCKS)
			set_pte_at(am->req->mm, anon_move_src(b, i + k), src_pte + k, pte);
		break;
	}
	if (k < nr) {
		if (!ANON_MOVE_BY_BLOCKS)
			put_back(am, b, i, k);
		return false;
	}
	if (ANON_MOVE_BY_BLOCKS)
		b->large_pte = get_and_clear_full_ptes(am->req->mm, anon_move_src(b, i), src_pte,
						       nr, 0);
	return true;
}

/**
 * anon_move_take_large() - take all entries of a large folio, or none
 * @am: the move; @am->folio is set when there is a folio to be split
 * @b: the batch; @b->stop is set when nothing is taken
 * @i: index of an entry that maps a page of the folio
 * @folio: the folio, locked
 * @page: that page
 *
 * Context: both page-table locks. The folio stays locked until its entries are
 *	    installed.
 * Return: entries taken, or 0 with %ANON_MOVE_DONE if the next batch can take
 *	   them, %ANON_MOVE_PINNED, or %ANON_MOVE_LARGE, the folio still locked
 *	   and a reference to it in @am->folio.
 */
unsigned int anon_move_take_large(struct anon_move *am, struct anon_move_batch *b,
				  unsigned int i, struct folio *folio, struct page *page)
{
	unsigned int nr = folio_nr_pages(folio);

	if (page != &folio->page || nr > b->max - i || !clear_whole(am, b, i, page, nr))
		return end_at_large(am, b, i, folio);
	if (anon_move_pinned(am, folio)) {
		put_back(am, b, i, nr);
		folio_unlock(folio);
		return anon_move_end(b, ANON_MOVE_PINNED);
	}
	anon_move_stage(am, b, i, folio, b->large_pte);
	b->large = true;
	anon_move_count(ANON_MOVE_MOVED_LARGE, nr);
	return nr;
}

/**
 * anon_move_split() - split the large folio that ended a batch
 * @am: the move; takes over the locked folio with a reference in @am->folio,
 *	leaves one to wait for there for %ANON_MOVE_WRITEBACK
 *
 * Context: VMA locks; may sleep, takes the folio's anon_vma lock.
 * Return: %ANON_MOVE_DONE, %ANON_MOVE_WRITEBACK, or %ANON_MOVE_SPLIT_FAILED while
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
	am->folio = NULL;
	error = anon_move_should_fail() ? -EAGAIN : split_folio(folio);
	folio_unlock(folio);
	folio_put(folio);
	if (error)
		return ANON_MOVE_SPLIT_FAILED;
	anon_move_count(ANON_MOVE_SPLITS, 1);
	return ANON_MOVE_DONE;
}

/**
 * anon_move_drop_cached() - get a large folio out of the way of a swap entry
 * @am: the move; takes over the locked folio with a reference in @am->folio,
 *	leaves it there, unlocked, for %ANON_MOVE_WRITEBACK and %ANON_MOVE_CACHED
 *
 * Not all of its entries can move at once, so it must not stay one folio. While
 * a part is mapped it can be split. When none is, split_folio() refuses,
 * but then the swap entries can do without it (O6).
 *
 * Context: VMA locks; may sleep.
 * Return: as anon_move_split(), or %ANON_MOVE_CACHED if it is to be reclaimed.
 */
enum anon_move_stop anon_move_drop_cached(struct anon_move *am)
{
	if (folio_mapped(am->folio) || folio_test_writeback(am->folio))
		return anon_move_split(am);
	folio_unlock(am->folio);
	return ANON_MOVE_CACHED;
}

/**
 * anon_move_leave_large() - leave a large folio as it is that ended a batch
 * @am: the move; gives up the locked folio with a reference in @am->folio
 * @stop: %ANON_MOVE_LARGE or %ANON_MOVE_CACHED
 *
 * For who must not wait: to split it takes a lock that may be long in coming, and to write
 * it out takes longer.
 *
 * Context: VMA locks.
 * Return: @stop
 */
enum anon_move_stop anon_move_leave_large(struct anon_move *am, enum anon_move_stop stop)
{
	struct folio *folio = am->folio;

	am->folio = NULL;
	folio_unlock(folio);
	folio_put(folio);
	return stop;
}

/**
 * anon_move_reclaim() - write a folio out if need be and drop it, as MADV_PAGEOUT does
 * @folio: not mapped, in the swap cache; its reference is dropped
 *
 * One that is not on the LRU lists yet, or referenced by somebody, stays. So
 * does one that was mapped and mlocked since the locks were dropped: reclaim
 * must not be given it (REGRESSIONS O16).
 *
 * Context: no locks, as this may do I/O; may sleep.
 * Return: true if it was dropped, false if it is worth trying after a while.
 */
bool anon_move_reclaim(struct folio *folio)
{
	LIST_HEAD(list);
	bool isolated = folio_isolate_lru(folio);

	/* Reclaim gives up where there are more references than that of the list. */
	folio_put(folio);
	if (!isolated)
		return false;
	/* It stays what it is while it is off its list. */
	if (folio_test_unevictable(folio)) {
		folio_putback_lru(folio);
		return false;
	}
	list_add(&folio->lru, &list);
	return reclaim_pages(&list);
}

#include "tests/large-kunit.h"
