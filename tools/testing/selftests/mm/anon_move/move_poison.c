// SPDX-License-Identifier: GPL-2.0
/*
 * Page frames that fail while their pages move. A page whose frame is only about
 * to fail keeps its bytes; one whose frame has failed is at one address, where who
 * touches it gets a signal that says so; and none of its neighbours is lost.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/mman.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "../../kselftest_harness.h"
#include "rival.h"

#define AREA		PMD_PAGES
#define SOFT_ROUNDS	40
#define ROUNDS		8

/* Each costs a frame for good, and maybe what it is part of. */
#define MOST_OFFLINED	16

#define BY_FRAME	"/sys/kernel/debug/hwpoison/corrupt-pfn"

#define KPF_HWPOISON	_BITULL(19)

static __thread sigjmp_buf jump;
static __thread siginfo_t bus_error;
static __thread bool expected;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	bus_error = *info;
	if (expected)
		siglongjmp(jump, 1);
	signal(sig, SIG_DFL);
}

/* Does what may meet a broken frame. Returns the si_code of a SIGBUS, 0 if there was none. */
static int bus_error_of(void (*act)(void *arg), void *arg)
{
	if (sigsetjmp(jump, 1)) {
		expected = false;
		return bus_error.si_code;
	}
	expected = true;
	asm volatile("" : : : "memory");
	act(arg);
	asm volatile("" : : : "memory");
	expected = false;
	return 0;
}

static void read_byte(void *addr)
{
	asm volatile("" : : "r" (*(char *)addr));
}

static const char *poison_missing(void)
{
	const char *missing = move_missing();

	if (missing)
		return missing;
	if (madvise(NULL, 0, MADV_HWPOISON) || madvise(NULL, 0, MADV_SOFT_OFFLINE))
		return "no MADV_HWPOISON and MADV_SOFT_OFFLINE (CONFIG_MEMORY_FAILURE)";
	return access(BY_FRAME, W_OK) ? "no " BY_FRAME " (CONFIG_HWPOISON_INJECT)" : NULL;
}

static bool catch_bus_errors(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	return !sigaction(SIGBUS, &action, NULL);
}

/* Pages of a kind in the source, both areas registered. */
static void make(struct __test_metadata *_metadata, struct space *s, enum page_kind_id kind,
		 size_t pages)
{
	ASSERT_EQ(0, space_open(s, AREA, UFFD_FEATURE_SIGBUS));
	ASSERT_EQ(0, make_kind(s, kind, 0, pages));
	/* Or a look at a missing page leaves a page table there, which splits what comes next. */
	if (kind == KIND_THP)
		ASSERT_EQ(0, space_allow_huge(s));
	ASSERT_EQ(0, space_register_source(s));
}

FIXTURE(poison)
{
	struct space space;
	long long calls;
};

FIXTURE_VARIANT(poison)
{
	enum page_kind_id kind;
	size_t pages;
	int rounds;
};

FIXTURE_VARIANT_ADD(poison, small) { KIND_SMALL, 64, ROUNDS };
FIXTURE_VARIANT_ADD(poison, mthp) { KIND_MTHP, 64, ROUNDS };
/* Each of its pages is looked for after each round. */
FIXTURE_VARIANT_ADD(poison, thp) { KIND_THP, PMD_PAGES, ROUNDS / 4 };

