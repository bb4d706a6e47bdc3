// SPDX-License-Identifier: GPL-2.0
/*
 * Stress with a model: random moves of pages of every kind while others fork,
 * unmap, page out, collapse, migrate, pin and move the same pages. Several lanes
 * of rounds run side by side in one process; the first that the model objects to
 * ends all, and is then run again with less and less.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stress.h"

#define KHUGEPAGED	"/sys/kernel/mm/transparent_hugepage/khugepaged/"
#define PROGRESS	60	/* seconds from line to line */
#define HANGS		PATIENCE
#define UNMADE_TRIES	8

/* How often each encounter comes at most until each cell has been hit. */
#define DEALS		3

static struct {
	__u64 seed;
	unsigned int seconds;
	unsigned int rounds;
	unsigned int lanes;
	unsigned int tries;
	bool replay;
	unsigned int number;
	struct limits limits;
	bool all_cells;
	bool self_check;
	bool verbose;
} options = { .lanes = 6, .tries = 30 };

/* In place of the time since when a lane is at work: a guest without a clock begins at 0. */
#define IDLE		((time_t)-1)

struct lane {
	pthread_t thread;
	struct arena *arena;
	time_t since;
	struct plan plan;
	struct verdict verdict;
	unsigned int unmade;	/* a round that could not be made */
	unsigned int tries;	/* left, to make it */
	bool again;		/* it is tried now */
};

static struct lane lanes[LANES_MAX];
static unsigned int next_round;
static unsigned int deal;	/* rounds in which each encounter comes once */
static struct lane *failed;

static const char usage[] =
	"usage: anon_move_stress [OPTION...]\n"
	"  --seed N              other rounds (1)\n"
	"  --seconds N           for how long (60, if there is no --rounds)\n"
	"  --rounds N            how many\n"
	"  --lanes N             so many side by side (6)\n"
	"  --all-cells           fail unless each cell of the matrix was hit, if need be beyond --seconds\n"
	"  --verbose             name each round as it begins\n"
	"  --replay SEED:ROUND   that round alone, again and again, until it fails\n"
	"  --tries N             how often (30)\n"
	"  --without RIVAL       without one of its rivals\n"
	"  --pages N             with fewer pages\n"
	"  --self-check          plant errors that the model has to find\n";

static void reject(const char *text, const char *advice)
{
	fprintf(stderr, "anon_move_stress: '%s': %s\n", text, advice);
	exit(2);
}

static __u64 number_of(const char *text, __u64 most)
{
	char *end;
	__u64 number;

	errno = 0;
	number = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-' || number > most)
		reject(text, "give a smaller number, or a number at all; see --help");
	return number;
}

static void parse_replay(char *text)
{
	char *colon = strchr(text, ':');

	if (!colon)
		reject(text, "give seed and round as a failed run prints them, like 1:42");
	*colon = '\0';
	options.seed = number_of(text, ~0ULL);
	options.number = number_of(colon + 1, ~0U);
	options.replay = true;
}

static void parse_without(const char *name)
{
	int rival = find_rival(name);

	if (rival < 0)
		reject(name, "is no rival; take the name of a column of the table");
	options.limits.without |= BIT(rival);
}

static void take_option(int option, char *text)
{
	switch (option) {
	case 's':
		options.seed = number_of(text, ~0ULL);
		break;
	case 'S':
		options.seconds = number_of(text, 1000000);
		break;
	case 'r':
		options.rounds = number_of(text, 100000000);
		break;
	case 'l':
		options.lanes = number_of(text, LANES_MAX);
		break;
	case 't':
		options.tries = number_of(text, 1000000);
		break;
	case 'R':
		parse_replay(text);
		break;
	case 'w':
		parse_without(text);
		break;
	case 'p':
		options.limits.pages = number_of(text, GIB_PAGES);
		break;
	case 'a':
		options.all_cells = true;
		break;
	case 'x':
		options.self_check = true;
		break;
	case 'v':
		options.verbose = true;
		break;
	case 'h':
		fputs(usage, stdout);
		exit(0);
	default:
		exit(2);
	}
}

static void parse_options(int argc, char **argv)
{
	static const struct option names[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "seconds", required_argument, NULL, 'S' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "lanes", required_argument, NULL, 'l' },
		{ "tries", required_argument, NULL, 't' },
		{ "replay", required_argument, NULL, 'R' },
		{ "without", required_argument, NULL, 'w' },
		{ "pages", required_argument, NULL, 'p' },
		{ "all-cells", no_argument, NULL, 'a' },
		{ "self-check", no_argument, NULL, 'x' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ },
	};
	int option;

	options.seed = 1;
	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1)
		take_option(option, optarg);
	if (optind < argc)
		reject(argv[optind], "is no option; see --help");
	if (!options.lanes || !options.tries)
		reject("0", "is no number of lanes or tries; see --help");
	if (!options.seconds && !options.rounds)
		options.seconds = 60;
}

/* What the kinds need of the machine, and what would make rounds depend on each other. */
static void settle_machine(void)
{
	static const char * const settings[][2] = {
		{ "/sys/kernel/mm/transparent_hugepage/enabled", "madvise" },
		/* khugepaged fills no gap with zeroes, and makes no copy of a shared page. */
		{ KHUGEPAGED "max_ptes_none", "0" },
		{ KHUGEPAGED "max_ptes_shared", "0" },
		/* Threads inherit the first of these as the time between scans. */
		{ NUMA_SCAN "scan_delay_ms", "1" },
		{ NUMA_SCAN "scan_period_min_ms", "100" },
		{ "/sys/kernel/mm/ksm/sleep_millisecs", "5" },
		{ "/sys/kernel/mm/ksm/pages_to_scan", "4000" },
		{ "/sys/kernel/mm/ksm/run", "1" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(settings); i++)
		if (!access(settings[i][0], W_OK))
			write_text(settings[i][0], settings[i][1]);
}

static void open_lanes(void)
{
	unsigned int i;

	for (i = 0; i < options.lanes; i++) {
		lanes[i].arena = arena_new(i);
		if (!lanes[i].arena)
			ksft_exit_fail_msg("no memory\n");
	}
}

static void name_round(const struct plan *p, const char *what)
{
	char name[240];

	name_plan(p, name);
	ksft_print_msg("%s %llu:%u: %s\n", what, p->seed, p->number, name);
}

/* A round that could not be made is tried again at once, and then after each other one. */
static unsigned int next_number(struct lane *l)
{
	l->again = l->tries && !l->again;
	return l->again ? l->unmade : __atomic_fetch_add(&next_round, 1, __ATOMIC_RELAXED);
}

/* What a busy machine does not let us make comes out in a while. No cell is missed for it. */
static void remember_unmade(struct lane *l)
{
	if (l->again) {
		l->tries = l->verdict.made ? 0 : l->tries - 1;
	} else if (!l->verdict.made && !l->tries) {
		l->unmade = l->plan.number;
		l->tries = UNMADE_TRIES;
	}
}

static void *run_lane(void *arg)
{
	struct lane *l = arg, *none = NULL;
	unsigned int number;

	while (!__atomic_load_n(&failed, __ATOMIC_RELAXED)) {
		number = next_number(l);
		if (options.rounds && number >= options.rounds)
			break;
		plan_round(&l->plan, options.seed, number, &options.limits);
		__atomic_store_n(&l->since, time(NULL), __ATOMIC_RELEASE);
		if (options.verbose)
			name_round(&l->plan, "round");
		run_round(l->arena, &l->plan, &l->verdict);
		count_round(&l->plan, &l->verdict);
		remember_unmade(l);
		if (*l->verdict.trouble)
			__atomic_compare_exchange_n(&failed, &none, l, false, __ATOMIC_RELEASE,
						    __ATOMIC_RELAXED);
	}
	__atomic_store_n(&l->since, IDLE, __ATOMIC_RELEASE);
	return NULL;
}

/* Returns whether any lane is at work; a round that never ends is the end of all. */
static bool at_work(time_t now)
{
	bool any = false;
	unsigned int i;

	for (i = 0; i < options.lanes; i++) {
		time_t since = __atomic_load_n(&lanes[i].since, __ATOMIC_ACQUIRE);

		if (since == IDLE)
			continue;
		any = true;
		if (now < since + HANGS)
			continue;
		name_round(&lanes[i].plan, "hangs:");
		ksft_exit_fail_msg("a round takes more than %d s\n", HANGS);
	}
	return any;
}

/* Is the time over? What a busy machine takes longer for gets longer. */
static bool over(time_t now, time_t start)
{
	if (!options.seconds || now < start + options.seconds)
		return false;
	return !options.all_cells || !cells_missed() ||
	       __atomic_load_n(&next_round, __ATOMIC_RELAXED) >= DEALS * deal;
}

static void watch_lanes(void)
{
	time_t start = time(NULL), now = start, said = start;

	while (at_work(now)) {
		sleep(1);
		now = time(NULL);
		/* Rounds that run are ended, no other one begins. */
		if (over(now, start))
			__atomic_store_n(&options.rounds, 1, __ATOMIC_RELAXED);
		if (now >= said + PROGRESS) {
			said = now;
			report_progress();
		}
	}
}

static void stress(void)
{
	unsigned int i;

	for (i = 0; i < options.lanes; i++) {
		lanes[i].since = time(NULL);
		if (pthread_create(&lanes[i].thread, NULL, run_lane, &lanes[i]))
			ksft_exit_fail_msg("no more threads\n");
	}
	watch_lanes();
	for (i = 0; i < options.lanes; i++)
		pthread_join(lanes[i].thread, NULL);
	if (failed) {
		name_round(&failed->plan, "failed:");
		ksft_print_msg("%s\n", failed->verdict.trouble);
		minimise(lanes[0].arena, options.seed, failed->plan.number);
	}
	report_cells(options.all_cells);
	tap_result(!failed, "the model holds%s%s", failed ? ": " : "",
		   failed ? failed->verdict.trouble : "");
}

static void replay(void)
{
	struct verdict v;
	struct plan p;

	plan_round(&p, options.seed, options.number, &options.limits);
	tap_begin(1);
	name_round(&p, "again:");
	if (fails_within(lanes[0].arena, &p, options.tries, &v))
		tap_result(false, "the model holds: %s", v.trouble);
	else
		tap_result(v.made, "the model holds");
}

int main(int argc, char **argv)
{
	const char *missing = move_missing();

	parse_options(argc, argv);
	missing = missing ? missing : base_serves();
	if (missing)
		ksft_exit_skip("%s\n", missing);
	setvbuf(stdout, NULL, _IOLBF, 0);
	settle_machine();
	deal = plan_cells(options.seed);
	open_lanes();
	catch_sigbus();
	catch_sigsegv();
	if (options.self_check) {
		self_check(lanes[0].arena);
	} else if (options.replay) {
		replay();
	} else {
		tap_begin(report_tests() + 1);
		ksft_print_msg("anon_move_stress --seed %llu --lanes %u\n", options.seed,
			       options.lanes);
		stress();
	}
	tap_end();
}
