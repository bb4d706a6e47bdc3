// SPDX-License-Identifier: GPL-2.0
/* Differential test: makes up one random call, valid or not, and the memory it meets. */
#include <linux/userfaultfd.h>

#include "differential.h"

/* Beyond the ranges; a mover that oversteps is caught there. */
#define MARGIN_PAGES	16
#define MAX_PAGES	1024

static const char *const touch_names[NR_TOUCHES] = {
	[PUNCH] = "punched", [LAZY_FREE] = "lazily freed", [MAP_BY_PTES] = "mapped by PTEs",
	[WRITE_PROTECT] = "write-protected", [POISON] = "poisoned",
};

/* How a twist changes an argument of the ioctl; the others change the world or something else. */
enum change { KEEP, SET, ADD_ODD, ADD_BIT, BEYOND_VMA };

#define KERNEL_ADDRESS	0xffff888000000000ULL
#define NOWHERE		0x200000000000ULL
#define WORLD_BYTES	(WORLD_PAGES * PAGE_BYTES)

static const struct {
	const char *name;
	enum change change;
	enum arg arg;
	__u64 value;
} twists[NR_TWISTS] = {
	[SRC_UNALIGNED]		= { "source unaligned", ADD_ODD, ARG_SRC },
	[DST_UNALIGNED]		= { "destination unaligned", ADD_ODD, ARG_DST },
	[LEN_UNALIGNED]		= { "length unaligned", ADD_ODD, ARG_LEN },
	[LEN_ZERO]		= { "length 0", SET, ARG_LEN, 0 },
	[LEN_WRAPS]		= { "length wraps", SET, ARG_LEN, -WORLD_BYTES },
	[LEN_TOO_LONG]		= { "length beyond all VMAs", SET, ARG_LEN, 2 * WORLD_BYTES },
	[SRC_KERNEL]		= { "kernel source", SET, ARG_SRC, KERNEL_ADDRESS },
	[DST_KERNEL]		= { "kernel destination", SET, ARG_DST, KERNEL_ADDRESS },
	[SRC_LOW]		= { "source 0", SET, ARG_SRC, 0 },
	[DST_LOW]		= { "destination 0", SET, ARG_DST, 0 },
	[SRC_NOWHERE]		= { "unmapped source", SET, ARG_SRC, NOWHERE },
	[DST_NOWHERE]		= { "unmapped destination", SET, ARG_DST, NOWHERE },
	[SRC_BEYOND]		= { "source beyond its VMA", BEYOND_VMA, ARG_SRC },
	[DST_BEYOND]		= { "destination beyond its VMA", BEYOND_VMA, ARG_DST },
	[MODE_UNKNOWN]		= { "unknown mode bit", ADD_BIT, ARG_MODE },
	[ARG_BAD]		= { "argument at no address" },
	[ARG_READONLY]		= { "read-only argument" },
	[FD_OTHER]		= { "descriptor of another range" },
	[FD_FOREIGN]		= { "descriptor of another process" },
	[SRC_GAP]		= { "gap in the source" },
	[DST_GAP]		= { "gap in the destination" },
	[SRC_SHMEM]		= { "shared source" },
	[DST_SHMEM]		= { "shared destination" },
	[SRC_FILE]		= { "private file source" },
	[DST_FILE]		= { "private file destination" },
	[SRC_HUGETLB]		= { "hugetlb source" },
	[DST_HUGETLB]		= { "hugetlb destination" },
	[SRC_READONLY]		= { "read-only source" },
	[DST_READONLY]		= { "read-only destination" },
	[BOTH_READONLY]		= { "read-only VMAs" },
	[SRC_EXEC]		= { "executable source" },
	[SRC_LOCKED]		= { "locked source" },
	[DST_LOCKED]		= { "locked destination" },
	[SRC_DROPPABLE]		= { "droppable source" },
	[DST_DROPPABLE]		= { "droppable destination" },
	[DST_UNREGISTERED]	= { "unregistered destination" },
	[DST_HALF_REGISTERED]	= { "half-registered destination" },
};

