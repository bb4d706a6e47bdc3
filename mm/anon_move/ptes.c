// SPDX-License-Identifier: GPL-2.0
/*
 * A run of page table entries: collect and park, flush once, install. Touches two page tables.
 *
 *	          collect              flush            install
 *	source    page -> parked       (no CPU can      parked -> none
 *	                                write the
 *	dest.     none                  page)           none   -> page
 *
 * A parked entry is a migration entry that never leaves the two page-table
 * locks. It keeps frame number, dirty, accessed and the like where they were,
 * so a batch of any length needs no memory. Whoever faults on one finds the
 * page-table lock taken, and afterwards the entry gone.
 */

#include "anon_move.h"

static pte_t make_parked(pte_t pte, bool zero)
{
	unsigned long pfn = pte_pfn(pte);
	swp_entry_t entry;
	pte_t parked;

	/* Only the zero page is parked as shared: that is what tells it from a folio. */
	if (zero)
		entry = make_readable_migration_entry(pfn);
	else if (pte_write(pte))
		entry = make_writable_migration_entry(pfn);
	else
		entry = make_readable_exclusive_migration_entry(pfn);
	if (pte_young(pte))
		entry = make_migration_entry_young(entry);
	if (pte_dirty(pte))
		entry = make_migration_entry_dirty(entry);

	parked = swp_entry_to_pte(entry);
	if (pte_soft_dirty(pte))
		parked = pte_swp_mksoft_dirty(parked);
	if (pte_uffd_wp(pte))
		parked = pte_swp_mkuffd_wp(parked);
	return parked;
}

static struct folio *parked_folio(pte_t parked)
{
	swp_entry_t entry = pte_to_swp_entry(parked);

	if (is_readable_migration_entry(entry))
		return NULL;
	return pfn_folio(swp_offset_pfn(entry));
}

/* The present entry for @parked, read-only: who may write is the caller's to say. */
static pte_t make_present(pte_t parked, struct vm_area_struct *vma)
{
	swp_entry_t entry = pte_to_swp_entry(parked);
	pte_t pte = pfn_pte(swp_offset_pfn(entry), vma->vm_page_prot);

	if (is_readable_migration_entry(entry))
		pte = pte_mkspecial(pte);
	if (!is_migration_entry_young(entry))
		pte = pte_mkold(pte);
	if (is_migration_entry_dirty(entry))
		pte = pte_mkdirty(pte);
	return pte;
}

/*
 * A page arrives soft-dirty, as mremap() has it (REGRESSIONS R12, O3), and
 * stays write-protected only where somebody listens for it (R18).
 */
static pte_t make_moved(pte_t parked, bool zero, struct vm_area_struct *dst_vma)
{
	pte_t pte = pte_mksoft_dirty(make_present(parked, dst_vma));

	if (pte_swp_uffd_wp(parked) && userfaultfd_wp(dst_vma))
		return pte_mkuffd_wp(pte);
	return zero ? pte : pte_mkwrite(pte, dst_vma);
}

/* As it was, but for a NUMA hint, which may as well be set anew. */
static void unpark(struct anon_move *am, struct anon_move_batch *b, unsigned int i)
{
	pte_t parked = ptep_get(b->src_pte + i);
	struct folio *folio;
	pte_t pte;

	if (pte_none(parked) || !is_migration_entry(pte_to_swp_entry(parked)))
		return;

	pte = make_present(parked, am->src_vma);
	if (is_writable_migration_entry(pte_to_swp_entry(parked)))
		pte = pte_mkwrite(pte, am->src_vma);
	/* pte_mkdirty() marks both on some architectures. */
	pte = pte_swp_soft_dirty(parked) ? pte_mksoft_dirty(pte) : pte_clear_soft_dirty(pte);
	if (pte_swp_uffd_wp(parked))
		pte = pte_mkuffd_wp(pte);
	set_pte_at(am->req->mm, b->src + i * PAGE_SIZE, b->src_pte + i, pte);

	folio = parked_folio(parked);
	if (folio)
		folio_unlock(folio);
}

