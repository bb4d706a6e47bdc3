# SPDX-License-Identifier: GPL-2.0
# Draws how many VMAs a process has in the course of time: gnuplot -c bench-mremap.gnuplot build/BASE/bench-mremap.json

set terminal svg size 900,640 font "sans-serif,13" background "white" name "anon_move_mremap" noenhanced
set multiplot layout 2,2 title "VMAs of a process that moves its memory about, by mover"
set yrange [0:72000]
set ytics ("0" 0, "20,000" 20000, "40,000" 40000, "65,530" 65530)
set xtics scale 0
set grid ytics lt 1 lc rgb "#dddddd"
set xlabel "thousand calls"
set key top left Left reverse

# A point of a curve is a line of JSON.
points(row, mover) = sprintf("< sed -n 's/.*\"%s\", \"mover\": \"%s\", \"at\": \\([0-9]*\\), \"now\": \\([0-9]*\\).*/\\1 \\2/p' %s", row, mover, ARG1)

# Two that are alike lie on each other: the lower one is wider.
do for [row in "granules compact arrays exchange"] {
	set title row
	plot points(row, "mremap") using ($1 / 1000):2 with lines lw 2 lc rgb "#cc3311" title "mremap", \
		points(row, "relocate") using ($1 / 1000):2 with lines lw 6 lc rgb "#88bbee" title "RELOCATE_ANON", \
		points(row, "onlypages") using ($1 / 1000):2 with lines lw 2 lc rgb "#333333" title "ONLYPAGES"
	unset key
}
