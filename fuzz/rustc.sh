#!/usr/bin/env bash
# The compiler for tools/fuzz.sh: rustc, which counts the branches taken in the crates that read inputs. On stable Rust, by LLVM's own
# pass; libFuzzer's runtime, which libfuzzer-sys brings along, reads the counts.
set -euo pipefail
rustc=$1
shift
instrumented=" featscope featscope_fuzz image image_webp png qoi url zune_jpeg safetensors serde_json rmp rmp_serde "
name=
kind=
previous=
for argument in "$@"; do
  [ "$previous" = --crate-name ] && name=$argument
  [ "$previous" = --crate-type ] && kind=$argument
  previous=$argument
done
if [[ "$instrumented" = *" $name "* || ( "$kind" = bin && "${CARGO_PKG_NAME:-}" = featscope-fuzz ) ]]; then
  set -- "$@" -Cpasses=sancov-module
  for flag in level=3 inline-8bit-counters pc-table trace-compares; do
    set -- "$@" "-Cllvm-args=-sanitizer-coverage-$flag"
  done
fi
exec "$rustc" "$@"
