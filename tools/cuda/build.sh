#!/usr/bin/env bash
# Builds the program and its GPU worker, on a machine that needs neither GPU nor driver. See README.md beside this file.
#   usage: build.sh [FOLDER]     the folder that both executables are put into (default: target/cuda)
#   CUDA_COMPUTE_CAP   80 (default): every GPU from Ampere on, later ones translate at the first start; 90: Hopper alone
#   CUDA_KIT           where the kit lies (default: ~/.cache/cuda-kit-13.0)
#   CUDAFORGE_THREADS  how many kernels are compiled at a time
#   CARGO_FLAGS        more for cargo, such as `--config profile.release.lto=false`
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
folder=${1:-$target/cuda}
kit=${CUDA_KIT:-$HOME/.cache/cuda-kit-13.0}
tools/cuda/kit.sh "$kit"

# Without the kit: the program itself links nothing of CUDA and starts anywhere.
# shellcheck disable=SC2086
cargo build --release --bin featscope ${CARGO_FLAGS:-}
mkdir -p "$folder"
cp "$target/release/featscope" "$folder/"

source tools/cuda/environment.sh
# Without the window, which the worker does not open.
# shellcheck disable=SC2086
cargo build --release --no-default-features --features cuda,cli,hub --bin featscope-cuda ${CARGO_FLAGS:-}
cp "$target/release/featscope-cuda" "$folder/"
ls -l "$folder"
