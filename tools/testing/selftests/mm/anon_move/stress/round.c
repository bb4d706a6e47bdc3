// SPDX-License-Identifier: GPL-2.0
/*
 * One round from beginning to end.
 */
#include <string.h>
#include <unistd.h>

#include "stress.h"

#define MAKING_TRIES	3

static bool open_arena(struct arena *a, const struct plan *p)
{
	int tries;

	for (tries = 0; tries < MAKING_TRIES; tries++) {
		a->plan = *p;
		if (!arena_open(a))
			return true;
		arena_close(a);
	}
	return false;
}

static void race(struct arena *a, struct verdict *v)
{
	struct rival rival[RIVALS];
	__u64 random = a->plan.random;
	int i;

	for (i = 0; i < RIVALS; i++)
		if (a->plan.rivals & BIT(i))
			rival_start(&rival[i], a, i);
	/* Sometimes their first act comes first, sometimes ours. */
	usleep(draw_below(&random, 4) * 100);
	move_rounds(a, &random);
	__atomic_store_n(&a->stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < RIVALS; i++) {
		if (!(a->plan.rivals & BIT(i)))
			continue;
		rival_join(&rival[i]);
		v->acts[i] = rival[i].acts;
		v->hits[i] = rival[i].hits;
	}
}

/**
 * run_round() - make the pages of a round, let all of them race, ask the model
 * @a: the arena
 * @p: the round
 * @v: what came of it
 */
void run_round(struct arena *a, const struct plan *p, struct verdict *v)
{
	memset(v, 0, sizeof(*v));
	v->made = open_arena(a, p);
	if (!v->made)
		return;
	race(a, v);
	check_arena(a, true);
	disarm_pages(a);
	/* It takes long, and what it finds lasts. */
	if (p->reclaim)
		check_reclaim(a);
	v->calls = a->calls;
	memcpy(v->trouble, a->trouble, sizeof(v->trouble));
	arena_close(a);
}
