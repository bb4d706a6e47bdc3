// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of mm/anon_move/range.c: every page arrives, and nothing is tried for ever.
 */

#include "kselftest_harness.h"
#include "page_tables.h"
#include "../../../../mm/anon_move/range.c"

/* The destination is in the lower half of the model, the source in the upper one. */
#define SRC		(MODEL_PMDS / 2 * PMD_SIZE)
#define PAGES		(SRC / PAGE_SIZE)
#define HOLDS		100000

struct task_struct this_task;
unsigned long jiffies;
const void *faults_at;
int user_access;

/* What the engine's other files are made to do, and what they saw. */
static struct {
	unsigned int weather;		/* how many in a hundred times something comes between */
	enum anon_move_stop always;	/* what every batch meets */
	unsigned int error_after;	/* holds after which the VMAs are gone; 0: never */
	unsigned int ticks;		/* that a batch takes */
	struct folio folio;
	unsigned int batches, waits, holds, held;
} world;

static bool bad_weather(void)
{
	return random() % 100 < world.weather;
}

int anon_move_lock_vmas(struct anon_move *am)
{
	assert(world.holds < HOLDS);
	if (world.error_after && world.holds == world.error_after)
		return -EINVAL;
	world.holds++;
	world.held++;
	return 0;
}

void anon_move_unlock_vmas(struct anon_move *am)
{
	world.held--;
}

bool anon_move_writer_waits(struct anon_move *am)
{
	assert(world.held == 1);
	return bad_weather();
}

/* What may come in a batch's way and go again. */
static enum anon_move_stop some_stop(struct anon_move *am)
{
	static const enum anon_move_stop stops[] = {
		ANON_MOVE_RACED, ANON_MOVE_LOCKED, ANON_MOVE_MIGRATING, ANON_MOVE_LARGE,
		ANON_MOVE_CACHED,
	};
	enum anon_move_stop stop = world.always;

	if (!stop && bad_weather())
		stop = stops[random() % (ARRAY_SIZE(stops))];
	if (stop == ANON_MOVE_LOCKED || stop == ANON_MOVE_LARGE || stop == ANON_MOVE_CACHED) {
		assert(!am->folio);
		world.folio.refs++;
		am->folio = &world.folio;
	}
	return stop;
}

static enum anon_move_stop take_one(struct anon_move *am, pte_t *dst, pte_t *src)
{
	enum anon_move_stop stop = some_stop(am);

	if (stop)
		return stop;
	if (dst->page)
		return ANON_MOVE_EXISTS;
	if (!src->page && !anon_move_holes_allowed(am))
		return ANON_MOVE_HOLE;
	*dst = *src;
	*src = (pte_t){};
	return ANON_MOVE_DONE;
}

/* Every page may move; what batches meet comes when there is a table for them. */
enum anon_move_stop anon_move_check_pte(struct anon_move *am, const struct anon_move_batch *b)
{
	const pte_t *src = b->src_pmd->table + (b->src & ~PMD_MASK) / PAGE_SIZE;

	assert(world.held == 1);
	return src->page || anon_move_holes_allowed(am) ? ANON_MOVE_DONE : ANON_MOVE_HOLE;
}

enum anon_move_stop anon_move_check_pmd(struct anon_move *am, const struct anon_move_batch *b)
{
	assert(world.held == 1);
	return ANON_MOVE_DONE;
}

enum anon_move_stop anon_move_ptes(struct anon_move *am, struct anon_move_batch *b)
{
	unsigned long nr = b->size / PAGE_SIZE;
	pte_t *dst, *src;

	assert(world.held == 1);
	/* It is a huge page again, which was none when the walk looked. */
	if (!b->dst_pmd->table)
		return ANON_MOVE_RACED;
	dst = b->dst_pmd->table + (b->dst & ~PMD_MASK) / PAGE_SIZE;
	src = b->src_pmd->table + (b->src & ~PMD_MASK) / PAGE_SIZE;
	anon_move_batch_begin(am, b);
	for (; b->nr < nr && !b->stop; b->nr += !b->stop)
		b->stop = take_one(am, dst + b->nr, src + b->nr);
	anon_move_batch_end(am, b);
	world.batches++;
	jiffies += world.ticks;
	return b->stop;
}

/* Split always, so that a huge page is as good as the pages of its range. */
enum anon_move_stop anon_move_pmd(struct anon_move *am, struct anon_move_batch *b)
{
	unsigned long page = b->src / PMD_SIZE * MAX_PTRS_PER_PTE;
	unsigned int i;

	b->src_pmd->huge = false;
	pte_alloc(am->req->mm, b->src_pmd);
	for (i = 0; i < MAX_PTRS_PER_PTE; i++)
		b->src_pmd->table[i].page = page + i;
	return ANON_MOVE_DONE;
}

