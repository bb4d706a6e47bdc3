/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Unit tests of ptes.c: how long a batch is, what an entry becomes, which are taken, and locks.
 */
#ifdef CONFIG_ANON_MOVE_KUNIT_TEST

#include <linux/kthread.h>
#include "made_up.h"

static void a_batch_is_no_longer_than_the_distance(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct anon_move_batch *b = &m->b;

	KUNIT_EXPECT_EQ(test, 16, batch_entries(b));
	b->dst = b->src + b->size;
	KUNIT_EXPECT_EQ(test, 16, batch_entries(b));
	b->dst = b->src + 3 * PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, 3, batch_entries(b));
	b->dst = b->src - PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, 1, batch_entries(b));
	b->dst = b->src;
	KUNIT_EXPECT_EQ(test, 16, batch_entries(b));
}

static void the_next_batch_has_room_only_where_ranges_overlap(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct anon_move_batch *b = &m->b;

	/* Whoever is cut off by the end of the table is so in every batch. */
	KUNIT_EXPECT_FALSE(test, anon_move_next_has_room(b, 14, 4));
	b->max = 8;
	KUNIT_EXPECT_TRUE(test, anon_move_next_has_room(b, 6, 4));
	KUNIT_EXPECT_FALSE(test, anon_move_next_has_room(b, 4, 4));
	KUNIT_EXPECT_FALSE(test, anon_move_next_has_room(b, 0, 16));
	KUNIT_EXPECT_FALSE(test, anon_move_next_has_room(b, 6, 16));
}

static void dirty_and_accessed_are_carried_over(struct kunit *test)
{
	struct made_up *m = test->priv;
	pte_t pte = pte_mkclean(pte_mkold(pfn_pte(5, m->src_vma.vm_page_prot)));

	KUNIT_EXPECT_FALSE(test, pte_dirty(make_moved(pte, &m->am)));
	KUNIT_EXPECT_FALSE(test, pte_young(make_moved(pte, &m->am)));
	pte = pte_mkyoung(pte_mkdirty(pte));
	KUNIT_EXPECT_TRUE(test, pte_dirty(make_moved(pte, &m->am)));
	KUNIT_EXPECT_TRUE(test, pte_young(make_moved(pte, &m->am)));
}

static void a_page_arrives_writable_and_soft_dirty(struct kunit *test)
{
	struct made_up *m = test->priv;
	pte_t pte = pte_clear_soft_dirty(pte_wrprotect(pfn_pte(5, m->src_vma.vm_page_prot)));

	pte = make_moved(pte, &m->am);
	KUNIT_EXPECT_TRUE(test, pte_write(pte));
	KUNIT_EXPECT_EQ(test, 5, pte_pfn(pte));
	if (IS_ENABLED(CONFIG_MEM_SOFT_DIRTY))
		KUNIT_EXPECT_TRUE(test, pte_soft_dirty(pte));
}

static void R2_the_zero_page_stays_read_only(struct kunit *test)
{
	struct made_up *m = test->priv;
	pte_t pte = pte_mkspecial(pfn_pte(zero_pfn(0), PAGE_READONLY));

	KUNIT_EXPECT_FALSE(test, pte_write(make_moved(pte, &m->am)));
}

static void R18_write_protection_follows_the_destination(struct kunit *test)
{
	struct made_up *m = test->priv;
	pte_t pte = pte_mkuffd(pfn_pte(5, PAGE_READONLY));

	if (!IS_ENABLED(CONFIG_HAVE_ARCH_USERFAULTFD_WP))
		kunit_skip(test, "entries have no uffd-wp bit here");
	KUNIT_EXPECT_FALSE(test, pte_uffd(make_moved(pte, &m->am)));
	KUNIT_EXPECT_TRUE(test, pte_write(make_moved(pte, &m->am)));
	m->am.uffd = ANON_MOVE_UFFD_KEEP;
	KUNIT_EXPECT_TRUE(test, pte_uffd(make_moved(pte, &m->am)));
	KUNIT_EXPECT_FALSE(test, pte_write(make_moved(pte, &m->am)));
}

