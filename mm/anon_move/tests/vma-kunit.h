/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Unit tests of vma.c: which VMAs a move may have.
 */
#ifdef CONFIG_ANON_MOVE_KUNIT_TEST

#include "made_up.h"

static void movable_is_private_writable_anonymous(struct kunit *test)
{
	const vm_flags_t never[] = {
		VM_SHARED, VM_PFNMAP, VM_IO, VM_HUGETLB, VM_MIXEDMAP, VM_SHADOW_STACK,
	};
	static const struct vm_operations_struct file_ops;
	struct made_up *m = test->priv;
	struct vm_area_struct *vma = &m->src_vma;
	unsigned int i;

	KUNIT_EXPECT_TRUE(test, vma_movable(vma));
	for (i = 0; i < ARRAY_SIZE(never); i++) {
		vm_flags_init(vma, MADE_UP_FLAGS | never[i]);
		KUNIT_EXPECT_EQ_MSG(test, !never[i], vma_movable(vma), "flag %lx", never[i]);
	}
	vm_flags_init(vma, MADE_UP_FLAGS & ~VM_WRITE);
	KUNIT_EXPECT_FALSE(test, vma_movable(vma));
	vm_flags_init(vma, MADE_UP_FLAGS);
	vma->vm_ops = &file_ops;
	KUNIT_EXPECT_FALSE(test, vma_movable(vma));
}

static void alike_is_by_access_lock_drop_and_prot(struct kunit *test)
{
	const vm_flags_t matter[] = { VM_READ, VM_WRITE, VM_EXEC, VM_LOCKED, VM_DROPPABLE };
	const vm_flags_t same[] = { VM_HUGEPAGE, VM_UFFD_MISSING, VM_MAYEXEC, VM_SOFTDIRTY };
	struct made_up *m = test->priv;
	unsigned int i;

	KUNIT_EXPECT_TRUE(test, vmas_alike(&m->dst_vma, &m->src_vma));
	for (i = 0; i < ARRAY_SIZE(matter); i++) {
		vm_flags_init(&m->dst_vma, MADE_UP_FLAGS ^ matter[i]);
		/* There are no droppable mappings on 32 bits. */
		KUNIT_EXPECT_EQ_MSG(test, !matter[i], vmas_alike(&m->dst_vma, &m->src_vma),
				    "%u", i);
	}
	for (i = 0; i < ARRAY_SIZE(same); i++) {
		vm_flags_init(&m->dst_vma, MADE_UP_FLAGS ^ same[i]);
		KUNIT_EXPECT_TRUE_MSG(test, vmas_alike(&m->dst_vma, &m->src_vma), "%u", i);
	}
	m->dst_vma.vm_page_prot = PAGE_NONE;
	KUNIT_EXPECT_FALSE(test, vmas_alike(&m->dst_vma, &m->src_vma));
}

static void ranges_end_within_their_vmas(struct kunit *test)
{
	struct made_up *m = test->priv;

	m->req.len = SZ_1G;
	KUNIT_EXPECT_EQ(test, 0, check_vmas(&m->am, &m->req));
	m->dst_vma.vm_end -= PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, -EINVAL, check_vmas(&m->am, &m->req));
	m->dst_vma.vm_end += PAGE_SIZE;
	m->src_vma.vm_end -= PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, -EINVAL, check_vmas(&m->am, &m->req));
	m->req.flags = ANON_MOVE_SPAN;
	KUNIT_EXPECT_EQ(test, 0, check_vmas(&m->am, &m->req));
	KUNIT_EXPECT_EQ(test, m->src_vma.vm_end - m->req.src, m->req.len);
	m->req.flags = 0;
	KUNIT_EXPECT_EQ(test, 0, check_vmas(&m->am, &m->req));
}

static void either_vma_may_be_refused(struct kunit *test)
{
	struct made_up *m = test->priv;

	/* Both, or they would be refused for being unlike. */
	vm_flags_init(&m->dst_vma, MADE_UP_FLAGS | VM_SHARED);
	KUNIT_EXPECT_EQ(test, -EINVAL, check_vmas(&m->am, &m->req));
	vm_flags_init(&m->dst_vma, MADE_UP_FLAGS);
	vm_flags_init(&m->src_vma, MADE_UP_FLAGS | VM_SHARED);
	KUNIT_EXPECT_EQ(test, -EINVAL, check_vmas(&m->am, &m->req));
	vm_flags_init(&m->src_vma, MADE_UP_FLAGS | VM_LOCKED);
	KUNIT_EXPECT_EQ(test, -EINVAL, check_vmas(&m->am, &m->req));
}

/* That of a descriptor with WP_ASYNC is fs/userfaultfd.c's to make. */
static void R18_the_registration_decides_what_arrives(struct kunit *test)
{
	struct made_up *m = test->priv;

	if (!IS_ENABLED(CONFIG_HAVE_ARCH_USERFAULTFD_WP))
		kunit_skip(test, "entries have no uffd-wp bit here");
	vm_flags_init(&m->dst_vma, MADE_UP_FLAGS | VM_UFFD_MISSING);
	KUNIT_EXPECT_EQ(test, ANON_MOVE_UFFD_CLEAR, arrival(&m->am));
	vm_flags_init(&m->dst_vma, MADE_UP_FLAGS | VM_UFFD_WP);
	KUNIT_EXPECT_EQ(test, ANON_MOVE_UFFD_KEEP, arrival(&m->am));
	m->req.flags = ANON_MOVE_PROTECT;
	KUNIT_EXPECT_EQ(test, ANON_MOVE_UFFD_PROTECT, arrival(&m->am));
	KUNIT_EXPECT_EQ(test, 0, anon_move_check_armed(&m->req, &m->dst_vma));
	vm_flags_init(&m->dst_vma, MADE_UP_FLAGS | VM_UFFD_MISSING);
	KUNIT_EXPECT_EQ(test, -EPERM, anon_move_check_armed(&m->req, &m->dst_vma));
}

#ifdef CONFIG_PER_VMA_LOCK
static void vma_has_its_start_and_not_its_end(struct kunit *test)
{
	struct made_up *m = test->priv;

	KUNIT_EXPECT_FALSE(test, vma_has(&m->src_vma, MADE_UP_SRC - 1));
	KUNIT_EXPECT_TRUE(test, vma_has(&m->src_vma, MADE_UP_SRC));
	KUNIT_EXPECT_TRUE(test, vma_has(&m->src_vma, MADE_UP_SRC + SZ_1G - 1));
	KUNIT_EXPECT_FALSE(test, vma_has(&m->src_vma, MADE_UP_SRC + SZ_1G));
}
#endif

static struct kunit_case vma_cases[] = {
	KUNIT_CASE(movable_is_private_writable_anonymous),
	KUNIT_CASE(alike_is_by_access_lock_drop_and_prot),
	KUNIT_CASE(ranges_end_within_their_vmas),
	KUNIT_CASE(either_vma_may_be_refused),
	KUNIT_CASE(R18_the_registration_decides_what_arrives),
#ifdef CONFIG_PER_VMA_LOCK
	KUNIT_CASE(vma_has_its_start_and_not_its_end),
#endif
	{}
};

static struct kunit_suite vma_suite = {
	.name = "anon_move_vma",
	.init = made_up_init,
	.test_cases = vma_cases,
};

kunit_test_suite(vma_suite);

#endif /* CONFIG_ANON_MOVE_KUNIT_TEST */
