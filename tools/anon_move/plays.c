// SPDX-License-Identifier: GPL-2.0
/* Plays: granules of a heap are harvested, arrays grow, pages are exchanged. */

#define _GNU_SOURCE
#include <err.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mremap_move.h"
#include "remap_bench.h"

#define NOBODY ((size_t)-1)

/*
 * As ZGC's mapped cache: where nothing contiguous is left, scattered granules that are
 * free are brought to a run of addresses, and taken from there the next time. Of each
 * granule one page is there: for the VMAs that is as good as all of them.
 */
#define GRANULE (2 * MIB)
#define GRANULES ((size_t)128 * 1024)
#define RUN ((size_t)16)
#define SLOTS (2 * GRANULES)
#define BLOCKS (SLOTS / RUN)

struct granules {
	struct play *play;
	char *heap;
	size_t *slot;		/* of each granule */
	size_t used[BLOCKS];	/* granules in each run of slots */
	size_t empty[BLOCKS];	/* stack of runs that have none */
	size_t nr_empty;
};

static void make_granules(struct granules *g)
{
	const bool all = g->play->mover == ONLYPAGES;

	g->heap = mmap(NULL, SLOTS * GRANULE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	g->slot = malloc(GRANULES * sizeof(*g->slot));
	if (g->heap == MAP_FAILED || !g->slot)
		err(FAILED, "can't map the granules");
	/* A mover of pages needs a destination that is mapped, one of mappings needs none. */
	if (!all)
		munmap(g->heap + GRANULES * GRANULE, (SLOTS - GRANULES) * GRANULE);
	for (size_t i = 0; i < GRANULES; i++) {
		write_page(g->heap + i * GRANULE, i);
		g->slot[i] = i;
		g->used[i / RUN]++;
	}
	for (size_t block = BLOCKS; block-- > GRANULES / RUN;)
		g->empty[g->nr_empty++] = block;
}

static bool take_granule(struct granules *g, size_t to)
{
	size_t which, from;

	do {
		which = random_below(g->play, GRANULES);
		from = g->slot[which];
	} while (from / RUN == to / RUN);
	if (!play_move(g->play, g->heap + to * GRANULE, g->heap + from * GRANULE, GRANULE))
		return false;
	g->slot[which] = to;
	g->used[to / RUN]++;
	if (!--g->used[from / RUN])
		g->empty[g->nr_empty++] = from / RUN;
	return true;
}

/**
 * play_granules() - harvest scattered granules into runs, again and again
 * @play: the play
 */
void play_granules(struct play *play)
{
	static struct granules g;

	g.play = play;
	make_granules(&g);
	while (!play_over(play)) {
		size_t block;

		if (!g.nr_empty)
			errx(FAILED, "no addresses are left for a run of granules");
		block = g.empty[--g.nr_empty];
		for (size_t i = 0; i < RUN && !play_over(play); i++)
			take_granule(&g, block * RUN + i);
	}
	for (size_t i = 0; i < GRANULES; i++)
		expect_page(play, g.heap + g.slot[i] * GRANULE, i);
}

/* As realloc() does with what it has mmap()ed. More than a process may have VMAs. */
#define ARRAYS ((size_t)80000)
#define MOST_PAGES 4

struct array {
	char *at;
	size_t pages;
};

static char *map_anywhere(size_t pages)
{
	return mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void write_array(const struct array *arrays, size_t i, size_t from)
{
	for (size_t page = from; page < arrays[i].pages; page++)
		write_page(arrays[i].at + page * PAGE, i * MOST_PAGES + page);
}

static bool grow_by_pages(struct play *play, struct array *array)
{
	const size_t old = array->pages * PAGE;
	char *at = map_anywhere(2 * array->pages);

	if (!play_fits(play, at != MAP_FAILED, "mmap") || !play_move(play, at, array->at, old))
		return false;
	/* A hole may make two VMAs of one. */
	play_fits(play, !munmap(array->at, old), "munmap");
	array->at = at;
	return true;
}

static bool grow_by_mapping(struct play *play, struct array *array)
{
	const int flags = MREMAP_MAYMOVE | relocate_flags(play->mover);
	const size_t old = array->pages * PAGE;
	unsigned long long ns = clock_ns();
	/* The C library refuses flags that it does not know. */
	long at = syscall(SYS_mremap, array->at, old, 2 * old, flags, NULL);

	ns = clock_ns() - ns;
	if (!play_fits(play, at != -1, "mremap"))
		return false;
	play_called(play, ns);
	array->at = (char *)at;
	return true;
}

static void grow_array(struct play *play, struct array *arrays, size_t i)
{
	const size_t old = arrays[i].pages;
	bool grown;

	if (old == MOST_PAGES)
		return;
	if (play->mover == ONLYPAGES)
		grown = grow_by_pages(play, &arrays[i]);
	else
		grown = grow_by_mapping(play, &arrays[i]);
	if (!grown)
		return;
	arrays[i].pages = 2 * old;
	write_array(arrays, i, old);
}

/**
 * play_arrays() - let many arrays grow to twice their size, in random order
 * @play: the play
 */
void play_arrays(struct play *play)
{
	static struct array arrays[ARRAYS];

	for (size_t i = 0; i < ARRAYS; i++) {
		arrays[i] = (struct array) { .at = map_anywhere(1), .pages = 1 };
		if (arrays[i].at == MAP_FAILED)
			err(FAILED, "can't map an array");
		write_array(arrays, i, 0);
	}
	while (!play_over(play))
		grow_array(play, arrays, random_below(play, ARRAYS));
	for (size_t i = 0; i < ARRAYS; i++)
		for (size_t page = 0; page < arrays[i].pages; page++)
			expect_page(play, arrays[i].at + page * PAGE, i * MOST_PAGES + page);
}

#define PAGES ((size_t)80 * 1024)

/* @id says what is in each page, and in the one more by way of which two are exchanged. */
struct exchange {
	struct play *play;
	char *heap;
	size_t id[PAGES + 1];
};

static char *place(const struct exchange *x, size_t page)
{
	/* A page apart, or it would be one VMA with the heap. */
	return x->heap + (page + (page == PAGES)) * PAGE;
}

static bool put(struct exchange *x, size_t to, size_t from)
{
	if (!play_move(x->play, place(x, to), place(x, from), PAGE))
		return false;
	x->id[to] = x->id[from];
	x->id[from] = NOBODY;
	return true;
}

/**
 * play_exchange() - let two random pages change places, again and again
 * @play: the play
 */
void play_exchange(struct play *play)
{
	static struct exchange x;

	x.play = play;
	x.heap = map_area((PAGES + 2) * PAGE);
	mprotect(x.heap + PAGES * PAGE, PAGE, PROT_NONE);
	for (size_t i = 0; i < PAGES; i++) {
		write_page(place(&x, i), i);
		x.id[i] = i;
	}
	x.id[PAGES] = NOBODY;
	while (!play_over(play)) {
		size_t a = random_below(play, PAGES), b = random_below(play, PAGES);

		if (a != b && put(&x, PAGES, a) && put(&x, a, b))
			put(&x, b, PAGES);
	}
	for (size_t i = 0; i <= PAGES; i++)
		if (x.id[i] != NOBODY)
			expect_page(play, place(&x, i), x.id[i]);
}
