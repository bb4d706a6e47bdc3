// SPDX-License-Identifier: GPL-2.0
/*
 * Can the model fail? Plants what a broken mover would leave behind, and expects
 * to be told.
 */
#include <string.h>
#include <sys/mman.h>

#include "stress.h"

/* Nobody is in the way of these pages; half of them have moved. */
static int calm_round(struct arena *a)
{
	a->plan = (struct plan){
		.number = 1,
		.kind = STRESS_SMALL,
		.base = KIND_SMALL,
		.registered = true,
		.area = 3 * PMD_PAGES,
		.src = 16,
		.dst = 17,
		.len = 32,
		.spans = { { .first = 16, .count = 32 } },
		.nr_spans = 1,
	};
	if (arena_open(a))
		return -1;
	return move_pages_of(a->space.uffd, slot(a, AREA_DST, 16), slot(a, AREA_SRC, 16),
			     16 * PAGE, 0).err;
}

static void plant_nothing(struct arena *a)
{
}

static void plant_lost(struct arena *a)
{
	madvise(slot(a, AREA_DST, 20), PAGE, MADV_DONTNEED);
}

static void plant_double(struct arena *a)
{
	uffd_unregister(a->space.uffd, a->space.src, a->plan.area * PAGE);
	memcpy(slot(a, AREA_SRC, 20), slot(a, AREA_DST, 20), PAGE);
}

static void plant_wrong_byte(struct arena *a)
{
	slot(a, AREA_DST, 20)[1234] ^= 1;
}

static void plant_exchange(struct arena *a)
{
	fill_pages(slot(a, AREA_DST, 20), 1, page_id(a, 21, AREA_SRC));
	fill_pages(slot(a, AREA_DST, 21), 1, page_id(a, 20, AREA_SRC));
}

static void plant_stale(struct arena *a)
{
	fill_pages(slot(a, AREA_DST, 20), 1, page_id(a, 20, AREA_SRC) - (1 << 20));
}

static void plant_zeroes(struct arena *a)
{
	uffd_unregister(a->space.uffd, a->space.src, a->plan.area * PAGE);
	touch(slot(a, AREA_SRC, 20));
}

static void plant_outside(struct arena *a)
{
	uffd_unregister(a->space.uffd, a->space.dst, a->plan.area * PAGE);
	fill_pages(slot(a, AREA_DST, 60), 1, 1);
}

static void plant_lost_write(struct arena *a)
{
	a->writes[20]++;
}

static void plant_shared(struct arena *a)
{
	a->plan.kind = STRESS_FORK_SHARED;
}

static void plant_hidden(struct arena *a)
{
	a->plan.kind = STRESS_WRITE_TRACKED;
	uffd_register(a->space.uffd, a->space.dst, a->plan.area * PAGE,
		      UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP);
	uffd_writeprotect(a->space.uffd, slot(a, AREA_DST, 20), PAGE);
}

static const struct {
	const char *what;
	void (*plant)(struct arena *a);
	const char *told;
} plants[] = {
	{ "nothing", plant_nothing, NULL },
	{ "a lost page", plant_lost, "its page is lost" },
	{ "a page at both addresses", plant_double, "its page is at 2 places" },
	{ "a wrong byte", plant_wrong_byte, "something else" },
	{ "two pages exchanged", plant_exchange, "something else" },
	{ "a page of the round before", plant_stale, "something else" },
	{ "a page of zeroes", plant_zeroes, "1 pages of zeroes" },
	{ "a page outside of the range", plant_outside, "has appeared" },
	{ "a shared page that moved", plant_shared, "its page is shared" },
	{ "a lost write", plant_lost_write, "0 writes arrived, not 1" },
	{ "a page that hides", plant_hidden, "column 20: its page has arrived as not written" },
};

/**
 * self_check() - plant one thing after the other
 * @a: an arena that nobody uses
 */
void self_check(struct arena *a)
{
	size_t i;

	tap_begin(ARRAY_SIZE(plants));
	for (i = 0; i < ARRAY_SIZE(plants); i++) {
		bool made = !calm_round(a);

		plants[i].plant(a);
		check_arena(a, true);
		tap_result(made && (plants[i].told ? !!strstr(a->trouble, plants[i].told) :
				    !*a->trouble),
			   "planted %s, told: %s", plants[i].what, a->trouble);
		arena_close(a);
	}
}
