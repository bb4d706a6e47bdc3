# SPDX-License-Identifier: GPL-2.0
# What every script of the build agrees on: paths, the base kernel, how to complain. Sourced, never run.

set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/anon_move
BUILD=$TOP/build
TREE=$BUILD/linux
BASE_PACKAGE=linux-source-6.12
JOBS=${JOBS:-$(nproc)}

# Compiled objects survive the checkout: a fresh clone finds them by content, whatever its path.
export CCACHE_DIR=$CACHE/ccache CCACHE_BASEDIR=$TOP CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=8G
export PATH=/usr/lib/ccache:$PATH
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970' KBUILD_BUILD_USER=anon_move KBUILD_BUILD_HOST=anon_move

say() { printf '%s\n' ">> $*" >&2; }
die() { printf '%s\n' "${0##*/}: $*" >&2; exit 1; }

# Every file of the overlay that belongs in a kernel tree, relative to the top of both.
overlay_files() {
	git -C "$TOP" ls-files --cached --others --exclude-standard --deduplicate -- \
		fs mm include Documentation tools/testing/selftests |
		while read -r file; do [ ! -e "$TOP/$file" ] || printf '%s\n' "$file"; done
}

# The pristine base: KSRC when given, else the unpacked Debian package.
base_dir() {
	if [ -n "${KSRC:-}" ]; then
		[ -f "$KSRC/Kbuild" ] || die "KSRC=$KSRC is not a kernel source tree"
		[ ! -e "$KSRC/include/config" ] || die "KSRC=$KSRC was built in place; run 'make mrproper' there first"
		(cd "$KSRC" && pwd)
	else
		printf '%s\n' "$CACHE/$BASE_PACKAGE-$(dpkg-query -W -f '${Version}' "$BASE_PACKAGE")"
	fi
}
