#!/usr/bin/env bash
# Makes a library with the names of the NVIDIA driver's own that answers every call with one error: to link with where there
# is no driver, and to see what the program says with a driver that does not work.
#   usage: stub_driver.sh DECLARATIONS.rs CODE FOLDER [GPU]
# CODE is one of CUresult: 100 no device, 803 driver of another version, 999 unknown, 2 out of memory. With the name of a
# GPU, the calls that list devices tell of one of that name, and only what would use it fails.
set -euo pipefail
declarations=$1 code=$2 folder=$3 gpu=${4:-}
mkdir -p "$folder"
listing='cuInit|cuDeviceGet|cuDeviceGetCount|cuDeviceGetName|cuDeviceGetUuid_v2|cuDeviceTotalMem_v2'
[ -n "$gpu" ] || listing='none'
{
    grep -oE 'fn cu[A-Z][A-Za-z0-9_]*\(' "$declarations" | sed -E 's/fn (.*)\(/\1/' | sort -u | grep -vxE "$listing" |
        awk -v code="$code" '{ print "int " $1 "(void) { return " code "; }" }'
    if [ -n "$gpu" ]; then
        cat << C
#include <string.h>
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char *name, int length, int device) { strncpy(name, "$gpu", length); return 0; }
int cuDeviceGetUuid_v2(char *uuid, int device) { memset(uuid, 7, 16); return 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = (size_t)8 << 30; return 0; }
C
    fi
} > "$folder/stub.c"
gcc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$folder/libcuda.so" "$folder/stub.c"
ln -sf libcuda.so "$folder/libcuda.so.1"
