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

function move_of(row) {
	return has(check_of(row), "check", "instructions") ? \
		sprintf("%.1f", get(row, "relocate", "instructions") - get(check_of(row), "check", "instructions")) : "-"
}

function costs(    i, row, ours, most, form) {
	form = "%-9s%8s%7s%7s%10s%9s%7s%10s%11s%9s\n"
	printf form, "row", "mremap", "check", "move", "RELOCATE", "at most", "holds", "MUST_", "ONLYPAGES", "UFFDIO_"
	printf form, "", "", "", "", "_ANON", "", "", "RELOCATE", "", "MOVE"
	for (i = 1; i <= nr; i++) {
		row = rows[i]
		if (!has(row, "relocate", "instructions"))
			continue
		ours = get(row, "relocate", "instructions")
		most = ("relocate." row) in target ? target["relocate." row] : ""
		printf form, row, show(row, "mremap", "instructions", "%.1f"), show(check_of(row), "check", "instructions", "%.1f"),
			move_of(row), show(row, "relocate", "instructions", "%.1f"),
			most == "" ? "-" : most, judge_against(most, ours, row ": MREMAP_RELOCATE_ANON"),
			show(row, "must", "instructions", "%.1f"), show(row, "onlypages", "instructions", "%.1f"),
			show(row, "anon_move", "instructions", "%.1f")
	}
}

function vmas(    i, m, row, mover, form) {
	form = "%-9s%-10s%7s%13s%9s%7s%9s%10s%9s%13s\n"
	printf form, "row", "mover", "calls", "instructions", "VMAs at", "most", "vm_area_", "anon_vma_", "anon_vma", "ENOMEM"
	printf form, "", "", "", "a call", "last", "seen", "struct", "chain", "", "after"
	for (i = 1; i <= nr; i++) {
		for (m = 1; m <= nr_movers; m++) {
			row = rows[i]
			mover = movers[m]
			if (has(row, mover, "calls") && row != "collapse")
				printf form, row, mover, show(row, mover, "calls", "%d"), show(row, mover, "call", "%d"),
					show(row, mover, "vmas", "%d"), show(row, mover, "peak", "%d"),
					show(row, mover, "vm_area_struct", "%d"), show(row, mover, "anon_vma_chain", "%d"),
					show(row, mover, "anon_vma", "%d"), get(row, mover, "full") ? get(row, mover, "calls") " calls" : "-"
		}
	}
}

function judge_back(mover,    most, ours) {
	most = target["vmas.back"]
	ours = get("back", "relocate", "heap_vmas")
	if (mover != "relocate")
		return ""
	return ours > most ? miss("back: " ours " VMAs are left where " most " should be") : "yes"
}

function merged(    i, m, row, mover, form) {
	form = "%-10s%-11s%8s%12s%9s%7s%14s\n"
	printf form, "row", "mover", "pieces", "VMAs where", "at most", "holds", "million"
	printf form, "", "", "", "they are", "", "", "instructions"
	for (i = 1; i <= nr; i++) {
		for (m = 1; m <= nr_movers; m++) {
			row = rows[i]
			mover = movers[m]
			if (has(row, mover, "pieces"))
				printf form, row, mover, show(row, mover, "pieces", "%d"), show(row, mover, "heap_vmas", "%d"),
					row == "back" && mover == "relocate" ? target["vmas.back"] : "-",
					row == "back" ? judge_back(mover) : "",
					row == "collapse" && get(row, mover, "error") != "none" ? get(row, mover, "error") : \
						sprintf("%.1f", get(row, mover, "call") * get(row, mover, "calls") / 1e6)
		}
	}
}

function paid_back(    m, mover, form) {
	form = "%-11s%8s%8s%8s%10s%8s%14s\n"
	printf form, "mover", "VMAs", "mmap", "munmap", "mprotect", "fault", "fork, million"
	for (m = 1; m <= nr_movers; m++) {
		mover = movers[m]
		printf form, mover, show("back", mover, "heap_vmas", "%d"), show("payback", mover, "mmap", "%d"),
			show("payback", mover, "munmap", "%d"), show("payback", mover, "mprotect", "%d"),
			show("payback", mover, "fault", "%d"), sprintf("%.2f", get("payback", mover, "fork") / 1e6)
	}
}

function part_of_calls() {
	print "Million guest instructions a call. So long nobody else can map, unmap or fork, or fault in either"
	print "mapping: the mmap_lock is held for writing from the start of the call to its end."
	print ""
	calls()
	print ""
	print "2M, 64M, 1G: pages of 4K, to where mremap() moves page tables as they are. edges: one whole 2 MiB"
	print "page and all but a page of those before and behind it, which RELOCATE_ANON splits."
	print ""
}

function part_of_pages() {
	print "Guest instructions a page, 16 MiB in one call, or as many pages as stand behind the dot; cheapest"
	print "of 6 rounds."
	print ""
	costs()
	print ""
	print "row+1: to an address that is a page further, so mremap() moves entries, and 2 MiB pages come to lie"
	print "in two page tables. Elsewhere it moves page tables, or huge entries, where 2 MiB are moved at once."
	print "mixed: 1 in 8 pages is a hole, the zero page or swapped out. empty: all pages were given back."
	print "regain: a child was there and is gone, so no page is marked as the parent's own any more."
	print "check: a call with MUST_RELOCATE that finds a shared page behind all the others, and ends. move: what"
	print "that leaves of RELOCATE_ANON, which makes the VMA and page tables, moves the entries, and frees the"
	print "page tables that it has emptied. MUST_RELOCATE checks before it unmaps the destination, and again."
	print ""
}

function part_of_vmas() {
	print "VMAs of a process whose memory is moved about. vm.max_map_count is 65530. A granule is 2 MiB of"
	print "which one page is there; all others are pages of 4K, and one is moved a call."
	print ""
	vmas()
	print ""
	print "granules: of a heap of 131072, random ones are brought together in runs of 16. compact: of 65536"
	print "pages a random half live, and slide into another mapping; new ones come behind; back again."
	print "arrays: 80000 arrays of a page grow to 2 and 4 in random order, wherever there is room."
	print "exchange: two of 81920 pages change places, by way of a third place, in 3 calls. back: 60000 pages"
	print "that lie apart return into one mapping in random order. onlypages has both ends mapped for good."
	print "vm_area_struct and so on: KiB of the slab cache in the end, more than before."
	print ""
	merged()
	print ""
	print "back: as above. collapse: 60000 pages side by side, each a VMA, go to another place by one call, with"
	print "munmap() of where they were for onlypages. Linux 6.12 moves one VMA a call, and says EFAULT."
	print ""
	print "What other calls take after back, instructions, cheapest of 64 tries (fork: 3): mmap() and munmap() of"
	print "a page elsewhere, mprotect() of one in the heap, a fault there, and fork() with the end of the child."
	print ""
	paid_back()
	print ""
}

BEGIN { nr_movers = split("mremap relocate onlypages", movers) }

END {
	if (!nr) {
		print "bench-mremap: no figures in " ARGV[2] "; run 'make bench-mremap'" >"/dev/stderr"
		exit 2
	}
	if ("2M" in seen || "edges" in seen)
		part_of_calls()
	if ("4k" in seen || "regain" in seen)
		part_of_pages()
	if ("granules" in seen)
		part_of_vmas()
	exit tell_misses()
}
