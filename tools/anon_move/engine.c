// SPDX-License-Identifier: GPL-2.0
/* Switches between the movers of a kernel that has both, and asks ours what it did. */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared.h"

#define ENGINE_FILE "/sys/kernel/debug/anon_move/engine"
#define STATS_FILE "/sys/kernel/debug/anon_move/stats"

static char first_engine[32];

static bool write_engine(const char *name)
{
	FILE *file = fopen(ENGINE_FILE, "w");

	if (!file)
		return false;
	fputs(name, file);
	/* Written here, so this is where the kernel says no. */
	return !fclose(file);
}

static void restore_engine(void)
{
	write_engine(first_engine);
}

/* The machine goes on after this program: it is left as it was found. */
static void remember_engine(void)
{
	FILE *file = fopen(ENGINE_FILE, "r");

	if (!file || fscanf(file, "%31s", first_engine) != 1)
		err(CANNOT, "be root on a kernel of 'make kernel': " ENGINE_FILE);
	fclose(file);
	atexit(restore_engine);
}

/**
 * choose_engine() - let one of the movers serve UFFDIO_MOVE from now on
 * @name: "anon_move" or "base"
 *
 * The choice ends with the program. Ends it at once if there is no choice.
 */
void choose_engine(const char *name)
{
	if (!*first_engine)
		remember_engine();
	if (!write_engine(name))
		err(CANNOT, ENGINE_FILE " does not take '%s'", name);
}

/**
 * engine_counter() - what our engine says that it did
 * @prefix: what the names of the counters to add up begin with
 *
 * Return: their sum since boot.
 */
unsigned long long engine_counter(const char *prefix)
{
	return sum_counters(STATS_FILE, prefix);
}
