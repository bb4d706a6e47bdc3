// SPDX-License-Identifier: GPL-2.0
/* The benchmark: options and rows; a line of JSON for what each row costs. */

#define _GNU_SOURCE
#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static const char usage[] =
"usage: anon_move_bench [--list] [--for-ever MOVER] [ROW...]\n"
"Measures what moving memory costs, by each mover, and prints a line of JSON for each figure.\n"
"Where the clock counts instructions ('tools/vm/run --icount'): what rows of one thread cost.\n"
"Elsewhere, with 2 CPUs: events of the concurrent rows. Without ROW: all that fit the machine.\n"
"Needs 3 GiB of memory and 2 GiB of swap. Changes the settings for large folios.\n"
"  --list            print the names of the rows\n"
"  --for-ever MOVER  measure nothing; do the work of ROW by anon_move or base without end\n";

static const struct row {
	const char *name;
	enum kind kind;
	size_t pages;
} rows[] = {
	{ "4k.512", KIND_4K, 512 },
	{ "4k.64", KIND_4K, 64 },
	{ "4k.8", KIND_4K, 8 },
	{ "4k.1", KIND_4K, 1 },
	{ "64k.512", KIND_64K, 512 },
	{ "64k.16", KIND_64K, 16 },
	{ "pmd.512", KIND_PMD, 512 },
	{ "swap.512", KIND_SWAP, 512 },
	{ "swap.1", KIND_SWAP, 1 },
	{ "mixed.512", KIND_MIXED, 512 },
};

#define NR(array) (sizeof(array) / sizeof(*(array)))

/* The cheapest round counts, and each way takes part of them. */
#define ROUNDS 6
#define ROUNDS_OF_MUCH 2
#define ROUNDS_OF_EVENTS 2

static char **wanted;

static bool is_wanted(const char *name)
{
	bool found = !*wanted;

	for (char **want = wanted; *want; want++)
		found |= !strcmp(*want, name);
	return found;
}

static struct cost count_events(struct work *work)
{
	struct event_counters counters;
	struct cost cost;

	events_open(&counters);
	cost = do_work(work, AREA, ROUNDS_OF_EVENTS, &counters);
	events_close(&counters);
	return cost;
}

/* Prints all but the end of the line. */
static void run_mover(const struct row *row, enum mover mover)
{
	struct work work = {
		.kind = row->kind, .mover = mover, .pages = row->pages, .area = AREA,
	};
	struct cost cost, events;

	/*
	 * mremap() moves whole page tables where both addresses are alike below the PMD.
	 * For the floor they are not; but huge pages would be split then.
	 */
	if (mover == MREMAP && row->kind != KIND_PMD)
		work.shift = PMD_SIZE / 2;
	open_work(&work);
	cost = do_work(&work, AREA, ROUNDS, NULL);
	events = count_events(&work);
	close_work(&work);
	printf("{\"row\": \"%s\", \"mover\": \"%s\", \"instructions\": %.2f", row->name,
	       mover_names[mover], cost.page);
	for (int i = 0; i < NR_EVENTS; i++)
		if (event_counted(i))
			printf(", \"%s\": %.2f", event_names[i],
			       events.events[i] * 1000.0 / events.pages);
	fprintf(stderr, ">> %s by %s: %.1f instructions a page\n", row->name, mover_names[mover],
		cost.page);
}

/* For growth. To make 1 GiB takes longer than to move it, so it is kept from row to row. */
static struct work much;

static void close_much(void)
{
	if (much.area)
		close_work(&much);
	much.area = 0;
}

static void open_much(const struct row *row)
{
	if (!much.area || much.kind != row->kind) {
		close_much();
		fprintf(stderr, ">> %s: making 1 GiB\n", row->name);
		much = (struct work) { .kind = row->kind, .mover = ANON_MOVE, .area = GIB };
		open_work(&much);
	}
	much.pages = row->pages;
}

