// SPDX-License-Identifier: GPL-2.0
/*
 * All entries of one large folio, in whatever page tables of the range they lie: counted, or moved.
 *
 * A folio has one index, so its entries move all together or not at all. The folio
 * lock makes one step of it, though they may need several pairs of page tables: who
 * walks the reverse map waits for it, and faults and GUP wait for the mmap_lock.
 */

#include "anon_move.h"

/* Where the first page of the folio is mapped, or would be. */
static unsigned long first_address(const struct anon_move *am, const struct folio *folio)
{
	struct vm_area_struct *vma = am->src_vma;

	return vma->vm_start +
	       ((folio->index - linear_anon_page_index(vma, vma->vm_start)) << PAGE_SHIFT);
}

/* Does the entry of this address map a page of the folio, or is it of the swap slot of one? */
static bool part_of(const struct anon_move *am, pte_t pte, unsigned long addr)
{
	struct folio *folio = am->folio;
	unsigned long i = (addr - first_address(am, folio)) >> PAGE_SHIFT;
	softleaf_t entry;

	if (pte_none(pte))
		return false;
	if (pte_present(pte))
		return !anon_move_pte_special(pte) && pte_pfn(pte) == folio_pfn(folio) + i;
	entry = softleaf_from_pte(pte);
	return folio_test_swapcache(folio) && softleaf_is_swap(entry) &&
	       entry.val == folio->swap.val + i;
}

/**
 * struct window - the part of the range in which a folio can be mapped
 * @start: offset of its first byte in the range
 * @end: offset after the last one
 */
struct window {
	unsigned long start;
	unsigned long end;
};

static struct window window_of(const struct anon_move *am, const struct folio *folio)
{
	long first = first_address(am, folio) - am->req->src;
	long end = first + folio_size(folio);

	return (struct window) {
		.start = max(first, 0L),
		.end = min_t(long, end, am->req->len),
	};
}

/* What lies in one pair of page tables from @am->done on; nothing if the source has none there. */
static bool look_in_window(const struct anon_move *am, struct anon_move_batch *b,
			   const struct window *w)
{
	pmd_t pmd = anon_move_look(am, b);

	b->size = min(b->size, w->end - am->done);
	return !pmd_none(pmd) && !anon_move_pmd_huge(pmd);
}

static unsigned long count_in_table(struct anon_move *am, const struct anon_move_batch *b)
{
	unsigned long i, found = 0;
	spinlock_t *ptl; /* of the table that @b->src_pmd points to */
	pte_t *pte;

	pte = pte_offset_map_lock(am->req->mm, b->src_pmd, b->src, &ptl);
	if (!pte)
		return 0;
	anon_move_mapped();
	for (i = 0; i < b->size >> PAGE_SHIFT; i++)
		found += part_of(am, anon_move_read(pte + i), anon_move_src(b, i));
	pte_unmap_unlock(pte, ptl);
	return found;
}

/* An index counts from address 0 and can't be less, though the first page may belong below. */
static bool index_would_wrap(const struct anon_move *am)
{
	long before = am->req->src - first_address(am, am->folio);

	return before > 0 && before > am->req->dst;
}

/**
 * anon_move_all_inside() - are all entries of a folio in the range?
 * @am: the move; @am->folio is the folio
 *
 * Once true this stays true, whatever others do to the folio while this mm can't
 * map anything: its entries can only become fewer.
 *
 * Context: the mmap_lock and the source write-locked, the folio locked.
 * Return: true if it can move with the range.
 */
bool anon_move_all_inside(struct anon_move *am)
{
	const struct folio *folio = am->folio;
	const struct window w = window_of(am, folio);
	const unsigned long done = am->done;
	unsigned long all, found = 0;
	struct anon_move_batch b __uninitialized;

	for (am->done = w.start; am->done < w.end; am->done += b.size)
		if (look_in_window(am, &b, &w))
			found += count_in_table(am, &b);
	am->done = done;
	all = folio_test_swapcache(folio) ? folio_nr_pages(folio) : folio_mapcount(folio);
	return found == all && !index_would_wrap(am);
}

static bool make_tables(struct anon_move *am, const struct window *w)
{
	struct anon_move_batch b __uninitialized;

	for (am->done = w->start; am->done < w->end; am->done += b.size)
		if (look_in_window(am, &b, w) && !anon_move_make_table(am, &b))
			return false;
	return true;
}

/* What was taken of the folio in one page table. In the end it differs by the frame alone. */
struct parts {
	DECLARE_BITMAP(taken, MAX_PTRS_PER_PTE);
	unsigned int first;
	pte_t pte;
};

static void take_present(struct anon_move *am, struct anon_move_batch *b, unsigned int i,
			 struct parts *parts)
{
	pte_t pte = ptep_get_and_clear(am->req->mm, anon_move_src(b, i), b->src_pte + i);

