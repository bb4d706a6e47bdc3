// SPDX-License-Identifier: GPL-2.0
/*
 * Who moves: goes over the range in calls, there and back, and holds what each
 * call gives against what it may give.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <linux/mman.h>

#include "stress.h"

#define PATIENT_CALLS	200	/* that may end with EAGAIN one after the other, */
#define FEW_CALLS	5	/* and where the page may be given up */
#define PASS_SECONDS	3	/* a page that stays busy takes half a second */

/* A mapping that goes away would not come back, so only the range as a whole goes with it. */
static enum mover mover_of(const struct plan *p, enum area_id to, enum area_id from)
{
	bool whole = to == AREA_DST && from == AREA_SRC;

	return whole || p->mover != MOVER_RELOCATE ? p->mover : MOVER_UFFD;
}

/* Which errors its calls may give, besides EAGAIN. */
static unsigned int may_give(const struct plan *p, enum mover mover)
{
	unsigned int may = stress_kinds[p->kind].may;
	int i;

	/* What may not move is copied. */
	if (mover == MOVER_COPY)
		may &= ~MAY_BUSY;

	for (i = 0; i < RIVALS; i++)
		if (p->rivals & BIT(i))
			may |= rivals[i].may;
	/* Somebody else takes the mapping away. */
	if (p->mover != mover)
		may |= MAY_INVAL;
	/* Anybody who looks at a large folio keeps it from being split. */
	if (page_kinds[p->base].unit > 1 || p->rivals & BIT(RIVAL_COLLAPSE))
		may |= MAY_BUSY;
	if (!p->registered && left_behind(p) & DOES_REFAULT)
		may |= MAY_EXIST;
	/* What stays behind is missing on the way back, or in the way the next time. */
	if (may)
		may |= MAY_EXIST | MAY_NOENT;
	return may;
}

/*
 * Of an address that is not mapped, mremap() says EFAULT; Linux 6.12 does so of mappings
 * that are unlike, too. That is all that can be in the way of a mapping.
 */
static bool may_be(enum mover mover, unsigned int may, int err)
{
	const struct {
		int err;
		unsigned int may;
	} errors[] = {
		{ EBUSY, MAY_BUSY }, { EEXIST, MAY_EXIST }, { ENOENT, MAY_NOENT },
		{ EINVAL, MAY_INVAL }, { EFAULT, MAY_FAULT },
	};
	size_t i;

	if (mover == MOVER_RELOCATE)
		may = may & (MAY_INVAL | MAY_NOENT) ? MAY_FAULT : 0;
	else if (mover == MOVER_ONLYPAGES && may & MAY_NOENT)
		may |= MAY_FAULT;
	for (i = 0; i < ARRAY_SIZE(errors); i++)
		if (errors[i].err == err)
			return may & errors[i].may;
	return false;
}

/* The field agrees with the errno, whatever happened. */
static bool is_consistent(struct moved m, size_t pages)
{
	long long len = pages * PAGE;

	if (!m.err)
		return m.bytes == len;
	if (m.err == EAGAIN && m.bytes > 0)
		return m.bytes < len && m.bytes % PAGE == 0;
	return m.bytes == -m.err;
}

static struct moved move_by(enum mover mover, struct arena *a, char *to, char *from, size_t pages)
{
	const __u64 mode = a->plan.mode;
	int err;

	__atomic_fetch_add(&a->calls, 1, __ATOMIC_RELAXED);
	switch (mover) {
	case MOVER_VECTOR:
		return move_by_vector(a->space.uffd, to, from, pages * PAGE, mode);
	case MOVER_COPY:
		return move_by_vector(a->space.uffd, to, from, pages * PAGE,
				      mode | UFFDIO_MOVEV_MODE_COPY);
	case MOVER_ONLYPAGES:
		return move_by_mremap(to, from, pages * PAGE, mode);
	case MOVER_RELOCATE:
		err = relocate(to, from, pages,
			       MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_RELOCATE_ANON);
		return (struct moved){ .err = -err, .bytes = err ? err : (long long)pages * PAGE };
	default:
		return move_pages_of(a->space.uffd, to, from, pages * PAGE, mode);
	}
}

/* Moves what it can of the first of these pages; returns how many are done with. */
static size_t move_some(enum mover mover, struct arena *a, char *to, char *from, size_t pages)
{
	unsigned int may = may_give(&a->plan, mover);
	int tries = may ? FEW_CALLS : PATIENT_CALLS;
	struct moved m;

	do {
		m = move_by(mover, a, to, from, pages);
		if (!is_consistent(m, pages))
			trouble(a, "%zu pages: errno %d, but .move is %lld", pages, m.err, m.bytes);
		if (m.bytes > 0)
			return m.bytes / PAGE;
	} while (m.err == EAGAIN && --tries);
	if (m.err == EAGAIN ? !may : !may_be(mover, may, m.err))
		trouble(a, "%zu pages: %s, for no reason", pages, strerrorname_np(m.err));
	return m.err == EINVAL ? pages : 1;
}

/**
 * move_there() - move the range from one area to another, past what can't
 * @a: the arena
 * @to: the destination's area
 * @from: the source's area
 * @random: state of the generator
 *
 * Return: false if time ran out, and the rest of it stayed.
 */
bool move_there(struct arena *a, enum area_id to, enum area_id from, __u64 *random)
{
	const struct plan *p = &a->plan;
	const enum mover mover = mover_of(p, to, from);
	time_t deadline = time(NULL) + PASS_SECONDS;
	size_t done = 0, pages;

	while (done < p->len && time(NULL) < deadline) {
		pages = 1 + draw_below(random, p->chunk);
		if (pages > p->len - done)
			pages = p->len - done;
		done += move_some(mover, a, slot(a, to, p->src + done),
				  slot(a, from, p->src + done), pages);
	}
	return done >= p->len;
}

/**
 * move_rounds() - move the range there, and back where that is possible, some times
 * @a: the arena
 * @random: state of the generator
 */
void move_rounds(struct arena *a, __u64 *random)
{
	const bool returns = a->plan.registered && a->plan.mover != MOVER_RELOCATE;
	unsigned int turn;

	/* What time has left behind would be in the way of the next turn. */
	for (turn = 0; turn < a->plan.turns; turn++) {
		if (!move_there(a, AREA_DST, AREA_SRC, random))
			break;
		if (!returns || !draw_below(random, 4))
			break;
		if (!move_there(a, AREA_SRC, AREA_DST, random))
			break;
	}
}
