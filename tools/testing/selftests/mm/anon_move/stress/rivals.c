// SPDX-License-Identifier: GPL-2.0
/*
 * Who disturbs: each rival is a thread that does one thing to the ranges, over
 * and over, while they move.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <liburing.h>
#include <linux/mman.h>

#include "stress.h"

/* A part of the range at one of its ends. */
struct piece {
	enum area_id area;
	char *addr;
	size_t pages;
};

static struct piece draw_piece(struct rival *r, size_t most)
{
	const struct plan *p = &r->arena->plan;
	size_t column = draw_column(p, &r->random), left = p->src + p->len - column;
	struct piece piece;

	piece.area = draw_below(&r->random, 2) ? AREA_SRC : AREA_DST;
	piece.addr = slot(r->arena, piece.area, column);
	piece.pages = 1 + draw_below(&r->random, most);
	if (piece.pages > left)
		piece.pages = left;
	return piece;
}

static bool advise(struct rival *r, int advice, size_t most)
{
	struct piece piece = draw_piece(r, most);

	return !madvise(piece.addr, piece.pages * PAGE, advice);
}

/* The child sees one moment of the race: each page is at one of its places then too. */
static bool act_fork(struct rival *r)
{
	pid_t pid = fork();
	int status = -1;

	if (!pid) {
		check_arena(r->arena, false);
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
	if (status)
		trouble(r->arena, "a child did not live to see its pages: status %#x", status);
	return !status;
}

static bool act_dontneed(struct rival *r)
{
	return advise(r, MADV_DONTNEED, PMD_PAGES);
}

static bool act_pageout(struct rival *r)
{
	return advise(r, MADV_PAGEOUT, 64);
}

static bool act_collapse(struct rival *r)
{
	struct piece piece = draw_piece(r, 1);

	return !madvise((void *)((uintptr_t)piece.addr & ~(PMD - 1)), PMD, MADV_COLLAPSE);
}

static bool act_mprotect(struct rival *r)
{
	struct piece piece = draw_piece(r, PMD_PAGES);
	bool done = !mprotect(piece.addr, piece.pages * PAGE, PROT_READ);

	/* Fails where there is nothing, if somebody else has unmapped it. */
	return !mprotect(piece.addr, piece.pages * PAGE, PROT_READ | PROT_WRITE) && done;
}

static bool act_munmap(struct rival *r)
{
	struct piece piece = draw_piece(r, 16);
	bool done = !munmap(piece.addr, piece.pages * PAGE);

	if (draw_below(&r->random, 8))
		map_at(piece.addr, piece.pages * PAGE);
	return done;
}

/*
 * Where mremap() takes several VMAs at once, as from Linux 6.17 on, it stops at the
 * first that it can't move, and those before it have moved: back with them.
 */
static void bring_back(struct piece piece, char *refuge)
{
	unsigned char resident;
	size_t at;

	for (at = 0; at < piece.pages * PAGE; at += PAGE)
		if (mincore(piece.addr + at, PAGE, &resident) && errno == ENOMEM)
			mremap(refuge + at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			       piece.addr + at);
}

/* What is left behind may only be filled from outside where nobody moves pages back to. */
static bool act_mremap(struct rival *r)
{
	struct piece piece = draw_piece(r, 64);
	size_t len = piece.pages * PAGE;
	char *refuge = r->arena->refuge;
	/* Relocated, pages know nothing any more of where they were. */
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED |
		    (draw_below(&r->random, 2) ? MREMAP_RELOCATE_ANON : 0);
	int leave = piece.area == AREA_SRC && !r->arena->plan.registered ? MREMAP_DONTUNMAP : 0;

	if (mremap(piece.addr, len, len, flags | leave, refuge) != refuge) {
		bring_back(piece, refuge);
		return false;
	}
	if (mremap(refuge, len, len, flags, piece.addr) != piece.addr)
		trouble(r->arena, "%zu pages can't be mremap()ed back", piece.pages);
	return true;
}

static bool act_migrate(struct rival *r)
{
	return migrate_some(r->arena, &r->random);
}

static bool act_compact(struct rival *r)
{
	return !write_text("/proc/sys/vm/compact_memory", "1");
}

/* A page that is pinned does not move, so it is where it was and it is the same one. */
static void check_pinned(struct rival *r, const struct piece *piece, const __u64 *before)
{
	__u64 after[8];
	size_t i;

	if (left_behind(&r->arena->plan) & (DOES_DESTROY | DOES_UNREGISTER) ||
	    look(piece->addr, piece->pages, after))
		return;
	i = first_unlike(before, after, piece->pages, PM_PRESENT | PM_PFN);
	if (i < piece->pages)
		trouble(r->arena, "%s, page %zu: changed from %#llx to %#llx while pinned",
			piece->area == AREA_SRC ? "source" : "destination", i, before[i], after[i]);
}

static bool act_pin(struct rival *r)
{
	struct piece piece = draw_piece(r, 8);
	struct iovec iov = { .iov_base = piece.addr, .iov_len = piece.pages * PAGE };
	__u64 before[8];

	if (io_uring_register_buffers(r->ring, &iov, 1))
		return false;
	if (!look(piece.addr, piece.pages, before)) {
		usleep(draw_below(&r->random, 500));
		check_pinned(r, &piece, before);
	}
	io_uring_unregister_buffers(r->ring);
	return true;
}

static bool act_write_protect(struct rival *r)
{
	struct piece piece = draw_piece(r, PMD_PAGES);
	const int uffd = r->arena->space.uffd;
	bool done = !uffd_writeprotect(uffd, piece.addr, piece.pages * PAGE);

	return !uffd_unprotect(uffd, piece.addr, piece.pages * PAGE) && done;
}

static bool act_move_src(struct rival *r)
{
	move_there(r->arena, AREA_OTHER, AREA_SRC, &r->random);
	if (r->arena->plan.registered)
		move_there(r->arena, AREA_SRC, AREA_OTHER, &r->random);
	return true;
}

static bool act_move_dst(struct rival *r)
{
	move_there(r->arena, AREA_DST, AREA_OTHER, &r->random);
	move_there(r->arena, AREA_OTHER, AREA_DST, &r->random);
	return true;
}

static void count_in_page(void *addr)
{
	__atomic_fetch_add((__u64 *)((char *)addr + PAGE) - 1, 1, __ATOMIC_RELAXED);
}

/* Writes through either address; where a page would just appear it only reads. */
static bool act_fault(struct rival *r)
{
	struct arena *a = r->arena;
	size_t column = draw_column(&a->plan, &r->random);
	enum area_id area = draw_below(&r->random, 2) ? AREA_SRC : AREA_DST;
	char *addr = slot(a, area, column);
	bool done;

	if (area == AREA_SRC && !a->plan.registered)
		return touch(addr);
	done = survives(count_in_page, addr);
	a->writes[column] += done;
	return done;
}

const struct rival_kind rivals[RIVALS] = {
	[RIVAL_FORK] = { "fork", MAY_BUSY, 0, act_fork },
	[RIVAL_DONTNEED] = { "dontneed", MAY_NOENT, DOES_DESTROY, act_dontneed },
	[RIVAL_PAGEOUT] = { "pageout", MAY_BUSY, 0, act_pageout },
	[RIVAL_COLLAPSE] = { "collapse", 0, DOES_REFAULT, act_collapse },
	[RIVAL_MPROTECT] = { "mprotect", MAY_INVAL, 0, act_mprotect },
	[RIVAL_MUNMAP] = {
		"munmap", MAY_INVAL | MAY_NOENT, DOES_DESTROY | DOES_UNREGISTER, act_munmap },
	[RIVAL_MREMAP] = { "mremap", MAY_INVAL | MAY_NOENT, DOES_UNREGISTER, act_mremap },
	[RIVAL_MIGRATE] = { "migrate", 0, 0, act_migrate },
	[RIVAL_COMPACT] = { "compact", 0, 0, act_compact },
	[RIVAL_PIN] = { "pin", MAY_BUSY, DOES_REFAULT, act_pin },
	[RIVAL_WRITE_PROTECT] = { "write-protect", 0, 0, act_write_protect },
	[RIVAL_MOVE_SRC] = { "move-src", MAY_EXIST | MAY_NOENT, 0, act_move_src },
	[RIVAL_MOVE_DST] = { "move-dst", MAY_EXIST | MAY_NOENT, 0, act_move_dst },
	[RIVAL_FAULT] = { "fault", 0, DOES_REFAULT, act_fault },
};

/**
 * left_behind() - what the rivals of a round leave behind, and who moves
 * @p: the plan
 *
 * Return: DOES_*.
 */
unsigned int left_behind(const struct plan *p)
{
	unsigned int does = p->mover == MOVER_RELOCATE ? DOES_UNREGISTER : 0;
	int i;

	for (i = 0; i < RIVALS; i++)
		if (p->rivals & BIT(i))
			does |= rivals[i].does;
	return does;
}

/**
 * rival_missing() - can the machine have such a rival?
 * @id: what it does
 *
 * Return: what is missing, or NULL.
 */
const char *rival_missing(enum rival_id id)
{
	switch (id) {
	case RIVAL_PAGEOUT:
		return swap_missing();
	case RIVAL_COLLAPSE:
		return kind_missing(KIND_THP);
	case RIVAL_MIGRATE:
		return stress_kind_missing(STRESS_MIGRATING);
	case RIVAL_PIN:
		return stress_kind_missing(STRESS_PINNED);
	case RIVAL_WRITE_PROTECT:
		return writeprotect_missing();
	default:
		return NULL;
	}
}

/**
 * find_rival() - the rival of that name
 * @name: the name
 *
 * Return: enum rival_id, or -1.
 */
int find_rival(const char *name)
{
	int i;

	for (i = 0; i < RIVALS; i++)
		if (!strcmp(rivals[i].name, name))
			return i;
	return -1;
}

static void *run_rival(void *arg)
{
	struct rival *r = arg;

	__atomic_store_n(&r->begun, true, __ATOMIC_RELEASE);
	do {
		r->hits += rivals[r->id].act(r);
		r->acts++;
	} while (!__atomic_load_n(&r->arena->stop, __ATOMIC_RELAXED));
	return NULL;
}

/* A ring costs more than most rounds, so only who pins has one. */
static struct io_uring *new_ring(enum rival_id id)
{
	struct io_uring *ring = id == RIVAL_PIN ? malloc(sizeof(*ring)) : NULL;

	if (ring && io_uring_queue_init(4, ring, 0)) {
		free(ring);
		ring = NULL;
	}
	return ring;
}

/**
 * rival_start() - start a rival, and return when it is about to act
 * @r: the rival
 * @a: what it works on
 * @id: what it does
 */
void rival_start(struct rival *r, struct arena *a, enum rival_id id)
{
	*r = (struct rival){ .arena = a, .id = id, .ring = new_ring(id) };
	r->random = a->plan.random ^ id;
	if ((id == RIVAL_PIN && !r->ring) || pthread_create(&r->thread, NULL, run_rival, r))
		ksft_exit_fail_msg("no more threads or rings\n");
	while (!__atomic_load_n(&r->begun, __ATOMIC_ACQUIRE))
		sched_yield();
}

/**
 * rival_join() - wait for a rival to end; the arena has told it to
 * @r: the rival
 */
void rival_join(struct rival *r)
{
	pthread_join(r->thread, NULL);
	if (r->ring)
		io_uring_queue_exit(r->ring);
	free(r->ring);
}
