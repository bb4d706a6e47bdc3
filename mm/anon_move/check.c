// SPDX-License-Identifier: GPL-2.0
/*
 * Can every page of a mapping get another index? Changes entries only to regain marks.
 *
 * Nobody can map anything in the mapping meanwhile, so whatever would forbid it can
 * only go away, and a check that finds nothing is a proof for the move after it:
 * Documentation/mm/anon_move.rst goes through who else there is.
 */

#include "anon_move.h"

/*
 * Of one look into a page table. @whole is known to have all of its entries in the range,
 * and if @alone nobody else knows of it. @passing: what is in the way is a reference alone.
 */
struct check {
	struct anon_move *am;
	struct folio *whole;
	bool alone;
	bool passing;
	pte_t *ptes;
	unsigned long addr;
	unsigned int nr;
	unsigned int tries;
};

/* More than a few times is not worth it: a reference that stays keeps it whole. */
#define CHECK_TRIES	3

/* With a reference, or another folio might get to be at its address. */
static void set_whole(struct check *c, struct folio *folio, bool alone)
{
	if (folio)
		folio_get(folio);
	if (c->whole)
		folio_put(c->whole);
	c->whole = folio;
	c->alone = alone;
}

/* Remember what is in the way. It is dealt with when the page table is unlocked. */
static enum anon_move_stop meet(struct check *c, struct folio *folio, enum anon_move_stop stop)
{
	folio_get(folio);
	c->am->folio = folio;
	return stop;
}

/*
 * The mark is lost when a page is shared, and nobody puts it back when it is not any
 * more, before the next write. With the one reference of the mapping that is left it
 * is nobody else's, as a write fault reasons.
 */
static enum anon_move_stop regain_mark(struct check *c, struct folio *folio)
{
	bool sole;

	if (!folio_test_lru(folio))
		lru_add_drain();
	if (folio_ref_count(folio) > 1 + folio_test_swapcache(folio) * folio_nr_pages(folio)) {
		c->passing = folio_mapcount(folio) == 1;
		return ANON_MOVE_SHARED;
	}
	if (!folio_trylock(folio))
		return meet(c, folio, ANON_MOVE_LOCKED);
	if (folio_test_swapcache(folio))
		folio_free_swap(folio);
	sole = !folio_test_ksm(folio) && folio_ref_count(folio) == 1;
	if (sole)
		folio_move_anon_rmap(folio, c->am->src_vma);
	folio_unlock(folio);
	return sole ? ANON_MOVE_DONE : ANON_MOVE_SHARED;
}

static enum anon_move_stop check_shared(struct check *c, struct folio *folio, struct page *page)
{
	enum anon_move_stop stop;

	if (!folio_test_anon(folio) || folio_test_ksm(folio))
		return ANON_MOVE_SHARED;
	if (folio_test_writeback(folio))
		return meet(c, folio, ANON_MOVE_WRITEBACK);
	stop = regain_mark(c, folio);
	if (!stop)
		SetPageAnonExclusive(page);
	return stop;
}

/* One entry says nothing of the others that a large folio has: settle_folio() asks for those. */
static enum anon_move_stop check_shared_part(struct check *c, struct folio *folio,
					     struct page *page)
{
	if (!folio_test_large(folio) || !folio_test_anon(folio))
		return check_shared(c, folio, page);
	if (folio != c->whole || !c->alone)
		return meet(c, folio, ANON_MOVE_SHARED);
	SetPageAnonExclusive(page);
	return ANON_MOVE_DONE;
}

/* Does the entry map the page with this frame? Not asked for what is as expected. */
static noinline bool maps_frame(pte_t pte, unsigned long pfn)
{
	return pte_present(pte) && pte_pfn(pte) == pfn;
}

