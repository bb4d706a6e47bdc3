/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What profile_plugin.c uses of qemu-plugin.h, a stable interface; Debian's qemu comes without it.
 */
#ifndef PROFILE_PLUGIN_H
#define PROFILE_PLUGIN_H

#include <stddef.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;

#define QEMU_PLUGIN_MEM_RW 3

typedef void (*begin_fn)(unsigned long long id);
typedef void (*translate_fn)(unsigned long long id, struct qemu_plugin_tb *tb);
typedef void (*execute_fn)(unsigned int cpu, void *data);
typedef void (*access_fn)(unsigned int cpu, unsigned int info, unsigned long long address,
			  void *data);

void qemu_plugin_reset(unsigned long long id, begin_fn then);
void qemu_plugin_register_vcpu_tb_trans_cb(unsigned long long id, translate_fn call);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, execute_fn call,
					    int flags, void *data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn, access_fn call,
				      int flags, int rw, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
unsigned long long qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

/* What qemu looks for. */
extern int qemu_plugin_version;
int qemu_plugin_install(unsigned long long id, const void *info, int argc, char **argv);

#endif /* PROFILE_PLUGIN_H */
