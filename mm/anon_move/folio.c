// SPDX-License-Identifier: GPL-2.0
/*
 * References to a folio that is in the way, and how to wait for it. Touches no page table.
 */

#include "anon_move.h"

/**
 * anon_move_busy() - remember a folio that somebody else has locked
 * @am: the move; @am->folio is set for a folio to wait for
 * @folio: what could not be locked
 *
 * No reference is taken to wait for the lock of a large folio: it would make
 * whoever has it locked to split it fail (REGRESSIONS R8).
 *
 * Context: a lock that keeps the folio alive.
 * Return: %ANON_MOVE_LOCKED
 */
enum anon_move_stop anon_move_busy(struct anon_move *am, struct folio *folio)
{
	if (!folio_test_large(folio)) {
		folio_get(folio);
		am->folio = folio;
	}
	return ANON_MOVE_LOCKED;
}

/* Takes over the reference. False if there was nothing to sleep on. */
static bool wait_for(struct folio *folio, enum anon_move_stop stop)
{
	if (stop == ANON_MOVE_CACHED)
		return anon_move_reclaim(folio);
	if (stop == ANON_MOVE_WRITEBACK)
		folio_wait_writeback_killable(folio);
	else
		folio_wait_locked_killable(folio);
	folio_put(folio);
	return true;
}

/**
 * anon_move_wait() - wait for what stopped the walk
 * @am: the move; drops the reference in @am->folio, if there is one
 * @stop: %ANON_MOVE_LOCKED, %ANON_MOVE_WRITEBACK, %ANON_MOVE_SPLIT_FAILED,
 *	  %ANON_MOVE_CACHED, %ANON_MOVE_MIGRATING or %ANON_MOVE_WRITER
 *
 * Context: no locks: whoever holds the folio may need the VMAs (O2); sleeps,
 *	    but not past a fatal signal.
 */
void anon_move_wait(struct anon_move *am, enum anon_move_stop stop)
{
	struct folio *folio = am->folio;

	am->folio = NULL;
	anon_move_before_wait(am);
	if (stop == ANON_MOVE_WRITER || (folio && wait_for(folio, stop)))
		return;
	/*
	 * To wait for a large folio takes a reference, which would keep it
	 * large (R8); for a migrating one, the VMA lock (O2).
	 */
	schedule_timeout_killable(1);
}

#include "tests/folio-kunit.h"
