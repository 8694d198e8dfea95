#!/usr/bin/env bash
# Everything that has to be known of a GPU, in one command: builds the program with its worker, makes models of full size
# with random weights, and measures. Each line of FOLDER/results.jsonl is one measurement.
#   usage: benches/gpu/run.sh FOLDER      FOLDER has room for 20 GB; what is there already is not made again
#   PEER_PYTHON   a Python with benches/peer/requirements.txt and a PyTorch that uses the GPU (default: python3)
#   DEVICE        default cuda:0; `cpu` shows that the script itself works where there is no GPU
#   MODELS        default "sd15 sdxl"; the embedded model is always measured
set -euo pipefail
out=$(realpath -m "${1:?a folder is needed}")
cd "$(dirname "$0")/../.."
python=${PEER_PYTHON:-python3} device=${DEVICE:-cuda:0} models=${MODELS-"sd15 sdxl"}
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$out"
results=$out/results.jsonl
: > "$results"

# 1. The program, its worker and this benchmark with the same operators.
if [ "$device" = cpu ]; then
    cargo build --release --bin featscope
    cargo bench --no-run --bench gpu
    worker=$target/release/featscope
else
    tools/cuda/build.sh "$out/bin"
    source tools/cuda/environment.sh
    cargo bench --no-run --features cuda --bench gpu
    worker=$out/bin/featscope-cuda
    # The wheels that it was built with have the libraries that it runs with.
    export LD_LIBRARY_PATH=$CUDA_HOME/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi
bench=$(find "$target/release/deps" -maxdepth 1 -name 'gpu-*' -executable -type f -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)
worker=$(realpath "$worker")

measure() { # arguments of the benchmark
    echo "+ $*" >&2
    # One that fails says so in its line, and the others go on.
    "$bench" "$@" --device "$device" >> "$results" ||
        printf '{"what":"FAILED","arguments":"%s"}\n' "$*" >> "$results"
}

# The most memory that the GPU holds while a command runs, of all programs on it.
peak_of() {
    local most=$out/peak
    echo 0 > "$most"
    while sleep 0.1; do
        nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits 2> "$out/smi.log" | head -n 1
    done | awk -v file="$most" '$1 > most { most = $1; print most > file; close(file) }' &
    local watcher=$!
    "$@"
    kill "$watcher" 2>> "$out/smi.log" || true
    printf '{"what":"peak MiB","of":"%s","found":%s}\n' "${*:2}" "$(cat "$most")" >> "$results"
}

# 2. What the machine is, and whether every device computes what the CPU computes.
FEATSCOPE_WORKER=$worker "$target/release/featscope" doctor --offline > "$out/doctor.txt" || true
cat "$out/doctor.txt"

# 3. The embedded model: no download, no weights to make.
for dtype in f32 f16 bf16; do measure parity --dtype "$dtype"; done
measure first-map "$worker" --dtype f16
measure cancels "$worker" --dtype f16

# 4. Full size.
for model in $models; do
    [ -e "$out/$model/done" ] || "$python" benches/peer/weights.py "$out" --only "$model"
    for dtype in f32 f16 bf16; do measure parity --model "$out/$model" --dtype "$dtype"; done
    preset=()
    [ "$model" = sd15 ] && preset=(--preset sd15-practical)
    side=512
    [ "$model" = sdxl ] && side=1024
    # In turn, so that what else the machine does is the same for both.
    for turn in 1 2 3; do
        echo "turn $turn" >&2
        for dtype in bf16 f16; do
            peak_of measure pass "${preset[@]}" --model "$out/$model" --side "$side" --dtype "$dtype"
            modules=()
            [ "$model" = sdxl ] && modules=(--modules)
            "$python" benches/peer/gpu.py "$out/$model" --dtype "$dtype" --side "$side" --device "$device" "${modules[@]}" >> "$results" ||
                printf '{"what":"FAILED","arguments":"peer %s %s"}\n' "$model" "$dtype" >> "$results"
        done
    done
    measure first-map "$worker" --model "$out/$model" --dtype f16
    measure cancels "$worker" --model "$out/$model" --dtype f16
    measure memory "$worker" --model "$out/$model" --dtype f16
done
cat "$results"