/* Returns the cost a page at 1 GiB by that at 2 MiB: 1 is linear. */
static double run_growth(const struct row *row)
{
	double at_2_mib = 0, page = 0;

	fprintf(stderr, ">> %s: moving up to 1 GiB\n", row->name);
	for (size_t size = row->pages * PAGE; size <= GIB; size *= size < 2 * MIB ? 2 : 8) {
		page = do_work(&much, size, size > AREA ? ROUNDS_OF_MUCH : ROUNDS, NULL).page;
		printf("{\"row\": \"%s\", \"pages\": %zu, \"instructions\": %.2f}\n", row->name,
		       size / PAGE, page);
		if (size == 2 * MIB)
			at_2_mib = page;
	}
	return page / at_2_mib;
}

static void run_row(const struct row *row)
{
	double growth;

	open_much(row);
	growth = run_growth(row);
	run_mover(row, BASE);
	puts("}");
	/* Nothing can be copied from a hole. */
	if (row->kind != KIND_MIXED) {
		run_mover(row, COPY);
		puts("}");
	}
	run_mover(row, MREMAP);
	puts("}");
	run_mover(row, ONLYPAGES);
	puts("}");
	run_mover(row, ANON_MOVE);
	printf(", \"growth\": %.3f}\n", growth);
}

static void list_rows(void)
{
	for (size_t i = 0; i < NR(rows); i++)
		puts(rows[i].name);
	puts("sparse\nvectors\nwriter\nparallel");
}

/* A row that this machine can't run must not pass for one that went well. */
static void check_wanted(bool counted)
{
	for (char **want = wanted; *want; want++) {
		bool fits = !strcmp(*want, counted ? "writer" : "parallel") ||
			    (counted && (!strcmp(*want, "sparse") || !strcmp(*want, "vectors")));

		for (size_t i = 0; counted && i < NR(rows); i++)
			fits |= !strcmp(*want, rows[i].name);
		if (!fits)
			errx(CANNOT, "%s --icount there is no row '%s'; see --list",
			     counted ? "with" : "without", *want);
	}
}

static void run_counted(void)
{
	for (size_t i = 0; i < NR(rows); i++)
		if (is_wanted(rows[i].name))
			run_row(&rows[i]);
	close_much();
	if (is_wanted("sparse"))
		bench_sparse();
	if (is_wanted("vectors"))
		bench_vectors();
	if (is_wanted("writer"))
		bench_writer();
}

/* For whoever watches the guest from outside. */
static void repeat_rows(enum mover mover)
{
	for (size_t i = 0; i < NR(rows); i++) {
		struct work work = {
			.kind = rows[i].kind, .mover = mover, .pages = rows[i].pages, .area = AREA,
		};

		if (!is_wanted(rows[i].name))
			continue;
		open_work(&work);
		work_for_ever(&work);
	}
}

static enum mover parse_mover(const char *name)
{
	for (int mover = 0; mover <= BASE; mover++)
		if (!strcmp(name, mover_names[mover]))
			return mover;
	errx(CANNOT, "--for-ever takes anon_move or base, not '%s'", name);
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{ "list", no_argument, NULL, 'l' },
		{ "for-ever", required_argument, NULL, 'e' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	const bool counted = clock_counts_instructions();
	enum mover for_ever = NR_MOVERS;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == '?')
			errx(CANNOT, "'%s' is not right; see --help", argv[optind - 1]);
		if (option == 'h')
			fputs(usage, stdout);
		if (option == 'l')
			list_rows();
		if (option != 'e')
			return 0;
		for_ever = parse_mover(optarg);
	}
	wanted = argv + optind;
	check_wanted(counted);
	setlinebuf(stdout);
	if (for_ever != NR_MOVERS)
		repeat_rows(for_ever);
	else if (counted)
		run_counted();
	else
		bench_parallel();
	if (ferror(stdout))
		err(FAILED, "can't write the figures");
	return 0;
}
