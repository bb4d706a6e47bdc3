/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Results as tables, JSON and CSV.
 */
#ifndef GC_REPORT_H
#define GC_REPORT_H

#include <stdio.h>

#include "meters.h"

extern const char *const event_names[EVENTS];

void report_table(const struct result *results, size_t nr);
void report_json(FILE *to, const struct result *results, size_t nr);
void report_csv(FILE *to, const struct result *results, size_t nr);
void report_files(const char *directory, const struct result *results, size_t nr);

#endif /* GC_REPORT_H */
