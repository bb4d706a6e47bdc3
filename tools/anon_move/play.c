// SPDX-License-Identifier: GPL-2.0
/* Performs plays, each in a process of its own, and counts VMAs meanwhile. */

#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mremap_move.h"
#include "remap_bench.h"

/* Points of a curve. To count 60,000 VMAs takes longer than many moves. */
#define SAMPLES 16

/* For the slabs of the process before to be freed, which RCU puts off. */
#define SETTLE_US 300000

/**
 * play_over() - is it done, or can't it go on?
 * @play: the play
 *
 * Return: true or false.
 */
bool play_over(const struct play *play)
{
	return play->full || play->calls >= play->most;
}

static void sample(struct play *play)
{
	play->vmas = count_vmas(NULL, 0);
	if (play->vmas > play->peak)
		play->peak = play->vmas;
	printf("{\"row\": \"%s\", \"mover\": \"%s\", \"at\": %lu, \"now\": %zu}\n", play->row,
	       mover_names[play->mover], play->calls, play->vmas);
}

/**
 * play_called() - count a call that went well
 * @play: the play
 * @ns: instructions that it took
 */
void play_called(struct play *play, unsigned long long ns)
{
	play->ns += ns;
	play->calls++;
	if (play->most < SAMPLES || play->calls % (play->most / SAMPLES) == 0)
		sample(play);
}

/**
 * play_fits() - is there room for the VMA that a call makes?
 * @play: the play, which ends if there is none; if something else is wrong the program does
 * @done: the call went well; if not errno says why
 * @what: the call
 *
 * Return: @done.
 */
bool play_fits(struct play *play, bool done, const char *what)
{
	if (!done && errno != ENOMEM)
		err(FAILED, "%s: %s by %s", play->row, what, mover_names[play->mover]);
	play->full |= !done;
	return done;
}

/**
 * play_move() - bring memory to another address
 * @play: the play
 * @dst: where to; is mapped and empty for ONLYPAGES, may be anything for the others
 * @src: where it is; mapped afterwards for ONLYPAGES, not for the others
 * @len: bytes
 *
 * Return: true; false if the play is over as there can't be more VMAs.
 */
bool play_move(struct play *play, char *dst, char *src, size_t len)
{
	const int flags = relocate_flags(play->mover);
	unsigned long long ns = clock_ns();
	bool done;

	if (play->mover == ONLYPAGES)
		done = mremap_move(dst, src, len, MREMAP_ONLYPAGES_HOLES) == (ssize_t)len;
	else
		done = !mremap_relocate(dst, src, len, flags);
	ns = clock_ns() - ns;
	if (play_fits(play, done, "a move"))
		play_called(play, ns);
	return done;
}

/**
 * random_below() - a random number, the same in each run
 * @play: has the seed
 * @end: greater than 0
 *
 * Return: a number less than @end.
 */
size_t random_below(struct play *play, size_t end)
{
	play->seed ^= play->seed << 13;
	play->seed ^= play->seed >> 7;
	play->seed ^= play->seed << 17;
	return (play->seed >> 16) % end;
}

/**
 * shuffled() - all numbers below one, in random order
 * @play: has the seed
 * @nr: how many
 *
 * Return: an array for free().
 */
size_t *shuffled(struct play *play, size_t nr)
{
	size_t *numbers = malloc(nr * sizeof(*numbers));

	if (!numbers)
		err(FAILED, "malloc");
	for (size_t i = 0; i < nr; i++) {
		size_t k = random_below(play, i + 1);

		numbers[i] = numbers[k];
		numbers[k] = i;
	}
	return numbers;
}

static unsigned long long word_of(size_t id)
{
	return (id + 1) * 0x9e3779b97f4a7c15;
}

/**
 * write_page() - fill a page so that it is told from all others
 * @page: its first byte
 * @id: its number
 */
void write_page(char *page, size_t id)
{
	unsigned long long *words = (void *)page;
	const unsigned long long word = word_of(id);

	/* An emulated processor takes longer for this than for many moves. */
	#pragma GCC unroll 16
	for (size_t i = 0; i < PAGE / sizeof(*words); i++)
		words[i] = word;
}

/**
 * expect_page() - end the program if a page is not as write_page() made it
 * @play: the play, to be named
 * @page: its first byte
 * @id: its number
 */
void expect_page(const struct play *play, const char *page, size_t id)
{
	const unsigned long long *words = (const void *)page;
	const unsigned long long word = word_of(id);
	unsigned long long wrong = 0;

	#pragma GCC unroll 16
	for (size_t i = 0; i < PAGE / sizeof(*words); i++)
		wrong |= words[i] ^ word;
	if (wrong)
		errx(FAILED, "%s by %s: page %zu has wrong bytes", play->row,
		     mover_names[play->mover], id);
}

static const char *const caches[] = { "vm_area_struct", "anon_vma", "anon_vma_chain" };

#define NR_CACHES (sizeof(caches) / sizeof(*caches))

static void read_slabs(unsigned long long bytes[NR_CACHES])
{
	for (size_t i = 0; i < NR_CACHES; i++)
		bytes[i] = slab_bytes(caches[i]);
}

/* What the play left is still there. */
static void print_end(struct play *play, const unsigned long long before[NR_CACHES])
{
	const double call = play->calls ? (double)play->ns / play->calls : 0;
	unsigned long long after[NR_CACHES];

	read_slabs(after);
	sample(play);
	printf("{\"row\": \"%s\", \"mover\": \"%s\", \"calls\": %lu, \"vmas\": %zu, \"peak\": %zu",
	       play->row, mover_names[play->mover], play->calls, play->vmas, play->peak);
	for (size_t i = 0; i < NR_CACHES; i++)
		printf(", \"%s\": %lld", caches[i], (long long)(after[i] - before[i]) / 1024);
	printf(", \"full\": %d, \"call\": %.0f}\n", play->full, call);
	fprintf(stderr, ">> %s by %s: %lu calls, %zu VMAs%s\n", play->row,
		mover_names[play->mover], play->calls, play->vmas, play->full ? ", ENOMEM" : "");
}

static void perform_here(struct play *play)
{
	const unsigned long long relocated = engine_counter("relocate_done");
	unsigned long long before[NR_CACHES];

	usleep(SETTLE_US);
	read_slabs(before);
	play->seed = 88172645463325252ull;
	sample(play);
	play->run(play);
	print_end(play, before);
	if ((play->mover == RELOCATE && play->calls) !=
	    (engine_counter("relocate_done") > relocated))
		errx(FAILED, "%s: what was relocated is not what should be", play->row);
}

/**
 * perform() - let a process of its own perform a play, print what it came to
 * @play: the play
 */
void perform(struct play *play)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		err(FAILED, "fork");
	if (!child) {
		perform_here(play);
		exit(ferror(stdout) ? FAILED : 0);
	}
	if (waitpid(child, &status, 0) != child || status)
		errx(FAILED, "%s by %s failed", play->row, mover_names[play->mover]);
}
