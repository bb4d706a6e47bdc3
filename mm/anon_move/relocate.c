// SPDX-License-Identifier: GPL-2.0
/*
 * mremap() with MREMAP_RELOCATE_ANON: where the mapping gets a VMA, and its pages their new index.
 *
 * The mapping is made as if it had never been faulted, with the offset that belongs to
 * its new address, and so merges with what lies beside it. Then the pages come, each
 * entry together with the index of its folio: at no time do they say different things.
 */

#include <linux/ksm.h>
#include <linux/mempolicy.h>
#include <linux/mman.h>
#include <linux/sched/mm.h>
#include "anon_move.h"
#include <trace/events/anon_move.h>

/*
 * Only of memory that is anonymous and nothing else does the offset mean nothing to
 * anybody. A userfaultfd would be told of a mapping that is not there any more.
 */
static bool relocatable(struct vm_area_struct *vma)
{
	const vm_flags_t never = VM_SPECIAL | VM_SHARED | VM_HUGETLB | VM_SHADOW_STACK;

	return vma_is_anonymous(vma) && !vma->vm_file && !(vma->vm_flags & never) &&
	       !userfaultfd_armed(vma);
}

/* Would what lies at @at be one VMA with a part of @vma whose offset at @border is @pgoff? */
static bool continues(struct vm_area_struct *vma, unsigned long at, unsigned long border,
		      pgoff_t pgoff)
{
	struct vm_area_struct *beside = vma_lookup(vma->vm_mm, at);

	return beside && anon_move_anon_vmas_merge(vma, beside) && !beside->vm_file &&
	       !((beside->vm_flags ^ vma->vm_flags) & ~ANON_MOVE_MERGE_IGNORES) &&
	       __linear_anon_page_index(beside, border) == pgoff &&
	       mpol_equal(vma_policy(beside), vma_policy(vma)) &&
	       anon_vma_name_eq(anon_vma_name(beside), anon_vma_name(vma));
}

/* Does the call itself unmap what is at this address? */
static bool unmapped_by(const struct anon_move_remap *call, unsigned long addr)
{
	return call && (addr - call->src < call->old_len || addr - call->dst < call->new_len);
}

/*
 * A mapping that comes back to where it was taken from merges there as it is. If that
 * is asked before the call has unmapped anything, @call is the whole call.
 */
static bool goes_home(struct vm_area_struct *vma, const struct anon_move_remap *remap,
		      const struct anon_move_remap *call)
{
	const pgoff_t pgoff = __linear_anon_page_index(vma, remap->src);
	const unsigned long before = remap->dst - 1, end = remap->dst + remap->new_len;

	return (!unmapped_by(call, before) && continues(vma, before, remap->dst, pgoff)) ||
	       (!unmapped_by(call, end) &&
		continues(vma, end, end, pgoff + (remap->new_len >> PAGE_SHIFT)));
}

static void init_request(struct anon_move_request *req, struct vm_area_struct *vma,
			 const struct anon_move_remap *remap)
{
	*req = (struct anon_move_request) {
		.mm = vma->vm_mm,
		.dst = remap->dst,
		.src = remap->src,
		.len = remap->old_len,
		.flags = ANON_MOVE_ALLOW_HOLES | ANON_MOVE_WHOLE_MAPPING,
	};
}

/*
 * Waits until nobody faults in the VMA any more, so that what is found stays true. Pages
 * that KSM has merged are un-merged before mremap() moves them; so they are here, as
 * what becomes of them in between could not be foreseen. What passes before @call has
 * unmapped anything is asked again, and told then.
 */
static int check_pages(struct vm_area_struct *vma, const struct anon_move_remap *remap,
		       const struct anon_move_remap *call)
{
	struct anon_move_request req;
	struct anon_move am = { .req = &req, .src_vma = vma, .uffd = ANON_MOVE_AS_IS };
	vm_flags_t unused = vma->vm_flags;
	enum anon_move_stop stop;
	int error;

	init_request(&req, vma, remap);
	vma_start_write(vma);
	error = ksm_madvise(vma, remap->src, remap->src + remap->old_len, MADV_UNMERGEABLE,
			    &unused);
	if (error)
		return error;
	stop = anon_move_check(&am);
	if (stop || !call) {
		anon_move_count_obstacle(stop);
		trace_anon_move_relocate(&am, stop);
	}
	return stop ? -EFAULT : 0;
}

/* 1 if there is nothing to relocate, 0 if there is and it can be, or a negative errno. */
static int check_mapping(struct vm_area_struct *vma, const struct anon_move_remap *remap,
			 const struct anon_move_remap *call)
{
	if (!relocatable(vma)) {
		anon_move_count_obstacle(ANON_MOVE_VMA);
		return -EFAULT;
	}
	if (!vma->anon_vma || goes_home(vma, remap, call))
		return 1;
	return check_pages(vma, remap, call);
}

static bool must(const struct anon_move_remap *remap)
{
	return remap->flags & MREMAP_MUST_RELOCATE_ANON;
}

