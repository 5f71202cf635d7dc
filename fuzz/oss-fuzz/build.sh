#!/bin/bash -eu
# Builds all fuzz targets as OSS-Fuzz wants it: compilers and flags come in $CC, $CFLAGS, $CXX,
# $CXXFLAGS and $LIB_FUZZING_ENGINE, the tree is $SRC/millrace, and what is to be run goes to $OUT:
# each target, its dictionary, its options and its seeds.
#
# The campaign (fuzz/campaign) builds with it, too, for its engines. Bazel isn't needed. What is
# compiled is what the targets can reach: no backend but the simulated one, no process, no files.
# JOBS compilers run at a time (as many as there are cores). ALL_TARGETS=1 also builds those that
# fail on purpose. CRYPTO names another libcrypto than the static one.
set -o pipefail
cd "$SRC/millrace"

folders=(base codec trie io io/buf io/ring io/sim broker/auth broker/config broker/log
    broker/message broker/protocol broker/registry broker/retained broker/router broker/session
    broker/sys fuzz)
flags=(-std=c17 -D_GNU_SOURCE -DMR_DEBUG=1 -DMR_FUZZ=1 -DXXH_INLINE_ALL -I.)
jobs=${JOBS:-$(nproc)}
objects=$WORK/objects
mkdir -p "$objects" "$OUT"

sources=(tests/sim/core.c)
for folder in "${folders[@]}"; do
    for source in "$folder"/*.c; do
        case $source in
            *windows*) ;;  # What another system needs.
            *) sources+=("$source") ;;
        esac
    done
done

compile_one() {
    # shellcheck disable=SC2086  # Flags are words.
    $CC $CFLAGS "${@:2}" -c "$1" -o "$objects/${1//\//-}.o"
}
export -f compile_one
export objects CFLAGS CC
printf '%s\0' "${sources[@]}" |
    xargs -0 -P "$jobs" -I '{}' bash -euc 'compile_one "$@"' _ '{}' "${flags[@]}"

library=$objects/libmillrace.a
rm -f "$library"
for source in "${sources[@]}"; do
    case $source in
        fuzz/*_fuzz.c) ;;
        *) echo "$objects/${source//\//-}.o" ;;
    esac
done | xargs "${AR:-ar}" rcs "$library"

python3 fuzz/targets.py ${ALL_TARGETS:+--all} | while read -r name len_max dictionary; do
    # shellcheck disable=SC2086
    $CXX $CXXFLAGS "$objects/fuzz-$name.c.o" "$library" $LIB_FUZZING_ENGINE \
        "${CRYPTO:--l:libcrypto.a}" -ldl -pthread -o "$OUT/$name"
    printf '[libfuzzer]\nmax_len = %s\n' "$len_max" >"$OUT/$name.options"
    if [[ $dictionary != - ]]; then
        cp "fuzz/$dictionary" "$OUT/$name.dict"
        printf 'dict = %s.dict\n' "$name" >>"$OUT/$name.options"
    fi
    if [[ -d fuzz/corpus/$name ]]; then
        rm -f "$OUT/${name}_seed_corpus.zip"
        python3 -m zipfile -c "$OUT/${name}_seed_corpus.zip" fuzz/corpus/"$name"/*
    fi
done
