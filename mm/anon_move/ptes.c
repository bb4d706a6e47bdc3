// SPDX-License-Identifier: GPL-2.0
/*
 * A run of page table entries: take, flush once, install. Touches two page tables.
 *
 *	          take              flush            install
 *	source    page -> none      (no CPU can
 *	                             write the
 *	dest.                        page)           none -> page
 *
 * What an entry is to become waits in a table of this CPU meanwhile, so that a
 * batch of any length allocates nothing. All that can fail fails while an entry
 * is taken; once taken it is not put back.
 */

#include "anon_move.h"

static DEFINE_PER_CPU(struct anon_move_staging, anon_move_staging) = {
	.lock = INIT_LOCAL_LOCK(lock),
};

/* A page arrives soft-dirty, as mremap() has it (REGRESSIONS R12, O3); zeroes stay read-only. */
static pte_t make_moved(pte_t pte, const struct anon_move *am)
{
	if (am->uffd == ANON_MOVE_AS_IS)
		return pte_mksoft_dirty(pte);
	pte = pte_mksoft_dirty(pte_modify(pte, am->dst_vma->vm_page_prot));
	if (am->uffd == ANON_MOVE_UFFD_ARM)
		return pte_mkuffd(pte_modify(pte, PAGE_NONE));
	if (am->uffd == ANON_MOVE_UFFD_CLEAR)
		pte = pte_clear_uffd(pte);
	else if (am->uffd == ANON_MOVE_UFFD_PROTECT)
		pte = pte_mkuffd(pte);
	if (anon_move_pte_special(pte) || pte_uffd(pte))
		return pte;
	return pte_mkwrite(pte, am->dst_vma);
}

/**
 * anon_move_set_template() - work out what an entry becomes that is like none before
 * @template: where to put the result
 * @am: the move
 * @pte: the present source entry
 *
 * Context: the lock of who has @template, if any; the VMAs locked.
 */
void anon_move_set_template(struct anon_move_template *template, const struct anon_move *am,
			    pte_t pte)
{
	template->from = pte;
	template->from_step = anon_move_pte_step(pte);
	template->pfn = pte_pfn(pte);
	template->to = make_moved(pte, am);
	template->to_step = anon_move_pte_step(template->to);
}

/* What an entry becomes depends on these two besides itself: no VMA here has shadow stacks. */
static void prepare_staging(struct anon_move_staging *staging, const struct anon_move *am)
{
	const struct vm_area_struct *dst_vma = am->dst_vma;

	if (pgprot_val(staging->prot) == pgprot_val(dst_vma->vm_page_prot) &&
	    staging->uffd == am->uffd)
		return;
	staging->prot = dst_vma->vm_page_prot;
	staging->uffd = am->uffd;
	staging->template.from = __pte(0);
	staging->template.from_step = 0;
}

static unsigned int take_small(struct anon_move *am, struct anon_move_batch *b,
			       unsigned int i, struct folio *folio)
{
	/* The CPU may set accessed and dirty up to this exchange: nothing is compared (V1). */
	pte_t pte = ptep_get_and_clear(am->req->mm, anon_move_src(b, i), b->src_pte + i);

	if (anon_move_pinned(am, folio)) {
		set_pte_at(am->req->mm, anon_move_src(b, i), b->src_pte + i, pte);
		folio_unlock(folio);
		return anon_move_end(b, ANON_MOVE_PINNED);
	}
	anon_move_stage(am, b, i, folio, pte);
	/*
	 * Who walks the reverse map from now on looks at the new address, and
	 * finds no entry there until this batch ends. Those who must find it
	 * take the page-table lock to look (PVMW_SYNC), and so wait; for the
	 * others it is a page still mapped, or not referenced.
	 */
	folio_unlock(folio);
	anon_move_count(ANON_MOVE_MOVED_SMALL, 1);
	return 1;
}

/* Nothing is known of the zero page that could be wrong at another address. */
static unsigned int take_special(struct anon_move *am, struct anon_move_batch *b,
				 unsigned int i, pte_t pte)
{
	struct mm_struct *mm = am->req->mm;

	if (!is_zero_pfn(pte_pfn(pte)))
		return anon_move_end(b, ANON_MOVE_SHARED);
	pte = ptep_get_and_clear(mm, anon_move_src(b, i), b->src_pte + i);
	b->staging->moved[i] = make_moved(pte, am);
	b->flush = true;
	anon_move_count(ANON_MOVE_MOVED_ZERO, 1);
	return 1;
}

