/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What backends share whose heap is private anonymous memory.
 */
#ifndef GC_PRIVATE_H
#define GC_PRIVATE_H

#include "backend.h"

#define BUSY_TRIES	1000000	/* of the same call, before it is taken to be for ever */

/* private.c */
void map_private(void);
void flip_private(void);
char *from_private(size_t page);
char *stage_recycled(struct worker *w, size_t page);
bool in_secondary(const char *src);
void zero_page(size_t page);
void drop_private(void);
void somebody_was_first(size_t page);
void pages_are_mapped(size_t page, size_t pages);

/* moving.c */
size_t settle(size_t page, char *src, int err);

#endif /* GC_PRIVATE_H */
