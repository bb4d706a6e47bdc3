// SPDX-License-Identifier: GPL-2.0
/*
 * Those who walk the reverse map of pages while they move: page_idle, DAMON, and
 * reclaim that asks who has referenced a page. Nobody may lose a page by that.
 */
#include <fcntl.h>
#include <linux/mman.h>
#include <sys/mman.h>

#include "../../kselftest_harness.h"
#include "rival.h"

#define AREA		PMD_PAGES
#define ROUNDS		60
#define RECLAIM_ROUNDS	20	/* of which each waits for zram */
#define IDLE_BITMAP	"/sys/kernel/mm/page_idle/bitmap"
/* Of all sizes that hugetlb has this one is there whatever pages are, and leaves little. */
#define OVERCOMMIT	"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages"
#define TAKEN_BY	(2UL << 20)
#define DAMON		"/sys/kernel/mm/damon/admin/kdamonds/"

/*
 * KiB left to all others when hugetlb pages have taken their part, besides what
 * the kernel keeps free; what they take of it, and how.
 */
#define LEFT		(96 * 1024)
#define TAKEN		(128UL << 20)
#define PIECE		(TAKEN / 128)

FIXTURE(walkers)
{
	struct space space;
	__u64 pfns[AREA];
	long long counted;
	char overcommit[24];
};

FIXTURE_VARIANT(walkers)
{
	enum page_kind_id kind;
};

FIXTURE_VARIANT_ADD(walkers, small) { KIND_SMALL };
FIXTURE_VARIANT_ADD(walkers, mthp) { KIND_MTHP };

FIXTURE_SETUP(walkers)
{
	const char *missing = move_missing();
	struct space *s = &self->space;
	size_t i;

	missing = missing ? missing : kind_missing(variant->kind);
	/* What swaps pages out finds them by their reverse map, so it is the proof. */
	missing = missing ? missing : swap_missing();
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(s, AREA, UFFD_FEATURE_SIGBUS));
	ASSERT_EQ(0, make_kind(s, variant->kind, 0, AREA));
	ASSERT_EQ(0, space_register_source(s));
	ASSERT_EQ(0, look(s->src, AREA, self->pfns));
	for (i = 0; i < AREA; i++)
		self->pfns[i] &= PM_PFN;
	self->counted = engine_count(MOVED_ANYHOW);
	snprintf(self->overcommit, sizeof(self->overcommit), "%lld", read_number(OVERCOMMIT, ""));
}

/* In the parent, so that both go even if the test dies. */
FIXTURE_TEARDOWN_PARENT(walkers)
{
	if (!access(OVERCOMMIT, W_OK))
		write_text(OVERCOMMIT, self->overcommit);
	if (!access(DAMON "0/state", W_OK)) {
		write_text(DAMON "0/state", "off");
		write_text(DAMON "nr_kdamonds", "0");
	}
}

static void check(struct __test_metadata *_metadata, struct space *s, int rounds,
		  long long counted)
{
	EXPECT_EQ(0, page_out(s->src, AREA));
	EXPECT_STREQ("", pages_differ(s->src, AREA, 1));
	EXPECT_ENGINE(2 * rounds * AREA, MOVED_ANYHOW, counted);
	space_close(s);
}

/* Both walk: setting a bit clears accessed bits, reading it looks for new ones. */
static void idle_once(struct rival *r)
{
	int fd = open(IDLE_BITMAP, O_RDWR | O_CLOEXEC);
	const __u64 *pfns = r->arg, all = ~0ULL;
	const ssize_t len = sizeof(all);
	__u64 idle;
	size_t i;

	for (i = 0; i < AREA; i++) {
		r->failed += pwrite(fd, &all, len, pfns[i] / 64 * len) != len;
		r->failed += pread(fd, &idle, len, pfns[i] / 64 * len) != len;
		r->hits += !!idle;
	}
	close(fd);
}

TEST_F_TIMEOUT(walkers, page_idle, PATIENCE)
{
	struct space *s = &self->space;
	struct rival r = { .space = s, .once = idle_once, .arg = self->pfns };
	int i;

	if (access(IDLE_BITMAP, W_OK))
		SKIP(return, "no " IDLE_BITMAP);
	start(_metadata, &r);
	for (i = 0; goes_on(&r, i, ROUNDS); i++)
		ASSERT_EQ(0, move_there_and_back(s, AREA));
	stop(_metadata, &r);
	check(_metadata, s, ROUNDS, self->counted);
}

/* Each file below DAMON and what to write there; then it runs. */
static int start_damon(unsigned long start, unsigned long end)
{
	char commands[1024];

	snprintf(commands, sizeof(commands),
		 "set -e; cd " DAMON "; echo 1 >nr_kdamonds; cd 0; echo 1 >contexts/nr_contexts;"
		 "cd contexts/0; echo paddr >operations; cd monitoring_attrs;"
		 "echo 1000 >intervals/sample_us; echo 2000 >intervals/aggr_us;"
		 "echo %lu >nr_regions/max; echo %lu >nr_regions/min;"
		 "cd ../targets; echo 1 >nr_targets; cd 0/regions; echo 1 >nr_regions;"
		 "echo %lu >0/start; echo %lu >0/end; echo on >" DAMON "0/state",
		 AREA, AREA, start, end);
	return system(commands);
}

static int open_damon_walks(void)
{
	FILE *file = fopen(DAMON "0/pid", "re");
	int pid, found = file ? fscanf(file, "%d", &pid) : 0;

	if (file)
		fclose(file);
	return found == 1 ? calls_open("rmap_walk", pid) : -1;
}

