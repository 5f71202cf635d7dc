#!/usr/bin/env bash
# Unpacks CBMC, the model checker for C, in the folder $1.
#
# Debian 12 doesn't have it. Debian 13's runs here without being installed: its packages and the
# libraries they need are unpacked, not configured, and started with the dynamic linker that came
# with them. The list of packages is asked from where this machine gets its own; nothing of the
# system changes, and root isn't needed.
set -euo pipefail

target=$1
suite=trixie
packages=(cbmc libc6 libgcc-s1 libstdc++6 minisat zlib1g)

say() {
    echo "millrace: cbmc: $*" >&2
}

# The machine's own sources of Debian's main archive, with another suite: "[options] URI".
archives() {
    local files=() file
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        if [[ -f $file ]]; then
            files+=("$file")
        fi
    done
    awk -v codename="$1" '
        function stanza_end() {
            if (uri != "" && index(suites, " " codename " ")) {
                print key uri
            }
            uri = suites = key = ""
        }
        FNR == 1 { stanza_end() }
        /^deb[ \t]/ {
            options = ""
            line = $0
            if (match(line, /\[[^]]*\]/)) {
                options = substr(line, RSTART, RLENGTH) " "
                line = substr(line, 1, RSTART - 1) substr(line, RSTART + RLENGTH)
            }
            split(line, word, /[ \t]+/)
            if (word[3] == codename) {
                print options word[2]
            }
        }
        /^URIs:/ { uri = $2 }
        /^Suites:/ { suites = " " substr($0, 8) " " }
        /^Signed-By:/ && $2 ~ /^\// { key = "[signed-by=" $2 "] " }
        /^[ \t]*$/ { stanza_end() }
        END { stanza_end() }
    ' "${files[@]}" | sort -u
}

partial=
clean_up() {
    if [[ -n $partial ]]; then
        rm -rf "$partial"
    fi
}
trap clean_up EXIT

for tool in apt-get dpkg awk; do
    if ! command -v "$tool" >/dev/null; then
        say "$tool is needed, of Debian 12"
        exit 1
    fi
done
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
mkdir -p "$(dirname "$target")"
partial=$(mktemp -d "$target.XXXXXX")
mkdir -p "$partial/apt/lists/partial" "$partial/apt/archives/partial" "$partial/debs"
archives "$codename" | sed "s|\$| $suite main|; s|^|deb |" >"$partial/apt/sources.list"
if [[ ! -s $partial/apt/sources.list ]]; then
    say "no source of Debian $codename in /etc/apt: put cbmc and its libraries in $target by hand"
    exit 1
fi
apt_options=(
    -qq
    -o "Dir::Etc::SourceList=$partial/apt/sources.list"
    -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$partial/apt/lists"
    -o "Dir::Cache=$partial/apt"
    -o Dir::State::status=/dev/null
    -o APT::Sandbox::User=
    -o Acquire::Languages=none
    -o Debug::NoLocking=1
)
apt-get "${apt_options[@]}" update >&2
(cd "$partial/debs" && apt-get "${apt_options[@]}" download "${packages[@]}" >&2)
for package in "$partial"/debs/*.deb; do
    dpkg -x "$package" "$partial"
done
rm -rf "$partial/apt" "$partial/debs"
chmod 755 "$partial"
mv -T "$partial" "$target" 2>/dev/null || true  # Another may have been faster.
[[ -d $target ]]
