// SPDX-License-Identifier: GPL-2.0
/*
 * Every error UFFDIO_MOVE documents: its errno, its .move, and nothing moved.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <linux/io_uring.h>
#include <linux/memfd.h>
#include <linux/mman.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#define AREA	PMD_PAGES
#define MADE	8		/* pages in the source, of which 2 are to move */

/* What one bad call is made from. */
struct attempt {
	struct space space;
	struct uffdio_move arg;
	char *extra;		/* memory of a VMA that may not take part */
	int other_uffd;
};

FIXTURE(errors)
{
	struct attempt attempt;
};

FIXTURE_VARIANT(errors)
{
	int (*spoil)(struct attempt *a);	/* a good call; 0 if it could */
	int err;				/* that must come out */
	const char *stop;			/* counter of the engine for it */
	const char *(*missing)(void);		/* says what keeps us from trying */
	__u64 features;				/* of the descriptor */
};

static int src_unaligned(struct attempt *a)
{
	a->arg.src += 8;
	return 0;
}

static int dst_unaligned(struct attempt *a)
{
	a->arg.dst += 8;
	return 0;
}

static int len_unaligned(struct attempt *a)
{
	a->arg.len -= 8;
	return 0;
}

static int len_zero(struct attempt *a)
{
	a->arg.len = 0;
	return 0;
}

static int mode_unknown(struct attempt *a)
{
	a->arg.mode = 4;
	return 0;
}

static int mode_unknown_too(struct attempt *a)
{
	a->arg.mode = UFFDIO_MOVE_MODE_DONTWAKE | _BITULL(63);
	return 0;
}

static int src_wraps(struct attempt *a)
{
	a->arg.src = -PAGE;
	return 0;
}

static int dst_wraps(struct attempt *a)
{
	a->arg.dst = -PAGE;
	return 0;
}

static int len_wraps(struct attempt *a)
{
	a->arg.len = -PAGE;
	return 0;
}

static int src_past_end(struct attempt *a)
{
	a->arg.src += (AREA - 1) * PAGE;
	return 0;
}

static int dst_past_end(struct attempt *a)
{
	a->arg.dst += (AREA - 1) * PAGE;
	return 0;
}

static int dst_unregistered(struct attempt *a)
{
	return uffd_unregister(a->space.uffd, a->space.dst, AREA * PAGE);
}

static int dst_of_other_uffd(struct attempt *a)
{
	a->other_uffd = uffd_open(0, 0);
	if (a->other_uffd < 0 || dst_unregistered(a))
		return -1;
	return uffd_register(a->other_uffd, a->space.dst, AREA * PAGE,
			     UFFDIO_REGISTER_MODE_MISSING);
}

static int map_extra(struct attempt *a, int flags, int fd)
{
	a->extra = mmap(NULL, PMD, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0);
	return a->extra == MAP_FAILED ? -1 : 0;
}

static int use_as_src(struct attempt *a)
{
	a->arg.src = (uintptr_t)a->extra;
	return 0;
}

static int use_as_dst(struct attempt *a)
{
	a->arg.dst = (uintptr_t)a->extra;
	return uffd_register(a->space.uffd, a->extra, PMD, UFFDIO_REGISTER_MODE_MISSING);
}

static int src_shared(struct attempt *a)
{
	if (map_extra(a, MAP_SHARED | MAP_ANONYMOUS, -1))
		return -1;
	fill_pages(a->extra, MADE, 1);
	return use_as_src(a);
}

static int dst_shared(struct attempt *a)
{
	return map_extra(a, MAP_SHARED | MAP_ANONYMOUS, -1) ? -1 : use_as_dst(a);
}

static int map_file(struct attempt *a)
{
	int fd = memfd_create("move_errors", MFD_CLOEXEC);
	int err = ftruncate(fd, PMD) ? -1 : map_extra(a, MAP_PRIVATE, fd);

	close(fd);
	return err;
}

static int src_private_file(struct attempt *a)
{
	if (map_file(a))
		return -1;
	fill_pages(a->extra, MADE, 1);
	return use_as_src(a);
}

static int dst_private_file(struct attempt *a)
{
	return map_file(a) ? -1 : use_as_dst(a);
}

static int src_hugetlb(struct attempt *a)
{
	if (map_extra(a, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1))
		return -1;
	return use_as_src(a);
}

