#!/usr/bin/env bash
# Unpacks mimalloc's source in the folder $1, for programs for Windows.
#
# Debian has this library built for Linux alone, and its source in no package that apt-get
# installs; in the source package it has it, and apt-get checks that against the archive's signed
# list.
set -euo pipefail
# shellcheck source=tools/debian.sh
. "$(dirname "${BASH_SOURCE[0]}")/debian.sh"

begin mimalloc "$1" deb-src
mkdir "$partial/package"
# Unpacked here: apt-get would want dpkg-dev for that.
(cd "$partial/package" && apt-get "${apt_options[@]}" source --download-only mimalloc >&2)
tar -C "$partial" --strip-components=1 -xf "$partial"/package/mimalloc_*.orig.tar.*
rm -rf "$partial/package"
finish "$1"
