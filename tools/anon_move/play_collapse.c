// SPDX-License-Identifier: GPL-2.0
/* A play of one call: pieces that lie side by side, each a VMA, are relocated all at once. */

#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "mremap_move.h"
#include "remap_bench.h"

#define PIECES ((size_t)60000)

/* In reverse order, so that no piece continues another one. */
static void break_up(struct play *play, char *pieces, char *heap)
{
	for (size_t i = 0; i < PIECES; i++) {
		write_page(heap + i * PAGE, i);
		if (mremap_relocate(pieces + (PIECES - 1 - i) * PAGE, heap + i * PAGE, PAGE, 0))
			err(FAILED, "%s: can't break the heap up", play->row);
	}
}

/* Who moves pages alone gets rid of the VMAs by unmapping them. */
static bool collapse(struct play *play, char *dst, char *src)
{
	const int flags = relocate_flags(play->mover);
	const size_t len = PIECES * PAGE;
	unsigned long long ns = clock_ns();
	bool done;

	if (play->mover == ONLYPAGES)
		done = mremap_move(dst, src, len, 0) == (ssize_t)len && !munmap(src, len);
	else
		done = !mremap_relocate(dst, src, len, flags);
	if (done)
		play_called(play, clock_ns() - ns);
	return done;
}

/**
 * play_collapse() - relocate a range of many VMAs by one call
 * @play: the play, of one call; of none where the kernel moves one VMA a call
 */
void play_collapse(struct play *play)
{
	char *heap = map_area(PIECES * PAGE), *src = map_area(PIECES * PAGE);
	char *dst = map_area(PIECES * PAGE);
	const char *error = "none";
	size_t pieces;

	break_up(play, src, heap);
	pieces = count_vmas(src, PIECES * PAGE);
	if (!collapse(play, dst, src)) {
		error = strerrorname_np(errno);
		dst = src;
	}
	for (size_t i = 0; i < PIECES; i++)
		expect_page(play, dst + (PIECES - 1 - i) * PAGE, i);
	printf("{\"row\": \"%s\", \"mover\": \"%s\", \"pieces\": %zu, \"heap_vmas\": %zu, ",
	       play->row, mover_names[play->mover], pieces, count_vmas(dst, PIECES * PAGE));
	printf("\"error\": \"%s\"}\n", error);
}
