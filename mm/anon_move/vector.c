// SPDX-License-Identifier: GPL-2.0
/*
 * Many short ranges: pages of many page tables, with one flush for all of them.
 *
 *	          take               flush            install
 *	source    page -> migration  (no CPU can      migration -> none
 *	          entry               write the
 *	dest.                         page)           none -> page
 *
 * No page-table lock is held across the flush. A page under way is locked, and
 * its source entry keeps its place: who faults there waits until it is unlocked,
 * as for any page that migrates, and what can't be installed is put back. Only
 * small pages go this way, with nothing of interest in their entries. All else, and
 * whatever is in the way, is left to what moves one range.
 */

#include "anon_move.h"

/* Also how many folios are locked at once. With 32 bits there is half the stack. */
#define PAGES_MAX	(BITS_PER_LONG / 2)

/* A page that was taken, and is not yet installed. */
struct page_under_way {
	struct folio *folio;	/* of this page alone, and locked */
	pte_t pte;		/* its source entry, as it was */
	pte_t holder;		/* what is there now, if nobody has changed it */
	unsigned long dst;
	unsigned long src;
	unsigned int range;
};

struct vector {
	struct anon_move am;	/* of the range that is @cur */
	struct anon_move_range *ranges;
	unsigned int count;
	unsigned int cur;
	unsigned int nr;	/* of @pages */
	unsigned int installed;	/* of them */
	unsigned long arrived;	/* pages, before those */
	struct anon_move_template template;
	struct page_under_way pages[PAGES_MAX];
};

static struct vector *vector_of(struct anon_move *am)
{
	return container_of(am, struct vector, am);
}

static void set_range(struct vector *v, unsigned int cur, unsigned long done)
{
	v->cur = cur;
	v->am.done = done;
	v->am.tries = 0;
	if (cur == v->count)
		return;
	v->am.req->dst = v->ranges[cur].dst;
	v->am.req->src = v->ranges[cur].src;
	v->am.req->len = v->ranges[cur].len;
}

/* What the caller is told; of the VMAs see why_not(). */
static const enum uffdio_movev_stop told[ANON_MOVE_NR_STOPS] = {
	[ANON_MOVE_DONE]	= UFFDIO_MOVEV_DONE,
	[ANON_MOVE_WRITER]	= UFFDIO_MOVEV_RACED,
	[ANON_MOVE_LOCKED]	= UFFDIO_MOVEV_LOCKED,
	[ANON_MOVE_WRITEBACK]	= UFFDIO_MOVEV_WRITEBACK,
	[ANON_MOVE_LARGE]	= UFFDIO_MOVEV_UNSPLIT,
	[ANON_MOVE_SPLIT_FAILED]	= UFFDIO_MOVEV_UNSPLIT,
	[ANON_MOVE_MIGRATING]	= UFFDIO_MOVEV_MIGRATING,
	[ANON_MOVE_RACED]	= UFFDIO_MOVEV_RACED,
	[ANON_MOVE_EXISTS]	= UFFDIO_MOVEV_EXISTS,
	[ANON_MOVE_HOLE]	= UFFDIO_MOVEV_HOLE,
	[ANON_MOVE_SHARED]	= UFFDIO_MOVEV_SHARED,
	[ANON_MOVE_PINNED]	= UFFDIO_MOVEV_PINNED,
	[ANON_MOVE_CACHED]	= UFFDIO_MOVEV_UNSPLIT,
	[ANON_MOVE_MARKER]	= UFFDIO_MOVEV_MARKER,
	[ANON_MOVE_NOMEM]	= UFFDIO_MOVEV_NOMEM,
	[ANON_MOVE_KILLED]	= UFFDIO_MOVEV_KILLED,
};

/* Of VMAs that could not be had nothing but whether there were any is known. */
static enum uffdio_movev_stop why_not(const struct anon_move *am)
{
	switch (am->error) {
	case -EAGAIN:
		return UFFDIO_MOVEV_CHANGING;
	case -ENOMEM:
		return UFFDIO_MOVEV_NOMEM;
	case -ENOENT:
		return am->dst_vma ? UFFDIO_MOVEV_NO_SRC : UFFDIO_MOVEV_NO_DST;
	default:
		return UFFDIO_MOVEV_MAPPINGS;
	}
}

static void range_ends(struct vector *v, enum anon_move_stop stop)
{
	struct anon_move_range *range = &v->ranges[v->cur];

	range->moved = v->am.done;
	range->stop = stop == ANON_MOVE_VMA ? why_not(&v->am) : told[stop];
	set_range(v, v->cur + 1, 0);
}

/* What is long is worth a flush of its own. */
static bool is_short(unsigned long len)
{
	return len <= PAGES_MAX * PAGE_SIZE;
}

