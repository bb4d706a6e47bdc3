/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The new address of each object, and where each page comes from.
 */
#ifndef GC_PLAN_H
#define GC_PLAN_H

#include "gc.h"

/**
 * struct plan - of one cycle
 * @moved_to: of each page of the heap: where its first live object goes, less
 *	      the live bytes before that; 0 if its objects stay
 * @pending: of each page of the heap: pages to come that need something of it
 * @how: of each page to come: how it is made
 * @first: of each page to come: first grain to slide, or page to move, into it
 * @fill: of each page to come: grains to slide into it
 * @upwards: to which end of the heap objects slide
 */
struct plan {
	uint64_t *moved_to;
	uint8_t *pending;
	uint8_t *how;
	uint32_t *first;
	uint16_t *fill;
	bool upwards;
};

extern struct plan plan;

void plan_tables(void);
void make_plan(bool upwards);
void plan_black(void);
void plan_takes_effect(void);
uint64_t new_address(uint64_t ref);

#endif /* GC_PLAN_H */
