// SPDX-License-Identifier: GPL-2.0
/*
 * The walk of who holds both VMAs for writing: gives way to nobody, waits where it is, and
 * leaves no page tables behind.
 */

#include "anon_move.h"

/*
 * Nobody but the move can have filled the destination: a folio that was taken apart
 * is there already. Returns false if there is more in the source than that left.
 */
static bool pass_moved(struct anon_move *am)
{
	struct anon_move_batch b __uninitialized;
	pmd_t pmd = anon_move_look(am, &b);
	long nr = b.size >> PAGE_SHIFT;

	if (!pmd_none(pmd))
		nr = anon_move_leading_none(am->req->mm, b.src_pmd, b.src, b.size);
	if (nr <= 0)
		return false;
	am->done += nr * PAGE_SIZE;
	return true;
}

static void wait_for_migration(struct anon_move *am)
{
	struct anon_move_batch b __uninitialized;
	pmd_t pmd = anon_move_look(am, &b);

	if (pmd_is_migration_entry(pmd))
		pmd_migration_entry_wait(am->req->mm, b.src_pmd);
	else if (!pmd_none(pmd) && !anon_move_pmd_huge(pmd))
		migration_entry_wait(am->req->mm, b.src_pmd, b.src);
}

/**
 * anon_move_wait_held() - wait for what is in the way, without letting go of anything
 * @am: the move; drops the reference in @am->folio, if there is one
 * @stop: what was in the way
 *
 * Who has locked a folio that this mm alone maps waits for no lock of the mm, or
 * has let go of the folio before he does: each of them takes the mmap_lock first or
 * not at all. A VMA that is write-locked is no lock that anybody sleeps with: its
 * readers were waited for when it was.
 *
 * Context: the mmap_lock and both VMAs write-locked; sleeps, also past a fatal signal.
 * Return: true if it is worth another try, false if @stop is for good.
 */
bool anon_move_wait_held(struct anon_move *am, enum anon_move_stop stop)
{
	struct folio *folio = am->folio;

	am->folio = NULL;
	if (stop == ANON_MOVE_MIGRATING)
		wait_for_migration(am);
	else if (folio && stop == ANON_MOVE_WRITEBACK)
		folio_wait_writeback(folio);
	else if (folio && stop == ANON_MOVE_LOCKED)
		folio_wait_locked(folio);
	else if (stop == ANON_MOVE_LOCKED)
		schedule_timeout_uninterruptible(1);
	if (folio)
		folio_put(folio);
	return stop == ANON_MOVE_MIGRATING || stop == ANON_MOVE_WRITEBACK ||
	       stop == ANON_MOVE_LOCKED || stop == ANON_MOVE_RACED;
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
/* Takes the page table that maps @addr out of its PMD and adds it to a list. */
static void detach_table(struct mm_struct *mm, unsigned long addr, struct list_head *detached)
{
	pmd_t *pmdp = mm_find_pmd(mm, addr), pmd;
	spinlock_t *ptl; /* of @pmdp */

	if (!pmdp || pmd_none(pmdp_get_lockless(pmdp)))
		return;
	VM_WARN_ON_ONCE(anon_move_leading_none(mm, pmdp, addr, PMD_SIZE) != PTRS_PER_PTE);
	ptl = pmd_lock(mm, pmdp);
	pmd = pmdp_get(pmdp);
	pmd_clear(pmdp);
	spin_unlock(ptl);
	mm_dec_nr_ptes(mm);
	list_add(&pmd_pgtable(pmd)->lru, detached);
}

/*
 * Who unmaps the source would look at each of their entries once more. Nobody can fill them
 * any more. A walk of the reverse map that has still one of them mapped finds nothing in it,
 * nor does GUP-fast, and both are through before it is freed (REGRESSIONS R7). What a CPU
 * remembers of the way to it is gone by then, too. Xen's guests without huge pages have to
 * be told of page tables that are freed, which the kernel does not do for those freed so.
 */
static void free_emptied_tables(struct anon_move *am)
{
	const unsigned long end = am->req->src + am->req->len;
	unsigned long addr = ALIGN(am->req->src, PMD_SIZE);
	struct page *table, *next;
	LIST_HEAD(detached);

	if (!has_transparent_hugepage())
		return;
	for (; addr < end && end - addr >= PMD_SIZE; addr += PMD_SIZE) {
		detach_table(am->req->mm, addr, &detached);
		cond_resched();
	}
	if (list_empty(&detached))
		return;
	flush_tlb_range(am->src_vma, am->req->src, end);
	pmdp_get_lockless_sync();
	list_for_each_entry_safe(table, next, &detached, lru)
		pte_free_defer(am->req->mm, table);
}
#else
/* Without huge pages the kernel has no way to free one that others may be looking at. */
static void free_emptied_tables(struct anon_move *am) { }
#endif

static enum anon_move_stop walk(struct anon_move *am)
{
	while (am->done < am->req->len) {
		enum anon_move_stop stop = anon_move_step(am);

		if (stop == ANON_MOVE_EXISTS && pass_moved(am))
			stop = ANON_MOVE_DONE;
		if (stop && !anon_move_wait_held(am, stop))
			return stop;
		cond_resched();
	}
	return ANON_MOVE_DONE;
}

/**
 * anon_move_walk_held() - move the pages of a mapping that nobody else can get at
 * @am: the move: @am->req, both VMAs, @am->uffd; @am->done is where it begins
 *
 * Gives way to nobody and gives up for nothing that passes. In the end the source has no
 * page tables but where they reach beyond it.
 *
 * Context: the mmap_lock and both VMAs write-locked; sleeps.
 * Return: %ANON_MOVE_DONE, or why the rest can't move: %ANON_MOVE_NOMEM, or what
 *	   anon_move_check() had not found.
 */
enum anon_move_stop anon_move_walk_held(struct anon_move *am)
{
	enum anon_move_stop stop = walk(am);

	if (!stop)
		free_emptied_tables(am);
	return stop;
}