/* Splitmix64: small, and every seed is a good one. */
static __u64 next_random(struct plan *plan)
{
	__u64 z = plan->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static int below(struct plan *plan, int limit)
{
	return next_random(plan) % limit;
}

static bool one_in(struct plan *plan, int n)
{
	return below(plan, n) == 0;
}

/* 1 to @limit, small ones as often as large ones by order of magnitude. */
static int magnitude_below(struct plan *plan, int limit)
{
	int order = below(plan, 32 - __builtin_clz(limit));
	int value = (1 << order) + below(plan, 1 << order);

	return value < limit ? value : limit;
}

static struct span clamp_to(struct span span, struct span bounds)
{
	int end = span.first + span.count;
	int bounds_end = bounds.first + bounds.count;

	if (end > bounds_end)
		end = bounds_end;
	if (span.first < bounds.first)
		span.first = bounds.first;
	span.count = end > span.first ? end - span.first : 0;
	return span;
}

/* The VMA that a range lies in, before any twist. */
struct span vma_of(const struct plan *plan, enum side side)
{
	int first = plan->range[side].first;

	if (plan->one_vma)
		return (struct span){ 0, WORLD_PAGES };
	return (struct span){ first - first % HALF_PAGES, HALF_PAGES };
}

/* Somewhere in @bounds, at @residue modulo @align where that fits. */
static int place(struct plan *plan, struct span bounds, int len, int align, int residue)
{
	int last = bounds.first + bounds.count - len;
	int page = bounds.first + below(plan, bounds.count - len + 1);
	int wanted = page - page % align + residue;

	if (wanted > last)
		wanted -= align;
	return wanted >= bounds.first && wanted <= last ? wanted : page;
}

static void choose_ranges(struct plan *plan)
{
	struct span world = { 0, WORLD_PAGES };
	struct span src_vma = world, dst_vma = world;
	int len = one_in(plan, 6) ? HUGE_PAGES : magnitude_below(plan, MAX_PAGES);
	int align[] = { 1, 16, HUGE_PAGES, HUGE_PAGES };
	int how = below(plan, ARRAY_SIZE(align));
	int src, dst;

	plan->one_vma = one_in(plan, 3);
	if (!plan->one_vma) {
		src_vma = (struct span){ below(plan, 2) * HALF_PAGES, HALF_PAGES };
		dst_vma = (struct span){ HALF_PAGES - src_vma.first, HALF_PAGES };
	}
	src = place(plan, src_vma, len, HUGE_PAGES, how == 3 ? 0 : below(plan, HUGE_PAGES));
	dst = place(plan, dst_vma, len, align[how], src % align[how]);
	/* A range moved by less than its length walks over its own pages. */
	if (plan->one_vma && one_in(plan, 2)) {
		dst = src + below(plan, 65) - 32;
		if (dst < 0 || dst + len > WORLD_PAGES)
			dst = src;
	}
	plan->range[SRC] = (struct span){ src, len };
	plan->range[DST] = (struct span){ dst, len };
}

/*
 * Paints the whole folio that @page would lie in, except over a larger one.
 * Returns the first page behind it.
 */
static int paint(struct plan *plan, int page, enum kind kind)
{
	int pages = kind_pages[kind];
	int first = page - page % pages;
	int i;

	for (i = first; i < first + pages; i++)
		if (kind_pages[plan->kind[i]] > pages)
			return first + pages;
	for (i = first; i < first + pages; i++)
		plan->kind[i] = kind;
	return first + pages;
}

static void choose_source(struct plan *plan)
{
	static const enum kind easy[] = {
		SMALL, SMALL, SMALL, SMALL, ZERO, ZERO, SWAPPED, SWAPPED, CACHED, READ_BACK, MTHP,
		MTHP, MTHP_SWAPPED, THP, COLLAPSED, HUGE_ZERO,
	};
	static const enum kind hard[] = { HOLE, SHARED, SHARED_THP, HEAD_SHARED, TAIL_SHARED };
	bool holes = plan->args[ARG_MODE] & UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES;
	struct span window = plan->window[SRC];
	int page = window.first, end = window.first + window.count;
	enum kind palette[3];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(palette); i++)
		palette[i] = easy[below(plan, ARRAY_SIZE(easy))];
	if (holes && one_in(plan, 2))
		palette[0] = HOLE;
	while (page < end) {
		enum kind kind = palette[below(plan, ARRAY_SIZE(palette))];
		int run_end = page + magnitude_below(plan, 256);

		while (page < run_end && page < end)
			page = paint(plan, page, kind);
	}
	if (one_in(plan, 4))
		paint(plan, plan->range[SRC].first + below(plan, plan->range[SRC].count),
		      hard[below(plan, ARRAY_SIZE(hard))]);
}

/* Empty but for an occupied page now and then. */
static void choose_destination(struct plan *plan)
{
	struct span src = plan->range[SRC], dst = plan->range[DST];
	int page;

	for (page = dst.first; page < dst.first + dst.count; page++)
		if (page < src.first || page >= src.first + src.count)
			paint(plan, page, HOLE);
	if (one_in(plan, 4))
		paint(plan, dst.first + below(plan, dst.count), below(plan, NR_KINDS));
}

/* The VMAs themselves are not what a program would give. */
static bool has_world_twist(const struct plan *plan)
{
	return plan->twists[0] >= FIRST_WORLD_TWIST || plan->twists[1] >= FIRST_WORLD_TWIST;
}