static int dst_hugetlb(struct attempt *a)
{
	if (map_extra(a, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1))
		return -1;
	return use_as_dst(a);
}

static const char *hugetlb_missing(void)
{
	char path[80];

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%lukB", PMD / 1024);
	return access(path, F_OK) ? "no hugetlb pages of a PMD in this kernel" : NULL;
}

static char *map_droppable(void)
{
	return mmap(NULL, PMD, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_DROPPABLE, -1, 0);
}

static const char *droppable_missing(void)
{
	char *addr = map_droppable();

	return addr == MAP_FAILED || munmap(addr, PMD) ? "no droppable mappings here" : NULL;
}

/* Where userfaultfd takes none, nothing can be moved to one by it. */
static const char *registered_droppable_missing(void)
{
	const char *missing = droppable_missing();
	char *addr = missing ? NULL : map_droppable();
	int uffd, err;

	if (missing)
		return missing;
	uffd = uffd_open(0, 0);
	err = uffd_register(uffd, addr, PMD, UFFDIO_REGISTER_MODE_MISSING);
	close(uffd);
	munmap(addr, PMD);
	return err ? "userfaultfd refuses droppable mappings in this kernel" : NULL;
}

/* What reclaim may drop instead of swapping it out: never for a VMA where it must not be. */
static int src_droppable(struct attempt *a)
{
	a->extra = map_droppable();
	if (a->extra == MAP_FAILED)
		return -1;
	fill_pages(a->extra, MADE, 1);
	return use_as_src(a);
}

static int dst_droppable(struct attempt *a)
{
	a->extra = map_droppable();
	return a->extra == MAP_FAILED ? -1 : use_as_dst(a);
}

static uintptr_t find_vvar(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	unsigned long found = 0;
	char line[256];

	while (file && !found && fgets(line, sizeof(line), file))
		if (strstr(line, "[vvar]"))
			found = strtoul(line, NULL, 16);
	if (file)
		fclose(file);
	return found;
}

static const char *vvar_missing(void)
{
	return find_vvar() ? NULL : "no [vvar], the one PFN mapping that every process has";
}

static int src_pfnmap(struct attempt *a)
{
	a->arg.src = find_vvar();
	a->arg.len = PAGE;
	return 0;
}

static int open_ring(void)
{
	struct io_uring_params params = { };

	return syscall(__NR_io_uring_setup, 64, &params);
}

static const char *ring_missing(void)
{
	int ring = open_ring();

	return ring < 0 || close(ring) ? "no io_uring in this kernel" : NULL;
}

/* io_uring maps pages of its own one by one, which makes the VMA a mixed one. */
static int src_mixedmap(struct attempt *a)
{
	int ring = open_ring();
	void *sqes = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, ring,
			  IORING_OFF_SQES);

	close(ring);
	a->arg.src = (uintptr_t)sqes;
	a->arg.len = PAGE;
	return sqes == MAP_FAILED ? -1 : 0;
}

static int src_readonly(struct attempt *a)
{
	return mprotect(a->space.src, AREA * PAGE, PROT_READ);
}

static int dst_readonly(struct attempt *a)
{
	return mprotect(a->space.dst, AREA * PAGE, PROT_READ);
}

static int both_readonly(struct attempt *a)
{
	return src_readonly(a) ? -1 : dst_readonly(a);
}

