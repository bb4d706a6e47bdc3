/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Unit tests of kept.c: when the VMAs of the last move may be followed, and when not.
 */
#ifdef CONFIG_ANON_MOVE_KUNIT_TEST

#include "made_up.h"

/* An mm that nobody locks, and a key that nobody has. */
static int kept_init(struct kunit *test)
{
	struct made_up *m;
	int error = made_up_init(test);

	if (error)
		return error;
	m = test->priv;
	m->req.key = anon_move_new_key();
	m->req.mm = kunit_kzalloc(test, sizeof(*m->req.mm), GFP_KERNEL);
	return m->req.mm ? 0 : -ENOMEM;
}

static bool recalls(struct made_up *m)
{
	struct anon_move next = { .req = &m->req };

	return anon_move_recall_vmas(&next) &&
	       next.dst_vma == &m->dst_vma && next.src_vma == &m->src_vma;
}

static void the_next_move_finds_both(struct kunit *test)
{
	struct made_up *m = test->priv;

	guard(migrate)();
	KUNIT_EXPECT_FALSE(test, recalls(m));
	anon_move_keep_vmas(&m->am);
	KUNIT_EXPECT_TRUE(test, recalls(m));
}

static void another_owner_finds_none(struct kunit *test)
{
	struct made_up *m = test->priv;

	guard(migrate)();
	anon_move_keep_vmas(&m->am);
	m->req.key = anon_move_new_key();
	KUNIT_EXPECT_FALSE(test, recalls(m));
}

static void none_is_found_after_a_writer(struct kunit *test)
{
	struct made_up *m = test->priv;

	guard(migrate)();
	anon_move_keep_vmas(&m->am);
	m->req.mm->mm_lock_seq.sequence++;
	KUNIT_EXPECT_FALSE(test, recalls(m));
	m->req.mm->mm_lock_seq.sequence++;
	KUNIT_EXPECT_FALSE(test, recalls(m));
}

static void nothing_is_kept_while_a_writer_is_there(struct kunit *test)
{
	struct made_up *m = test->priv;

	guard(migrate)();
	m->req.mm->mm_lock_seq.sequence++;
	anon_move_keep_vmas(&m->am);
	KUNIT_EXPECT_FALSE(test, recalls(m));
}

static void nothing_is_kept_for_an_owner_without_a_key(struct kunit *test)
{
	struct made_up *m = test->priv;
	u64 key = m->req.key;

	guard(migrate)();
	anon_move_keep_vmas(&m->am);
	m->req.key = 0;
	anon_move_keep_vmas(&m->am);
	KUNIT_EXPECT_EQ(test, key, this_cpu_read(kept_vmas.key));
}

static void nothing_is_kept_for_long(struct kunit *test)
{
	struct made_up *m = test->priv;

	guard(migrate)();
	anon_move_keep_vmas(&m->am);
	this_cpu_write(kept_vmas.until, get_jiffies_64());
	KUNIT_EXPECT_FALSE(test, recalls(m));
}

static struct kunit_case kept_cases[] = {
	KUNIT_CASE(the_next_move_finds_both),
	KUNIT_CASE(another_owner_finds_none),
	KUNIT_CASE(none_is_found_after_a_writer),
	KUNIT_CASE(nothing_is_kept_while_a_writer_is_there),
	KUNIT_CASE(nothing_is_kept_for_an_owner_without_a_key),
	KUNIT_CASE(nothing_is_kept_for_long),
	{}
};

static struct kunit_suite kept_suite = {
	.name = "anon_move_kept",
	.init = kept_init,
	.test_cases = kept_cases,
};

kunit_test_suite(kept_suite);

#endif /* CONFIG_ANON_MOVE_KUNIT_TEST */
