/* SPDX-License-Identifier: GPL-2.0 */
/* Stands in for the kernel's linux/sizes.h, which is not among the headers of user space. */
#ifndef UNIT_SIZES_H
#define UNIT_SIZES_H

#define SZ_2M	BIT(21)

#endif
