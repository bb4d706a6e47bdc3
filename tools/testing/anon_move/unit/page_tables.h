/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page tables small enough to compare entry by entry, under the kernel's names for them.
 *
 * Stands in for mm/anon_move/anon_move_internal.h. Declared without a body is
 * what range.c never calls.
 */
#ifndef _MM_ANON_MOVE_INTERNAL_H
#define _MM_ANON_MOVE_INTERNAL_H

#include <assert.h>
#include "kernel.h"
#include <linux/anon_move.h>

#define CONFIG_TRANSPARENT_HUGEPAGE	1

#define MAX_PTRS_PER_PTE	8
#define PMD_SIZE		(MAX_PTRS_PER_PTE * PAGE_SIZE)
#define PMD_MASK		(~(PMD_SIZE - 1))
#define MODEL_PMDS		16
/* One "PUD" has this many PMDs. */
#define MODEL_PUD_PMDS		4

#define __acquires(lock)
#define __releases(lock)
#define noinline
#define __hot_inline
#define READ_ONCE(x)		(x)
#define data_race(x)		(x) /* the test has one thread */
#define WRITE_ONCE(x, value)	((x) = (value))
#define smp_mb__after_atomic()
#define cond_resched()
#define HZ			100
#define VM_SEALED		BIT(42)
#define anon_move_mm_key(mm)	(42)
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))
#define time_before(a, b)	((long)((a) - (b)) < 0)
#define fatal_signal_pending(task) ((task)->killed)

extern unsigned long jiffies;

typedef unsigned long pgoff_t, vm_flags_t;
typedef struct { int unused; } local_lock_t, spinlock_t, pgprot_t, pgd_t, p4d_t;
typedef struct { unsigned long page; } pte_t;
typedef struct { pte_t *table; bool huge; } pmd_t;
typedef struct { pmd_t *table; } pud_t;

struct anon_vma;
struct mmu_notifier_range { bool started; };
struct page;
struct folio { pgoff_t index; int refs; };

/* What a process has mapped. */
struct model_mm {
	struct mm_struct mm;
	pud_t pud[MODEL_PMDS / MODEL_PUD_PMDS];
	pmd_t pmd[MODEL_PMDS];
	bool no_memory;
	pmd_t *split;	/* is none while who splits it holds its lock */
};

#define model_of(mm)		((struct model_mm *)(mm))
#define __pmd(none)		((pmd_t){})
#define pmd_none(pmd)		(!(pmd).table && !(pmd).huge)
#define pmdp_get_lockless(pmdp)	(*(pmdp))
#define anon_move_pmd_huge(pmd)	((pmd).huge)
#define pte_none(pte)		(!(pte).page)
#define ptep_get(ptep)		(*(ptep))
#define pte_unmap_unlock(pte, ptl) ((void)(ptl))
#define anon_move_mapped()

static inline pmd_t anon_move_pmd_or_none(pmd_t *pmd)
{
	return pmd ? *pmd : __pmd(0);
}

static inline unsigned long min3(unsigned long a, unsigned long b, unsigned long c)
{
	if (b < a)
		a = b;
	return c < a ? c : a;
}

static inline pte_t *pte_offset_map_lock(struct mm_struct *mm, pmd_t *pmd, unsigned long addr,
					 spinlock_t **ptl)
{
	*ptl = NULL;
	return pmd->table ? pmd->table + (addr & ~PMD_MASK) / PAGE_SIZE : NULL;
}

/* Had when who splits is done. */
static inline spinlock_t *pmd_lock(struct mm_struct *mm, pmd_t *pmd)
{
	if (pmd == model_of(mm)->split)
		pmd->huge = true;
	return NULL;
}

#define spin_unlock(ptl)	((void)(ptl))

/* The levels above are one, and the model's own address. */
#define pgd_offset(mm, addr)	((pgd_t *)(mm))
#define pgdp_get(pgd)		(*(pgd))
#define pgd_present(pgd)	((void)(pgd), true)
#define p4d_offset(pgd, addr)	((p4d_t *)(pgd))
#define p4dp_get(p4d)		(*(p4d))
#define p4d_present(p4d)	((void)(p4d), true)
#define P4D_SIZE		(MODEL_PMDS * PMD_SIZE)
#define pud_index(addr)		((addr) / PMD_SIZE / MODEL_PUD_PMDS)
#define pudp_get(pud)		(*(pud))
#define pud_present(pud)	(!!(pud).table)

static inline pud_t *pud_offset(p4d_t *p4d, unsigned long addr)
{
	assert(pud_index(addr) < MODEL_PMDS / MODEL_PUD_PMDS);
	return &model_of(p4d)->pud[pud_index(addr)];
}

static inline pmd_t *pmd_offset(pud_t *pud, unsigned long addr)
{
	return pud->table + addr / PMD_SIZE % MODEL_PUD_PMDS;
}

/* All that may fail for want of memory fails here. */
#define p4d_alloc(mm, pgd, addr) ((p4d_t *)(pgd))
#define pud_alloc(mm, p4d, addr) (model_of(mm)->no_memory ? NULL : (pud_t *)(p4d))

static inline pmd_t *pmd_alloc(struct mm_struct *mm, pud_t *pud, unsigned long addr)
{
	unsigned long i = pud_index(addr);

	model_of(mm)->pud[i].table = &model_of(mm)->pmd[i * MODEL_PUD_PMDS];
	return pmd_offset(&model_of(mm)->pud[i], addr);
}

static inline int pte_alloc(struct mm_struct *mm, pmd_t *pmd)
{
	if (!pmd_none(*pmd))
		return 0;
	if (model_of(mm)->no_memory)
		return 1;
	pmd->table = calloc(MAX_PTRS_PER_PTE, sizeof(*pmd->table));
	return 0;
}

#define flush_cache_range(vma, start, end)
#define mmu_notifier_range_init(range, event, flags, mm, start, end) ((range)->started = false)
#define mmu_notifier_invalidate_range_start(range) ((range)->started = true)
#define mmu_notifier_invalidate_range_end(range) assert((range)->started)

#define __acquire(ptl)		((void)(ptl))
#define __release(ptl)		((void)(ptl))
#define spin_lock(ptl)		((void)(ptl))
#define spin_lock_nested(ptl, class) ((void)(ptl))
#define DECLARE_TRACEPOINT(name)
#define tracepoint_enabled(name) false

static inline void folio_put(struct folio *folio)
{
	folio->refs--;
}

bool pte_same(pte_t a, pte_t b);
pte_t anon_move_pte_add(pte_t pte, u64 step);
bool anon_move_exclusive(struct page *page);
bool folio_test_anon(struct folio *folio);
bool folio_trylock(struct folio *folio);
bool folio_maybe_dma_pinned(struct folio *folio);
unsigned long folio_pfn(struct folio *folio);
void folio_move_anon_rmap(struct folio *folio, struct vm_area_struct *vma);
pgoff_t linear_anon_page_index(struct vm_area_struct *vma, unsigned long addr);

#endif /* _MM_ANON_MOVE_INTERNAL_H */
