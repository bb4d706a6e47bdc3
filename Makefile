# SPDX-License-Identifier: GPL-2.0
# The two commands, `make run` and `make test`, and the smaller steps they are made of. `make help` lists them.
# BASE=7.3 on the command line takes another base kernel than 6.12, ARCH=arm64 another architecture than x86, and with it
# PAGE_SIZE=16K or 64K larger pages.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help setup tree kernel debug-kernel bench-kernel kcsan-kernel cov-kernel selftests run bench bench-mremap programs bench-docs test test-long check check-debug soak check-race cov mutants lint check-configs patch install-headers clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

run: kernel selftests ## build, boot a guest, move 256 MiB with each of three movers, compare collectors, print tables
	@tools/anon_move/run

bench: kernel bench-kernel selftests ## what moving costs, row by row, by each mover: tables and build/BASE/bench.json; BENCH=ROW for one
	@tools/anon_move/bench $(BENCH)

bench-mremap: bench-kernel selftests ## what relocating by mremap() costs, and how many VMAs remain: tables and build/BASE/bench-mremap.json; BENCH=PART for one
	@tools/anon_move/bench-mremap $(BENCH)

programs: kernel selftests ## run programs of Debian's with their mremap() relocated: how often it was, and why not; PROGRAMS="luajit" for some
	@tools/anon_move/programs $(PROGRAMS)

bench-docs: setup ## write the tables and draw the charts of Documentation/mm/anon_move-{bench,mremap,programs}-BASE.* from what those targets left in build/BASE
	@tools/anon_move/bench-docs

test: ## lint, compile tests, guests: of 6.12 on the release kernel, of 7.3 on the debug kernel; with BASE=... one base on both
	@tools/testing/anon_move/test $(BASE)

test-long: ## what takes longer: the other kernel of each base, the collector on every backend, noise, data races, the series patch by patch
	@tools/testing/anon_move/test --long $(BASE)

check: setup kernel selftests ## before a commit, in minutes: lint, unit tests, selftests and stress on the release kernel
	@tools/testing/anon_move/run-tests lint unit selftests stress

check-debug: setup debug-kernel selftests ## all that the debug kernel runs: KASAN, lockdep and the other checkers
	@tools/testing/anon_move/run-tests 'debug-*' fail-nth

check-race: kcsan-kernel selftests ## the selftests that have threads, on the kcsan kernel: no data race may name our code
	@tools/testing/anon_move/run-tests kcsan-selftests

cov: cov-kernel selftests ## how much of our code the tests reach, by gcov and lcov; fails below 95 % of lines, 90 % of branches
	@tools/testing/anon_move/cov

mutants: setup selftests ## break the engine in one way after the other: each time a test must fail; MUTANTS="R3 V8" for some
	@tools/testing/anon_move/mutants/run $(MUTANTS)

soak: kernel debug-kernel selftests ## stress both kernels for hours: make soak HOURS=8
	@tools/testing/anon_move/soak $(HOURS)

setup: ## install the Debian packages that all the rest needs
	@tools/build/setup

tree: setup ## make build/BASE/linux, the patched kernel tree
	@tools/build/tree

kernel: setup ## build the release kernel
	@tools/build/kernel release >/dev/null

debug-kernel: setup ## build the kernel with KASAN, lockdep and the other checkers
	@tools/build/kernel debug >/dev/null

bench-kernel: setup ## build the release kernel with JUMP_LABEL, to measure with
	@tools/build/kernel bench >/dev/null

kcsan-kernel: setup ## build the kernel with KCSAN, which finds data races
	@tools/build/kernel kcsan >/dev/null

cov-kernel: setup ## build the kernel that counts for gcov
	@tools/build/kernel cov >/dev/null

selftests: setup ## build the tests that run in the guest
	@tools/build/selftests

lint: setup ## checkpatch --strict, sparse, W=1, kernel-doc, codespell: silent when all is well
	@tools/build/lint

check-configs: setup ## compile under the configurations that no guest boots, and with clang
	@tools/build/check-configs

patch: tree ## write build/BASE/series, the whole thing as patches for git am
	@tools/build/patch

install-headers: ## install the headers for callers and anon_move.pc: make install-headers PREFIX=/usr/local; DESTDIR is honoured
	@tools/build/install-headers

clean: ## remove build/; what is cached outside stays
	rm -rf build
