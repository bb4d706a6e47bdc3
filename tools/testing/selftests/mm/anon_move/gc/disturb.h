/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Those who fork, pin and page out.
 */
#ifndef GC_DISTURB_H
#define GC_DISTURB_H

void disturb_start(void);
void disturb_end(void);
void swap_leaves_out(void);

#endif /* GC_DISTURB_H */
