// SPDX-License-Identifier: GPL-2.0
/*
 * The least that still fails: a round is run again and again, alone, with ever
 * fewer rivals and pages.
 */
#include <time.h>

#include "stress.h"

#define TRIES		30
#define SECONDS		120	/* for all of it */

/**
 * fails_within() - run a round until it fails
 * @a: the arena
 * @p: the round
 * @tries: how often at most
 * @v: the verdict on the last one
 *
 * Return: true if it failed.
 */
bool fails_within(struct arena *a, const struct plan *p, unsigned int tries, struct verdict *v)
{
	while (tries--) {
		run_round(a, p, v);
		if (*v->trouble)
			return true;
	}
	return false;
}

struct search {
	struct arena *arena;
	__u64 seed;
	unsigned int number;
	struct limits limits;
	time_t deadline;
};

/* Keeps the limits if it fails with them too. */
static bool still_fails(struct search *s, const struct limits *limits)
{
	struct verdict v;
	struct plan p;

	if (time(NULL) > s->deadline)
		return false;
	plan_round(&p, s->seed, s->number, limits);
	if (!fails_within(s->arena, &p, TRIES, &v))
		return false;
	ksft_print_msg("still: %s\n", v.trouble);
	s->limits = *limits;
	return true;
}

static void drop_rivals(struct search *s, const struct plan *p)
{
	struct limits limits;
	int i;

	for (i = 0; i < RIVALS; i++) {
		limits = s->limits;
		limits.without |= BIT(i);
		if (p->rivals & BIT(i))
			still_fails(s, &limits);
	}
}

static void drop_pages(struct search *s, const struct plan *p)
{
	struct limits limits = s->limits;

	for (limits.pages = p->len / 2; limits.pages; limits.pages /= 2)
		if (!still_fails(s, &limits))
			break;
}

static void print_command(const struct search *s)
{
	int i;

	ksft_print_msg("again: anon_move_stress --replay %llu:%u", s->seed, s->number);
	for (i = 0; i < RIVALS; i++)
		if (s->limits.without & BIT(i))
			printf(" --without %s", rivals[i].name);
	if (s->limits.pages)
		printf(" --pages %zu", s->limits.pages);
	printf("\n");
}

/**
 * minimise() - print the command line of the least that still fails
 * @a: an arena that nobody uses
 * @seed: of the run
 * @number: of the round that failed
 */
void minimise(struct arena *a, __u64 seed, unsigned int number)
{
	struct search s = { .arena = a, .seed = seed, .number = number };
	struct limits none = { };
	struct plan p;

	s.deadline = time(NULL) + SECONDS;
	plan_round(&p, seed, number, &none);
	if (still_fails(&s, &none)) {
		drop_rivals(&s, &p);
		drop_pages(&s, &p);
	} else {
		ksft_print_msg("it does not fail alone, in %d tries\n", TRIES);
	}
	print_command(&s);
}
