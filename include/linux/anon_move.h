/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the rest of the kernel may call of the page mover, and what it lends to it.
 */
#ifndef _LINUX_ANON_MOVE_H
#define _LINUX_ANON_MOVE_H

#include <linux/atomic.h>
#include <linux/errno.h>
#include <linux/jump_label.h>
#include <linux/mm_types.h>
#include <linux/types.h>
#include <uapi/linux/anon_move.h>

struct anon_move_request;
struct io_uring_cmd;
struct mm_struct;
struct rw_semaphore;
struct userfaultfd_ctx;
struct vm_area_struct;

/*
 * Who moves one page pays for each call on the way. But where gcov counts, each copy of a
 * function would have branches of its own.
 */
#ifdef CONFIG_GCOV_KERNEL
#define __hot_inline	noinline
#else
#define __hot_inline	__always_inline
#endif

/*
 * What a request asks for. The first ones are the modes of UFFDIO_MOVEV, in their order.
 */
/* Holes in the source count as moved instead of ending the move. */
#define ANON_MOVE_ALLOW_HOLES		BIT(0)
/* A range that stops does not stop those behind it. */
#define ANON_MOVE_GO_ON			BIT(1)
/* What may not move is copied. */
#define ANON_MOVE_COPY			BIT(2)
/* What arrives is write-protected, or not accessible: see anon_move_check_armed(). */
#define ANON_MOVE_PROTECT		BIT(3)
#define ANON_MOVE_ARM			BIT(4)
/* The move ends where either VMA does; without it that is an error. */
#define ANON_MOVE_SPAN			BIT(5)
/* Where nothing is mapped is -EFAULT, so that -ENOENT means a hole and nothing else (O8). */
#define ANON_MOVE_UNMAPPED_EFAULT	BIT(6)
/* The mapping itself moves, and with it pins and markers, every entry as it is. */
#define ANON_MOVE_WHOLE_MAPPING		BIT(7)
/* Ends at what it would have to wait for: for a folio, a writer, a split, I/O. */
#define ANON_MOVE_NO_WAIT		BIT(8)
/* One of several, which are told of before a wait: set by anon_move_ranges(). */
#define ANON_MOVE_OF_VECTOR		BIT(9)

/**
 * struct anon_move_request - what to move where, and on whose behalf
 * @mm: address space of both ranges; the caller holds a reference on its users
 * @dst: first byte of the destination, page aligned
 * @src: first byte of the source, page aligned
 * @len: bytes to move, page aligned, not 0; neither range may wrap. Cut to what the
 *	 VMAs hold with %ANON_MOVE_SPAN
 * @flags: ANON_MOVE_*
 * @key: from anon_move_new_key(), one for all requests of the same owner; 0 if
 *	 there will be few
 * @lock: read-locked whenever the VMAs have been, for as long as they are; NULL
 *	  if the caller needs none. A move lets go of it when somebody waits
 * @check: called with all of these locks, before any page moves: 0 to go on, a
 *	   negative errno to end the move
 * @owner: for @check
 *
 * A long move drops its locks to let writers in and then locks the VMAs anew, so
 * whatever @check finds true is true for one hold of them only (REGRESSIONS V5).
 */
struct anon_move_request {
	struct mm_struct *mm;
	unsigned long dst;
	unsigned long src;
	unsigned long len;
	unsigned long flags;
	u64 key;
	struct rw_semaphore *lock;
	int (*check)(struct anon_move_request *req, const struct vm_area_struct *dst_vma,
		     const struct vm_area_struct *src_vma);
	void *owner;
};

ssize_t anon_move_pages(struct anon_move_request *req);
int anon_move_check_armed(const struct anon_move_request *req,
			  const struct vm_area_struct *dst_vma);

/* Called before a wait: so many ranges have been dealt with. Without locks; may sleep. */
typedef void anon_move_arrived_t(struct anon_move_request *req, unsigned int count);

unsigned int anon_move_ranges(struct anon_move_request *req, struct uffdio_movev_range *ranges,
			      unsigned int count, anon_move_arrived_t *arrived);

/**
 * anon_move_range_valid() - does a range lie in an address space?
 * @mm: the address space
 * @start: first byte
 * @len: bytes
 *
 * Return: false if it goes past the end, or wraps.
 */
static inline bool anon_move_range_valid(const struct mm_struct *mm, u64 start, u64 len)
{
	return start < mm->task_size && len <= mm->task_size - start;
}

extern atomic64_t anon_move_keys;

/**
 * anon_move_new_key() - a number for one owner of requests, all for one mm
 *
 * The mover remembers under it what it would else look for in each call.
 *
 * Return: a number that was never returned before, nor will be; 0 if nothing
 *	   is ever remembered.
 */
