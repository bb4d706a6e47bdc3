/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of anon_move_remap_bench share: its parts; plays, in which memory moves about.
 */
#ifndef REMAP_BENCH_H
#define REMAP_BENCH_H

#include "bench.h"

/**
 * struct play - memory is moved about by one mover; what becomes of the VMAs?
 * @row: name of the play
 * @mover: MREMAP, RELOCATE or ONLYPAGES
 * @run: makes the memory, moves it until play_over(), checks every byte of it
 * @most: calls to make
 * @calls: calls made
 * @ns: instructions that they took
 * @vmas: VMAs that the process had when they were last counted
 * @peak: most that were ever counted
 * @full: a call failed with ENOMEM, as the process had as many VMAs as it may
 * @seed: of random_below()
 */
struct play {
	const char *row;
	enum mover mover;
	void (*run)(struct play *play);
	unsigned long most;
	unsigned long calls;
	unsigned long long ns;
	size_t vmas;
	size_t peak;
	bool full;
	unsigned long long seed;
};

/* play.c */
void perform(struct play *play);
bool play_over(const struct play *play);
bool play_move(struct play *play, char *dst, char *src, size_t len);
void play_called(struct play *play, unsigned long long ns);
bool play_fits(struct play *play, bool done, const char *what);
size_t random_below(struct play *play, size_t end);
size_t *shuffled(struct play *play, size_t nr);
void write_page(char *page, size_t id);
void expect_page(const struct play *play, const char *page, size_t id);

/* vma_meters.c */
size_t count_vmas(const char *start, size_t len);
unsigned long long slab_bytes(const char *cache);

/* plays.c */
void play_granules(struct play *play);
void play_arrays(struct play *play);
void play_exchange(struct play *play);

/* play_compact.c */
void play_compact(struct play *play);

/* play_back.c */
void play_back(struct play *play);

/* play_collapse.c */
void play_collapse(struct play *play);

/* pay_back.c */
void pay_back(struct play *play, char *heap, size_t pages);

/* remap_cost.c */
void bench_cost(void);
void bench_hold(void);
void bench_worst(void);

/* remap_vmas.c */
void bench_vmas(void);

#endif /* REMAP_BENCH_H */
