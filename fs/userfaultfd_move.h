/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What UFFDIO_MOVE and UFFDIO_MOVEV share.
 */
#ifndef _FS_USERFAULTFD_MOVE_H
#define _FS_USERFAULTFD_MOVE_H

struct anon_move_request;
struct vm_area_struct;

int userfaultfd_move_check(struct anon_move_request *req, const struct vm_area_struct *dst_vma,
			   const struct vm_area_struct *src_vma);

#endif /* _FS_USERFAULTFD_MOVE_H */
