# SPDX-License-Identifier: GPL-2.0
# Fetches packages that this machine's own set-up of apt does not have, with apt, in a folder of ours: neither that set-up
# nor what is installed changes. Sourced after env.sh; the caller has set $state, the folder.

# The mirror of Debian that this machine uses itself; a proxy and the like come from its apt.conf.
mirror() {
	apt-get indextargets --format '$(ORIGIN) $(LABEL) $(COMPONENT) $(SITE)' 'Created-By: Packages' |
		awk '$1 == "Debian" && $2 == "Debian" && $3 == "main" { print $4; exit }'
}

# fetch_apt PROGRAM ARG...: as root apt would hand the work to a user who can't see our folder.
fetch_apt() {
	local program=$1

	shift
	"$program" -o Dir::Etc::sourcelist="$state/sources" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::State="$state" -o Dir::State::status=/dev/null -o Dir::Cache="$state" \
		-o APT::Sandbox::User=root -o Acquire::Retries=3 "$@"
}

# fetch_lists SITE SUITE ARCHITECTURE: apt checks the suite's signature, and by it each package. Fails with the reason in
# $state/log.
fetch_lists() {
	mkdir -p "$state"/{lists,archives}/partial
	printf 'deb [arch=%s signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$3" "$1" "$2" \
		>"$state/sources"
	fetch_apt apt-get update >"$state/log" 2>&1 && ! grep -q '^[EW]:' "$state/log"
}
