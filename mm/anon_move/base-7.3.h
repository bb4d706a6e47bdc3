/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What Linux 7.3 does in a way of its own: page flags, the swap cache, and locking a VMA.
 */
#ifndef _MM_ANON_MOVE_BASE_H
#define _MM_ANON_MOVE_BASE_H

#include <linux/leafops.h>
#include <linux/swapops.h>
#include "../swap.h"
#include "../swap_table.h"
#include "../vma.h"

#define ANON_MOVE_MAPPING_ANON		FOLIO_MAPPING_ANON

#define anon_move_alloc_folio(vma, addr) \
	vma_alloc_folio(GFP_HIGHUSER_MOVABLE, 0, vma, addr)

/* Of a VMA that a unit test has made up: there are two, which are the same in an anonymous one. */
static inline void anon_move_make_up_pgoff(struct vm_area_struct *vma, pgoff_t pgoff)
{
	vma->vm_pgoff = pgoff;
	__vma_set_anon_pgoff(vma, pgoff);
}

/* May VMAs that differ in these be merged? */
#define ANON_MOVE_MERGE_IGNORES		(VM_SOFTDIRTY | VM_MAYBE_GUARD)

/* May mremap() merge a part of @vma, as it is, with @beside, for all that their anon_vmas say? */
static inline bool anon_move_anon_vmas_merge(struct vm_area_struct *vma,
					     struct vm_area_struct *beside)
{
	return beside->anon_vma == vma->anon_vma ||
	       (!beside->anon_vma && list_is_singular(&vma->anon_vma_chain));
}

/* Does mremap() find out before it unmaps the destination that a range lies in several VMAs? */
#define ANON_MOVE_REMAPS_SEVERAL	true

/* To be merged with its neighbours as what is new, and was copied from nowhere. */
static inline void anon_move_merge_as_new(struct vma_merge_struct *vmg, struct anon_vma *anon_vma)
{
	vmg->middle = NULL;
	vmg->anon_vma = anon_vma;
	vmg->pgoff = vmg->start >> PAGE_SHIFT;
	vmg->anon_pgoff = vmg->pgoff;
}

static inline int anon_move_share_anon_vma(struct vm_area_struct *dst, struct vm_area_struct *src)
{
	dst->anon_vma = src->anon_vma;
	return anon_vma_clone(dst, src, VMA_OP_MERGE_UNFAULTED);
}

static inline unsigned long *anon_move_page_flags(struct page *page)
{
	return &page->flags.f;
}

/* Whether the slot of a swap entry, pinned by its page-table lock, has a folio in the cache. */
static inline bool anon_move_slot_cached(softleaf_t entry)
{
	return swap_cache_has_folio(entry);
}

/* Has the slot no other entry than the one that pins it, and no folio? Both are in one word. */
static inline bool anon_move_sole_entry(softleaf_t entry)
{
#ifdef CONFIG_SWAP
	unsigned long slot = swap_table_get(__swap_entry_to_cluster(entry),
					    swp_cluster_offset(entry));

	return !swp_tb_is_folio(slot) && swp_tb_get_count(slot) == 1;
#else
	return false;
#endif
}

/* That folio with a reference, or NULL while it enters or leaves the cache. */
static inline struct folio *anon_move_cached_folio(softleaf_t entry)
{
	return swap_cache_get_folio(entry);
}

/* What a device has for its own counts as mapped. */
static inline bool anon_move_mapcount_lacks(const struct folio *folio)
{
	return false;
}

#ifdef CONFIG_PER_VMA_LOCK
/*
 * Under the mmap_lock nobody can be write-locking a VMA; what may fail is a
 * reference count that is at its limit.
 */
static inline bool anon_move_vma_lock(struct vm_area_struct *vma, int subclass)
{
	return vma_start_read_locked_nested(vma, subclass);
}

/*
 * A VMA that was found in this RCU section. It may have been freed and be
 * another mm's by now, which is found out once it is locked. A failure ends
 * the section, and here begins another: nothing found in the old one may be
 * followed any more.
 */
static inline bool anon_move_vma_trylock(struct mm_struct *mm, struct vm_area_struct *vma)
{
	if (likely(vma_start_read(mm, vma) == vma))
		return true;
	rcu_read_lock();
	return false;
}

/* Set by a writer before he sleeps, and no reader gets in from then on. */
static inline bool anon_move_vma_contended(struct vm_area_struct *vma)
{
	return refcount_read(&vma->vm_refcnt) & VM_REFCNT_EXCLUDE_READERS_FLAG;
}
#endif

#endif /* _MM_ANON_MOVE_BASE_H */
