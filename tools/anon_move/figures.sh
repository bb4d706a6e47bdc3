# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# For bench, bench-mremap and bench-docs, behind env.sh: figures as JSON, and JSON as tables.

here=$TOP/tools/anon_move

# What a program can measure, which may be of another architecture.
list() { if [ "$ARCH" = x86 ]; then "$1" --list; else "$TOP/tools/vm/run" -- "$1" --list; fi; }

# write_json UNIT FIGURES FILE. One figure a line stays easy to read for awk and grep.
write_json() {
	{ printf '{"unit": "%s", "figures": [\n' "$1"; sed '$!s/$/,/' "$2"; echo ']}'; } >"$3"
	say "wrote ${3#"$TOP"/}"
}

# print_tables BENCHMARK FILE: exit status 1 when a target is missed.
print_tables() {
	awk -v arch="$ARCH" -f "$here/figures.awk" -f "$here/$1-table.awk" "$here/targets/$VARIANT" "$2"
}
