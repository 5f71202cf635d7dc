#!/usr/bin/env bash
# Unpacks CBMC, the model checker for C, in the folder $1.
#
# Debian 12 doesn't have it. Debian 13's runs here without being installed: its packages and the
# libraries they need are unpacked, not configured, and started with the dynamic linker that came
# with them.
set -euo pipefail
# shellcheck source=tools/debian.sh
. "$(dirname "${BASH_SOURCE[0]}")/debian.sh"

begin cbmc "$1" deb trixie
mkdir "$partial/debs"
(cd "$partial/debs" && apt-get "${apt_options[@]}" download \
    cbmc libc6 libgcc-s1 libstdc++6 minisat zlib1g >&2)
for package in "$partial"/debs/*.deb; do
    dpkg -x "$package" "$partial"
done
rm -rf "$partial/debs"
finish "$1"
