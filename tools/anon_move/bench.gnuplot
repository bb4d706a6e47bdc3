# SPDX-License-Identifier: GPL-2.0
# Draws the ratios of the first table of a file of bench-docs: gnuplot -c bench.gnuplot FILE

set terminal svg size 900,420 font "sans-serif,13" background "white" name "anon_move_bench" noenhanced
set title "Guest instructions a page, as a multiple of what anon_move takes"
set xlabel "what is moved . pages a call"
set ylabel "times anon_move (logarithmic)"
set logscale y
set yrange [0.5:5000]
set ytics ("1/2" 0.5, "1" 1, "2" 2, "5" 5, "10" 10, "20" 20, "50" 50, "100" 100, "200" 200, "500" 500, "1000" 1000)
set xrange [-0.6:]
set offsets 0, 0.5, 0, 0
set xtics scale 0
set grid ytics lt 1 lc rgb "#dddddd"
set key top left Left reverse
set style fill solid noborder
set datafile missing "-"
set arrow from graph 0, first 1 to graph 1, first 1 nohead front

# Rows of the first table: 8 is base / anon_move, 9 is copy / anon_move, or "-".
rows = "< awk '/^row/ { n++ } n == 1 && $2 ~ /^[0-9]/' " . ARG1

# Bars begin at 1, so that a rival that takes less points down.
plot rows using 0:8:($0 - 0.38):($0):(1):8:xtic(1) with boxxyerror lc rgb "#4477aa" title "base kernel's mover", \
	rows using 0:9:($0):($0 + 0.38):(1):9 with boxxyerror lc rgb "#ddaa33" title "UFFDIO_COPY and MADV_DONTNEED", \
	rows using ($0 - 0.19):($8 < 1 ? 1 : $8):8 with labels offset 0, 0.6 font ",11" notitle, \
	rows using ($0 + 0.19):9:9 with labels offset 0, 0.6 font ",11" notitle
