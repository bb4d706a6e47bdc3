/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Stops the mutators where they hold no reference.
 */
#ifndef GC_SAFEPOINT_H
#define GC_SAFEPOINT_H

void safepoint_poll(void);
void safepoint_join(void);
void safepoint_leave(void);
void stop_mutators(void);
void resume_mutators(void);

#endif /* GC_SAFEPOINT_H */
