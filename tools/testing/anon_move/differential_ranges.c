// SPDX-License-Identifier: GPL-2.0
/* Differential test: judges what became of the ranges of a vector, in one call and in as many. */
#include <errno.h>

#include "differential.h"

/* Those that a random vector can meet, with no one else at work. */
static const struct {
	__u32 stop;
	const char *name;
} stops[] = {
	{ UFFDIO_MOVEV_DONE, "all of it moved" },
	{ UFFDIO_MOVEV_INVALID, "invalid" },
	{ UFFDIO_MOVEV_NO_DST, "no destination" },
	{ UFFDIO_MOVEV_NO_SRC, "no source" },
	{ UFFDIO_MOVEV_MAPPINGS, "mappings unlike" },
	{ UFFDIO_MOVEV_EXISTS, "destination occupied" },
	{ UFFDIO_MOVEV_HOLE, "hole" },
	{ UFFDIO_MOVEV_SHARED, "shared" },
	{ UFFDIO_MOVEV_MARKER, "marker" },
};

static unsigned int ranges_by_stop[ARRAY_SIZE(stops)];

static bool same_fate(const struct fate *a, const struct fate *b)
{
	return a->moved == b->moved && a->error == b->error;
}

/* Either all of it has moved, or it stopped before its end. */
static bool fate_is_sound(const struct fate *fate, __u64 len)
{
	if (!fate->error)
		return fate->moved == len;
	return !fate->moved || (fate->moved < len && fate->moved % PAGE_BYTES == 0);
}

/**
 * fates_are_sound() - do what the call returned and what it says of its ranges tell the same?
 * @plan: the call
 * @out: what came of it
 *
 * Return: whether they do.
 */
bool fates_are_sound(const struct plan *plan, const struct outcome *out)
{
	int i, stopped = 0;

	for (i = 0; i < out->dealt; i++) {
		if (stopped && !plan->go_on)
			return false;
		stopped += !!out->fates[i].error;
		if (!fate_is_sound(&out->fates[i], plan->ranges[i].len))
			return false;
	}
	if (i < plan->nr_ranges && (!stopped || plan->go_on))
		return false;
	return out->error == (stopped ? EAGAIN : 0);
}

/**
 * fates_agree() - did as much of each range move, and stop for the same reason?
 * @base: what came of one call for each
 * @ours: of one call for all
 *
 * Return: whether it did; of no ranges it is true.
 */
bool fates_agree(const struct outcome *base, const struct outcome *ours)
{
	int i;

	for (i = 0; i < base->dealt; i++)
		if (!same_fate(&base->fates[i], &ours->fates[i]))
			return false;
	return base->dealt == ours->dealt;
}

/**
 * count_stops() - counts the reasons that one call gave, for report_stops()
 * @ours: what came of it
 */
void count_stops(const struct outcome *ours)
{
	size_t row;
	int i;

	for (i = 0; i < ours->dealt; i++)
		for (row = 0; row < ARRAY_SIZE(stops); row++)
			ranges_by_stop[row] += ours->fates[i].stop == stops[row].stop;
}

/**
 * explain_fates() - prints the ranges of a vector, those with two fates marked by a !
 * @plan: the call
 * @base: what came of one call for each
 * @ours: of one call for all
 */
void explain_fates(const struct plan *plan, const struct outcome *base, const struct outcome *ours)
{
	int i;

	printf("#   %d ranges, going on: %d; dealt with: %d / %d\n", plan->nr_ranges, plan->go_on,
	       base->dealt, ours->dealt);
	for (i = 0; i < base->dealt || i < ours->dealt; i++) {
		const struct uffdio_movev_range *range = &plan->ranges[i];
		const struct fate *one = &base->fates[i], *all = &ours->fates[i];

		printf("#   %crange %d: dst %#llx src %#llx len %#llx, ",
		       same_fate(one, all) ? ' ' : '!', i, range->dst, range->src, range->len);
		printf("moved %#llx / %#llx, errno %d / %d (stop %u)\n", one->moved, all->moved,
		       one->error, all->error, all->stop);
	}
}

/**
 * report_stops() - one TAP result: was every reason given that can be?
 * @test: number of the result
 *
 * Return: whether it was.
 */
bool report_stops(unsigned int test)
{
	bool all = true;
	size_t row;

	for (row = 0; row < ARRAY_SIZE(stops); row++) {
		printf("# %s: %u ranges\n", stops[row].name, ranges_by_stop[row]);
		all = all && ranges_by_stop[row];
	}
	printf("%sok %u - ranges stopped for every reason\n", all ? "" : "not ", test);
	return all;
}
