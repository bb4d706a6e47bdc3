/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Flags of mremap(2) that the page mover brings.
 */
#ifndef _UAPI_LINUX_ANON_MOVE_H
#define _UAPI_LINUX_ANON_MOVE_H

/*
 * Far above the flags of <linux/mman.h>, which grow from below: no kernel may
 * ever take one of these for something else.
 */

/*
 * The mapping that was moved is, for all that concerns its merging with others, as if
 * it had always been there. The second one, or both: EFAULT where that can't be.
 */
#define MREMAP_RELOCATE_ANON		0x01000000
#define MREMAP_MUST_RELOCATE_ANON	0x02000000

/* Moves pages between mappings and leaves the mappings alone; returns bytes. */
#define MREMAP_ONLYPAGES	0x04000000
/* With it, addresses of the source that have no page are passed over. */
#define MREMAP_ONLYPAGES_HOLES	0x08000000

#endif /* _UAPI_LINUX_ANON_MOVE_H */
