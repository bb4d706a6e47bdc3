// SPDX-License-Identifier: GPL-2.0
/*
 * What a round is: cells of the matrix, drawn without repetition, and what the
 * seed decides besides.
 */
#include <string.h>

#include "stress.h"

static const char * const shift_names[SHIFTS] = {
	[SHIFT_NONE] = "aligned", [SHIFT_PAGE] = "shifted", [SHIFT_ACROSS] = "across",
};

static const char * const movers[MOVERS] = {
	[MOVER_UFFD] = "UFFDIO_MOVE", [MOVER_VECTOR] = "UFFDIO_MOVEV",
	[MOVER_COPY] = "UFFDIO_MOVEV with copies",
	[MOVER_ONLYPAGES] = "ONLYPAGES", [MOVER_RELOCATE] = "RELOCATE_ANON",
};

static const char * const length_names[LENGTHS] = {
	[LENGTH_PAGE] = "1 page", [LENGTH_FEW] = "few", [LENGTH_PMD] = "2M",
	[LENGTH_PMDS] = "PMDs", [LENGTH_GIB] = "1G",
};

/**
 * draw() - the next random number
 * @random: state of the generator, any number
 *
 * This is splitmix64.
 *
 * Return: the number.
 */
__u64 draw(__u64 *random)
{
	__u64 x = *random += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/**
 * draw_below() - a random number below a bound
 * @random: state of the generator
 * @n: the bound, not 0
 *
 * Return: the number.
 */
size_t draw_below(__u64 *random, size_t n)
{
	return draw(random) % n;
}

/**
 * cell_of() - the cell where these three meet
 * @kind: enum stress_kind_id
 * @geometry: number of the geometry
 * @rival: enum rival_id
 *
 * Return: its number.
 */
unsigned int cell_of(unsigned int kind, unsigned int geometry, unsigned int rival)
{
	return (kind * GEOMETRIES + geometry) * RIVALS + rival;
}

/* Cells that nobody can hit, on any machine; -1 is any. */
static const struct {
	int kind, shift, length, rival;
	const char *why;
} impossible[] = {
	{ -1, SHIFT_ACROSS, LENGTH_PAGE, -1, "one page crosses no border" },
	{ STRESS_MLOCKED, -1, -1, RIVAL_DONTNEED, "mlocked memory is never dropped" },
	{ STRESS_MLOCKED, -1, -1, RIVAL_PAGEOUT, "mlocked memory is never paged out" },
	{ STRESS_WRITE_TRACKED, -1, -1, RIVAL_WRITE_PROTECT, "it would undo what is looked for" },
};

static const char *kind_lacks[STRESS_KINDS], *rival_lacks[RIVALS], *mover_lacks[MOVERS];

/**
 * cell_excluded() - why a cell can't be hit
 * @cell: its number
 *
 * Return: the reason, or NULL.
 */
const char *cell_excluded(unsigned int cell)
{
	int rival = cell % RIVALS, geometry = cell / RIVALS % GEOMETRIES;
	int length = geometry % LENGTHS, shift = geometry / LENGTHS % SHIFTS;
	int kind = cell / RIVALS / GEOMETRIES;
	const char *missing = kind_lacks[kind] ? kind_lacks[kind] : rival_lacks[rival];
	size_t i;

	for (i = 0; !missing && i < ARRAY_SIZE(impossible); i++)
		if ((impossible[i].kind < 0 || impossible[i].kind == kind) &&
		    (impossible[i].shift < 0 || impossible[i].shift == shift) &&
		    (impossible[i].length < 0 || impossible[i].length == length) &&
		    (impossible[i].rival < 0 || impossible[i].rival == rival))
			missing = impossible[i].why;
	return missing;
}

/* A kind of pages meets one rival or two. */
struct encounter {
	enum stress_kind_id kind;
	unsigned int rivals;
};

/*
 * To meet two at once takes half as many rounds. Those that blunt the model in
 * the same way meet the pages together, so that the others leave it sharp.
 */
static const struct {
	enum rival_id rivals[RIVALS];
	size_t count;
} alike[] = {
	/* Pages are gone. */
	{ { RIVAL_DONTNEED, RIVAL_MUNMAP }, 2 },
	/* Shared pages are copied. */
	{ { RIVAL_COLLAPSE, RIVAL_PIN, RIVAL_PAGEOUT, RIVAL_FAULT }, 4 },
	{ { RIVAL_FORK, RIVAL_MOVE_SRC, RIVAL_MPROTECT, RIVAL_COMPACT }, 4 },
	{ { RIVAL_MREMAP, RIVAL_MOVE_DST, RIVAL_MIGRATE, RIVAL_WRITE_PROTECT }, 4 },
};

/* The encounters of each geometry that has any, in the order in which they come. */
static struct {
	unsigned int geometry;
	size_t count;
	struct encounter of[STRESS_KINDS * RIVALS];
} decks[GEOMETRIES];

static size_t nr_decks;

static void shuffle(void *items, size_t n, size_t size, __u64 *random)
{
	char item[sizeof(struct encounter)], *last, *other;

	for (; n > 1; n--) {
		other = (char *)items + draw_below(random, n) * size;
		last = (char *)items + (n - 1) * size;
		memcpy(item, other, size);
		memcpy(other, last, size);
		memcpy(last, item, size);
	}
}

/* Returns how many encounters a kind has with rivals that are alike. */
static size_t pair_up(struct encounter *e, unsigned int kind, unsigned int geometry, size_t group,
		      __u64 *random)
{
	enum rival_id order[RIVALS];
	size_t i, met = 0;

	memcpy(order, alike[group].rivals, sizeof(order));
	shuffle(order, alike[group].count, sizeof(*order), random);
	for (i = 0; i < alike[group].count; i++) {
		if (cell_excluded(cell_of(kind, geometry, order[i])))
			continue;
		if (met % 2 == 0)
			e[met / 2] = (struct encounter){ .kind = kind };
		e[met++ / 2].rivals |= BIT(order[i]);
	}
	return (met + 1) / 2;
}

/**
 * plan_cells() - decide in which order the cells come, before any round is planned
 * @seed: of the run
 *
 * The geometries take turns, as few rounds would miss one of them else.
 *
 * Return: the number of rounds in which each encounter comes once.
 */
unsigned int plan_cells(__u64 seed)
{
	unsigned int geometry, kind, most = 0;
	size_t group;

	for (kind = 0; kind < STRESS_KINDS; kind++)
		kind_lacks[kind] = stress_kind_missing(kind);
	for (group = 0; group < RIVALS; group++)
		rival_lacks[group] = rival_missing(group);
	mover_lacks[MOVER_RELOCATE] = relocate_missing();
	mover_lacks[MOVER_VECTOR] = vectors_missing();
	mover_lacks[MOVER_COPY] = features_missing(UFFD_FEATURE_MOVEV_COPY, "no copies");
	for (geometry = 0; geometry < GEOMETRIES; geometry++) {
		typeof(*decks) *deck = &decks[nr_decks];

		for (kind = 0; kind < STRESS_KINDS; kind++)
			for (group = 0; group < ARRAY_SIZE(alike); group++)
				deck->count += pair_up(deck->of + deck->count, kind, geometry,
						       group, &seed);
		shuffle(deck->of, deck->count, sizeof(*deck->of), &seed);
		deck->geometry = geometry;
		nr_decks += deck->count > 0;
		most = deck->count > most ? deck->count : most;
	}
	return nr_decks * most;
}

static void plan_length(struct plan *p, enum length length)
{
	static const size_t least[LENGTHS] = { 1, 2, PMD_PAGES, PMD_PAGES + 1, GIB_PAGES };
	static const size_t spread[LENGTHS] = { 1, 40, 1, PMD_PAGES, 1 };

	p->len = least[length] + draw_below(&p->random, spread[length]);
	p->area = (p->len / PMD_PAGES + 3) * PMD_PAGES;
	p->mode = length == LENGTH_GIB || !draw_below(&p->random, 4) ?
		UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES : 0;
}

static void plan_offsets(struct plan *p, enum shift shift)
{
	size_t most = p->len < PMD_PAGES ? p->len : PMD_PAGES;

	if (shift == SHIFT_ACROSS) {
		p->src = PMD_PAGES - 1 - draw_below(&p->random, most - 1);
		p->dst = PMD_PAGES - 1 - draw_below(&p->random, most - 1);
		return;
	}
	p->src = p->len < PMD_PAGES ?
		draw_below(&p->random, PMD_PAGES / MTHP_PAGES) * MTHP_PAGES : 0;
	p->dst = p->src + draw_below(&p->random, 2) * PMD_PAGES;
	p->dst += shift == SHIFT_PAGE;
}

static void add_span(struct plan *p, size_t unit, size_t first, size_t end)
{
	struct span *s = &p->spans[p->nr_spans++];

	s->first = first / unit * unit;
	s->count = (end + unit - 1) / unit * unit - s->first;
}

/* All of it; of a GiB a part at both ends and one between. Whole folios, so perhaps more. */
static void plan_spans(struct plan *p)
{
	size_t unit = page_kinds[p->base].unit, few = unit < 32 ? 32 : unit, middle;

	if (p->len < GIB_PAGES) {
		add_span(p, unit, p->src, p->src + p->len);
	} else {
		middle = p->src + p->len / 4 + draw_below(&p->random, p->len / 2);
		add_span(p, unit, p->src, p->src + few);
		add_span(p, unit, middle, middle + few);
		add_span(p, unit, p->src + p->len - few, p->src + p->len);
	}
	/* The hint of the last page tells that all pages before it have one. */
	if (p->kind == STRESS_NUMA_HINTED)
		add_span(p, unit, p->area - unit, p->area);
}

static void plan_kind(struct plan *p)
{
	static const enum page_kind_id bases[] = { KIND_SMALL, KIND_MTHP, KIND_THP };
	const struct stress_kind *kind = &stress_kinds[p->kind];

	p->base = kind->base;
	if (p->base == KINDS)
		p->base = bases[draw_below(&p->random, ARRAY_SIZE(bases))];
	p->registered = p->one_vma || kind->register_src || draw_below(&p->random, 2);
	p->wp = draw_below(&p->random, BIT(AREAS));
	if (p->kind == STRESS_WRITE_PROTECTED)
		p->wp |= BIT(AREA_SRC);
	if (p->kind == STRESS_WRITE_TRACKED)
		p->wp = BIT(AREAS) - 1;
	if (p->rivals & BIT(RIVAL_WRITE_PROTECT))
		p->wp |= BIT(AREA_DST);
	/* One VMA has one registration. */
	if (p->one_vma && p->wp & (BIT(AREA_SRC) | BIT(AREA_DST)))
		p->wp |= BIT(AREA_SRC) | BIT(AREA_DST);
}

/*
 * Who takes mappings with it loses what came to their new place before, and what
 * a rival has taken away to bring it back. Who copies leaves a pin behind.
 */
static enum mover draw_mover(struct plan *p)
{
	const unsigned int brings = BIT(RIVAL_MREMAP) | BIT(RIVAL_MOVE_DST);
	enum mover mover = draw_below(&p->random, MOVERS);

	if ((mover == MOVER_RELOCATE && p->rivals & brings) || mover_lacks[mover])
		return MOVER_UFFD;
	if (mover == MOVER_COPY && p->rivals & BIT(RIVAL_PIN))
		return MOVER_VECTOR;
	return mover;
}

/*
 * Both second movers need the same area; and a child would look in vain for what
 * mremap() has taken away for a moment.
 */
static bool compete(unsigned int rivals)
{
	const unsigned int movers = BIT(RIVAL_MOVE_SRC) | BIT(RIVAL_MOVE_DST);
	const unsigned int lookers = BIT(RIVAL_FORK) | BIT(RIVAL_MREMAP);

	return (rivals & movers) == movers || (rivals & lookers) == lookers;
}

/*
 * The first time it comes an encounter is as it was dealt. Later on it loses one
 * of its two rivals, and sometimes gets another.
 */
static void plan_rivals(struct plan *p, unsigned int dealt, size_t pass)
{
	unsigned int stays = dealt, another = draw_below(&p->random, 3 * RIVALS);

	p->rivals = dealt;
	if (!pass)
		return;
	stays &= -dealt;
	if (pass % 2 == 0 && stays != dealt)
		stays = dealt - stays;
	p->rivals = stays;
	if (another < RIVALS && !compete(stays | BIT(another)) && !rival_lacks[another])
		p->rivals |= BIT(another);
}

/**
 * plan_round() - find out what a round is
 * @p: the plan
 * @seed: of the run
 * @number: of the round
 * @limits: what is taken away from it
 */
void plan_round(struct plan *p, __u64 seed, unsigned int number, const struct limits *limits)
{
	const typeof(*decks) *deck = &decks[number % nr_decks];
	size_t turn = number / nr_decks;
	const struct encounter *e = &deck->of[turn % deck->count];

	memset(p, 0, sizeof(*p));
	p->seed = seed;
	p->number = number;
	p->random = seed ^ ((__u64)number << 32);
	p->geometry = deck->geometry;
	p->kind = e->kind;
	p->one_vma = p->geometry / LENGTHS / SHIFTS;
	plan_rivals(p, e->rivals, turn / deck->count);
	plan_kind(p);
	plan_length(p, p->geometry % LENGTHS);
	plan_offsets(p, p->geometry / LENGTHS % SHIFTS);
	p->mover = draw_mover(p);
	p->turns = 1 + draw_below(&p->random, 4);
	p->reclaim = !draw_below(&p->random, 4);
	p->chunk = 1 + draw_below(&p->random, draw_below(&p->random, 2) ? p->len : 16);
	if (p->len == GIB_PAGES && p->chunk < GIB_PAGES / 16)
		p->chunk = GIB_PAGES / 16;
	if (limits->pages && limits->pages < p->len)
		p->len = limits->pages;
	p->rivals &= ~limits->without;
	plan_spans(p);
}

/**
 * populated() - does a column have a page?
 * @p: the plan
 * @column: the column
 *
 * Return: true if it does.
 */
bool populated(const struct plan *p, size_t column)
{
	unsigned int i;

	for (i = 0; i < p->nr_spans; i++)
		if (column - p->spans[i].first < p->spans[i].count)
			return true;
	return false;
}

/**
 * draw_column() - a column that moves, most often one with a page
 * @p: the plan
 * @random: state of the generator
 *
 * Return: the column.
 */
size_t draw_column(const struct plan *p, __u64 *random)
{
	const struct span *s = &p->spans[draw_below(random, p->nr_spans)];
	size_t column = s->first + draw_below(random, s->count);

	return in_range(p, column) ? column : p->src + draw_below(random, p->len);
}

/**
 * in_range() - does a column move?
 * @p: the plan
 * @column: the column
 *
 * Return: true if it does.
 */
bool in_range(const struct plan *p, size_t column)
{
	return column - p->src < p->len;
}

/**
 * name_geometry() - put a geometry into words
 * @geometry: its number
 * @name: the words
 */
void name_geometry(unsigned int geometry, char name[48])
{
	snprintf(name, 48, "%s, %s, %s", geometry / LENGTHS / SHIFTS ? "one VMA" : "two VMAs",
		 shift_names[geometry / LENGTHS % SHIFTS], length_names[geometry % LENGTHS]);
}

/**
 * name_plan() - put a round into words
 * @p: the plan
 * @name: the words
 */
void name_plan(const struct plan *p, char name[240])
{
	char geometry[48];
	int i, used;

	name_geometry(p->geometry, geometry);
	used = snprintf(name, 240, "%s (%s); %s, %zu pages from %zu to %zu, %zu a call by %s; %s;",
			stress_kinds[p->kind].name, page_kinds[p->base].name, geometry, p->len,
			p->src, p->dst, p->chunk, movers[p->mover],
			p->registered ? "registered" : "unregistered");
	for (i = 0; i < RIVALS; i++)
		if (p->rivals & BIT(i))
			used += snprintf(name + used, 240 - used, " %s", rivals[i].name);
}