static void choose_touches(struct plan *plan)
{
	int count = one_in(plan, 2) ? 1 + below(plan, ARRAY_SIZE(plan->touched)) : 0;

	if (has_world_twist(plan))
		return;
	while (plan->touches < count) {
		struct touched *touched = &plan->touched[plan->touches++];
		enum side side = one_in(plan, 6) ? DST : SRC;
		struct span range = plan->range[side];

		touched->touch = below(plan, plan->door == BY_MREMAP ? WRITE_PROTECT : NR_TOUCHES);
		touched->span.first = range.first + below(plan, range.count);
		touched->span.count = magnitude_below(plan, 64);
		touched->span = clamp_to(touched->span, vma_of(plan, side));
		if (touched->touch == WRITE_PROTECT)
			plan->registered[side] |= UFFDIO_REGISTER_MODE_WP;
		if (touched->touch == POISON)
			plan->registered[side] |= UFFDIO_REGISTER_MODE_MISSING;
	}
}

static void choose_registration(struct plan *plan)
{
	static const __u64 modes[] = {
		UFFDIO_REGISTER_MODE_MISSING, UFFDIO_REGISTER_MODE_WP,
		UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};

	/* Not every kind of VMA can be write-protected. */
	plan->registered[DST] |= has_world_twist(plan) ? modes[0] :
				 modes[below(plan, ARRAY_SIZE(modes))];
	if (!has_world_twist(plan) && one_in(plan, 3))
		plan->registered[SRC] |= modes[below(plan, ARRAY_SIZE(modes))];
	/* Such memory is not relocated. */
	if (plan->door == BY_MREMAP && !one_in(plan, 4)) {
		plan->registered[SRC] = 0;
		plan->registered[DST] = 0;
	}
	if (plan->one_vma) {
		plan->registered[DST] |= plan->registered[SRC];
		plan->registered[SRC] = 0;
	}
	plan->src_fd = plan->one_vma ? 0 : below(plan, 2);
	plan->locked = !has_world_twist(plan) && one_in(plan, 8);
	plan->clear_soft_dirty = !one_in(plan, 4);
}

static void set_args(struct plan *plan)
{
	plan->args[ARG_SRC] = (__u64)page_at(plan->range[SRC].first);
	plan->args[ARG_DST] = (__u64)page_at(plan->range[DST].first);
	plan->args[ARG_LEN] = plan->range[SRC].count * PAGE_BYTES;
}

static __u64 beyond_vma(struct plan *plan, enum side side)
{
	struct span vma = vma_of(plan, side);
	int overlap = below(plan, plan->range[side].count);

	return (__u64)page_at(vma.first + vma.count - overlap);
}

static void twist_args(struct plan *plan, enum twist twist)
{
	__u64 *arg = &plan->args[twists[twist].arg];

	switch (twists[twist].change) {
	case KEEP:
		break;
	case SET:
		*arg = twists[twist].value;
		break;
	case ADD_ODD:
		*arg += 1 + below(plan, PAGE_BYTES - 1);
		break;
	case ADD_BIT:
		*arg |= BIT_ULL(2 + below(plan, 62));
		break;
	case BEYOND_VMA:
		*arg = beyond_vma(plan, twists[twist].arg == ARG_SRC ? SRC : DST);
		break;
	}
}

/*
 * An ioctl has a descriptor and an argument; and mremap() takes any length. What is wrong with
 * a vector is wrong with one of its ranges, as what is wrong with all of it is no range's fault.
 */
static bool means_something(const struct plan *plan, enum twist twist)
{
	switch (plan->door) {
	case BY_MREMAP:
		return twist != LEN_UNALIGNED && (twist < ARG_BAD || twist > FD_FOREIGN);
	case BY_VECTOR:
		return twist < MODE_UNKNOWN || twist == FD_OTHER || twist > FD_FOREIGN;
	default:
		return true;
	}
}

/* Two at once show which of them is looked for first; VMAs take only one. */
static void choose_twists(struct plan *plan)
{
	int i, count = one_in(plan, 5) ? 1 + one_in(plan, 4) : 0;

	for (i = 0; i < count; i++) {
		enum twist twist = 1 + below(plan, (i ? FIRST_WORLD_TWIST : NR_TWISTS) - 1);

		if (!means_something(plan, twist))
			continue;
		plan->twists[i] = twist;
		twist_args(plan, twist);
	}
}

static struct uffdio_movev_range range_of(int dst, int src, int pages)
{
	return (struct uffdio_movev_range){
		.dst = (__u64)page_at(dst), .src = (__u64)page_at(src), .len = pages * PAGE_BYTES,
	};
}

/* From anywhere to anywhere, also to where the one before it goes, which may be under way. */
static struct uffdio_movev_range stray_range(struct plan *plan, int i)
{
	struct span src = plan->range[one_in(plan, 4) ? DST : SRC];
	struct span dst = plan->range[one_in(plan, 4) ? SRC : DST];
	int pages = magnitude_below(plan, src.count);
	struct uffdio_movev_range range;

