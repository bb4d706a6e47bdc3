/* SPDX-License-Identifier: GPL-2.0 */
/* What the sources include by this name is in kernel.h. */
#include "../kernel.h"
