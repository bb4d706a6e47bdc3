// SPDX-License-Identifier: GPL-2.0
/*
 * The areas of a test, the userfaultfd calls and the patterns in the pages.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/mman.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "anon_move_test.h"

#define WORDS		(PAGE / sizeof(__u64))

/* An odd number and its inverse modulo 2^64: a word tells whose word it is. */
#define SCRAMBLE	0x9e3779b97f4a7c15ULL
#define UNSCRAMBLE	0xf1de83e19937733dULL

static void __attribute__((constructor)) check_page_size(void)
{
	if (getpagesize() == PAGE)
		return;
	printf("1..0 # SKIP compiled for pages of %lu bytes, the kernel's are of %d\n", PAGE,
	       getpagesize());
	exit(4);
}

/**
 * move_missing() - can UFFDIO_MOVE be tested here at all?
 *
 * Return: what is missing, or NULL.
 */
const char *move_missing(void)
{
	if (geteuid())
		return "needs root, to see page frame numbers";
	return features_missing(UFFD_FEATURE_MOVE, "no userfaultfd with UFFD_FEATURE_MOVE");
}

/**
 * features_missing() - has the kernel all of some userfaultfd features?
 * @features: UFFD_FEATURE_*
 * @reason: what to say if not
 *
 * Return: @reason, or NULL.
 */
const char *features_missing(__u64 features, const char *reason)
{
	int uffd = uffd_open(0, features);

	if (uffd < 0)
		return reason;
	close(uffd);
	return NULL;
}

/**
 * uffd_open() - open a userfaultfd that never blocks its reader
 * @flags: of userfaultfd(2), beside O_CLOEXEC and O_NONBLOCK
 * @features: UFFD_FEATURE_* beside UFFD_FEATURE_MOVE
 *
 * Return: the descriptor, or -1.
 */
int uffd_open(int flags, __u64 features)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = features | UFFD_FEATURE_MOVE,
	};
	int uffd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK | flags);

	if (uffd >= 0 && ioctl(uffd, UFFDIO_API, &api)) {
		close(uffd);
		return -1;
	}
	return uffd;
}

/**
 * uffd_register() - UFFDIO_REGISTER
 * @uffd: the descriptor
 * @addr: first byte
 * @len: bytes
 * @mode: UFFDIO_REGISTER_MODE_*
 *
 * Return: 0 or -1.
 */
int uffd_register(int uffd, void *addr, size_t len, __u64 mode)
{
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)addr, .len = len },
		.mode = mode,
	};

	return ioctl(uffd, UFFDIO_REGISTER, &reg);
}

/**
 * uffd_unregister() - UFFDIO_UNREGISTER: from here on missing pages are zeroes
 * @uffd: the descriptor
 * @addr: first byte
 * @len: bytes
 *
 * Return: 0 or -1.
 */
int uffd_unregister(int uffd, void *addr, size_t len)
{
	struct uffdio_range range = { .start = (uintptr_t)addr, .len = len };

	return ioctl(uffd, UFFDIO_UNREGISTER, &range);
}

/**
 * uffd_wake() - UFFDIO_WAKE
 * @uffd: the descriptor
 * @addr: first byte
 * @len: bytes
 *
 * Return: 0 or -1.
 */
int uffd_wake(int uffd, void *addr, size_t len)
{
	struct uffdio_range range = { .start = (uintptr_t)addr, .len = len };

	return ioctl(uffd, UFFDIO_WAKE, &range);
}

/**
 * writeprotect_missing() - can userfaultfd write-protect pages?
 *
 * Return: what is missing, or NULL.
 */
const char *writeprotect_missing(void)
{
	return features_missing(FEATURES_WP, "no userfaultfd write-protection in this kernel");
}

/**
 * uffd_writeprotect() - UFFDIO_WRITEPROTECT
 * @uffd: the descriptor
 * @addr: first byte
 * @len: bytes
 *
 * Return: 0 or -1.
 */
