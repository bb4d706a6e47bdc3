# SPDX-License-Identifier: GPL-2.0
# Reads targets and figures for the tables: awk -f figures.awk -f TABLE.awk targets/BASE FILE. A TABLE.awk judges them by miss().

FILENAME == ARGV[1] {
	if ($1 != "#")
		target[$1] = $2
	next
}

# A line is one figure: {"key": value, "key": value}
/"row"/ {
	gsub(/[{}",:]/, " ")
	split("", figure)
	for (i = 1; i < NF; i += 2)
		figure[$i] = $(i + 1)
	# Points of curves are for charts.
	if ("pages" in figure || "at" in figure)
		next
	row = figure["row"]
	if (!(row in seen)) {
		seen[row] = 1
		rows[++nr] = row
	}
	for (key in figure)
		value[row, figure["mover"], key] = figure[key]
}

function get(row, mover, key) { return value[row, mover, key] }
function has(row, mover, key) { return (row, mover, key) in value }
function show(row, mover, key, form) {
	return has(row, mover, key) ? sprintf(form, get(row, mover, key)) : "-"
}

# Remembers what is told in the end. Returns what stands in the table.
function miss(text) {
	misses[++nr_misses] = text
	return "no"
}

# Is it no more than may be? "" for most says that there is no target.
function judge_against(most, ours, what) {
	if (most == "")
		return "-"
	return ours + 0 > most + 0 ? miss(what " takes " ours ", at most " most) : "yes"
}

# Prints a line on standard error for each target that is missed; returns the exit status.
function tell_misses(    i) {
	fflush()
	for (i = 1; i <= nr_misses; i++)
		print "missed: " misses[i] >"/dev/stderr"
	return nr_misses > 0
}
