/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pages that have been used up and may be filled again.
 */
#ifndef GC_POOL_H
#define GC_POOL_H

#include "gc.h"

#define NO_PAGE		SIZE_MAX

void pool_tables(void);
void pool_empty(void);
void pool_put(size_t page);
size_t pool_take(void);

#endif /* GC_POOL_H */
