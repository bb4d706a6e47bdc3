/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What all tests of UFFDIO_MOVE share: two areas to move between, pages of
 * every kind to move, and views of them that do not touch them.
 */
#ifndef ANON_MOVE_TEST_H
#define ANON_MOVE_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <linux/const.h>
#include <linux/types.h>
#include <linux/userfaultfd.h>
#include <linux/anon_move.h>

/* A program is compiled for one size of pages, and skips all it has where they are of another. */
#ifndef TEST_PAGE_SIZE
#define TEST_PAGE_SIZE	4096UL
#endif
#define PAGE		TEST_PAGE_SIZE
#define MTHP_PAGES	16UL	/* in a folio of 64 KiB, where pages have 4 */
#define PMD_PAGES	(PAGE / sizeof(__u64))	/* of an entry */
#define PMD		(PMD_PAGES * PAGE)

/*
 * Seconds after which a test hangs. It is no measure of how long one takes: a guest
 * with KASAN under TCG is a hundred times slower than a host, and a host that has
 * other work makes it five times slower still. What a test waits for it waits for
 * with a part of this, so that it can tell what did not come.
 */
#define PATIENCE	600

/* Put into .move before each call: no error and no length looks like it. */
#define MOVE_CANARY	0x5ca1ab1e0ddba11LL

/* What it takes to write-protect pages, present ones and others. */
#define FEATURES_WP	(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_UNPOPULATED)

/* Flags for relocate(): fail if it can't be, move without if it can't be, and just move. */
#define MUST	(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_MUST_RELOCATE_ANON)
#define MAY	(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_RELOCATE_ANON)
#define PLAIN	(MREMAP_MAYMOVE | MREMAP_FIXED)

/* anon_move_test.c: the areas, the calls and the patterns */

/**
 * struct space - a source and a destination to move between
 * @uffd: the descriptor, or -1
 * @pages: length of either area
 * @src: the source, PMD aligned, never a huge page unless asked for
 * @dst: the destination, PMD aligned, registered with @uffd
 * @id: page n of the source holds pattern @id + n + 1
 *
 * Inaccessible pages around both areas keep their VMAs from merging.
 */
struct space {
	int uffd;
	size_t pages;
	char *src;
	char *dst;
	unsigned int id;
};

/**
 * struct moved - what one UFFDIO_MOVE gave
 * @err: 0 or the errno
 * @bytes: its .move
 */
struct moved {
	int err;
	long long bytes;
};

const char *move_missing(void);
const char *features_missing(__u64 features, const char *reason);
int uffd_open(int flags, __u64 features);
int uffd_register(int uffd, void *addr, size_t len, __u64 mode);
int uffd_unregister(int uffd, void *addr, size_t len);
int uffd_wake(int uffd, void *addr, size_t len);
const char *writeprotect_missing(void);
int uffd_writeprotect(int uffd, void *addr, size_t len);
int uffd_unprotect(int uffd, void *addr, size_t len);
int uffd_read(int uffd, struct uffd_msg *msg);

char *map_aligned(size_t len);
int space_open(struct space *s, size_t pages, __u64 features);
int space_allow_huge(struct space *s);
void space_close(struct space *s);
struct moved move_pages_of(int uffd, void *dst, void *src, size_t len, __u64 mode);
long move_only_pages(void *dst, void *src, size_t len, int flags);
struct moved move_by_mremap(void *dst, void *src, size_t len, __u64 mode);
int relocate(void *dst, void *src, size_t pages, int flags);
const char *relocate_missing(void);
struct moved move_surely(int uffd, void *dst, void *src, size_t len);
int space_register_source(struct space *s);
int move_there_and_back(struct space *s, size_t pages);
int run_on_cpu(int cpu);
pid_t share_with_child(void);
void end_child(pid_t pid);

void fill_pages(void *addr, size_t pages, unsigned int id);
const char *pages_differ(const void *addr, size_t pages, unsigned int id);
bool catch_sigbus(void);
bool catch_sigsegv(void);
bool survives(void (*act)(void *arg), void *arg);
bool touch(const void *addr);

/* observe.c: what the kernel says about pages and about the mover */

#define PM_PFN		(_BITULL(55) - 1)
#define PM_SOFT_DIRTY	_BITULL(55)
#define PM_EXCLUSIVE	_BITULL(56)
#define PM_UFFD_WP	_BITULL(57)
#define PM_ZERO		_BITULL(59)	/* ours, from PAGEMAP_SCAN */
#define PM_HUGE		_BITULL(60)	/* ours, from PAGEMAP_SCAN */
#define PM_SWAP		_BITULL(62)
#define PM_PRESENT	_BITULL(63)

#define KPF_WRITEBACK	_BITULL(8)
#define KPF_MMAP	_BITULL(11)
#define KPF_ANON	_BITULL(12)
#define KPF_SWAPCACHE	_BITULL(13)
#define KPF_HEAD	_BITULL(15)
#define KPF_TAIL	_BITULL(16)
#define KPF_COMPOUND	(KPF_HEAD | KPF_TAIL)

