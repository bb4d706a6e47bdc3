/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace events of the page mover: a call, a batch, a mapping to relocate. For mm/anon_move/ alone.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM anon_move

#if !defined(_TRACE_ANON_MOVE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_ANON_MOVE_H

#include <linux/tracepoint.h>

TRACE_EVENT(anon_move_call,
	    TP_PROTO(const struct anon_move *am, enum anon_move_stop stop),
	    TP_ARGS(am, stop),
	    TP_STRUCT__entry(__field(unsigned long, dst)
			     __field(unsigned long, src)
			     __field(unsigned long, len)
			     __field(unsigned long, flags)
			     __field(unsigned long, done)
			     __field(int, error)
			     __string(stop, anon_move_stop_info[stop].name)),
	    TP_fast_assign(__entry->dst = am->req->dst;
			   __entry->src = am->req->src;
			   __entry->len = am->req->len;
			   __entry->flags = am->req->flags;
			   __entry->done = am->done;
			   __entry->error = anon_move_errno(am, stop);
			   __assign_str(stop);),
	    TP_printk("dst=%#lx src=%#lx len=%lu flags=%#lx done=%lu error=%d stop=%s",
		      __entry->dst, __entry->src, __entry->len, __entry->flags,
		      __entry->done, __entry->error, __get_str(stop))
);

TRACE_EVENT(anon_move_batch,
	    TP_PROTO(const struct anon_move_batch *b),
	    TP_ARGS(b),
	    TP_STRUCT__entry(__field(unsigned long, dst)
			     __field(unsigned long, src)
			     __field(unsigned int, pages)
			     __field(bool, flush)
			     __string(stop, anon_move_stop_info[b->stop].name)),
	    TP_fast_assign(__entry->dst = b->dst;
			   __entry->src = b->src;
			   __entry->pages = b->nr;
			   __entry->flush = b->flush;
			   __assign_str(stop);),
	    TP_printk("dst=%#lx src=%#lx pages=%u flush=%d stop=%s",
		      __entry->dst, __entry->src, __entry->pages, __entry->flush,
		      __get_str(stop))
);

TRACE_EVENT(anon_move_relocate,
	    TP_PROTO(const struct anon_move *am, enum anon_move_stop stop),
	    TP_ARGS(am, stop),
	    TP_STRUCT__entry(__field(unsigned long, dst)
			     __field(unsigned long, src)
			     __field(unsigned long, len)
			     __field(unsigned long, obstacle)
			     __string(why, anon_move_stop_info[stop].name)),
	    TP_fast_assign(__entry->dst = am->req->dst;
			   __entry->src = am->req->src;
			   __entry->len = am->req->len;
			   __entry->obstacle = stop ? am->req->src + am->done : 0;
			   __assign_str(why);),
	    TP_printk("dst=%#lx src=%#lx len=%lu obstacle=%#lx why=%s",
		      __entry->dst, __entry->src, __entry->len, __entry->obstacle,
		      __get_str(why))
);

#endif /* _TRACE_ANON_MOVE_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
