#!/bin/sh
# make_prefix.sh OUTPUT.tar: a new prefix of Wine's, as small as it gets.
#
# Wine copies its hundreds of DLLs into C:\windows, 600 MB. Links to the originals do, too.
set -eu

output=$(realpath "$1")
folder=$(mktemp -d /tmp/millrace-wine-XXXXXX)
trap 'rm -rf "$folder"' EXIT
export HOME="$folder"
here=$(dirname "$0")
# shellcheck source=environment.sh
set -- "$folder/prefix"
. "$here/environment.sh"

"$wine" wineboot --init >"$folder/log" 2>&1 || {
    cat "$folder/log" >&2
    exit 1
}
"$wineserver" -w

# Its 32-bit half can't run here.
rm -rf "$WINEPREFIX/drive_c/windows/syswow64" "$WINEPREFIX/drive_c/windows/Installer"
originals=$(dirname "$wine")/../x86_64-linux-gnu/wine/x86_64-windows
originals=$(realpath "$originals")
find "$WINEPREFIX/drive_c" -type f -size +4k | while read -r file; do
    original=$originals/${file##*/}
    if [ -e "$original" ] && cmp -s "$file" "$original"; then
        ln -sf "$original" "$file"
    fi
done
tar -C "$WINEPREFIX" --owner=0 --group=0 -cf "$output" .
