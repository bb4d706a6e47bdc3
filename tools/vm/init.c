// SPDX-License-Identifier: GPL-2.0
// PID 1 of the guest: sets the machine up, runs one command for tools/vm/run, reports.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENGINE "/sys/kernel/debug/anon_move/engine"
#define CONFIGFS "/sys/kernel/config"
#define SLOW_DISK CONFIGFS "/nullb/slow"

/* Shared with run, which asks in argv, env and paths; the answers are out, err and status. */
#define SHARE "/dev/vm"

static int status_fd = STDERR_FILENO;

struct stream {
	int file;
	int pipe[2];
	pthread_t thread;
};

/* The last thing init does: run reads @verb and @text. */
static noreturn void finish(const char *verb, const char *text)
{
	dprintf(status_fd, "%s %s\n", verb, text);
	/* Powering off needs ACPI; qemu takes a reboot for the end. */
	reboot(RB_AUTOBOOT);
	abort();
}

static noreturn void fail(const char *what)
{
	char text[PATH_MAX + 64];

	snprintf(text, sizeof(text), "%s: %s", what, strerror(errno));
	finish("fail", text);
}

static void mount_at(const char *type, const char *path, bool required)
{
	mkdir(path, 0755);
	if (mount(type, path, type, 0, NULL) && required)
		fail(path);
}

/* devtmpfs leaves these to udev; every shell script expects them. */
static void link_fds(void)
{
	if (symlink("/proc/self/fd", "/dev/fd") || symlink("fd/0", "/dev/stdin") ||
	    symlink("fd/1", "/dev/stdout") || symlink("fd/2", "/dev/stderr"))
		fail("/dev/fd");
}

static void make_machine(void)
{
	int fd;

	mount_at("proc", "/proc", true);
	mount_at("sysfs", "/sys", true);
	mount_at("devtmpfs", "/dev", true);
	mount_at("debugfs", "/sys/kernel/debug", true);
	mount_at("tracefs", "/sys/kernel/tracing", false);
	link_fds();
	/* The kernel found no console of its own on the host's /dev. */
	do {
		fd = open("/dev/console", O_RDWR);
	} while (fd >= 0 && fd < STDERR_FILENO);
}

/* Uncached: what is written is on the host when the call returns, even if the guest dies next. */
static void mount_share(void)
{
	mkdir(SHARE, 0700);
	if (mount("share", SHARE, "9p", 0, "trans=virtio,version=9p2000.L,msize=512000,cache=none"))
		fail(SHARE);
}

/* Ticks are milliseconds apart: no wait and no timeout would last as long as it should. */
static void check_clock(void)
{
	const char *path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
	char name[32] = "", text[96];
	FILE *file = fopen(path, "re");

	if (!file || fscanf(file, "%31s", name) != 1)
		fail(path);
	fclose(file);
	snprintf(text, sizeof(text), "its only clock is %s; see 'tsc:' in the kernel's log", name);
	if (strstr(name, "jiffies"))
		finish("fail", text);
}

static int open_answer(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		fail(path);
	return fd;
}

/* Returns the strings of a file in which each ends with a NUL byte, and a NULL after the last. */
static char **read_strings(const char *path)
{
	FILE *file = fopen(path, "re");
	char **list = NULL, *text;
	size_t size, n = 0;

	if (!file)
		fail(path);
	do {
		list = realloc(list, (n + 1) * sizeof(*list));
		text = NULL;
		size = 0;
		list[n] = getdelim(&text, &size, '\0', file) < 0 ? NULL : text;
	} while (list[n++]);
	fclose(file);
	return list;
}

/* Puts one of the host's trees back to where a tmpfs now hides it. */
static void uncover(char *path, int tree)
{
	struct stat st;
	char *slash;

	if (fstat(tree, &st))
		fail(path);
	for (slash = path; (slash = strchr(slash + 1, '/'));) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	if (S_ISDIR(st.st_mode))
		mkdir(path, 0755);
	else
		mknod(path, S_IFREG | 0644, 0);
	if (move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH))
		fail(path);
}

/* The checkout or the caller's directory may itself lie below /tmp or /run: @paths stay visible. */
static void mount_scratch(char **paths)
{
	size_t n = 0, i;
	int *trees;

	while (paths[n])
		n++;
	trees = calloc(n + 1, sizeof(*trees));
	for (i = 0; i < n; i++)
		trees[i] = open_tree(AT_FDCWD, paths[i], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	mount_at("tmpfs", "/tmp", true);
	mount_at("tmpfs", "/run", true);
	mount_at("tmpfs", "/dev/shm", true);
	if (chmod("/tmp", 01777) || chmod("/dev/shm", 01777))
		fail("/tmp");
	for (i = 0; i < n; i++) {
		if (trees[i] >= 0 && access(paths[i], F_OK))
			uncover(paths[i], trees[i]);
		close(trees[i]);
	}
	free(trees);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fail(path);
	close(fd);
}

/* The header that mkswap would write. */
static void swap_on(const char *device)
{
	union {
		struct {
			char boot[1024];
			unsigned int version, last_page, bad_pages;
		} info;
		char page[65536];
	} header = { .info.version = 1 };
	const size_t page = sysconf(_SC_PAGESIZE);
	unsigned long long bytes;
	int fd;

	fd = open(device, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes))
		fail(device);
	header.info.last_page = bytes / page - 1;
	memcpy(header.page + page - 10, "SWAPSPACE2", 10);
	if (write(fd, &header, page) < 0 || close(fd) || swapon(device, 0))
		fail(device);
}

