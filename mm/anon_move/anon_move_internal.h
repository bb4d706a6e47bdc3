/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Every kernel header the engine includes, also the base's own, and small readings of entries.
 */
#ifndef _MM_ANON_MOVE_INTERNAL_H
#define _MM_ANON_MOVE_INTERNAL_H

#include <linux/anon_move.h>
#include <linux/compat.h>
#include <linux/hugetlb.h>
#include <linux/local_lock.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_notifier.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/rwsem.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>
#include <linux/tracepoint-defs.h>
#include <linux/userfaultfd_k.h>
#include <asm/tlb.h>
#include <asm/tlbflush.h>
#include "../internal.h"
#include "../swap.h"
#include "arch.h"
#include "base.h"

/* Mapping a page table starts an RCU section that only pte_unmap() tells sparse about. */
static inline void anon_move_mapped(void)
	__acquires(RCU)
{
	__acquire(RCU);
}

static inline pmd_t anon_move_pmd_or_none(pmd_t *pmd)
{
	return pmd ? pmdp_get_lockless(pmd) : __pmd(0);
}

/* Not none and not a page table: a huge page, or one that migrates. */
static inline bool anon_move_pmd_huge(pmd_t pmd)
{
	return !pmd_none(pmd) && (pmd_leaf(pmd) || !pmd_present(pmd));
}

/*
 * Is this present entry of an anonymous VMA not that of a page to speak of? It
 * is the zero page then. This is what is left of vm_normal_page() when
 * VM_PFNMAP and VM_MIXEDMAP are ruled out.
 */
static inline bool anon_move_pte_special(pte_t pte)
{
	if (IS_ENABLED(CONFIG_ARCH_HAS_PTE_SPECIAL))
		return pte_special(pte);
	return is_zero_pfn(pte_pfn(pte));
}

/*
 * The values of entries that differ by the frame alone lie this far apart for
 * each frame: pte_next_pfn() asks anew each time which way an architecture
 * writes it (x86 inverts the frames of entries that are not to be accessed).
 */
static inline u64 anon_move_pte_step(pte_t pte)
{
	return (u64)pte_val(pte_next_pfn(pte)) - pte_val(pte);
}

static inline pte_t anon_move_pte_add(pte_t pte, u64 step)
{
	return __pte(pte_val(pte) + step);
}

/* PageAnonExclusive() of a page that is not of hugetlbfs, which need not be asked for each. */
static inline bool anon_move_exclusive(struct page *page)
{
	return READ_ONCE(*anon_move_page_flags(page)) & BIT(PG_anon_exclusive);
}

#ifdef CONFIG_PER_VMA_LOCK
/*
 * Odd while the mmap_lock is write-locked, and another number after each time.
 * A base where it is a mere counter, as before 6.12.88, says nothing while the
 * lock is held, and so can't be had here.
 */
static inline unsigned int anon_move_mm_seq(struct mm_struct *mm)
{
	/* What the mmap_lock protects is read after it; pairs with mm_lock_seqcount_begin(). */
	return smp_load_acquire(&mm->mm_lock_seq.sequence);
}
#endif

#endif /* _MM_ANON_MOVE_INTERNAL_H */
