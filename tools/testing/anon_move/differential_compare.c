// SPDX-License-Identifier: GPL-2.0
/* Differential test: judges two outcomes of one call; lists the differences that are meant. */
#include <errno.h>
#include <string.h>
#include <linux/userfaultfd.h>

#include "differential.h"

#define NOWHERE	(-1)

/* What both engines made of a call, and where its pages should be now. */
struct comparison {
	const struct plan *plan;
	const struct outcome *base;
	const struct outcome *ours;
	int from[WORLD_PAGES];	/* where the page that should be here was before, or NOWHERE */
	struct span excused[2];	/* pages on which an intended difference of the outcome tells */
};

static bool in_span(struct span span, int page)
{
	return page >= span.first && page < span.first + span.count;
}

/* The ioctl's arguments alone say that it can't be done. */
static bool bad_arguments(const struct plan *plan)
{
	static const enum twist bad[] = {
		SRC_UNALIGNED, DST_UNALIGNED, LEN_UNALIGNED, LEN_ZERO, LEN_WRAPS, SRC_KERNEL,
		DST_KERNEL, SRC_LOW, DST_LOW, MODE_UNKNOWN, FD_FOREIGN,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (has_twist(plan, bad[i]))
			return true;
	return false;
}

/* Where .move can't be written EFAULT takes the place of EINVAL, as it does for good arguments. */
static bool errno_put_into_move(const struct comparison *c)
{
	if (!bad_arguments(c->plan) || c->base->error != EINVAL || c->base->move != MOVE_CANARY)
		return false;
	if (has_twist(c->plan, ARG_READONLY))
		return c->ours->error == EFAULT && c->ours->move == MOVE_CANARY;
	return c->ours->error == EINVAL && c->ours->move == -EINVAL;
}

static int pages_moved(const struct outcome *out)
{
	return out->move > 0 && out->move != MOVE_CANARY ? out->move / PAGE_BYTES : 0;
}

/* The base stops at an exclusive page of a folio whose first page is shared; we go on. */
static bool stopped_by_head(const struct comparison *c)
{
	struct span src = c->plan->range[SRC];
	int stop = src.first + pages_moved(c->base);
	bool base_busy = c->base->error == (pages_moved(c->base) ? EAGAIN : EBUSY);

	return base_busy && pages_moved(c->ours) > pages_moved(c->base) && in_span(src, stop) &&
	       c->plan->kind[stop] == HEAD_SHARED && stop % HUGE_PAGES >= HUGE_PAGES / 2;
}

/* Just one of the two VMAs is droppable: the base moves all the same, or looks at the pages. */
static bool refused_as_unlike(const struct comparison *c)
{
	const struct plan *plan = c->plan;
	bool droppable = has_twist(plan, SRC_DROPPABLE) || has_twist(plan, DST_DROPPABLE);
	int refusal = has_twist(plan, ARG_READONLY) ? EFAULT : EINVAL;

	return droppable && !plan->one_vma && c->ours->error == refusal &&
	       c->base->error != EINVAL;
}

/* Differences of errno or .move, or of which pages moved where .move can't tell. */
static struct outcome_row {
	const char *id;
	const char *reason;
	bool (*meant)(const struct comparison *c);
	bool moves_more;	/* pages differ from where the one that moved less stopped */
	unsigned int seen;
} outcome_rows[] = {
	{ "R13", ".move is written for bad arguments too", errno_put_into_move, false, 0 },
	{ "O1", "exclusive is asked of the page that moves, not of its folio's first page",
	  stopped_by_head, true, 0 },
	{ "O11", "nothing moves between droppable and other memory", refused_as_unlike, true, 0 },
};

static bool small_zero_dirtied(const struct comparison *c, int page)
{
	return c->plan->kind[c->from[page]] == ZERO && c->ours->after[page] & PM_SOFT_DIRTY;
}

static bool huge_zero_dirtied(const struct comparison *c, int page)
{
	return c->plan->kind[c->from[page]] == HUGE_ZERO && c->ours->after[page] & PM_SOFT_DIRTY;
}

/* mremap() by itself marks just what it moves by single entries. */
static bool relocated_is_dirty(const struct comparison *c, int page)
{
	return c->ours->after[page] & PM_SOFT_DIRTY;
}

static bool wp_follows_vma(const struct comparison *c, int page)
{
	bool was_wp = c->ours->before[c->from[page]] & PM_UFFD_WP;
	bool dst_wp = c->plan->registered[DST] & UFFDIO_REGISTER_MODE_WP;

	return !!(c->ours->after[page] & PM_UFFD_WP) == (was_wp && dst_wp);
}

/* Of the huge page at which both stopped, as the destination is occupied, nothing has moved. */
static bool stays_huge(const struct comparison *c, int page)
{
	int src = c->plan->range[SRC].first + pages_moved(c->ours);
	int dst = c->plan->range[DST].first + pages_moved(c->ours);

	return c->ours->after[page] & STATE_HUGE && !(c->base->after[page] & STATE_HUGE) &&
	       c->ours->after[page] == c->ours->before[page] &&
	       page / HUGE_PAGES == src / HUGE_PAGES && c->ours->after[dst] & PM_MAPPED;
}

/* What pagemap says in another way of a huge page than of its pages, when it has been split. */
#define HUGE_BITS	(STATE_HUGE | PM_FILE | PM_SOFT_DIRTY)

/* Differences of bits of a page, of one that both engines moved or of one that neither did. */
static struct page_row {
	const char *id;
	const char *reason;
	__u64 bits;
	enum door door;
	bool moved;
	bool (*meant)(const struct comparison *c, int page);
	unsigned int seen;
} page_rows[] = {
	{ "O3", "a zero page that moved is soft-dirty", PM_SOFT_DIRTY, BY_MOVE, true,
	  small_zero_dirtied, 0 },
	{ "R12", "a huge zero page that moved is soft-dirty", PM_SOFT_DIRTY, BY_MOVE, true,
	  huge_zero_dirtied, 0 },
	{ "R18", "write-protection is kept just where the destination is registered for it",
	  PM_UFFD_WP, BY_MOVE, true, wp_follows_vma, 0 },
	{ "O17", "a huge page of which nothing moves is not split", HUGE_BITS, BY_MOVE, false,
	  stays_huge, 0 },
	{ "RELOCATE", "what is relocated is soft-dirty", PM_SOFT_DIRTY, BY_MREMAP, true,
	  relocated_is_dirty, 0 },
};

/* What every engine has to keep to: errno and .move tell the same. */
static bool outcome_is_sound(const struct plan *plan, const struct outcome *out)
{
	if (plan->door == BY_VECTOR)
		return fates_are_sound(plan, out);
	if (out->ret == 0)
		return out->move == (__s64)plan->args[ARG_LEN];
	if (out->move == MOVE_CANARY)
		return out->error == EFAULT || (out->error == EINVAL && bad_arguments(plan));
	if (out->move > 0)
		return out->error == EAGAIN && out->move < (__s64)plan->args[ARG_LEN] &&
		       out->move % PAGE_BYTES == 0;
	return out->move == -out->error;
}

static int world_page(__u64 addr)
{
	__s64 page = ((__s64)addr - (__s64)WORLD_START) / (__s64)PAGE_BYTES;

	return page >= 0 && page < WORLD_PAGES ? page : NOWHERE;
}

/*
 * Moves page after page on paper: ranges may overlap, and a page may be carried along.
 * mremap() replaces what was there, by a hole too, passes over gaps, and can leave the
 * world.
 */
static void trace_range(bool by_mremap, __u64 dst_addr, __u64 src_addr, int moved, int *from)
{
	int page, src, dst;

	for (page = 0; page < moved; page++) {
		src = world_page(src_addr + page * PAGE_BYTES);
		dst = world_page(dst_addr + page * PAGE_BYTES);
		if (src == NOWHERE || (from[src] == NOWHERE && !by_mremap))
			continue;
		if (dst != NOWHERE)
			from[dst] = from[src];
		from[src] = NOWHERE;
	}
}

static void trace_pages(const struct plan *plan, const struct outcome *out, int *from)
{
	int page, i;

	for (page = 0; page < WORLD_PAGES; page++)
		from[page] = out->before[page] & PM_MAPPED ? page : NOWHERE;
	trace_range(plan->door == BY_MREMAP, plan->args[ARG_DST], plan->args[ARG_SRC],
		    pages_moved(out), from);
	for (i = 0; i < out->dealt; i++)
		trace_range(false, plan->ranges[i].dst, plan->ranges[i].src,
			    out->fates[i].moved / PAGE_BYTES, from);
}

/* A marker has no contents of its own. It may lie where what was swapped out has been dropped. */
static bool is_marker(const struct plan *plan, __u64 before, int page)
{
	int i;

	for (i = 0; i < plan->touches; i++) {
		enum touch touch = plan->touched[i].touch;
		bool drops = touch == POISON || touch == PUNCH || touch == LAZY_FREE;

		if (drops && before & PM_SWAPPED && in_span(plan->touched[i].span, page))
			return true;
	}
	return plan->kind[page] == HOLE;
}

static unsigned int moved_by_kind[NR_KINDS];

static void count_moved(const struct plan *plan, const int *from)
{
	int page;

	for (page = 0; page < WORLD_PAGES; page++)
		if (from[page] != NOWHERE && from[page] != page)
			moved_by_kind[plan->kind[from[page]]]++;
}

/* Is every page, to the byte, where .move says it is? */
static bool pages_are_sound(const struct plan *plan, const struct outcome *out)
{
	static int from[WORLD_PAGES];
	enum side side;
	int i, page;
	bool empty;

	/* Pages moved, yet .move can't say so; or mremap() failed after it had unmapped some. */
	if (has_twist(plan, ARG_READONLY) || (plan->door == BY_MREMAP && out->error))
		return true;
	trace_pages(plan, out, from);
	for (side = SRC; side <= DST; side++)
		for (i = 0; i < plan->window[side].count; i++) {
			page = plan->window[side].first + i;
			empty = from[page] == NOWHERE;
			if (empty == !!(out->after[page] & PM_MAPPED))
				return false;
			if (empty || is_marker(plan, out->before[from[page]], from[page]))
				continue;
			if (out->content[page] != planned_content(plan, from[page]))
				return false;
		}
	return true;
}

/*
 * What the base left, and the rest of the huge page at its end, which a longer
 * move splits. All that is looked at if ours moved nothing.
 */
static struct span still_to_move(const struct comparison *c, enum side side)
{
	struct span span = c->plan->range[side];
	int end = span.first + span.count;

	if (!pages_moved(c->ours))
		return c->plan->window[side];

	span.first += pages_moved(c->base);
	span.count = end + HUGE_PAGES - 1 - (end - 1) % HUGE_PAGES - span.first;
	return span;
}

/* The one that is being judged. */
static struct comparison current;

static bool outcomes_agree(struct comparison *c, bool *intended)
{
	size_t i;

	for (i = 0; c->plan->door == BY_MOVE && i < ARRAY_SIZE(outcome_rows); i++) {
		enum side side;

		if (!outcome_rows[i].meant(c))
			continue;
		outcome_rows[i].seen++;
		*intended = true;
		for (side = SRC; outcome_rows[i].moves_more && side <= DST; side++)
			c->excused[side] = still_to_move(c, side);
		return true;
	}
	return c->base->ret == c->ours->ret && c->base->error == c->ours->error &&
	       c->base->move == c->ours->move && fates_agree(c->base, c->ours);
}

static bool bit_is_meant(const struct comparison *c, int page, __u64 bit, bool *seen)
{
	bool moved = c->from[page] != page;
	size_t i;

	if (c->from[page] == NOWHERE)
		return false;
	for (i = 0; i < ARRAY_SIZE(page_rows); i++)
		if (page_rows[i].door == c->plan->door && page_rows[i].bits & bit &&
		    page_rows[i].moved == moved && page_rows[i].meant(c, page)) {
			seen[i] = true;
			return true;
		}
	return false;
}

static bool page_agrees(const struct comparison *c, int page, bool *seen)
{
	__u64 bit, bits = c->base->after[page] ^ c->ours->after[page];

	/* Which pages moved is not known, so only that the same ones did is asked for. */
	if (has_twist(c->plan, ARG_READONLY))
		bits &= PM_MAPPED;
	if (in_span(c->excused[SRC], page) || in_span(c->excused[DST], page))
		return true;
	if (c->base->content[page] != c->ours->content[page])
		return false;
	for (; bits; bits &= ~bit) {
		bit = bits & -bits;
		if (!bit_is_meant(c, page, bit, seen))
			return false;
	}
	return true;
}

static bool pages_agree(const struct comparison *c, bool *intended)
{
	bool seen[ARRAY_SIZE(page_rows)] = { false };
	enum side side;
	size_t row;
	int i;

	for (side = SRC; side <= DST; side++)
		for (i = 0; i < c->plan->window[side].count; i++)
			if (!page_agrees(c, c->plan->window[side].first + i, seen))
				return false;
	for (row = 0; row < ARRAY_SIZE(page_rows); row++)
		if (seen[row]) {
			page_rows[row].seen++;
			*intended = true;
		}
	return true;
}

static bool same_start(const struct plan *plan, const struct outcome *base,
		       const struct outcome *ours)
{
	enum side side;

	for (side = SRC; side <= DST; side++)
		if (memcmp(base->before + plan->window[side].first,
			   ours->before + plan->window[side].first,
			   plan->window[side].count * sizeof(*base->before)))
			return false;
	return true;
}

/* Those of pagemap that any page had: not every kernel has soft-dirty bits. */
static __u64 bits_met;

static void meet_bits(const struct plan *plan, const struct outcome *ours)
{
	const struct span *window = &plan->window[SRC];
	int i;

	for (i = window->first; i < window->first + window->count; i++)
		bits_met |= ours->before[i];
}

/**
 * compare_outcomes() - are two outcomes of one call the same, but for what is meant to differ?
 * @plan: the call
 * @base: what the base's engine made of it
 * @ours: what ours did
 *
 * Return: the verdict; intended differences are counted for report_intended().
 */
enum verdict compare_outcomes(const struct plan *plan, const struct outcome *base,
			      const struct outcome *ours)
{
	bool intended = false;

	current = (struct comparison){ .plan = plan, .base = base, .ours = ours };
	if (!base->made || !ours->made || !same_start(plan, base, ours))
		return NOT_COMPARABLE;
	if (!base->finished || !ours->finished)
		return DIFFERENT;
	if (!outcome_is_sound(plan, base) || !outcome_is_sound(plan, ours) ||
	    !pages_are_sound(plan, base) || !pages_are_sound(plan, ours))
		return DIFFERENT;
	trace_pages(plan, base, current.from);
	meet_bits(plan, ours);
	count_moved(plan, current.from);
	count_stops(ours);
	if (!outcomes_agree(&current, &intended) || !pages_agree(&current, &intended))
		return DIFFERENT;
	return intended ? INTENDED : ALIKE;
}

static void print_outcome(const char *engine, const struct plan *plan, const struct outcome *out)
{
	if (!out->finished) {
		printf("#   %s: did not come back\n", engine);
		return;
	}
	printf("#   %s: ret %d errno %d .move %lld%s%s\n", engine, out->ret, out->error, out->move,
	       outcome_is_sound(plan, out) ? "" : " (contradictory)",
	       pages_are_sound(plan, out) ? "" : " (pages are not where .move says)");
}

/**
 * explain_outcomes() - shows what compare_outcomes() has just judged, with the first bad pages
 * @plan: the call
 * @base: what the base's engine made of it
 * @ours: what ours did
 */
void explain_outcomes(const struct plan *plan, const struct outcome *base,
		      const struct outcome *ours)
{
	bool seen[ARRAY_SIZE(page_rows)];
	int page, shown = 0;

	print_outcome("base", plan, base);
	print_outcome("ours", plan, ours);
	if (plan->door == BY_VECTOR)
		explain_fates(plan, base, ours);
	for (page = 0; page < WORLD_PAGES && shown < 10; page++) {
		if (page_agrees(&current, page, seen))
			continue;
		printf("#   page %d: before %#llx, after %#llx / %#llx, content %#llx / %#llx\n",
		       page, base->before[page], base->after[page], ours->after[page],
		       base->content[page], ours->content[page]);
		shown++;
	}
}

static bool report(bool ok, unsigned int test, const char *name)
{
	printf("%sok %u - %s\n", ok ? "" : "not ", test, name);
	return ok;
}

static bool report_seen(unsigned int test, unsigned int seen, const char *id, const char *reason)
{
	char name[160];

	snprintf(name, sizeof(name), "%s, seen in %u calls: %s", id, seen, reason);
	return report(seen, test, name);
}

static bool report_row(unsigned int test, const struct page_row *row)
{
	if (row->bits != PM_SOFT_DIRTY || bits_met & PM_SOFT_DIRTY)
		return report_seen(test, row->seen, row->id, row->reason);
	printf("ok %u - %s # SKIP no soft-dirty bits in this kernel\n", test, row->id);
	return true;
}

/**
 * intended_rows() - how many results report_intended() prints
 * @door: by which call
 *
 * Return: their number.
 */
unsigned int intended_rows(enum door door)
{
	unsigned int rows = door == BY_MOVE ? ARRAY_SIZE(outcome_rows) : 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(page_rows); i++)
		rows += page_rows[i].door == door;
	return rows;
}

