"""Figures of reference activations by NumPy and SciPy, independently of this program's formulas in Rust.

    python3 tests/data/survey/expected.py      (numpy, scipy, safetensors; writes expected.json beside itself)

Activations of one shape stand for the passes with different noise: the formulas do not care where they come from.
"""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from scipy.ndimage import gaussian_filter

HERE = Path(__file__).parent
CASES = HERE.parent / "cases"
SETS = {
    "adm-all": [("feat.block16", 0), ("feat.block17", 0), ("feat.block18", 0)],
    "sd15-nonsquare-64x96": [
        (f"feat.down-level0-repeat0-vit-block0-self-{part}", 0) for part in "qkv"
    ],
    "sd15-batch2-resize2": [("feat.unet-out", 0), ("feat.unet-out", 1)],
    "sd15-all-64": [(f"feat.up-level3-repeat{repeat}-res-out", 0) for repeat in range(3)],
}


def locality(f):
    """S(r), its baseline and half-width by looking at every pair."""
    c, h, w = f.shape
    x = f.reshape(c, -1).T
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    x = np.divide(x, norms, out=np.zeros_like(x), where=norms > 0)
    cosines = x @ x.T
    row, column = np.divmod(np.arange(h * w), w)
    distance = np.hypot(row[:, None] - row, column[:, None] - column)
    bins = np.floor(distance).astype(int)
    pairs = ~np.eye(h * w, dtype=bool)
    curve = [cosines[pairs & (bins == r)].mean() for r in range(1, bins.max() + 1)]
    baseline = cosines[pairs].mean()
    rise = curve[0] - baseline
    fallen = [r for r, s in enumerate(curve, 1) if s - baseline <= rise / 2]
    half = fallen[0] / min(h, w) if rise > 0 and fallen else None
    regions = (column * 3) // w
    index = []
    for p in range(h * w):
        d = distance[p] / min(h, w)
        near = cosines[p][(regions != regions[p]) & (d <= 0.15)]
        far = cosines[p][(regions == regions[p]) & (d >= 0.3)]
        if len(near) and len(far):
            wins = (near[:, None] > far).mean() + 0.5 * (near[:, None] == far).mean()
            index.append(wins)
    return curve, baseline, half, float(np.mean(index)) if index else None


def radial(f):
    """P(k): the sum over each bin of the power, averaged over channels."""
    c, h, w = f.shape
    x = f - f.mean((1, 2), keepdims=True)
    deviation = x.std((1, 2), keepdims=True)
    x = np.divide(x, deviation, out=np.zeros_like(x), where=deviation > 0)
    window = np.hanning(h)[:, None] * np.hanning(w)
    power = (np.abs(np.fft.fft2(x * window)) ** 2).mean(0)
    fy, fx = np.fft.fftfreq(h) * h, np.fft.fftfreq(w) * w
    k = np.floor(np.hypot(fy[:, None], fx) + 0.5).astype(int)
    return np.array([power[k == b].sum() for b in range(1, min(h, w) // 2 + 1)])


def granularity(p):
    k = np.arange(1, len(p) + 1)
    some = p > 0
    slope = np.polyfit(np.log(k[some]), np.log(p[some]), 1)[0] if some.sum() > 1 else None
    return {
        "spectrum": p.tolist(),
        "centroid": float((k * p).sum() / p.sum()),
        "radius": int(np.argmax(np.cumsum(p) >= 0.9 * p.sum())) + 1,
        "slope": float(slope),
    }


def figures(maps):
    first, mean = maps[0], maps.mean(0)
    c, h, w = first.shape
    low = np.stack([[gaussian_filter(plane, 2.0) for plane in f] for f in maps])

    def ratio(of):
        centre = of.mean(0)
        signal = ((centre - centre.mean((1, 2), keepdims=True)) ** 2).sum()
        return ((of - centre) ** 2).sum((1, 2, 3)).mean() / signal

    variance = ((mean - mean.mean((1, 2), keepdims=True)) ** 2).mean()
    of_positions = ((maps - mean) ** 2).sum(1).mean(0) / (c * variance)
    curve, baseline, half, semantics = locality(first)
    x = first.reshape(c, -1).T
    eigen = np.linalg.svd(x - x.mean(0), compute_uv=False) ** 2
    magnitudes = np.abs(x).mean(0)
    return {
        "nsr": float(ratio(maps)),
        "nsr_low_passed": float(ratio(low)),
        "of_positions": of_positions.ravel().tolist(),
        "curve": curve,
        "baseline": float(baseline),
        "half_width": half,
        "semantics": semantics,
        "signal": granularity(radial(mean)),
        "residual": granularity(sum(radial(f - mean) for f in maps)),
        "explained": (eigen[:3] / eigen.sum()).tolist(),
        "effective_rank": float(eigen.sum() ** 2 / (eigen**2).sum()),
        "massive": np.flatnonzero(magnitudes > 100 * np.median(magnitudes)).tolist(),
        "norm": float(np.linalg.norm(x, axis=1).mean()),
    }


def main():
    out = []
    for case, names in SETS.items():
        tensors = load_file(CASES / case / "expected.safetensors")
        maps = np.stack([tensors[name][row] for name, row in names]).astype(np.float64)
        out.append({"case": case, "maps": names, "figures": figures(maps)})
    (HERE / "expected.json").write_text(json.dumps(out, indent=1) + "\n")


main()
