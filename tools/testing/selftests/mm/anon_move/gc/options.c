// SPDX-License-Identifier: GPL-2.0
/*
 * Options: what is to be run, and how.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gc.h"
#include "backend.h"
#include "options.h"

static const char usage[] =
"usage: gc_compaction [OPTION...]\n"
"Collects garbage in a heap while its mutators run, checks every byte after each\n"
"cycle, and tells what it cost.\n"
"\n"
"  --backend LIST       how pages get to their places: move, vector, onlypages,\n"
"                       copy, continue, sigsegv, mremap, or all of these (move); or\n"
"                       relocate, as mremap but with MREMAP_RELOCATE_ANON\n"
"  --delivery NAME      how faults come: thread, sigbus, uring; or stopped: none do, as\n"
"                       mutators wait until all pages are there, for onlypages and\n"
"                       mremap (sigbus); backend sigsegv has its own, and relocate is\n"
"                       stopped\n"
"  --engine LIST        for move: anon_move, base, both, on a kernel that has both; or\n"
"                       current, whatever serves UFFDIO_MOVE now (current)\n"
"  --mib N              the heap's size (64)\n"
"  --cycles N           how often to collect (3)\n"
"  --mutators N         1 to 8 (2)\n"
"  --gc-threads N       1 to 8 (1)\n"
"  --seed N             of all that is random (1)\n"
"  --regions LIST       kinds of regions in the beginning, each as KIND:PERCENT OF\n"
"                       THE HEAP:PERCENT LIVE (fragmented:45:30,dense:20:95,noscan:15:75)\n"
"  --churn PERCENT      of the heap: what is allocated between two cycles (15)\n"
"  --huge thp|mthp      back the heap with folios of 2 MiB or 64 KiB\n"
"  --disturb LIST       fork, pin, pageout (of anything at any time), cold (leaves are\n"
"                       swapped out before each cycle)\n"
"  --spare-vmas N       leave room for so many more VMAs only\n"
"  --warm               mutators read leaves, too\n"
"  --icount             the clock counts instructions, as in a guest of qemu -icount\n"
"  --format NAME        of standard output: table, json, csv (table)\n"
"  --output DIRECTORY   write gc.json, gc.csv, stalls.csv and work.csv there, too\n"
"  --self-check         break the heap on purpose: does the checker notice?\n"
"  --help               this text\n"
"\n"
"Exit status: 0, also when a backend has met its wall; 1 when the heap was wrong;\n"
"2 when the options are not right; 4 when this machine can't do it.\n";

const char *const delivery_names[DELIVERIES] = {
	[DELIVERY_THREAD] = "thread", [DELIVERY_SIGBUS] = "sigbus", [DELIVERY_URING] = "uring",
	[DELIVERY_SIGSEGV] = "sigsegv", [DELIVERY_STOPPED] = "stopped",
};

static const struct backend *const backends[] = {
	&backend_move, &backend_vector, &backend_onlypages, &backend_copy, &backend_continue,
	&backend_sigsegv, &backend_mremap, &backend_relocate,
};

#define BACKENDS	(sizeof(backends) / sizeof(*backends))

struct options options = {
	.mib = 64, .cycles = 3, .mutators = 2, .gc_threads = 1, .seed = 1,
	.delivery = DELIVERY_SIGBUS, .churn = 15, .format = "table",
	.share = { .fragmented = 45, .dense = 20, .noscan = 15, .live = { 30, 95, 75 } },
};

struct run runs[RUNS_MAX];
unsigned int nr_runs;

static const char *backend_list = "move", *engine_list = "current";

static unsigned long parse_number(const char *text, unsigned long least, unsigned long most)
{
	char *rest;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &rest, 10);
	if (errno || *rest || *text < '0' || *text > '9' || value < least || value > most)
		misused("'%s' is no whole number from %lu to %lu", text, least, most);
	return value;
}

static unsigned int name_of(const char *text, const char *const *names, unsigned int nr,
			    const char *option)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (!strcmp(text, names[i]))
			return i;
	misused("%s does not take '%s'; see --help", option, text);
}

static void parse_disturb(char *list)
{
	static const char *const names[] = { "fork", "pin", "pageout", "cold" };
	char *name;

	while ((name = strsep(&list, ",")))
		options.disturb |= _BITUL(0) << name_of(name, names, 4, "--disturb");
}

static void parse_regions(char *list)
{
	static const char *const names[] = { "fragmented", "dense", "noscan" };
	unsigned int *shares[] = {
		&options.share.fragmented, &options.share.dense, &options.share.noscan
	};
	unsigned int kind, all;
	char *item, *name;

	options.share = (struct share){ .live = { 100, 100, 100 } };
	while ((item = strsep(&list, ","))) {
		name = strsep(&item, ":");
		kind = name_of(name, names, 3, "--regions");
		name = strsep(&item, ":");
		if (!name || !item)
			misused("--regions takes KIND:PERCENT:PERCENT, with commas between them");
		*shares[kind] = parse_number(name, 0, 90);
		options.share.live[kind] = parse_number(item, 1, 100);
	}
	all = options.share.fragmented + options.share.dense + options.share.noscan;
	if (!all || all > 90)
		misused("--regions: the shares are to be 1 to 90 percent together, not %u", all);
}

static void parse_huge(const char *text)
{
	static const char *const names[] = { "never", "thp", "mthp" };

	options.huge = name_of(text, names, 3, "--huge");
}

static void parse_format(const char *text)
{
	static const char *const names[] = { "table", "json", "csv" };

	options.format = names[name_of(text, names, 3, "--format")];
}

static const struct option known[] = {
	{ "backend", required_argument, NULL, 'b' }, { "delivery", required_argument, NULL, 'd' },
	{ "engine", required_argument, NULL, 'e' }, { "mib", required_argument, NULL, 'm' },
	{ "cycles", required_argument, NULL, 'c' }, { "mutators", required_argument, NULL, 'u' },
	{ "gc-threads", required_argument, NULL, 'g' }, { "seed", required_argument, NULL, 's' },
	{ "regions", required_argument, NULL, 'r' }, { "churn", required_argument, NULL, 'n' },
	{ "huge", required_argument, NULL, 'H' }, { "disturb", required_argument, NULL, 'x' },
	{ "spare-vmas", required_argument, NULL, 'v' }, { "warm", no_argument, NULL, 'w' },
	{ "icount", no_argument, NULL, 'i' },
	{ "format", required_argument, NULL, 'f' }, { "output", required_argument, NULL, 'o' },
	{ "self-check", no_argument, NULL, 'C' }, { "help", no_argument, NULL, 'h' },
	{ }
};

static void take_number(int option, const char *text)
{
	switch (option) {
	case 'm':
		options.mib = parse_number(text, 16, 16384);
		break;
	case 'c':
		options.cycles = parse_number(text, 1, 1000000);
		break;
	case 'u':
		options.mutators = parse_number(text, 1, MUTATORS_MAX);
		break;
	case 'g':
		options.gc_threads = parse_number(text, 1, GC_THREADS_MAX);
		break;
	case 's':
		options.seed = parse_number(text, 0, UINT32_MAX);
		break;
	case 'v':
		options.spare_vmas = parse_number(text, 50, 1000000);
		break;
	default:
		options.churn = parse_number(text, 0, 50);
	}
}

static void take_word(int option, char *text)
{
	switch (option) {
	case 'b':
		backend_list = text;
		break;
	case 'd':
		options.delivery = name_of(text, delivery_names, DELIVERIES, "--delivery");
		break;
	case 'e':
		engine_list = text;
		break;
	case 'r':
		parse_regions(text);
		break;
	case 'H':
		parse_huge(text);
		break;
	case 'x':
		parse_disturb(text);
		break;
	case 'f':
		parse_format(text);
		break;
	default:
		options.output = text;
	}
}

/**
 * parse_options() - read the command line; ends the process where it is wrong
 * @argc: of main()
 * @argv: of main()
 */