int uffd_writeprotect(int uffd, void *addr, size_t len)
{
	struct uffdio_writeprotect wp = {
		.range = { .start = (uintptr_t)addr, .len = len },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	return ioctl(uffd, UFFDIO_WRITEPROTECT, &wp);
}

/**
 * uffd_unprotect() - undo uffd_writeprotect(), and wake who waits to write
 * @uffd: the descriptor
 * @addr: first byte
 * @len: bytes
 *
 * Return: 0 or -1.
 */
int uffd_unprotect(int uffd, void *addr, size_t len)
{
	struct uffdio_writeprotect none = {
		.range = { .start = (uintptr_t)addr, .len = len },
	};

	return ioctl(uffd, UFFDIO_WRITEPROTECT, &none);
}

/**
 * uffd_read() - wait for one event
 * @uffd: the descriptor
 * @msg: the event
 *
 * Return: 0, or -1 if none came within PATIENCE / 2 seconds.
 */
int uffd_read(int uffd, struct uffd_msg *msg)
{
	struct pollfd pfd = { .fd = uffd, .events = POLLIN };

	while (poll(&pfd, 1, PATIENCE / 2 * 1000) == 1) {
		if (read(uffd, msg, sizeof(*msg)) == sizeof(*msg))
			return 0;
		if (errno != EAGAIN)
			break;
	}
	return -1;
}

/**
 * map_aligned() - map anonymous memory at a PMD boundary, between guard pages
 * @len: bytes, a multiple of PMD
 *
 * Return: the first byte, or NULL.
 */
char *map_aligned(size_t len)
{
	uintptr_t start;
	char *all = mmap(NULL, len + 2 * PMD, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (all == MAP_FAILED)
		return NULL;
	start = ((uintptr_t)all + PMD) & ~(PMD - 1);
	all = mmap((void *)start, len, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	return all == MAP_FAILED ? NULL : all;
}

/**
 * space_open() - map both areas, open a descriptor, register the destination
 * @s: the space
 * @pages: length of either area, a multiple of PMD_PAGES
 * @features: UFFD_FEATURE_* beside UFFD_FEATURE_MOVE
 *
 * Return: 0 or -1.
 */
int space_open(struct space *s, size_t pages, __u64 features)
{
	s->pages = pages;
	s->id = 0;
	s->uffd = uffd_open(0, features);
	s->src = map_aligned(pages * PAGE);
	s->dst = map_aligned(pages * PAGE);
	if (s->uffd < 0 || !s->src || !s->dst)
		return -1;
	/* EINVAL without CONFIG_TRANSPARENT_HUGEPAGE, where it is not needed. */
	madvise(s->src, pages * PAGE, MADV_NOHUGEPAGE);
	return uffd_register(s->uffd, s->dst, pages * PAGE, UFFDIO_REGISTER_MODE_MISSING);
}

/**
 * space_allow_huge() - let faults in both areas bring huge pages, from now on
 * @s: the space
 *
 * Return: 0 or -1.
 */
int space_allow_huge(struct space *s)
{
	size_t len = s->pages * PAGE;

	return madvise(s->src, len, MADV_HUGEPAGE) || madvise(s->dst, len, MADV_HUGEPAGE) ? -1 : 0;
}

/**
 * space_close() - give back what space_open() took
 * @s: the space
 */
void space_close(struct space *s)
{
	if (s->uffd >= 0)
		close(s->uffd);
	munmap(s->src, s->pages * PAGE);
	munmap(s->dst, s->pages * PAGE);
}

/**
 * move_only_pages() - mremap() with MREMAP_ONLYPAGES
 * @dst: first byte of the destination
 * @src: first byte of the source
 * @len: bytes
 * @flags: MREMAP_*, besides those that it takes
 *
 * Return: bytes, or a negative errno.
 */
long move_only_pages(void *dst, void *src, size_t len, int flags)
{
	long moved = syscall(__NR_mremap, src, len, len,
			     MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_ONLYPAGES | flags, dst);

	return moved == -1 ? -errno : moved;
}

/**
 * move_by_mremap() - that call, and what it returns as if UFFDIO_MOVE had
 * @dst: first byte of the destination
 * @src: first byte of the source
 * @len: bytes
 * @mode: UFFDIO_MOVE_MODE_*
 *
 * Return: errno and .move. An address that is not mapped is EFAULT all the same.
 */
struct moved move_by_mremap(void *dst, void *src, size_t len, __u64 mode)
{
	int flags = mode & UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES ? MREMAP_ONLYPAGES_HOLES : 0;
	long bytes = move_only_pages(dst, src, len, flags);
	int err = bytes == (long)len ? 0 : EAGAIN;

	return (struct moved){ .err = bytes < 0 ? -bytes : err, .bytes = bytes };
}

/**
 * relocate() - mremap() of whole pages to a place of the same length
 * @dst: first byte of the destination
 * @src: first byte of the source
 * @pages: how many
 * @flags: MREMAP_*
 *
 * Return: 0, or a negative errno.
 */
int relocate(void *dst, void *src, size_t pages, int flags)
{
	long ret = syscall(__NR_mremap, src, pages * PAGE, pages * PAGE, flags, dst);

	return ret == (long)dst ? 0 : -errno;
}

/**
 * relocate_missing() - why mremap() can't relocate here
 *
 * Return: a reason, or NULL if it can.
 */
const char *relocate_missing(void)
{
	const char *missing = move_missing();
	char *page;
	long ret;

	if (missing)
		return missing;
	page = map_aligned(PAGE);
	ret = syscall(__NR_mremap, page, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_RELOCATE_ANON, 0);
	munmap(page, PAGE);
	return ret == (long)page ? NULL : "no MREMAP_RELOCATE_ANON in this kernel";
}

/**
 * move_pages_of() - UFFDIO_MOVE, with a canary in .move
 * @uffd: the descriptor
 * @dst: first byte of the destination
 * @src: first byte of the source
 * @len: bytes
 * @mode: UFFDIO_MOVE_MODE_*
 *
 * If ANON_MOVE_DOOR is "onlypages" in the environment, by mremap() instead; if it is "vector",
 * in pieces by UFFDIO_MOVEV.
 *
 * Return: errno and .move.
 */
struct moved move_pages_of(int uffd, void *dst, void *src, size_t len, __u64 mode)
{
	struct uffdio_move arg = {
		.dst = (uintptr_t)dst,
		.src = (uintptr_t)src,
		.len = len,
		.mode = mode,
		.move = MOVE_CANARY,
	};
	const char *door = getenv("ANON_MOVE_DOOR");
	struct moved moved = { .err = 0 };

	if (door && !strcmp(door, "onlypages"))
		return move_by_mremap(dst, src, len, mode);
	if (door && !strcmp(door, "vector"))
		return move_by_vector(uffd, dst, src, len, mode);
	if (ioctl(uffd, UFFDIO_MOVE, &arg))
		moved.err = errno;
	moved.bytes = arg.move;
	return moved;
}

/**
 * move_surely() - move all of a range that others disturb for a moment only
 * @uffd: the descriptor
 * @dst: first byte of the destination
 * @src: first byte of the source
 * @len: bytes
 *
 * Goes on after a partial move, and tries again after EAGAIN and EBUSY, but
 * not for ever.
 *
 * Return: 0 or the last errno, and all bytes moved.
 */
struct moved move_surely(int uffd, void *dst, void *src, size_t len)
{
	struct moved all = { .err = 0 }, now;
	time_t deadline = time(NULL) + PATIENCE / 4;

	while (all.bytes < (long long)len && time(NULL) < deadline) {
		now = move_pages_of(uffd, (char *)dst + all.bytes, (char *)src + all.bytes,
				    len - all.bytes, 0);
		if (now.bytes > 0 && now.bytes != MOVE_CANARY)
			all.bytes += now.bytes;
		all.err = now.err;
		if (now.err && now.err != EAGAIN && now.err != EBUSY)
			break;
	}
	return all;
}

/**
 * space_register_source() - make the source a place to move to, and to get SIGBUS from
 * @s: the space
 *
 * Return: 0 or -1.
 */
int space_register_source(struct space *s)
{
	return uffd_register(s->uffd, s->src, s->pages * PAGE, UFFDIO_REGISTER_MODE_MISSING);
}

/**
 * move_there_and_back() - move the first pages of the source there and back, surely
 * @s: the space, with both areas registered
 * @pages: how many
 *
 * Return: 0 or the last errno.
 */
int move_there_and_back(struct space *s, size_t pages)
{
	int err = move_surely(s->uffd, s->dst, s->src, pages * PAGE).err;

	return err ? err : move_surely(s->uffd, s->src, s->dst, pages * PAGE).err;
}

/**
 * run_on_cpu() - keep the calling thread on one CPU
 * @cpu: its number
 *
 * Return: 0 or -1.
 */
int run_on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

/**
 * share_with_child() - let a child share all pages that are not MADV_DONTFORK
 *
 * Return: its id, for end_child(), or -1.
 */
pid_t share_with_child(void)
{
	pid_t pid = fork();

	if (!pid) {
		pause();
		_exit(0);
	}
	return pid;
}

/**
 * end_child() - end a child, and its share
 * @pid: from share_with_child()
 */
void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void page_pattern(__u64 *page, unsigned int id)
{
	size_t i;

	for (i = 0; i < WORDS; i++)
		page[i] = id ? (id * WORDS + i) * SCRAMBLE : 0;
}

/**
 * fill_pages() - write a pattern in which every word of every page is unique
 * @addr: first page
 * @pages: how many
 * @id: of the first page, the next ones count up; not 0
 */
void fill_pages(void *addr, size_t pages, unsigned int id)
{
	size_t i;

	for (i = 0; i < pages; i++)
		page_pattern((__u64 *)((char *)addr + i * PAGE), id + i);
}

static const char *describe(const __u64 *page, size_t n, unsigned int id, size_t word)
{
	static char text[120];
	__u64 whose = page[word] * UNSCRAMBLE / WORDS;

	if (page[word] && whose < 1 << 24)
		snprintf(text, sizeof(text), "page %zu at %p: word %zu is of pattern %llu, not %u",
			 n, page, word, whose, id);
	else
		snprintf(text, sizeof(text), "page %zu at %p: word %zu is %#llx, not of pattern %u",
			 n, page, word, page[word], id);
	return text;
}

/**
 * pages_differ() - compare every byte with what fill_pages() wrote
 * @addr: first page
 * @pages: how many
 * @id: pattern of the first page, or 0 if all of them must be zeroes
 *
 * Return: "" or what is wrong, and where.
 */
const char *pages_differ(const void *addr, size_t pages, unsigned int id)
{
	__u64 want[WORDS];
	size_t i, word;

	for (i = 0; i < pages; i++) {
		const __u64 *page = (const __u64 *)((const char *)addr + i * PAGE);
		unsigned int this = id ? id + i : 0;

		page_pattern(want, this);
		for (word = 0; word < WORDS; word++)
			if (page[word] != want[word])
				return describe(page, i, this, word);
	}
	return "";
}

static __thread sigjmp_buf sigbus_jump;
static __thread bool sigbus_expected;

static void on_signal(int sig)
{
	if (sigbus_expected)
		siglongjmp(sigbus_jump, 1);
	signal(sig, SIG_DFL);
}

static bool catch_signal(int sig)
{
	struct sigaction action = { .sa_handler = on_signal };

	return !sigaction(sig, &action, NULL);
}

/**
 * catch_sigbus() - let survives() survive a missing page (UFFD_FEATURE_SIGBUS)
 *
 * Return: true if that worked.
 */
bool catch_sigbus(void)
{
	return catch_signal(SIGBUS);
}

/**
 * catch_sigsegv() - let survives() survive what is not mapped, or not for that
 *
 * Return: true if that worked.
 */
bool catch_sigsegv(void)
{
	return catch_signal(SIGSEGV);
}

/**
 * survives() - do what may meet a missing page
 * @act: what to do
 * @arg: for @act
 *
 * Return: true if it came to its end, false if a signal cut it short.
 */
bool survives(void (*act)(void *arg), void *arg)
{
	bool whole = false;

	if (!sigsetjmp(sigbus_jump, 1)) {
		sigbus_expected = true;
		/* The flag is set and cleared when it says so, whatever @act is inlined to. */
		asm volatile("" : : : "memory");
		act(arg);
		asm volatile("" : : : "memory");
		whole = true;
	}
	sigbus_expected = false;
	return whole;
}

static void read_byte(void *addr)
{
	asm volatile("" : : "r" (*(char *)addr));
}

/**
 * touch() - read one byte
 * @addr: where
 *
 * Return: true if it could be read, false if that gave SIGBUS.
 */
bool touch(const void *addr)
{
	return survives(read_byte, (void *)addr);
}
