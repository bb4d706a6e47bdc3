// SPDX-License-Identifier: GPL-2.0
/* How many VMAs a process has in the course of time, by workload and mover. */

#include "remap_bench.h"

/* Calls to make if nothing fails before. */
static const struct play plays[] = {
	{ .row = "granules", .run = play_granules, .most = 48 * 1024 },
	{ .row = "compact", .run = play_compact, .most = 64 * 1024 },
	{ .row = "arrays", .run = play_arrays, .most = 96 * 1024 },
	{ .row = "exchange", .run = play_exchange, .most = 96 * 1024 },
	{ .row = "back", .run = play_back, .most = 60000 },
	{ .row = "collapse", .run = play_collapse, .most = 1 },
};

/**
 * bench_vmas() - let each mover perform each play
 */
void bench_vmas(void)
{
	static const enum mover movers[] = { MREMAP, RELOCATE, ONLYPAGES };

	for (size_t i = 0; i < sizeof(plays) / sizeof(*plays); i++) {
		for (size_t m = 0; m < sizeof(movers) / sizeof(*movers); m++) {
			struct play play = plays[i];

			play.mover = movers[m];
			perform(&play);
		}
	}
}
