// SPDX-License-Identifier: GPL-2.0
/*
 * A concurrent compacting collector at work: one process for each run, so that no
 * run leaves anything to the next one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gc.h"
#include "backend.h"
#include "compact.h"
#include "cycle.h"
#include "delivery.h"
#include "disturb.h"
#include "graph.h"
#include "heap.h"
#include "mark.h"
#include "meters.h"
#include "mutator.h"
#include "options.h"
#include "plan.h"
#include "pool.h"
#include "report.h"
#include "safepoint.h"
#include "selfcheck.h"
#include "shadow.h"

#define ENGINE_FILE	"/sys/kernel/debug/anon_move/engine"
#define THP		"/sys/kernel/mm/transparent_hugepage/"
#define MAP_COUNT	"/proc/sys/vm/max_map_count"

const struct backend *backend;

static noreturn void end_with(int status, const char *format, va_list args)
{
	char text[200];

	vsnprintf(text, sizeof(text), format, args);
	if (result) {
		result->status = status;
		memcpy(result->failed, text, sizeof(text));
		fprintf(stderr, "gc_compaction: %s: %s\n", result->row, text);
	} else {
		fprintf(stderr, "gc_compaction: %s\n", text);
	}
	_exit(status);
}

/**
 * fail() - the heap, or what the kernel says, is wrong; ends the process
 * @format: as for printf(), without a newline
 */
void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	end_with(FAILED, format, args);
}

/**
 * cannot() - this machine or so small a heap don't allow it; ends the process
 * @format: as for printf(), without a newline
 */
void cannot(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	end_with(CANNOT, format, args);
}

/**
 * misused() - the options are not right; ends the process
 * @format: as for printf(), without a newline
 */
void misused(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	end_with(MISUSED, format, args);
}

/**
 * near_wall() - a backend can't do what it should, and helps itself
 * @text: what it is that it can't
 */
void near_wall(const char *text)
{
	static bool told;

	if (__atomic_exchange_n(&told, true, __ATOMIC_RELAXED))
		return;
	snprintf(result->wall, sizeof(result->wall), "%s", text);
	fprintf(stderr, "gc_compaction: %s: wall: %s\n", result->row, text);
}

/**
 * hit_wall() - a backend can't go on, and that is its result; mutators stand still
 * @format: as for printf(), without a newline
 */
void hit_wall(const char *format, ...)
{
	size_t len = strlen(result->wall);
	va_list args;

	if (len)
		len += snprintf(result->wall + len, sizeof(result->wall) - len, "; ");
	va_start(args, format);
	vsnprintf(result->wall + len, sizeof(result->wall) - len, format, args);
	va_end(args);
	fprintf(stderr, "gc_compaction: %s: wall: %s\n", result->row, result->wall);
	meters_finish();
	_exit(0);
}

static void choose_delivery(void)
{
	/* Where there is one only, nobody chooses. */
	if (!(backend->deliveries & (backend->deliveries - 1)))
		options.delivery = __builtin_ctz(backend->deliveries);
	if (!(backend->deliveries & _BITUL(options.delivery)))
		misused("backend %s has no delivery '%s'", backend->name,
			delivery_names[options.delivery]);
}

static void check_huge(void)
{
	static const char *const files[] = {
		[HUGE_THP] = THP "enabled", [HUGE_MTHP] = THP "hugepages-64kB/enabled",
	};
	char text[64] = "";
	FILE *file;

	if (options.huge == HUGE_NEVER)
		return;
	if (options.delivery == DELIVERY_STOPPED)
		misused("--huge: a stopped heap has gaps, which huge pages fill with zeroes");
	file = fopen(files[options.huge], "re");
	if (!file || !fgets(text, sizeof(text), file))
		cannot("--huge: no %s in this kernel", files[options.huge]);
	fclose(file);
	if (strstr(text, "[never]"))
		cannot("--huge: write madvise to %s first", files[options.huge]);
}