/* What the template gives for an entry must be what make_moved() says. */
static void the_template_says_what_make_moved_says(struct kunit *test)
{
	struct made_up *m = test->priv;
	const pgprot_t prots[] = { m->src_vma.vm_page_prot, PAGE_READONLY, PAGE_NONE };
	const unsigned long pfns[] = { 1000, 1001, 1007, 3, 1 << 20, 4 };
	struct anon_move_template *template = &m->staging.template;
	unsigned int i, k;
	pte_t pte;

	prepare_staging(&m->staging, &m->am);
	for (i = 0; i < ARRAY_SIZE(prots) * ARRAY_SIZE(pfns); i++) {
		k = i % ARRAY_SIZE(pfns);
		pte = pfn_pte(pfns[k], prots[i / ARRAY_SIZE(pfns)]);
		KUNIT_EXPECT_EQ_MSG(test, pte_val(make_moved(pte, &m->am)),
				    pte_val(anon_move_moved(template, &m->am, pte, pfns[k])),
				    "%u", i);
	}
}

static void the_template_forgets_another_destination(struct kunit *test)
{
	struct made_up *m = test->priv;
	pte_t pte = pte_mkuffd(pfn_pte(5, PAGE_READONLY));

	prepare_staging(&m->staging, &m->am);
	anon_move_moved(&m->staging.template, &m->am, pte, 5);
	m->am.uffd = ANON_MOVE_UFFD_KEEP;
	prepare_staging(&m->staging, &m->am);
	KUNIT_EXPECT_EQ(test, pte_val(make_moved(pte, &m->am)),
			pte_val(anon_move_moved(&m->staging.template, &m->am, pte, 5)));
}

static void expect_not_taken(struct kunit *test, enum anon_move_stop stop)
{
	struct made_up *m = test->priv;
	pte_t before = m->src[0];

	KUNIT_EXPECT_EQ(test, 0, take(&m->am, &m->b, 0));
	KUNIT_EXPECT_EQ(test, stop, m->b.stop);
	KUNIT_EXPECT_EQ(test, pte_val(before), pte_val(m->src[0]));
}

