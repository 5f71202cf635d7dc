#!/bin/sh
# run.sh PREFIX.tar PROGRAM.exe [ARGUMENT]...
#
# Runs a program for Windows in a prefix of its own, which is gone afterwards. The exit status
# is the program's.
set -u

tar=$1
shift
folder=$(mktemp -d "${TEST_TMPDIR:-/tmp}/wine-XXXXXX") || exit 1
finish() {
    [ -z "${wineserver:-}" ] || "$wineserver" -k >/dev/null 2>&1
    rm -rf "$folder"
}
trap finish EXIT
tar -C "$folder" -xf "$tar" || exit 1
export HOME="$folder"

use() {
    # shellcheck source=environment.sh
    . "$(dirname "$0")/environment.sh"
}
use "$folder"
# GoogleTest on Windows takes Bazel's path of the report for a relative one. Bazel makes the report
# itself when there is none.
unset XML_OUTPUT_FILE
"$wine" "$@"
