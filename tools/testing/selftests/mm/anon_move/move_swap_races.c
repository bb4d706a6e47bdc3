// SPDX-License-Identifier: GPL-2.0
/*
 * Races with swap: pages that are paged out, read back, freed from their slots
 * and moved at the same time. As a process ends the kernel checks its counters
 * to the page, and reports "Bad rss-counter state".
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/swap.h>

#include "../../kselftest_harness.h"
#include "rival.h"

#define AREA	PMD_PAGES
#define OUT	64UL	/* pages that go to swap and back */
#define VMSTAT	"/proc/vmstat"
#define STATUS	"/proc/self/status"

static void page_out_once(struct rival *r)
{
	madvise(r->space->src, OUT * PAGE, MADV_PAGEOUT);
	madvise(r->space->dst, OUT * PAGE, MADV_PAGEOUT);
	r->hits = read_number(VMSTAT, "pswpout") - *(long long *)r->arg;
}

static void page_in_once(struct rival *r)
{
	size_t i;

	for (i = 0; i < OUT; i++)
		r->hits += touch(r->space->src + i * PAGE) || touch(r->space->dst + i * PAGE);
}

/*
 * Moves all of it, and returns how often that took a write first: a page that
 * is read back while zram still writes it is not exclusive before the next
 * write, which may come whenever EBUSY asks for it.
 */
static int move_or_write(struct __test_metadata *_metadata, struct space *s, char *dst, char *src)
{
	time_t deadline = time(NULL) + PATIENCE / 4;
	struct moved moved;
	size_t done = 0;
	int written = 0;

	while (done < OUT * PAGE) {
		ASSERT_GT(deadline, time(NULL));
		moved = move_pages_of(s->uffd, dst + done, src + done, OUT * PAGE - done, 0);
		if (moved.bytes > 0) {
			done += moved.bytes;
		} else if (moved.err == EBUSY) {
			__atomic_fetch_or(src + done, 0, __ATOMIC_RELAXED);
			written++;
		} else {
			ASSERT_EQ(EAGAIN, moved.err);
		}
	}
	return written;
}

/* A clean page that was in swap before leaves the cache at once; a dirty one has to be written. */
static void dirty_every_other_folio(char *addr, int round)
{
	size_t i;

	for (i = 0; i < OUT; i++)
		if ((i / MTHP_PAGES + round) % 2)
			__atomic_fetch_or(addr + i * PAGE, 0, __ATOMIC_RELAXED);
}

static bool too_few(const struct rival *out, unsigned long pages)
{
	return __atomic_load_n(&out->hits, __ATOMIC_RELAXED) < pages;
}

/*
 * There and back, until so many pages have been written to swap, while others
 * page out and in. All the bytes at every third turn. Those two come to as many
 * pages by themselves, so there are @turns at least.
 */
static void race(struct __test_metadata *_metadata, struct space *s, unsigned long pages, int turns)
{
	long long paged_out = read_number(VMSTAT, "pswpout");
	struct rival out = { .space = s, .once = page_out_once, .arg = &paged_out };
	struct rival in = { .space = s, .once = page_in_once };
	time_t deadline = time(NULL) + PATIENCE / 2;
	int i, written = 0;
	long long copied;

	start(_metadata, &out);
	start(_metadata, &in);
	for (i = 0; (i < turns || too_few(&out, pages)) && time(NULL) < deadline; i++) {
		written += move_or_write(_metadata, s, s->dst, s->src);
		if (i % 3 == 0)
			EXPECT_STREQ("", pages_differ(s->dst, OUT, 1));
		dirty_every_other_folio(s->dst, i);
		madvise(s->dst, OUT * PAGE, MADV_PAGEOUT);
		written += move_or_write(_metadata, s, s->src, s->dst);
	}
	stop(_metadata, &in);
	stop(_metadata, &out);
	EXPECT_LE(pages, out.hits);

	/* A fault copies a folio from the cache whose index is not that of the address. */
	copied = read_number(VMSTAT, "ksm_swpin_copy");
	EXPECT_STREQ("", pages_differ(s->src, OUT, 1));
	EXPECT_EQ(copied, read_number(VMSTAT, "ksm_swpin_copy"));
	/* Pages may be written to while another device has them under write-back (O7). */
	if (!slow_swap_missing() && !base_serves())
		EXPECT_EQ(0, written);
}

FIXTURE(swap_race)
{
	long long counted;
	long long calls;
};

FIXTURE_VARIANT(swap_race)
{
	enum page_kind_id kind;
};

FIXTURE_VARIANT_ADD(swap_race, small) { KIND_SMALL };
FIXTURE_VARIANT_ADD(swap_race, mthp) { KIND_MTHP };

