/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What drifts from one architecture to another.
 */
#ifndef _MM_ANON_MOVE_ARCH_H
#define _MM_ANON_MOVE_ARCH_H

#include <linux/mm_types.h>
#include <linux/pgtable.h>

/**
 * anon_move_mm_key() - what tells an mm from all others
 * @mm: the mm
 *
 * Return: a number that no other mm has had or will have, nor any owner of requests
 *	   that anon_move_new_key() gave one; 0, so that nothing is remembered of it,
 *	   where an architecture has none.
 */
static inline u64 anon_move_mm_key(const struct mm_struct *mm)
{
#ifdef CONFIG_X86
	return mm->context.ctx_id | BIT_ULL(63);
#else
	return 0;
#endif
}

/*
 * An entry by itself: on arm64 ptep_get() of one that is folded with its neighbours looks at all
 * of them for accessed and dirty.
 */
static inline pte_t anon_move_read(pte_t *ptep)
{
#ifdef CONFIG_ARM64_CONTPTE
	return __ptep_get(ptep);
#else
	return ptep_get(ptep);
#endif
}

/*
 * To be compared with a present one: without the mark of being folded, which it loses when a
 * neighbour is cleared. Of a swap entry that bit is a part of the offset.
 */
static inline pte_t anon_move_peek(pte_t *ptep)
{
#ifdef CONFIG_ARM64_CONTPTE
	return pte_mknoncont(__ptep_get(ptep));
#else
	return ptep_get(ptep);
#endif
}

/*
 * Entries that are folded are cleared as whole blocks, so those of a large folio are looked at
 * before. Elsewhere each is looked at as it is cleared: on x86 that takes 38 instead of 60
 * instructions a page (make bench BENCH=64k.512).
 */
#define ANON_MOVE_BY_BLOCKS	IS_ENABLED(CONFIG_ARM64_CONTPTE)

#endif /* _MM_ANON_MOVE_ARCH_H */
