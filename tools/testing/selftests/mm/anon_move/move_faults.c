// SPDX-License-Identifier: GPL-2.0
/*
 * Faults: who sleeps on a missing page, who is woken, and by whose descriptor.
 */
#include <poll.h>
#include <pthread.h>
#include <time.h>
#include <sys/ioctl.h>

#include "../../kselftest_harness.h"
#include "anon_move_test.h"

#define AREA	PMD_PAGES

/* A thread that reads a page; once it has it, it checks every byte. */
struct reader {
	pthread_t thread;
	char *page;
	unsigned int id;
	bool done;
	const char *differs;
};

static void *read_page(void *arg)
{
	struct reader *r = arg;

	touch(r->page);
	r->differs = pages_differ(r->page, 1, r->id);
	__atomic_store_n(&r->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static bool woken(const struct reader *r)
{
	return __atomic_load_n(&r->done, __ATOMIC_ACQUIRE);
}

/* Long enough for a thread that was woken by mistake to get through. */
static bool sleeps_on(const struct reader *r)
{
	usleep(100000);
	return !woken(r);
}

FIXTURE(faults)
{
	struct space space;
	long long counted;
	long long calls;
};

FIXTURE_SETUP(faults)
{
	const char *missing = move_missing();

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->space, AREA, 0));
	ASSERT_EQ(0, make_kind(&self->space, KIND_SMALL, 0, 16));
	self->counted = engine_count(MOVED_ANYHOW);
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(faults)
{
	space_close(&self->space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

/* Start a reader of destination page @n, which is to show pattern @id, and see it fault. */
static void fault(struct __test_metadata *_metadata, struct space *s, struct reader *r,
		  size_t n, unsigned int id)
{
	struct uffd_msg msg;

	*r = (struct reader) { .page = s->dst + n * PAGE, .id = id };
	ASSERT_EQ(0, pthread_create(&r->thread, NULL, read_page, r));
	ASSERT_EQ(0, uffd_read(s->uffd, &msg));
	ASSERT_EQ(UFFD_EVENT_PAGEFAULT, msg.event);
	ASSERT_EQ((uintptr_t)r->page, msg.arg.pagefault.address);
}

static void finish(struct __test_metadata *_metadata, struct reader *r)
{
	ASSERT_EQ(0, pthread_join(r->thread, NULL));
	EXPECT_STREQ("", r->differs);
}

TEST_F_TIMEOUT(faults, move_wakes, PATIENCE)
{
	struct space *s = &self->space;
	struct reader reader;

	fault(_metadata, s, &reader, 3, 1);
	EXPECT_TRUE(sleeps_on(&reader));
	EXPECT_EQ(0, move_pages_of(s->uffd, reader.page, s->src, PAGE, 0).err);
	finish(_metadata, &reader);
	EXPECT_ENGINE(1, MOVED_ANYHOW, self->counted);
}

TEST_F_TIMEOUT(faults, one_move_wakes_two_readers, PATIENCE)
{
	struct space *s = &self->space;
	struct reader readers[2];

	/* Two threads on one page, and one wake-up for both. */
	fault(_metadata, s, &readers[0], 3, 1);
	fault(_metadata, s, &readers[1], 3, 1);
	EXPECT_EQ(0, move_pages_of(s->uffd, readers[0].page, s->src, PAGE, 0).err);
	finish(_metadata, &readers[0]);
	finish(_metadata, &readers[1]);
	/* Writable at once, without another fault to resolve. */
	fill_pages(readers[0].page, 1, 99);
	EXPECT_STREQ("", pages_differ(readers[0].page, 1, 99));
}

TEST_F_TIMEOUT(faults, dontwake_does_not_wake, PATIENCE)
{
	struct space *s = &self->space;
	struct reader reader;

	fault(_metadata, s, &reader, 3, 1);
	EXPECT_EQ(0, move_pages_of(s->uffd, reader.page, s->src, PAGE,
				   UFFDIO_MOVE_MODE_DONTWAKE).err);
	EXPECT_TRUE(sleeps_on(&reader));
	EXPECT_EQ(0, uffd_wake(s->uffd, reader.page, PAGE));
	finish(_metadata, &reader);
	EXPECT_ENGINE(1, MOVED_ANYHOW, self->counted);
}

TEST_F_TIMEOUT(faults, wakes_only_what_was_moved, PATIENCE)
{
	struct space *s = &self->space;
	struct reader in, out;
	struct moved moved;

	ASSERT_EQ(0, madvise(s->src + 4 * PAGE, PAGE, MADV_DONTNEED));
	fault(_metadata, s, &in, 3, 4);
	fault(_metadata, s, &out, 5, 6);
	moved = move_pages_of(s->uffd, s->dst, s->src, 16 * PAGE, 0);
	EXPECT_EQ(EAGAIN, moved.err);
	EXPECT_EQ((long long)(4 * PAGE), moved.bytes);
	finish(_metadata, &in);
	EXPECT_TRUE(sleeps_on(&out));
	EXPECT_EQ(0, move_pages_of(s->uffd, out.page, s->src + 5 * PAGE, PAGE, 0).err);
	finish(_metadata, &out);
}

TEST_F_TIMEOUT(faults, error_does_not_wake, PATIENCE)
{
	struct space *s = &self->space;
	struct reader reader;

	fault(_metadata, s, &reader, 3, 1);
	EXPECT_EQ(ENOENT, move_pages_of(s->uffd, reader.page, s->src + 16 * PAGE, PAGE, 0).err);
	EXPECT_TRUE(sleeps_on(&reader));
	EXPECT_EQ(0, move_pages_of(s->uffd, reader.page, s->src, PAGE, 0).err);
	finish(_metadata, &reader);
}

/* Holes count as moved, so who waits for one is woken, faults again, and waits again. */
TEST_F_TIMEOUT(faults, hole_wakes_to_fault_again, PATIENCE)
{
	struct space *s = &self->space;
	struct uffd_msg msg;
	struct reader reader;

	fault(_metadata, s, &reader, 3, 1);
	EXPECT_EQ(0, move_pages_of(s->uffd, reader.page, s->src + 16 * PAGE, PAGE,
				   UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES).err);
	ASSERT_EQ(0, uffd_read(s->uffd, &msg));
	EXPECT_EQ((uintptr_t)reader.page, msg.arg.pagefault.address);
	EXPECT_EQ(0, move_pages_of(s->uffd, reader.page, s->src, PAGE, 0).err);
	finish(_metadata, &reader);
}

TEST_F_TIMEOUT(faults, two_descriptors, PATIENCE)
{
	struct space *s = &self->space, other;
	struct reader ours, theirs;

	ASSERT_EQ(0, space_open(&other, AREA, 0));
	fault(_metadata, s, &ours, 3, 1);
	fault(_metadata, &other, &theirs, 3, 2);
	/* Neither may fill the other's area, nor wake its waiters. */
	EXPECT_EQ(EINVAL, move_pages_of(s->uffd, theirs.page, s->src, PAGE, 0).err);
	EXPECT_EQ(EINVAL, move_pages_of(other.uffd, ours.page, s->src, PAGE, 0).err);
	EXPECT_TRUE(sleeps_on(&ours));
	EXPECT_TRUE(sleeps_on(&theirs));
	EXPECT_EQ(0, move_pages_of(s->uffd, ours.page, s->src, PAGE, 0).err);
	finish(_metadata, &ours);
	EXPECT_TRUE(sleeps_on(&theirs));
	EXPECT_EQ(0, move_pages_of(other.uffd, theirs.page, s->src + PAGE, PAGE, 0).err);
	finish(_metadata, &theirs);
	EXPECT_ENGINE(2, MOVED_ANYHOW, self->counted);
	space_close(&other);
}

/* As Android's runtime does it: the faulting thread gets SIGBUS and moves the page itself. */
TEST_F_TIMEOUT(faults, sigbus_mode, PATIENCE)
{
	struct space *s = &self->space, sigbus = *s;

	sigbus.uffd = uffd_open(UFFD_USER_MODE_ONLY, UFFD_FEATURE_SIGBUS);
	sigbus.dst = map_aligned(AREA * PAGE);
	ASSERT_LE(0, sigbus.uffd);
	ASSERT_NE(NULL, sigbus.dst);
	ASSERT_EQ(0, uffd_register(sigbus.uffd, sigbus.dst, AREA * PAGE,
				   UFFDIO_REGISTER_MODE_MISSING));
	ASSERT_TRUE(catch_sigbus());
	EXPECT_FALSE(touch(sigbus.dst));
	EXPECT_EQ(0, move_pages_of(sigbus.uffd, sigbus.dst, s->src, 2 * PAGE,
				   UFFDIO_MOVE_MODE_DONTWAKE).err);
	ASSERT_TRUE(touch(sigbus.dst));
	ASSERT_TRUE(touch(sigbus.dst + PAGE));
	EXPECT_FALSE(touch(sigbus.dst + 2 * PAGE));
	EXPECT_STREQ("", pages_differ(sigbus.dst, 2, 1));
	EXPECT_ENGINE(2, MOVED_ANYHOW, self->counted);
	close(sigbus.uffd);
	munmap(sigbus.dst, AREA * PAGE);
}

/* V5: between such a change of the address space and its event being read, EAGAIN. */
FIXTURE(changing)
{
	struct space space;
	char *victim;
	long long calls;
};

FIXTURE_VARIANT(changing)
{
	__u64 feature;
	int event;
	void (*change)(char *victim);
};

static void change_by_fork(char *victim)
{
	pid_t pid = fork();

	(void)victim;
	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
}

static void change_by_remap(char *victim)
{
	mremap(victim, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
}

static void change_by_remove(char *victim)
{
	madvise(victim, 4 * PAGE, MADV_DONTNEED);
}

static void change_by_unmap(char *victim)
{
	munmap(victim, 4 * PAGE);
}

FIXTURE_VARIANT_ADD(changing, by_fork) {
	UFFD_FEATURE_EVENT_FORK, UFFD_EVENT_FORK, change_by_fork };
FIXTURE_VARIANT_ADD(changing, by_remap) {
	UFFD_FEATURE_EVENT_REMAP, UFFD_EVENT_REMAP, change_by_remap };
FIXTURE_VARIANT_ADD(changing, by_remove) {
	UFFD_FEATURE_EVENT_REMOVE, UFFD_EVENT_REMOVE, change_by_remove };
FIXTURE_VARIANT_ADD(changing, by_unmap) {
	UFFD_FEATURE_EVENT_UNMAP, UFFD_EVENT_UNMAP, change_by_unmap };

/* A move must go on where nothing changed, so what changes is another VMA. */
static char *make_victim(struct space *s)
{
	char *victim = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (victim == MAP_FAILED)
		return NULL;
	fill_pages(victim, 4, 1);
	return uffd_register(s->uffd, victim, 4 * PAGE, UFFDIO_REGISTER_MODE_MISSING) ? NULL :
		victim;
}

FIXTURE_SETUP(changing)
{
	const char *missing = move_missing();

	if (!missing)
		missing = features_missing(variant->feature, "no such userfaultfd event");
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(&self->space, AREA, variant->feature));
	ASSERT_EQ(0, make_kind(&self->space, KIND_SMALL, 0, 1));
	self->victim = make_victim(&self->space);
	ASSERT_NE(NULL, self->victim);
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(changing)
{
	space_close(&self->space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

struct changer {
	pthread_t thread;
	void (*change)(char *victim);
	char *victim;
	long long batches;	/* it begins when the engine has counted so many */
};

static void *run_change(void *arg)
{
	struct changer *changer = arg;

	while (engine_counts() && engine_count("batches") < changer->batches)
		;
	changer->change(changer->victim);
	return NULL;
}

/* The change is announced to moves before it is to us, by a fork long before. */
static void read_event(struct __test_metadata *_metadata, struct space *s, int event)
{
	struct pollfd pfd = { .fd = s->uffd, .events = POLLIN };
	struct uffd_msg msg;

	ASSERT_EQ(1, poll(&pfd, 1, PATIENCE / 2 * 1000));
	ASSERT_EQ(0, uffd_read(s->uffd, &msg));
	EXPECT_EQ(event, msg.event);
	if (msg.event == UFFD_EVENT_FORK)
		close(msg.arg.fork.ufd);
}

TEST_F_TIMEOUT(changing, V5_eagain_until_read, PATIENCE)
{
	struct changer changer = { .change = variant->change, .victim = self->victim };
	struct space *s = &self->space;
	struct pollfd pfd = { .fd = s->uffd, .events = POLLIN };
	struct uffdio_movev_range range = {
		.dst = (uintptr_t)s->dst, .src = (uintptr_t)s->src, .len = PAGE,
	};
	struct moved moved;

	ASSERT_EQ(0, pthread_create(&changer.thread, NULL, run_change, &changer));
	ASSERT_EQ(1, poll(&pfd, 1, PATIENCE / 2 * 1000));
	moved = move_pages_of(s->uffd, s->dst, s->src, PAGE, 0);
	EXPECT_EQ(EAGAIN, moved.err);
	EXPECT_EQ(-EAGAIN, moved.bytes);
	if (!vectors_missing()) {
		EXPECT_EQ(EAGAIN, move_vector(s->uffd, &range, 1, 0, NULL));
		EXPECT_EQ(UFFDIO_MOVEV_CHANGING, range.stop);
	}

	read_event(_metadata, s, variant->event);
	ASSERT_EQ(0, pthread_join(changer.thread, NULL));
	moved = move_pages_of(s->uffd, s->dst, s->src, PAGE, 0);
	/* The fork has shared the page meanwhile. */
	EXPECT_EQ(variant->event == UFFD_EVENT_FORK ? EBUSY : 0, moved.err);
}

#define LONG	(128 * PMD_PAGES)

/* A long move, and a change that begins meanwhile; its event is read when the call has returned. */
static struct moved change_during_move(struct __test_metadata *_metadata, struct space *s,
				       struct changer *changer, int event)
{
	struct moved moved = { };

	ASSERT_EQ(0, madvise(s->src, LONG * PAGE, MADV_DONTFORK));
	ASSERT_EQ(0, madvise(s->dst, LONG * PAGE, MADV_DONTFORK));
	ASSERT_EQ(0, madvise(s->src, LONG * PAGE, MADV_POPULATE_READ));
	changer->victim = make_victim(s);
	ASSERT_NE(NULL, changer->victim);
	changer->batches = engine_count("batches") + 1;
	ASSERT_EQ(0, pthread_create(&changer->thread, NULL, run_change, changer));
	moved = move_pages_of(s->uffd, s->dst, s->src, LONG * PAGE, 0);
	read_event(_metadata, s, event);
	ASSERT_EQ(0, pthread_join(changer->thread, NULL));
	return moved;
}

/* V5: found to be changing again when it goes on after having given way to the change. */
TEST_F_TIMEOUT(changing, V5_raised_during_a_move, PATIENCE)
{
	struct changer changer = { .change = variant->change };
	time_t deadline = time(NULL) + PATIENCE / 4;
	const char *missing = base_serves();
	struct moved moved = { };
	struct space s;
	int try;

	if (!missing && !engine_counts())
		missing = "no CONFIG_ANON_MOVE_STATS";
	if (missing)
		SKIP(return, "%s", missing);
	/* Or a fork would wait for somebody who reads its events, too. */
	close(self->space.uffd);
	self->space.uffd = -1;
	/* The change may come too late. */
	for (try = 0; !moved.err && time(NULL) < deadline; try++) {
		ASSERT_EQ(0, space_open(&s, LONG, variant->feature));
		moved = change_during_move(_metadata, &s, &changer, variant->event);
		if (moved.bytes > 0 && moved.bytes < (long long)(LONG * PAGE))
			EXPECT_EQ(0, move_pages_of(s.uffd, s.dst + moved.bytes, s.src + moved.bytes,
						   LONG * PAGE - moved.bytes, 0).err);
		space_close(&s);
	}
	TH_LOG("%d tries: errno %d, %lld bytes", try, moved.err, moved.bytes);
	EXPECT_EQ(EAGAIN, moved.err);
	EXPECT_LT(0, moved.bytes);
}

/* R18: the destination's registration decides whether write-protection arrives. */
FIXTURE(protected)
{
	struct space space;
	long long calls;
};

FIXTURE_VARIANT(protected)
{
	enum page_kind_id kind;
	bool keeps;
};

FIXTURE_VARIANT_ADD(protected, small_kept) { KIND_SMALL, true };
FIXTURE_VARIANT_ADD(protected, small_dropped) { KIND_SMALL, false };
FIXTURE_VARIANT_ADD(protected, swapped_kept) { KIND_SWAPPED, true };
FIXTURE_VARIANT_ADD(protected, swapped_dropped) { KIND_SWAPPED, false };
FIXTURE_VARIANT_ADD(protected, thp_kept) { KIND_THP, true };
FIXTURE_VARIANT_ADD(protected, thp_dropped) { KIND_THP, false };

FIXTURE_SETUP(protected)
{
	__u64 mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP;
	struct space *s = &self->space;
	const char *missing = move_missing();
	bool wrong;

	missing = missing ? missing : writeprotect_missing();
	missing = missing ? missing : kind_missing(variant->kind);
	/* The base drops the bit of what is present, and keeps it of what is swapped. */
	wrong = variant->kind == KIND_SWAPPED ? !variant->keeps : variant->keeps;
	if (!missing && wrong)
		missing = base_serves();
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(s, PMD_PAGES, FEATURES_WP));
	ASSERT_EQ(0, make_kind(s, variant->kind, 0, PMD_PAGES));
	ASSERT_EQ(0, uffd_register(s->uffd, s->src, PMD, UFFDIO_REGISTER_MODE_WP));
	ASSERT_EQ(0, uffd_writeprotect(s->uffd, s->src, PMD));
	ASSERT_TRUE(all_pages(s->src, PMD_PAGES, PM_UFFD_WP, PM_UFFD_WP));
	if (variant->keeps)
		ASSERT_EQ(0, uffd_register(s->uffd, s->dst, PMD, mode));
	self->calls = engine_count("calls");
}

FIXTURE_TEARDOWN(protected)
{
	space_close(&self->space);
	if (!_metadata->exit_code)
		EXPECT_ENGINE(1, "calls", self->calls);
}

static void *write_page(void *page)
{
	fill_pages(page, 1, 77);
	return NULL;
}

TEST_F_TIMEOUT(protected, R18_bit_follows_destination, PATIENCE)
{
	long long before = engine_count(page_kinds[variant->kind].counters);
	struct space *s = &self->space;
	struct uffd_msg msg;
	pthread_t writer;

	ASSERT_EQ(0, move_pages_of(s->uffd, s->dst, s->src, PMD, 0).err);
	EXPECT_ENGINE(PMD_PAGES, page_kinds[variant->kind].counters, before);
	EXPECT_TRUE(all_pages(s->dst, PMD_PAGES, PM_UFFD_WP, variant->keeps ? PM_UFFD_WP : 0));
	EXPECT_STREQ("", pages_differ(s->dst, PMD_PAGES, 1));

	ASSERT_EQ(0, pthread_create(&writer, NULL, write_page, s->dst));
	if (variant->keeps) {
		ASSERT_EQ(0, uffd_read(s->uffd, &msg));
		EXPECT_EQ(UFFD_EVENT_PAGEFAULT, msg.event);
		EXPECT_TRUE(msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP);
		EXPECT_STREQ("", pages_differ(s->dst, 1, 1));
		ASSERT_EQ(0, uffd_unprotect(s->uffd, s->dst, PMD));
	}
	ASSERT_EQ(0, pthread_join(writer, NULL));
	EXPECT_STREQ("", pages_differ(s->dst, 1, 77));
}

TEST_HARNESS_MAIN
