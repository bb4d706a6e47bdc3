/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How pages get where they belong: what each way to do it has to offer.
 */
#ifndef GC_BACKEND_H
#define GC_BACKEND_H

#include "compact.h"

/**
 * struct backend - one way to do it
 * @name: for --backend
 * @deliveries: a bit for each enum delivery that it can have
 * @exclusive: publishing a page twice would harm, so a page is claimed for that, too
 * @recycles: fresh and slid pages are made of used ones
 * @fixed: each page of the heap has a place in a file, where its bytes must be
 * @features: UFFD_FEATURE_* wanted
 * @around: pages of which a fault brings all that it can, aligned; 0 if only its own
 * @map: map the heap and whatever stands behind it
 * @flip: in the pause: take the pages away, let touching the heap fault
 * @from: where the collector finds a page of the heap since the flip
 * @stage: a page to fill, for a page of the heap
 * @publish: make pages side by side appear in the heap
 * @publish_many: make pages that are ready appear with few calls, wherever they are; or NULL
 * @fresh: make a page with any bytes appear in the heap, without a used one; where it can fault
 * @drop: let go of what is left
 * @open_all: let all be accessed, when that can't be done page by page; or NULL
 */
struct backend {
	const char *name;
	unsigned int deliveries;
	bool exclusive;
	bool recycles;
	bool fixed;
	uint64_t features;
	unsigned int around;
	void (*map)(void);
	void (*flip)(void);
	char *(*from)(size_t page);
	char *(*stage)(struct worker *w, size_t page);
	void (*publish)(size_t page, char *src, size_t pages);
	void (*publish_many)(const uint32_t *pages, size_t nr);
	void (*fresh)(size_t page);
	void (*drop)(void);
	void (*open_all)(void);
};

extern const struct backend *backend;
extern const struct backend backend_move, backend_vector, backend_onlypages, backend_copy;
extern const struct backend backend_mremap, backend_continue, backend_sigsegv, backend_relocate;
extern int uffd;

/* movev.c */
bool kernel_has(uint64_t features);

/* uring.c */
int uffd_command(__u32 op, void *arg);

void heap_register(uint64_t mode);
void heap_unregister(void);
void wake_waiters(size_t page, size_t pages);
void copy_pages(size_t page, char *src, size_t pages);

#endif /* GC_BACKEND_H */
