#!/usr/bin/env bash
# Assembles a CUDA kit from Python wheels, on a machine that has no GPU, no driver and no CUDA toolkit: compiler, headers,
# libraries to link with, and a stub in the place of the driver's own library. Prints nothing if the kit is there already.
#   usage: kit.sh [FOLDER]     (default: ~/.cache/cuda-kit-13.0; the wheels lie beside it, in FOLDER.venv)
# Needs: gcc up to 15, python3 with venv, cargo.
set -euo pipefail
kit=${1:-${CUDA_KIT:-$HOME/.cache/cuda-kit-13.0}}
project=$(cd "$(dirname "$0")/../.." && pwd)

# CUDA 13.0: drivers from 580 on can run what it makes.
wheels=(
    nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-cccl==13.0.85
    nvidia-cuda-runtime==13.0.96 nvidia-cuda-nvrtc==13.0.88 nvidia-cublas==13.0.2.14 nvidia-curand==10.4.0.35
)

if [ ! -x "$kit/bin/nvcc" ]; then
    [ -x "$kit.venv/bin/pip" ] || python3 -m venv "$kit.venv"
    "$kit.venv/bin/pip" install --quiet "${wheels[@]}"
    found=$(echo "$kit.venv"/lib/python3*/site-packages/nvidia/cu13)
    rm -rf "$kit"
    mkdir -p "$kit/lib/stubs"
    cp -as "$found/bin" "$found/include" "$found/nvvm" "$kit/"
    # The compiler looks for its root beside its real path: a link would lead it back to the wheels.
    rm "$kit/bin/nvcc" "$kit/bin/nvcc.profile"
    cp "$found/bin/nvcc" "$found/bin/nvcc.profile" "$kit/bin/"
    for library in "$found"/lib/*; do ln -s "$library" "$kit/lib/"; done
    ln -s lib "$kit/lib64"
    # Wheels have no names without a version, which is what a linker looks for.
    for name in cublas cublasLt cudart curand nvrtc; do
        library=$(find "$found/lib" -name "lib$name.so.*" ! -name '*alt*' | sort | head -n 1)
        ln -sf "$library" "$kit/lib/lib$name.so"
    done
fi

# The driver's library comes with the driver. What has its names, and says "no CUDA device" to every call, is enough to link
# with; the names are those that the crate `cudarc` declares.
if [ ! -e "$kit/lib/stubs/libcuda.so" ]; then
    (cd "$project" && cargo fetch --quiet)
    sources=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -maxdepth 2 -name 'cudarc-*' | sort -V | tail -n 1)
    "$(dirname "$0")/stub_driver.sh" "$sources/src/driver/sys/mod.rs" 100 "$kit/lib/stubs"
fi
