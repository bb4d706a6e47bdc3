// SPDX-License-Identifier: GPL-2.0
/* Maps memory for moving, and registers it with a userfaultfd. */

#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shared.h"
#include "uffd_move.h"

/**
 * map_area() - map empty private anonymous memory
 * @len: bytes, page aligned
 *
 * An inaccessible page on both sides keeps areas apart, so that each is one VMA
 * and stays one.
 *
 * Return: its first byte, at a PMD border.
 */
char *map_area(size_t len)
{
	char *all = mmap(NULL, len + 2 * PMD_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *area = (char *)(((uintptr_t)all + PMD_SIZE) & -PMD_SIZE);

	if (all == MAP_FAILED || mprotect(area, len, PROT_READ | PROT_WRITE))
		err(FAILED, "can't map %zu MiB", len / MIB);
	munmap(all, area - PAGE - all);
	munmap(area + len + PAGE, all + 2 * PMD_SIZE - area - PAGE);
	return area;
}

/**
 * unmap_area() - undo map_area() or map_small_pages()
 * @area: from there
 * @len: as there
 *
 * With what keeps it apart, too: looking for a VMA takes longer the more there are.
 */
void unmap_area(char *area, size_t len)
{
	munmap(area - PAGE, len + 2 * PAGE);
}

/**
 * map_small_pages() - map private anonymous memory that gets no large folios
 * @len: bytes, page aligned
 *
 * Return: its first byte, at a PMD border.
 */
char *map_small_pages(size_t len)
{
	char *area = map_area(len);

	/* EINVAL: this kernel has no others. */
	if (madvise(area, len, MADV_NOHUGEPAGE) && errno != EINVAL)
		err(FAILED, "MADV_NOHUGEPAGE");
	return area;
}

/**
 * open_uffd() - get a userfaultfd that can move
 * @features: UFFD_FEATURE_* wanted besides
 *
 * Return: the descriptor.
 */
int open_uffd(unsigned long long features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_MOVE | features };
	/* User mode only, as no system call faults here: works without privilege. */
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0)
		err(CANNOT, "no userfaultfd (a kernel without CONFIG_USERFAULTFD, or seccomp)");
	if (ioctl(fd, UFFDIO_API, &api))
		err(CANNOT, "no UFFDIO_MOVE in this kernel; use Linux 6.8 or later, or 'make run'");
	return fd;
}

/**
 * register_area() - let a descriptor have the missing pages of an area
 * @uffd: the descriptor
 * @area: first byte, page aligned
 * @len: bytes, page aligned
 */
void register_area(int uffd, char *area, size_t len)
{
	struct uffdio_register arg = {
		.range = { .start = (uintptr_t)area, .len = len },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	if (ioctl(uffd, UFFDIO_REGISTER, &arg))
		err(FAILED, "UFFDIO_REGISTER");
}
