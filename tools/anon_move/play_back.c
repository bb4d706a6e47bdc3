// SPDX-License-Identifier: GPL-2.0
/* A play: pages that lie apart are brought back into one mapping. How many VMAs is it then? */

#define _GNU_SOURCE
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "mremap_move.h"
#include "remap_bench.h"

/* Every second address, so that no mover can merge them there. */
static char *place(char *apart, size_t piece)
{
	return apart + 2 * piece * PAGE;
}

static void scatter(struct play *play, char *apart, char *heap)
{
	for (size_t i = 0; i < play->most; i++) {
		char *dst = place(apart, i), *src = heap + i * PAGE;

		write_page(src, i);
		if (play->mover == ONLYPAGES ? mremap_move(dst, src, PAGE, 0) != (ssize_t)PAGE :
		    mremap_relocate(dst, src, PAGE, 0))
			err(FAILED, "%s: the pieces don't move apart", play->row);
	}
}

/**
 * play_back() - relocate pieces into one mapping, in random order and to random places
 * @play: the play; has a piece for each call
 */
void play_back(struct play *play)
{
	char *heap = map_area(play->most * PAGE), *apart = map_area(2 * play->most * PAGE);
	size_t *which = shuffled(play, play->most), *where = shuffled(play, play->most);

	if (play->mover != ONLYPAGES)
		munmap(apart, 2 * play->most * PAGE);
	scatter(play, apart, heap);
	while (!play_over(play)) {
		const size_t i = play->calls;

		play_move(play, heap + where[i] * PAGE, place(apart, which[i]), PAGE);
	}
	pay_back(play, heap, play->calls);
	for (size_t i = 0; i < play->calls; i++)
		expect_page(play, heap + where[i] * PAGE, which[i]);
	printf("{\"row\": \"%s\", \"mover\": \"%s\", \"pieces\": %zu, \"heap_vmas\": %zu}\n",
	       play->row, mover_names[play->mover], play->calls,
	       count_vmas(heap, play->most * PAGE));
	free(which);
	free(where);
}
