/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Unit tests of large.c: which large folios are taken whole, and that the others stay as they were.
 */
#ifdef CONFIG_ANON_MOVE_KUNIT_TEST

#include "made_up.h"

#define LARGE_ORDER	2
#define LARGE_PAGES	BIT(LARGE_ORDER)

/* Locked, mapped from entry @i on. */
static struct folio *large_at(struct kunit *test, unsigned int i)
{
	struct folio *folio = made_up_folio(test, LARGE_ORDER);

	made_up_map(test->priv, i, folio);
	folio_lock(folio);
	return folio;
}

static unsigned int take_large(struct made_up *m, unsigned int i, struct folio *folio)
{
	return anon_move_take_large(&m->am, &m->b, i, folio, pte_page(m->src[i]));
}

static void expect_to_be_split(struct kunit *test, unsigned int i, struct folio *folio)
{
	struct made_up *m = test->priv;
	pte_t before[MADE_UP_ENTRIES];

	memcpy(before, m->src, sizeof(before));
	KUNIT_EXPECT_EQ(test, 0, take_large(m, i, folio));
	KUNIT_EXPECT_EQ(test, ANON_MOVE_LARGE, m->b.stop);
	KUNIT_EXPECT_MEMEQ(test, before, m->src, sizeof(before));
	KUNIT_EXPECT_PTR_EQ(test, folio, m->am.folio);
	KUNIT_EXPECT_TRUE(test, folio_test_locked(folio));
	folio_unlock(folio);
	folio_put(folio);
}

