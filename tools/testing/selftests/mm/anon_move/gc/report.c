// SPDX-License-Identifier: GPL-2.0
/*
 * Results as a table, as JSON, and as CSV files for charts.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "gc.h"
#include "meters.h"
#include "options.h"
#include "report.h"

const char *const event_names[EVENTS] = {
	[EV_EEXIST] = "eexist", [EV_ENOENT] = "enoent", [EV_EAGAIN] = "eagain",
	[EV_PARTIAL] = "partial", [EV_EBUSY] = "ebusy", [EV_COPIED_BYTES] = "bytes_copied",
	[EV_CALLS] = "calls", [EV_BY_RING] = "calls_by_ring",
	[EV_POOL_EMPTY] = "pool_empty", [EV_FAULTS] = "faults",
	[EV_LATE] = "late_faults", [EV_BATCHES] = "runs", [EV_FORKS] = "forks",
	[EV_PINS] = "pins", [EV_PAGEOUTS] = "pageouts",
};

/* A line of the table: a meter, and by what it is divided there. */
static const struct line {
	const char *title;
	enum meter meter;
	double divisor;
	int digits;
} lines[] = {
	{ "pause, flip", METER_FLIP, 1e6, 2 },
	{ "pause, worst", METER_PAUSE, 1e6, 2 },
	{ "compaction", METER_COMPACT, 1e6, 1 },
	{ "its CPU time", METER_WORK, 1e6, 1 },
	{ "stall, 50th percentile", METER_STALL_50, 1e6, 3 },
	{ "stall, 99th", METER_STALL_99, 1e6, 3 },
	{ "stall, 99.9th", METER_STALL_999, 1e6, 3 },
	{ "stall, worst", METER_STALL_MAX, 1e6, 3 },
	{ "pages produced", METER_PAGES, 1, 0 },
	{ "faults", METER_FAULTS, 1, 0 },
	{ "pages allocated", METER_ALLOCATED, 1, 0 },
	{ "of them page tables", METER_TABLES_NEW, 1, 0 },
	{ "MiB copied, all cycles", METER_COPIED, MIB, 1 },
	{ "pages swapped in", METER_SWAPPED_IN, 1, 0 },
	{ "TLB flushes", METER_FLUSHES, 1, 0 },
	{ "page-table pages", METER_TABLES, 1, 0 },
	{ "most VMAs", METER_VMAS, 1, 0 },
	{ "VMAs in the end", METER_VMAS_END, 1, 0 },
	{ "peak RSS, MiB", METER_RSS, 1024, 0 },
	{ "cycles", METER_CYCLES, 1, 0 },
};

#define LINES	(sizeof(lines) / sizeof(*lines))

static bool is_time(enum meter meter)
{
	return !strcmp(meter_kinds[meter].unit, "time");
}

/* Nobody stalls where nothing faults. */
static bool is_known(enum meter meter, const struct result *results, size_t nr)
{
	for (; nr; results++, nr--)
		if (results->meters[meter] >= 0)
			return true;
	return !is_time(meter);
}

static void print_line(const struct line *l, const struct result *results, size_t nr)
{
	size_t i;

	printf("%-26s", l->title);
	for (i = 0; i < nr; i++) {
		double value = results[i].meters[l->meter];

		if (value < 0)
			printf("%15s", "-");
		else
			printf("%15.*f", l->digits, value / l->divisor);
	}
	putchar('\n');
}

static void print_notes(const struct result *results, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (*results[i].wall)
			printf("wall: %s: %s\n", results[i].row, results[i].wall);
	for (i = 0; i < nr; i++)
		if (*results[i].failed)
			printf("%s: %s: %s\n", results[i].status == FAILED ? "FAILED" : "not here",
			       results[i].row, results[i].failed);
}

/**
 * report_table() - print a column for each run
 * @results: of the runs
 * @nr: how many
 */
void report_table(const struct result *results, size_t nr)
{
	size_t i;

	printf("%-26s", options.icount ? "million guest instructions" : "milliseconds");
	for (i = 0; i < nr; i++)
		printf("%15s", results[i].row);
	printf("\n%-26s", "");
	for (i = 0; i < nr; i++)
		printf("%15s", results[i].delivery);
	putchar('\n');
	for (i = 0; i < LINES; i++) {
		if (is_known(lines[i].meter, results, nr))
			print_line(&lines[i], results, nr);
		if (is_time(lines[i].meter) && i + 1 < LINES && !is_time(lines[i + 1].meter))
			printf("counted\n");
	}
	print_notes(results, nr);
}

