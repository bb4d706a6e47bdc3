// SPDX-License-Identifier: GPL-2.0
/*
 * Small pages of many short ranges and many page tables, with one flush for all of them.
 *
 *	          take               flush            install
 *	source    page -> migration  (no CPU can      migration -> none
 *	          entry               write the
 *	dest.                         page)           none -> page
 *
 * No page-table lock is held across the flush. A page under way is locked, and
 * its source entry keeps its place: who faults there waits until it is unlocked,
 * as for any page that migrates, and what can't be installed is put back. Where
 * all pages lie in one pair of tables, their locks are held for all of it
 * instead, and nothing need keep a place. Only small pages go this way, with nothing
 * of interest in their entries. All else, and whatever is in the way, is left to
 * what moves one range.
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
	struct uffdio_movev_range *range;
};

/* What one page table maps of one VMA. */
struct stretch {
	unsigned long start;
	unsigned long len;
};

/**
 * struct together - one hold of the VMA locks
 * @v: the ranges
 * @b: the pair of tables that is worked on; its PMDs are NULL before the first
 * @dst: of it, what is in the destination
 * @src: and in the source
 * @template: of what arrives
 * @nr: pages under way
 * @installed: of them, so many are at their destination
 * @arrived: pages, before those
 * @pages: those under way, in the order they were taken
 */
struct together {
	struct anon_move_vector *v;
	struct anon_move_batch b;
	struct stretch dst;
	struct stretch src;
	struct anon_move_template template;
	unsigned int nr;
	unsigned int installed;
	unsigned long arrived;
	struct page_under_way pages[PAGES_MAX];
};

static struct together *together_of(struct anon_move_batch *b)
{
	return container_of(b, struct together, b);
}

/* What is long is worth a flush of its own. */
static bool is_short(unsigned long len)
{
	return len <= PAGES_MAX * PAGE_SIZE;
}

static __hot_inline bool in_vma(const struct vm_area_struct *vma, unsigned long addr,
				unsigned long len)
{
	return addr >= vma->vm_start && addr + len <= vma->vm_end;
}

static __hot_inline bool in_vmas(const struct anon_move *am, const struct uffdio_movev_range *range)
{
	return in_vma(am->dst_vma, range->dst, range->len) &&
	       in_vma(am->src_vma, range->src, range->len);
}

static struct stretch stretch_of(const struct vm_area_struct *vma, unsigned long addr)
{
	const unsigned long table = addr & PMD_MASK;
	const unsigned long start = max(vma->vm_start, table);

	return (struct stretch){ start, min(vma->vm_end - start, table + PMD_SIZE - start) };
}

static __hot_inline bool in_stretches(const struct together *t, unsigned long dst,
				      unsigned long src)
{
	return dst - t->dst.start < t->dst.len && src - t->src.start < t->src.len;
}

static __hot_inline bool in_tables(const struct anon_move_batch *b, unsigned long dst,
				   unsigned long src)
{
	return !((b->dst ^ dst) & PMD_MASK) && !((b->src ^ src) & PMD_MASK);
}

