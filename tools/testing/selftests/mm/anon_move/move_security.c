// SPDX-License-Identifier: GPL-2.0
/*
 * A caller can touch nothing but its own memory: extreme arguments, arguments
 * that change while they are read, descriptors in other hands, sudden death.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "../../kselftest_harness.h"
#include "rival.h"

#define AREA	PMD_PAGES
#define MADE	8

#define PRIVILEGE_FILE	"/proc/sys/vm/unprivileged_userfaultfd"

/* What a process is told that executes this program to try a descriptor of before. */
#define INHERITED	"MOVE_SECURITY_INHERITED_UFFD"

FIXTURE(security)
{
	struct space space;
};

FIXTURE_SETUP(security)
{
	struct space *s = &self->space;
	const char *missing = move_missing();

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, space_open(s, AREA, 0));
	ASSERT_EQ(0, make_kind(s, KIND_SMALL, 0, MADE));
}

FIXTURE_TEARDOWN(security)
{
	space_close(&self->space);
}

/* Whoever may not move gets EINVAL, in .move as well; the base leaves that as it was. */
static bool refused(const struct moved *moved)
{
	return moved->err == EINVAL &&
	       (moved->bytes == -EINVAL || (moved->bytes == MOVE_CANARY && base_serves()));
}

/* Addresses and lengths around every limit there is. Nothing is mapped at any of them. */
static const __u64 extremes[] = {
	0, 1, PAGE - 1, PAGE, PAGE + 1,
	_BITULL(31), _BITULL(32), _BITULL(32) + PAGE,
	_BITULL(47) - PAGE - 1, _BITULL(47) - PAGE, _BITULL(47) - 1, _BITULL(47),
	_BITULL(56) - PAGE, _BITULL(56), _BITULL(63) - PAGE, _BITULL(63),
	0xffff888000000000, 0xffffea0000000000,	/* the direct map, the page structs */
	0xffffffff81000000, 0xffffffffff600000,	/* kernel text, vsyscall */
	-2 * PAGE, -PAGE - 1, -PAGE, -PAGE + 1, -1,
};

#define EXTREMES	(sizeof(extremes) / sizeof(*extremes))

/* The first four are all that there are. */
static const __u64 modes[] = { 0, 1, 2, 3, 4, _BITULL(31), _BITULL(32), _BITULL(63), -1 };

#define MODES		(sizeof(modes) / sizeof(*modes))

static void try_argument(struct __test_metadata *_metadata, struct space *s,
			 struct uffdio_move *arg)
{
	struct uffdio_move asked = *arg;

	EXPECT_EQ(-1, ioctl(s->uffd, UFFDIO_MOVE, arg));
	EXPECT_TRUE(errno == EINVAL || errno == ENOENT);
	EXPECT_TRUE(arg->move == -errno || (arg->move == MOVE_CANARY && base_serves()));
	if (_metadata->exit_code)
		TH_LOG("dst %#llx src %#llx len %#llx mode %#llx: errno %d, move %lld", asked.dst,
		       asked.src, asked.len, asked.mode, errno, arg->move);
	EXPECT_EQ(0, memcmp(&asked, arg, offsetof(struct uffdio_move, move)));
}

/* A page as length is one of the extremes, and fine. */
static bool good(const struct space *s, const struct uffdio_move *arg)
{
	return arg->dst == (uintptr_t)s->dst && arg->src == (uintptr_t)s->src &&
	       arg->len == PAGE && arg->mode < 4;
}

static void try_lengths_and_modes(struct __test_metadata *_metadata, struct space *s,
				  __u64 dst, __u64 src)
{
	struct uffdio_move arg;
	size_t len, mode;

	for (len = 0; len < EXTREMES; len++) {
		for (mode = 0; mode < MODES; mode++) {
			arg = (struct uffdio_move) {
				.dst = dst,
				.src = src,
				.len = extremes[len],
				.mode = modes[mode],
				.move = MOVE_CANARY,
			};
			if (!good(s, &arg))
				try_argument(_metadata, s, &arg);
			ASSERT_EQ(KSFT_PASS, _metadata->exit_code);
		}
	}
}