static unsigned int take_present(struct anon_move *am, struct anon_move_batch *b,
				 unsigned int i, pte_t pte)
{
	enum anon_move_stop stop;
	struct folio *folio;
	struct page *page;

	if (unlikely(anon_move_pte_special(pte)))
		return take_special(am, b, i, pte);
	page = pte_page(pte);
	folio = page_folio(page);
	stop = anon_move_check_folio(folio, page);
	if (likely(!stop))
		stop = anon_move_lock(am, folio);
	if (unlikely(stop))
		return anon_move_end(b, stop);
	if (unlikely(folio_test_large(folio)))
		return anon_move_take_large(am, b, i, folio, page);
	return take_small(am, b, i, folio);
}

static unsigned int take(struct anon_move *am, struct anon_move_batch *b, unsigned int i)
{
	pte_t pte;

	if (!pte_none(anon_move_read(b->dst_pte + i)))
		return anon_move_end(b, ANON_MOVE_EXISTS);

	pte = anon_move_read(b->src_pte + i);
	if (likely(pte_present(pte)))
		return take_present(am, b, i, pte);

	if (!pte_none(pte))
		return anon_move_swap(am, b, i, pte);
	if (!anon_move_holes_allowed(am))
		return anon_move_end(b, ANON_MOVE_HOLE);
	b->staging->moved[i] = __pte(0);
	anon_move_count(ANON_MOVE_HOLES, 1);
	return 1;
}

static void take_all(struct anon_move *am, struct anon_move_batch *b)
{
	unsigned int i, nr;

	lazy_mmu_mode_enable();
	for (i = 0; i < b->max; i += nr) {
		nr = take(am, b, i);
		if (!nr)
			break;
	}
	lazy_mmu_mode_disable();
	b->nr = i;
}

static void flush(struct anon_move *am, struct anon_move_batch *b)
{
	/* On x86 the range variant takes it that page tables were freed. */
	if (b->nr == 1)
		flush_tlb_page(am->src_vma, b->src);
	else
		flush_tlb_range(am->src_vma, b->src, anon_move_src(b, b->nr));
	anon_move_count(ANON_MOVE_FLUSHES, 1);
}

static unsigned int install(struct mm_struct *mm, unsigned long addr, pte_t *ptep, pte_t pte)
{
	struct folio *folio = page_folio(pte_page(pte));
	unsigned int nr = folio_nr_pages(folio);

	set_ptes(mm, addr, ptep, pte, nr);
	/* A small one was unlocked when it was taken. */
	if (nr > 1)
		folio_unlock(folio);
	return nr;
}

static void install_all(struct anon_move *am, struct anon_move_batch *b)
{
	const pte_t *moved = b->staging->moved, *end = moved + b->nr;
	struct mm_struct *mm = am->req->mm;
	unsigned long addr = b->dst;
	pte_t *dst_pte = b->dst_pte;
	const bool large = b->large;
	unsigned int nr;

	lazy_mmu_mode_enable();
	for (; moved < end; moved += nr, dst_pte += nr, addr += nr * PAGE_SIZE) {
		nr = 1;
		if (pte_none(*moved))
			continue;
		if (unlikely(large))
			nr = install(mm, addr, dst_pte, *moved);
		else
			set_pte_at(mm, addr, dst_pte, *moved);
	}
	lazy_mmu_mode_disable();
}

static unsigned int entries_in(unsigned long size)
{
	if (MAX_PTRS_PER_PTE > ANON_MOVE_BATCH_MAX)
		return min_t(unsigned long, size >> PAGE_SHIFT, ANON_MOVE_BATCH_MAX);
	return size >> PAGE_SHIFT;
}

/*
 * Where the ranges overlap, an entry's destination may be an earlier entry's
 * source, which is free only once that one has been installed.
 */
static unsigned int batch_entries(const struct anon_move_batch *b)
{
	unsigned long distance = b->src > b->dst ? b->src - b->dst : b->dst - b->src;

	if (distance && distance < b->size)
		return entries_in(distance);
	return entries_in(b->size);
}

/* Both tables are locked and are what the walk took them for. */
static void move_entries(struct anon_move *am, struct anon_move_batch *b)
{
	/* Reclaim may have cleared entries here and still owe the flush (O5). */
	flush_tlb_batched_pending(am->req->mm);
	local_lock(&anon_move_staging.lock);
	b->staging = this_cpu_ptr(&anon_move_staging);
	prepare_staging(b->staging, am);
	b->max = batch_entries(b);
	take_all(am, b);
	if (b->flush) {
		flush(am, b);
		install_all(am, b);
	}
	local_unlock(&anon_move_staging.lock);
}