	range = range_of(dst.first + below(plan, dst.count - pages + 1),
			 src.first + below(plan, src.count - pages + 1), pages);
	if (i && one_in(plan, 3))
		range.dst = plan->ranges[i - 1].dst;
	return range;
}

/* Pieces of the whole, in order or to the other end, and strays among them or behind. */
static void choose_pieces(struct plan *plan)
{
	struct span src = plan->range[SRC], dst = plan->range[DST];
	int unit = magnitude_below(plan, 64), stray = 6 * below(plan, 3), at = 0;
	bool reversed = one_in(plan, 3), apart = one_in(plan, 2);
	int i, count = magnitude_below(plan, RANGES_MAX);

	for (i = 0; i < count; i++) {
		int pages = 1 + below(plan, unit);
		int to = reversed ? src.count - at - pages : at;

		if (at + pages > src.count || (stray && one_in(plan, stray))) {
			plan->ranges[i] = stray_range(plan, i);
			continue;
		}
		plan->ranges[i] = range_of(dst.first + to, src.first + at, pages);
		at += pages + (apart ? below(plan, 2 * unit) : 0);
	}
	plan->nr_ranges = count;
}

/* Ranges may be on either side, so all of both is looked at. */
static void choose_vector(struct plan *plan)
{
	enum side side;

	choose_pieces(plan);
	/* With what is wrong with it. */
	if (plan->twists[0] || one_in(plan, 4))
		plan->ranges[below(plan, plan->nr_ranges)] = (struct uffdio_movev_range){
			.dst = plan->args[ARG_DST], .src = plan->args[ARG_SRC],
			.len = plan->args[ARG_LEN],
		};
	plan->go_on = one_in(plan, 2);
	for (side = SRC; side <= DST; side++)
		plan->window[side] = vma_of(plan, side);
}

/**
 * plan_call() - makes up a call of the sequence that a seed names
 * @plan: its door and seed are given, the rest is filled in
 * @number: any number; each call can be made up alone
 */
void plan_call(struct plan *plan, unsigned int number)
{
	enum side side;

	*plan = (struct plan){
		.door = plan->door, .seed = plan->seed, .number = number,
	};
	plan->random = plan->seed ^ (number * 0xd1342543de82ef95ULL);
	plan->args[ARG_MODE] = below(plan, 4);
	choose_ranges(plan);
	for (side = SRC; side <= DST; side++) {
		plan->window[side].first = plan->range[side].first - MARGIN_PAGES;
		plan->window[side].count = plan->range[side].count + 2 * MARGIN_PAGES;
		plan->window[side] = clamp_to(plan->window[side], vma_of(plan, side));
	}
	choose_source(plan);
	choose_destination(plan);
	set_args(plan);
	choose_twists(plan);
	choose_touches(plan);
	choose_registration(plan);
	if (plan->door == BY_VECTOR)
		choose_vector(plan);
}

static void print_kinds(const struct plan *plan, struct span span)
{
	int page = span.first, end = span.first + span.count;

	while (page < end) {
		int first = page;

		while (page < end && plan->kind[page] == plan->kind[first])
			page++;
		printf("#     pages %d..%d %s\n", first, page - 1, kind_names[plan->kind[first]]);
	}
}

/**
 * print_plan() - describes a call and its memory in TAP comments
 * @plan: the call
 */
void print_plan(const struct plan *plan)
{
	static const char *const side_names[] = { [SRC] = "source", [DST] = "destination" };
	enum side side;
	int i;

	printf("# call %u: src %#llx dst %#llx len %#llx mode %#llx, %s%s%s\n", plan->number,
	       plan->args[ARG_SRC], plan->args[ARG_DST], plan->args[ARG_LEN], plan->args[ARG_MODE],
	       plan->one_vma ? "one VMA" : "two VMAs", plan->locked ? ", mlocked" : "",
	       plan->clear_soft_dirty ? "" : ", soft-dirty not cleared");
	for (i = 0; i < 2; i++)
		if (plan->twists[i])
			printf("#   on purpose: %s\n", twists[plan->twists[i]].name);
	for (side = SRC; side <= DST; side++) {
		printf("#   %s pages %d..%d, registered with modes %llu\n", side_names[side],
		       plan->range[side].first,
		       plan->range[side].first + plan->range[side].count - 1,
		       plan->registered[side]);
		print_kinds(plan, plan->window[side]);
	}
	for (i = 0; i < plan->touches; i++)
		printf("#   %s: %d pages from %d on\n", touch_names[plan->touched[i].touch],
		       plan->touched[i].span.count, plan->touched[i].span.first);
}
