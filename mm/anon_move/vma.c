// SPDX-License-Identifier: GPL-2.0
/*
 * Finds, checks and read-locks the two VMAs, tells when a writer wants them. Touches no page table.
 */

#include "anon_move.h"

/* What a VMA that moves or gets pages never has. */
static const vm_flags_t never = VM_SHARED | VM_PFNMAP | VM_IO | VM_HUGETLB | VM_MIXEDMAP |
				VM_SHADOW_STACK;

/* Private anonymous memory that may be written, nothing else (V7). */
static bool vma_movable(struct vm_area_struct *vma)
{
	return vma_is_anonymous(vma) && (vma->vm_flags & VM_WRITE) && !(vma->vm_flags & never);
}

/*
 * An entry moves with the protection it has, and mlocked pages stay on their
 * list. What may be dropped must not come where nothing may be, and what must
 * never be swapped out must not come where it can be (O11). All that makes one of
 * them movable is in both or in neither, so only one need be asked.
 */
static bool vmas_alike(struct vm_area_struct *a, struct vm_area_struct *b)
{
	const vm_flags_t same = VM_ACCESS_FLAGS | VM_LOCKED | VM_DROPPABLE | never;

	return (a->vm_flags & same) == (b->vm_flags & same) &&
	       pgprot_val(a->vm_page_prot) == pgprot_val(b->vm_page_prot) &&
	       vma_is_anonymous(a) == vma_is_anonymous(b);
}

/*
 * Where accesses are tracked (RWP), what arrives is armed, whatever it was. Else
 * it stays write-protected where somebody is told of a write (R18). With WP_ASYNC
 * nobody is: there the bit says that the page was not written to, which can't be
 * said of one that has just arrived (O14), unless the caller asks for it. And out of
 * a VMA with RWP the same bit comes with another meaning (R20).
 */
static enum anon_move_uffd arrival(const struct anon_move *am)
{
	struct vm_area_struct *dst_vma = am->dst_vma;

	if (likely(!(dst_vma->vm_flags & (VM_UFFD_WP | VM_UFFD_RWP))))
		return ANON_MOVE_UFFD_CLEAR;
	if (userfaultfd_rwp(dst_vma))
		return ANON_MOVE_UFFD_ARM;
	if (am->req->flags & ANON_MOVE_PROTECT)
		return ANON_MOVE_UFFD_PROTECT;
	if (userfaultfd_wp_async(dst_vma) || userfaultfd_rwp(am->src_vma))
		return ANON_MOVE_UFFD_CLEAR;
	return ANON_MOVE_UFFD_KEEP;
}

/* Of what they don't hold the caller makes another move. */
static int cut_to_vmas(const struct anon_move *am, struct anon_move_request *req)
{
	if (!(req->flags & ANON_MOVE_SPAN))
		return -EINVAL;
	req->len = min3(req->len, am->dst_vma->vm_end - req->dst, am->src_vma->vm_end - req->src);
	return 0;
}

static int check_vmas(const struct anon_move *am, struct anon_move_request *req)
{
	if ((req->dst + req->len > am->dst_vma->vm_end ||
	     req->src + req->len > am->src_vma->vm_end) && cut_to_vmas(am, req))
		return -EINVAL;
	return vma_movable(am->dst_vma) && vmas_alike(am->dst_vma, am->src_vma) ? 0 : -EINVAL;
}

/* Who holds it for writing may be long about it. */
static bool lock_mm(const struct anon_move *am)
{
	if (anon_move_no_wait(am))
		return mmap_read_trylock(am->req->mm);
	mmap_read_lock(am->req->mm);
	return true;
}

static int unmapped(const struct anon_move_request *req)
{
	return req->flags & ANON_MOVE_UNMAPPED_EFAULT ? -EFAULT : -ENOENT;
}

/* With the mmap_lock held; also gives the destination the anon_vma that its folios will need. */
static int find_vmas(struct anon_move *am)
{
	const struct anon_move_request *req = am->req;

	am->dst_vma = vma_lookup(req->mm, req->dst);
	if (!am->dst_vma)
		return unmapped(req);
	/* Looks before it locks; others with the mmap_lock may be at the same. */
	if (!(am->dst_vma->vm_flags & VM_SHARED) && data_race(anon_vma_prepare(am->dst_vma)))
		return -ENOMEM;
	am->src_vma = vma_lookup(req->mm, req->src);
	return am->src_vma ? 0 : unmapped(req);
}

#ifdef CONFIG_PER_VMA_LOCK
static bool vma_has(const struct vm_area_struct *vma, unsigned long addr)
{
	return addr >= vma->vm_start && addr < vma->vm_end;
}

/*
 * What lock_vma_under_rcu() does with a VMA once it has found it, and without
 * a second try: the mmap_lock is there for that.
 */
static __hot_inline struct vm_area_struct *lock_one(struct mm_struct *mm,
						    struct vm_area_struct *vma,
						    unsigned long addr)
{
	/* May be that of another move, or changing; what counts is what is found below. */
	if (!vma || !data_race(vma_has(vma, addr)) || anon_move_should_fail() ||
	    !anon_move_vma_trylock(mm, vma))
		return NULL;
	if (likely(vma_has(vma, addr)))
		return vma;
	vma_end_read(vma);
	return NULL;
}

/*
 * The source is only tried while the destination is held: a writer may hold
 * the mmap_lock and wait for the destination, so waiting for the mmap_lock
 * here would be a deadlock (R5). Both are given up if either can't be had.
 */