/* The limit is the machine's, so it is not lowered but approached. */
static void use_up_vmas(void)
{
	long spare = options.spare_vmas, nr = read_number(MAP_COUNT, "") - vma_count() - spare, i;
	char *area;

	if (!spare || nr <= 1)
		return;
	area = mmap(NULL, nr * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		cannot("no room for %ld VMAs", nr);
	for (i = 1; i < nr; i += 2)
		if (mprotect(area + i * PAGE, PAGE, PROT_READ))
			cannot("can't make %ld VMAs: %s", nr, strerror(errno));
}

static void make_heap(void)
{
	heap_tables(options.mib * MIB / PAGE);
	shadow_tables();
	mark_tables();
	plan_tables();
	pool_tables();
	compact_tables();
	mutators_init();
	backend->map();
}

/* Until so much has been allocated, or until there is hardly any room. */
static void wait_for_garbage(void)
{
	size_t until = load_relaxed(&graph.allocated) + heap.pages * PAGE / 100 * options.churn;
	uint64_t refused = 0, now = 0;
	unsigned int i;

	for (i = 0; i < options.mutators; i++)
		refused += load_relaxed(&mutators[i].refused);
	while (load_relaxed(&graph.allocated) < until && now <= refused) {
		usleep(5000);
		if (free_regions() < heap.nr_regions / 16 + options.mutators)
			return;
		for (i = 0, now = 0; i < options.mutators; i++)
			now += load_relaxed(&mutators[i].refused);
	}
}

static void collect(void)
{
	const char *trouble;
	unsigned int nr;

	for (nr = 0; nr < options.cycles; nr++) {
		wait_for_garbage();
		run_cycle(nr);
		stop_mutators();
		trouble = shadow_check();
		if (trouble)
			fail("cycle %u: %s", nr + 1, trouble);
		if (nr + 1 == options.cycles)
			break;
		resume_mutators();
		fprintf(stderr, ">> %s: cycle %u of %u: %zu live objects, all right\n",
			result->row, nr + 1, options.cycles, shadow_live());
	}
}

static void check_engine(const struct run *run, long long moved)
{
	bool ours = run->engine && !strcmp(run->engine, "anon_move");

	if (!run->engine || run->backend != &backend_move)
		return;
	moved = engine_count(MOVED_ANYHOW) - moved;
	if (ours ? moved < (long long)produced_pages / 2 : moved != 0)
		fail("engine %s was chosen, and anon_move says it moved %lld pages of %lu",
		     run->engine, moved, produced_pages);
}

static int run_one(const struct run *run)
{
	long long moved = engine_count(MOVED_ANYHOW);
	int status = 0;

	backend = run->backend;
	choose_delivery();
	snprintf(result->delivery, sizeof(result->delivery), "%s",
		 delivery_names[options.delivery]);
	check_huge();
	if (run->engine && write_text(ENGINE_FILE, run->engine))
		cannot(ENGINE_FILE " does not take '%s': be root on a kernel of 'make kernel'",
		       run->engine);
	make_heap();
	meters_open();
	delivery_start();
	gc_threads_start();
	graph_build();
	mutators_start();
	disturb_start();
	use_up_vmas();
	collect();
	meters_finish();
	if (options.self_check)
		status = self_check();
	check_engine(run, moved);
	resume_mutators();
	disturb_end();
	mutators_end();
	gc_threads_end();
	delivery_end();
	fflush(stdout);
	return status;
}

static void name_run(const struct run *run)
{
	if (run->engine)
		snprintf(result->row, sizeof(result->row), "%s %s", run->backend->name,
			 run->engine);
	else
		snprintf(result->row, sizeof(result->row), "%s", run->backend->name);
}

/* A process of its own; what it dies of is its result. */
static void run_apart(const struct run *run)
{
	int status;
	pid_t pid;

	name_run(run);
	fprintf(stderr, ">> %s: %zu MiB, %u mutators, %u GC threads\n", result->row, options.mib,
		options.mutators, options.gc_threads);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(run_one(run));
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		cannot("can't fork: %s", strerror(errno));
	if (WIFSIGNALED(status)) {
		snprintf(result->failed, sizeof(result->failed), "died of signal %d",
			 WTERMSIG(status));
		fprintf(stderr, "gc_compaction: %s: %s\n", result->row, result->failed);
		result->status = FAILED;
	} else {
		result->status = WEXITSTATUS(status);
	}
}

static int report(const struct result *results)
{
	int status = 0;
	unsigned int i;

	if (!options.self_check) {
		if (!strcmp(options.format, "json"))
			report_json(stdout, results, nr_runs);
		else if (!strcmp(options.format, "csv"))
			report_csv(stdout, results, nr_runs);
		else
			report_table(results, nr_runs);
	}
	if (options.output)
		report_files(options.output, results, nr_runs);
	for (i = 0; i < nr_runs; i++)
		if (results[i].status == FAILED || !status)
			status = results[i].status;
	return status;
}

int main(int argc, char **argv)
{
	char engine[32] = "";
	struct result *results;
	unsigned int i;
	FILE *file;

	parse_options(argc, argv);
	choose_runs();
	results = mmap(NULL, RUNS_MAX * sizeof(*results), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED)
		cannot("no memory");
	file = fopen(ENGINE_FILE, "re");
	if (file && fscanf(file, "%31s", engine) != 1)
		*engine = '\0';
	for (i = 0; i < nr_runs; i++) {
		result = &results[i];
		run_apart(&runs[i]);
	}
	/* The machine goes on after this program: it is left as it was found. */
	if (*engine)
		write_text(ENGINE_FILE, engine);
	result = NULL;
	return report(results);
}