	if (bitmap_empty(parts->taken, b->max)) {
		parts->first = i;
		parts->pte = pte_mksoft_dirty(pte);
	}
	parts->pte = anon_move_add_accesses(parts->pte, pte);
	__set_bit(i, parts->taken);
}

static void take_parts(struct anon_move *am, struct anon_move_batch *b, struct parts *parts)
{
	unsigned int i;

	bitmap_zero(parts->taken, b->max);
	for (i = 0; i < b->max; i++) {
		pte_t pte = ptep_get(b->src_pte + i);

		if (!part_of(am, pte, anon_move_src(b, i)))
			continue;
		if (pte_present(pte))
			take_present(am, b, i, parts);
		else
			anon_move_swapped(am, b, i, pte);
	}
}

static void install_parts(struct anon_move *am, struct anon_move_batch *b,
			  const struct parts *parts)
{
	const u64 step = anon_move_pte_step(parts->pte);
	unsigned int i;

	for_each_set_bit(i, parts->taken, b->max)
		set_pte_at(am->req->mm, anon_move_dst(b, i), b->dst_pte + i,
			   anon_move_pte_add(parts->pte, (i - parts->first) * step));
}

/* Both tables are locked. No page is at its new address before all TLBs are flushed. */
static void move_entries(struct anon_move *am, struct anon_move_batch *b)
{
	struct parts parts;

	flush_tlb_batched_pending(am->req->mm);
	take_parts(am, b, &parts);
	if (bitmap_empty(parts.taken, b->max))
		return;
	flush_tlb_range(am->src_vma, b->src, b->src + b->size);
	anon_move_count(ANON_MOVE_FLUSHES, 1);
	anon_move_count(ANON_MOVE_MOVED_LARGE, bitmap_weight(parts.taken, b->max));
	install_parts(am, b, &parts);
}

static bool map_source(struct anon_move *am, struct anon_move_batch *b)
{
	pmd_t pmd;

	b->src_pte = anon_move_map(am->req->mm, b->src_pmd, b->src, &pmd, &b->src_ptl);
	return b->src_pte;
}

/* Neither table can go away: that takes the mmap_lock. All of it is looked at in any case. */
static void move_in_tables(struct anon_move *am, struct anon_move_batch *b)
{
	pmd_t pmd;

	b->max = b->size >> PAGE_SHIFT;
	b->nr = b->max;
	anon_move_batch_begin(am, b);
	b->dst_pte = anon_move_map(am->req->mm, b->dst_pmd, b->dst, &pmd, &b->dst_ptl);
	if (!WARN_ON_ONCE(!b->dst_pte)) {
		anon_move_mapped();
		if (!WARN_ON_ONCE(!map_source(am, b))) {
			anon_move_mapped();
			if (!WARN_ON_ONCE(!anon_move_lock_tables(am, b))) {
				move_entries(am, b);
				anon_move_unlock_tables(b);
			}
			pte_unmap(b->src_pte);
		}
		pte_unmap(b->dst_pte);
	}
	anon_move_batch_end(am, b);
}

/* Nothing fails any more. */
static void move_parts(struct anon_move *am, const struct window *w)
{
	struct anon_move_batch b __uninitialized;

	am->done = w->start;
	while (am->done < w->end) {
		/* What has become a table since they were made has nothing of the folio. */
		if (look_in_window(am, &b, w) && b.dst_pmd &&
		    !pmd_none(pmdp_get_lockless(b.dst_pmd)))
			move_in_tables(am, &b);
		else
			am->done += b.size;
	}
}

/*
 * Not from the address of its first page, which may lie before the VMA: an index in a VMA
 * counts from where it starts.
 */
static void reindex(struct anon_move *am, struct folio *folio)
{
	const pgoff_t to = linear_anon_page_index(am->dst_vma, am->req->dst);
	const pgoff_t from = linear_anon_page_index(am->src_vma, am->req->src);

	WRITE_ONCE(folio->index, folio->index + to - from);
	folio_move_anon_rmap(folio, am->dst_vma);
}

/**
 * anon_move_apart() - move a large folio that goes into more than one page table
 * @am: the move; takes over the locked folio with a reference in @am->folio
 *
 * Whoever found it had seen an entry of it under the page-table lock, and has held
 * the folio lock since: there is something to move.
 *
 * Context: the mmap_lock and both VMAs write-locked; sleeps.
 * Return: %ANON_MOVE_DONE, or %ANON_MOVE_NOMEM if no entry has moved.
 */
enum anon_move_stop anon_move_apart(struct anon_move *am)
{
	struct folio *folio = am->folio;
	const struct window w = window_of(am, folio);
	const unsigned long done = am->done;
	bool tables = make_tables(am, &w);

	if (tables) {
		move_parts(am, &w);
		reindex(am, folio);
	}
	am->done = done;
	am->folio = NULL;
	folio_unlock(folio);
	folio_put(folio);
	return tables ? ANON_MOVE_DONE : ANON_MOVE_NOMEM;
}