static enum anon_move_stop park(struct anon_move *am, struct anon_move_batch *b,
				unsigned int i, pte_t pte)
{
	unsigned long addr = b->src + i * PAGE_SIZE;
	bool zero = is_zero_pfn(pte_pfn(pte));
	enum anon_move_stop stop;
	struct page *page;

	if (!zero) {
		/* Faulted in after the batch looked for an anon_vma to lock. */
		if (!b->anon_vma)
			return ANON_MOVE_RACED;
		page = vm_normal_page(am->src_vma, addr, pte);
		stop = anon_move_claim(am, page);
		if (stop)
			return stop;
	}

	/* The CPU may set accessed and dirty up to this exchange; never compare (V1). */
	pte = ptep_get_and_clear(am->req->mm, addr, b->src_pte + i);
	b->flush |= pte_accessible(am->req->mm, pte);
	if (!zero && pte_dirty(pte) && !migration_entry_supports_ad())
		folio_mark_dirty(page_folio(page));
	set_pte_at(am->req->mm, addr, b->src_pte + i, make_parked(pte, zero));
	return ANON_MOVE_DONE;
}

static enum anon_move_stop collect_one(struct anon_move *am, struct anon_move_batch *b,
				       unsigned int i)
{
	pte_t pte;

	if (!pte_none(ptep_get(b->dst_pte + i)))
		return ANON_MOVE_EXISTS;

	pte = ptep_get(b->src_pte + i);
	if (pte_none(pte))
		return anon_move_holes_allowed(am) ? ANON_MOVE_DONE : ANON_MOVE_HOLE;
	if (!pte_present(pte))
		return anon_move_check_swap(pte);
	return park(am, b, i, pte);
}

static void collect(struct anon_move *am, struct anon_move_batch *b)
{
	unsigned int i;

	arch_enter_lazy_mmu_mode();
	for (i = 0; i < b->nr; i++) {
		b->stop = collect_one(am, b, i);
		if (b->stop)
			break;
	}
	arch_leave_lazy_mmu_mode();
	b->nr = i;
}

static enum anon_move_stop install_parked(struct anon_move *am, struct anon_move_batch *b,
					  unsigned int i, pte_t parked)
{
	struct folio *folio = parked_folio(parked);

	if (folio) {
		/* Pinned by GUP-fast before the entry was cleared (R3). */
		if (folio_maybe_dma_pinned(folio))
			return ANON_MOVE_PINNED;
		anon_move_reindex(am, folio, b->dst + i * PAGE_SIZE);
	}
	pte_clear(am->req->mm, b->src + i * PAGE_SIZE, b->src_pte + i);
	set_pte_at(am->req->mm, b->dst + i * PAGE_SIZE, b->dst_pte + i,
		   make_moved(parked, !folio, am->dst_vma));
	if (folio)
		folio_unlock(folio);
	anon_move_count(folio ? ANON_MOVE_MOVED_SMALL : ANON_MOVE_MOVED_ZERO, 1);
	return ANON_MOVE_DONE;
}

static enum anon_move_stop install_one(struct anon_move *am, struct anon_move_batch *b,
				       unsigned int i)
{
	pte_t pte = ptep_get(b->src_pte + i);

	if (pte_none(pte)) {
		anon_move_count(ANON_MOVE_HOLES, 1);
		return ANON_MOVE_DONE;
	}
	if (is_migration_entry(pte_to_swp_entry(pte)))
		return install_parked(am, b, i, pte);
	return anon_move_swap(am, b, i, pte);
}

/* What can't be installed ends the batch; all behind it goes back where it was. */
static void install(struct anon_move *am, struct anon_move_batch *b)
{
	enum anon_move_stop stop = ANON_MOVE_DONE;
	struct folio *collected = am->folio;
	unsigned int i, nr = b->nr;

	am->folio = NULL;
	arch_enter_lazy_mmu_mode();
	for (i = 0; i < nr; i++) {
		stop = install_one(am, b, i);
		if (stop)
			break;
	}
	b->nr = i;
	for (; i < nr; i++)
		unpark(am, b, i);
	arch_leave_lazy_mmu_mode();

	if (stop) {
		anon_move_drop(collected, b->stop);
		b->stop = stop;
	} else {
		am->folio = collected;
	}
}