static void expect_whole(struct kunit *test, unsigned int i, struct folio *folio)
{
	struct made_up *m = test->priv;
	unsigned int k;

	KUNIT_EXPECT_EQ(test, LARGE_PAGES, take_large(m, i, folio));
	for (k = 0; k < LARGE_PAGES; k++)
		KUNIT_EXPECT_TRUE(test, pte_none(m->src[i + k]));
	KUNIT_EXPECT_EQ(test, folio_pfn(folio), pte_pfn(m->staging.moved[i]));
	KUNIT_EXPECT_EQ(test, folio->index,
			linear_anon_page_index(&m->dst_vma, MADE_UP_DST + i * PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, m->b.large);
	KUNIT_EXPECT_TRUE(test, folio_test_locked(folio));
	folio_unlock(folio);
}

static void all_of_it_moves_whole(struct kunit *test)
{
	/* The last place where it fits, and not aligned. */
	expect_whole(test, MADE_UP_ENTRIES - LARGE_PAGES, large_at(test, MADE_UP_ENTRIES - 4));
}

static void entries_may_differ_in_what_moving_levels_out(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct folio *folio = large_at(test, 1);
	unsigned int k;

	for (k = 1; k <= LARGE_PAGES; k++)
		m->src[k] = pte_mkold(pte_mkclean(m->src[k]));
	m->src[2] = pte_mkdirty(m->src[2]);
	m->src[3] = pte_mkyoung(m->src[3]);
	m->src[4] = pte_wrprotect(m->src[4]);
	expect_whole(test, 1, folio);
	KUNIT_EXPECT_TRUE(test, pte_dirty(m->staging.moved[1]));
	KUNIT_EXPECT_TRUE(test, pte_young(m->staging.moved[1]));
	KUNIT_EXPECT_TRUE(test, pte_write(m->staging.moved[1]));
}

static void a_part_is_split_off(struct kunit *test)
{
	struct made_up *m = test->priv;

	/* The range begins in the middle of it. */
	expect_to_be_split(test, 1, large_at(test, 0));
	/* It ends there. */
	m->b.max = LARGE_PAGES - 1;
	expect_to_be_split(test, 0, large_at(test, 0));
}

static void O1_one_page_that_is_shared_keeps_it_from_moving_whole(struct kunit *test)
{
	struct folio *folio = large_at(test, 4);

	clear_bit(PG_anon_exclusive, anon_move_page_flags(folio_page(folio, 2)));
	expect_to_be_split(test, 4, folio);
	folio_lock(folio);
	clear_bit(PG_anon_exclusive, anon_move_page_flags(folio_page(folio, 0)));
	expect_to_be_split(test, 4, folio);
}

static void other_pages_in_between_keep_it_from_moving_whole(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct folio *folio = large_at(test, 4);

	swap(m->src[6], m->src[7]);
	expect_to_be_split(test, 4, folio);
	folio_lock(folio);
	swap(m->src[6], m->src[7]);
	m->src[7] = __pte(0);
	expect_to_be_split(test, 4, folio);
}

static void an_occupied_destination_keeps_it_from_moving_whole(struct kunit *test)
{
	struct made_up *m = test->priv;

	m->dst[7] = pfn_pte(5, PAGE_READONLY);
	expect_to_be_split(test, 4, large_at(test, 4));
}

static void R18_unlike_write_protection_keeps_it_from_moving_whole(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct folio *folio = large_at(test, 4);

	if (!IS_ENABLED(CONFIG_HAVE_ARCH_USERFAULTFD_WP))
		kunit_skip(test, "entries have no uffd-wp bit here");
	m->src[6] = pte_mkuffd(m->src[6]);
	expect_to_be_split(test, 4, folio);
}

static void a_batch_cut_short_by_overlap_is_not_its_end(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct folio *folio = large_at(test, 6);

	m->b.max = 8;
	KUNIT_EXPECT_EQ(test, 0, take_large(m, 6, folio));
	KUNIT_EXPECT_EQ(test, ANON_MOVE_DONE, m->b.stop);
	KUNIT_EXPECT_FALSE(test, folio_test_locked(folio));
	KUNIT_EXPECT_NULL(test, m->am.folio);
}

static void expect_pinned(struct kunit *test, unsigned int i, struct folio *folio)
{
	struct made_up *m = test->priv;
	pgoff_t index = folio->index;

	atomic_inc(&folio->_pincount);
	KUNIT_EXPECT_EQ(test, 0, take_large(m, i, folio));
	atomic_dec(&folio->_pincount);
	KUNIT_EXPECT_EQ(test, ANON_MOVE_PINNED, m->b.stop);
	KUNIT_EXPECT_EQ(test, index, folio->index);
	KUNIT_EXPECT_FALSE(test, folio_test_locked(folio));
	KUNIT_EXPECT_NULL(test, m->am.folio);
}

static void R3_a_pinned_one_is_put_back(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct folio *folio = large_at(test, 4);
	pte_t before[MADE_UP_ENTRIES];

	memcpy(before, m->src, sizeof(before));
	expect_pinned(test, 4, folio);
	KUNIT_EXPECT_MEMEQ(test, before, m->src, sizeof(before));
}

static void R3_entries_that_differed_come_back_as_one(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct folio *folio = large_at(test, 4);
	pte_t expected;
	unsigned int k;

	m->src[4] = pte_mkclean(m->src[4]);
	m->src[5] = pte_mkdirty(m->src[5]);
	expected = pte_mksoft_dirty(pte_mkdirty(m->src[4]));
	expect_pinned(test, 4, folio);
	for (k = 4; k < 8; k++, expected = pte_next_pfn(expected))
		KUNIT_EXPECT_EQ_MSG(test, pte_val(expected), pte_val(m->src[k]), "%u", k);
}

static void V8_a_pinned_part_is_not_split(struct kunit *test)
{
	expect_pinned(test, 5, large_at(test, 4));
}

/* As who has waited finds it if somebody else has mapped and mlocked it meanwhile. */
static void O16_what_became_unevictable_is_not_reclaimed(struct kunit *test)
{
	struct folio *folio = made_up_folio(test, LARGE_ORDER);

	mlock_new_folio(folio);
	KUNIT_ASSERT_TRUE(test, folio_test_lru(folio));
	KUNIT_ASSERT_TRUE(test, folio_test_unevictable(folio));
	folio_get(folio);
	KUNIT_EXPECT_FALSE(test, anon_move_reclaim(folio));
	lru_add_drain();
	KUNIT_EXPECT_TRUE(test, folio_test_lru(folio));
	KUNIT_EXPECT_TRUE(test, folio_test_unevictable(folio));
	KUNIT_EXPECT_EQ(test, 1, folio_ref_count(folio));
	munlock_folio(folio);
	KUNIT_EXPECT_FALSE(test, folio_test_unevictable(folio));
}

static struct kunit_case large_cases[] = {
	KUNIT_CASE(all_of_it_moves_whole),
	KUNIT_CASE(entries_may_differ_in_what_moving_levels_out),
	KUNIT_CASE(a_part_is_split_off),
	KUNIT_CASE(O1_one_page_that_is_shared_keeps_it_from_moving_whole),
	KUNIT_CASE(other_pages_in_between_keep_it_from_moving_whole),
	KUNIT_CASE(an_occupied_destination_keeps_it_from_moving_whole),
	KUNIT_CASE(R18_unlike_write_protection_keeps_it_from_moving_whole),
	KUNIT_CASE(a_batch_cut_short_by_overlap_is_not_its_end),
	KUNIT_CASE(R3_a_pinned_one_is_put_back),
	KUNIT_CASE(R3_entries_that_differed_come_back_as_one),
	KUNIT_CASE(V8_a_pinned_part_is_not_split),
	KUNIT_CASE(O16_what_became_unevictable_is_not_reclaimed),
	{}
};

static struct kunit_suite large_suite = {
	.name = "anon_move_large",
	.init = made_up_init,
	.test_cases = large_cases,
};

kunit_test_suite(large_suite);

#endif /* CONFIG_ANON_MOVE_KUNIT_TEST */