FIXTURE_SETUP(swap_race)
{
	const char *missing = move_missing();

	missing = missing ? missing : swap_missing();
	missing = missing ? missing : kind_missing(variant->kind);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_TRUE(catch_sigbus());
	self->counted = engine_count("moved_swap");
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(swap_race)
{
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

static long long large_swapped_out(void)
{
	return read_number(folio_file(MTHP_PAGES, "stats/swpout"), "");
}

/* New pages for each race: large folios come back small. */
TEST_F_TIMEOUT(swap_race, R10_swap_against_moves, PATIENCE)
{
	long long large = large_swapped_out();
	struct space s;
	int i;

	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, space_open(&s, AREA, UFFD_FEATURE_SIGBUS));
		ASSERT_EQ(0, make_kind(&s, variant->kind, 0, OUT));
		ASSERT_EQ(0, space_register_source(&s));
		race(_metadata, &s, 2 * OUT, 1);
		/* Reclaim finds all of it where it is now. */
		EXPECT_EQ(0, page_out(s.src, OUT));
		EXPECT_STREQ("", pages_differ(s.src, OUT, 1));
		space_close(&s);
	}
	EXPECT_ENGINE(1, "moved_swap", self->counted);
	/* Kernels with larger pages split them on their way out: they have no THP_SWAP. */
	if (variant->kind == KIND_MTHP && PAGE == 4096)
		EXPECT_LT(large, large_swapped_out());
}

/*
 * R11 needs slots that are used again at once: so few that all are taken, and
 * none of another device, with which CPUs would keep slots back in batches.
 */
#define SLOTS	24U

/* Where the header of a swap area has the number of its last page. */
#define LAST_PAGE	1028

struct areas {
	int nr;
	char path[4][64];
	unsigned int last_page;	/* of the first one */
};

static void find_areas(struct areas *a)
{
	FILE *file = fopen("/proc/swaps", "re");
	char line[256];

	while (file && a->nr < 4 && fgets(line, sizeof(line), file))
		a->nr += *line == '/' && sscanf(line, "%63s", a->path[a->nr]) == 1;
	if (file)
		fclose(file);
}

/* Returns the old one, 0 if that did not work. */
static unsigned int set_last_page(const char *path, unsigned int page)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	unsigned int old;

	if (pread(fd, &old, sizeof(old), LAST_PAGE) != sizeof(old) ||
	    pwrite(fd, &page, sizeof(page), LAST_PAGE) != sizeof(page))
		old = 0;
	close(fd);
	return old;
}

FIXTURE(tiny_swap)
{
	struct space space;
	struct areas areas;
	long long rss;
	long long calls;
};

FIXTURE_SETUP(tiny_swap)
{
	const char *missing = move_missing();
	struct areas *a = &self->areas;
	struct space *s = &self->space;
	int i;

	missing = missing ? missing : swap_missing();
	if (missing)
		SKIP(return, "%s", missing);
	find_areas(a);
	for (i = 0; i < a->nr; i++)
		ASSERT_EQ(0, swapoff(a->path[i]));
	a->last_page = set_last_page(a->path[0], SLOTS);
	ASSERT_LT(SLOTS, a->last_page);
	ASSERT_EQ(0, swapon(a->path[0], 0));

	ASSERT_TRUE(catch_sigbus());
	ASSERT_EQ(0, space_open(s, AREA, UFFD_FEATURE_SIGBUS));
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, OUT));
	ASSERT_EQ(0, space_register_source(s));
	self->rss = read_number(STATUS, "RssAnon:");
	self->calls = engine_count("calls");
}

/* Runs after a failed assertion too: whatever is tested next finds the swap there was. */
FIXTURE_TEARDOWN(tiny_swap)
{
	struct areas *a = &self->areas;
	int i;

	swapoff(a->path[0]);
	EXPECT_EQ(SLOTS, set_last_page(a->path[0], a->last_page));
	for (i = 0; i < a->nr; i++)
		EXPECT_EQ(0, swapon(a->path[i], 0));
	space_close(&self->space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

/* As good as a look from within gets. */
static void expect_counters_right(struct __test_metadata *_metadata, long long rss)
{
	const long long slack = counter_slack();

	EXPECT_GE(slack, read_number(STATUS, "VmSwap:"));
	EXPECT_GE(slack, llabs(read_number(STATUS, "RssAnon:") - rss));
}

TEST_F_TIMEOUT(tiny_swap, R11_slots_used_again, PATIENCE)
{
	struct space *s = &self->space;

	race(_metadata, s, 20 * SLOTS, 20);
	expect_counters_right(_metadata, self->rss);
}

/* All of it is read back, wherever the walk over all page tables meets it. */
static void swap_off_and_on(struct rival *r)
{
	if (swapoff(r->arg))
		return;
	r->hits++;
	r->failed += !!swapon(r->arg, 0);
	/* Time for pages to go there. */
	usleep(10000);
}

TEST_F_TIMEOUT(tiny_swap, R11_swapoff_against_moves, PATIENCE)
{
	struct space *s = &self->space;
	struct rival r = { .once = swap_off_and_on, .arg = self->areas.path[0] };

	start(_metadata, &r);
	race(_metadata, s, 4 * SLOTS, 4);
	stop(_metadata, &r);
	expect_counters_right(_metadata, self->rss);
}

TEST_HARNESS_MAIN
