#!/usr/bin/env bash
# Makes a library with the names of the NVIDIA driver's own that answers every call with one error: to link with where there
# is no driver, and to see what the program says with a driver that does not work.
#   usage: stub_driver.sh DECLARATIONS.rs CODE FOLDER
# CODE is one of CUresult: 100 no device, 803 driver of another version, 999 unknown, 2 out of memory.
set -euo pipefail
declarations=$1 code=$2 folder=$3
mkdir -p "$folder"
grep -oE 'fn cu[A-Z][A-Za-z0-9_]*\(' "$declarations" | sed -E 's/fn (.*)\(/\1/' | sort -u |
    awk -v code="$code" '{ print "int " $1 "(void) { return " code "; }" }' > "$folder/stub.c"
gcc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$folder/libcuda.so" "$folder/stub.c"
ln -sf libcuda.so "$folder/libcuda.so.1"