/* Are all pages of the folio here, in order and nobody else's? */
static bool in_order(const struct check *c, unsigned int i, struct page *page, unsigned int nr)
{
	pte_t *ptes = c->ptes + i;
	pte_t expected = anon_move_peek(ptes);
	const u64 step = anon_move_pte_step(expected);
	const unsigned long pfn = page_to_pfn(page);
	unsigned int k;

	if (page != compound_head(page) || nr > c->nr - i)
		return false;
	/* As when they are taken, most of them differ by the frame alone. */
	#pragma GCC unroll 16
	for (k = 0; k < nr; k++, expected = anon_move_pte_add(expected, step)) {
		pte_t pte = anon_move_peek(ptes + k);

		if (!anon_move_exclusive(page + k) ||
		    (unlikely(!pte_same(pte, expected)) && !maps_frame(pte, pfn + k)))
			return false;
	}
	return true;
}

/* How many entries are fine from @i on; 0 with @stop. */
static unsigned int check_present(struct check *c, unsigned int i, pte_t pte,
				  enum anon_move_stop *stop)
{
	struct page *page;
	struct folio *folio;
	unsigned int nr;

	if (anon_move_pte_special(pte)) {
		*stop = is_zero_pfn(pte_pfn(pte)) ? ANON_MOVE_DONE : ANON_MOVE_SHARED;
		return !*stop;
	}
	page = pte_page(pte);
	folio = page_folio(page);
	*stop = anon_move_check_folio(folio, page);
	if (unlikely(*stop))
		*stop = check_shared_part(c, folio, page);
	if (*stop)
		return 0;
	if (!folio_test_large(folio) || folio == c->whole)
		return 1;
	nr = folio_nr_pages(folio);
	if (in_order(c, i, page, nr) && !folio_test_swapcache(folio))
		return nr;
	*stop = meet(c, folio, ANON_MOVE_LARGE);
	return 0;
}

static enum anon_move_stop check_cached(struct check *c, softleaf_t entry)
{
	struct folio *folio = anon_move_cached_folio(entry);

	if (!folio)
		return ANON_MOVE_LOCKED;
	if (folio_test_large(folio) && folio_test_anon(folio) && folio != c->whole) {
		c->am->folio = folio;
		return ANON_MOVE_CACHED;
	}
	folio_put(folio);
	return ANON_MOVE_DONE;
}

static enum anon_move_stop check_swapped(struct check *c, unsigned int i, pte_t pte)
{
	softleaf_t entry = softleaf_from_pte(pte);
	enum anon_move_stop stop = anon_move_check_swap(c->am, pte);

	if (stop && stop != ANON_MOVE_SHARED)
		return stop;
	if (!softleaf_is_swap(entry))
		return ANON_MOVE_DONE;
	/* One that is read in may be mapped, or referenced, by somebody else. */
	if (stop && !anon_move_sole_entry(entry))
		return stop;
	if (stop)
		set_pte_at(c->am->req->mm, c->addr + i * PAGE_SIZE, c->ptes + i,
			   pte_swp_mkexclusive(pte));
	return anon_move_slot_cached(entry) ? check_cached(c, entry) : ANON_MOVE_DONE;
}

static __hot_inline bool plainly_swapped(pte_t pte)
{
	softleaf_t entry = softleaf_from_pte(pte);

	return softleaf_is_swap(entry) && pte_swp_exclusive(pte) && !anon_move_slot_cached(entry);
}

/* Most of what there is: nothing, or a small page that is nobody else's. */
static __hot_inline bool fine_at_once(pte_t pte)
{
	struct folio *folio;
	struct page *page;

	if (unlikely(!pte_present(pte)))
		return pte_none(pte) || plainly_swapped(pte);
	if (anon_move_pte_special(pte))
		return false;
	page = pte_page(pte);
	folio = page_folio(page);
	return !anon_move_check_folio(folio, page) && !folio_test_large(folio);
}

/* A loop of its own, as nearly all of the time goes here. Where it ends. */
static unsigned int pass_fine(const struct check *c, unsigned int i)
{
	pte_t *pte = c->ptes + i, *end = c->ptes + c->nr;

	while (pte < end && fine_at_once(anon_move_read(pte)))
		pte++;
	return pte - c->ptes;
}

