// SPDX-License-Identifier: GPL-2.0
/*
 * Copies pages that may not move, where that was asked for, and drops them from the source.
 */

#include "anon_move.h"

/**
 * struct copy - one page after the other, in one hold of the VMA locks
 * @b: of one page
 * @folio: where the next page is copied to; NULL if there is none yet
 * @old: what was copied, with the reference that its entry had; NULL if nothing was
 * @swapped: what is to be copied has to be read in first
 */
struct copy {
	struct anon_move_batch b;
	struct folio *folio;
	struct folio *old;
	bool swapped;
};

/* As what a fault brings: charged, and where the destination's policy has it. */
static struct folio *alloc(const struct anon_move *am)
{
	struct folio *folio;

	if (anon_move_should_fail())
		return NULL;
	folio = anon_move_alloc_folio(am->dst_vma, am->req->dst + am->done);
	if (!folio)
		return NULL;
	if (mem_cgroup_charge(folio, am->req->mm, GFP_KERNEL)) {
		folio_put(folio);
		return NULL;
	}
	folio_throttle_swaprate(folio, GFP_KERNEL);
	return folio;
}

static pte_t make_copied(const struct anon_move *am, struct folio *folio, pte_t pte)
{
	pte_t copied = pfn_pte(folio_pfn(folio), am->dst_vma->vm_page_prot);
	struct anon_move_template template;

	if (pte_uffd(pte))
		copied = pte_mkuffd(copied);
	anon_move_set_template(&template, am, pte_mkdirty(pte_mkyoung(copied)));
	return template.to;
}

static void install(struct anon_move *am, struct copy *c, pte_t pte)
{
	struct anon_move_batch *b = &c->b;
	struct folio *folio = c->folio;

	c->folio = NULL;
	__folio_mark_uptodate(folio);
	folio_add_new_anon_rmap(folio, am->dst_vma, b->dst, RMAP_EXCLUSIVE);
	folio_add_lru_vma(folio, am->dst_vma);
	set_pte_at(am->req->mm, b->dst, b->dst_pte, make_copied(am, folio, pte));
}

/*
 * A thread may write to a pinned page until the flush; what a device writes behind
 * it does not reach the copy. A page that can't be read stays.
 */
static enum anon_move_stop replace(struct anon_move *am, struct copy *c)
{
	struct anon_move_batch *b = &c->b;
	pte_t pte = ptep_get_and_clear(am->req->mm, b->src, b->src_pte);
	struct page *page = pte_page(pte);

	flush_tlb_page(am->src_vma, b->src);
	anon_move_count(ANON_MOVE_FLUSHES, 1);
	if (anon_move_should_fail() ||
	    copy_mc_user_highpage(&c->folio->page, page, b->dst, am->dst_vma)) {
		set_pte_at(am->req->mm, b->src, b->src_pte, pte);
		return ANON_MOVE_MARKER;
	}
	install(am, c, pte);
	c->old = page_folio(page);
	folio_remove_rmap_pte(c->old, page, am->src_vma);
	b->nr = 1;
	b->flush = true;
	anon_move_count(ANON_MOVE_COPIED, 1);
	return ANON_MOVE_DONE;
}

/* Both tables are locked. What may move by now is left to what moves it. */
static void copy_entry(struct anon_move *am, struct anon_move_batch *b)
{
	struct copy *c = container_of(b, struct copy, b);
	pte_t pte = ptep_get(b->src_pte);

	flush_tlb_batched_pending(am->req->mm);
	b->stop = pte_none(ptep_get(b->dst_pte)) ? anon_move_check_entry(am, pte) :
						   ANON_MOVE_EXISTS;
	if (!anon_move_copyable(b->stop))
		return;
	if (!pte_present(pte))
		c->swapped = true;
	else if (!anon_move_pte_special(pte))
		b->stop = replace(am, c);
}

static enum anon_move_stop make_room(struct anon_move *am, struct copy *c)
{
	if (anon_move_dst_occupied(&c->b))
		return ANON_MOVE_EXISTS;
	if (!c->folio)
		c->folio = alloc(am);
	return c->folio && anon_move_make_table(am, &c->b) ? ANON_MOVE_DONE : ANON_MOVE_NOMEM;
}

/* %ANON_MOVE_DONE without progress: it is not to be copied any more. */
static enum anon_move_stop copy_next(struct anon_move *am, struct copy *c)
{
	pmd_t pmd = anon_move_look(am, &c->b);
	const bool huge = anon_move_pmd_huge(pmd);
	enum anon_move_stop stop;