static void json_text(FILE *to, const char *key, const char *text)
{
	fprintf(to, "\"%s\": \"", key);
	for (; *text; text++)
		fprintf(to, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
	fputs("\", ", to);
}

static void json_result(FILE *to, const struct result *r)
{
	int i;

	fputc('{', to);
	json_text(to, "row", r->row);
	json_text(to, "delivery", r->delivery);
	json_text(to, "wall", r->wall);
	json_text(to, "failed", r->failed);
	fprintf(to, "\"status\": %d,\n  ", r->status);
	for (i = 0; i < METERS; i++)
		fprintf(to, r->meters[i] < 0 ? "\"%s\": null, " : "\"%s\": %.10g, ",
			meter_kinds[i].name, r->meters[i]);
	fputs("\n  \"events\": {", to);
	for (i = 0; i < EVENTS; i++)
		fprintf(to, "%s\"%s\": %lu", i ? ", " : "", event_names[i], r->events[i]);
	fputs("},\n  \"cpu\": {", to);
	for (i = 0; i < WORKS; i++)
		fprintf(to, "%s\"%s\": %.10g", i ? ", " : "", work_names[i], r->work[i]);
	fputs("}}", to);
}

/**
 * report_json() - print all there is
 * @to: where to
 * @results: of the runs
 * @nr: how many
 */
void report_json(FILE *to, const struct result *results, size_t nr)
{
	size_t i;

	fprintf(to, "{\"time_unit\": \"%s\", \"mib\": %zu, \"seed\": %lu, \"runs\": [\n ",
		options.icount ? "guest instructions" : "ns", options.mib, options.seed);
	for (i = 0; i < nr; i++) {
		json_result(to, &results[i]);
		fputs(i + 1 < nr ? ",\n " : "\n", to);
	}
	fputs("]}\n", to);
}

/**
 * report_csv() - print a line for each run
 * @to: where to
 * @results: of the runs
 * @nr: how many
 */
void report_csv(FILE *to, const struct result *results, size_t nr)
{
	int m;

	fputs("row,delivery,status", to);
	for (m = 0; m < METERS; m++)
		fprintf(to, ",%s", meter_kinds[m].name);
	for (m = 0; m < EVENTS; m++)
		fprintf(to, ",event_%s", event_names[m]);
	fputc('\n', to);
	for (; nr; results++, nr--) {
		fprintf(to, "%s,%s,%d", results->row, results->delivery, results->status);
		for (m = 0; m < METERS; m++)
			fprintf(to, results->meters[m] < 0 ? "," : ",%.10g", results->meters[m]);
		for (m = 0; m < EVENTS; m++)
			fprintf(to, ",%lu", results->events[m]);
		fputc('\n', to);
	}
}

/* A column for each run, as gnuplot likes it. */
static void write_stalls(FILE *to, const struct result *results, size_t nr)
{
	size_t i, p;

	fputs("percentile", to);
	for (i = 0; i < nr; i++)
		fprintf(to, ",%s", results[i].row);
	fputc('\n', to);
	for (p = 0; p < STALL_POINTS; p++) {
		fprintf(to, "%g", stall_points[p]);
		for (i = 0; i < nr; i++)
			fprintf(to, results[i].stalls[p] <= 0 ? "," : ",%.0f",
				results[i].stalls[p]);
		fputc('\n', to);
	}
}

static void write_work(FILE *to, const struct result *results, size_t nr)
{
	int w;

	fputs("row", to);
	for (w = 0; w < WORKS; w++)
		fprintf(to, ",%s", work_names[w]);
	fputc('\n', to);
	for (; nr; results++, nr--) {
		if (results->meters[METER_CYCLES] < 1)
			continue;
		fputs(results->row, to);
		for (w = 0; w < WORKS; w++)
			fprintf(to, ",%.0f", results->work[w]);
		fputc('\n', to);
	}
}

static void write_file(const char *directory, const char *name, const struct result *results,
		       size_t nr, void (*write)(FILE *, const struct result *, size_t))
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "we");
	if (!file)
		cannot("can't write %s: %s", path, strerror(errno));
	write(file, results, nr);
	if (fclose(file))
		cannot("can't write %s: %s", path, strerror(errno));
}

/**
 * report_files() - write gc.json, gc.csv, and the data of both charts
 * @directory: made if it is not there
 * @results: of the runs
 * @nr: how many
 */
void report_files(const char *directory, const struct result *results, size_t nr)
{
	if (mkdir(directory, 0777) && errno != EEXIST)
		cannot("can't make %s: %s", directory, strerror(errno));
	write_file(directory, "gc.json", results, nr, report_json);
	write_file(directory, "gc.csv", results, nr, report_csv);
	write_file(directory, "stalls.csv", results, nr, write_stalls);
	write_file(directory, "work.csv", results, nr, write_work);
}
