/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the unit tests make up: a move, a batch and its entries that no process has, and folios.
 *
 * The mm is init_mm, whose entries CONFIG_PAGE_TABLE_CHECK does not count.
 */
#ifndef _MM_ANON_MOVE_TESTS_MADE_UP_H
#define _MM_ANON_MOVE_TESTS_MADE_UP_H

#include <kunit/test.h>

#define MADE_UP_ENTRIES	16
#define MADE_UP_FLAGS	(VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE)

/* Nothing is mapped there in init_mm. */
#define MADE_UP_DST	(SZ_1G * 1UL)
#define MADE_UP_SRC	(SZ_1G * 2UL)

struct made_up {
	struct anon_move_request req;
	struct anon_move am;
	struct anon_move_batch b;
	struct anon_move_staging staging;
	struct vm_area_struct dst_vma;
	struct vm_area_struct src_vma;
	struct anon_vma anon_vma;
	pte_t dst[MADE_UP_ENTRIES];
	pte_t src[MADE_UP_ENTRIES];
};

static inline void made_up_vma(struct made_up *m, struct vm_area_struct *vma, unsigned long start)
{
	vma->vm_mm = &init_mm;
	vma->vm_start = start;
	vma->vm_end = start + SZ_1G;
	anon_move_make_up_pgoff(vma, start >> PAGE_SHIFT);
	vma->vm_page_prot = vm_get_page_prot(MADE_UP_FLAGS);
	vma->anon_vma = &m->anon_vma;
	vm_flags_init(vma, MADE_UP_FLAGS);
}

/* For struct kunit_suite: a batch over all entries, none of them set. */
static inline int made_up_init(struct kunit *test)
{
	struct made_up *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);

	if (!m)
		return -ENOMEM;
	made_up_vma(m, &m->dst_vma, MADE_UP_DST);
	made_up_vma(m, &m->src_vma, MADE_UP_SRC);
	m->req = (struct anon_move_request){
		.mm = &init_mm, .dst = MADE_UP_DST, .src = MADE_UP_SRC, .len = PMD_SIZE,
	};
	m->am = (struct anon_move){
		.req = &m->req, .dst_vma = &m->dst_vma, .src_vma = &m->src_vma,
	};
	m->b = (struct anon_move_batch){
		.dst = MADE_UP_DST, .src = MADE_UP_SRC, .dst_pte = m->dst, .src_pte = m->src,
		.size = MADE_UP_ENTRIES * PAGE_SIZE, .max = MADE_UP_ENTRIES, .staging = &m->staging,
	};
	test->priv = m;
	return 0;
}

/* As it came from the allocator, where a mapping would be reported. */
static inline void made_up_folio_free(void *arg)
{
	struct folio *folio = arg;
	unsigned int i;

	for (i = 0; i < folio_nr_pages(folio); i++)
		clear_bit(PG_anon_exclusive, anon_move_page_flags(folio_page(folio, i)));
	folio->mapping = NULL;
	folio->index = 0;
	folio_put(folio);
}

/* Anonymous, all of its pages exclusive, unlocked, and freed after the test. */
static inline struct folio *made_up_folio(struct kunit *test, unsigned int order)
{
	struct made_up *m = test->priv;
	struct folio *folio = folio_alloc(GFP_KERNEL, order);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, folio);
	for (i = 0; i < folio_nr_pages(folio); i++)
		set_bit(PG_anon_exclusive, anon_move_page_flags(folio_page(folio, i)));
	folio->mapping = (void *)((unsigned long)&m->anon_vma | ANON_MOVE_MAPPING_ANON);
	folio->index = linear_anon_page_index(&m->src_vma, MADE_UP_SRC);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, made_up_folio_free, folio));
	return folio;
}

/* Maps all of @folio in the source from entry @i on. */
static inline void made_up_map(struct made_up *m, unsigned int i, struct folio *folio)
{
	unsigned int k;

	for (k = 0; k < folio_nr_pages(folio); k++)
		m->src[i + k] = mk_pte(folio_page(folio, k), m->src_vma.vm_page_prot);
}

#endif /* _MM_ANON_MOVE_TESTS_MADE_UP_H */