static void fast_swap_on(const char *size)
{
	write_file("/sys/block/zram0/disksize", size);
	swap_on("/dev/zram0");
}

/*
 * Unlike zram it completes a request long after it was submitted: what is
 * swapped out stays in the swap cache, first under write-back.
 */
static void slow_swap_on(const char *size)
{
	char mib[24], *unit;

	snprintf(mib, sizeof(mib), "%lu", strtoul(size, &unit, 10) << (*unit == 'G' ? 10 : 0));
	mount_at("configfs", CONFIGFS, false);
	if (access(CONFIGFS "/nullb", F_OK))
		finish("fail", "this kernel has no null_blk; set CONFIG_BLK_DEV_NULL_BLK=y");
	if (mkdir(SLOW_DISK, 0755))
		fail(SLOW_DISK);
	write_file(SLOW_DISK "/size", mib);
	write_file(SLOW_DISK "/blocksize", "4096");
	write_file(SLOW_DISK "/memory_backed", "1");
	write_file(SLOW_DISK "/irqmode", "2");
	write_file(SLOW_DISK "/completion_nsec", "20000000");
	write_file(SLOW_DISK "/power", "1");
	swap_on("/dev/slow");
}

static void choose_engine(const char *name)
{
	if (access(ENGINE, W_OK))
		finish("fail", "this kernel has no " ENGINE "; set CONFIG_ANON_MOVE_COMPARE=y");
	write_file(ENGINE, name);
}

static void *pump(void *arg)
{
	struct stream *stream = arg;
	char buffer[65536], *from;
	ssize_t got, put;

	while ((got = read(stream->pipe[0], buffer, sizeof(buffer))) > 0) {
		for (from = buffer; got > 0; from += put, got -= put) {
			put = write(stream->file, from, got);
			if (put < 0)
				fail("output");
		}
	}
	return NULL;
}

/* The command gets pipes: it must not find out that its output is a file, and seek or truncate. */
static void start_pump(struct stream *stream)
{
	if (pipe2(stream->pipe, O_CLOEXEC) || pthread_create(&stream->thread, NULL, pump, stream))
		fail("output");
}

static noreturn void exec_command(char **argv, struct stream *out, struct stream *err)
{
	int null = open("/dev/null", O_RDONLY);
	int error;

	setsid();
	dup2(null, STDIN_FILENO);
	close(null);
	dup2(out->pipe[1], STDOUT_FILENO);
	dup2(err->pipe[1], STDERR_FILENO);
	execvp(argv[0], argv);
	error = errno;
	dprintf(STDERR_FILENO, "run: %s: %s\n", argv[0], strerror(error));
	_exit(error == ENOENT ? 127 : 126);
}

static int run_command(char **argv, struct stream out, struct stream err)
{
	int status, ignored;
	pid_t command, child;

	start_pump(&out);
	start_pump(&err);
	command = fork();
	if (command < 0)
		fail("fork");
	if (command == 0)
		exec_command(argv, &out, &err);
	close(out.pipe[1]);
	close(err.pipe[1]);

	do {
		child = wait(&status);
	} while (child != command);
	/* The pumps see the end of file only when nobody holds the pipes any more. */
	kill(-1, SIGKILL);
	while (wait(&ignored) > 0)
		;
	pthread_join(out.thread, NULL);
	pthread_join(err.thread, NULL);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(void)
{
	const char *swap = getenv("vm_swap"), *slow_swap = getenv("vm_slow_swap");
	const char *engine = getenv("vm_engine");
	const char *usr = getenv("vm_usr");
	struct stream out, err;
	char **argv, **env;
	char status[16];

	make_machine();
	/* Where the host's architecture is another one. Its /bin and /lib are links to there. */
	if (usr && mount(usr, "/usr", NULL, MS_BIND, NULL))
		fail(usr);
	mount_share();
	status_fd = open_answer(SHARE "/status");
	out.file = open_answer(SHARE "/out");
	err.file = open_answer(SHARE "/err");
	check_clock();
	argv = read_strings(SHARE "/argv");
	env = read_strings(SHARE "/env");
	mount_scratch(read_strings(SHARE "/paths"));
	umount2(SHARE, MNT_DETACH);
	/* The kernel fills the first one first. */
	if (slow_swap)
		slow_swap_on(slow_swap);
	if (swap)
		fast_swap_on(swap);
	if (engine)
		choose_engine(engine);

	clearenv();
	for (; *env; env++)
		putenv(*env);
	if (chdir(getenv("PWD")))
		fail(getenv("PWD"));
	snprintf(status, sizeof(status), "%d", run_command(argv, out, err));
	finish("exit", status);
}
