// SPDX-License-Identifier: GPL-2.0
/*
 * Memory tags (MTE of arm64) travel with their pages, and tagged pointers are what they are for
 * other calls of userfaultfd.
 */
#include <errno.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#ifdef __aarch64__

#ifndef PROT_MTE
#define PROT_MTE	0x20
#endif
#ifndef HWCAP2_MTE
#define HWCAP2_MTE	_BITUL(18)
#endif

#define GRANULE		16UL	/* bytes with one tag */
#define TAG_SHIFT	56

static const char *tags_missing(void)
{
	return getauxval(AT_HWCAP2) & HWCAP2_MTE ? NULL : "no memory tags on this machine";
}

static char *with_tag(char *addr, unsigned int tag)
{
	return (char *)((uintptr_t)addr | (uintptr_t)tag << TAG_SHIFT);
}

/* By instructions that ask for no tag of the pointer that they are given. */
static void set_tag(char *addr, unsigned int tag)
{
	char *tagged = with_tag(addr, tag);

	asm volatile(".arch armv8.5-a+memtag\n\tstg %0, [%0]" : : "r" (tagged) : "memory");
}

static unsigned int tag_of(char *addr)
{
	char *tagged = addr;

	asm volatile(".arch armv8.5-a+memtag\n\tldg %0, [%0]" : "+r" (tagged) : : "memory");
	return (uintptr_t)tagged >> TAG_SHIFT & 15;
}

/* One for all granules of a page, as qemu 7.2 keeps two tags of each page. */
static unsigned int tag_for(size_t page)
{
	return page % 15 + 1;
}

static void set_tags(char *area, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		for (size_t g = 0; g < PAGE / GRANULE; g++)
			set_tag(area + i * PAGE + g * GRANULE, tag_for(i));
}

/* How many granules have their tag. */
static size_t tags_kept(char *area, size_t pages)
{
	size_t kept = 0;

	for (size_t i = 0; i < pages; i++)
		for (size_t g = 0; g < PAGE / GRANULE; g++)
			kept += tag_of(area + i * PAGE + g * GRANULE) == tag_for(i);
	return kept;
}

static int allow_tags(char *area, size_t pages)
{
	return mprotect(area, pages * PAGE, PROT_READ | PROT_WRITE | PROT_MTE);
}

FIXTURE(tags)
{
	struct space space;
	long long calls;
};

FIXTURE_VARIANT(tags)
{
	enum page_kind_id kind;
	bool swapped;
};

FIXTURE_VARIANT_ADD(tags, small) { .kind = KIND_SMALL };
FIXTURE_VARIANT_ADD(tags, mthp) { .kind = KIND_MTHP };
FIXTURE_VARIANT_ADD(tags, thp) { .kind = KIND_THP };
FIXTURE_VARIANT_ADD(tags, swapped) { .kind = KIND_SMALL, .swapped = true };

FIXTURE_SETUP(tags)
{
	const char *missing = move_missing();

	missing = missing ? missing : tags_missing();
	missing = missing ? missing : kind_missing(variant->kind);
	if (!missing && variant->swapped)
		missing = swap_missing();
	if (missing)
		SKIP(return, "%s", missing);
	self->calls = engine_count("calls");
	ASSERT_EQ(0, space_open(&self->space, 2 * PMD_PAGES, 0));
}

FIXTURE_TEARDOWN(tags)
{
	space_close(&self->space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

TEST_F_TIMEOUT(tags, travel, PATIENCE)
{
	struct space *s = &self->space;
	const size_t pages = PMD_PAGES;

	ASSERT_EQ(0, make_kind(s, variant->kind, 0, pages));
	ASSERT_EQ(0, allow_tags(s->src, s->pages));
	ASSERT_EQ(0, allow_tags(s->dst, s->pages));
	set_tags(s->src, pages);
	ASSERT_EQ(pages * PAGE / GRANULE, tags_kept(s->src, pages));
	if (variant->swapped)
		ASSERT_EQ(0, page_out(s->src, pages));
	ASSERT_EQ(0, move_surely(s->uffd, s->dst, s->src, pages * PAGE).err);
	EXPECT_EQ(pages * PAGE / GRANULE, tags_kept(s->dst, pages));
	EXPECT_STREQ("", pages_differ(s->dst, pages, 1));
	/* What comes to where they were has none. */
	EXPECT_EQ(0, tag_of(s->src));
}

/* Pages with tags must not come to where there are none, nor those without to where there are. */
static void expect_to_stay(struct __test_metadata *_metadata, struct space *s)
{
	struct moved moved = move_pages_of(s->uffd, s->dst, s->src, PMD, 0);

	EXPECT_EQ(EINVAL, moved.err);
	EXPECT_EQ(-EINVAL, moved.bytes);
	EXPECT_STREQ("", pages_differ(s->src, PMD_PAGES, 1));
}

TEST_F_TIMEOUT(tags, only_the_destination_has_them, PATIENCE)
{
	struct space *s = &self->space;

	ASSERT_EQ(0, make_kind(s, variant->kind, 0, PMD_PAGES));
	ASSERT_EQ(0, allow_tags(s->dst, s->pages));
	expect_to_stay(_metadata, s);
}

TEST_F_TIMEOUT(tags, only_the_source_has_them, PATIENCE)
{
	struct space *s = &self->space;

	ASSERT_EQ(0, make_kind(s, variant->kind, 0, PMD_PAGES));
	ASSERT_EQ(0, allow_tags(s->src, s->pages));
	expect_to_stay(_metadata, s);
}

/* As for all other calls of userfaultfd. */
TEST_F_TIMEOUT(tags, pointers_with_tags_are_invalid, PATIENCE)
{
	struct space *s = &self->space;

	ASSERT_EQ(0, make_kind(s, variant->kind, 0, PMD_PAGES));
	EXPECT_EQ(EINVAL, move_pages_of(s->uffd, with_tag(s->dst, 3), s->src, PAGE, 0).err);
	EXPECT_EQ(EINVAL, move_pages_of(s->uffd, s->dst, with_tag(s->src, 3), PAGE, 0).err);
	EXPECT_STREQ("", pages_differ(s->src, PMD_PAGES, 1));
	EXPECT_EQ(0, move_surely(s->uffd, s->dst, s->src, PMD_PAGES * PAGE).err);
}

#else

TEST(tags)
{
	SKIP(return, "no memory tags on this architecture");
}

#endif

TEST_HARNESS_MAIN
