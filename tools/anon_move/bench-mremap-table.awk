# SPDX-License-Identifier: GPL-2.0
# Prints the tables of build/BASE/bench-mremap.json, of what figures.awk has read.

# In millions a call.
function calls(    i, row, form) {
	form = "%-10s%12s%14s%8s\n"
	printf form, "row", "mremap", "RELOCATE_ANON", "times"
	for (i = 1; i <= nr; i++) {
		row = rows[i]
		if (has(row, "mremap", "million"))
			printf form, row, show(row, "mremap", "million", "%.3f"), show(row, "relocate", "million", "%.3f"),
				sprintf("%.1f", get(row, "relocate", "million") / get(row, "mremap", "million"))
	}
}

# What does not depend on where the memory goes was measured once: row+1 is row at another address.
function check_of(row) {
	sub(/\+1$/, "", row)
	return row
}

function judge(row, ours,    most) {
	most = target["relocate." row]
	return ours + 0 > most + 0 ? miss(row ": MREMAP_RELOCATE_ANON takes " ours " instructions a page, at most " most) : "yes"
}

function move_of(row) {
	return has(check_of(row), "check", "instructions") ? \
		sprintf("%.1f", get(row, "relocate", "instructions") - get(check_of(row), "check", "instructions")) : "-"
}

function costs(    i, row, ours, form) {
	form = "%-9s%9s%9s%9s%10s%9s%7s%9s%11s%9s\n"
	printf form, "row", "mremap", "check", "move", "RELOCATE", "at most", "holds", "MUST_", "ONLYPAGES", "UFFDIO_"
	printf form, "", "", "", "", "_ANON", "", "", "RELOCATE", "", "MOVE"
	for (i = 1; i <= nr; i++) {
		row = rows[i]
		if (!has(row, "relocate", "instructions"))
			continue
		ours = get(row, "relocate", "instructions")
		printf form, row, show(row, "mremap", "instructions", "%.1f"), show(check_of(row), "check", "instructions", "%.1f"),
			move_of(row), show(row, "relocate", "instructions", "%.1f"),
			("relocate." row) in target ? target["relocate." row] : "-",
			("relocate." row) in target ? judge(row, ours) : "",
			show(row, "must", "instructions", "%.1f"), show(row, "onlypages", "instructions", "%.1f"),
			show(row, "anon_move", "instructions", "%.1f")
	}
}

END {
	if (!nr) {
		print "bench-mremap: no figures in " ARGV[2] "; run 'make bench-mremap'" >"/dev/stderr"
		exit 2
	}
	if ("2M" in seen || "edges" in seen) {
		print "Million guest instructions a call. So long nobody else can map, unmap or fork, or fault in either"
		print "mapping: the mmap_lock is held for writing from the start of the call to its end."
		print ""
		calls()
		print ""
		print "2M, 64M, 1G: pages of 4K, to where mremap() moves page tables as they are. edges: one whole 2 MiB"
		print "page and all but a page of those before and behind it, which RELOCATE_ANON splits."
		print ""
	}
	if ("4k" in seen || "regain" in seen) {
		print "Guest instructions a page, 16 MiB in one call, or as many pages as stand behind the dot; cheapest"
		print "of 6 rounds."
		print ""
		costs()
		print ""
		print "row+1: to an address that is a page further, so mremap() moves entries, and 2 MiB pages come to lie"
		print "in two page tables. Elsewhere it moves page tables, or huge entries, where 2 MiB are moved at once."
		print "mixed: 1 in 8 pages is a hole, the zero page or swapped out. empty: all pages were given back."
		print "regain: a child was there and is gone, so no page is marked as the parent's own any more."
		print "check: a call with MUST_RELOCATE that finds a shared page behind all the others, and ends. move is"
		print "the difference to RELOCATE_ANON: VMA, page tables, entries, and unmapping the source; tables are"
		print "made as the move comes to them. MUST_RELOCATE checks before it unmaps the destination, and again."
		print ""
	}
	exit tell_misses()
}