FIXTURE_SETUP(poison)
{
	const char *missing = poison_missing();

	missing = missing ? missing : kind_missing(variant->kind);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_TRUE(catch_bus_errors());
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(poison)
{
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

struct offliner {
	size_t pages;
	unsigned int random;
};

static void offline_once(struct rival *r)
{
	struct offliner *o = r->arg;
	char *area = r->rounds & 1 ? r->space->dst : r->space->src;
	char *page = area + rand_r(&o->random) % o->pages * PAGE;

	if (r->hits < MOST_OFFLINED)
		r->hits += !madvise(page, PAGE, MADV_SOFT_OFFLINE);
	else
		usleep(1000);
}

static size_t frames_that_failed(const void *addr, size_t pages)
{
	__u64 view[AREA];
	size_t i, failed = 0;

	if (look(addr, pages, view))
		return pages;
	for (i = 0; i < pages; i++)
		failed += !!(frame_flags(view[i] & PM_PFN) & KPF_HWPOISON);
	return failed;
}

/* The bytes are copied to another frame, with an entry of a page under migration meanwhile. */
TEST_F_TIMEOUT(poison, soft_offline_against_moves, PATIENCE)
{
	long long counted = engine_count(MOVED_ANYHOW);
	long long kib = read_number("/proc/meminfo", "HardwareCorrupted:");
	struct offliner offliner = { .pages = variant->pages };
	struct space *s = &self->space;
	struct rival r = { .space = s, .once = offline_once, .arg = &offliner };
	int i;

	make(_metadata, s, variant->kind, variant->pages);
	start(_metadata, &r);
	for (i = 0; goes_on(&r, i, SOFT_ROUNDS); i++)
		ASSERT_EQ(0, move_there_and_back(s, variant->pages));
	stop(_metadata, &r);
	TH_LOG("%lu pages in %d rounds", r.hits, i);
	EXPECT_LE(kib + (long long)PAGE / 1024, read_number("/proc/meminfo", "HardwareCorrupted:"));
	EXPECT_EQ(0, frames_that_failed(s->src, variant->pages));
	EXPECT_STREQ("", pages_differ(s->src, variant->pages, 1));
	EXPECT_ENGINE(2 * SOFT_ROUNDS * variant->pages, MOVED_ANYHOW, counted);
	space_close(s);
}

/**
 * struct failure - a frame that is to fail
 * @page: which of the pages
 * @pfn: its frame, or 0 if it is to be found at an address
 * @addr: where it is to be found, then where a signal said that it failed
 * @happened: it has
 * @told: there was a signal
 */
struct failure {
	size_t page;
	__u64 pfn;
	void *addr;
	bool happened;
	bool told;
};

/* As hardware reports it that watches frames while nobody touches them. */
static bool fail_frame(__u64 pfn)
{
	char text[24];

	snprintf(text, sizeof(text), "%#llx", pfn);
	return !write_text(BY_FRAME, text) || errno == EHWPOISON;
}

/* As madvise() simulates it: of the page that is there just now, if one is. */
static void fail_at_address(void *arg)
{
	struct failure *f = arg;

	f->happened = !madvise(f->addr, PAGE, MADV_HWPOISON);
}

/* Who is at it is told, but not by 7.3 of what it split off a folio smaller than a huge page. */
static void fail_page(struct failure *f, char *addr)
{
	f->addr = addr;
	if (bus_error_of(fail_at_address, f) != BUS_MCEERR_AR)
		return;
	f->happened = true;
	f->told = true;
	f->addr = bus_error.si_addr;
}

static void fail_once(struct rival *r)
{
	struct failure *f = r->arg;
	char *area = r->rounds & 1 ? r->space->dst : r->space->src;

	if (f->happened) {
		usleep(1000);
		return;
	}
	if (f->pfn)
		f->happened = fail_frame(f->pfn);
	else
		fail_page(f, area + f->page * PAGE);
	r->hits += f->happened;
}

/* Returns false when it can't get on: at a page whose frame has failed, or cut short. */
static bool move_or_meet(struct space *s, char *dst, char *src, size_t pages, struct rival *r)
{
	struct moved moved;
	size_t done = 0;

	while (done < pages * PAGE) {
		moved = move_pages_of(s->uffd, dst + done, src + done, pages * PAGE - done, 0);
		if (moved.bytes > 0) {
			done += moved.bytes;
			continue;
		}
		if (moved.err == EFAULT || !goes_on(r, 1, 1))
			return false;
		r->failed += moved.err != EAGAIN && moved.err != EBUSY;
	}
	return true;
}

static void move_until_failure(struct __test_metadata *_metadata, struct space *s,
			       struct failure *f, size_t pages)
{
	struct rival r = { .space = s, .once = fail_once, .arg = f };
	bool whole = true;
	int i;

	start(_metadata, &r);
	for (i = 0; whole && goes_on(&r, i, 1); i++)
		whole = move_or_meet(s, s->dst, s->src, pages, &r) &&
			move_or_meet(s, s->src, s->dst, pages, &r);
	/* It is told by who failed it, who may be about to. */
	while (!__atomic_load_n(&r.hits, __ATOMIC_RELAXED) && time(NULL) < r.deadline)
		usleep(1000);
	stop(_metadata, &r);
}

/* Where a page is, which has to be one place; and what pagemap says of it. */
static char *find(struct __test_metadata *_metadata, struct space *s, size_t page, __u64 *view)
{
	char *src = s->src + page * PAGE, *dst = s->dst + page * PAGE;
	const __u64 there = PM_PRESENT | PM_SWAP;
	__u64 at_dst;

	ASSERT_EQ(0, look(src, 1, view));
	ASSERT_EQ(0, look(dst, 1, &at_dst));
	ASSERT_EQ(1, !!(*view & there) + !!(at_dst & there))
		TH_LOG("page %zu: %#llx at the source, %#llx at the destination", page, *view,
		       at_dst);
	if (*view & there)
		return src;
	*view = at_dst;
	return dst;
}

/* An entry that says so is there instead of the page; it does not move (O9). */
static void expect_poison(struct __test_metadata *_metadata, struct space *s, size_t page,
			  char *addr)
{
	char *src = s->src + page * PAGE, *other = addr == src ? s->dst + page * PAGE : src;
	struct moved moved = move_pages_of(s->uffd, other, addr, PAGE, 0);

	EXPECT_EQ(EFAULT, moved.err);
	EXPECT_EQ(-EFAULT, moved.bytes);
	EXPECT_EQ(BUS_MCEERR_AR, bus_error_of(read_byte, addr));
	EXPECT_EQ(addr, bus_error.si_addr);
	EXPECT_EQ(BUS_ADRERR, bus_error_of(read_byte, other));
}

/* Returns whether the page was taken away. A large folio that can't be split is not. */
static bool check(struct __test_metadata *_metadata, struct space *s, const struct failure *f,
		  size_t pages)
{
	bool poisoned = false;
	__u64 view;
	char *addr;
	size_t i;

	for (i = 0; i < pages; i++) {
		addr = find(_metadata, s, i, &view);
		if (i == f->page && view & PM_SWAP) {
			poisoned = true;
			expect_poison(_metadata, s, i, addr);
			continue;
		}
		EXPECT_TRUE(view & PM_PRESENT);
		EXPECT_STREQ("", pages_differ(addr, 1, i + 1));
	}
	return poisoned;
}

/* Its neighbours go on. */
static void gather(struct __test_metadata *_metadata, struct space *s, size_t first, size_t end)
{
	__u64 view;
	char *addr;
	size_t i;

	for (i = first; i < end; i++) {
		addr = find(_metadata, s, i, &view);
		if (addr == s->src + i * PAGE)
			ASSERT_EQ(0, move_surely(s->uffd, s->dst + i * PAGE, addr, PAGE).err);
	}
	EXPECT_STREQ("", pages_differ(s->dst + first * PAGE, end - first, first + 1));
}

static void fail_against_moves(struct __test_metadata *_metadata, enum page_kind_id kind,
			       size_t pages, int rounds, bool by_frame)
{
	unsigned int poisoned = 0, random = by_frame;
	struct failure f;
	struct space s;
	__u64 view;
	int i;

	for (i = 0; i < rounds; i++) {
		make(_metadata, &s, kind, pages);
		f = (struct failure) { .page = rand_r(&random) % pages };
		ASSERT_EQ(0, look(s.src + f.page * PAGE, 1, &view));
		if (by_frame)
			f.pfn = view & PM_PFN;
		move_until_failure(_metadata, &s, &f, pages);
		EXPECT_TRUE(frame_flags(view & PM_PFN) & KPF_HWPOISON);
		poisoned += check(_metadata, &s, &f, pages);
		gather(_metadata, &s, 0, f.page);
		gather(_metadata, &s, f.page + 1, pages);
		space_close(&s);
		ASSERT_EQ(KSFT_PASS, _metadata->exit_code);
	}
	TH_LOG("%u of %d taken away", poisoned, rounds);
	EXPECT_LT(0, poisoned);
}

TEST_F_TIMEOUT(poison, failure_against_moves, PATIENCE)
{
	fail_against_moves(_metadata, variant->kind, variant->pages, variant->rounds, false);
}

TEST_F_TIMEOUT(poison, frame_failure_against_moves, PATIENCE)
{
	fail_against_moves(_metadata, variant->kind, variant->pages, variant->rounds, true);
}

/*
 * A reference keeps a huge page from being split, but not from moving. So it stays
 * mapped, and whoever is at it is told where it is, which takes a walk of the reverse
 * map: a walk that meets the page between two addresses would find nobody to tell.
 */
static void fail_whole(struct __test_metadata *_metadata, int pipe[2], unsigned int *random)
{
	struct failure f = { .page = rand_r(random) % PMD_PAGES };
	struct iovec iov = { .iov_len = PAGE };
	char *area, seen[PAGE];
	struct space s;
	size_t offset;

	make(_metadata, &s, KIND_THP, PMD_PAGES);
	iov.iov_base = s.src;
	ASSERT_EQ((ssize_t)PAGE, vmsplice(pipe[1], &iov, 1, 0));
	move_until_failure(_metadata, &s, &f, PMD_PAGES);
	offset = f.page * PAGE;
	EXPECT_TRUE(f.told);
	EXPECT_TRUE(f.addr == s.src + offset || f.addr == s.dst + offset);
	area = bus_error_of(read_byte, s.src) ? s.dst : s.src;
	EXPECT_STREQ("", pages_differ(area, PMD_PAGES, 1));
	ASSERT_EQ((ssize_t)PAGE, read(pipe[0], seen, PAGE));
	space_close(&s);
}

FIXTURE(unsplittable)
{
	int pipe[2];
	long long counted;
};

FIXTURE_SETUP(unsplittable)
{
	const char *missing = poison_missing();

	missing = missing ? missing : kind_missing(KIND_THP);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_TRUE(catch_bus_errors());
	ASSERT_EQ(0, pipe(self->pipe));
	self->counted = engine_count("moved_pmd");
}

FIXTURE_TEARDOWN(unsplittable)
{
	close(self->pipe[0]);
	close(self->pipe[1]);
}

TEST_F_TIMEOUT(unsplittable, failure_against_moves, PATIENCE)
{
	unsigned int random = 1;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		fail_whole(_metadata, self->pipe, &random);
		ASSERT_EQ(KSFT_PASS, _metadata->exit_code);
	}
	EXPECT_ENGINE(2 * ROUNDS * PMD_PAGES, "moved_pmd", self->counted);
}

TEST_HARNESS_MAIN
