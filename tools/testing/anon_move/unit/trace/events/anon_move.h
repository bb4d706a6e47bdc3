/* SPDX-License-Identifier: GPL-2.0 */
/* Nobody traces a unit test. */
#define trace_anon_move_batch(b)	((void)(b))
#define trace_anon_move_call(am, stop)	((void)(stop))
