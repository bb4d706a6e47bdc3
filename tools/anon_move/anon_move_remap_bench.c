// SPDX-License-Identifier: GPL-2.0
/* The benchmark of mremap() with MREMAP_RELOCATE_ANON and MREMAP_ONLYPAGES: options and parts. */

#define _GNU_SOURCE
#include <err.h>
#include <stdio.h>
#include <string.h>

#include "mremap_move.h"
#include "remap_bench.h"

static const char usage[] =
"usage: anon_move_remap_bench [--list] [PART...]\n"
"Measures what mremap() costs that moves pages with their index, or pages alone, and what becomes\n"
"of the VMAs; prints a line of JSON for each figure. Without PART: all.\n"
"Needs a clock that counts instructions ('tools/vm/run --icount'), 3 GiB of memory and 2 GiB of\n"
"swap. Changes the settings for large folios.\n"
"  --list   print the names of the parts\n";

static const struct part {
	const char *name;
	void (*bench)(void);
} parts[] = {
	{ "hold", bench_hold },
	{ "cost", bench_cost },
	{ "worst", bench_worst },
	{ "vmas", bench_vmas },
};

#define NR(array) (sizeof(array) / sizeof(*(array)))

static const struct part *find_part(const char *name)
{
	for (size_t i = 0; i < NR(parts); i++)
		if (!strcmp(name, parts[i].name))
			return &parts[i];
	errx(CANNOT, "there is no part '%s'; see --list", name);
}

static void check_machine(void)
{
	char *page = map_area(PAGE);

	if (!clock_counts_instructions())
		errx(CANNOT, "the clock counts no instructions; use 'tools/vm/run --icount'");
	if (!mremap_can_relocate(page))
		errx(CANNOT, "no MREMAP_RELOCATE_ANON in this kernel; use 'make bench-mremap'");
	unmap_area(page, PAGE);
}

static void list_parts(void)
{
	for (size_t i = 0; i < NR(parts); i++)
		puts(parts[i].name);
}

static void run_parts(char **names)
{
	for (size_t i = 0; i < NR(parts); i++) {
		bool wanted = !*names;

		for (char **name = names; *name; name++)
			wanted |= find_part(*name) == &parts[i];
		if (wanted)
			parts[i].bench();
	}
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--help"))
		return fputs(usage, stdout) < 0;
	if (argc > 1 && !strcmp(argv[1], "--list")) {
		list_parts();
		return 0;
	}
	if (argc > 1 && argv[1][0] == '-')
		errx(CANNOT, "'%s' is not right; see --help", argv[1]);
	for (char **name = argv + 1; *name; name++)
		find_part(*name);
	check_machine();
	setlinebuf(stdout);
	run_parts(argv + 1);
	if (ferror(stdout))
		err(FAILED, "can't write the figures");
	return 0;
}
