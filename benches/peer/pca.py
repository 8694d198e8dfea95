"""Times scikit-learn's PCA(3) on the shapes and spectra of benches/analysis.rs, on one thread.

    python pca.py [--repeat N]

Prints one line per shape, spectrum and solver: seconds, the best of N runs.
"""

import os

# Before numpy is imported: its libraries read them once.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import time

import numpy as np
import sklearn
from sklearn.decomposition import PCA

SHAPES = {"4096x1280": (4096, 1280), "16384x640": (16384, 640)}
# (number of directions, how each fades against the one before, strength of the noise)
SPECTRA = {"fading": (40, 0.9, 0.05), "slow": (100, 0.97, 0.1), "flat": (0, 1.0, 1.0)}
SOLVERS = ("auto", "covariance_eigh", "full")


def features(positions, channels, directions, fade, noise):
    rng = np.random.default_rng(7)
    x = noise * rng.standard_normal((positions, channels), dtype=np.float32)
    strength = (fade ** np.arange(directions)).astype(np.float32)
    along = rng.standard_normal((positions, directions), dtype=np.float32) * strength
    return x + along @ rng.standard_normal((directions, channels), dtype=np.float32)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=3)
    repeat = parser.parse_args().repeat
    print(f"scikit-learn {sklearn.__version__}, numpy {np.__version__}, 1 thread, best of {repeat}")
    for shape, (positions, channels) in SHAPES.items():
        for spectrum, parameters in SPECTRA.items():
            x = features(positions, channels, *parameters)
            for solver in SOLVERS:
                seconds = []
                for _ in range(repeat):
                    start = time.perf_counter()
                    PCA(3, svd_solver=solver).fit(x)
                    seconds.append(time.perf_counter() - start)
                print(f"pca/{shape} {spectrum:7} {solver:16} {min(seconds):8.3f} s", flush=True)


if __name__ == "__main__":
    main()