static enum anon_move_stop drop_folio(struct anon_move *am, enum anon_move_stop stop)
{
	assert(am->folio);
	folio_put(am->folio);
	am->folio = NULL;
	return stop;
}

enum anon_move_stop anon_move_split(struct anon_move *am)
{
	bool fails = world.always || bad_weather();

	return drop_folio(am, fails ? ANON_MOVE_SPLIT_FAILED : ANON_MOVE_DONE);
}

enum anon_move_stop anon_move_drop_cached(struct anon_move *am)
{
	return world.always ? ANON_MOVE_CACHED : drop_folio(am, ANON_MOVE_DONE);
}

enum anon_move_stop anon_move_leave_large(struct anon_move *am, enum anon_move_stop stop)
{
	assert(am->req->flags & ANON_MOVE_NO_WAIT);
	return drop_folio(am, stop);
}

/* Only for who moves a mapping. */
enum anon_move_stop anon_move_apart(struct anon_move *am)
{
	abort();
}

void anon_move_wait(struct anon_move *am, enum anon_move_stop stop)
{
	assert(!world.held);
	world.waits++;
	if (am->folio)
		drop_folio(am, stop);
}

FIXTURE(range)
{
	struct model_mm model;
	struct anon_move_request req;
};

FIXTURE_SETUP(range)
{
	self->req.mm = &self->model.mm;
	self->req.src = SRC;
	self->req.len = PMD_SIZE;
}

static void empty(struct model_mm *model)
{
	unsigned int i;

	for (i = 0; i < MODEL_PMDS; i++)
		free(model->pmd[i].table);
	memset(model, 0, sizeof(*model));
}

FIXTURE_TEARDOWN(range)
{
	EXPECT_EQ(0, world.folio.refs);
	EXPECT_EQ(0, world.held);
	empty(&self->model);
}

/* Page @i, counted from address 0, or 0 where none is; a page's number is where it was made. */
static unsigned long page_at(struct model_mm *model, unsigned int i)
{
	pmd_t pmd = model->pmd[i / MAX_PTRS_PER_PTE];

	if (pmd.huge)
		return i;
	return pmd.table ? pmd.table[i % MAX_PTRS_PER_PTE].page : 0;
}

static void make_page(struct model_mm *model, unsigned int i)
{
	pmd_t *pmd = pmd_alloc(&model->mm, NULL, i * PAGE_SIZE);

	pte_alloc(&model->mm, pmd);
	pmd->table[i % MAX_PTRS_PER_PTE].page = i;
}

static void make_source(struct model_mm *model, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		make_page(model, PAGES + i);
}

TEST_F(range, every_offset_and_length)
{
	const unsigned int n = MAX_PTRS_PER_PTE;
	unsigned int dst, src, nr, i;
	bool arrived;

	for (dst = 0; dst < n; dst++)
		for (src = 0; src < n; src++)
			for (nr = 1; nr <= 3 * n; nr++) {
				make_source(&self->model, 4 * n);
				self->req.dst = dst * PAGE_SIZE;
				self->req.src = SRC + src * PAGE_SIZE;
				self->req.len = nr * PAGE_SIZE;
				ASSERT_EQ(self->req.len, anon_move_pages(&self->req));
				for (i = 0; i < 5 * n; i++) {
					arrived = i >= dst && i < dst + nr;
					ASSERT_EQ(arrived ? PAGES + src + i - dst : 0,
						  page_at(&self->model, i));
				}
				empty(&self->model);
			}
}

static void random_pmd(struct model_mm *model, unsigned int i, bool dense)
{
	unsigned int k, what = random() % 4;

	if (what == 0)
		return;
	pmd_alloc(&model->mm, NULL, i * PMD_SIZE);
	if (what == 1 && (dense || random() % 4 == 0))
		model->pmd[i].huge = true;
	for (k = 0; what > 1 && k < MAX_PTRS_PER_PTE; k++)
		if (random() % 16 < (dense ? 14 : 1))
			make_page(model, i * MAX_PTRS_PER_PTE + k);
}

/* Page by page, what a move comes to: the error that ends it before page @i, or 0. */
static int expected_error(struct model_mm *model, const struct anon_move_request *req,
			  unsigned int i)
{
	unsigned int dst = req->dst / PAGE_SIZE + i, src = req->src / PAGE_SIZE + i;
	pmd_t *src_pmd = find_pmd(find_pud(&model->mm, src * PAGE_SIZE), src * PAGE_SIZE);
	bool dst_huge = model->pmd[dst / MAX_PTRS_PER_PTE].huge;
	bool holes = req->flags & ANON_MOVE_ALLOW_HOLES;

	/* Where the source has no page table, an occupied entry is looked for last. */
	if (src_pmd && dst_huge)
		return -EEXIST;
	if ((!src_pmd || pmd_none(*src_pmd)) && !holes)
		return -ENOENT;
	if (dst_huge || page_at(model, dst))
		return -EEXIST;
	return page_at(model, src) || holes ? 0 : -ENOENT;
}

