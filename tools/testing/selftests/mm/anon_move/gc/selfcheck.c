// SPDX-License-Identifier: GPL-2.0
/*
 * Does the checker notice? Breaks a heap that has just been collected, as a broken
 * mover or collector would, and expects to be told. Mutators stand still.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "gc.h"
#include "heap.h"
#include "selfcheck.h"
#include "shadow.h"

static char saved[2 * PAGE];

/* Two live objects that are no nodes, far apart, the first one with a payload. */
static struct object *victim, *other;

static bool is_leaf(uint64_t ref)
{
	return region_of(ref)->kind == REGION_NOSCAN;
}

static struct object *find(uint32_t from, bool leaf, const void *apart)
{
	uint64_t ref;
	uint32_t id;

	for (id = from; id < nr_ids; id++) {
		ref = shadow_address(id);
		if (ref && is_leaf(ref) == leaf && ref % PAGE + sizeof(struct object) < PAGE &&
		    (!apart || page_of(ref) > page_of((uintptr_t)apart) + 8))
			return (struct object *)ref;
	}
	return NULL;
}

static char *page_start(const void *p)
{
	return (char *)((uintptr_t)p & -PAGE);
}

static void flip_byte(void)
{
	char *last = (char *)victim + victim->grains * GRAIN - 1;

	memcpy(saved, page_start(last), PAGE);
	*last ^= 0x10;
}

static void mend_byte(void)
{
	memcpy(page_start((char *)victim + victim->grains * GRAIN - 1), saved, PAGE);
}

static void lose_page(void)
{
	memcpy(saved, page_start(victim), PAGE);
	madvise(page_start(victim), PAGE, MADV_DONTNEED);
}

static void mend_page(void)
{
	memcpy(page_start(victim), saved, PAGE);
}

/* What belongs to one address is at another one, too. */
static void double_page(void)
{
	memcpy(saved, page_start(victim), PAGE);
	memcpy(page_start(victim), page_start(other), PAGE);
}

/* The bytes of the version before: a write that was lost on the way. */
static void write_is_lost(void)
{
	memcpy(saved, page_start(victim), PAGE);
	fill_object(victim, victim->version - 2);
}

static void wrong_ref(void)
{
	struct object *root = (struct object *)heap.roots[0];
	uint64_t ref = root->refs[0];

	memcpy(saved, &ref, sizeof(ref));
	root->refs[0] = root->refs[1] ? root->refs[1] : heap.roots[1];
}

static void mend_ref(void)
{
	memcpy(((struct object *)heap.roots[0])->refs, saved, sizeof(uint64_t));
}

/* A reference that was not rewritten: it points to where something else is by now. */
static void stale_ref(void)
{
	struct object *root = (struct object *)heap.roots[0];

	memcpy(saved, root->refs, sizeof(uint64_t));
	root->refs[0] += PAGE;
}

/* A second copy of an object, with somebody who refers to it. */
static void double_object(void)
{
	struct object *root = (struct object *)heap.roots[0];
	struct object *node = (struct object *)root->refs[0];
	char *copy = page_addr(heap.pages - REGION_PAGES);

	memcpy(saved, root->refs, sizeof(uint64_t));
	memcpy(copy, node, node->grains * GRAIN);
	set_bit(heap.start, grain_of((uintptr_t)copy));
	root->refs[0] = (uintptr_t)copy;
}

static void mend_double(void)
{
	size_t grain = (heap.pages - REGION_PAGES) * PAGE_GRAINS;

	heap.start[grain / WORD_BITS] = 0;
	mend_ref();
}

static void no_start(void)
{
	heap.start[grain_of((uintptr_t)victim) / WORD_BITS] ^=
		1ULL << grain_of((uintptr_t)victim) % WORD_BITS;
}

static const struct plant {
	const char *what;
	bool leaf;
	void (*plant)(void);
	void (*mend)(void);
} plants[] = {
	{ "a flipped byte", false, flip_byte, mend_byte },
	{ "a flipped byte of a leaf", true, flip_byte, mend_byte },
	{ "a lost page", false, lose_page, mend_page },
	{ "a lost page of a leaf", true, lose_page, mend_page },
	{ "a doubled page", false, double_page, mend_page },
	{ "a doubled page of a leaf", true, double_page, mend_page },
	{ "a lost write", false, write_is_lost, mend_page },
	{ "a wrong reference", false, wrong_ref, mend_ref },
	{ "a reference that was not rewritten", false, stale_ref, mend_ref },
	{ "a doubled object", false, double_object, mend_double },
	{ "an object begins where the side table has none", false, no_start, no_start },
};

#define PLANTS	(sizeof(plants) / sizeof(*plants))

static bool notices(const struct plant *p, const char **told)
{
	static char text[256];

	victim = find(NODE_IDS + 1, p->leaf, NULL);
	other = find(NODE_IDS + 1, p->leaf, victim);
	*told = "no object to break";
	if (!victim || !other)
		return false;
	p->plant();
	*told = shadow_check();
	if (*told) {
		snprintf(text, sizeof(text), "%s", *told);
		*told = text;
	}
	p->mend();
	return *told;
}

/**
 * self_check() - break the heap in each way; prints TAP
 *
 * Return: the exit status.
 */
int self_check(void)
{
	unsigned int i, bad = 0;
	const char *told;
	bool good;

	printf("TAP version 13\n1..%zu\n", 2 * PLANTS + 1);
	told = shadow_check();
	printf("%s 1 - the heap as it is%s%s\n", told ? "not ok" : "ok", told ? ": " : "",
	       told ? told : "");
	bad += !!told;
	for (i = 0; i < PLANTS; i++) {
		good = notices(&plants[i], &told);
		printf("%s %u - %s: %s\n", good ? "ok" : "not ok", 2 * i + 2, plants[i].what,
		       told ? told : "not noticed");
		bad += !good;
		told = shadow_check();
		printf("%s %u - %s, mended%s%s\n", told ? "not ok" : "ok", 2 * i + 3,
		       plants[i].what, told ? ": " : "", told ? told : "");
		bad += !!told;
	}
	return bad ? FAILED : 0;
}
