// SPDX-License-Identifier: GPL-2.0
/*
 * The pool: pages taken from the heap at the flip that nobody needs any more, to
 * be filled again. First in, first out, so that pages which were side by side
 * come out side by side, and can be moved with one call.
 */
#include <pthread.h>

#include "gc.h"
#include "heap.h"
#include "pool.h"

static struct {
	pthread_mutex_t lock;
	uint32_t *pages;
	size_t in;
	size_t out;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER };

/**
 * pool_tables() - make the pool
 */
void pool_tables(void)
{
	pool.pages = side_table(heap.pages * sizeof(*pool.pages));
}

/**
 * pool_empty() - begin a cycle; all of the last one are gone
 */
void pool_empty(void)
{
	pool.in = 0;
	pool.out = 0;
}

/**
 * pool_put() - a page has been used up
 * @page: it
 */
void pool_put(size_t page)
{
	pthread_mutex_lock(&pool.lock);
	pool.pages[pool.in++] = page;
	pthread_mutex_unlock(&pool.lock);
}

/**
 * pool_take() - take a page to fill
 *
 * Return: the page, or NO_PAGE.
 */
size_t pool_take(void)
{
	size_t page = NO_PAGE;

	pthread_mutex_lock(&pool.lock);
	if (pool.out < pool.in)
		page = pool.pages[pool.out++];
	pthread_mutex_unlock(&pool.lock);
	return page;
}
