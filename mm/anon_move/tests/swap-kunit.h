/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Unit tests of swap.c: which entries move, what they become, and with which folio of the cache.
 */
#ifdef CONFIG_ANON_MOVE_KUNIT_TEST

#include "made_up.h"

static pte_t swapped(pgoff_t slot)
{
	return pte_swp_mkexclusive(softleaf_to_pte(swp_entry(0, slot)));
}

static void made_up_swap(struct made_up *m, unsigned int i, pgoff_t slot, unsigned int nr)
{
	while (nr--)
		m->src[i++] = swapped(slot++);
}

static void only_exclusive_swap_entries_may_move(struct kunit *test)
{
	struct made_up *m = test->priv;
	pte_t migrating = softleaf_to_pte(make_readable_exclusive_migration_entry(5));
	pte_t poisoned = make_pte_marker(PTE_MARKER_POISONED);

	KUNIT_EXPECT_EQ(test, ANON_MOVE_DONE, anon_move_check_swap(&m->am, swapped(7)));
	KUNIT_EXPECT_EQ(test, ANON_MOVE_SHARED,
			anon_move_check_swap(&m->am, pte_swp_clear_exclusive(swapped(7))));
	KUNIT_EXPECT_EQ(test, ANON_MOVE_MIGRATING, anon_move_check_swap(&m->am, migrating));
	KUNIT_EXPECT_EQ(test, ANON_MOVE_MARKER, anon_move_check_swap(&m->am, poisoned));
	m->req.flags = ANON_MOVE_WHOLE_MAPPING;
	KUNIT_EXPECT_EQ(test, ANON_MOVE_DONE, anon_move_check_swap(&m->am, poisoned));
	KUNIT_EXPECT_EQ(test, ANON_MOVE_MIGRATING, anon_move_check_swap(&m->am, migrating));
}

static void a_stop_leaves_the_entry(struct kunit *test)
{
	struct made_up *m = test->priv;
	pte_t shared = pte_swp_clear_exclusive(swapped(7));

	m->src[0] = shared;
	KUNIT_EXPECT_EQ(test, 0, anon_move_swap(&m->am, &m->b, 0, shared));
	KUNIT_EXPECT_EQ(test, ANON_MOVE_SHARED, m->b.stop);
	KUNIT_EXPECT_EQ(test, pte_val(shared), pte_val(m->src[0]));
}

static void the_slot_moves_and_arrives_soft_dirty(struct kunit *test)
{
	struct made_up *m = test->priv;

	made_up_swap(m, 2, 7, 1);
	m->staging.moved[2] = swapped(99);
	move_swapped(&m->am, &m->b, 2, m->src[2]);
	KUNIT_EXPECT_TRUE(test, pte_none(m->src[2]));
	KUNIT_EXPECT_EQ(test, pte_val(pte_swp_mksoft_dirty(swapped(7))), pte_val(m->dst[2]));
	KUNIT_EXPECT_TRUE(test, pte_none(m->staging.moved[2]));
}

static void R18_write_protection_follows_the_destination(struct kunit *test)
{
	struct made_up *m = test->priv;
	pte_t protected = pte_swp_mkuffd(swapped(7));

	if (!IS_ENABLED(CONFIG_HAVE_ARCH_USERFAULTFD_WP))
		kunit_skip(test, "entries have no uffd-wp bit here");
	move_swapped(&m->am, &m->b, 0, protected);
	KUNIT_EXPECT_FALSE(test, pte_swp_uffd(m->dst[0]));
	m->am.uffd = ANON_MOVE_UFFD_KEEP;
	move_swapped(&m->am, &m->b, 1, protected);
	KUNIT_EXPECT_TRUE(test, pte_swp_uffd(m->dst[1]));
}

static void all_entries_follow_or_none(struct kunit *test)
{
	struct made_up *m = test->priv;
	const softleaf_t first = swp_entry(0, 8);

	made_up_swap(m, 12, 8, 4);
	KUNIT_EXPECT_TRUE(test, all_follow(&m->b, 12, first, 4));
	KUNIT_EXPECT_FALSE(test, all_follow(&m->b, 13, first, 4));
	m->b.max--;
	KUNIT_EXPECT_FALSE(test, all_follow(&m->b, 12, first, 4));
	m->b.max++;
	m->dst[15] = swapped(99);
	KUNIT_EXPECT_FALSE(test, all_follow(&m->b, 12, first, 4));
	m->dst[15] = __pte(0);
	m->src[14] = pte_swp_clear_exclusive(m->src[14]);
	KUNIT_EXPECT_FALSE(test, all_follow(&m->b, 12, first, 4));
	m->src[14] = __pte(0);
	KUNIT_EXPECT_FALSE(test, all_follow(&m->b, 12, first, 4));
	m->src[14] = pfn_pte(5, PAGE_READONLY);
	KUNIT_EXPECT_FALSE(test, all_follow(&m->b, 12, first, 4));
	m->src[14] = swapped(11);
	KUNIT_EXPECT_FALSE(test, all_follow(&m->b, 12, first, 4));
}