static bool rest_is_short(const struct vector *v)
{
	return is_short(v->am.req->len - v->am.done);
}

static __hot_inline bool in_vma(const struct vm_area_struct *vma, unsigned long addr,
				unsigned long len)
{
	return addr >= vma->vm_start && addr + len <= vma->vm_end;
}

static __hot_inline bool in_vmas(const struct anon_move *am, const struct anon_move_range *range)
{
	return in_vma(am->dst_vma, range->dst, range->len) &&
	       in_vma(am->src_vma, range->src, range->len);
}

static bool in_tables(const struct anon_move_batch *b, unsigned long dst, unsigned long src)
{
	return !((b->dst ^ dst) & PMD_MASK) && !((b->src ^ src) & PMD_MASK);
}

/* In the tables that @b has locked. */
static pte_t *dst_pte(const struct anon_move_batch *b, unsigned long addr)
{
	return b->dst_pte + ((long)(addr - b->dst) >> PAGE_SHIFT);
}

static pte_t *src_pte(const struct anon_move_batch *b, unsigned long addr)
{
	return b->src_pte + ((long)(addr - b->src) >> PAGE_SHIFT);
}

/* Not writable, so that write-protection can be added to it. */
static pte_t place_holder(pte_t pte)
{
	pte_t holder = swp_entry_to_pte(make_readable_exclusive_migration_entry(pte_pfn(pte)));

	return pte_soft_dirty(pte) ? pte_swp_mksoft_dirty(holder) : holder;
}

static struct folio *lock_small(pte_t pte)
{
	struct folio *folio;

	if (!pte_present(pte) || pte_uffd(pte) || anon_move_pte_special(pte))
		return NULL;
	folio = page_folio(pte_page(pte));
	if (folio_test_large(folio) || anon_move_check_folio(folio, pte_page(pte)) ||
	    anon_move_should_fail() || !folio_trylock(folio))
		return NULL;
	return folio;
}

static __hot_inline bool take_page(struct vector *v, struct anon_move_batch *b,
				   struct page_under_way *page)
{
	pte_t *ptep = src_pte(b, page->src);
	struct mm_struct *mm = v->am.req->mm;
	struct folio *folio;

	if (!pte_none(ptep_get(dst_pte(b, page->dst))))
		return false;
	folio = lock_small(ptep_get(ptep));
	if (!folio)
		return false;
	page->pte = ptep_get_and_clear(mm, page->src, ptep);
	if (anon_move_pinned(&v->am, folio)) {
		set_pte_at(mm, page->src, ptep, page->pte);
		folio_unlock(folio);
		return false;
	}
	page->folio = folio;
	page->holder = place_holder(page->pte);
	set_pte_at(mm, page->src, ptep, page->holder);
	return true;
}

/*
 * From the cursor on, as long as the pages lie in these two tables. That all of a range has
 * moved is said too early if one of its pages can't be installed: put_rest_back() takes it back.
 */
static void take_pages(struct anon_move *am, struct anon_move_batch *b)
{
	struct vector *v = vector_of(am);
	struct anon_move_range *range = &v->ranges[v->cur];
	struct page_under_way *page = v->pages + v->nr;
	unsigned int cur = v->cur;
	unsigned long done = am->done;

	/* As where entries are taken for a single range (O5). */
	flush_tlb_batched_pending(am->req->mm);
	for (; page < v->pages + PAGES_MAX; page++) {
		page->dst = range->dst + done;
		page->src = range->src + done;
		page->range = cur;
		if (!in_tables(b, page->dst, page->src) || !take_page(v, b, page))
			break;
		done += PAGE_SIZE;
		if (done < range->len)
			continue;
		range->moved = done;
		range->stop = UFFDIO_MOVEV_DONE;
		done = 0;
		range++;
		if (++cur < v->count && is_short(range->len) && in_vmas(am, range))
			continue;
		page++;
		break;
	}
	v->nr = page - v->pages;
	set_range(v, cur, done);
}

static __hot_inline bool install_page(struct vector *v, struct anon_move_batch *b,
				      const struct page_under_way *page)
{
	pte_t *src = src_pte(b, page->src), *dst = dst_pte(b, page->dst);
	struct mm_struct *mm = v->am.req->mm;

	/* UFFDIO_WRITEPROTECT may have come to it, and would get lost. */
	if (!pte_same(ptep_get(src), page->holder) || !pte_none(ptep_get(dst)))
		return false;
	anon_move_reindex(&v->am, page->folio, page->dst);
	pte_clear(mm, page->src, src);
	set_pte_at(mm, page->dst, dst,
		   anon_move_moved(&v->template, &v->am, page->pte, folio_pfn(page->folio)));
	folio_unlock(page->folio);
	return true;
}

