# SPDX-License-Identifier: GPL-2.0
# Prints the tables of build/BASE/bench.json, of what figures.awk has read.

function times(row, mover) {
	return has(row, mover, "instructions") ? \
		sprintf("%.1f", get(row, mover, "instructions") / get(row, "anon_move", "instructions")) : "-"
}

# One that stands for a part of what the base's mover takes begins with a stroke.
function at_most(row, key,    most) {
	most = row in target ? target[row] : get(row, "anon_move", "at_most")
	return most ~ /^\// ? get(row, "base", key) / substr(most, 2) : most
}

function judge(row, key,    ours, most, base) {
	ours = get(row, "anon_move", key)
	most = at_most(row, key)
	base = get(row, "base", key)
	if (ours + 0 > most + 0)
		return miss(row ": " ours " " key ", at most " most)
	if (ours + 0 > base + 0)
		return miss(row ": " ours " " key ", worse than the " base " of the base's mover")
	return "yes"
}

function costs(    i, row, form) {
	form = "%-10s%9s%11s%9s%7s%9s%8s%11s%11s%9s\n"
	printf form, "row", "base", "anon_move", "at most", "holds", "UFFDIO_", "mremap", "base /", "_COPY /", "1 GiB /"
	printf form, "", "", "", "", "", "COPY", "", "anon_move", "anon_move", "2 MiB"
	for (i = 1; i <= nr; i++) {
		row = rows[i]
		if (has(row, "anon_move", "instructions"))
			printf form, row, show(row, "base", "instructions", "%.1f"),
				show(row, "anon_move", "instructions", "%.1f"),
				sprintf("%.1f", at_most(row, "instructions")), judge(row, "instructions"),
				show(row, "copy", "instructions", "%.0f"), show(row, "mremap", "instructions", "%.1f"),
				times(row, "base"), times(row, "copy"), show(row, "anon_move", "growth", "%.2f")
	}
}

# A target that begins with a star is so many times what UFFDIO_MOVE takes for the same; "" if there is none.
function against(name, of) {
	if (!(name in target))
		return ""
	return target[name] ~ /^\*/ ? of * substr(target[name], 2) : target[name]
}

# What a call for one page may take is a number; from 8 on it is no more than UFFDIO_MOVE takes.
function only_pages(    i, row, most, ours, of, form) {
	form = "%-10s%13s%18s%9s%7s\n"
	printf form, "row", "UFFDIO_MOVE", "MREMAP_ONLYPAGES", "at most", "holds"
	for (i = 1; i <= nr; i++) {
		row = rows[i]
		if (!has(row, "onlypages", "instructions"))
			continue
		ours = get(row, "onlypages", "instructions")
		of = get(row, "anon_move", "instructions")
		most = against(("onlypages." row) in target ? "onlypages." row : "onlypages", of)
		printf form, row, show(row, "anon_move", "instructions", "%.1f"), sprintf("%.1f", ours),
			most == "" ? "-" : sprintf("%.1f", most), judge_against(most, ours, row ": MREMAP_ONLYPAGES")
	}
}

function events(    i, m, row, mover, form) {
	form = "%-10s%-11s%9s%11s%13s%13s%8s%8s%12s\n"
	printf form, "row", "mover", "TLB", "_raw_spin_", "down_write,", "contention_", "folio", "page", "page"
	printf form, "", "", "flushes", "lock", "_trylock", "begin", "splits", "faults", "allocations"
	for (i = 1; i <= nr; i++) {
		for (m = 1; m <= nr_movers; m++) {
			row = rows[i]
			mover = movers[m]
			if (has(row, mover, "write_locks"))
				printf form, row, mover, show(row, mover, "tlb_flushes", "%.1f"),
					show(row, mover, "spin_locks", "%.1f"), show(row, mover, "write_locks", "%.1f"),
					show(row, mover, "contentions", "%.1f"), show(row, mover, "splits", "%.1f"),
					show(row, mover, "faults", "%.1f"), show(row, mover, "allocations", "%.1f")
		}
	}
}

function holes(    m, mover, form) {
	form = "%-10s%-11s%8s%18s%22s%18s\n"
	printf form, "row", "mover", "GiB", "million", "million instructions", "page tables,"
	printf form, "", "", "", "instructions", "a GiB", "KiB"
	for (m = 1; m <= 2; m++) {
		mover = movers[m]
		printf form, "sparse", mover, show("sparse", mover, "gib", "%d"), show("sparse", mover, "million", "%.2f"),
			show("sparse", mover, "million_a_gib", "%.4f"), show("sparse", mover, "table_kib", "%d")
	}
}

