#!/usr/bin/env bash
# Fuzzes what reads inputs, on stable Rust: tools/fuzz.sh SECONDS [TARGET...]
#
# Every target (all of fuzz/fuzz_targets, if none is named) runs for so many seconds on one core. What it learns stays in the build
# folder, an input that fails in fuzz/found/TARGET: repair the program, keep the input, and `cargo test` replays it for ever.
# RUNS=N ends a target after N executions too, JOBS=N runs so many targets side by side.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$HOME/.cargo/bin:$PATH"
case ${1:-} in
'' | *[!0-9]*)
  echo "usage: tools/fuzz.sh SECONDS [TARGET...]" >&2
  exit 2
  ;;
esac
seconds=$1
shift
[ $# -gt 0 ] || set -- $(cd fuzz/fuzz_targets && ls *.rs | sed 's/\.rs$//')

# libFuzzer's runtime is C++: the one thing that the program itself does not need.
if ! command -v c++ >/dev/null; then
  echo "libFuzzer's runtime is built with a C++ compiler; installing g++" >&2
  sudo=$([ "$(id -u)" = 0 ] || echo sudo)
  $sudo apt-get update && $sudo apt-get install -y --no-install-recommends g++
fi

target_dir=${CARGO_TARGET_DIR:-$PWD/fuzz/target}
RUSTC_WRAPPER="$PWD/fuzz/rustc.sh" CARGO_TARGET_DIR="$target_dir" ${CARGO:-cargo} build --release --manifest-path fuzz/Cargo.toml \
  $(printf -- '--bin %s ' "$@")

# Inputs go through files: in memory, where the system has a place for that.
export TMPDIR
TMPDIR=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")")
trap 'rm -rf "$TMPDIR"' EXIT

# The longest inputs; 64 KiB where nothing is said.
longest() {
  case $1 in
  pickle) echo $((4 << 20)) ;;
  ids | answers) echo 1024 ;;
  pictures) echo $((1 << 15)) ;;
  npy | layers | pairs | shards | configs | wire) echo $((1 << 13)) ;;
  *) echo $((1 << 16)) ;;
  esac
}

fuzz() {
  local target=$1 learned="$target_dir/corpus/$1"
  mkdir -p "$learned" "fuzz/found/$target" "fuzz/corpus/$target"
  local options=(-max_total_time="$seconds" -max_len="$(longest "$target")" -timeout=10 -rss_limit_mb=2048
    -artifact_prefix="fuzz/found/$target/" -print_final_stats=1 -use_value_profile="${PROFILE:-0}")
  [ -z "${RUNS:-}" ] || options+=(-runs="$RUNS")
  [ ! -f "fuzz/dictionaries/$target.txt" ] || options+=(-dict="fuzz/dictionaries/$target.txt")
  local log="$target_dir/$target.log" outcome=0
  nice "$target_dir/release/$target" "${options[@]}" "$learned" "fuzz/corpus/$target" "fuzz/found/$target" >"$log" 2>&1 || outcome=$?
  rmdir "fuzz/found/$target" 2>/dev/null || true
  echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") executions, exit $outcome ($log)"
  return "$outcome"
}

outcome=0
for target; do
  while [ "$(jobs -rp | wc -l)" -ge "${JOBS:-1}" ]; do wait -n || outcome=1; done
  fuzz "$target" &
done
while [ "$(jobs -rp | wc -l)" -gt 0 ]; do wait -n || outcome=1; done
exit "$outcome"