enum smaps_field {
	SMAPS_RSS,
	SMAPS_ANONYMOUS,
	SMAPS_PRIVATE_CLEAN,
	SMAPS_PRIVATE_DIRTY,
	SMAPS_LAZY_FREE,
	SMAPS_SWAP,
	SMAPS_LOCKED,
	SMAPS_FIELDS
};

/**
 * struct smaps - sums of /proc/self/smaps over some VMAs
 * @kib: KiB of each field
 */
struct smaps {
	long kib[SMAPS_FIELDS];
};

int look(const void *addr, size_t pages, __u64 *view);
size_t first_unlike(const __u64 *a, const __u64 *b, size_t pages, __u64 mask);
size_t first_not(const __u64 *view, size_t pages, __u64 mask, __u64 want);
bool all_pages(const void *addr, size_t pages, __u64 mask, __u64 want);
__u64 frame_flags(__u64 pfn);
__u64 folio_flags(const void *addr);
bool are_folios(const void *addr, size_t pages, size_t folio);
size_t frames_kept(const __u64 *view, size_t pages);
bool cached(const void *addr, size_t pages);
int clear_soft_dirty(void);
const char *no_soft_dirty(void);
int smaps_of(const struct space *s, struct smaps *out);
long count_lines(const char *path);
long vma_count(void);
long long read_number(const char *path, const char *key);

/* KiB: one table for a page that has moved, and at most two above it. */
#define TABLES_OF_A_PAGE	(3 * (long long)PAGE / 1024)

long long table_kib(void);
long long counter_slack(void);
int write_text(const char *path, const char *text);
const char *config_missing(void);
bool config_has(const char *line);
bool swap_device(char name[64]);
const char *swap_missing(void);
const char *slow_swap_missing(void);
long long swap_reads(void);
const char *base_serves(void);
bool engine_counts(void);
long long engine_count(const char *keys);

/*
 * Did our engine count at least so many pages? Says so where it can't be
 * known. Needs kselftest_harness.h.
 */
#define EXPECT_ENGINE(pages, keys, before) do { \
	const char *_keys = keys; \
	long long _before = before; \
	if (engine_counts()) { \
		EXPECT_LE(0, _before) \
			TH_LOG("not all there: %s", _keys); \
		EXPECT_LE((long long)(pages), engine_count(_keys) - _before) \
			TH_LOG("counters: %s", _keys); \
	} else { \
		TH_LOG("counters not checked: base's mover, or no CONFIG_ANON_MOVE_STATS"); \
	} \
} while (0)

#define MOVED_ANYHOW	"moved_small moved_large moved_pmd moved_zero moved_swap"

/* page_kinds.c: pages of every kind */

enum page_kind_id {
	KIND_SMALL,
	KIND_ZERO,
	KIND_HOLE,
	KIND_SWAPPED,
	KIND_SWAP_CACHE,
	KIND_LAZY_FREE,
	KIND_MLOCKED,
	KIND_MTHP,
	KIND_MTHP_SWAPPED,
	KIND_THP,
	KIND_THP_BY_PTES,
	KIND_HUGE_ZERO,
	KINDS
};

/**
 * struct page_kind - one row of the table of page kinds
 * @name: for messages
 * @unit: pages that come and go together
 * @zeroes: reads as zeroes; else its pages hold patterns
 * @counters: those of the engine that may count such pages
 * @missing: says what the machine lacks to have such pages, NULL if nothing
 * @make: makes pages of the source such pages, 0 when they surely are
 */
struct page_kind {
	const char *name;
	size_t unit;
	bool zeroes;
	const char *counters;
	const char *(*missing)(void);
	int (*make)(struct space *s, size_t first, size_t pages);
};

extern const struct page_kind page_kinds[KINDS];

const char *kind_missing(enum page_kind_id kind);
int make_kind(struct space *s, enum page_kind_id kind, size_t first, size_t pages);
const char *folio_file(size_t folio, const char *name);
const char *large_missing(size_t folio);
int make_large(struct space *s, size_t first, size_t pages, size_t folio);
int page_out(void *addr, size_t pages);
const char *ksm_missing(void);
int make_ksm_pair(struct space *s);

/* vectors.c: several ranges a call */

const char *vectors_missing(void);
struct uffdio_movev vector_arg(struct uffdio_movev_range *ranges, size_t count, __u64 mode);
int move_vector(int uffd, struct uffdio_movev_range *ranges, size_t count, __u64 mode,
		size_t *done);
struct moved move_by_vector(int uffd, void *dst, void *src, size_t len, __u64 mode);

/* calls.c: what a thread calls in the kernel */

const char *calls_missing(void);
int calls_open(const char *function, pid_t thread);
long long calls_count(int fd);

#endif /* ANON_MOVE_TEST_H */