static void expect_like_page_by_page(struct __test_metadata *_metadata, struct model_mm *model,
				     struct anon_move_request *req)
{
	unsigned int dst = req->dst / PAGE_SIZE, src = req->src / PAGE_SIZE, i;
	unsigned long pages[2 * PAGES], nr = req->len / PAGE_SIZE;
	bool had_table[MODEL_PMDS];
	int error = 0;

	for (i = 0; i < 2 * PAGES; i++)
		pages[i] = page_at(model, i);
	for (i = 0; i < MODEL_PMDS; i++)
		had_table[i] = model->pmd[i].table;
	for (i = 0; i < nr && !error; i += !error)
		error = expected_error(model, req, i);
	nr = i;

	ASSERT_EQ(nr ? (ssize_t)(nr * PAGE_SIZE) : error, anon_move_pages(req));
	for (i = 0; i < nr; i++) {
		pages[dst + i] = pages[src + i];
		pages[src + i] = 0;
	}
	for (i = 0; i < 2 * PAGES; i++)
		ASSERT_EQ(pages[i], page_at(model, i));
	/* O4 and O18: no table was made for holes alone, nor for what did not move. */
	for (i = 0; i < PAGES; i++)
		had_table[i / MAX_PTRS_PER_PTE] |= pages[i];
	for (i = 0; i < MODEL_PMDS / 2; i++)
		ASSERT_TRUE(had_table[i] || !model->pmd[i].table);
}

static void random_move(struct model_mm *model, struct anon_move_request *req)
{
	unsigned int dst, src, i;

	for (i = 0; i < MODEL_PMDS; i++)
		random_pmd(model, i, i >= MODEL_PMDS / 2);
	dst = random() % PAGES;
	src = random() % PAGES;
	req->flags = random() % 4 ? ANON_MOVE_ALLOW_HOLES : 0;
	req->dst = dst * PAGE_SIZE;
	req->src = SRC + src * PAGE_SIZE;
	req->len = (1 + random() % (PAGES - (dst > src ? dst : src))) * PAGE_SIZE;
}

TEST_F(range, O4_like_page_by_page_in_any_weather)
{
	unsigned int i;

	srandom(1);
	for (i = 0; i < 20000; i++) {
		/* Time stands still, or in the worst of it calls would give up. */
		world.weather = (i % 3) * 40;
		world.holds = 0;
		random_move(&self->model, &self->req);
		expect_like_page_by_page(_metadata, &self->model, &self->req);
		empty(&self->model);
	}
	EXPECT_GT(world.waits, 0);
}

FIXTURE(stop)
{
	struct model_mm model;
	struct anon_move_request req;
};

FIXTURE_VARIANT(stop)
{
	enum anon_move_stop stop;
	unsigned int batches, waits;
	int error;
	unsigned int ticks;
};

/* Half a second, in which one batch of a tick fits more than there are ticks between two. */
#define TRIED		(HZ / 2 + 1)
/* Where a batch takes longer than that, as in a guest that is not given the CPU. */
#define TRIED_AT_LEAST	16

/* Looked at again without the locks being dropped, then given up. */
FIXTURE_VARIANT_ADD(stop, raced) { ANON_MOVE_RACED, TRIED, 0, EAGAIN };
FIXTURE_VARIANT_ADD(stop, locked) { ANON_MOVE_LOCKED, TRIED, TRIED - 1, EAGAIN };
FIXTURE_VARIANT_ADD(stop, migrating) { ANON_MOVE_MIGRATING, TRIED, TRIED - 1, EAGAIN };
FIXTURE_VARIANT_ADD(stop, large) { ANON_MOVE_LARGE, TRIED, TRIED - 1, EBUSY };
FIXTURE_VARIANT_ADD(stop, cached) { ANON_MOVE_CACHED, TRIED, TRIED - 1, EBUSY };
FIXTURE_VARIANT_ADD(stop, slow_raced) { ANON_MOVE_RACED, TRIED_AT_LEAST, 0, EAGAIN, HZ };
FIXTURE_VARIANT_ADD(stop, slow_large) {
	ANON_MOVE_LARGE, TRIED_AT_LEAST, TRIED_AT_LEAST - 1, EBUSY, HZ };