function vectors(    i, row, most, ours, form) {
	form = "%-10s%13s%14s%9s%7s%15s%15s\n"
	printf form, "row", "UFFDIO_MOVE", "UFFDIO_MOVEV", "at most", "holds", "flushes by", "flushes by"
	printf form, "", "", "", "", "", "UFFDIO_MOVE", "UFFDIO_MOVEV"
	for (i = 1; i <= nr; i++) {
		row = rows[i]
		if (!has(row, "vector", "a_page"))
			continue
		ours = get(row, "vector", "a_page")
		most = against(row, get(row, "calls", "a_page"))
		printf form, row, show(row, "calls", "a_page", "%.1f"), sprintf("%.1f", ours),
			most == "" ? "-" : sprintf("%.1f", most), judge_against(most, ours, row ": UFFDIO_MOVEV"),
			show(row, "calls", "flushes", "%.1f"), show(row, "vector", "flushes", "%.1f")
	}
}

function waits(    m, mover, form) {
	form = "%-10s%-11s%13s%9s%7s%11s%9s%10s%8s\n"
	printf form, "row", "mover", "worst wait", "at most", "holds", "mprotects", "batches", "gave way", "longer"
	for (m = 1; m <= 2; m++) {
		mover = movers[m]
		printf form, "writer", mover, show("writer", mover, "worst_wait", "%.4f"),
			show("writer", mover, "at_most", "%.4f"), mover == "base" ? "" : judge("writer", "worst_wait"),
			show("writer", mover, "mprotects", "%.0f"), show("writer", mover, "batches", "%.0f"),
			show("writer", mover, "gave_way", "%.0f"), show("writer", mover, "longer", "%.2f")
	}
}

BEGIN { nr_movers = split("base anon_move copy mremap onlypages", movers) }

END {
	if (!nr) {
		print "bench-table: no figures in " ARGV[2] "; run 'make bench'" >"/dev/stderr"
		exit 2
	}
	others = ("writer" in seen) + ("sparse" in seen)
	for (i = 1; i <= nr; i++)
		nr_vectors += has(rows[i], "vector", "a_page")
	others += nr_vectors
	if (nr > others + ("parallel" in seen)) {
		print "Guest instructions a page, 16 MiB, cheapest of 6 rounds."
		print "A row is named after what is moved and how many pages a call."
		print ""
		costs()
		print ""
		print "mixed: 1 in 8 pages is a hole, the zero page or swapped out. UFFDIO_COPY includes one"
		print "MADV_DONTNEED of all; to copy a page takes 512 instructions, one for each 8 bytes" \
			(arch == "x86" ? " by qemu." : ".")
		print "mremap: the floor; one call for all, moves page table entries, or huge ones, and makes the new"
		print "page tables."
		print ""
		only_pages()
		print ""
	}
	if (nr > others) {
		print "Events per 1000 pages. parallel: two threads move different pages of one VMA, 1 page a call."
		print ""
		events()
		print ""
		print "_raw_spin_lock: page-table locks, those of swap, and 8 each timer tick. down_write, _trylock: in"
		print "the movers, of an anon_vma; a try that fails counts too. page allocations: of any size."
		print "Of two page tables anon_move only tries to lock the second, which _raw_spin_lock leaves out."
		print ""
	}
	if ("parallel" in seen)
		judge("parallel", "write_locks")
	if ("sparse" in seen) {
		print "One call moves a mapping that has a page each 64 GiB, and holes."
		print ""
		holes()
		print ""
	}
	if (nr_vectors) {
		print "Short ranges in one call; instructions a page, flushes a call. same: 64 single pages in two page"
		print "tables; apart: each in tables of its own; runs: 8 of 8 pages; one: a call for a single page."
		print "uring: 32 threads fault, and one resolves it, fault by fault with poll(), read() and UFFDIO_MOVE,"
		print "or all that there are with one io_uring_enter() and UFFDIO_MOVEV; what that thread takes for a"
		print "fault. fault: all that the CPU does for it. What this is more than uring is what the threads that"
		print "fault take, which sleep and go on, as they do whoever resolves it. Flushes of 32 faults."
		print ""
		vectors()
		print ""
	}
	if ("writer" in seen) {
		print "1 GiB is moved in one call. Again and again another thread, which goes first on the one CPU,"
		print "mprotects another part of the source VMA: its worst wait as a part of the move; events a move."
		print "longer: how many times as long as alone the move takes; what the writer runs meanwhile is in it."
		print ""
		waits()
	}
	exit tell_misses()
}
