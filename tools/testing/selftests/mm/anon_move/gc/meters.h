/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What it costs.
 */
#ifndef GC_METERS_H
#define GC_METERS_H

#include "gc.h"

/* What CPU time of the compaction goes into. */
enum work { WORK_PREPARE, WORK_PUBLISH, WORK_FAULTS, WORK_DROP, WORKS };
extern const char *const work_names[WORKS];

/* What the kernel said to the backends, and what they did about it. */
enum event {
	EV_EEXIST, EV_ENOENT, EV_EAGAIN, EV_PARTIAL, EV_EBUSY, EV_COPIED_BYTES, EV_CALLS,
	EV_BY_RING, EV_POOL_EMPTY, EV_FAULTS, EV_LATE, EV_BATCHES, EV_FORKS, EV_PINS,
	EV_PAGEOUTS, EVENTS
};

extern uint64_t events[EVENTS];

enum meter {
	METER_PAUSE,
	METER_FLIP,
	METER_MARK,
	METER_PLAN,
	METER_COMPACT,
	METER_WORK,
	METER_STALL_50,
	METER_STALL_99,
	METER_STALL_999,
	METER_STALL_MAX,
	METER_STALLS,
	METER_PAGES,
	METER_FAULTS,
	METER_ALLOCATED,
	METER_TABLES_NEW,
	METER_COPIED,
	METER_SWAPPED_IN,
	METER_FLUSHES,
	METER_TABLES,
	METER_VMAS,
	METER_VMAS_MORE,
	METER_VMAS_END,
	METER_RSS,
	METER_CYCLES,
	METERS
};

#define STALL_POINTS	14

/**
 * struct result - of one run
 * @row: backend, and engine if there are several
 * @delivery: how faults came
 * @wall: what kept it from going on, or ""
 * @failed: what was wrong, or ""
 * @status: FAILED, CANNOT or 0
 * @meters: the figures; negative where they can't be had
 * @events: what the kernel said
 * @stalls: stall at STALL_POINTS points of its distribution
 * @work: the compaction's CPU time in nanoseconds, by what it went into
 */
struct result {
	char row[32];
	char delivery[16];
	char wall[160];
	char failed[200];
	int status;
	double meters[METERS];
	uint64_t events[EVENTS];
	double stalls[STALL_POINTS];
	double work[WORKS];
};

/**
 * struct meter_kind - what a meter is called and means
 * @name: in JSON and CSV
 * @unit: likewise
 * @highest: of all cycles, rather than their mean
 */
struct meter_kind {
	const char *name;
	const char *unit;
	bool highest;
};

extern struct result *result;
extern const struct meter_kind meter_kinds[METERS];
extern const double stall_points[STALL_POINTS];

uint64_t clock_ns(void);
uint64_t thread_ns(void);
void meters_open(void);
void meters_begin(unsigned int cycle);
void meters_sample(void);
void meters_end(void);
void meters_work(enum work kind, uint64_t ns);
void meters_time(enum meter which, uint64_t ns);
void meters_finish(void);

#endif /* GC_METERS_H */
