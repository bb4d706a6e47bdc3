-- SPDX-License-Identifier: GPL-2.0
-- Arrays that grow side by side, and a text made of many lines. Prints how many VMAs without a file it has at its end.
local columns, lines = {}, {}

for i = 1, 16 do columns[i] = {} end
for n = 1, 150000 do
	for i = 1, 16 do columns[i][n] = n * i end
end
for n = 1, 100000 do lines[#lines + 1] = "line " .. n end
local text = table.concat(lines, "\n")

for i = 1, 16 do
	for n = 1, 150000 do assert(columns[i][n] == n * i, "a column is not what was written") end
end
local n = 0
for line in text:gmatch("[^\n]+") do
	n = n + 1
	assert(line == "line " .. n, "the text is not what was written")
end
assert(n == 100000, "lines are missing")

local vmas = 0
for line in io.lines("/proc/self/maps") do
	if line:match("^%S+ %S+ %S+ %S+ 0%f[^0]") then vmas = vmas + 1 end
end
print(vmas)
