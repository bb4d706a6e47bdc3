/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Unit tests of folio.c: which references are taken, and that waiting gives them back.
 */
#ifdef CONFIG_ANON_MOVE_KUNIT_TEST

#include "made_up.h"

static void a_small_folio_is_remembered(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct folio *folio = made_up_folio(test, 0);

	KUNIT_EXPECT_EQ(test, ANON_MOVE_LOCKED, anon_move_busy(&m->am, folio));
	KUNIT_EXPECT_PTR_EQ(test, folio, m->am.folio);
	KUNIT_EXPECT_EQ(test, 2, folio_ref_count(folio));
	anon_move_wait(&m->am, ANON_MOVE_LOCKED);
	KUNIT_EXPECT_NULL(test, m->am.folio);
	KUNIT_EXPECT_EQ(test, 1, folio_ref_count(folio));
}

/* R8: whoever has it locked may want to split it. */
static void R8_no_reference_to_a_large_folio(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct folio *folio = made_up_folio(test, 2);

	KUNIT_EXPECT_EQ(test, ANON_MOVE_LOCKED, anon_move_busy(&m->am, folio));
	KUNIT_EXPECT_NULL(test, m->am.folio);
	KUNIT_EXPECT_EQ(test, 1, folio_ref_count(folio));
}

/* Nobody else has it, so the wait ends at once. */
static void wait_takes_the_reference(struct kunit *test, enum anon_move_stop stop)
{
	struct made_up *m = test->priv;
	struct folio *folio = made_up_folio(test, 2);

	folio_get(folio);
	m->am.folio = folio;
	anon_move_wait(&m->am, stop);
	KUNIT_EXPECT_NULL(test, m->am.folio);
	KUNIT_EXPECT_EQ(test, 1, folio_ref_count(folio));
}

static void writeback_is_waited_for_with_a_reference(struct kunit *test)
{
	wait_takes_the_reference(test, ANON_MOVE_WRITEBACK);
}

/* Not on the LRU lists, so it can't be reclaimed. */
static void a_folio_that_stays_loses_its_reference_too(struct kunit *test)
{
	wait_takes_the_reference(test, ANON_MOVE_CACHED);
}

static struct kunit_case folio_cases[] = {
	KUNIT_CASE(a_small_folio_is_remembered),
	KUNIT_CASE(R8_no_reference_to_a_large_folio),
	KUNIT_CASE(writeback_is_waited_for_with_a_reference),
	KUNIT_CASE(a_folio_that_stays_loses_its_reference_too),
	{}
};

static struct kunit_suite folio_suite = {
	.name = "anon_move_folio",
	.init = made_up_init,
	.test_cases = folio_cases,
};

kunit_test_suite(folio_suite);

#endif /* CONFIG_ANON_MOVE_KUNIT_TEST */
