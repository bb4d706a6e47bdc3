// SPDX-License-Identifier: GPL-2.0
/* Counts the VMAs of this process and the bytes of slab caches, as the kernel tells them. */

#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "remap_bench.h"

/* A line at a time, as there are many. Without malloc(): what it maps would be counted, too. */
static FILE *open_file(const char *path)
{
	static char buffer[1 << 16];
	FILE *file = fopen(path, "re");

	if (!file || setvbuf(file, buffer, _IOFBF, sizeof(buffer)))
		err(CANNOT, "%s", path);
	return file;
}

/**
 * count_vmas() - VMAs of which a part lies in a range
 * @start: first byte; NULL for all VMAs
 * @len: bytes, if not for all
 *
 * Return: their number.
 */
size_t count_vmas(const char *start, size_t len)
{
	const unsigned long from = (uintptr_t)start, to = from + len;
	FILE *maps = open_file("/proc/self/maps");
	unsigned long first, end;
	char line[512];
	size_t nr = 0;

	while (fgets(line, sizeof(line), maps))
		nr += !start || (sscanf(line, "%lx-%lx", &first, &end) == 2 &&
				 first < to && end > from);
	fclose(maps);
	return nr;
}

/**
 * slab_bytes() - what the objects of a slab cache take
 * @cache: its name
 *
 * Return: bytes, of all processes.
 */
unsigned long long slab_bytes(const char *cache)
{
	FILE *slabs = open_file("/proc/slabinfo");
	unsigned long long used, all, size, bytes = 0;
	char line[512], name[64];

	while (fgets(line, sizeof(line), slabs))
		if (sscanf(line, "%63s %llu %llu %llu", name, &used, &all, &size) == 4 &&
		    !strcmp(name, cache))
			bytes = used * size;
	fclose(slabs);
	if (!bytes)
		errx(CANNOT, "/proc/slabinfo has no '%s'", cache);
	return bytes;
}
