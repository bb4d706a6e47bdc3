/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the sources under test need of the kernel, in user space, under its names.
 */
#ifndef _ANON_MOVE_UNIT_KERNEL_H
#define _ANON_MOVE_UNIT_KERNEL_H

#include <errno.h>
#include <limits.h>
#include <linux/types.h>
#include <linux/userfaultfd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/types.h>

/* The configuration of these tests. */
#define IS_ENABLED(option)	(option)
#define CONFIG_64BIT		is_64bit
#define CONFIG_ANON_MOVE	1
#define CONFIG_ANON_MOVE_COMPARE 0
#define CONFIG_PER_VMA_LOCK	1

/* Of the kernel, not of these tests: a long has 64 bits here. */
extern bool is_64bit;

/* And of who calls it. */
extern bool is_compat;
#define in_compat_syscall()	is_compat

#define __user
#define __must_check
#define __uninitialized
#define likely(x)		(x)
#define unlikely(x)		(x)
#define BIT(n)			(1UL << (n))
#define DECLARE_STATIC_KEY_FALSE(name) extern bool name
#define static_branch_unlikely(key) (*(key))

#define PAGE_SHIFT		12
#define PAGE_SIZE		BIT(PAGE_SHIFT)
#define PAGE_MASK		(~(PAGE_SIZE - 1))
#define PAGE_ALIGNED(x)		(!((x) & ~PAGE_MASK))
#define max(a, b)		((a) > (b) ? (a) : (b))
#define min_t(type, a, b)	((type)(a) < (type)(b) ? (type)(a) : (type)(b))

typedef __u64 u64;
typedef __u32 u32;
typedef struct { int counter; } atomic_t;
typedef struct { u64 counter; } atomic64_t;

static inline int atomic_read(const atomic_t *v)
{
	return v->counter;
}

static inline u64 atomic64_inc_return(atomic64_t *v)
{
	return ++v->counter;
}

struct mm_struct {
	unsigned long task_size;
};

struct task_struct {
	struct mm_struct *mm;
	bool killed;
};

extern struct task_struct this_task;
#define current (&this_task)

struct rw_semaphore { int unused; };

struct userfaultfd_ctx {
	struct rw_semaphore map_changing_lock;
	atomic_t mmap_changing;
	struct mm_struct *mm;
	u64 move_key;
	unsigned int features;
};

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	unsigned long vm_flags;
	struct {
		struct userfaultfd_ctx *ctx;
	} vm_userfaultfd_ctx;
	struct anon_vma *anon_vma;
};

/* The address that faults, if any; and how many sections of user access are open. */
extern const void *faults_at;
extern int user_access;

#define user_read_access_begin(ptr, size) \
	((void)(size), user_access++, (ptr) != NULL || (user_access--, false))
#define user_read_access_end() ((void)user_access--)
#define unsafe_get_user(x, ptr, label) do {	\
		if ((const void *)(ptr) == faults_at)	\
			goto label;			\
		(x) = *(ptr);				\
	} while (0)
#define put_user(x, ptr) \
	((const void *)(ptr) == faults_at ? -EFAULT : (*(ptr) = (x), 0))

/* Called where is_64bit is false only. */
unsigned long copy_from_user(void *to, const void *from, unsigned long n);

#endif /* _ANON_MOVE_UNIT_KERNEL_H */