static int src_executable(struct attempt *a)
{
	return mprotect(a->space.src, AREA * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
}

static const char *pkey_missing(void)
{
	int key = pkey_alloc(0, 0);

	if (key < 0)
		return "no memory protection keys on this CPU or in this kernel";
	pkey_free(key);
	return NULL;
}

static int src_other_pkey(struct attempt *a)
{
	return pkey_mprotect(a->space.src, AREA * PAGE, PROT_READ | PROT_WRITE, pkey_alloc(0, 0));
}

static int src_mlocked(struct attempt *a)
{
	return mlock2(a->space.src, AREA * PAGE, MLOCK_ONFAULT);
}

static int dst_mlocked(struct attempt *a)
{
	return mlock2(a->space.dst, AREA * PAGE, MLOCK_ONFAULT);
}

/* The range begins in a good VMA and ends in another good one. */
static int src_two_vmas(struct attempt *a)
{
	return madvise(a->space.src + PAGE, (AREA - 1) * PAGE, MADV_DONTFORK);
}

static int dst_two_vmas(struct attempt *a)
{
	return madvise(a->space.dst + PAGE, (AREA - 1) * PAGE, MADV_DONTFORK);
}

static int src_unmapped(struct attempt *a)
{
	a->arg.src += MADE * PAGE;
	return munmap(a->space.src + MADE * PAGE, (AREA - MADE) * PAGE);
}

static int dst_unmapped(struct attempt *a)
{
	return munmap(a->space.dst, MADE * PAGE);
}

static int src_hole(struct attempt *a)
{
	a->arg.src += MADE * PAGE;
	return 0;
}

static int src_no_page_table(struct attempt *a)
{
	a->arg.src = (uintptr_t)a->space.dst + MADE * PAGE;
	return 0;
}

static int dst_has_page(struct attempt *a)
{
	return move_pages_of(a->space.uffd, a->space.dst, a->space.src + 4 * PAGE, PAGE, 0).err;
}

static int dst_has_zero_page(struct attempt *a)
{
	if (make_kind(&a->space, KIND_ZERO, MADE, 1))
		return -1;
	return move_pages_of(a->space.uffd, a->space.dst, a->space.src + MADE * PAGE, PAGE, 0).err;
}

static int dst_swapped(struct attempt *a)
{
	return dst_has_page(a) ? -1 : page_out(a->space.dst, 1);
}

static const char *poison_missing(void)
{
	return features_missing(UFFD_FEATURE_POISON, "no UFFDIO_POISON in this kernel");
}

static int poison(struct attempt *a, char *addr)
{
	struct uffdio_poison arg = {
		.range = { .start = (uintptr_t)addr, .len = PAGE },
	};

	return ioctl(a->space.uffd, UFFDIO_POISON, &arg);
}

static int dst_poisoned(struct attempt *a)
{
	return poison(a, a->space.dst);
}

static int src_poisoned(struct attempt *a)
{
	a->arg.src = (uintptr_t)a->space.dst + 16 * PAGE;
	return poison(a, a->space.dst + 16 * PAGE);
}

/* Write-protecting a page that is not there leaves a marker in its place. */
static int src_wp_marker(struct attempt *a)
{
	char *src = a->space.src;

	a->arg.src += MADE * PAGE;
	if (uffd_register(a->space.uffd, src, AREA * PAGE, UFFDIO_REGISTER_MODE_WP))
		return -1;
	return uffd_writeprotect(a->space.uffd, src + MADE * PAGE, 2 * PAGE);
}

FIXTURE_VARIANT_ADD(errors, src_unaligned) { src_unaligned, EINVAL };
FIXTURE_VARIANT_ADD(errors, dst_unaligned) { dst_unaligned, EINVAL };
FIXTURE_VARIANT_ADD(errors, len_unaligned) { len_unaligned, EINVAL };
FIXTURE_VARIANT_ADD(errors, len_zero) { len_zero, EINVAL };
FIXTURE_VARIANT_ADD(errors, mode_unknown) { mode_unknown, EINVAL };
FIXTURE_VARIANT_ADD(errors, mode_unknown_too) { mode_unknown_too, EINVAL };
FIXTURE_VARIANT_ADD(errors, src_wraps) { src_wraps, EINVAL };
FIXTURE_VARIANT_ADD(errors, dst_wraps) { dst_wraps, EINVAL };
FIXTURE_VARIANT_ADD(errors, len_wraps) { len_wraps, EINVAL };
FIXTURE_VARIANT_ADD(errors, src_past_end) { src_past_end, EINVAL, "stop_vma" };
FIXTURE_VARIANT_ADD(errors, dst_past_end) { dst_past_end, EINVAL, "stop_vma" };
FIXTURE_VARIANT_ADD(errors, src_two_vmas) { src_two_vmas, EINVAL, "stop_vma" };
FIXTURE_VARIANT_ADD(errors, dst_two_vmas) { dst_two_vmas, EINVAL, "stop_vma" };
FIXTURE_VARIANT_ADD(errors, dst_unregistered) { dst_unregistered, EINVAL, "stop_vma" };
FIXTURE_VARIANT_ADD(errors, V6_dst_of_other_uffd) { dst_of_other_uffd, EINVAL, "stop_vma" };
FIXTURE_VARIANT_ADD(errors, V7_src_shared) { src_shared, EINVAL, "stop_vma" };
FIXTURE_VARIANT_ADD(errors, V7_dst_shared) { dst_shared, EINVAL, "stop_vma" };
FIXTURE_VARIANT_ADD(errors, V7_src_private_file) { src_private_file, EINVAL, "stop_vma" };
FIXTURE_VARIANT_ADD(errors, V7_dst_private_file) { dst_private_file, EINVAL, "stop_vma" };
FIXTURE_VARIANT_ADD(errors, V7_src_hugetlb) { src_hugetlb, EINVAL, "stop_vma", hugetlb_missing };
FIXTURE_VARIANT_ADD(errors, V7_dst_hugetlb) { dst_hugetlb, EINVAL, "stop_vma", hugetlb_missing };
FIXTURE_VARIANT_ADD(errors, V7_src_pfnmap) { src_pfnmap, EINVAL, "stop_vma", vvar_missing };
FIXTURE_VARIANT_ADD(errors, V7_src_mixedmap) { src_mixedmap, EINVAL, "stop_vma", ring_missing };
FIXTURE_VARIANT_ADD(errors, O11_src_droppable) {
	src_droppable, EINVAL, "stop_vma", droppable_missing };
FIXTURE_VARIANT_ADD(errors, O11_dst_droppable) {
	dst_droppable, EINVAL, "stop_vma", registered_droppable_missing };
FIXTURE_VARIANT_ADD(errors, src_readonly) { src_readonly, EINVAL, "stop_vma" };
FIXTURE_VARIANT_ADD(errors, dst_readonly) { dst_readonly, EINVAL, "stop_vma" };
FIXTURE_VARIANT_ADD(errors, both_readonly) { both_readonly, EINVAL, "stop_vma" };
FIXTURE_VARIANT_ADD(errors, src_executable) { src_executable, EINVAL, "stop_vma" };
FIXTURE_VARIANT_ADD(errors, src_other_pkey) { src_other_pkey, EINVAL, "stop_vma", pkey_missing };
FIXTURE_VARIANT_ADD(errors, src_mlocked) { src_mlocked, EINVAL, "stop_vma" };
FIXTURE_VARIANT_ADD(errors, dst_mlocked) { dst_mlocked, EINVAL, "stop_vma" };
FIXTURE_VARIANT_ADD(errors, O8_src_unmapped) { src_unmapped, ENOENT, "stop_vma" };
FIXTURE_VARIANT_ADD(errors, O8_dst_unmapped) { dst_unmapped, ENOENT, "stop_vma" };
FIXTURE_VARIANT_ADD(errors, O8_src_hole) { src_hole, ENOENT, "stop_hole" };
FIXTURE_VARIANT_ADD(errors, src_no_page_table) { src_no_page_table, ENOENT, "stop_hole" };
FIXTURE_VARIANT_ADD(errors, dst_has_page) { dst_has_page, EEXIST, "stop_exists" };
FIXTURE_VARIANT_ADD(errors, dst_has_zero_page) { dst_has_zero_page, EEXIST, "stop_exists" };
FIXTURE_VARIANT_ADD(errors, dst_swapped) { dst_swapped, EEXIST, "stop_exists", swap_missing };
FIXTURE_VARIANT_ADD(errors, dst_poisoned) {
	dst_poisoned, EEXIST, "stop_exists", poison_missing, UFFD_FEATURE_POISON };
FIXTURE_VARIANT_ADD(errors, O9_src_poisoned) {
	src_poisoned, EFAULT, "stop_marker", poison_missing, UFFD_FEATURE_POISON };
FIXTURE_VARIANT_ADD(errors, O9_src_wp_marker) {
	src_wp_marker, EFAULT, "stop_marker", writeprotect_missing, FEATURES_WP };

FIXTURE_SETUP(errors)
{
	struct attempt *a = &self->attempt;
	const char *missing = move_missing();

	if (!missing && variant->missing)
		missing = variant->missing();
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&a->space, AREA, variant->features));
	ASSERT_EQ(0, make_kind(&a->space, KIND_SMALL, 0, MADE));
	a->arg = (struct uffdio_move) {
		.dst = (uintptr_t)a->space.dst,
		.src = (uintptr_t)a->space.src,
		.len = 2 * PAGE,
		.move = MOVE_CANARY,
	};
	a->other_uffd = -1;
	ASSERT_EQ(0, variant->spoil(a));
}

