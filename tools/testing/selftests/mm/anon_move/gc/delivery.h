/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who gets to know of a fault.
 */
#ifndef GC_DELIVERY_H
#define GC_DELIVERY_H

void delivery_start(void);
void delivery_end(void);

#endif /* GC_DELIVERY_H */
