// SPDX-License-Identifier: GPL-2.0
/*
 * Remembers the two VMAs of a CPU's last move, as the next mostly has the same. Locks none.
 *
 * To find two VMAs takes a fifth of a move of one page. What is remembered may
 * have been freed since, and this tells without following it: a VMA's memory is
 * given back a grace period after a writer of the mmap_lock has taken it out of
 * the tree, and each such writer changes mm_lock_seq before he does anything.
 * (Only exit_mmap() need not wait: nobody is left then who could move.) So if, in
 * an RCU section, the number still is what it was while both VMAs were locked
 * in the tree, neither's memory will be given back before the section ends; a
 * read of the number that comes too early to see the change is in a section that
 * began early enough to hold the grace period up. Whoever follows the VMAs there
 * locks them, and looks whether they are this mm's (it may be another's by now,
 * where bases use VMAs again at once: R21) and have what he wants, just as if he
 * had found them in the tree.
 */

#include "anon_move.h"

/* Long enough to be worth it, and far too short for mm_lock_seq to wrap. */
#define ANON_MOVE_KEPT_FOR	HZ

/**
 * struct kept_vmas - the VMAs of the last move on a CPU
 * @lock: for all of it
 * @key: which address space they belong to
 * @seq: its mm_lock_seq while both were locked; even, as no writer was there
 * @until: jiffies, of 64 bits, from which on @seq says nothing any more
 * @dst: destination
 * @src: source, may be @dst
 */
struct kept_vmas {
	local_lock_t lock;
	u64 key;
	unsigned int seq;
	u64 until;
	struct vm_area_struct *dst;
	struct vm_area_struct *src;
};

static DEFINE_PER_CPU(struct kept_vmas, kept_vmas) = {
	.lock = INIT_LOCAL_LOCK(lock),
};

/* An mm_struct may be at the address of an earlier one, hence numbers. */
atomic64_t anon_move_keys = ATOMIC64_INIT(0);

static bool may_follow(const struct kept_vmas *kept, const struct anon_move_request *req)
{
	return kept->key == req->key &&
	       kept->seq == anon_move_mm_seq(req->mm) &&
	       time_before64(get_jiffies_64(), kept->until);
}

/**
 * anon_move_recall_vmas() - the VMAs of the last move, if they still exist
 * @am: the move; if true is returned, both of its VMAs are set, to some that
 *	needn't be those of its ranges, nor be in the tree any more
 *
 * Context: RCU read-side section, in which the VMAs may be followed; neither
 *	    is locked.
 * Return: true if there are any.
 */
bool anon_move_recall_vmas(struct anon_move *am)
{
	const struct kept_vmas *kept;
	bool found;

	local_lock(&kept_vmas.lock);
	kept = this_cpu_ptr(&kept_vmas);
	found = may_follow(kept, am->req);
	if (found) {
		am->dst_vma = kept->dst;
		am->src_vma = kept->src;
	}
	local_unlock(&kept_vmas.lock);
	return found;
}

/**
 * anon_move_keep_vmas() - remember the VMAs of this move for the next one
 * @am: the move
 *
 * Context: both VMAs read-locked, so that they are in the tree; not under the
 *	    mmap_lock.
 */
void anon_move_keep_vmas(const struct anon_move *am)
{
	/* Before the number, which may get old between the two. */
	const u64 until = get_jiffies_64() + ANON_MOVE_KEPT_FOR;
	const unsigned int seq = anon_move_mm_seq(am->req->mm);
	struct kept_vmas *kept;

	/* A writer may be about to take them out; he has changed the number already. */
	if (!am->req->key || seq & 1)
		return;
	local_lock(&kept_vmas.lock);
	kept = this_cpu_ptr(&kept_vmas);
	kept->key = am->req->key;
	kept->seq = seq;
	kept->until = until;
	kept->dst = am->dst_vma;
	kept->src = am->src_vma;
	local_unlock(&kept_vmas.lock);
}

#include "tests/kept-kunit.h"
