/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Unit tests of range.c: how far a step goes, what a hole is, what each stop comes to.
 */
#ifdef CONFIG_ANON_MOVE_KUNIT_TEST

#include <linux/pgalloc.h>
#include "made_up.h"

static void every_stop_has_a_name_and_an_errno(struct kunit *test)
{
	unsigned int stop;

	for (stop = 0; stop < ANON_MOVE_NR_STOPS; stop++) {
		KUNIT_EXPECT_NOT_NULL_MSG(test, anon_move_stop_info[stop].name, "%u", stop);
		KUNIT_EXPECT_EQ_MSG(test, stop == ANON_MOVE_DONE,
				    !anon_move_stop_info[stop].error, "%u", stop);
	}
}

static void only_what_passes_is_waited_for(struct kunit *test)
{
	const u32 passes = BIT(ANON_MOVE_WRITER) | BIT(ANON_MOVE_LOCKED) |
			   BIT(ANON_MOVE_WRITEBACK) | BIT(ANON_MOVE_SPLIT_FAILED) |
			   BIT(ANON_MOVE_CACHED) | BIT(ANON_MOVE_MIGRATING);
	unsigned int stop;

	for (stop = 0; stop < ANON_MOVE_NR_STOPS; stop++)
		KUNIT_EXPECT_EQ_MSG(test, !!(passes & BIT(stop)), stop_waits(stop), "%u", stop);
}

static void patience_is_bounded(struct kunit *test)
{
	struct made_up *m = test->priv;

	m->am.since = jiffies - ANON_MOVE_PATIENCE;
	m->am.tries = ANON_MOVE_MIN_TRIES - 1;
	KUNIT_EXPECT_TRUE(test, anon_move_patience_left(&m->am));
	m->am.tries++;
	KUNIT_EXPECT_FALSE(test, anon_move_patience_left(&m->am));
	/* Far enough away that no delay of this test matters. */
	m->am.since = jiffies + 1000 * HZ;
	KUNIT_EXPECT_TRUE(test, anon_move_patience_left(&m->am));
}

/* step() is inlined wherever it is called; gcov shall count no more copies than need be. */
static noinline enum anon_move_stop one_step(struct made_up *m)
{
	return step(&m->am);
}

/* Where nothing is mapped each step is one over a hole, and as long as any step there may be. */
static void a_step_ends_at_the_next_border(struct kunit *test)
{
	struct made_up *m = test->priv;

	m->req.flags = ANON_MOVE_ALLOW_HOLES;
	m->req.dst += PMD_SIZE - 3 * PAGE_SIZE;
	m->req.src += PMD_SIZE - 5 * PAGE_SIZE;
	m->req.len = PMD_SIZE + 6 * PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, ANON_MOVE_DONE, one_step(m));
	KUNIT_EXPECT_EQ(test, 3 * PAGE_SIZE, m->am.done);
	KUNIT_EXPECT_EQ(test, ANON_MOVE_DONE, one_step(m));
	KUNIT_EXPECT_EQ(test, 5 * PAGE_SIZE, m->am.done);
	KUNIT_EXPECT_EQ(test, ANON_MOVE_DONE, one_step(m));
	KUNIT_EXPECT_EQ(test, PMD_SIZE + 3 * PAGE_SIZE, m->am.done);
	KUNIT_EXPECT_EQ(test, ANON_MOVE_DONE, one_step(m));
	KUNIT_EXPECT_EQ(test, PMD_SIZE + 5 * PAGE_SIZE, m->am.done);
	KUNIT_EXPECT_EQ(test, ANON_MOVE_DONE, one_step(m));
	KUNIT_EXPECT_EQ(test, m->req.len, m->am.done);
}

static void a_hole_is_an_error_unless_allowed(struct kunit *test)
{
	struct made_up *m = test->priv;

	KUNIT_EXPECT_EQ(test, ANON_MOVE_HOLE, one_step(m));
	KUNIT_EXPECT_EQ(test, 0, m->am.done);
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
static void free_table(void *table)
{
	pmd_free(NULL, table);
}

/* In a table, because its lock is taken. That of init_mm need not have any. */
static pmd_t *made_up_none(struct kunit *test)
{
	pmd_t *table = pmd_alloc_one(NULL, 0);

	KUNIT_ASSERT_NOT_NULL(test, table);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, free_table, table));
	return table;
}

static void a_huge_destination_exists(struct kunit *test)
{
	pmd_t huge = pmd_mkhuge(pfn_pmd(0, PAGE_READONLY));
	struct made_up *m = test->priv;

	m->b.dst_pmd = &huge;
	/* As in the base: without a PMD of the source the hole is seen first. */
	KUNIT_EXPECT_EQ(test, ANON_MOVE_HOLE, step_hole(&m->am, &m->b));
	m->b.src_pmd = made_up_none(test);
	KUNIT_EXPECT_EQ(test, ANON_MOVE_EXISTS, step_hole(&m->am, &m->b));
	m->b.src_pmd = NULL;
	m->req.flags = ANON_MOVE_ALLOW_HOLES;
	KUNIT_EXPECT_EQ(test, ANON_MOVE_EXISTS, step_hole(&m->am, &m->b));
	KUNIT_EXPECT_EQ(test, 0, m->am.done);
}
#endif

static struct kunit_case range_cases[] = {
	KUNIT_CASE(every_stop_has_a_name_and_an_errno),
	KUNIT_CASE(only_what_passes_is_waited_for),
	KUNIT_CASE(patience_is_bounded),
	KUNIT_CASE(a_step_ends_at_the_next_border),
	KUNIT_CASE(a_hole_is_an_error_unless_allowed),
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
	KUNIT_CASE(a_huge_destination_exists),
#endif
	{}
};

static struct kunit_suite range_suite = {
	.name = "anon_move_range",
	.init = made_up_init,
	.test_cases = range_cases,
};

kunit_test_suite(range_suite);

#endif /* CONFIG_ANON_MOVE_KUNIT_TEST */