static void an_exclusive_page_is_taken(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct folio *folio = made_up_folio(test, 0);

	made_up_map(m, 3, folio);
	KUNIT_EXPECT_EQ(test, 1, take(&m->am, &m->b, 3));
	KUNIT_EXPECT_TRUE(test, pte_none(m->src[3]));
	KUNIT_EXPECT_EQ(test, folio_pfn(folio), pte_pfn(m->staging.moved[3]));
	KUNIT_EXPECT_EQ(test, folio->index,
			linear_anon_page_index(&m->dst_vma, MADE_UP_DST + 3 * PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, m->b.flush);
	KUNIT_EXPECT_FALSE(test, folio_test_locked(folio));
	KUNIT_EXPECT_EQ(test, 1, folio_ref_count(folio));
}

static void what_is_occupied_or_a_hole_is_not_taken(struct kunit *test)
{
	struct made_up *m = test->priv;

	expect_not_taken(test, ANON_MOVE_HOLE);
	made_up_map(m, 0, made_up_folio(test, 0));
	m->dst[0] = pfn_pte(5, PAGE_READONLY);
	expect_not_taken(test, ANON_MOVE_EXISTS);
}

static void a_hole_that_is_allowed_is_passed_over(struct kunit *test)
{
	struct made_up *m = test->priv;

	m->req.flags = ANON_MOVE_ALLOW_HOLES;
	m->staging.moved[0] = pfn_pte(5, PAGE_READONLY);
	KUNIT_EXPECT_EQ(test, 1, take(&m->am, &m->b, 0));
	KUNIT_EXPECT_TRUE(test, pte_none(m->staging.moved[0]));
}

static void of_special_pages_only_the_zero_page_moves(struct kunit *test)
{
	struct made_up *m = test->priv;

	if (!IS_ENABLED(CONFIG_ARCH_HAS_PTE_SPECIAL))
		kunit_skip(test, "entries have no special bit here");
	m->src[0] = pte_mkspecial(pfn_pte(zero_pfn(0) + 1, PAGE_READONLY));
	expect_not_taken(test, ANON_MOVE_SHARED);
	m->src[0] = pte_mkspecial(pfn_pte(zero_pfn(0), PAGE_READONLY));
	KUNIT_EXPECT_EQ(test, 1, take(&m->am, &m->b, 0));
	KUNIT_EXPECT_EQ(test, zero_pfn(0), pte_pfn(m->staging.moved[0]));
}

static void a_page_that_is_shared_or_of_a_file_is_not_taken(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct folio *folio = made_up_folio(test, 0);

	made_up_map(m, 0, folio);
	clear_bit(PG_anon_exclusive, anon_move_page_flags(&folio->page));
	expect_not_taken(test, ANON_MOVE_SHARED);
	set_bit(PG_anon_exclusive, anon_move_page_flags(&folio->page));
	folio->mapping = NULL;
	expect_not_taken(test, ANON_MOVE_SHARED);
	KUNIT_EXPECT_FALSE(test, folio_test_locked(folio));
}

static void a_locked_page_is_to_be_waited_for(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct folio *folio = made_up_folio(test, 0);

	made_up_map(m, 0, folio);
	folio_lock(folio);
	expect_not_taken(test, ANON_MOVE_LOCKED);
	folio_unlock(folio);
	KUNIT_EXPECT_PTR_EQ(test, folio, m->am.folio);
	folio_put(folio);
}

static void R3_a_pinned_page_is_put_back_as_it_was(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct folio *folio = made_up_folio(test, 0);
	pgoff_t index = folio->index;

	made_up_map(m, 0, folio);
	folio_ref_add(folio, GUP_PIN_COUNTING_BIAS);
	expect_not_taken(test, ANON_MOVE_PINNED);
	folio_ref_sub(folio, GUP_PIN_COUNTING_BIAS);
	KUNIT_EXPECT_EQ(test, index, folio->index);
	KUNIT_EXPECT_FALSE(test, folio_test_locked(folio));
}

static void O18_an_entry_is_checked_before_it_gets_a_table(struct kunit *test)
{
	struct made_up *m = test->priv;
	struct folio *folio = made_up_folio(test, 0);
	pte_t pte = mk_pte(&folio->page, m->src_vma.vm_page_prot);

	KUNIT_EXPECT_EQ(test, ANON_MOVE_DONE, anon_move_check_entry(&m->am, pte));
	folio_ref_add(folio, GUP_PIN_COUNTING_BIAS);
	KUNIT_EXPECT_EQ(test, ANON_MOVE_PINNED, anon_move_check_entry(&m->am, pte));
	folio_ref_sub(folio, GUP_PIN_COUNTING_BIAS);
	clear_bit(PG_anon_exclusive, anon_move_page_flags(&folio->page));
	KUNIT_EXPECT_EQ(test, ANON_MOVE_SHARED, anon_move_check_entry(&m->am, pte));
	pte = pte_mkspecial(pfn_pte(zero_pfn(0), PAGE_READONLY));
	KUNIT_EXPECT_EQ(test, ANON_MOVE_DONE, anon_move_check_entry(&m->am, pte));
	pte = pte_mkspecial(pfn_pte(zero_pfn(0) + 1, PAGE_READONLY));
	KUNIT_EXPECT_EQ(test, ANON_MOVE_SHARED, anon_move_check_entry(&m->am, pte));
	pte = make_pte_marker(PTE_MARKER_POISONED);
	KUNIT_EXPECT_EQ(test, ANON_MOVE_MARKER, anon_move_check_entry(&m->am, pte));
	KUNIT_EXPECT_EQ(test, ANON_MOVE_HOLE, anon_move_check_entry(&m->am, __pte(0)));
	m->req.flags = ANON_MOVE_ALLOW_HOLES;
	KUNIT_EXPECT_EQ(test, ANON_MOVE_DONE, anon_move_check_entry(&m->am, __pte(0)));
}

struct two_locks {
	spinlock_t lock[2]; /* as of two page tables */
	bool taken;
};

/* Always has one of them, and takes the other one as soon as it is let go of. */
static int always_has_one(void *arg)
{
	struct two_locks *two = arg;
	unsigned int i = 1;

	spin_lock(&two->lock[i]);
	WRITE_ONCE(two->taken, true);
	while (!kthread_should_stop()) {
		if (spin_trylock(&two->lock[!i])) {
			spin_unlock(&two->lock[i]);
			i = !i;
		}
		cpu_relax();
	}
	spin_unlock(&two->lock[i]);
	return 0;
}

/* Of two tables that others want as well each might be taken whenever the other one is got. */
static void tables_are_not_waited_for_without_end(struct kunit *test)
{
	struct two_locks two = { };
	struct made_up *m = test->priv;
	struct task_struct *rival;

	if (num_online_cpus() == 1)
		kunit_skip(test, "needs two CPUs");
	spin_lock_init(&two.lock[0]);
	spin_lock_init(&two.lock[1]);
	rival = kthread_create(always_has_one, &two, "anon_move_rival");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, rival);
	/* It must not be waited for on its own CPU. */
	migrate_disable();
	kthread_bind(rival, cpumask_any_but(cpu_online_mask, smp_processor_id()));
	wake_up_process(rival);
	while (!READ_ONCE(two.taken))
		cpu_relax();
	m->b.dst_ptl = &two.lock[0];
	m->b.src_ptl = &two.lock[1];
	KUNIT_EXPECT_FALSE(test, anon_move_lock_tables(&m->am, &m->b));
	kthread_stop(rival);
	migrate_enable();
	KUNIT_EXPECT_TRUE(test, anon_move_lock_tables(&m->am, &m->b));
	anon_move_unlock_tables(&m->b);
}