/**
 * anon_move_check_entry() - may what an entry maps move?
 * @am: the move
 * @pte: the source entry
 *
 * Context: the lock of the entry, which keeps its folio alive.
 * Return: %ANON_MOVE_DONE, or why not, as long as nothing has changed.
 */
enum anon_move_stop anon_move_check_entry(const struct anon_move *am, pte_t pte)
{
	enum anon_move_stop stop;
	struct folio *folio;

	if (pte_none(pte))
		return anon_move_holes_allowed(am) ? ANON_MOVE_DONE : ANON_MOVE_HOLE;
	if (!pte_present(pte))
		return anon_move_check_swap(am, pte);
	if (anon_move_pte_special(pte))
		return is_zero_pfn(pte_pfn(pte)) ? ANON_MOVE_DONE : ANON_MOVE_SHARED;
	folio = page_folio(pte_page(pte));
	stop = anon_move_check_folio(folio, pte_page(pte));
	return !stop && anon_move_pin_holds(am, folio) ? ANON_MOVE_PINNED : stop;
}

/**
 * anon_move_check_pte() - may the first page of a batch move?
 * @am: the move
 * @b: the batch: @b->src and @b->src_pmd, which was seen as a table
 *
 * Asked before a page table is made for it; the batch looks again.
 *
 * Context: both VMAs read-locked, no other lock.
 * Return: %ANON_MOVE_DONE, or why not, as long as nothing has changed.
 */
enum anon_move_stop anon_move_check_pte(struct anon_move *am, const struct anon_move_batch *b)
{
	enum anon_move_stop stop;
	spinlock_t *ptl; /* of the table that @b->src_pmd points to */
	pte_t *pte;

	pte = pte_offset_map_lock(am->req->mm, b->src_pmd, b->src, &ptl);
	if (!pte)
		return ANON_MOVE_RACED;
	anon_move_mapped();
	stop = anon_move_check_entry(am, ptep_get(pte));
	pte_unmap_unlock(pte, ptl);
	return stop;
}

/**
 * anon_move_dst_occupied() - is there something where the first page would go?
 * @b: the batch: @b->dst and @b->dst_pmd, NULL if there is none
 *
 * Asked before something is made or split for it; the batch looks again.
 *
 * Context: both VMAs read-locked, no other lock.
 * Return: true if it was occupied.
 */
bool anon_move_dst_occupied(const struct anon_move_batch *b)
{
	pmd_t pmd = anon_move_pmd_or_none(b->dst_pmd);
	bool occupied;
	pte_t *pte;

	if (pmd_none(pmd) || anon_move_pmd_huge(pmd))
		return !pmd_none(pmd);
	pte = pte_offset_map(b->dst_pmd, b->dst);
	if (!pte)
		return false;
	anon_move_mapped();
	occupied = !pte_none(ptep_get_lockless(pte));
	pte_unmap(pte);
	return occupied;
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
	anon_move_with_tables(am, b, move_entries);
	anon_move_batch_end(am, b);
	return b->stop;
}

/* As often as that somebody else had one of both. */
#define LOCK_TRIES	16

/**
 * anon_move_lock_contended() - lock two page tables of which somebody has the second
 * @am: the move
 * @first: the one that is locked
 * @second: the other one
 *
 * Waits for neither with the other one held, but for it alone: it may be mremap() that has
 * it. So others who want one of both come first, and might for ever: then the step ends, and
 * signals, writers and patience count. Who has write-locked the mmap_lock may wait.
 *
 * Context: @first locked on entry, both on success, neither on failure; the mmap_lock
 *	    write-locked with %ANON_MOVE_WHOLE_MAPPING.
 * Return: false if one of them was taken each time, never with %ANON_MOVE_WHOLE_MAPPING.
 */
bool anon_move_lock_contended(const struct anon_move *am, spinlock_t *first, spinlock_t *second)
	__releases(first)
{
	unsigned int tries;

	if (anon_move_whole_mapping(am)) {
		spin_lock_nested(second, SINGLE_DEPTH_NESTING);
		goto locked;
	}
	for (tries = 0; tries < LOCK_TRIES; tries++) {
		spin_unlock(first);
		swap(first, second);
		spin_lock(first);
		if (spin_trylock(second))
			goto locked;
	}
	spin_unlock(first);
	return false;

locked:
	__release(first);
	__release(second);
	return true;
}

#include "tests/ptes-kunit.h"