/* Those that lie in the same two tables as the first that is not installed yet. */
static void install_pages(struct anon_move *am, struct anon_move_batch *b)
{
	struct vector *v = vector_of(am);

	for (; v->installed < v->nr; v->installed++) {
		const struct page_under_way *page = &v->pages[v->installed];

		if (!in_tables(b, page->dst, page->src) || !install_page(v, b, page))
			break;
	}
}

/* The folio is locked, so nobody else can have it migrate. */
static bool holds_place(pte_t holder, const struct page_under_way *page)
{
	softleaf_t entry;

	if (pte_none(holder) || pte_present(holder))
		return false;
	entry = softleaf_from_pte(holder);
	return softleaf_is_migration(entry) && softleaf_to_pfn(entry) == pte_pfn(page->pte);
}

/* Somebody has dropped what was at its address, and with it this page. */
static void drop_page(struct vector *v, struct folio *folio)
{
	/* Counts as under a page-table lock, and there may be no table any more. */
	preempt_disable();
	folio_remove_rmap_pte(folio, folio_page(folio, 0), v->am.src_vma);
	preempt_enable();
	if (folio_test_swapcache(folio))
		folio_free_swap(folio);
	folio_unlock(folio);
	folio_put(folio);
}

/* As it was, but for a write-protection that came meanwhile. */
static bool put_page_back(struct vector *v, const struct page_under_way *page, pte_t *ptep)
{
	pte_t pte = page->pte, holder = ptep_get(ptep);

	if (!holds_place(holder, page))
		return false;
	if (pte_swp_uffd(holder))
		pte = pte_mkuffd(pte);
	if (pte_swp_uffd(holder) && userfaultfd_rwp(v->am.src_vma))
		pte = pte_modify(pte, PAGE_NONE);
	set_pte_at(v->am.req->mm, page->src, ptep, pte);
	return true;
}

static void put_back(struct vector *v, const struct page_under_way *page)
{
	struct anon_move_batch b = { .dst = page->dst, .src = page->src };
	bool is_back = false;
	spinlock_t *ptl; /* of the table that @b.src_pmd points to */
	pte_t *ptep;

	anon_move_find_pmds(v->am.req->mm, &b);
	ptep = pte_offset_map_lock(v->am.req->mm, b.src_pmd, page->src, &ptl);
	if (ptep) {
		anon_move_mapped();
		is_back = put_page_back(v, page, ptep);
		pte_unmap_unlock(ptep, ptl);
	}
	if (is_back)
		folio_unlock(page->folio);
	else
		drop_page(v, page->folio);
}

/* The first that could not be installed is where it goes on, by what can tell why. */
static void put_rest_back(struct vector *v)
{
	const struct page_under_way *page = &v->pages[v->installed];
	unsigned int i;

	for (i = v->installed; i < v->nr; i++)
		put_back(v, &v->pages[i]);
	set_range(v, page->range, page->src - v->ranges[page->range].src);
}

static void flush(const struct vector *v)
{
	unsigned long start = v->pages[0].src, end = start;
	unsigned int i;

	for (i = 1; i < v->nr; i++) {
		start = min(start, v->pages[i].src);
		end = max(end, v->pages[i].src);
	}
	flush_tlb_range(v->am.src_vma, start, end + PAGE_SIZE);
	anon_move_count(ANON_MOVE_FLUSHES, 1);
}

/* Nothing is under way behind it. Returns false if not all of it has arrived. */
static bool settle(struct vector *v)
{
	struct anon_move_batch b __uninitialized;
	unsigned int before;
	bool arrived = true;

	if (!v->nr)
		return true;
	flush(v);
	for (v->installed = 0; arrived && v->installed < v->nr; arrived = v->installed > before) {
		const struct page_under_way *page = &v->pages[v->installed];

		before = v->installed;
		b.dst = page->dst;
		b.src = page->src;
		anon_move_find_pmds(v->am.req->mm, &b);
		if (b.dst_pmd)
			anon_move_with_tables(&v->am, &b, install_pages);
	}
	v->arrived += v->installed;
	anon_move_count(ANON_MOVE_MOVED_SMALL, v->installed);
	if (!arrived)
		put_rest_back(v);
	v->nr = 0;
	return arrived;
}

static bool is_table(pmd_t *pmdp)
{
	pmd_t pmd = pmdp ? pmdp_get_lockless(pmdp) : __pmd(0);

	return !pmd_none(pmd) && !anon_move_pmd_huge(pmd);
}

/*
 * There is no table for the destination of a range; so let there be one for each that comes.
 * Nothing may be under way, as memory may take long to get, and others wait for what is.
 */