static enum anon_move_stop check_entries(struct check *c, unsigned int *fine)
{
	enum anon_move_stop stop = ANON_MOVE_DONE;
	unsigned int i, nr = 1;

	for (i = 0; i < c->nr; i += nr) {
		pte_t pte;

		/* Behind a large folio comes another, most likely. */
		if (nr == 1)
			i = pass_fine(c, i);
		if (i == c->nr)
			break;
		pte = anon_move_read(c->ptes + i);
		nr = 1;
		if (pte_present(pte))
			nr = check_present(c, i, pte, &stop);
		else if (!pte_none(pte))
			stop = check_swapped(c, i, pte);
		if (stop)
			break;
	}
	*fine = i;
	return stop;
}

static enum anon_move_stop check_table(struct check *c, const struct anon_move_batch *b)
{
	enum anon_move_stop stop;
	unsigned int fine;
	spinlock_t *ptl; /* of the table that @b->src_pmd points to */
	pte_t *pte;

	pte = pte_offset_map_lock(c->am->req->mm, b->src_pmd, b->src, &ptl);
	if (!pte)
		return ANON_MOVE_RACED;
	anon_move_mapped();
	c->ptes = pte;
	c->addr = b->src;
	c->nr = b->size >> PAGE_SHIFT;
	stop = check_entries(c, &fine);
	pte_unmap_unlock(pte, ptl);
	c->am->done += fine * PAGE_SIZE;
	return stop;
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
static enum anon_move_stop check_huge_locked(struct check *c, pmd_t pmd)
{
	enum anon_move_stop stop = anon_move_check_pmd_locked(c->am, pmd);

	return stop == ANON_MOVE_SHARED ?
		check_shared(c, pmd_folio(pmd), pmd_page(pmd)) : stop;
}

/* Where the range begins or ends within it, the entries are looked at one by one. */
static enum anon_move_stop check_huge(struct check *c, const struct anon_move_batch *b)
{
	struct anon_move *am = c->am;
	const unsigned long start = b->src & HPAGE_PMD_MASK;
	spinlock_t *ptl = pmd_lock(am->req->mm, b->src_pmd);
	enum anon_move_stop stop = check_huge_locked(c, *b->src_pmd);

	spin_unlock(ptl);
	if (stop)
		return stop;
	if (start >= am->req->src && start + HPAGE_PMD_SIZE <= am->req->src + am->req->len) {
		am->done = start + HPAGE_PMD_SIZE - am->req->src;
		return ANON_MOVE_DONE;
	}
	split_huge_pmd(am->src_vma, b->src_pmd, b->src);
	return ANON_MOVE_RACED;
}
#else
static enum anon_move_stop check_huge(struct check *c, const struct anon_move_batch *b)
{
	return ANON_MOVE_RACED;
}
#endif

/*
 * As regain_mark(), for a large folio. It must be out of the swap cache before its entries
 * are counted: there, that all are in the range says nothing of others, who may map it, too.
 */
static enum anon_move_stop settle_shared(struct check *c)
{
	struct anon_move *am = c->am;
	struct folio *folio = am->folio;

	if (folio_test_writeback(folio))
		return ANON_MOVE_WRITEBACK;
	if (folio_test_swapcache(folio) && !folio_free_swap(folio))
		return ANON_MOVE_SHARED;
	if (!folio_test_lru(folio))
		lru_add_drain();
	set_whole(c, NULL, false);
	if (!anon_move_all_inside(am))
		return ANON_MOVE_SHARED;
	/*
	 * Only now, as GUP-fast gets references through mappings of others, which keep them
	 * when they are unmapped: where there was none any more, none comes. Pairs with the
	 * order in which GUP-fast takes one before it looks whether its entry is still there.
	 */
	smp_rmb();
	/* One reference more than mappings is ours. */
	if (folio_ref_count(folio) > folio_mapcount(folio) + 1) {
		c->passing = true;
		return ANON_MOVE_SHARED;
	}
	folio_move_anon_rmap(folio, am->src_vma);
	set_whole(c, folio, true);
	return ANON_MOVE_RACED;
}

/*
 * A large folio with entries that this look could not judge by themselves. One that
 * has others than in the range is split, or out of the cache, before it can move.
 */
static enum anon_move_stop settle_folio(struct check *c, enum anon_move_stop stop)
{
	struct anon_move *am = c->am;
	struct folio *folio = am->folio;