static inline u64 anon_move_new_key(void)
{
	if (IS_ENABLED(CONFIG_ANON_MOVE) && IS_ENABLED(CONFIG_PER_VMA_LOCK))
		return atomic64_inc_return(&anon_move_keys);
	return 0;
}

#ifdef CONFIG_ANON_MOVE
long anon_move_mremap(unsigned long src, unsigned long old_len, unsigned long new_len,
		      unsigned long flags, unsigned long dst);
#else
static inline long anon_move_mremap(unsigned long src, unsigned long old_len,
				    unsigned long new_len, unsigned long flags,
				    unsigned long dst)
{
	return -EINVAL;
}
#endif

/**
 * struct anon_move_remap - what mremap() is about to move where
 * @src: first byte of the source
 * @dst: first byte of the destination
 * @old_len: bytes of the source
 * @new_len: bytes of the destination
 * @flags: MREMAP_*
 * @relocates: its pages are to get the index of their new address; set by
 *	       anon_move_copy_vma()
 */
struct anon_move_remap {
	unsigned long src;
	unsigned long dst;
	unsigned long old_len;
	unsigned long new_len;
	unsigned long flags;
	bool relocates;
};

#ifdef CONFIG_ANON_MOVE
#define ANON_MOVE_RELOCATE_FLAGS	(MREMAP_RELOCATE_ANON | MREMAP_MUST_RELOCATE_ANON)

int anon_move_check_remap(const struct anon_move_remap *remap);
struct vm_area_struct *anon_move_copy_vma(struct vm_area_struct **vmap,
					  struct anon_move_remap *remap);
unsigned long anon_move_relocate(struct vm_area_struct *src_vma, struct vm_area_struct *dst_vma,
				 const struct anon_move_remap *remap);
#else
#define ANON_MOVE_RELOCATE_FLAGS	0

static inline int anon_move_check_remap(const struct anon_move_remap *remap)
{
	return 0;
}

static inline struct vm_area_struct *anon_move_copy_vma(struct vm_area_struct **vmap,
							struct anon_move_remap *remap)
{
	return NULL;
}

static inline unsigned long anon_move_relocate(struct vm_area_struct *src_vma,
					       struct vm_area_struct *dst_vma,
					       const struct anon_move_remap *remap)
{
	return 0;
}
#endif

#ifdef CONFIG_ANON_MOVE_URING
#define ANON_MOVE_URING_FEATURES	UFFD_FEATURE_MOVE_URING

int userfaultfd_anon_uring(struct io_uring_cmd *cmd, unsigned int issue_flags);
#else
#define ANON_MOVE_URING_FEATURES	0
#define userfaultfd_anon_uring		NULL
#endif

/* Bits of features that no base has. One is of UFFDIO_MOVE, which the base may serve. */
#ifdef CONFIG_ANON_MOVE_UFFD
#define ANON_MOVE_FEATURES	((anon_move_chosen() ? UFFD_FEATURE_ANON_MOVE : 0) | \
				 UFFD_FEATURE_MOVEV | UFFD_FEATURE_MOVEV_COPY | \
				 UFFD_FEATURE_MOVEV_ARM | UFFD_FEATURE_MOVEV_SPAN | \
				 ANON_MOVE_URING_FEATURES)

int userfaultfd_anon_movev(struct userfaultfd_ctx *ctx, unsigned long arg);
#else
#define ANON_MOVE_FEATURES	0

static inline int userfaultfd_anon_movev(struct userfaultfd_ctx *ctx, unsigned long arg)
{
	return -EINVAL;
}
#endif

int userfaultfd_anon_move(struct userfaultfd_ctx *ctx, unsigned long arg);
void userfaultfd_wake_moved(struct userfaultfd_ctx *ctx, unsigned long start,
			    unsigned long len);

DECLARE_STATIC_KEY_FALSE(anon_move_use_base);

/**
 * anon_move_chosen() - does anon_move serve UFFDIO_MOVE?
 *
 * Constant unless both movers are compiled in (CONFIG_ANON_MOVE_COMPARE), so
 * that the call to the other one goes away at compile time.
 *
 * Return: true for anon_move, false for the base's mover.
 */
static inline bool anon_move_chosen(void)
{
	if (IS_ENABLED(CONFIG_ANON_MOVE_COMPARE))
		return !static_branch_unlikely(&anon_move_use_base);
	return IS_ENABLED(CONFIG_ANON_MOVE);
}

#endif /* _LINUX_ANON_MOVE_H */
