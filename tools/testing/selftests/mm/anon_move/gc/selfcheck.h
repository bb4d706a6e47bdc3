/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Does the checker notice?
 */
#ifndef GC_SELFCHECK_H
#define GC_SELFCHECK_H

int self_check(void);

#endif /* GC_SELFCHECK_H */