static void damon_once(struct rival *r)
{
	usleep(1000);
	r->hits = calls_count(*(int *)r->arg);
}

/* It samples a page of each part of the range, and makes more and more parts of it. */
TEST_F_TIMEOUT(walkers, damon, PATIENCE)
{
	__u64 first = self->pfns[0], last = first;
	time_t deadline = time(NULL) + PATIENCE / 4;
	struct space *s = &self->space;
	int walks;
	size_t i;
	struct rival r = { .space = s, .once = damon_once, .arg = &walks };
	const char *missing = calls_missing();

	if (!missing && access(DAMON "nr_kdamonds", W_OK))
		missing = "no " DAMON " (CONFIG_DAMON_PADDR, CONFIG_DAMON_SYSFS)";
	if (missing)
		SKIP(return, "%s", missing);
	for (i = 1; i < AREA; i++) {
		first = self->pfns[i] < first ? self->pfns[i] : first;
		last = self->pfns[i] > last ? self->pfns[i] : last;
	}
	ASSERT_EQ(0, start_damon(first * PAGE, (last + 1) * PAGE));
	/* Its thread may not run yet, nor the probe of the test before be gone. */
	while ((walks = open_damon_walks()) < 0 && time(NULL) < deadline)
		usleep(10000);
	ASSERT_LE(0, walks)
		TH_LOG("%s", strerror(errno));
	start(_metadata, &r);
	for (i = 0; goes_on(&r, i, ROUNDS); i++)
		ASSERT_EQ(0, move_there_and_back(s, AREA));
	stop(_metadata, &r);
	/* A probe is not taken away from under an emulated CPU that runs into it. */
	ASSERT_EQ(0, write_text(DAMON "0/state", "off"));
	close(walks);
	TH_LOG("%lu walks", r.hits);
	check(_metadata, s, ROUNDS, self->counted);
}

static long long free_kib(void)
{
	return read_number("/proc/meminfo", "MemFree:");
}

/*
 * Leaves so little memory that whoever wants some has to reclaim. What is taken
 * is reserved for mappings of this process, not in a pool that is the machine's:
 * it comes back whatever the process ends of.
 */
static int shrink_memory(void)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB;
	const long long reserve = read_number("/proc/sys/vm/min_free_kbytes", "");
	size_t len = 32 * TAKEN_BY;

	write_text("/proc/sys/vm/drop_caches", "1");
	while (len >= TAKEN_BY)
		if (free_kib() - reserve - LEFT < (long long)len / 1024 ||
		    mmap(NULL, len, PROT_READ, flags, -1, 0) == MAP_FAILED)
			len /= 2;
	return free_kib() - reserve < (long long)TAKEN / 1024 ? 0 : -1;
}

/* Pages of ours that a move met swapped out, or where nobody counts these, scanned of anybody. */
static long long reclaimed(void)
{
	return engine_counts() ? engine_count("moved_swap") :
				 read_number("/proc/vmstat", "pgscan_anon");
}

struct hunger {
	char *memory;
	size_t at;
	long long before;
};

/* In pieces, as all of it takes minutes where each page costs a reclaim that is slow. */
static void want_memory_once(struct rival *r)
{
	struct hunger *h = r->arg;

	r->failed += !!madvise(h->memory + h->at, PIECE, MADV_POPULATE_WRITE);
	h->at = (h->at + PIECE) % TAKEN;
	if (!h->at)
		madvise(h->memory, TAKEN, MADV_DONTNEED);
	r->hits = reclaimed() - h->before;
}

/*
 * A page that is read back while zram still writes it is not exclusive before
 * the next write.
 */
static int move_or_write(struct space *s, char *dst, char *src)
{
	time_t deadline = time(NULL) + PATIENCE / 4;
	struct moved moved = { .err = EAGAIN };
	size_t done = 0;

	while (done < AREA * PAGE && time(NULL) < deadline) {
		moved = move_pages_of(s->uffd, dst + done, src + done, AREA * PAGE - done, 0);
		if (moved.bytes > 0)
			done += moved.bytes;
		else if (moved.err == EBUSY)
			__atomic_fetch_or(src + done, 0, __ATOMIC_RELAXED);
		else if (moved.err != EAGAIN)
			break;
	}
	return moved.err;
}

TEST_F_TIMEOUT(walkers, reclaim, PATIENCE)
{
	struct space *s = &self->space;
	long long swapped = engine_count("moved_swap");
	struct hunger hunger = { .before = reclaimed() };
	struct rival r = { .space = s, .once = want_memory_once, .arg = &hunger };
	int i;

	if (write_text(OVERCOMMIT, "1000000"))
		SKIP(return, "no " OVERCOMMIT ", which makes memory scarce");
	hunger.memory = mmap(NULL, TAKEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);
	ASSERT_NE(MAP_FAILED, hunger.memory);
	ASSERT_EQ(0, shrink_memory());
	start(_metadata, &r);
	for (i = 0; goes_on(&r, i, RECLAIM_ROUNDS); i++) {
		ASSERT_EQ(0, move_or_write(s, s->dst, s->src));
		ASSERT_EQ(0, move_or_write(s, s->src, s->dst));
	}
	stop(_metadata, &r);
	TH_LOG("%lu hits in %d rounds", r.hits, i);
	EXPECT_ENGINE(1, "moved_swap", swapped);
	check(_metadata, s, RECLAIM_ROUNDS, self->counted);
}

TEST_HARNESS_MAIN