static struct kunit_case ptes_cases[] = {
	KUNIT_CASE(a_batch_is_no_longer_than_the_distance),
	KUNIT_CASE(the_next_batch_has_room_only_where_ranges_overlap),
	KUNIT_CASE(dirty_and_accessed_are_carried_over),
	KUNIT_CASE(a_page_arrives_writable_and_soft_dirty),
	KUNIT_CASE(R2_the_zero_page_stays_read_only),
	KUNIT_CASE(R18_write_protection_follows_the_destination),
	KUNIT_CASE(the_template_says_what_make_moved_says),
	KUNIT_CASE(the_template_forgets_another_destination),
	KUNIT_CASE(an_exclusive_page_is_taken),
	KUNIT_CASE(what_is_occupied_or_a_hole_is_not_taken),
	KUNIT_CASE(a_hole_that_is_allowed_is_passed_over),
	KUNIT_CASE(of_special_pages_only_the_zero_page_moves),
	KUNIT_CASE(a_page_that_is_shared_or_of_a_file_is_not_taken),
	KUNIT_CASE(a_locked_page_is_to_be_waited_for),
	KUNIT_CASE(R3_a_pinned_page_is_put_back_as_it_was),
	KUNIT_CASE(O18_an_entry_is_checked_before_it_gets_a_table),
	KUNIT_CASE(tables_are_not_waited_for_without_end),
	{}
};

static struct kunit_suite ptes_suite = {
	.name = "anon_move_ptes",
	.init = made_up_init,
	.test_cases = ptes_cases,
};

kunit_test_suite(ptes_suite);

#endif /* CONFIG_ANON_MOVE_KUNIT_TEST */
