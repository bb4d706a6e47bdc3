/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A whole cycle, and the GC threads.
 */
#ifndef GC_CYCLE_H
#define GC_CYCLE_H

void gc_threads_start(void);
void gc_threads_end(void);
void run_cycle(unsigned int nr);

#endif /* GC_CYCLE_H */
