# shellcheck shell=bash disable=SC2034
# Sourced by the scripts that unpack what Debian has, but this machine's apt-get can't install.
#
# Packages are asked from where this machine gets its own, with apt's own checks of their origin
# and contents. Nothing of the system changes, and root isn't needed.

# Says $2... for the program $1.
say() {
    local program=$1
    shift
    echo "millrace: $program: $*" >&2
}

# The machine's own sources of Debian's main archive for the suite $1: "[options] URI".
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

# For the program $1, which becomes the folder $2: makes $partial, a folder beside it, and
# $apt_options with which apt-get knows the $3 (deb, deb-src) of the suite $4 (default: this
# machine's own).
begin() {
    local program=$1 target=$2 kind=$3 suite=${4:-} tool codename
    for tool in apt-get awk dpkg; do
        if ! command -v "$tool" >/dev/null; then
            say "$program" "$tool is needed, of Debian 12"
            return 1
        fi
    done
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    mkdir -p "$(dirname "$target")"
    trap clean_up EXIT
    partial=$(mktemp -d "$target.XXXXXX")
    mkdir -p "$partial/apt/lists/partial" "$partial/apt/archives/partial"
    archives "$codename" | sed "s|\$| ${suite:-$codename} main|; s|^|$kind |" \
        >"$partial/apt/sources.list"
    if [[ ! -s $partial/apt/sources.list ]]; then
        say "$program" "no source of Debian $codename in /etc/apt: fill $target by hand"
        return 1
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
}

# $partial becomes the folder $1, which is complete if it exists.
finish() {
    rm -rf "$partial/apt"
    chmod 755 "$partial"
    mv -T "$partial" "$1" 2>/dev/null || true  # Another may have been faster.
    [[ -d $1 ]]
}
