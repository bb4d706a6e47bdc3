// SPDX-License-Identifier: GPL-2.0
/*
 * Many ranges a call: which way each one goes, and what is told of it. Touches no page table.
 */

#include "anon_move.h"

/* What the caller is told; of the VMAs see why_not(). */
static const enum uffdio_movev_stop told[ANON_MOVE_NR_STOPS] = {
	[ANON_MOVE_DONE]	= UFFDIO_MOVEV_DONE,
	[ANON_MOVE_WRITER]	= UFFDIO_MOVEV_RACED,
	[ANON_MOVE_LOCKED]	= UFFDIO_MOVEV_LOCKED,
	[ANON_MOVE_WRITEBACK]	= UFFDIO_MOVEV_WRITEBACK,
	[ANON_MOVE_LARGE]	= UFFDIO_MOVEV_UNSPLIT,
	[ANON_MOVE_SPLIT_FAILED]	= UFFDIO_MOVEV_UNSPLIT,
	[ANON_MOVE_MIGRATING]	= UFFDIO_MOVEV_MIGRATING,
	[ANON_MOVE_RACED]	= UFFDIO_MOVEV_RACED,
	[ANON_MOVE_EXISTS]	= UFFDIO_MOVEV_EXISTS,
	[ANON_MOVE_HOLE]	= UFFDIO_MOVEV_HOLE,
	[ANON_MOVE_SHARED]	= UFFDIO_MOVEV_SHARED,
	[ANON_MOVE_PINNED]	= UFFDIO_MOVEV_PINNED,
	[ANON_MOVE_CACHED]	= UFFDIO_MOVEV_UNSPLIT,
	[ANON_MOVE_MARKER]	= UFFDIO_MOVEV_MARKER,
	[ANON_MOVE_NOMEM]	= UFFDIO_MOVEV_NOMEM,
	[ANON_MOVE_KILLED]	= UFFDIO_MOVEV_KILLED,
};

/* Of VMAs that could not be had nothing but whether there were any is known. */
static enum uffdio_movev_stop why_not(const struct anon_move *am)
{
	switch (am->error) {
	case -EPERM:
		return UFFDIO_MOVEV_UNREGISTERED;
	case -EAGAIN:
		return UFFDIO_MOVEV_CHANGING;
	case -ENOMEM:
		return UFFDIO_MOVEV_NOMEM;
	case -ENOENT:
		return am->dst_vma ? UFFDIO_MOVEV_NO_SRC : UFFDIO_MOVEV_NO_DST;
	default:
		return UFFDIO_MOVEV_MAPPINGS;
	}
}

static unsigned long moved(const struct anon_move_vector *v)
{
	return v->am.req->src + v->am.done - v->range->src;
}

static __hot_inline void range_ends(struct anon_move_vector *v, enum anon_move_stop stop)
{
	v->range->moved = moved(v);
	v->range->stop = stop == ANON_MOVE_VMA ? why_not(&v->am) : told[stop];
	v->range++;
	v->am.done = 0;
}

static bool may_be_copied(const struct anon_move *am, enum anon_move_stop stop)
{
	return am->req->flags & ANON_MOVE_COPY && anon_move_copyable(stop) &&
	       !fatal_signal_pending(current);
}

/* What lies in one pair of VMAs. */
static __hot_inline enum anon_move_stop go_in_pair(struct anon_move_vector *v)
{
	struct anon_move *am = &v->am;
	enum anon_move_stop stop;
	unsigned long before;

	do {
		stop = anon_move_walk(am);
		if (!may_be_copied(am, stop))
			break;
		before = am->done;
		/* What could not be read in for so long may well be a moment later. */
		stop = anon_move_patience_left(am) ? anon_move_copy(am) : ANON_MOVE_LOCKED;
		v->range->copied += am->done - before;
	} while (!stop && am->done < am->req->len);
	if (am->folio)
		folio_put(am->folio);
	am->folio = NULL;
	return stop;
}

/* The request has been cut to what its VMAs hold. Returns whether there is more of the range. */
static bool next_pair(struct anon_move_vector *v)
{
	const struct uffdio_movev_range *range = v->range;
	const unsigned long done = moved(v);

	if (done == range->len)
		return false;
	v->am.req->dst = range->dst + done;
	v->am.req->src = range->src + done;
	v->am.req->len = range->len - done;
	v->am.done = 0;
	return true;
}

static __hot_inline enum anon_move_stop go_alone(struct anon_move_vector *v)
{
	enum anon_move_stop stop;

	for (;;) {
		stop = go_in_pair(v);
		if (stop || !next_pair(v))
			break;
		cond_resched();
	}
	range_ends(v, stop);
	return stop;
}

/**
 * anon_move_before_wait() - tell what has moved by now, if nobody has heard of it yet
 * @am: the move that is about to wait
 *
 * Who waits for a page of one range must not have to wait for what is in the way of
 * another one: it may be he who takes it out of the way.
 *
 * Context: no mmap_lock, no VMA lock; may sleep.
 */
void anon_move_before_wait(struct anon_move *am)
{
	struct anon_move_vector *v = container_of(am, struct anon_move_vector, am);

	if (am->req->flags & ANON_MOVE_OF_VECTOR && v->range != v->first)
		v->arrived(am->req, v->range - v->first);
}

/**
 * anon_move_ranges() - move the pages of several ranges, one after the other
 * @req: on whose behalf and how; its range is overwritten
 * @ranges: the ranges; what became of each is written to it
 * @count: how many, not 0
 * @arrived: called before each wait, if ranges have been dealt with
 *
 * Each as by anon_move_pages(), and what one leaves behind the next one finds. Short
 * ranges in the same two VMAs share a TLB flush.
 *
 * Context: no mmap_lock, no VMA lock; may sleep.
 * Return: how many ranges were dealt with; with a fatal signal pending it may be 0.
 */
unsigned int anon_move_ranges(struct anon_move_request *req, struct uffdio_movev_range *ranges,
			      unsigned int count, anon_move_arrived_t *arrived)
{
	struct anon_move_vector v __uninitialized;
	enum anon_move_stop stop;

	req->flags |= ANON_MOVE_OF_VECTOR;
	v.am.req = req;
	v.am.done = 0;
	v.am.folio = NULL;
	v.range = ranges;
	v.first = ranges;
	v.arrived = arrived;
	v.end = ranges + count;
	v.together = true;
	anon_move_count(ANON_MOVE_CALLS, 1);
	while (!fatal_signal_pending(current)) {
		anon_move_load_range(&v);
		if (!IS_ENABLED(CONFIG_MIGRATION) || count == 1 || !anon_move_together(&v)) {
			stop = go_alone(&v);
			if (stop && !(req->flags & ANON_MOVE_GO_ON))
				return v.range - ranges;
		}
		if (v.range == v.end)
			return count;
	}
	/* Who waits for what has moved must hear of it. */
	if (v.am.done) {
		anon_move_load_range(&v);
		range_ends(&v, ANON_MOVE_KILLED);
	}
	return v.range - ranges;
}