FIXTURE_TEARDOWN(errors)
{
	struct attempt *a = &self->attempt;

	space_close(&a->space);
	if (a->extra)
		munmap(a->extra, PMD);
	if (a->other_uffd >= 0)
		close(a->other_uffd);
}

TEST_F_TIMEOUT(errors, R13_errno_and_move, PATIENCE)
{
	__u64 src_before[MADE], dst_before[MADE], src_after[MADE], dst_after[MADE];
	struct attempt *a = &self->attempt;
	long long before = variant->stop ? engine_count(variant->stop) : 0;

	ASSERT_EQ(0, look(a->space.src, MADE, src_before));
	ASSERT_EQ(0, look(a->space.dst, MADE, dst_before));
	ASSERT_EQ(-1, ioctl(a->space.uffd, UFFDIO_MOVE, &a->arg));
	EXPECT_EQ(variant->err, errno);
	/* The base leaves .move alone when it refuses the arguments themselves. */
	if (a->arg.move == MOVE_CANARY && base_serves())
		TH_LOG(".move not written: %s", base_serves());
	else
		EXPECT_EQ(-variant->err, a->arg.move);
	ASSERT_EQ(0, look(a->space.src, MADE, src_after));
	ASSERT_EQ(0, look(a->space.dst, MADE, dst_after));
	EXPECT_EQ((size_t)MADE, first_unlike(src_before, src_after, MADE, -1ULL));
	EXPECT_EQ((size_t)MADE, first_unlike(dst_before, dst_after, MADE, -1ULL));
	if (variant->stop)
		EXPECT_ENGINE(1, variant->stop, before);
}