/* Without a length mremap() maps shared memory a second time, and refuses any other. */
static int check_second_mapping(unsigned long src)
{
	struct vm_area_struct *vma = vma_lookup(current->mm, src);

	return vma && !(vma->vm_flags & VM_MAYSHARE) ? -EINVAL : -EFAULT;
}

static bool overlaps(const struct anon_move_remap *remap)
{
	return remap->src < remap->dst + remap->new_len && remap->dst < remap->src + remap->old_len;
}

static bool any_sealed(unsigned long start, unsigned long end)
{
	VMA_ITERATOR(vmi, current->mm, start);
	struct vm_area_struct *vma;

	for_each_vma_range(vmi, vma, end)
		if (vma->vm_flags & VM_SEALED)
			return true;
	return false;
}

/* @part of the call, which is all that lies in @vma. 0 or a negative errno. */
static int check_part(struct vm_area_struct *vma, const struct anon_move_remap *part,
		      const struct anon_move_remap *call)
{
	if (!ANON_MOVE_REMAPS_SEVERAL && part->old_len < min(call->old_len, call->new_len))
		return -EFAULT;
	return min(check_mapping(vma, part, call), 0);
}

/**
 * anon_move_check_remap() - would a mremap() fail that must relocate?
 * @remap: the call
 *
 * Asked before it unmaps what is at the destination, and of all VMAs before it moves
 * the first.
 *
 * Context: the mmap_lock write-locked; sleeps. VMAs of the source are write-locked.
 * Return: 0, -EFAULT, -EPERM if a VMA is sealed, -EINVAL if memory is to be mapped a second
 *	   time that is not shared, or what un-merging pages that KSM has merged failed with.
 */
int anon_move_check_remap(const struct anon_move_remap *remap)
{
	const unsigned long len = min(remap->old_len, remap->new_len);
	const unsigned long end = remap->src + len;
	struct vm_area_struct *vma;
	struct vma_iterator vmi;

	/* What is not valid mremap() refuses by itself, in 6.12 only later. */
	if (!must(remap) || !(remap->flags & MREMAP_FIXED) || !PAGE_ALIGNED(remap->dst) ||
	    !anon_move_range_valid(current->mm, remap->dst, remap->new_len) || overlaps(remap))
		return 0;
	/* What is cut off in the end, too. */
	if (any_sealed(remap->src, remap->src + (remap->old_len ?: 1)))
		return -EPERM;
	if (!len)
		return check_second_mapping(remap->src);
	vma_iter_init(&vmi, current->mm, remap->src);
	for_each_vma_range(vmi, vma, end) {
		const unsigned long start = max(vma->vm_start, remap->src);
		struct anon_move_remap part = {
			.src = start,
			.dst = start - remap->src + remap->dst,
			.old_len = min(vma->vm_end, end) - start,
		};
		int error;

		/* Of several none grows. */
		part.new_len = part.old_len + remap->new_len - len;
		error = check_part(vma, &part, remap);
		if (error)
			return error;
	}
	return 0;
}

/*
 * Merged with what is beside it and has this anon_vma, if it has one; or NULL. Without memory
 * for a merge @beside is empty, as to offer it again might merge it with both neighbours.
 */
static struct vm_area_struct *merge_into(struct vm_area_struct *vma,
					 const struct anon_move_remap *remap,
					 struct anon_vma *anon_vma,
					 struct vm_area_struct *beside[2])
{
	VMA_ITERATOR(vmi, vma->vm_mm, remap->dst);
	VMG_VMA_STATE(vmg, &vmi, NULL, vma, remap->dst, remap->dst + remap->new_len);
	struct vm_area_struct *new;

	anon_move_merge_as_new(&vmg, anon_vma);
	find_vma_prev(vma->vm_mm, remap->dst, &vmg.prev);
	vmg.next = vma_iter_next_rewind(&vmi, NULL);
	/* Who keeps the source wants it and the destination to be two. */
	if (remap->flags & MREMAP_DONTUNMAP) {
		vmg.prev = vmg.prev == vma ? NULL : vmg.prev;
		vmg.next = vmg.next == vma ? NULL : vmg.next;
	}
	beside[0] = vmg.prev;
	beside[1] = vmg.next;
	new = vma_merge_new_range(&vmg);
	if (vmg_nomem(&vmg))
		memset(beside, 0, 2 * sizeof(*beside));
	return new;
}

/* Has it anon_vmas of the process that has forked this one? */
static bool is_inherited(struct vm_area_struct *vma)
{
	return vma && vma->anon_vma && !list_is_singular(&vma->anon_vma_chain);
}

/*
 * What has never been faulted does not merge with what a fork has left with the parent's
 * anon_vmas. What has its anon_vma does: pages get that anyway where they arrive.
 */
static struct vm_area_struct *merge(struct vm_area_struct *vma,
				    const struct anon_move_remap *remap)
{
	struct vm_area_struct *beside[2], *new = merge_into(vma, remap, NULL, beside);
	unsigned int i;

	for (i = 0; !new && i < ARRAY_SIZE(beside); i++)
		if (is_inherited(beside[i]))
			new = merge_into(vma, remap, beside[i]->anon_vma, beside);
	return new;
}

