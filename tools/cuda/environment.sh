# Sourced by bash: what cargo needs to build with the feature `cuda` from the kit that kit.sh assembles.
kit=${CUDA_KIT:-$HOME/.cache/cuda-kit-13.0}
# gcc looks for libraries in LIBRARY_PATH. Flags for rustc would build every crate a second time.
export CUDA_HOME=$kit CUDA_PATH=$kit NVCC=$kit/bin/nvcc PATH=$kit/bin:$PATH
export LIBRARY_PATH=$kit/lib:$kit/lib/stubs${LIBRARY_PATH:+:$LIBRARY_PATH}
# Every GPU from Ampere on: later ones translate at the first start.
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80}