static void flush(struct anon_move *am, struct anon_move_batch *b)
{
	if (b->flush) {
		/* The range variant takes it that page tables were freed. */
		if (b->nr == 1)
			flush_tlb_page(am->src_vma, b->src);
		else
			flush_tlb_range(am->src_vma, b->src, b->src + b->nr * PAGE_SIZE);
		anon_move_count(ANON_MOVE_FLUSHES, 1);
	}
	/*
	 * Either GUP-fast sees the parked entry when it looks again after
	 * raising the reference count, or install() sees the raised count.
	 */
	smp_mb();
}

/*
 * Where the ranges overlap, an entry's destination may be an earlier entry's
 * source, which is free only once that one has been installed.
 */
static unsigned int batch_entries(const struct anon_move_batch *b)
{
	unsigned long distance = b->src > b->dst ? b->src - b->dst : b->dst - b->src;

	if (distance && distance < b->size)
		return distance >> PAGE_SHIFT;
	return b->size >> PAGE_SHIFT;
}

/* Both tables are locked and are what the walk took them for. */
static void move_entries(struct anon_move *am, struct anon_move_batch *b)
{
	b->nr = batch_entries(b);
	/* Reclaim may have cleared entries here and still owe the flush (O5). */
	flush_tlb_batched_pending(am->req->mm);
	collect(am, b);
	flush(am, b);
	install(am, b);
}

/*
 * The destination is mapped, at a time when its PMD was @dst_pmdval. A table
 * that went away or became a huge page since then ends the batch (R7). Mapped
 * last, unmapped first: the order of kmap_local (R9, R15).
 */
static enum anon_move_stop move_mapped(struct anon_move *am, struct anon_move_batch *b,
				       pmd_t dst_pmdval)
{
	pmd_t src_pmdval = pmdp_get_lockless(b->src_pmd);

	b->src_pte = anon_move_map(am->req->mm, b->src_pmd, b->src, &b->src_ptl);
	if (!b->src_pte)
		return ANON_MOVE_RACED;
	anon_move_mapped();

	double_pt_lock(b->dst_ptl, b->src_ptl);
	if (pmd_same(dst_pmdval, pmdp_get_lockless(b->dst_pmd)) &&
	    pmd_same(src_pmdval, pmdp_get_lockless(b->src_pmd)))
		move_entries(am, b);
	else
		b->stop = ANON_MOVE_RACED;
	double_pt_unlock(b->dst_ptl, b->src_ptl);
	pte_unmap(b->src_pte);
	return b->stop;
}

static enum anon_move_stop map_and_move(struct anon_move *am, struct anon_move_batch *b)
{
	pmd_t dst_pmdval = pmdp_get_lockless(b->dst_pmd);
	enum anon_move_stop stop;

	b->dst_pte = anon_move_map(am->req->mm, b->dst_pmd, b->dst, &b->dst_ptl);
	if (!b->dst_pte)
		return ANON_MOVE_RACED;
	anon_move_mapped();
	stop = move_mapped(am, b, dst_pmdval);
	pte_unmap(b->dst_pte);
	return stop;
}

/**
 * anon_move_ptes() - move as many entries of one page table as go in one batch
 * @am: the move; @am->done grows by the bytes moved, @am->folio may be set
 * @b: the batch: addresses, PMDs and size filled in, both PMDs seen as tables
 *
 * Context: both VMAs read-locked on entry and exit, no other lock; may sleep.
 * Return: why the batch ended, with or without progress.
 */
enum anon_move_stop anon_move_ptes(struct anon_move *am, struct anon_move_batch *b)
{
	anon_move_batch_begin(am, b);
	b->stop = map_and_move(am, b);
	anon_move_batch_end(am, b);
	return b->stop;
}