static void make_tables(struct vector *v)
{
	const struct anon_move_range *range = &v->ranges[v->cur], *end = v->ranges + v->count;
	unsigned long done = v->am.done;

	for (; range < end && in_vmas(&v->am, range); range++, done = 0) {
		struct anon_move_batch b = { .dst = range->dst + done, .src = range->src + done };

		anon_move_find_pmds(v->am.req->mm, &b);
		if (is_table(b.src_pmd) && !is_table(b.dst_pmd) &&
		    anon_move_make_dst_table(&v->am, &b, false))
			break;
	}
}

/* Returns false if there is none for either end, or can't be while pages are under way. */
static bool find_tables(struct vector *v, struct anon_move_batch *b)
{
	struct anon_move *am = &v->am;
	pmd_t pmd = anon_move_look(am, b);

	if (pmd_none(pmd) || anon_move_pmd_huge(pmd))
		return false;
	if (!is_table(b->dst_pmd) && !v->nr) {
		make_tables(v);
		anon_move_find_pmds(am->req->mm, b);
	}
	return is_table(b->dst_pmd);
}

/* What goes on in one pair of page tables. Returns false if it is somebody else's turn. */
static bool take_step(struct vector *v)
{
	struct anon_move *am = &v->am;
	struct anon_move_batch b __uninitialized;
	const unsigned int before = v->nr;

	if (v->cur == v->count || !rest_is_short(v) || !in_vmas(am, &v->ranges[v->cur]) ||
	    fatal_signal_pending(current) || anon_move_writer_waits(am))
		return false;
	/* What is in the way may be under way itself. */
	if (!find_tables(v, &b))
		return before && settle(v);
	flush_cache_range(am->src_vma, b.src, b.src + b.size);
	anon_move_with_tables(am, &b, take_pages);
	if (v->nr == PAGES_MAX)
		return settle(v);
	return v->nr > before || (before && settle(v));
}

/*
 * Who drops or protects a page under way finds no present entry to flush for, though a CPU
 * may have it in its TLB. He flushes all the same where he sees that somebody still has to.
 */
static void take_and_settle(struct vector *v)
{
	struct mm_struct *mm = v->am.req->mm;

	inc_tlb_flush_pending(mm);
	while (take_step(v))
		;
	settle(v);
	dec_tlb_flush_pending(mm);
}

/*
 * One hold of the VMA locks. A secondary MMU would have to be told of each table by itself.
 * Returns whether any page has arrived.
 */
static bool go_together(struct vector *v)
{
	v->arrived = 0;
	v->template = (struct anon_move_template){ .from = __pte(0) };
	if (anon_move_lock_vmas(&v->am))
		return false;
	if (!mm_has_notifiers(v->am.req->mm))
		take_and_settle(v);
	anon_move_unlock_vmas(&v->am);
	return v->arrived;
}

static enum anon_move_stop go_alone(struct vector *v)
{
	enum anon_move_stop stop = anon_move_walk(&v->am);

	if (v->am.folio)
		folio_put(v->am.folio);
	v->am.folio = NULL;
	range_ends(v, stop);
	return stop;
}

/**
 * anon_move_ranges() - move the pages of several ranges, one after the other
 * @req: on whose behalf and how; its range is overwritten
 * @ranges: the ranges; what became of each is written to it
 * @count: how many, not 0
 * @go_on: one that stops does not stop those behind it
 *
 * Each as by anon_move_pages(), and what one leaves behind the next one finds. Short
 * ranges in the same two VMAs share a TLB flush.
 *
 * Context: no mmap_lock, no VMA lock; may sleep.
 * Return: how many ranges were dealt with; with a fatal signal pending it may be 0.
 */
unsigned int anon_move_ranges(struct anon_move_request *req, struct anon_move_range *ranges,
			      unsigned int count, bool go_on)
{
	struct vector v __uninitialized;
	enum anon_move_stop stop;

	v.am.req = req;
	v.am.folio = NULL;
	v.ranges = ranges;
	v.count = count;
	v.nr = 0;
	anon_move_count(ANON_MOVE_CALLS, 1);
	set_range(&v, 0, 0);
	while (v.cur < count && !fatal_signal_pending(current)) {
		if (IS_ENABLED(CONFIG_MIGRATION) && count > 1 && rest_is_short(&v) &&
		    go_together(&v))
			continue;
		stop = go_alone(&v);
		if (stop && !go_on)
			return v.cur;
	}
	/* Who waits for what has moved must hear of it. */
	if (v.cur < count && v.am.done)
		range_ends(&v, ANON_MOVE_KILLED);
	return v.cur;
}
