// SPDX-License-Identifier: GPL-2.0
/* Prints at how many kHz the time stamp counter of this machine runs. For tools/vm/run. */

#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

#define LONG_ENOUGH_NS 50000000

struct reading {
	unsigned long long ns, ticks, took;
};

static struct reading read_once(void)
{
	struct reading reading;
	struct timespec ts;

	reading.ticks = __rdtsc();
	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	reading.took = __rdtsc() - reading.ticks;
	reading.ns = ts.tv_sec * 1000000000ull + ts.tv_nsec;
	return reading;
}

/* Somebody else may have had the CPU between both clocks, but hardly each time. */
static struct reading read_both(void)
{
	struct reading best = read_once();

	for (int i = 0; i < 100; i++) {
		struct reading reading = read_once();

		if (reading.took < best.took)
			best = reading;
	}
	return best;
}

int main(void)
{
	const struct timespec wait = { .tv_nsec = LONG_ENOUGH_NS };
	struct reading first = read_both(), last;

	nanosleep(&wait, NULL);
	last = read_both();
	printf("%llu\n", (last.ticks - first.ticks) * 1000000 / (last.ns - first.ns));
	return 0;
}