static void a_large_folio_moves_with_all_of_its_entries(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct folio *folio = made_up_folio(test, 2);

	made_up_swap(m, 4, 8, 4);
	folio->swap = swp_entry(0, 8);
	KUNIT_EXPECT_EQ(test, 4, entries_to_move(&m->b, 4, folio, swp_entry(0, 8)));
	/* From its second entry on it can't be whole. */
	KUNIT_EXPECT_EQ(test, 0, entries_to_move(&m->b, 5, folio, swp_entry(0, 9)));
	m->src[7] = __pte(0);
	KUNIT_EXPECT_EQ(test, 0, entries_to_move(&m->b, 4, folio, swp_entry(0, 8)));
	/* Read ahead: it says of no address that it is mapped there. */
	folio->mapping = NULL;
	KUNIT_EXPECT_EQ(test, 1, entries_to_move(&m->b, 4, folio, swp_entry(0, 8)));
	folio->swap.val = 0;
}

static void R10_the_folio_is_reindexed_with_its_entries(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct folio *folio = made_up_folio(test, 2);

	made_up_swap(m, 4, 8, 4);
	folio->swap = swp_entry(0, 8);
	KUNIT_EXPECT_EQ(test, 4, move_cached(&m->am, &m->b, 4, folio));
	KUNIT_EXPECT_EQ(test, folio->index,
			linear_anon_page_index(&m->dst_vma, MADE_UP_DST + 4 * PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, pte_none(m->src[7]));
	KUNIT_EXPECT_FALSE(test, folio_test_locked(folio));
	folio->swap.val = 0;
}

static void O6_one_that_can_not_move_whole_is_to_leave_the_cache(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct folio *folio = made_up_folio(test, 2);

	made_up_swap(m, 4, 8, 3);
	folio->swap = swp_entry(0, 8);
	KUNIT_EXPECT_EQ(test, 0, move_cached(&m->am, &m->b, 4, folio));
	KUNIT_EXPECT_EQ(test, ANON_MOVE_CACHED, m->b.stop);
	KUNIT_EXPECT_PTR_EQ(test, folio, m->am.folio);
	KUNIT_EXPECT_EQ(test, pte_val(swapped(8)), pte_val(m->src[4]));
	KUNIT_EXPECT_TRUE(test, folio_test_locked(folio));
	folio_unlock(folio);
	folio_put(folio);
	folio->swap.val = 0;
}

static void one_that_is_locked_or_fits_the_next_batch_stays(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct folio *folio = made_up_folio(test, 2);

	made_up_swap(m, 6, 8, 4);
	folio_lock(folio);
	KUNIT_EXPECT_EQ(test, 0, move_cached(&m->am, &m->b, 6, folio));
	KUNIT_EXPECT_EQ(test, ANON_MOVE_LOCKED, m->b.stop);
	folio_unlock(folio);
	m->b.max = 8;
	KUNIT_EXPECT_EQ(test, 0, move_cached(&m->am, &m->b, 6, folio));
	KUNIT_EXPECT_EQ(test, ANON_MOVE_DONE, m->b.stop);
	KUNIT_EXPECT_NULL(test, m->am.folio);
}

static struct kunit_case swap_cases[] = {
	KUNIT_CASE(only_exclusive_swap_entries_may_move),
	KUNIT_CASE(a_stop_leaves_the_entry),
	KUNIT_CASE(the_slot_moves_and_arrives_soft_dirty),
	KUNIT_CASE(R18_write_protection_follows_the_destination),
	KUNIT_CASE(all_entries_follow_or_none),
	KUNIT_CASE(a_large_folio_moves_with_all_of_its_entries),
	KUNIT_CASE(R10_the_folio_is_reindexed_with_its_entries),
	KUNIT_CASE(O6_one_that_can_not_move_whole_is_to_leave_the_cache),
	KUNIT_CASE(one_that_is_locked_or_fits_the_next_batch_stays),
	{}
};

static struct kunit_suite swap_suite = {
	.name = "anon_move_swap",
	.init = made_up_init,
	.test_cases = swap_cases,
};

kunit_test_suite(swap_suite);

#endif /* CONFIG_ANON_MOVE_KUNIT_TEST */
