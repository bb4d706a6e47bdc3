# SPDX-License-Identifier: GPL-2.0
# What every script of the build agrees on: paths, the base kernel, how to complain. Sourced, never run.
# BASE says which of the base kernels in patches/, ARCH for which architecture, PAGE_SIZE with pages of which size; all may
# come from the environment or make's command line.

set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/anon_move
BASES=$(cd "$TOP/patches" && echo *)
# The suite of Debian that has a base's source where this machine's own suites need not; the others are just installed.
declare -A SUITE=([7.3]=trixie-backports)
# Of the two kernels that tests boot, the one that a base has in 'make test', as to compile both takes too long.
declare -A TESTED=([6.12]=release [7.3]=debug)
# The one that tests boot with pages of all sizes.
PAGES_BASE=6.12
JOBS=${JOBS:-$(nproc)}

# Compiled objects survive the checkout: a fresh clone finds them by content, whatever its path.
export CCACHE_DIR=$CACHE/ccache CCACHE_BASEDIR=$TOP CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=8G
# A file that is not there yet is not preprocessed twice.
export CCACHE_DEPEND=1
export PATH=/usr/lib/ccache:$PATH
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970' KBUILD_BUILD_USER=anon_move KBUILD_BUILD_HOST=anon_move

# Kbuild takes ARCH from the environment as well; of the machine's own it needs not be told.
case ${ARCH:=x86} in
x86 | x86_64) ARCH=x86 IMAGE=arch/x86/boot/bzImage QEMU=qemu-system-x86_64; export -n ARCH ;;
arm64) IMAGE=arch/arm64/boot/Image QEMU=qemu-system-aarch64; export ARCH CROSS_COMPILE=aarch64-linux-gnu- ;;
*) printf '%s\n' "${0##*/}: no architecture '$ARCH'; ARCH may be x86, arm64" >&2; exit 1 ;;
esac
case $ARCH-${PAGE_SIZE:=4K} in
x86-4K | arm64-4K | arm64-16K | arm64-64K) export PAGE_SIZE ;;
*) printf '%s\n' "${0##*/}: $ARCH has no pages of '$PAGE_SIZE'; PAGE_SIZE may be 4K, and 16K or 64K with ARCH=arm64" >&2; exit 1 ;;
esac

say() { printf '%s\n' ">> $*" >&2; }
die() { printf '%s\n' "${0##*/}: $*" >&2; exit 1; }

# The base whose series fits somebody's own tree; if none does, the default, so that what does not fit is told.
base_of() {
	local base

	for base in $BASES; do
		cat "$TOP/patches/$base"/*.patch | patch -d "$1" -p1 -F0 -fs --dry-run >/dev/null 2>&1 && break
		base=6.12
	done
	echo "$base"
}

[ -n "${BASE:-}" ] || [ -z "${KSRC:-}" ] || BASE=$(base_of "$KSRC")
export BASE=${BASE:-6.12}
[ -f "$TOP/patches/$BASE/series" ] || die "there is no base '$BASE'; BASE may be ${BASES// /, }"
PATCHES=$TOP/patches/$BASE
# Where all that is built of a base lies: build/7.3, build/7.3-arm64, or build/7.3-arm64-64K.
build_of() {
	local kind=-$ARCH-$PAGE_SIZE

	kind=${kind%-4K}
	echo "$TOP/build/$1${kind#-x86}"
}
BUILD=$(build_of "$BASE")
# And how figures of it are called.
VARIANT=${BUILD##*/}
TREE=$BUILD/linux
BASE_PACKAGE=linux-source-$BASE

# Where a file of ours lies in a kernel tree: each base has a header of its own, and all trees know it by one name.
BASE_HEADER="mm/anon_move/base-${BASE//./\\.}\.h"
in_tree() { sed "s|^$BASE_HEADER\$|mm/anon_move/base.h|"; }
OTHER_BASES=()
for other in $BASES; do [ "$other" = "$BASE" ] || OTHER_BASES+=(":!mm/anon_move/base-$other.h"); done

# Every file of the overlay that belongs in this base's tree, relative to the top of the checkout.
overlay_files() {
	git -C "$TOP" ls-files --cached --others --exclude-standard --deduplicate -- \
		fs mm include Documentation tools/testing/selftests "${OTHER_BASES[@]}" |
		while read -r file; do [ ! -e "$TOP/$file" ] || printf '%s\n' "$file"; done
}

# The fragments of tools/vm/configs that are named, behind those that every kernel of this base has. One architecture may have
# more of a name.
config_fragments() {
	local name file

	for name in guest "base-$BASE" "pages-$PAGE_SIZE" "$@"; do
		for file in "$TOP/tools/vm/configs/$name"{,-"$ARCH"}.config; do [ ! -f "$file" ] || cat "$file"; done
	done
}

# Where the libraries and programs of a foreign architecture lie, and how to compile for it.
SYSROOT=$CACHE/sysroot-$ARCH
COMPILER=${CROSS_COMPILE:-}gcc
[ "$ARCH" = x86 ] || COMPILER="$COMPILER --sysroot=$SYSROOT"

# The pristine base: KSRC when given, else the unpacked Debian package. Not a symlink to it, of which a copy is one as well.
base_dir() {
	local dir

	if [ -n "${KSRC:-}" ]; then
		[ -f "$KSRC/Kbuild" ] || die "KSRC=$KSRC is not a kernel source tree"
		[ ! -e "$KSRC/include/config" ] || die "KSRC=$KSRC was built in place; run 'make mrproper' there first"
		realpath "$KSRC"
	else
		dir=$("$TOP/tools/build/source") && realpath "$dir"
	fi
}
