# Sourced by scripts that run Wine, with $1: the folder that is or becomes its prefix.

wine=/usr/lib/wine/wine64
wineserver=/usr/lib/wine/wineserver64

if [ ! -x "$wine" ] || [ ! -x "$wineserver" ]; then
    echo "Wine is missing, which runs programs for Windows. tools/bazel test installs it;" >&2
    echo "by hand: apt-get install --no-install-recommends wine wine64" >&2
    exit 1
fi

# No 32-bit programs, no display, nothing that asks for .NET or a browser, and no output of
# Wine's own beside the program's.
export WINEPREFIX="$1"
export WINEARCH=win64
export WINELOADER="$wine"
export WINESERVER="$wineserver"
export WINEDEBUG="${WINEDEBUG:--all}"
export WINEDLLOVERRIDES="mscoree,mshtml,winemenubuilder.exe="
unset DISPLAY
# Names of files are UTF-8.
export LC_ALL=C.UTF-8