FIXTURE(pointers)
{
	struct space space;
};

FIXTURE_SETUP(pointers)
{
	const char *missing = move_missing();

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->space, AREA, 0));
	ASSERT_EQ(0, make_kind(&self->space, KIND_SMALL, 0, 1));
}

FIXTURE_TEARDOWN(pointers)
{
	space_close(&self->space);
}

TEST_F_TIMEOUT(pointers, no_argument, PATIENCE)
{
	ASSERT_EQ(-1, ioctl(self->space.uffd, UFFDIO_MOVE, NULL));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_TRUE(all_pages(self->space.src, 1, PM_PRESENT, PM_PRESENT));
}

/* .move is the last field: it alone may lie where nothing is mapped. */
TEST_F_TIMEOUT(pointers, move_field_unmapped, PATIENCE)
{
	char *two = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_move *arg;

	ASSERT_NE(MAP_FAILED, two);
	ASSERT_EQ(0, munmap(two + PAGE, PAGE));
	arg = (struct uffdio_move *)(two + PAGE - offsetof(struct uffdio_move, move));
	arg->dst = (uintptr_t)self->space.dst;
	arg->src = (uintptr_t)self->space.src;
	arg->len = PAGE;
	arg->mode = 0;
	ASSERT_EQ(-1, ioctl(self->space.uffd, UFFDIO_MOVE, arg));
	EXPECT_EQ(EFAULT, errno);
	munmap(two, PAGE);
}

/* The fields are fetched one by one: each may be the first that is not there. */
TEST_F_TIMEOUT(pointers, field_unmapped, PATIENCE)
{
	struct uffdio_move arg = {
		.dst = (uintptr_t)self->space.dst, .src = (uintptr_t)self->space.src, .len = PAGE,
	};
	char *two = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *end = two + PAGE;
	size_t there;

	ASSERT_NE(MAP_FAILED, two);
	ASSERT_EQ(0, munmap(end, PAGE));
	for (there = 0; there < offsetof(struct uffdio_move, move); there += sizeof(__u64)) {
		memcpy(end - there, &arg, there);
		ASSERT_EQ(-1, ioctl(self->space.uffd, UFFDIO_MOVE, end - there));
		EXPECT_EQ(EFAULT, errno);
	}
	EXPECT_TRUE(all_pages(self->space.src, 1, PM_PRESENT, PM_PRESENT));
	munmap(two, PAGE);
}

/* A descriptor serves the address space it was opened in, and no other one. */
TEST_F_TIMEOUT(pointers, other_process, PATIENCE)
{
	struct space *s = &self->space;
	struct moved moved;
	int status = -1;
	pid_t pid;

	pid = fork();
	if (!pid) {
		moved = move_pages_of(s->uffd, s->dst, s->src, PAGE, 0);
		if (moved.bytes == MOVE_CANARY && base_serves())
			moved.bytes = -EINVAL;
		_exit(moved.err == EINVAL && moved.bytes == -EINVAL ? 0 : 1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN
