// SPDX-License-Identifier: GPL-2.0
/*
 * Differential test: random UFFDIO_MOVE calls must come out the same on both engines, random
 * mremap() calls with MREMAP_RELOCATE_ANON and without, and random vectors of ranges by
 * UFFDIO_MOVEV and by a UFFDIO_MOVE for each.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/userfaultfd.h>

#include "differential.h"

#define ENGINE_FILE	"/sys/kernel/debug/anon_move/engine"
#define STATS_FILE	"/sys/kernel/debug/anon_move/stats"
#define BLOCK_CALLS	100	/* on one engine before the other: switching patches the kernel */
#define CALL_SECONDS	20	/* a call still in the kernel after that hangs */
#define ENOUGH_CALLS	2000	/* that must show every intended difference and kind */

enum engine { BASE, OURS };

static struct {
	__u64 seed;
	unsigned int first;
	unsigned int calls;
	bool only;
	bool self;
	enum door door;
} options = { .seed = 1, .calls = 3000 };

static const struct {
	const char *option;
	const char *counter;	/* of the engine's, which tells whether it did what it is for */
	int results;		/* that are just this one's */
} doors[] = {
	[BY_MOVE]	= { "" },
	[BY_MREMAP]	= { " --mremap", "relocate_done", 1 },
	[BY_VECTOR]	= { " --vector", "flushes", 2 },
};

static unsigned long counted[2];	/* by enum engine */
static unsigned int verdicts[NOT_COMPARABLE + 1];
static struct outcome *outcomes[2];	/* by enum engine: of the calls of one block */
static int foreign_fd;

static void die(const char *what, const char *advice)
{
	fprintf(stderr, "differential: %s: %s; %s\n", what, strerror(errno), advice);
	exit(2);
}

static void write_file(const char *path, const char *text, const char *advice)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(path, advice);
	close(fd);
}

static void choose_engine(enum engine engine)
{
	if (!options.self && options.door == BY_MOVE)
		write_file(ENGINE_FILE, engine == OURS ? "anon_move" : "base",
			   "run it on a kernel with CONFIG_ANON_MOVE_COMPARE, or with --self");
}

static void need_swap(void)
{
	char line[256];
	FILE *swaps = fopen("/proc/swaps", "r");
	int lines = 0;

	while (swaps && fgets(line, sizeof(line), swaps))
		lines++;
	if (swaps)
		fclose(swaps);
	errno = ENODEV;
	if (lines < 2)
		die("swap", "start the guest with --swap 512M");
}

/* The same memory twice needs a kernel that does nothing on its own account. */
static void settle_machine(void)
{
	static const char mm[] = "/sys/kernel/mm/transparent_hugepage/";
	static const char *const settings[][2] = {
		{ "enabled", "madvise" },
		{ "hugepages-2048kB/enabled", "inherit" },
		{ "hugepages-64kB/enabled", "madvise" },
		{ "use_zero_page", "1" },
		{ "khugepaged/scan_sleep_millisecs", "4000000000" },
	};
	char path[128];
	cpu_set_t one;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(settings); i++) {
		snprintf(path, sizeof(path), "%s%s", mm, settings[i][0]);
		write_file(path, settings[i][1], "run it as root in a guest with huge pages");
	}
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		die("sched_setaffinity", "CPU 0 must be there");
}

static void open_foreign_uffd(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_MOVE };

	foreign_fd = syscall(__NR_userfaultfd, O_CLOEXEC);
	if (foreign_fd < 0 || ioctl(foreign_fd, UFFDIO_API, &api))
		die("userfaultfd", "the kernel must have UFFDIO_MOVE");
}

static void plan_this(struct plan *plan, unsigned int number)
{
	plan->door = options.door;
	plan->seed = options.seed;
	plan_call(plan, number);
}

static void run_call(unsigned int number, enum engine engine, struct outcome *out)
{
	static struct plan plan;
	int status;
	pid_t pid;

	memset(out, 0, sizeof(*out));
	plan_this(&plan, number);
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork", "is memory short?");
	if (!pid) {
		alarm(CALL_SECONDS);
		run_plan(&plan, out, foreign_fd, engine == OURS && !options.self);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		fprintf(stderr, "differential: call %u: %s\n", number,
			WTERMSIG(status) == SIGALRM ? "hangs" : strsignal(WTERMSIG(status)));
}

static unsigned long read_counter(void)
{
	const char *counter = doors[options.door].counter;
	FILE *stats = counter ? fopen(STATS_FILE, "r") : NULL;
	unsigned long value, found = 0;
	char key[64];

	if (!counter)
		return 0;
	if (!stats)
		die(STATS_FILE, "run it on a kernel with CONFIG_ANON_MOVE_STATS");
	while (fscanf(stats, "%63s %lu", key, &value) == 2)
		if (!strcmp(key, counter))
			found = value;
	fclose(stats);
	return found;
}

static void run_block(unsigned int first, unsigned int count)
{
	enum engine engine;
	unsigned int i;

	for (engine = BASE; engine <= OURS; engine++) {
		choose_engine(engine);
		counted[engine] -= read_counter();
		for (i = 0; i < count; i++)
			run_call(first + i, engine, &outcomes[engine][i]);
		counted[engine] += read_counter();
	}
}

/* Returns whether nothing in the block differs. */
static bool judge_block(unsigned int first, unsigned int count)
{
	static struct plan plan;
	bool good = true;
	unsigned int i;

	for (i = 0; i < count; i++) {
		const struct outcome *base = &outcomes[BASE][i], *ours = &outcomes[OURS][i];
		enum verdict verdict;

		plan_this(&plan, first + i);
		verdict = compare_outcomes(&plan, base, ours);
		verdicts[verdict]++;
		good = good && verdict != DIFFERENT;
		if (verdict == DIFFERENT || options.only) {
			print_plan(&plan);
			explain_outcomes(&plan, base, ours);
			printf("#   again: differential%s --seed %llu --only %u\n",
			       doors[options.door].option, options.seed, first + i);
		}
	}
	return good;
}

static unsigned int run_blocks(unsigned int *test)
{
	unsigned int first, count, failed = 0, end = options.first + options.calls;

	for (first = options.first; first < end; first += count) {
		bool good;

		count = end - first < BLOCK_CALLS ? end - first : BLOCK_CALLS;
		run_block(first, count);
		good = judge_block(first, count);
		failed += !good;
		printf("%sok %u - calls %u to %u\n", good ? "" : "not ", (*test)++, first,
		       first + count - 1);
		fflush(stdout);
	}
	return failed;
}

static bool report_comparable(unsigned int test)
{
	bool good = verdicts[NOT_COMPARABLE] * 50 <= options.calls;

	printf("# %u alike, %u with intended differences, %u different, %u not comparable\n",
	       verdicts[ALIKE], verdicts[INTENDED], verdicts[DIFFERENT], verdicts[NOT_COMPARABLE]);
	printf("%sok %u - at most 2 %% of the calls met memory that could not be made alike\n",
	       good ? "" : "not ", test);
	return good;
}

static bool report_relocated(unsigned int test)
{
	bool good = counted[OURS] * 10 >= options.calls;

	printf("%sok %u - at least a tenth of the calls relocated: %lu\n", good ? "" : "not ", test,
	       counted[OURS]);
	return good;
}

static bool report_flushes(unsigned int test)
{
	bool good = counted[OURS] < counted[BASE];

	printf("%sok %u - one call for all ranges takes fewer TLB flushes: %lu, of %lu\n",
	       good ? "" : "not ", test, counted[OURS], counted[BASE]);
	return good;
}

static const char usage[] =
	"usage: differential [--seed N] [--calls N] [--only CALL] [--self] [--mremap | --vector]\n"
	"  --seed N     another sequence of calls (1)\n"
	"  --calls N    how many (3000)\n"
	"  --only CALL  just that one of the sequence, and tell all about it\n"
	"  --self       the engine in use against itself: is the test repeatable?\n"
	"  --mremap     mremap(), by itself and with MREMAP_RELOCATE_ANON, not UFFDIO_MOVE\n"
	"  --vector     UFFDIO_MOVE of many ranges, one by one and by a UFFDIO_MOVEV\n";

static unsigned int number_of(const char *text)
{
	char *end;
	unsigned long number;

	errno = 0;
	number = strtoul(text, &end, 0);
	if (errno || end == text || *end || number > 1000000000) {
		fprintf(stderr, "differential: '%s' is no number; see --help\n", text);
		exit(2);
	}
	return number;
}

static void parse_options(int argc, char **argv)
{
	static const struct option names[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "calls", required_argument, NULL, 'c' },
		{ "only", required_argument, NULL, 'o' },
		{ "self", no_argument, NULL, 'x' },
		{ "mremap", no_argument, NULL, 'm' },
		{ "vector", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1)
		switch (option) {
		case 's':
			options.seed = number_of(optarg);
			break;
		case 'c':
			options.calls = number_of(optarg);
			break;
		case 'o':
			options.only = true;
			options.first = number_of(optarg);
			break;
		case 'x':
			options.self = true;
			break;
		case 'm':
			options.door = BY_MREMAP;
			break;
		case 'v':
			options.door = BY_VECTOR;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			exit(2);
		}
	if (options.only)
		options.calls = 1;
	if (optind < argc || !options.calls) {
		fprintf(stderr, "differential: nothing to do that way; see --help\n");
		exit(2);
	}
}

/* Of a sequence that is long enough, what it must have met. Returns how many tests failed. */
static unsigned int report_full(unsigned int test)
{
	unsigned int failed = report_intended(test, options.door);

	test += intended_rows(options.door);
	failed += report_kinds(test++, options.door);
	if (options.door == BY_MREMAP)
		failed += !report_relocated(test);
	if (options.door == BY_VECTOR)
		failed += !report_stops(test) + !report_flushes(test + 1);
	return failed;
}

int main(int argc, char **argv)
{
	size_t bytes = BLOCK_CALLS * sizeof(*outcomes[0]);
	unsigned int test = 1, blocks, failed, more = 0;

	parse_options(argc, argv);
	if (!options.self && options.calls >= ENOUGH_CALLS)
		more = intended_rows(options.door) + 1 + doors[options.door].results;
	need_swap();
	settle_machine();
	open_foreign_uffd();
	outcomes[BASE] = mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (outcomes[BASE] == MAP_FAILED)
		die("mmap", "is memory short?");
	outcomes[OURS] = outcomes[BASE] + BLOCK_CALLS;
	blocks = (options.calls + BLOCK_CALLS - 1) / BLOCK_CALLS;
	printf("TAP version 13\n1..%u\n", blocks + 1 + more);
	failed = run_blocks(&test);
	failed += !report_comparable(test++);
	if (more)
		failed += report_full(test);
	return failed ? 1 : 0;
}