/* mremap() has charged for it already, which is hidden from who would do so again. */
static int insert(struct vm_area_struct *new, vm_flags_t flags)
{
	int error;

	vm_flags_init(new, flags & ~VM_ACCOUNT);
	error = insert_vm_struct(new->vm_mm, new);
	if (!error)
		vm_flags_set(new, flags & VM_ACCOUNT);
	return error;
}

static struct vm_area_struct *make_new(struct vm_area_struct *vma,
				       const struct anon_move_remap *remap)
{
	struct vm_area_struct *new = vm_area_dup(vma);

	if (!new)
		return ERR_PTR(-ENOMEM);
	new->vm_start = remap->dst;
	new->vm_end = remap->dst + remap->new_len;
	new->anon_vma = NULL;
	if (vma_dup_policy(vma, new))
		goto free_vma;
	if (insert(new, vma->vm_flags))
		goto put_policy;
	return new;

put_policy:
	mpol_put(vma_policy(new));
free_vma:
	vm_area_free(new);
	return ERR_PTR(-ENOMEM);
}

/**
 * anon_move_copy_vma() - a VMA for a mapping that is relocated
 * @vmap: the source; changes if it was merged into another
 * @remap: the call; @remap->relocates is set
 *
 * Context: the mmap_lock and the source write-locked; sleeps. The new VMA is
 *	    write-locked.
 * Return: the VMA, for anon_move_relocate(); NULL if copy_vma() is to make one, as
 *	   nothing is relocated; ERR_PTR(-ENOMEM), or what anon_move_check_remap()
 *	   returns if it must be and can't.
 */
struct vm_area_struct *anon_move_copy_vma(struct vm_area_struct **vmap,
					  struct anon_move_remap *remap)
{
	struct vm_area_struct *vma = *vmap, *new;
	const unsigned long start = vma->vm_start;
	int error;

	remap->relocates = false;
	if (!(remap->flags & ANON_MOVE_RELOCATE_FLAGS) && !anon_move_relocates_unasked())
		return NULL;
	error = check_mapping(vma, remap, NULL);
	if (error)
		return error < 0 && must(remap) ? ERR_PTR(error) : NULL;

	remap->relocates = true;
	new = merge(vma, remap);
	if (!new)
		return make_new(vma, remap);
	/* Right behind another one, and right before itself. */
	if (new->vm_start <= start && start < new->vm_end)
		*vmap = new;
	return new;
}

/*
 * The fewer anon_vmas there are, the more of what is relocated later can merge with
 * this. One that was inherited would keep it from that.
 */
static int prepare_anon_vma(struct vm_area_struct *dst_vma, struct vm_area_struct *src_vma)
{
	if (dst_vma->anon_vma)
		return 0;
	if (!find_mergeable_anon_vma(dst_vma) && list_is_singular(&src_vma->anon_vma_chain))
		return anon_move_share_anon_vma(dst_vma, src_vma);
	return anon_vma_prepare(dst_vma);
}

/*
 * mremap() unmaps the destination then, so nothing may stay there. Its page tables are still
 * there for what was mapped by entries; for what was huge and has been split since, there
 * is memory that others don't get.
 */
static void move_back(const struct anon_move *am)
{
	const unsigned int saved = memalloc_noreclaim_save();
	struct anon_move_request req = *am->req;
	enum anon_move_stop stop;
	struct anon_move back = {
		.req = &req,
		.dst_vma = am->src_vma,
		.src_vma = am->dst_vma,
		.uffd = ANON_MOVE_AS_IS,
	};

	req.dst = am->req->src;
	req.src = am->req->dst;
	while ((stop = anon_move_walk_held(&back)) == ANON_MOVE_NOMEM)
		schedule_timeout_uninterruptible(1);
	memalloc_noreclaim_restore(saved);
	WARN_ON_ONCE(stop);
}

/**
 * anon_move_relocate() - move the pages of a mapping to its new VMA
 * @src_vma: where they are
 * @dst_vma: from anon_move_copy_vma(), may be the same
 * @remap: the call
 *
 * Context: the mmap_lock and both VMAs write-locked; sleeps, without limit for what
 *	    others hold of the pages, as mremap() waits for page-table locks.
 * Return: @remap->old_len, or 0 if there was no memory for page tables or an anon_vma,
 *	   and nothing has moved.
 */
unsigned long anon_move_relocate(struct vm_area_struct *src_vma, struct vm_area_struct *dst_vma,
				 const struct anon_move_remap *remap)
{
	struct anon_move_request req;
	struct anon_move am = {
		.req = &req,
		.dst_vma = dst_vma,
		.src_vma = src_vma,
		.uffd = ANON_MOVE_AS_IS,
	};
	enum anon_move_stop stop;

	if (prepare_anon_vma(dst_vma, src_vma))
		return 0;
	init_request(&req, src_vma, remap);
	stop = anon_move_walk_held(&am);
	if (!stop)
		return remap->old_len;
	WARN_ON_ONCE(stop != ANON_MOVE_NOMEM);
	move_back(&am);
	return 0;
}
