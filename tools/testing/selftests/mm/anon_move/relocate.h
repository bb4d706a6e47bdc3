/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of MREMAP_RELOCATE_ANON share: mappings that nothing is beside, and what became
 * of one. Needs kselftest_harness.h.
 */
#ifndef ANON_MOVE_RELOCATE_H
#define ANON_MOVE_RELOCATE_H

#include <linux/mman.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

#include "anon_move_test.h"

#define RW	(PROT_READ | PROT_WRITE)
#define SOME	8UL	/* pages */

/* Memory of our own, PMD aligned, where nothing is mapped beside it. */
static inline char *map_alone(size_t pages)
{
	size_t len = (pages + 3 * PMD_PAGES) * PAGE;
	char *start = mmap(NULL, len, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *area = (char *)(((uintptr_t)start + 2 * PMD - 1) & -PMD);

	if (start == MAP_FAILED)
		return start;
	munmap(start, area - start);
	munmap(area + pages * PAGE, start + len - area - pages * PAGE);
	return area;
}

/* Addresses that nobody else gets, for what comes there later. */
static inline char *reserve(size_t pages)
{
	char *area = map_alone(pages);

	return area == MAP_FAILED || mprotect(area, pages * PAGE, PROT_NONE) ? MAP_FAILED : area;
}

static inline bool vma_of(const void *addr, unsigned long *start, unsigned long *end)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	bool found = false;

	while (!found && fgets(line, sizeof(line), maps))
		found = sscanf(line, "%lx-%lx", start, end) == 2 &&
			*start <= (unsigned long)addr && (unsigned long)addr < *end;
	fclose(maps);
	return found;
}

/* Is there a VMA that has these pages and no others? */
static inline bool is_vma(const void *addr, size_t pages)
{
	unsigned long start, end;

	return vma_of(addr, &start, &end) && start == (unsigned long)addr &&
	       end == start + pages * PAGE;
}

/* The bytes are there, and are found by the reverse map. */
static inline void expect_whole(struct __test_metadata *_metadata, char *addr, size_t pages,
				unsigned int id)
{
	EXPECT_STREQ("", pages_differ(addr, pages, id));
	if (swap_missing())
		return;
	EXPECT_EQ(0, page_out(addr, pages));
	EXPECT_STREQ("", pages_differ(addr, pages, id));
}

#endif /* ANON_MOVE_RELOCATE_H */