static __hot_inline bool lock_both(struct anon_move *am)
{
	const struct anon_move_request *req = am->req;

	am->dst_vma = lock_one(req->mm, am->dst_vma, req->dst);
	if (!am->dst_vma)
		return false;
	/* Who faults at it first, with the mmap_lock, may just be setting it. */
	if (READ_ONCE(am->dst_vma->anon_vma)) {
		if (vma_has(am->dst_vma, req->src))
			am->src_vma = am->dst_vma;
		else
			am->src_vma = lock_one(req->mm, am->src_vma, req->src);
		if (am->src_vma)
			return true;
	}
	vma_end_read(am->dst_vma);
	return false;
}

static noinline bool look_up_both(struct anon_move *am)
{
	am->dst_vma = vma_lookup(am->req->mm, am->req->dst);
	am->src_vma = vma_lookup(am->req->mm, am->req->src);
	if (!lock_both(am))
		return false;
	anon_move_keep_vmas(am);
	return true;
}

static bool lock_under_rcu(struct anon_move *am)
{
	bool locked;

	rcu_read_lock();
	locked = (anon_move_recall_vmas(am) && lock_both(am)) || look_up_both(am);
	rcu_read_unlock();
	return locked;
}

/* With the mmap_lock held, so that no writer can be between them: one lock class twice (R6). */
static int lock_nested(struct anon_move *am)
{
	if (!anon_move_vma_lock(am->dst_vma, 0))
		return -EAGAIN;
	if (am->src_vma == am->dst_vma || anon_move_vma_lock(am->src_vma, SINGLE_DEPTH_NESTING))
		return 0;
	vma_end_read(am->dst_vma);
	return -EAGAIN;
}

static noinline int lock_under_mmap_lock(struct anon_move *am)
{
	int error;

	if (!lock_mm(am))
		return -EAGAIN;
	error = find_vmas(am);
	if (!error)
		error = lock_nested(am);
	mmap_read_unlock(am->req->mm);
	return error;
}

static int lock_found(struct anon_move *am)
{
	return likely(lock_under_rcu(am)) ? 0 : lock_under_mmap_lock(am);
}

static void unlock_found(struct anon_move *am)
{
	if (am->src_vma != am->dst_vma)
		vma_end_read(am->src_vma);
	vma_end_read(am->dst_vma);
}

static bool vmas_contended(struct anon_move *am)
{
	return anon_move_vma_contended(am->dst_vma) ||
	       anon_move_vma_contended(am->src_vma);
}
#else
static int lock_found(struct anon_move *am)
{
	int error;

	if (!lock_mm(am))
		return -EAGAIN;
	error = find_vmas(am);
	if (error)
		mmap_read_unlock(am->req->mm);
	return error;
}

static void unlock_found(struct anon_move *am)
{
	mmap_read_unlock(am->req->mm);
}

static bool vmas_contended(struct anon_move *am)
{
	return mmap_lock_is_contended(am->req->mm);
}
#endif /* CONFIG_PER_VMA_LOCK */

/**
 * anon_move_check_armed() - is a destination registered for what a request arms?
 * @req: the request
 * @dst_vma: the destination
 *
 * For the check of a caller that sets %ANON_MOVE_PROTECT or %ANON_MOVE_ARM.
 *
 * Context: the VMA read-locked.
 * Return: 0, or -EPERM.
 */
int anon_move_check_armed(const struct anon_move_request *req,
			  const struct vm_area_struct *dst_vma)
{
	if ((req->flags & ANON_MOVE_PROTECT && !(dst_vma->vm_flags & VM_UFFD_WP)) ||
	    (req->flags & ANON_MOVE_ARM && !(dst_vma->vm_flags & VM_UFFD_RWP)))
		return -EPERM;
	return 0;
}

/**
 * anon_move_lock_vmas() - find both VMAs, lock them for reading, check them
 * @am: the move; its VMAs and @am->uffd are set on success
 *
 * Called anew after every pause of a move: nothing of an earlier hold is
 * trusted.
 *
 * Context: no lock on entry; on success both VMAs read-locked (without
 *	    CONFIG_PER_VMA_LOCK the mmap_lock), and after them the caller's
 *	    lock; may sleep.
 * Return: 0, -ENOENT if no VMA is at the start of a range (-EFAULT with
 *	   %ANON_MOVE_UNMAPPED_EFAULT), -ENOMEM, -EAGAIN if a writer has the
 *	   mmap_lock (with %ANON_MOVE_NO_WAIT only) or a VMA has more readers than
 *	   can be counted, what the caller's check returned, or -EINVAL if the VMAs
 *	   don't hold the whole ranges, aren't private writable anonymous memory, or
 *	   differ in protection, in being mlocked or in being droppable.
 */
int anon_move_lock_vmas(struct anon_move *am)
{
	struct anon_move_request *req = am->req;
	int error;

	error = lock_found(am);
	if (error)
		return error;

	if (req->lock)
		down_read(req->lock);
	error = req->check(req, am->dst_vma, am->src_vma);
	if (!error)
		error = check_vmas(am, req);
	if (error) {
		anon_move_unlock_vmas(am);
		return error;
	}
	am->uffd = arrival(am);
	return 0;
}

/**
 * anon_move_unlock_vmas() - undo anon_move_lock_vmas()
 * @am: the move
 *
 * Context: both VMAs read-locked on entry, nothing on exit.
 */
void anon_move_unlock_vmas(struct anon_move *am)
{
	if (am->req->lock)
		up_read(am->req->lock);
	unlock_found(am);
}

/**
 * anon_move_writer_waits() - does somebody wait for a lock that the move holds?
 * @am: the move, VMAs locked
 *
 * Context: both VMAs read-locked, no other lock.
 * Return: true when the move should let go of them for a moment (O2).
 */
bool anon_move_writer_waits(struct anon_move *am)
{
	struct rw_semaphore *lock = am->req->lock;

	return anon_move_should_fail() || vmas_contended(am) || (lock && rwsem_is_contended(lock));
}

#include "tests/vma-kunit.h"
