/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Unit tests of pmd.c: which huge PMDs move, and what they become.
 */
#ifdef CONFIG_ANON_MOVE_KUNIT_TEST

#include "made_up.h"

static void what_was_zapped_raced(struct kunit *test)
{
	struct made_up *m = test->priv;

	KUNIT_EXPECT_EQ(test, ANON_MOVE_RACED, anon_move_check_pmd_locked(&m->am, __pmd(0)));
}

static void R14_a_migrating_pmd_is_no_page(struct kunit *test)
{
	struct made_up *m = test->priv;
	pmd_t migrating = swp_entry_to_pmd(make_readable_exclusive_migration_entry(512));

	if (!IS_ENABLED(CONFIG_ARCH_ENABLE_THP_MIGRATION))
		kunit_skip(test, "huge PMDs don't migrate here");
	KUNIT_EXPECT_EQ(test, ANON_MOVE_MIGRATING,
			anon_move_check_pmd_locked(&m->am, migrating));
}

static void a_thp_is_checked_by_page_and_pins(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct folio *folio = made_up_folio(test, HPAGE_PMD_ORDER);
	pmd_t pmd = folio_mk_pmd(folio, m->src_vma.vm_page_prot);

	KUNIT_EXPECT_EQ(test, ANON_MOVE_DONE, anon_move_check_pmd_locked(&m->am, pmd));
	atomic_inc(&folio->_pincount);
	KUNIT_EXPECT_EQ(test, ANON_MOVE_PINNED, anon_move_check_pmd_locked(&m->am, pmd));
	m->req.flags = ANON_MOVE_WHOLE_MAPPING;
	KUNIT_EXPECT_EQ(test, ANON_MOVE_DONE, anon_move_check_pmd_locked(&m->am, pmd));
	m->req.flags = 0;
	clear_bit(PG_anon_exclusive, anon_move_page_flags(&folio->page));
	KUNIT_EXPECT_EQ(test, ANON_MOVE_SHARED, anon_move_check_pmd_locked(&m->am, pmd));
	atomic_dec(&folio->_pincount);
	KUNIT_EXPECT_EQ(test, ANON_MOVE_SHARED, anon_move_check_pmd_locked(&m->am, pmd));
}

static void a_stop_leaves_both_pmds(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct folio *folio = made_up_folio(test, HPAGE_PMD_ORDER);
	pmd_t src = folio_mk_pmd(folio, m->src_vma.vm_page_prot), dst = src, before = src;

	m->b.src_pmd = &src;
	m->b.dst_pmd = &dst;
	KUNIT_EXPECT_EQ(test, ANON_MOVE_RACED, move_pmd_locked(&m->am, &m->b));
	dst = __pmd(0);
	folio_lock(folio);
	KUNIT_EXPECT_EQ(test, ANON_MOVE_LOCKED, move_pmd_locked(&m->am, &m->b));
	folio_unlock(folio);
	KUNIT_EXPECT_NULL(test, m->am.folio);
	KUNIT_EXPECT_EQ(test, pmd_val(before), pmd_val(src));
	KUNIT_EXPECT_TRUE(test, pmd_none(dst));
	KUNIT_EXPECT_EQ(test, 0, m->b.nr);
}

static void dirty_is_carried_over_soft_dirty_is_set(struct kunit *test)
{
	struct made_up *m = test->priv;
	pmd_t pmd = pmd_mkclean(pmd_mkhuge(pfn_pmd(512, PAGE_READONLY)));

	KUNIT_EXPECT_FALSE(test, pmd_dirty(make_moved_pmd(pmd, &m->am)));
	KUNIT_EXPECT_TRUE(test, pmd_dirty(make_moved_pmd(pmd_mkdirty(pmd), &m->am)));
	KUNIT_EXPECT_TRUE(test, pmd_write(make_moved_pmd(pmd, &m->am)));
	if (IS_ENABLED(CONFIG_MEM_SOFT_DIRTY))
		KUNIT_EXPECT_TRUE(test, pmd_soft_dirty(make_moved_pmd(pmd, &m->am)));
}

static void R18_write_protection_follows_the_destination(struct kunit *test)
{
	struct made_up *m = test->priv;
	pmd_t pmd = pmd_mkuffd(pmd_mkhuge(pfn_pmd(512, PAGE_READONLY)));

	if (!IS_ENABLED(CONFIG_HAVE_ARCH_USERFAULTFD_WP))
		kunit_skip(test, "PMDs have no uffd-wp bit here");
	KUNIT_EXPECT_FALSE(test, pmd_uffd(make_moved_pmd(pmd, &m->am)));
	KUNIT_EXPECT_TRUE(test, pmd_write(make_moved_pmd(pmd, &m->am)));
	m->am.uffd = ANON_MOVE_UFFD_KEEP;
	KUNIT_EXPECT_TRUE(test, pmd_uffd(make_moved_pmd(pmd, &m->am)));
	KUNIT_EXPECT_FALSE(test, pmd_write(make_moved_pmd(pmd, &m->am)));
}

static struct kunit_case pmd_cases[] = {
	KUNIT_CASE(what_was_zapped_raced),
	KUNIT_CASE(R14_a_migrating_pmd_is_no_page),
	KUNIT_CASE(a_thp_is_checked_by_page_and_pins),
	KUNIT_CASE(a_stop_leaves_both_pmds),
	KUNIT_CASE(dirty_is_carried_over_soft_dirty_is_set),
	KUNIT_CASE(R18_write_protection_follows_the_destination),
	{}
};

static struct kunit_suite pmd_suite = {
	.name = "anon_move_pmd",
	.init = made_up_init,
	.test_cases = pmd_cases,
};

kunit_test_suite(pmd_suite);

#endif /* CONFIG_ANON_MOVE_KUNIT_TEST */
