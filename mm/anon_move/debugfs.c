// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/debug/anon_move: the counters, the switch between the two movers, the one to
 * relocate all that mremap() moves, fault injection.
 */

#include <linux/debugfs.h>
#include <linux/fault-inject.h>
#include <linux/init.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>
#include "anon_move.h"

#ifdef CONFIG_ANON_MOVE_STATS
DEFINE_PER_CPU(struct anon_move_stats, anon_move_stats);
bool anon_move_relocate_always;

static const char * const counter_names[ANON_MOVE_NR_COUNTERS] = {
	[ANON_MOVE_CALLS]	= "calls",
	[ANON_MOVE_BATCHES]	= "batches",
	[ANON_MOVE_MOVED_SMALL]	= "moved_small",
	[ANON_MOVE_MOVED_LARGE]	= "moved_large",
	[ANON_MOVE_MOVED_PMD]	= "moved_pmd",
	[ANON_MOVE_MOVED_ZERO]	= "moved_zero",
	[ANON_MOVE_MOVED_SWAP]	= "moved_swap",
	[ANON_MOVE_HOLES]	= "holes",
	[ANON_MOVE_COPIED]	= "copied",
	[ANON_MOVE_FLUSHES]	= "flushes",
	[ANON_MOVE_SPLITS]	= "splits",
	[ANON_MOVE_RETRIES]	= "retries",
};

static int stats_show(struct seq_file *m, void *unused)
{
	struct anon_move_stats sum = {};
	unsigned int i;
	int cpu;

	for_each_possible_cpu(cpu) {
		const struct anon_move_stats *stats = per_cpu_ptr(&anon_move_stats, cpu);

		for (i = 0; i < ARRAY_SIZE(sum.count); i++)
			sum.count[i] += READ_ONCE(stats->count[i]);
		for (i = 0; i < ARRAY_SIZE(sum.stop); i++)
			sum.stop[i] += READ_ONCE(stats->stop[i]);
		for (i = 0; i < ARRAY_SIZE(sum.obstacle); i++)
			sum.obstacle[i] += READ_ONCE(stats->obstacle[i]);
	}

	for (i = 0; i < ARRAY_SIZE(sum.count); i++)
		seq_printf(m, "%s %lu\n", counter_names[i], sum.count[i]);
	for (i = 0; i < ARRAY_SIZE(sum.stop); i++)
		seq_printf(m, "stop_%s %lu\n", anon_move_stop_info[i].name, sum.stop[i]);
	for (i = 0; i < ARRAY_SIZE(sum.obstacle); i++)
		seq_printf(m, "relocate_%s %lu\n", anon_move_stop_info[i].name, sum.obstacle[i]);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);
#endif /* CONFIG_ANON_MOVE_STATS */

#ifdef CONFIG_ANON_MOVE_COMPARE
DEFINE_STATIC_KEY_FALSE(anon_move_use_base);

static int engine_show(struct seq_file *m, void *unused)
{
	seq_puts(m, anon_move_chosen() ? "anon_move\n" : "base\n");
	return 0;
}

static ssize_t engine_write(struct file *file, const char __user *ubuf,
			    size_t count, loff_t *ppos)
{
	char buf[16] = {};

	if (count >= sizeof(buf))
		return -EINVAL;
	if (copy_from_user(buf, ubuf, count))
		return -EFAULT;
	if (sysfs_streq(buf, "anon_move"))
		static_branch_disable(&anon_move_use_base);
	else if (sysfs_streq(buf, "base"))
		static_branch_enable(&anon_move_use_base);
	else
		return -EINVAL;
	return count;
}

static int engine_open(struct inode *inode, struct file *file)
{
	return single_open(file, engine_show, NULL);
}

static const struct file_operations engine_fops = {
	.owner		= THIS_MODULE,
	.open		= engine_open,
	.read		= seq_read,
	.write		= engine_write,
	.llseek		= seq_lseek,
	.release	= single_release,
};
#endif /* CONFIG_ANON_MOVE_COMPARE */

#ifdef CONFIG_ANON_MOVE_FAIL
static DECLARE_FAULT_ATTR(anon_move_fail);

/**
 * anon_move_should_fail() - is this to fail although it need not?
 *
 * Asked where something may be in the way that passes or that the caller can
 * be told: locks, pins, vanished page tables.
 *
 * Context: any.
 * Return: true when fault injection wants the caller to behave as if it were.
 */
bool anon_move_should_fail(void)
{
	return should_fail(&anon_move_fail, 1);
}
#endif /* CONFIG_ANON_MOVE_FAIL */

static int __init anon_move_debugfs_init(void)
{
	struct dentry *dir = debugfs_create_dir("anon_move", NULL);

#ifdef CONFIG_ANON_MOVE_STATS
	debugfs_create_file("stats", 0444, dir, NULL, &stats_fops);
	debugfs_create_bool("relocate_always", 0644, dir, &anon_move_relocate_always);
#endif
#ifdef CONFIG_ANON_MOVE_COMPARE
	debugfs_create_file("engine", 0644, dir, NULL, &engine_fops);
#endif
#ifdef CONFIG_ANON_MOVE_FAIL
	fault_create_debugfs_attr("fail", dir, &anon_move_fail);
#endif
	return 0;
}
late_initcall(anon_move_debugfs_init);