TEST_F_TIMEOUT(security, extreme_arguments, PATIENCE)
{
	struct space *s = &self->space;
	__u64 before[MADE], after[MADE];
	size_t i, k;

	ASSERT_EQ(0, look(s->src, MADE, before));
	try_lengths_and_modes(_metadata, s, (uintptr_t)s->dst, (uintptr_t)s->src);
	for (i = 0; i < EXTREMES; i++) {
		try_lengths_and_modes(_metadata, s, extremes[i], (uintptr_t)s->src);
		try_lengths_and_modes(_metadata, s, (uintptr_t)s->dst, extremes[i]);
		for (k = 0; k < EXTREMES; k++)
			try_lengths_and_modes(_metadata, s, extremes[i], extremes[k]);
	}
	ASSERT_EQ(0, look(s->src, MADE, after));
	EXPECT_EQ((size_t)MADE, first_unlike(before, after, MADE, -1ULL));
	EXPECT_TRUE(all_pages(s->dst, AREA, PM_PRESENT | PM_SWAP, 0));
	EXPECT_STREQ("", pages_differ(s->src, MADE, 1));
}

/* Pointers to an argument that is not the caller's to read. */
TEST_F_TIMEOUT(security, argument_outside, PATIENCE)
{
	struct space *s = &self->space;
	size_t n;

	for (n = 0; n < EXTREMES; n++) {
		EXPECT_EQ(-1, ioctl(s->uffd, UFFDIO_MOVE, extremes[n]));
		EXPECT_EQ(EFAULT, errno)
			TH_LOG("argument at %#llx", extremes[n]);
	}
	EXPECT_STREQ("", pages_differ(s->src, MADE, 1));
}

/* The caller may only read the argument: the pages move, but .move can't say so. */
TEST_F_TIMEOUT(security, argument_readonly, PATIENCE)
{
	struct space *s = &self->space;
	struct uffdio_move *arg = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, arg);
	*arg = (struct uffdio_move) {
		.dst = (uintptr_t)s->dst,
		.src = (uintptr_t)s->src,
		.len = MADE * PAGE,
		.move = MOVE_CANARY,
	};
	ASSERT_EQ(0, mprotect(arg, PAGE, PROT_READ));
	EXPECT_EQ(-1, ioctl(s->uffd, UFFDIO_MOVE, arg));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(MOVE_CANARY, arg->move);
	EXPECT_STREQ("", pages_differ(s->dst, MADE, 1));
	munmap(arg, PAGE);
}

/* The argument moves away between reading it and writing it. */
TEST_F_TIMEOUT(security, argument_in_source, PATIENCE)
{
	struct space *s = &self->space;
	struct uffdio_move *arg = (struct uffdio_move *)s->src, sent;

	*arg = (struct uffdio_move) {
		.dst = (uintptr_t)s->dst,
		.src = (uintptr_t)s->src,
		.len = MADE * PAGE,
		.move = MOVE_CANARY,
	};
	sent = *arg;
	ASSERT_EQ(0, ioctl(s->uffd, UFFDIO_MOVE, arg));
	EXPECT_EQ(0, memcmp(s->dst, &sent, sizeof(sent)));
	EXPECT_STREQ("", pages_differ(s->dst + PAGE, MADE - 1, 2));
	EXPECT_EQ((long long)(MADE * PAGE), arg->move);
	EXPECT_EQ(0, arg->len);
}

/* An argument that changes while it is read, between a good one and one that would do harm. */
struct switcher {
	struct uffdio_move good;
	struct uffdio_move harmful;
	struct uffdio_move *arg;
};

static void switch_once(struct rival *r)
{
	struct switcher *sw = r->arg;
	const struct uffdio_move *to = r->rounds & 1 ? &sw->harmful : &sw->good;

	__atomic_store_n(&sw->arg->mode, to->mode, __ATOMIC_RELAXED);
	__atomic_store_n(&sw->arg->len, to->len, __ATOMIC_RELAXED);
	__atomic_store_n(&sw->arg->src, to->src, __ATOMIC_RELAXED);
	__atomic_store_n(&sw->arg->dst, to->dst, __ATOMIC_RELAXED);
	r->hits++;
}

/*
 * All that may come out is what one of the 16 mixtures of both arguments does:
 * the good one moves 2 pages or, with the harmful length, is refused.
 */
static void race_switcher(struct __test_metadata *_metadata, struct space *s,
			  struct switcher *sw)
{
	struct rival r = { .space = s, .once = switch_once, .arg = sw };
	int i, err, moved = 0, refusals = 0;

