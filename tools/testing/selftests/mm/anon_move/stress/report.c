// SPDX-License-Identifier: GPL-2.0
/*
 * Which cells were hit, and how often: a table, and a TAP result for each kind,
 * geometry and rival.
 */
#include <stdarg.h>

#include "stress.h"

static struct {
	pthread_mutex_t lock;
	unsigned int hits[CELLS];
	unsigned long rounds;
	unsigned long unmade;
	unsigned long calls;
	unsigned long acts[RIVALS];
	unsigned long succeeded[RIVALS];
} total = { .lock = PTHREAD_MUTEX_INITIALIZER };

/**
 * tap_begin() - the head of the output
 * @results: how many there will be
 *
 * All results are given here: each file that included kselftest.h has counters of its own.
 */
void tap_begin(unsigned int results)
{
	ksft_print_header();
	ksft_set_plan(results);
}

/**
 * tap_result() - give a result
 * @good: is it?
 * @format: as for printf(), without a newline
 */
void tap_result(bool good, const char *format, ...)
{
	char text[400];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	ksft_test_result(good, "%s\n", text);
}

/**
 * tap_end() - the end of the output, and of the program
 */
void tap_end(void)
{
	ksft_finished();
}

/**
 * count_round() - add a round to the total
 * @p: the round
 * @v: what came of it
 *
 * A cell is hit if its pages were there, moves were tried, and its rival acted.
 */
void count_round(const struct plan *p, const struct verdict *v)
{
	int i;

	pthread_mutex_lock(&total.lock);
	total.rounds++;
	total.unmade += !v->made;
	total.calls += v->calls;
	for (i = 0; i < RIVALS; i++) {
		total.hits[cell_of(p->kind, p->geometry, i)] += v->made && v->calls && v->acts[i];
		total.acts[i] += v->acts[i];
		total.succeeded[i] += v->hits[i];
	}
	pthread_mutex_unlock(&total.lock);
}

/**
 * report_progress() - say how far it has got
 */
void report_progress(void)
{
	pthread_mutex_lock(&total.lock);
	ksft_print_msg("%lu rounds, %lu calls\n", total.rounds, total.calls);
	pthread_mutex_unlock(&total.lock);
}

/* Cells with this kind, geometry and rival, where -1 is any: why all are excluded, or NULL. */
static const char *sum(int kind, int geometry, int rival, unsigned int *hits, unsigned int *missed)
{
	const char *why = NULL, *excluded;
	unsigned int cell, possible = 0;

	*hits = 0;
	*missed = 0;
	for (cell = 0; cell < CELLS; cell++) {
		if ((kind >= 0 && cell / RIVALS / GEOMETRIES != (unsigned int)kind) ||
		    (geometry >= 0 && cell / RIVALS % GEOMETRIES != (unsigned int)geometry) ||
		    (rival >= 0 && cell % RIVALS != (unsigned int)rival))
			continue;
		excluded = cell_excluded(cell);
		why = why ? why : excluded;
		possible += !excluded;
		*hits += total.hits[cell];
		*missed += !excluded && !total.hits[cell];
	}
	return possible ? NULL : why;
}

/**
 * cells_missed() - is there a cell that was never hit, though it could be?
 *
 * Return: true if there is.
 */
bool cells_missed(void)
{
	unsigned int hits, missed;

	pthread_mutex_lock(&total.lock);
	sum(-1, -1, -1, &hits, &missed);
	pthread_mutex_unlock(&total.lock);
	return missed > 0;
}

/* A geometry in which there is nothing to hit is none. */
static bool exists(int geometry)
{
	unsigned int hits, missed;

	return !sum(-1, geometry, -1, &hits, &missed);
}

/**
 * report_tests() - how many results report_cells() gives
 *
 * Return: the number.
 */
unsigned int report_tests(void)
{
	unsigned int geometry, tests = STRESS_KINDS + RIVALS;

	for (geometry = 0; geometry < GEOMETRIES; geometry++)
		tests += exists(geometry);
	return tests;
}

static void print_table(void)
{
	unsigned int hits, missed;
	int kind, rival;

	ksft_print_msg("%-16s", "rounds");
	for (rival = 0; rival < RIVALS; rival++)
		printf(" %8.8s", rivals[rival].name);
	for (kind = 0; kind < STRESS_KINDS; kind++) {
		printf("\n# %-16s", stress_kinds[kind].name);
		for (rival = 0; rival < RIVALS; rival++)
			if (sum(kind, -1, rival, &hits, &missed))
				printf(" %8s", "-");
			else
				printf(" %8u", hits);
	}
	printf("\n");
}

/* One result: was it hit, and with --all-cells, was all of it hit? */
static void report_sum(const char *name, const int key[3], bool all_cells)
{
	unsigned int hits, missed;
	const char *why = sum(key[0], key[1], key[2], &hits, &missed);

	if (why)
		ksft_test_result_skip("%s: %s\n", name, why);
	else
		ksft_test_result(hits && !(all_cells && missed),
				 "%s: %u rounds, %u cells never hit\n", name, hits, missed);
}

static void report_rival(int id, bool all_cells)
{
	char name[64];

	snprintf(name, sizeof(name), "%s, which succeeded %lu of %lu times", rivals[id].name,
		 total.succeeded[id], total.acts[id]);
	/* A rival that never does what it is for disturbs nobody. */
	if (total.acts[id] && !total.succeeded[id])
		ksft_test_result_fail("%s\n", name);
	else
		report_sum(name, (int []){ -1, -1, id }, all_cells);
}

/**
 * report_cells() - print the table and the results
 * @all_cells: demand that each cell was hit, and not only each kind, geometry and rival
 */
void report_cells(bool all_cells)
{
	char name[48];
	int i;

	ksft_print_msg("%lu rounds, %lu of them not made, %lu calls\n", total.rounds,
		       total.unmade, total.calls);
	print_table();
	for (i = 0; i < STRESS_KINDS; i++)
		report_sum(stress_kinds[i].name, (int []){ i, -1, -1 }, all_cells);
	for (i = 0; i < GEOMETRIES; i++) {
		name_geometry(i, name);
		if (exists(i))
			report_sum(name, (int []){ -1, i, -1 }, all_cells);
	}
	for (i = 0; i < RIVALS; i++)
		report_rival(i, all_cells);
}
