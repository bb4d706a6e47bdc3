# SPDX-License-Identifier: GPL-2.0
# Draws stalls.svg and work.svg from what gc_compaction --output DIRECTORY wrote: gnuplot -c charts.gnuplot DIRECTORY UNIT
# UNIT is what a million of the figures are: "milliseconds" or "million guest instructions".

directory = ARG1
unit = ARG2
set datafile separator ","
colours = "#4477aa #66ccee #332288 #228833 #ccbb44 #ee6677 #aa3377 #bbbbbb"
colour(n) = word(colours, 1 + (n - 1) % 8)

set terminal svg size 900,460 font "sans-serif,13" background "white" noenhanced name "stalls"
set output directory . "/stalls.svg"
set title "How long a mutator waits for a page that is not there yet"
set xlabel "percentile"
set ylabel unit . " (logarithmic)"
set logscale y
set grid ytics lt 1 lc rgb "#dddddd"
set key left top Left reverse
set format y "%g"
# The more nines the further to the right; the worst of all is drawn as if it had one more.
at(p) = p >= 100 ? 4.5 : -log10(1 - p / 100.0)
set xrange [0:4.5]
set xtics ("0" 0, "50" 0.301, "90" 1, "99" 2, "99.9" 3, "99.99" 4, "worst" 4.5)
stalls = directory . "/stalls.csv"
runs = int(system("head -n 1 " . stalls . " | tr -dc , | wc -c"))
set key autotitle columnhead
plot for [n = 2 : runs + 1] stalls using (at($1)):(column(n) / 1e6) with linespoints \
	lw 2 pt 7 ps 0.4 lc rgb colour(n - 1)

reset
set datafile separator ","
set terminal svg size 1100,460 font "sans-serif,13" background "white" noenhanced name "work"
set output directory . "/work.svg"
set title "Where the CPU time of a compaction goes"
set ylabel unit
set style data histograms
set style histogram rowstacked
set style fill solid noborder
set boxwidth 0.7
set yrange [0:*]
set grid ytics lt 1 lc rgb "#dddddd"
set key outside bottom center horizontal
set xtics scale 0 font ",12"
set xrange [-0.6:runs - 0.4]
work = directory . "/work.csv"
plot for [n = 2 : 5] work using (column(n) / 1e6):xtic(1) title columnheader(n) lc rgb colour(n - 1)
