// SPDX-License-Identifier: GPL-2.0
/* A play: a heap is compacted page by page into another one, without page faults. */

#define _GNU_SOURCE
#include <err.h>
#include <sys/mman.h>

#include "remap_bench.h"

#define PAGES ((size_t)64 * 1024)

/* Half of the pages live on. Which, is not told from their addresses: they come in short runs. */
struct space {
	char *start;
	size_t id[PAGES];
	size_t used;
};

struct compact {
	struct play *play;
	struct space spaces[2];
	struct space *from;
	struct space *to;
	size_t next_id;
};

static char *page_at(const struct space *space, size_t page)
{
	return space->start + page * PAGE;
}

/* Dead pages go as the sweep passes them, or their mappings would be left between holes. */
static bool drop_pages(struct compact *c, size_t first, size_t end)
{
	const size_t len = (end - first) * PAGE;
	char *start = page_at(c->from, first);

	if (!len)
		return true;
	if (c->play->mover == ONLYPAGES)
		return play_fits(c->play, !madvise(start, len, MADV_DONTNEED), "MADV_DONTNEED");
	return play_fits(c->play, !munmap(start, len), "munmap");
}

static bool slide_page(struct compact *c, size_t page)
{
	struct space *from = c->from, *to = c->to;

	if (!play_move(c->play, page_at(to, to->used), page_at(from, page), PAGE))
		return false;
	to->id[to->used++] = from->id[page];
	return true;
}

/* Returns how many pages were dealt with. */
static size_t slide_all(struct compact *c)
{
	size_t page, dropped = 0;

	c->to->used = 0;
	for (page = 0; page < c->from->used && !play_over(c->play); page++) {
		if (random_below(c->play, 2))
			continue;
		if (!drop_pages(c, dropped, page) || !slide_page(c, page))
			break;
		dropped = page + 1;
	}
	if (page == c->from->used)
		drop_pages(c, dropped, page);
	return page;
}

/* What is allocated between two cycles. */
static bool fill_up(struct compact *c, struct space *space)
{
	const size_t len = (PAGES - space->used) * PAGE;

	if (c->play->mover != ONLYPAGES &&
	    !play_fits(c->play,
		       mmap(page_at(space, space->used), len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED, "mmap"))
		return false;
	while (space->used < PAGES) {
		write_page(page_at(space, space->used), c->next_id);
		space->id[space->used++] = c->next_id++;
	}
	return true;
}

static void check_pages(const struct compact *c, const struct space *space, size_t first)
{
	for (size_t page = first; page < space->used; page++)
		expect_page(c->play, page_at(space, page), space->id[page]);
}

/**
 * play_compact() - compact a heap into the other, fill that up, compact it back
 * @play: the play
 */
void play_compact(struct play *play)
{
	static struct compact c;
	size_t done;

	c.play = play;
	for (int i = 0; i < 2; i++)
		c.spaces[i].start = map_area(PAGES * PAGE);
	c.from = &c.spaces[0];
	c.to = &c.spaces[1];
	if (play->mover != ONLYPAGES)
		munmap(c.to->start, PAGES * PAGE);
	fill_up(&c, c.from);
	while (!play_over(play)) {
		struct space *from = c.from;

		done = slide_all(&c);
		check_pages(&c, c.to, 0);
		check_pages(&c, from, done);
		if (done < from->used || !fill_up(&c, c.to))
			break;
		c.from = c.to;
		c.to = from;
	}
}
