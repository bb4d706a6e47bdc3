/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The live bitmap.
 */
#ifndef GC_MARK_H
#define GC_MARK_H

#include "mutator.h"

extern bool marking;

void mark_tables(void);
void mark_roots(void);
void mark_concurrently(void);
void mark_rest(void);
void log_overwritten(struct mutator *m, uint64_t ref);
void flush_logged(struct mutator *m);

#endif /* GC_MARK_H */
