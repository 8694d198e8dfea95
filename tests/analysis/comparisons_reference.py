"""Makes tests/data/comparisons.json: figures that compare maps, computed with NumPy and SciPy alone.

    python3 tests/analysis/comparisons_reference.py tests/data/comparisons.json

The maps are made of sines, so that the test makes the same ones: see `feature_map`.
"""

import json
import sys

import numpy as np
from scipy.ndimage import correlate


def feature_map(seed, channels, height, width):
    """(channels, height, width), float32: waves of another direction and offset in every channel."""
    c, i, j = np.meshgrid(np.arange(channels), np.arange(height), np.arange(width), indexing="ij")
    wave = np.sin(0.9 * seed + 0.31 * (c + 1) * (i + 1) + (0.17 * seed + 0.23) * (c + 2) * j)
    return (wave + 0.05 * c * i + 0.3).astype(np.float32)


def rows(features, height, width):
    """(n, channels): every position, enlarged to a grid by nearest neighbour."""
    _, own_height, own_width = features.shape
    i = np.arange(height) * own_height // height
    j = np.arange(width) * own_width // width
    return features[:, i][:, :, j].reshape(features.shape[0], -1).T.astype(np.float64)


def gram(x):
    x = x - x.mean(0)
    return x @ x.T


def hsic_unbiased(k, l):
    n = len(k)
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))
    one = np.ones(n)
    total = np.trace(k @ l) + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ l @ one)
    return total / (n * (n - 3))


def cka(x, y, unbiased):
    k, l = gram(x), gram(y)
    if unbiased:
        k, l = x @ x.T, y @ y.T
        return hsic_unbiased(k, l) / np.sqrt(hsic_unbiased(k, k) * hsic_unbiased(l, l))
    return np.sum(k * l) / (np.linalg.norm(k) * np.linalg.norm(l))


def mean_cosine(a, b):
    a, b = (m.reshape(len(m), -1).astype(np.float64) for m in (a, b))
    return float(np.mean(np.sum(a * b, 0) / (np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0))))


def laplacian_norms(features, mean, deviation):
    kernel = np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])
    standard = (features.astype(np.float64) - mean) / deviation
    # SciPy's "mirror" is NumPy's "reflect": the edge itself is not repeated.
    return np.linalg.norm([correlate(plane, kernel, mode="mirror") for plane in standard], axis=0)


def shift(reference, anchor, features):
    mean = reference.astype(np.float64).mean((1, 2), keepdims=True)
    deviation = reference.astype(np.float64).std((1, 2), keepdims=True)
    norms = [laplacian_norms(m, mean, deviation) for m in (reference, anchor, features)]
    diffs = [float(np.abs(norms[0] - n).sum()) for n in norms]
    return {"anchor_diff": diffs[1], "diff": diffs[2], "score": 1 - diffs[2] / diffs[1]}


def main(path):
    large, other, small = feature_map(1, 6, 8, 12), feature_map(2, 9, 8, 12), feature_map(3, 5, 4, 6)
    same = feature_map(4, 6, 8, 12)
    pooled = [[feature_map(seed + 10 * k, 4 + 3 * k, 3, 5).astype(np.float64).mean((1, 2)) for seed in range(7)] for k in range(2)]
    x, y = (np.array(p, dtype=np.float64) for p in pooled)
    found = {
        "cosine": mean_cosine(large, same),
        "cka": {
            "biased": cka(rows(large, 8, 12), rows(other, 8, 12), False),
            "unbiased": cka(rows(large, 8, 12), rows(other, 8, 12), True),
            "enlarged": cka(rows(large, 8, 12), rows(small, 8, 12), False),
            "pictures": cka(x, y, False),
            "pictures_unbiased": cka(x, y, True),
        },
        "shift": shift(large, feature_map(7, 6, 8, 12), same),
    }
    with open(path, "w") as file:
        json.dump(found, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
