// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin of qemu: counts what a guest of one CPU runs in whole calls of a
 * function, instruction by instruction, and the cache lines that each call
 * touches. Arguments, all needed: entry=ADDRESS of the function, round=CALLS that
 * belong together, skip=CALLS before it begins, calls=CALLS to count, out=FILE.
 *
 * A call lasts from one entry of the function to the next. The last one of a
 * round is not counted: what the program does between rounds is in it.
 */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile_plugin.h"

/* That of qemu 7.2. */
int qemu_plugin_version = 1;

#define LINE_SHIFT 6

/* What is counted under a key: an instruction's address, or the number of a cache line. */
struct counter {
	unsigned long long key;
	unsigned long long count;
	unsigned long long pending;	/* by the call that goes on */
	const char *class;
};

#define SLOTS ((size_t)1 << 20)

/* Open addressing; no entry ever goes. */
struct table {
	struct counter slots[SLOTS];
	struct counter *touched[SLOTS];	/* with something pending */
	size_t nr_touched;
};

static struct table instructions, lines;
static unsigned long long entry, round_calls, skip, calls;
static unsigned long long entered, counted;
static char *out;
/* A call is being counted. */
static bool counting;

static struct counter *counter_of(struct table *table, unsigned long long key)
{
	size_t slot = key * 0x9e3779b97f4a7c15 >> 44;

	for (size_t i = 0; i < SLOTS; i++, slot++) {
		struct counter *counter = &table->slots[slot % SLOTS];

		if (counter->key == key)
			return counter;
		if (!counter->key) {
			counter->key = key;
			return counter;
		}
	}
	fputs("profile_plugin: too much is touched\n", stderr);
	abort();
}

static void touch(struct table *table, struct counter *counter, unsigned long long add)
{
	if (!counter->pending)
		table->touched[table->nr_touched++] = counter;
	counter->pending += add;
}

static void end_call(struct table *table)
{
	while (table->nr_touched) {
		struct counter *counter = table->touched[--table->nr_touched];

		counter->count += counter->pending;
		counter->pending = 0;
	}
}

static bool is_prefix(unsigned char byte)
{
	static const unsigned char prefixes[] = {
		0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3,
	};

	return memchr(prefixes, byte, sizeof(prefixes));
}

/* What orders and does nothing else: it adds 0 to the stack. */
static bool adds_nothing(const unsigned char *at, size_t size)
{
	return size == 5 && !memcmp(at, "\x83\x44\x24", 3) && !at[4];
}

static const char *class_of_two_bytes(const unsigned char *at, size_t size)
{
	const unsigned char reg = size > 2 ? at[2] >> 3 & 7 : 0;

	if (at[1] == 0xae && size == 3 && at[2] == 0xf0)
		return "barrier";
	if (at[1] == 0x22 && reg == 3)
		return "flush";
	if (at[1] == 0x01 && reg == 7 && at[2] < 0xc0)
		return "flush";
	if (at[1] == 0x38 && size > 2 && at[2] == 0x82)
		return "flush";
	return "plain";
}

/* What takes longer than one instruction says. As it runs: the kernel has patched itself by now. */
static const char *class_of(const unsigned char *at, size_t size)
{
	const unsigned char *end = at + size;
	bool locked = false;

	for (; at < end && is_prefix(*at); at++)
		locked |= *at == 0xf0;
	if (at < end && (*at & 0xf0) == 0x40)
		at++;
	size = end - at;
	if (locked)
		return adds_nothing(at, size) ? "barrier" : "locked";
	if (size < 2)
		return "plain";
	/* An exchange with memory is locked with and without the prefix. */
	if ((*at == 0x86 || *at == 0x87) && at[1] < 0xc0)
		return "locked";
	if (*at == 0xff && ((at[1] >> 3 & 7) == 2 || (at[1] >> 3 & 7) == 4))
		return "pointer";
	return *at == 0x0f ? class_of_two_bytes(at, size) : "plain";
}

