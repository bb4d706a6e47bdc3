/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who gets to know of a fault.
 */
#ifndef GC_DELIVERY_H
#define GC_DELIVERY_H

#include "gc.h"

void delivery_start(void);
void delivery_end(void);
void resolve_faults(const uint64_t *addrs, size_t nr);
uint64_t faulting_address(const struct uffd_msg *msg);

/* uring.c */
void *read_by_uring(void *stop_event);

#endif /* GC_DELIVERY_H */