void parse_options(int argc, char **argv)
{
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'h') {
			fputs(usage, stdout);
			exit(0);
		} else if (option == 'w') {
			options.warm = true;
		} else if (option == 'i') {
			options.icount = true;
		} else if (option == 'C') {
			options.self_check = true;
		} else if (option == '?' || option == ':') {
			misused("'%s' is not right; see --help", argv[optind - 1]);
		} else if (strchr("mcugsnv", option)) {
			take_number(option, optarg);
		} else {
			take_word(option, optarg);
		}
	}
	if (optind < argc)
		misused("'%s' is not an option; see --help", argv[optind]);
}

static void add_run(const struct backend *which, const char *engine)
{
	if (nr_runs == RUNS_MAX)
		misused("more than %u runs", RUNS_MAX);
	runs[nr_runs++] = (struct run){ .backend = which, .engine = engine };
}

static void add_move_runs(void)
{
	static const char *const names[] = { "anon_move", "base", "current" };
	char *list = strdup(engine_list), *name;
	unsigned int nr;

	if (!strcmp(engine_list, "both"))
		list = strdup("anon_move,base");
	while ((name = strsep(&list, ","))) {
		nr = name_of(name, names, 3, "--engine");
		add_run(&backend_move, nr == 2 ? NULL : names[nr]);
	}
}

/**
 * choose_runs() - make the list of runs that the options ask for
 */
void choose_runs(void)
{
	static const char everything[] = "move,vector,onlypages,copy,continue,sigsegv,mremap";
	const char *names[BACKENDS];
	char *list, *name;
	unsigned int i;

	for (i = 0; i < BACKENDS; i++)
		names[i] = backends[i]->name;
	list = strdup(strcmp(backend_list, "all") ? backend_list : everything);
	while ((name = strsep(&list, ","))) {
		i = name_of(name, names, BACKENDS, "--backend");
		if (i == 0)
			add_move_runs();
		else
			add_run(backends[i], NULL);
	}
}