static void print_table(const struct table *table, const char *name, int shift, FILE *file)
{
	for (size_t i = 0; i < SLOTS; i++) {
		const struct counter *counter = &table->slots[i];

		if (counter->count)
			fprintf(file, "%s %016llx %llu %s\n", name, counter->key << shift,
				counter->count, counter->class ?: "");
	}
}

/* Whoever waits for the file finds all of it. */
static void print_all(void)
{
	char part[4096];
	FILE *file;

	snprintf(part, sizeof(part), "%s.part", out);
	file = fopen(part, "w");
	if (!file)
		abort();
	fprintf(file, "calls %llu\n", counted);
	print_table(&instructions, "ran", 0, file);
	print_table(&lines, "line", LINE_SHIFT, file);
	if (fclose(file) || rename(part, out))
		abort();
}

static void on_entry(void)
{
	if (counting) {
		end_call(&instructions);
		end_call(&lines);
		if (++counted == calls)
			print_all();
	}
	counting = counted < calls && ++entered % round_calls;
}

static void on_instruction(unsigned int cpu, void *data)
{
	struct counter *counter = data;

	(void)cpu;
	if (counter->key == entry)
		on_entry();
	if (counting)
		touch(&instructions, counter, 1);
}

static void touch_line(unsigned long long line)
{
	struct counter *counter = counter_of(&lines, line);

	if (!counter->pending)
		touch(&lines, counter, 1);
}

static void on_access(unsigned int cpu, unsigned int info, unsigned long long address,
		      void *data)
{
	const unsigned long long last = address + (1ULL << (info & 15)) - 1;

	(void)cpu;
	(void)data;
	if (!counting)
		return;
	touch_line(address >> LINE_SHIFT);
	if (last >> LINE_SHIFT != address >> LINE_SHIFT)
		touch_line(last >> LINE_SHIFT);
}

static void watch_all(unsigned long long id, struct qemu_plugin_tb *tb)
{
	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		struct counter *counter = counter_of(&instructions, qemu_plugin_insn_vaddr(insn));

		counter->class = class_of(qemu_plugin_insn_data(insn), qemu_plugin_insn_size(insn));
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_instruction, 0, counter);
		qemu_plugin_register_vcpu_mem_cb(insn, on_access, 0, QEMU_PLUGIN_MEM_RW, NULL);
	}
}

static void begin(unsigned long long id)
{
	qemu_plugin_register_vcpu_tb_trans_cb(id, watch_all);
}

static unsigned long long own_id;

/* Forgets all code translated so far. */
static void on_early_entry(unsigned int cpu, void *data)
{
	(void)cpu;
	(void)data;
	if (++entered == skip)
		qemu_plugin_reset(own_id, begin);
}

/* Boot and warm-up run at full speed. */
static void watch_entry(unsigned long long id, struct qemu_plugin_tb *tb)
{
	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		if (qemu_plugin_insn_vaddr(insn) == entry)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_early_entry, 0, NULL);
	}
}

static void parse(const char *argument)
{
	const char *value = strchr(argument, '=');
	const struct {
		const char *name;
		unsigned long long *number;
	} known[] = {
		{ "entry=", &entry }, { "round=", &round_calls }, { "skip=", &skip },
		{ "calls=", &calls },
	};

	if (!strncmp(argument, "out=", 4))
		out = strdup(value + 1);
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strncmp(argument, known[i].name, strlen(known[i].name)))
			*known[i].number = strtoull(value + 1, NULL, 0);
}

/**
 * qemu_plugin_install() - qemu has loaded the plugin
 * @id: what qemu calls it
 * @info: not looked at
 * @argc: how many arguments
 * @argv: as told above
 *
 * Return: 0, or -1 where an argument is missing.
 */
int qemu_plugin_install(unsigned long long id, const void *info, int argc, char **argv)
{
	(void)info;
	own_id = id;
	for (int i = 0; i < argc; i++)
		parse(argv[i]);
	if (!entry || round_calls < 2 || !skip || !calls || !out)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, watch_entry);
	return 0;
}