	if (pmd_none(pmd))
		return ANON_MOVE_DONE;
	if (huge) {
		stop = anon_move_check_pmd(am, &c->b);
		if (!anon_move_copyable(stop))
			return stop;
	}
	stop = make_room(am, c);
	if (stop)
		return stop;
	/* It need not stay huge here: each of its pages is copied. But for none it stays (O17). */
	if (huge)
		split_huge_pmd(am->src_vma, c->b.src_pmd, c->b.src);
	c->b.size = PAGE_SIZE;
	c->old = NULL;
	anon_move_batch_begin(am, &c->b);
	anon_move_with_tables(am, &c->b, copy_entry);
	anon_move_batch_end(am, &c->b);
	if (c->old) {
		/* If nobody maps it any more its slot is of no use. */
		free_swap_cache(c->old);
		folio_put(c->old);
	}
	return c->b.stop;
}

/* What the VMAs hold may have become less than has moved: then there is nothing of it here. */
static enum anon_move_stop copy_locked(struct anon_move *am, struct copy *c)
{
	enum anon_move_stop stop = ANON_MOVE_DONE;
	unsigned long before;

	while (am->done < am->req->len) {
		before = am->done;
		stop = copy_next(am, c);
		if (am->done == before)
			break;
		am->tries = 0;
		if (fatal_signal_pending(current) || anon_move_writer_waits(am))
			break;
		cond_resched();
	}
	return stop;
}

static bool still_swapped(struct mm_struct *mm, unsigned long addr)
{
	struct anon_move_batch b = { .src = addr, .dst = addr };
	spinlock_t *ptl; /* of the table that @b.src_pmd points to */
	pte_t *ptep, pte;

	anon_move_find_pmds(mm, &b);
	ptep = b.src_pmd ? pte_offset_map_lock(mm, b.src_pmd, addr, &ptl) : NULL;
	if (!ptep)
		return false;
	anon_move_mapped();
	pte = ptep_get(ptep);
	pte_unmap_unlock(ptep, ptl);
	return !pte_none(pte) && !pte_present(pte) && softleaf_is_swap(softleaf_from_pte(pte));
}

/*
 * A swap entry that others have too. Without a wait, so that the lock is kept; and that is
 * taken for writing, to keep other movers away: had one taken the entry meanwhile, the
 * fault would bring a zero page, or fail where a userfaultfd would have to be asked.
 */
static enum anon_move_stop read_in(struct anon_move *am)
{
	const unsigned int flags = FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_RETRY_NOWAIT |
				   FAULT_FLAG_REMOTE;
	const unsigned long addr = am->req->src + am->done;
	struct vm_area_struct *vma;
	vm_fault_t fault = 0;

	mmap_write_lock(am->req->mm);
	vma = vma_lookup(am->req->mm, addr);
	if (vma && vma_is_anonymous(vma)) {
		vma_start_write(vma);
		if (still_swapped(am->req->mm, addr))
			fault = handle_mm_fault(vma, addr, flags, NULL);
	}
	mmap_write_unlock(am->req->mm);
	if (fault & VM_FAULT_OOM)
		return ANON_MOVE_NOMEM;
	if (fault & VM_FAULT_ERROR)
		return ANON_MOVE_MARKER;
	if (fault & VM_FAULT_RETRY) {
		anon_move_before_wait(am);
		schedule_timeout_killable(1);
	}
	return ANON_MOVE_DONE;
}

/**
 * anon_move_copy() - copy pages from the cursor on, as long as they may not move
 * @am: the move; @am->done grows by what was copied
 *
 * Only what is shared or pinned, a page at a time. Each is at its old or at its new address
 * alone, as what moves.
 *
 * Context: no mmap_lock, no VMA lock; may sleep.
 * Return: %ANON_MOVE_DONE, with or without progress, if the next page is not to be
 *	   copied, or it is worth trying again; or why it can't be: %ANON_MOVE_NOMEM,
 *	   %ANON_MOVE_MARKER if it can't be read, %ANON_MOVE_EXISTS, %ANON_MOVE_VMA,
 *	   %ANON_MOVE_LOCKED if there must be no wait for memory (%ANON_MOVE_NO_WAIT),
 *	   or what the walk will come to as well.
 */
enum anon_move_stop anon_move_copy(struct anon_move *am)
{
	struct copy c = {};
	enum anon_move_stop stop;

	if (anon_move_no_wait(am))
		return ANON_MOVE_LOCKED;
	am->error = anon_move_lock_vmas(am);
	if (am->error)
		return ANON_MOVE_VMA;
	stop = copy_locked(am, &c);
	anon_move_unlock_vmas(am);
	if (c.folio)
		folio_put(c.folio);
	if (c.swapped)
		return read_in(am);
	/* The walk knows how to wait for it. */
	return stop == ANON_MOVE_RACED || stop == ANON_MOVE_MIGRATING ? ANON_MOVE_DONE : stop;
}
