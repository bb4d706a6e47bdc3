# SPDX-License-Identifier: GPL-2.0
# Prints the table of programs, from what workloads/guest printed.

BEGIN {
	MREMAP_RELOCATE_ANON = 16777216
	form = "%-18s%-9s%7s%7s%7s%11s%8s%6s  %s\n"
}

$1 == "run" { if (program == "") header(); else show(); begin() }
$1 == "before" { change[$2] -= $3 }
$1 == "after" {
	change[$2] += $3
	if (sub(/^relocate_/, "", $2) && $2 != "done")
		reasons[++nr] = $2
}
$1 == "call" { call($2, $3, $4) }
END {
	if (program == "") {
		print "programs-table.awk: there are no figures; run 'make programs'" >"/dev/stderr"
		exit 1
	}
	show()
	print ""
	print "calls: of mremap(), by the program and by all that served it. moved: came to another address. asked: of"
	print "those, the ones with MREMAP_RELOCATE_ANON; all with relocate_always. VMAs: without a file, at the program's"
	print "end. why not: counters of anon_move/stats; needless: there was nothing to relocate; not asked: without the"
	print "flag, in the way 'preload' as realloc() of glibc makes calls that the preloaded object does not meet."
	print ""
	print "python3: bytes received, columns, an index and JSON grow; .fork: a child lives on with a snapshot meanwhile;"
	print ".jemalloc: with libjemalloc.so.2 preloaded. luajit: arrays and a text grow. redis-server, which has jemalloc,"
	print "under load and BGSAVE. named-compilezone of BIND, which has jemalloc, on a zone of 40,000 hosts. Each did its"
	print "work right: it was compared, and redis-server started again from the file that BGSAVE wrote."
}

function header() {
	printf form, "program", "way", "calls", "moved", "asked", "relocated", "pages", "VMAs", "why not"
}

function begin() {
	program = $2
	way = $3
	vmas = $4
	split("", n)
	split("", change)
	split("", reasons)
	nr = 0
}

# An error is an address in the last page.
function call(old, flags, ret,    moved) {
	n["calls"]++
	moved = ret != old && ret !~ /^0xfffffffffffff...$/
	n["moved"] += moved
	n["asked"] += moved && (way == "always" || int(flags / MREMAP_RELOCATE_ANON) % 2)
}

function because(text, many) {
	if (many)
		why = why (why == "" ? "" : ", ") text " " many
}

function show(    i, counted, pages) {
	why = ""
	counted = change["relocate_done"]
	for (i = 1; i <= nr; i++) {
		because(reasons[i], change["relocate_" reasons[i]])
		counted += change["relocate_" reasons[i]]
	}
	because("needless", n["asked"] - counted)
	because("not asked", n["moved"] - n["asked"])
	pages = change["moved_small"] + change["moved_large"] + change["moved_pmd"] + change["moved_zero"] + change["moved_swap"]
	printf form, program, way, n["calls"] + 0, n["moved"] + 0, n["asked"] + 0, change["relocate_done"] + 0, pages, vmas,
		why == "" ? "-" : why
}