static __hot_inline bool is_table(pmd_t *pmdp)
{
	pmd_t pmd = anon_move_pmd_or_none(pmdp);

	return pmd_present(pmd) && !pmd_leaf(pmd);
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
static __hot_inline pte_t place_holder(pte_t pte)
{
	pte_t holder = swp_entry_to_pte(make_readable_exclusive_migration_entry(pte_pfn(pte)));

	return pte_soft_dirty(pte) ? pte_swp_mksoft_dirty(holder) : holder;
}

/* Of a page that is not part of a large folio, with nothing of interest in its entry. */
static __hot_inline bool is_plain(pte_t pte)
{
	return pte_present(pte) && !pte_uffd(pte) && !anon_move_pte_special(pte) &&
	       !PageCompound(pte_page(pte));
}

static __hot_inline bool take_page(const struct anon_move *am, const struct anon_move_batch *b,
				   struct page_under_way *page)
{
	pte_t *ptep = src_pte(b, page->src), pte = ptep_get(ptep);
	struct folio *folio;

	if (!is_plain(pte))
		return false;
	folio = (struct folio *)pte_page(pte);
	if (anon_move_check_folio(folio, pte_page(pte)) || anon_move_should_fail() ||
	    !folio_trylock(folio))
		return false;
	page->pte = ptep_get_and_clear(am->req->mm, page->src, ptep);
	page->folio = folio;
	if (likely(!anon_move_pinned(am, folio)))
		return true;
	set_pte_at(am->req->mm, page->src, ptep, page->pte);
	folio_unlock(folio);
	return false;
}

/* What is there until it is installed, while its table is not locked. */
static __hot_inline void hold_place(const struct together *t, struct page_under_way *page)
{
	page->holder = place_holder(page->pte);
	set_pte_at(t->v->am.req->mm, page->src, src_pte(&t->b, page->src), page->holder);
}

/* Behind what is under way most pages lie elsewhere: to work out the stretches would not pay. */
static __hot_inline bool is_inside(const struct together *t, unsigned long dst, unsigned long src,
				   const bool under_way)
{
	return under_way ? in_tables(&t->b, dst, src) : in_stretches(t, dst, src);
}

/* Of a range of one page the stretches say all. */
static __hot_inline bool may_be_next(const struct anon_move *am,
				     const struct uffdio_movev_range *range, const bool under_way)
{
	return (range->len == PAGE_SIZE && !under_way) ||
	       (is_short(range->len) && in_vmas(am, range));
}

/*
 * From the cursor on, as long as the pages lie in these two tables. That all of a range has
 * moved is said too early if one of its pages can't be installed: go_back_to() takes it back.
 * Returns whether it ended because the next page lies elsewhere.
 */
static __hot_inline bool take_pages(struct together *t, struct anon_move *am, const bool under_way)
{
	struct anon_move_vector *v = t->v;
	struct uffdio_movev_range *range = v->range;
	struct page_under_way *page = t->pages + t->nr;
	unsigned long done = am->done;
	bool elsewhere = false;

	while (page < t->pages + PAGES_MAX) {
		page->dst = range->dst + done;
		page->src = range->src + done;
		page->range = range;
		/* Behind what is under way that table is not locked: install() sees it. */
		if ((!under_way && !pte_none(ptep_get(dst_pte(&t->b, page->dst)))) ||
		    !take_page(am, &t->b, page))
			break;
		if (under_way)
			hold_place(t, page);
		page++;
		done += PAGE_SIZE;
		if (done == range->len) {
			range->moved = done;
			range->stop = UFFDIO_MOVEV_DONE;
			range++;
			done = 0;
			if (range == v->end)
				break;
		}
		if (!is_inside(t, range->dst + done, range->src + done, under_way)) {
			elsewhere = in_vmas(am, range);
			break;
		}
		if (!done && !may_be_next(am, range, under_way))
			break;
	}
	t->nr = page - t->pages;
	v->range = range;
	am->done = done;
	return elsewhere;
}

static void flush(const struct together *t)
{
	unsigned long start = t->pages[0].src, end = start;
	unsigned int i;

	for (i = 1; i < t->nr; i++) {
		start = min(start, t->pages[i].src);
		end = max(end, t->pages[i].src);
	}
	flush_tlb_range(t->v->am.src_vma, start, end + PAGE_SIZE);
	anon_move_count(ANON_MOVE_FLUSHES, 1);
}

static __hot_inline void install_at(struct together *t, struct anon_move *am,
				    const struct page_under_way *page, pte_t *ptep)
{
	anon_move_reindex(am, page->folio, page->dst);
	set_pte_at(am->req->mm, page->dst, ptep,
		   anon_move_moved(&t->template, am, page->pte, folio_pfn(page->folio)));
	folio_unlock(page->folio);
}

/* The first that could not be installed is where it goes on, by what can tell why. */
static void go_back_to(struct together *t, const struct page_under_way *page)
{
	t->v->range = page->range;
	t->v->am.done = page->src - page->range->src;
}

/*
 * The locks have been held all the time, so the first one at least has its place still; into
 * that of another one a range before it may have got.
 */
static void install_taken(struct together *t, struct anon_move *am)
{
	const struct page_under_way *page = t->pages, *end = page + t->nr;

	/* Reclaim may owe a flush for what was at the destination (O5). */
	flush_tlb_batched_pending(am->req->mm);
	flush(t);
	for (; page < end && pte_none(ptep_get(dst_pte(&t->b, page->dst))); page++)
		install_at(t, am, page, dst_pte(&t->b, page->dst));
	t->installed = page - t->pages;
	if (page == end)
		return;
	go_back_to(t, page);
	for (; page < end; page++) {
		set_pte_at(am->req->mm, page->src, src_pte(&t->b, page->src), page->pte);
		folio_unlock(page->folio);
	}
}

/* Both tables are locked, and nothing is under way. */
static __hot_inline void take_first(struct anon_move *am, struct anon_move_batch *b)
{
	struct together *t = together_of(b);
	unsigned int i;

	t->dst = stretch_of(am->dst_vma, b->dst);
	t->src = stretch_of(am->src_vma, b->src);
	if (take_pages(t, am, false)) {
		for (i = 0; i < t->nr; i++)
			hold_place(t, &t->pages[i]);
	} else if (t->nr) {
		install_taken(t, am);
	}
}

/* Behind those that are under way. Nothing is done to the destination yet. */
static void take_more(struct together *t, struct anon_move *am)
{
	pmd_t pmdval __uninitialized;
	struct anon_move_batch *b = &t->b;

	if (!b->src_pmd || !is_table(b->dst_pmd))
		return;
	b->src_pte = anon_move_try_map(am->req->mm, b->src_pmd, b->src, &pmdval, &b->src_ptl);
	if (!b->src_pte)
		return;
	anon_move_mapped();
	spin_lock(b->src_ptl);
	if (pmd_same(pmdval, pmdp_get_lockless(b->src_pmd)))
		take_pages(t, am, true);
	pte_unmap_unlock(b->src_pte, b->src_ptl);
}

static __hot_inline bool install_page(struct together *t, struct anon_move *am,
				      const struct page_under_way *page)
{
	pte_t *src = src_pte(&t->b, page->src), *dst = dst_pte(&t->b, page->dst);

	/* UFFDIO_WRITEPROTECT may have come to it, and would get lost. */
	if (!pte_same(ptep_get(src), page->holder) || !pte_none(ptep_get(dst)))
		return false;
	pte_clear(am->req->mm, page->src, src);
	install_at(t, am, page, dst);
	return true;
}

/* Those that lie in the same two tables as the first that is not installed yet. */
static __hot_inline void install(struct anon_move *am, struct anon_move_batch *b)
{
	struct together *t = together_of(b);
	const struct page_under_way *page = t->pages + t->installed, *end = t->pages + t->nr;

	/* As for one pair of tables (O5). */
	flush_tlb_batched_pending(am->req->mm);
	do {
		if (!install_page(t, am, page))
			break;
		page++;
	} while (page < end && in_tables(b, page->dst, page->src));
	t->installed = page - t->pages;
}

/* The next ones mostly are close to the last, which lie in mappings that are locked. */
static __hot_inline void find_pmds(struct anon_move_batch *b, struct mm_struct *mm,
				   unsigned long dst, unsigned long src)
{
	const unsigned long far = (b->dst ^ dst) | (b->src ^ src);

	if (likely(b->dst_pmd && b->src_pmd && !(far & PUD_MASK))) {
		b->dst_pmd += (long)(dst >> PMD_SHIFT) - (long)(b->dst >> PMD_SHIFT);
		b->src_pmd += (long)(src >> PMD_SHIFT) - (long)(b->src >> PMD_SHIFT);
		b->dst = dst;
		b->src = src;
	} else {
		b->dst = dst;
		b->src = src;
		anon_move_find_pmds(mm, b);
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
static void drop_page(struct vm_area_struct *src_vma, struct folio *folio)
{
	/* Counts as under a page-table lock, and there may be no table any more. */
	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		preempt_disable();
	folio_remove_rmap_pte(folio, folio_page(folio, 0), src_vma);
	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		preempt_enable();
	if (folio_test_swapcache(folio))
		folio_free_swap(folio);
	folio_unlock(folio);
	folio_put(folio);
}

/* As it was, but for a write-protection that came meanwhile. */
static bool put_page_back(const struct anon_move *am, const struct page_under_way *page,
			  pte_t *ptep)
{
	pte_t pte = page->pte, holder = ptep_get(ptep);

	if (!holds_place(holder, page))
		return false;
	if (pte_swp_uffd(holder))
		pte = pte_mkuffd(pte);
	if (pte_swp_uffd(holder) && userfaultfd_rwp(am->src_vma))
		pte = pte_modify(pte, PAGE_NONE);
	set_pte_at(am->req->mm, page->src, ptep, pte);
	return true;
}

static void put_back(struct together *t, const struct page_under_way *page)
{
	const struct anon_move *am = &t->v->am;
	bool is_back = false;
	spinlock_t *ptl; /* of the table that @t->b.src_pmd points to */
	pte_t *ptep;

	find_pmds(&t->b, am->req->mm, page->dst, page->src);
	ptep = pte_offset_map_lock(am->req->mm, t->b.src_pmd, page->src, &ptl);
	if (ptep) {
		anon_move_mapped();
		is_back = put_page_back(am, page, ptep);
		pte_unmap_unlock(ptep, ptl);
	}
	if (is_back)
		folio_unlock(page->folio);
	else
		drop_page(am->src_vma, page->folio);
}

/* From then on both tables are looked at together: it would be too dear to happen often. */
static void put_rest_back(struct together *t)
{
	unsigned int i;

	for (i = t->installed; i < t->nr; i++)
		put_back(t, &t->pages[i]);
	t->v->together = false;
	go_back_to(t, &t->pages[t->installed]);
}

/* Whatever was taken: at its destination or back. Returns false if not all of it has arrived. */
static bool settled(struct together *t)
{
	const bool all = t->installed == t->nr;

	t->arrived += t->installed;
	anon_move_count(ANON_MOVE_MOVED_SMALL, t->installed);
	t->nr = 0;
	t->installed = 0;
	return all;
}

/* Nothing is under way behind it. Returns false if not all of it has arrived. */
static bool settle(struct together *t)
{
	unsigned int before;

	if (!t->nr)
		return true;
	flush(t);
	do {
		const struct page_under_way *page = &t->pages[t->installed];

		before = t->installed;
		find_pmds(&t->b, t->v->am.req->mm, page->dst, page->src);
		anon_move_with_tables(&t->v->am, &t->b, install);
	} while (t->installed < t->nr && t->installed > before);
	if (t->installed < t->nr)
		put_rest_back(t);
	return settled(t);
}

/* As far as can be seen, do all of its pages move? */
static bool will_move(struct anon_move *am, const struct uffdio_movev_range *range,
		      unsigned long done)
{
	struct anon_move_batch b __uninitialized;

	for (; done < range->len; done += PAGE_SIZE) {
		b.dst = range->dst + done;
		b.src = range->src + done;
		anon_move_find_pmds(am->req->mm, &b);
		if (!is_table(b.src_pmd) || anon_move_check_pte(am, &b) ||
		    anon_move_leading_none(am->req->mm, b.src_pmd, b.src, PAGE_SIZE) ||
		    anon_move_dst_occupied(&b))
			return false;
	}
	return true;
}

/*
 * There is no table for the destination of a range; so let there be one for each that comes.
 * Nothing may be under way, as memory may take long to get, and others wait for what is.
 * Behind what may not move the call perhaps ends, and a hole takes no table (O4, O18).
 * Not inline, as the caller has much on its stack already.
 */
static noinline void make_tables(struct anon_move_vector *v)
{
	const struct uffdio_movev_range *range = v->range, *end = v->end;
	unsigned long done = v->am.done;

	for (; range < end && is_short(range->len) && in_vmas(&v->am, range); range++, done = 0) {
		struct anon_move_batch b = { .dst = range->dst + done, .src = range->src + done };

		if (!will_move(&v->am, range, done))
			break;
		anon_move_find_pmds(v->am.req->mm, &b);
		if (!is_table(b.dst_pmd) && anon_move_make_dst_table(&v->am, &b, false))
			break;
	}
}

static void begin(struct together *t)
{
	struct anon_move *am = &t->v->am;
	struct anon_move_batch *b = &t->b;

	if (unlikely(is_table(b->src_pmd) && !is_table(b->dst_pmd))) {
		make_tables(t->v);
		anon_move_find_pmds(am->req->mm, b);
	}
	if (b->src_pmd && b->dst_pmd)
		anon_move_with_tables(am, b, take_first);
}

/* Is there anything to take, and nobody whose turn it is? Once for some pages is enough. */
static __hot_inline bool may_go_on(const struct together *t)
{
	const struct anon_move_vector *v = t->v;
	const struct uffdio_movev_range *range = v->range;

	if (range == v->end || !is_short(range->len - v->am.done) || !in_vmas(&v->am, range))
		return false;
	return t->nr || (!fatal_signal_pending(current) && !anon_move_writer_waits(&t->v->am));
}

/* What goes on in one pair of page tables. Returns false if it ends here. */
static bool take_step(struct together *t)
{
	struct anon_move_vector *v = t->v;
	const struct uffdio_movev_range *range = v->range;
	const unsigned int before = t->nr;

	if (!may_go_on(t))
		return false;
	find_pmds(&t->b, v->am.req->mm, range->dst + v->am.done, range->src + v->am.done);
	flush_cache_range(v->am.src_vma, t->b.src & PMD_MASK, (t->b.src & PMD_MASK) + PMD_SIZE);
	if (!before)
		begin(t);
	else if (v->together)
		take_more(t, &v->am);
	if (t->installed)
		return settled(t);
	if (t->nr == PAGES_MAX)
		return settle(t);
	/* What is in the way may be under way itself. */
	return t->nr > before || (before && settle(t));
}

/*
 * Who drops or protects a page under way finds no present entry to flush for, though a CPU
 * may have it in its TLB. He flushes all the same where he sees that somebody still has to.
 */
static void take_and_settle(struct together *t)
{
	struct mm_struct *mm = t->v->am.req->mm;

	inc_tlb_flush_pending(mm);
	while (take_step(t))
		;
	settle(t);
	dec_tlb_flush_pending(mm);
}

/**
 * anon_move_together() - move small pages of what comes next, as long as nothing is in the way
 * @v: the ranges; its cursor goes on
 *
 * One hold of the VMA locks, for ranges in the same two VMAs. A secondary MMU would have to
 * be told of each table by itself: then it does nothing.
 *
 * Context: no mmap_lock, no VMA lock; may sleep.
 * Return: whether any page has arrived.
 */
bool anon_move_together(struct anon_move_vector *v)
{
	struct together t __uninitialized;

	if (!is_short(v->am.req->len - v->am.done) || anon_move_lock_vmas(&v->am))
		return false;
	t.v = v;
	t.b.dst = 0;
	t.b.src = 0;
	t.b.dst_pmd = NULL;
	t.b.src_pmd = NULL;
	t.template = (struct anon_move_template){ .from = __pte(0) };
	t.nr = 0;
	t.installed = 0;
	t.arrived = 0;
	if (!mm_has_notifiers(v->am.req->mm))
		take_and_settle(&t);
	anon_move_unlock_vmas(&v->am);
	return t.arrived;
}
