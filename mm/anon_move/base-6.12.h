/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Linux 6.12 under the names of later kernels, and what locks a VMA there.
 */
#ifndef _MM_ANON_MOVE_BASE_H
#define _MM_ANON_MOVE_BASE_H

#include <linux/swapops.h>
#include "../vma.h"

#define ANON_MOVE_MAPPING_ANON		PAGE_MAPPING_ANON

/* One bit of an entry, which means write-protection: userfaultfd has no other mode yet. */
#define pte_uffd(pte)			pte_uffd_wp(pte)
#define pte_mkuffd(pte)			pte_mkuffd_wp(pte)
#define pte_clear_uffd(pte)		pte_clear_uffd_wp(pte)
#define pte_swp_uffd(pte)		pte_swp_uffd_wp(pte)
#define pte_swp_mkuffd(pte)		pte_swp_mkuffd_wp(pte)
#define pte_swp_clear_uffd(pte)		pte_swp_clear_uffd_wp(pte)
#define pmd_uffd(pmd)			pmd_uffd_wp(pmd)
#define pmd_mkuffd(pmd)			pmd_mkuffd_wp(pmd)
#define pmd_clear_uffd(pmd)		pmd_clear_uffd_wp(pmd)

#define VM_UFFD_RWP			VM_NONE

static inline bool userfaultfd_rwp(struct vm_area_struct *vma)
{
	return false;
}

#define anon_move_alloc_folio(vma, addr) \
	vma_alloc_folio(GFP_HIGHUSER_MOVABLE, 0, vma, addr, false)

/* What is neither present nor none. */
#define softleaf_t			swp_entry_t
#define softleaf_from_pte(pte)		pte_to_swp_entry(pte)
#define softleaf_to_pte(entry)		swp_entry_to_pte(entry)
#define softleaf_is_migration(entry)	is_migration_entry(entry)
#define softleaf_to_pfn(entry)		swp_offset_pfn(entry)
#define softleaf_is_swap(entry)		(!non_swap_entry(entry))
#define softleaf_is_device_private(entry)	is_device_private_entry(entry)
#define softleaf_is_device_exclusive(entry)	is_device_exclusive_entry(entry)
#define pmd_is_migration_entry(pmd)	is_pmd_migration_entry(pmd)

static inline bool pmd_is_device_private_entry(pmd_t pmd)
{
	return false;
}

#define folio_mk_pmd(folio, prot)	mk_huge_pmd(&(folio)->page, prot)
#define zero_pfn(addr)			my_zero_pfn(addr)
#define linear_anon_page_index(vma, addr) linear_page_index(vma, addr)
#define __linear_anon_page_index(vma, addr) linear_page_index(vma, addr)
#define lazy_mmu_mode_enable()		arch_enter_lazy_mmu_mode()
#define lazy_mmu_mode_disable()		arch_leave_lazy_mmu_mode()

/* Of a VMA that a unit test has made up. */
static inline void anon_move_make_up_pgoff(struct vm_area_struct *vma, pgoff_t pgoff)
{
	vma->vm_pgoff = pgoff;
}

/* May VMAs that differ in these be merged? */
#define ANON_MOVE_MERGE_IGNORES		VM_SOFTDIRTY

/* May mremap() merge a part of @vma, as it is, with @beside, for all that their anon_vmas say? */
static inline bool anon_move_anon_vmas_merge(struct vm_area_struct *vma,
					     struct vm_area_struct *beside)
{
	return beside->anon_vma == vma->anon_vma;
}

/* Does mremap() find out before it unmaps the destination that a range lies in several VMAs? */
#define ANON_MOVE_REMAPS_SEVERAL	false

/* To be merged with its neighbours as what is new, and was copied from nowhere. */
static inline void anon_move_merge_as_new(struct vma_merge_struct *vmg, struct anon_vma *anon_vma)
{
	vmg->vma = NULL;
	vmg->anon_vma = anon_vma;
	vmg->pgoff = vmg->start >> PAGE_SHIFT;
}

static inline int anon_move_share_anon_vma(struct vm_area_struct *dst, struct vm_area_struct *src)
{
	int error;

	dst->anon_vma = src->anon_vma;
	error = anon_vma_clone(dst, src);
	if (error)
		dst->anon_vma = NULL;
	return error;
}

static inline unsigned long *anon_move_page_flags(struct page *page)
{
	return &page->flags;
}

/* Whether the slot of a swap entry, pinned by its page-table lock, has a folio in the cache. */
static inline bool anon_move_slot_cached(swp_entry_t entry)
{
	struct swap_info_struct *si = swp_swap_info(entry);

	return si && READ_ONCE(si->swap_map[swp_offset(entry)]) & SWAP_HAS_CACHE;
}

/* Has the slot no other entry than the one that pins it, and no folio? Both are in one byte. */
static inline bool anon_move_sole_entry(swp_entry_t entry)
{
	struct swap_info_struct *si = swp_swap_info(entry);

	return si && READ_ONCE(si->swap_map[swp_offset(entry)]) == 1;
}

/* That folio with a reference, or NULL while it enters or leaves the cache. */
static inline struct folio *anon_move_cached_folio(swp_entry_t entry)
{
	struct folio *folio = filemap_get_folio(swap_address_space(entry), swap_cache_index(entry));

	return IS_ERR(folio) ? NULL : folio;
}

/*
 * Can there be entries of a large folio that a device has for its own? They have references
 * but do not count as mappings, and are not to be told from others who have a reference.
 * The folio is locked, and the caller has one.
 */
static inline bool anon_move_mapcount_lacks(const struct folio *folio)
{
	const int mapcount = folio_mapcount(folio);

	return IS_ENABLED(CONFIG_DEVICE_PRIVATE) && !folio_test_swapcache(folio) &&
	       mapcount < folio_nr_pages(folio) && folio_ref_count(folio) > mapcount + 1;
}

#ifndef VM_SEALED
#define VM_SEALED	VM_NONE
#endif

#ifdef CONFIG_PER_VMA_LOCK
/*
 * Under the mmap_lock nobody can be write-locking a VMA, so the plain rwsem is
 * taken: vma_start_read() may fail there for a sequence number that is stale.
 */
static inline bool anon_move_vma_lock(struct vm_area_struct *vma, int subclass)
{
	down_read_nested(&vma->vm_lock->lock, subclass);
	return true;
}

/* A VMA that was found in this RCU section: none is freed, nor used again, before it ends. */
static inline bool anon_move_vma_trylock(struct mm_struct *mm, struct vm_area_struct *vma)
{
	if (!vma_start_read(vma))
		return false;
	if (likely(!vma->detached))
		return true;
	vma_end_read(vma);
	return false;
}

static inline bool anon_move_vma_contended(struct vm_area_struct *vma)
{
	return rwsem_is_contended(&vma->vm_lock->lock);
}
#endif

#endif /* _MM_ANON_MOVE_BASE_H */