	start(_metadata, &r);
	for (i = 0; i < 2000 || ((!moved || !refusals) && i < 200000); i++) {
		fill_pages(s->src, 2, 1);
		err = ioctl(s->uffd, UFFDIO_MOVE, sw->arg) ? errno : 0;
		ASSERT_TRUE(!err || err == EINVAL)
			TH_LOG("errno %d", err);
		refusals += !!err;
		moved += !err;
		if (err) {
			ASSERT_TRUE(all_pages(s->src, 2, PM_PRESENT, PM_PRESENT));
			continue;
		}
		ASSERT_EQ(2 * PAGE, (size_t)sw->arg->move);
		ASSERT_STREQ("", pages_differ(s->dst, 2, 1));
		ASSERT_EQ(0, madvise(s->dst, 2 * PAGE, MADV_DONTNEED));
	}
	stop(_metadata, &r);
	EXPECT_LT(0, moved);
	EXPECT_LT(0, refusals);
}

TEST_F_TIMEOUT(security, argument_changes, PATIENCE)
{
	struct space *s = &self->space;
	size_t victims = 16;
	char *victim = s->src + MADE * PAGE;
	struct uffdio_move arg;
	struct switcher sw = {
		.good = {
			.dst = (uintptr_t)s->dst,
			.src = (uintptr_t)s->src,
			.len = 2 * PAGE,
		},
		/* Each field alone is harmful: other pages of ours, the kernel's, all there is. */
		.harmful = {
			.dst = (uintptr_t)victim,
			.src = 0xffff888000000000,
			.len = -PAGE,
			.mode = _BITULL(63),
		},
		.arg = &arg,
	};

	arg = sw.good;
	fill_pages(victim, victims, 100);
	race_switcher(_metadata, s, &sw);
	EXPECT_STREQ("", pages_differ(victim, victims, 100));
	EXPECT_TRUE(all_pages(s->dst + 2 * PAGE, AREA - 2, PM_PRESENT | PM_SWAP, 0));
}

/* Moves a page with a descriptor that is not for this address space; nothing may happen. */
static bool is_refused(int uffd, struct space *s)
{
	struct moved moved = move_pages_of(uffd, s->dst, s->src, PAGE, 0);

	return refused(&moved) && all_pages(s->src, MADE, PM_PRESENT, PM_PRESENT) &&
	       all_pages(s->dst, AREA, PM_PRESENT | PM_SWAP, 0) &&
	       !*pages_differ(s->src, MADE, 1);
}

/* A child takes its areas, at the addresses of ours, under a descriptor of its own. */
static pid_t child_with_uffd(struct __test_metadata *_metadata, struct space *s, int *uffd)
{
	int pipe_fds[2], pidfd, number;
	pid_t pid;

	ASSERT_EQ(0, pipe(pipe_fds));
	pid = fork();
	if (!pid) {
		number = uffd_open(0, 0);
		if (uffd_register(number, s->dst, AREA * PAGE, UFFDIO_REGISTER_MODE_MISSING) ||
		    write(pipe_fds[1], &number, sizeof(number)) != sizeof(number))
			_exit(1);
		pause();
		_exit(0);
	}
	ASSERT_LT(0, pid);
	close(pipe_fds[1]);
	ASSERT_EQ((ssize_t)sizeof(number), read(pipe_fds[0], &number, sizeof(number)));
	close(pipe_fds[0]);
	pidfd = syscall(__NR_pidfd_open, pid, 0);
	*uffd = syscall(__NR_pidfd_getfd, pidfd, number, 0);
	close(pidfd);
	ASSERT_LE(0, *uffd);
	return pid;
}

/* Neither the child's memory nor ours moves by the child's descriptor, whether it lives or not. */
TEST_F_TIMEOUT(security, descriptor_of_child, PATIENCE)
{
	struct space *s = &self->space;
	int uffd;
	pid_t pid = child_with_uffd(_metadata, s, &uffd);

	EXPECT_TRUE(is_refused(uffd, s));
	end_child(pid);
	EXPECT_TRUE(is_refused(uffd, s));
	close(uffd);
}

static void *read_event(void *arg)
{
	struct uffd_msg msg;
	int *uffd = arg, own = *uffd;

	*uffd = -1;
	if (!uffd_read(own, &msg) && msg.event == UFFD_EVENT_FORK)
		*uffd = msg.arg.fork.ufd;
	return NULL;
}

/* A fork event brings a descriptor of the child's memory, which is not ours to move. */
TEST_F_TIMEOUT(security, descriptor_of_fork_event, PATIENCE)
{
	struct space s;
	pthread_t reader;
	pid_t pid;
	int uffd;

	ASSERT_EQ(0, space_open(&s, AREA, UFFD_FEATURE_EVENT_FORK));
	ASSERT_EQ(0, make_kind(&s, KIND_SMALL, 0, MADE));
	uffd = s.uffd;
	ASSERT_EQ(0, pthread_create(&reader, NULL, read_event, &uffd));
	pid = share_with_child();
	ASSERT_LT(0, pid);
	ASSERT_EQ(0, pthread_join(reader, NULL));
	ASSERT_LE(0, uffd);
	EXPECT_TRUE(is_refused(uffd, &s));
	end_child(pid);
	EXPECT_TRUE(is_refused(uffd, &s));
	close(uffd);
	space_close(&s);
}

