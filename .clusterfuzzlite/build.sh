#!/bin/bash -eu
# The same targets in the same way as OSS-Fuzz.
exec "$SRC/millrace/fuzz/oss-fuzz/build.sh"