/**
 * report_intended() - one TAP result for each intended difference: was it ever seen?
 * @test: number of the first result
 * @door: by which call
 *
 * Return: how many were never seen.
 */
unsigned int report_intended(unsigned int test, enum door door)
{
	unsigned int failed = 0;
	size_t i;

	for (i = 0; door == BY_MOVE && i < ARRAY_SIZE(outcome_rows); i++)
		failed += !report_seen(test++, outcome_rows[i].seen, outcome_rows[i].id,
				       outcome_rows[i].reason);
	for (i = 0; i < ARRAY_SIZE(page_rows); i++)
		if (page_rows[i].door == door)
			failed += !report_row(test++, &page_rows[i]);
	return failed;
}

/**
 * report_kinds() - one TAP result: did pages of every kind that may move do so?
 * @test: number of the result
 * @door: by which call; mremap() moves what is shared as well
 *
 * Return: 1 if not, else 0.
 */
unsigned int report_kinds(unsigned int test, enum door door)
{
	bool all = true;
	enum kind kind;

	for (kind = SMALL; kind < NR_KINDS; kind++) {
		bool shared = kind == SHARED || kind == SHARED_THP || kind == HEAD_SHARED;

		printf("# %s: %u pages moved\n", kind_names[kind], moved_by_kind[kind]);
		all = all && ((shared && door != BY_MREMAP) || moved_by_kind[kind]);
	}
	return !report(all, test, "pages of every kind moved");
}