/* These stay. */
FIXTURE_VARIANT_ADD(stop, shared) { ANON_MOVE_SHARED, 1, 0, EBUSY };
FIXTURE_VARIANT_ADD(stop, pinned) { ANON_MOVE_PINNED, 1, 0, EBUSY };
FIXTURE_VARIANT_ADD(stop, marker) { ANON_MOVE_MARKER, 1, 0, EFAULT };

FIXTURE_SETUP(stop)
{
	self->req.mm = &self->model.mm;
	self->req.src = SRC;
	self->req.len = PMD_SIZE;
	make_source(&self->model, MAX_PTRS_PER_PTE);
	world.always = variant->stop;
	world.ticks = variant->ticks ? variant->ticks : 1;
	jiffies = -(HZ / 4); /* it will wrap */
}

FIXTURE_TEARDOWN(stop)
{
	empty(&self->model);
}

TEST_F(stop, O2_is_tried_for_so_long)
{
	EXPECT_EQ(-variant->error, anon_move_pages(&self->req));
	EXPECT_EQ(variant->batches, world.batches);
	EXPECT_EQ(variant->waits, world.waits);
	EXPECT_EQ(0, world.folio.refs);
}

/* Only what is looked at again without a wait is tried more than once. */
TEST_F(stop, is_not_waited_for_where_told_so)
{
	self->req.flags = ANON_MOVE_NO_WAIT;
	EXPECT_EQ(-variant->error, anon_move_pages(&self->req));
	EXPECT_EQ(variant->stop == ANON_MOVE_RACED ? TRIED_AT_LEAST : 1, world.batches);
	EXPECT_EQ(0, world.waits);
	EXPECT_EQ(0, world.folio.refs);
}

TEST_F(range, progress_comes_before_an_error)
{
	make_source(&self->model, MAX_PTRS_PER_PTE - 1);
	EXPECT_EQ(PMD_SIZE - PAGE_SIZE, anon_move_pages(&self->req));
	EXPECT_EQ(-EEXIST, anon_move_pages(&self->req));
}

/* None when the walk sees it, but not when whoever holds its lock has let go. */
TEST_F(range, O15_a_pmd_being_split_is_no_hole)
{
	unsigned int holes, i;

	for (holes = 0; holes < 2; holes++) {
		self->req.flags = holes ? ANON_MOVE_ALLOW_HOLES : 0;
		self->model.split = pmd_alloc(&self->model.mm, NULL, SRC);
		ASSERT_EQ(PMD_SIZE, anon_move_pages(&self->req));
		for (i = 0; i < MAX_PTRS_PER_PTE; i++) {
			EXPECT_EQ(PAGES + i, page_at(&self->model, i));
			EXPECT_EQ(0, page_at(&self->model, PAGES + i));
		}
		empty(&self->model);
	}
}

/* The same where the source has nothing, but the destination has. */
TEST_F(range, O15_a_pmd_being_split_is_occupied)
{
	unsigned int table;

	self->req.flags = ANON_MOVE_ALLOW_HOLES;
	for (table = 0; table < 2; table++) {
		if (table)
			make_page(&self->model, PAGES + MAX_PTRS_PER_PTE - 1);
		self->model.split = pmd_alloc(&self->model.mm, NULL, 0);
		EXPECT_EQ(-EEXIST, anon_move_pages(&self->req));
		empty(&self->model);
	}
}

TEST_F(range, no_memory_for_a_table)
{
	make_source(&self->model, 2 * MAX_PTRS_PER_PTE);
	self->req.len = 2 * PMD_SIZE;
	self->model.no_memory = true;
	EXPECT_EQ(-ENOMEM, anon_move_pages(&self->req));
	self->model.pud[0].table = self->model.pmd;
	EXPECT_EQ(-ENOMEM, anon_move_pages(&self->req));
}

TEST_F(range, vmas_gone)
{
	make_source(&self->model, MAX_PTRS_PER_PTE);
	world.always = ANON_MOVE_LOCKED;
	world.error_after = 1;
	EXPECT_EQ(-EINVAL, anon_move_pages(&self->req));
	EXPECT_EQ(1, world.holds);
}

TEST_F(range, a_killed_caller_goes_on_no_longer)
{
	make_source(&self->model, 2 * MAX_PTRS_PER_PTE);
	self->req.len = 2 * PMD_SIZE;
	this_task.killed = true;
	EXPECT_EQ(PMD_SIZE, anon_move_pages(&self->req));
	world.always = ANON_MOVE_LOCKED;
	self->req.dst += PMD_SIZE;
	self->req.src += PMD_SIZE;
	self->req.len = PMD_SIZE;
	EXPECT_EQ(-EINTR, anon_move_pages(&self->req));
}

TEST_HARNESS_MAIN