	folio_lock(folio);
	/* Whatever the entry said, it may be another folio's by now. */
	if (!folio_test_large(folio) || !folio_test_anon(folio) ||
	    (stop == ANON_MOVE_CACHED && !folio_test_swapcache(folio))) {
		stop = ANON_MOVE_RACED;
	} else if (stop == ANON_MOVE_SHARED) {
		stop = settle_shared(c);
	} else if (anon_move_all_inside(am) && !anon_move_mapcount_lacks(folio)) {
		set_whole(c, folio, false);
		stop = ANON_MOVE_RACED;
	} else {
		stop = anon_move_drop_cached(am);
		if (stop != ANON_MOVE_CACHED)
			return stop ? stop : ANON_MOVE_RACED;
		am->folio = NULL;
		return anon_move_reclaim(folio) ? ANON_MOVE_RACED : ANON_MOVE_SPLIT_FAILED;
	}
	folio_unlock(folio);
	/* That is waited for with it. */
	if (stop == ANON_MOVE_WRITEBACK)
		return stop;
	folio_put(folio);
	am->folio = NULL;
	return stop;
}

static enum anon_move_stop check_step(struct check *c)
{
	struct anon_move *am = c->am;
	struct anon_move_batch b __uninitialized;
	pmd_t pmd = anon_move_look(am, &b);
	enum anon_move_stop stop;

	if (pmd_none(pmd)) {
		am->done += b.size;
		return ANON_MOVE_DONE;
	}
	c->passing = false;
	stop = anon_move_pmd_huge(pmd) ? check_huge(c, &b) : check_table(c, &b);
	if (am->folio && stop != ANON_MOVE_WRITEBACK && stop != ANON_MOVE_LOCKED)
		stop = settle_folio(c, stop);
	return stop;
}

/* The reference that is one too many may be that of a CPU's LRU batch, or of an isolation. */
static bool may_pass(struct check *c, enum anon_move_stop stop)
{
	if ((stop != ANON_MOVE_SPLIT_FAILED && !c->passing) || c->tries++ >= CHECK_TRIES)
		return false;
	lru_add_drain_all();
	schedule_timeout_uninterruptible(1);
	return true;
}

/**
 * anon_move_check() - may all pages of a mapping move to another index?
 * @am: the move: @am->req, @am->src_vma; @am->done is where it begins, and where it
 *	met an obstacle
 *
 * Waits for what passes. Large folios that have entries outside of the range too are
 * split, marks that a page is not shared are put back where that is so.
 *
 * Context: the mmap_lock and the source write-locked; sleeps.
 * Return: %ANON_MOVE_DONE; %ANON_MOVE_KILLED; %ANON_MOVE_SHARED, %ANON_MOVE_SPLIT_FAILED or
 *	   %ANON_MOVE_MARKER, of a device, for what stays in the way.
 */
enum anon_move_stop anon_move_check(struct anon_move *am)
{
	struct check c = { .am = am };
	enum anon_move_stop stop = ANON_MOVE_DONE;
	unsigned long before;

	while (am->done < am->req->len) {
		before = am->done;
		stop = check_step(&c);
		if (am->done > before)
			c.tries = 0;
		if (fatal_signal_pending(current))
			stop = ANON_MOVE_KILLED;
		if (stop && !anon_move_wait_held(am, stop) && !may_pass(&c, stop))
			break;
		stop = ANON_MOVE_DONE;
		cond_resched();
	}
	set_whole(&c, NULL, false);
	return stop;
}
