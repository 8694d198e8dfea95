"""Makes tests/data/rank.json: how well two activations of the case `analysis` find pairs of points again, in plain NumPy.

Run from the root of the repository: python tests/analysis/rank_reference.py
"""

import json

import numpy as np
from safetensors.numpy import load_file

CASE = "tests/data/cases/analysis/expected.safetensors"
OUT = "tests/data/rank.json"
# (width, height) of the originals; both are stretched to the working picture, so nothing is cut off.
SOURCE, TARGET = (300, 200), (250, 400)
PAIRS = 12


def unit(x):
    """Vectors along the last axis, divided by their lengths."""
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def enlarged(x, width, height):
    """(h, w, c) to (height, width, c): bilinear, align_corners=False, as torch does it."""

    def axis(cells, samples):
        at = np.clip((np.arange(samples) + 0.5) * cells / samples - 0.5, 0, None)
        low = np.minimum(np.floor(at).astype(int), cells - 1)
        high = np.minimum(low + 1, cells - 1)
        return low, high, at - low

    top, bottom, down = axis(x.shape[0], height)
    rows = x[top] * (1 - down)[:, None, None] + x[bottom] * down[:, None, None]
    left, right, across = axis(x.shape[1], width)
    return rows[:, left] * (1 - across)[None, :, None] + rows[:, right] * across[None, :, None]


def figures(distances):
    longer = max(TARGET)
    return {
        "mean_distance_px": float(distances.mean()),
        "pck_05": float((distances <= 0.05 * longer).mean()),
        "pck_10": float((distances <= 0.1 * longer).mean()),
    }


def scored(predicted, truths, places):
    everywhere = np.hypot(*(places[None] - truths[:, None]).transpose(2, 0, 1))
    return {
        "figures": figures(np.hypot(*(predicted - truths).T)),
        "chance": figures(everywhere.ravel()),
        "predicted": predicted.tolist(),
    }


def centres(cells, pixels):
    return (np.arange(cells) + 0.5) * pixels / cells - 0.5


def lattice(columns, rows, size):
    x, y = np.meshgrid(centres(columns, size[0]), centres(rows, size[1]))
    return np.stack([x.ravel(), y.ravel()], axis=-1)


def on_grid(a, b, sources, truths):
    rows, columns, _ = a.shape
    column = np.floor((sources[:, 0] + 0.5) * columns / SOURCE[0]).astype(int)
    row = np.floor((sources[:, 1] + 0.5) * rows / SOURCE[1]).astype(int)
    cosines = unit(a[row, column]) @ unit(b).reshape(-1, b.shape[2]).T
    places = lattice(b.shape[1], b.shape[0], TARGET)
    return scored(places[cosines.argmax(axis=1)], truths, places)


def dift(a, b, sources, truths):
    a, b = unit(enlarged(a, *SOURCE)), unit(enlarged(b, *TARGET))
    at = np.rint(sources).astype(int)
    cosines = a[at[:, 1], at[:, 0]] @ b.reshape(-1, b.shape[2]).T
    places = lattice(*TARGET, TARGET)
    return scored(places[cosines.argmax(axis=1)], truths, places)


def main():
    case = load_file(CASE)
    a, b = (
        case[name][0].transpose(1, 2, 0).astype(np.float64)
        for name in ("in.up-level3-repeat0-vit-block0-self-k", "match.in_b")
    )
    random = np.random.default_rng(7)
    sources = random.uniform(0, 1, (PAIRS, 2)) * (np.array(SOURCE) - 1)
    # Near where the grid finds them, so that all shares are between none and all.
    columns = on_grid(a, b, sources, np.zeros((PAIRS, 2)))["predicted"]
    truths = np.array(columns) + random.normal(0, 40, (PAIRS, 2))
    truths = np.clip(truths, 0, np.array(TARGET) - 1)
    sources, truths = sources.round(2), truths.round(2)
    # One is where a test of cells beside their borders would fail.
    sources[0] = [12.0, 7.83]
    pairs = [{"source": list(s), "target": list(t)} for s, t in zip(sources.tolist(), truths.tolist())]
    wanted = {
        "source_size": SOURCE,
        "target_size": TARGET,
        "pairs": pairs,
        "grid": on_grid(a, b, sources, truths),
        "dift": dift(a, b, sources, truths),
    }
    with open(OUT, "w", encoding="utf-8") as file:
        json.dump(wanted, file, indent=1)
        file.write("\n")


main()
