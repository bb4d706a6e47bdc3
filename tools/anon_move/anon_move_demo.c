// SPDX-License-Identifier: GPL-2.0
/* Moves memory in each way by each mover and prints one table: options, engine switch, output. */

#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

#include "demo.h"

#define MAX_MOVERS 4

static const char usage[] =
"usage: anon_move_demo [--mib N] [--pages-per-call N] [--engine LIST] [--json]\n"
"Brings patterned memory to another address, checks every byte there, prints what it cost.\n"
"  --mib N             MiB for each row of the table (256)\n"
"  --pages-per-call N  pages a call in the rows called \"ranges\" (512)\n"
"  --engine LIST       who brings it (anon_move,base,copy):\n"
"                      anon_move, base: of a kernel with CONFIG_ANON_MOVE_COMPARE\n"
"                      current: whatever serves UFFDIO_MOVE now\n"
"                      copy: UFFDIO_COPY, then MADV_DONTNEED of the source\n"
"  --json              print the table as JSON\n";

static const char *movers[MAX_MOVERS] = { "anon_move", "base", "copy" };
static size_t nr_movers = 3;
static unsigned long mib = 256, pages_per_call = 512;
static bool json;

static unsigned long parse_number(const char *text, unsigned long most)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9' || !value || value > most)
		errx(CANNOT, "'%s' is not a number from 1 to %lu", text, most);
	return value;
}

static void parse_movers(char *list)
{
	static const char *const known[] = { "anon_move", "base", "current", "copy" };
	char *name;
	size_t i;

	nr_movers = 0;
	while ((name = strsep(&list, ","))) {
		for (i = 0; i < MAX_MOVERS && strcmp(name, known[i]); i++)
			;
		if (i == MAX_MOVERS || nr_movers == MAX_MOVERS)
			errx(CANNOT, "--engine doesn't take '%s'; see --help", name);
		movers[nr_movers++] = known[i];
	}
}

static void parse_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "mib", required_argument, NULL, 'm' },
		{ "pages-per-call", required_argument, NULL, 'p' },
		{ "engine", required_argument, NULL, 'e' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'm') {
			mib = parse_number(optarg, MAX_MIB);
		} else if (option == 'p') {
			pages_per_call = parse_number(optarg, 1 << 28);
		} else if (option == 'e') {
			parse_movers(optarg);
		} else if (option == 'j') {
			json = true;
		} else if (option == 'h') {
			fputs(usage, stdout);
			exit(0);
		} else {
			errx(CANNOT, "'%s' is not right; see --help", argv[optind - 1]);
		}
	}
	if (optind < argc)
		errx(CANNOT, "'%s' is not an option; see --help", argv[optind]);
}

/* A switch without effect gives a handsome table too, so the engine's own counters must agree. */
static void play_engine(struct row *row)
{
	const bool ours = !strcmp(row->mover, "anon_move");
	unsigned long long moved;

	choose_engine(row->mover);
	moved = engine_counter("moved_");
	play_row(row);
	moved = engine_counter("moved_") - moved;
	if (moved != (ours ? row->pages : 0))
		errx(FAILED, "%s by %s: anon_move says that it moved %llu of the %llu pages",
		     way_names[row->way], row->mover, moved, row->pages);
}

static void play(struct row *row)
{
	fprintf(stderr, ">> %s by %s\n", way_names[row->way], row->mover);
	if (!strcmp(row->mover, "current") || !strcmp(row->mover, "copy"))
		play_row(row);
	else
		play_engine(row);
}

/* The kernel takes 'rep movsb' on a processor that says that this is fast. */
static bool copies_bytes(void)
{
#ifdef __x86_64__
	const unsigned int enhanced = 1 << 9, fast_and_short = 1 << 4;
	unsigned int eax, ebx, ecx, edx;

	return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) &&
	       (ebx & enhanced || edx & fast_and_short);
#else
	return false;
#endif
}

static const char *note(bool counted)
{
	if (!counted)
		return "Nanoseconds say little: only 'tools/vm/run --icount' counts instructions.";
	if (copies_bytes())
		return "copy: qemu counts an instruction for each byte that 'rep movsb' copies.";
#ifdef __x86_64__
	return "copy: qemu counts an instruction for each 8 bytes that 'rep movsq' copies.";
#else
	return "copy: by instructions that load or store several bytes each.";
#endif
}

static void print_table(const struct row *rows, size_t nr, bool counted)
{
	static const char line[] = "%-8s%-10s%9s%20s%17s%17s\n";
	char pages[24], cost[24], flushes[24], allocated[24];

	printf(line, "way", "mover", "pages", counted ? "guest instructions" : "nanoseconds",
	       "TLB flushes", "pages allocated");
	printf(line, "", "", "", "a page", "per 1000 pages", "per 1000 pages");
	for (; nr; rows++, nr--) {
		snprintf(pages, sizeof(pages), "%llu", rows->pages);
		snprintf(cost, sizeof(cost), "%.0f", rows->cost);
		snprintf(flushes, sizeof(flushes), rows->flushes < 0 ? "-" : "%.1f", rows->flushes);
		snprintf(allocated, sizeof(allocated), "%.1f", rows->allocated);
		printf(line, way_names[rows->way], rows->mover, pages, cost, flushes, allocated);
	}
	printf("\nEvery byte was checked. ranges: %lu pages a call. faults: another thread\n"
	       "resolves them. sigbus: the faulting thread resolves them, as in Android's ART.\n",
	       pages_per_call);
	puts(note(counted));
	if (rows[-1].flushes < 0)
		puts("TLB flushes: no tlb:tlb_flush tracepoint here, or not root.");
}

static void print_json(const struct row *rows, size_t nr, bool counted)
{
	for (size_t i = 0; i < nr; i++) {
		printf("%s{\"way\": \"%s\", \"mover\": \"%s\", \"pages\": %llu, ", i ? ",\n " : "[",
		       way_names[rows[i].way], rows[i].mover, rows[i].pages);
		printf("\"%s_per_page\": %.1f, ",
		       counted ? "guest_instructions" : "nanoseconds", rows[i].cost);
		printf(rows[i].flushes < 0 ? "\"tlb_flushes_per_1000_pages\": null, " :
		       "\"tlb_flushes_per_1000_pages\": %.1f, ", rows[i].flushes);
		printf("\"pages_allocated_per_1000_pages\": %.1f}", rows[i].allocated);
	}
	puts("]");
}

int main(int argc, char **argv)
{
	struct row rows[NR_WAYS * MAX_MOVERS];
	size_t nr = 0;

	parse_options(argc, argv);
	for (int way = 0; way < NR_WAYS; way++) {
		for (size_t i = 0; i < nr_movers; i++, nr++) {
			rows[nr] = (struct row) {
				.way = way,
				.mover = movers[i],
				.area = mib * MIB / ROUNDS,
				.bunch = pages_per_call * PAGE,
			};
			play(&rows[nr]);
		}
	}
	(json ? print_json : print_table)(rows, nr, clock_counts_instructions());
	if (fflush(stdout))
		err(FAILED, "can't write the table");
	return 0;
}
