/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The parts of anon_move_remap_bench. Each prints its figures, a line of JSON each.
 */
#ifndef REMAP_BENCH_H
#define REMAP_BENCH_H

#include "bench.h"

/* remap_cost.c */
void bench_cost(void);
void bench_hold(void);
void bench_worst(void);

#endif /* REMAP_BENCH_H */