/* The life after exec: new memory, registered with a new descriptor, moved by the old one. */
static void __attribute__((constructor)) try_inherited(void)
{
	const char *inherited = getenv(INHERITED);
	struct space s;

	if (!inherited)
		return;
	if (space_open(&s, AREA, 0) || make_kind(&s, KIND_SMALL, 0, MADE))
		_exit(2);
	_exit(is_refused(atoi(inherited), &s) ? 0 : 1);
}

TEST_F_TIMEOUT(security, descriptor_across_exec, PATIENCE)
{
	int status = -1, uffd = dup(self->space.uffd);	/* without O_CLOEXEC */
	char number[16];
	pid_t pid;

	ASSERT_LE(0, uffd);
	snprintf(number, sizeof(number), "%d", uffd);
	pid = fork();
	if (!pid) {
		setenv(INHERITED, number, 1);
		execl("/proc/self/exe", "move_security", NULL);
		_exit(3);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	close(uffd);
}

/* Who may have a descriptor without privilege, and what it is good for. */
FIXTURE(unprivileged)
{
	struct space space;
	char allowed[2];
};

FIXTURE_VARIANT(unprivileged)
{
	const char *allowed;	/* in PRIVILEGE_FILE */
	int flags;		/* of userfaultfd() */
	int err;
};

FIXTURE_VARIANT_ADD(unprivileged, kernel_faults_forbidden) { "0", 0, EPERM };
FIXTURE_VARIANT_ADD(unprivileged, user_faults) { "0", UFFD_USER_MODE_ONLY, 0 };
FIXTURE_VARIANT_ADD(unprivileged, kernel_faults_allowed) { "1", 0, 0 };

FIXTURE_SETUP(unprivileged)
{
	const char *missing = move_missing();

	if (!missing && access(PRIVILEGE_FILE, W_OK))
		missing = "no " PRIVILEGE_FILE;
	if (missing)
		SKIP(return, "%s", missing);
	snprintf(self->allowed, sizeof(self->allowed), "%lld", read_number(PRIVILEGE_FILE, ""));
	ASSERT_EQ(0, write_text(PRIVILEGE_FILE, variant->allowed));
	ASSERT_EQ(0, space_open(&self->space, AREA, 0));
}

FIXTURE_TEARDOWN(unprivileged)
{
	space_close(&self->space);
	write_text(PRIVILEGE_FILE, self->allowed);
}

static int become_nobody(void)
{
	const int nobody = 65534;

	return setgroups(0, NULL) || setresgid(nobody, nobody, nobody) ||
	       setresuid(nobody, nobody, nobody);
}

/*
 * An argument in a page that is missing until the caller itself brings it: such
 * a descriptor makes the kernel wait for nobody.
 */
static bool kernel_waits(struct space *s)
{
	return ioctl(s->uffd, UFFDIO_MOVE, s->dst + MADE * PAGE) != -1 || errno != EFAULT;
}

/* In a child, whose copies of both areas are its own. Returns what went wrong first. */
static int move_as_nobody(struct space *s, int flags)
{
	struct moved moved;

	if (become_nobody())
		return errno;
	s->uffd = uffd_open(flags, 0);
	if (s->uffd < 0 ||
	    uffd_register(s->uffd, s->dst, AREA * PAGE, UFFDIO_REGISTER_MODE_MISSING))
		return errno;
	fill_pages(s->src, MADE, 1);
	moved = move_pages_of(s->uffd, s->dst, s->src, MADE * PAGE, 0);
	if (!moved.err && *pages_differ(s->dst, MADE, 1))
		moved.err = EILSEQ;
	if (!moved.err && flags & UFFD_USER_MODE_ONLY && kernel_waits(s))
		moved.err = EDEADLK;
	return moved.err;
}

TEST_F_TIMEOUT(unprivileged, moves_its_own, PATIENCE)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid)
		_exit(move_as_nobody(&self->space, variant->flags));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(variant->err, WEXITSTATUS(status))
		TH_LOG("%s", strerror(WEXITSTATUS(status)));
}

TEST_HARNESS_MAIN
