#!/usr/bin/env python3
"""Measures how well features find the same place in another picture, where the truth is known.

    python evaluate.py --model ../../assets/demo --keypoints ../../assets/demo/keypoints.json

prints a table in Markdown and, with `--json FILE`, writes every number. Three tests:

warp         a held-out drawing against itself: rotated up to 25 degrees, scaled by .65 to 1.1, off-centre, recoloured, on
             another background; 16 points of the drawing
cross same   hand-marked ears, eyes, nose and mouth of an animal's face, against the same animal in another style, warped alike
cross other  the same against another animal in any style

Block and t are chosen on a development split (other held-out concepts, other animals) and the table is of the rest.
"""

import argparse
import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

import model
from augment import SIDE, affine, backgrounds, draw, jitter, over, uniform

PARTS = ["earL", "earR", "eyeL", "eyeR", "nose", "mouth"]
MIRRORED = [1, 0, 3, 2, None, None]
DEV_ANIMALS = {"bear", "dog", "koala", "lion", "mouse", "wolf"}
TESTS = ["warp", "same", "other"]
CHOSEN_BY = {"warp": 0.10, "same": 0.15, "other": 0.15}
POINTS = 16
PATCH = 17
# Strength of the recolouring, of what training uses.
RECOLOURED = 0.6


class Pair:
    """Two pictures (3, SIDE, SIDE) in [-1, 1] and the points (n, 2) in both, in pixels; `mirrored`: where the other ear or eye
    lies in the second, NaN where there is none."""

    def __init__(self, first, second, here, there, mirrored=None):
        self.first, self.second, self.here, self.there = first, second, here, there
        self.mirrored = torch.full_like(there, math.nan) if mirrored is None else mirrored


def compose(rgba, theta, all_pictures, recolour):
    layer = draw(rgba[None], theta[None])
    if recolour:
        layer = jitter(layer, RECOLOURED)
        return over(layer, backgrounds(all_pictures, 1))[0].clamp(0, 1) * 2 - 1
    return over(layer, torch.ones(()))[0].clamp(0, 1) * 2 - 1


def plain():
    """The whole drawing, upright and in the middle."""
    zero, one = torch.zeros(1), torch.ones(1)
    return affine(zero, one, zero, one, torch.zeros(1, 2))[0]


def warped():
    """Off-centre: moved by 4 to 12 % of the side in any direction."""
    angle, way = uniform(-25, 25, 1, device="cpu") * math.pi / 180, uniform(0, 2 * math.pi, 1, device="cpu")
    far = 2 * uniform(0.04, 0.12, 1, device="cpu")
    shift = torch.stack([way.cos(), way.sin()], -1) * far
    scale = uniform(0.65, 1.1, 1, device="cpu")
    return affine(angle, scale, torch.zeros(1), torch.ones(1), shift)[0]


def moved(points, theta):
    """Places of the drawing, as fractions of its square, in pixels of the picture drawn with `theta`."""
    back, offset = theta[:, :2], theta[:, 2]
    there = torch.linalg.solve(back, (points * 2 - 1 - offset).T).T
    return (there + 1) / 2 * SIDE


def inside(points):
    return ((points >= 0) & (points < SIDE)).all(-1)


def warp_pairs(pictures, index, split, repeats):
    pairs = []
    for number, entry in enumerate(index):
        if entry["split"] != split:
            continue
        rgba = pictures[number]
        alpha = rgba[3].float() / 255
        for _ in range(repeats):
            theta = warped()
            drawn = torch.multinomial((alpha > 0.5).float().flatten(), 8 * POINTS)
            side = alpha.shape[-1]
            points = torch.stack([(drawn % side + 0.5) / side, (drawn // side + 0.5) / side], -1)
            there = moved(points, theta)
            kept = inside(there).nonzero()[:POINTS, 0]
            pairs.append(
                Pair(
                    compose(rgba, plain(), pictures, False),
                    compose(rgba, theta, pictures, True),
                    moved(points[kept], plain()),
                    there[kept],
                )
            )
    return pairs


def cross_pairs(pictures, index, keypoints, dev, same, repeats):
    number_of = {(entry["set"], entry["name"]): number for number, entry in enumerate(index)}
    faces = {}
    for style, animals in keypoints["points"].items():
        for animal, points in animals.items():
            name = keypoints["icon_override"].get(style, {}).get(animal, keypoints["icon"][animal])
            points = torch.tensor([point or [math.nan, math.nan] for point in points])
            if (animal in DEV_ANIMALS) == dev:
                faces[style, animal] = (pictures[number_of[style, name]], points)
    pairs = []
    for style, animal in faces:
        others = [key for key in faces if (key[1] == animal and key[0] != style if same else key[1] != animal)]
        for choice in torch.randperm(len(others))[: 3 * repeats].tolist():
            (first, here), (second, there) = faces[style, animal], faces[others[choice]]
            theta = warped()
            here, there = moved(here, plain()), moved(there, theta)
            mirrored = torch.stack([there[m] if m is not None else torch.full((2,), math.nan) for m in MIRRORED])
            kept = ~here.isnan().any(-1) & ~there.isnan().any(-1) & inside(there)
            pairs.append(
                Pair(
                    compose(first, plain(), pictures, False),
                    compose(second, theta, pictures, True),
                    here[kept],
                    there[kept],
                    mirrored[kept],
                )
            )
    return pairs


def best_match(first, second, here):
    """Where in `second` (C, h, w) the features at `here` of `first` are most alike by the cosine, in pixels."""

    def full(maps):
        return F.interpolate(maps[None], (SIDE, SIDE), mode="bilinear", align_corners=False)[0]

    at = (here / SIDE * 2 - 1)[None, None]
    wanted = F.grid_sample(full(first)[None], at, align_corners=False, padding_mode="border")[0, :, 0]
    second = F.normalize(full(second).flatten(1), dim=0)
    best = (F.normalize(wanted, dim=0).T @ second).argmax(1)
    return torch.stack([best % SIDE, best // SIDE], -1) + 0.5


def same_place(pictures):
    """Features that are the position, so that the best match is the same place."""
    line = torch.linspace(-1, 1, SIDE)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return {0: torch.stack([x, y, 0.1 * torch.ones_like(x)]).expand(len(pictures), -1, -1, -1)}


def rgb_patch(pictures):
    padded = F.pad(pictures, [PATCH // 2] * 4, mode="replicate")
    return {0: F.unfold(padded, PATCH).reshape(len(pictures), -1, SIDE, SIDE)}


class Network:
    """Features of every block at one t, averaged over `noises` passes with noise."""

    def __init__(self, net, t, noises, blocks, device):
        self.net, self.t, self.noises, self.blocks, self.device = net, t, noises, blocks, device
        self.abar = model.abar_table()[t].item()

    @torch.no_grad()
    def __call__(self, pictures):
        sums = [0] * len(self.blocks)
        pictures = pictures.to(self.device)
        steps = torch.full((len(pictures),), self.t, device=self.device)
        # The same noises for every picture, and for every t and network.
        generator = torch.Generator().manual_seed(0)
        for _ in range(self.noises):
            noise = torch.randn(1, *pictures.shape[1:], generator=generator).to(self.device)
            noisy = self.abar**0.5 * pictures + (1 - self.abar) ** 0.5 * noise
            found = self.net(noisy, steps, self.blocks)[1]
            sums = [total + activation.float().cpu() for total, activation in zip(sums, found)]
        return dict(zip(self.blocks, sums))


def score(features, pairs, chunk=32):
    """{block: {"pck@…": share, "swap": share}} of the points of `pairs`."""
    distances, swaps = {}, {}
    for start in range(0, len(pairs), chunk):
        part = pairs[start : start + chunk]
        firsts = features(torch.stack([pair.first for pair in part]))
        seconds = features(torch.stack([pair.second for pair in part]))
        for block in firsts:
            for number, pair in enumerate(part):
                found = best_match(firsts[block][number], seconds[block][number], pair.here)
                distance = (found - pair.there).norm(dim=-1) / SIDE
                distances.setdefault(block, []).append(distance)
                two_sided = ~pair.mirrored.isnan().any(-1)
                nearer = (found - pair.mirrored).norm(dim=-1) / SIDE < distance
                swaps.setdefault(block, []).append(nearer[two_sided].float())
    scores = {}
    for block, parts in distances.items():
        distance, swap = torch.cat(parts), torch.cat(swaps[block])
        scores[block] = {f"pck@{alpha:.2f}": (distance <= alpha).float().mean().item() for alpha in (0.10, 0.15)}
        scores[block]["swap"] = swap.mean().item() if len(swap) else None
        scores[block]["points"] = len(distance)
    return scores


def value(scores, block):
    """What block and t are chosen by."""
    return sum(scores[test][block][f"pck@{CHOSEN_BY[test]:.2f}"] for test in TESTS) / len(TESTS)


HEADER = """| features | block, t | warp @.10 | @.15 | cross same @.10 | @.15 | swap | cross other @.10 | @.15 | swap |
|---|---|---|---|---|---|---|---|---|---|"""


def line_of(name, row):
    """A line of the table."""
    cells = [f"b{row['block']}, t {row['t']}" if "block" in row else ""]
    for test in TESTS:
        scores = row[test]
        cells += [f"{scores['pck@0.10']:.2f}", f"{scores['pck@0.15']:.2f}"]
        if test != "warp":
            cells.append(f"{scores['swap']:.2f}")
    return f"| {name} | " + " | ".join(cells) + " |"


def randomised(config, seed=0):
    """The same network before training, its last convolutions not zero."""
    torch.manual_seed(seed)
    net = model.Adm(config)
    for module in net.modules():
        if isinstance(module, (torch.nn.Conv1d, torch.nn.Conv2d)):
            module.reset_parameters()
    return net.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = pathlib.Path.home() / ".cache/featscope-demo"
    parser.add_argument("--data", type=pathlib.Path, default=cache)
    parser.add_argument("--model", type=pathlib.Path, nargs="+", required=True, help="folders as export.py writes them")
    parser.add_argument("--keypoints", type=pathlib.Path, help="keypoints.json (beside the first model if not given)")
    parser.add_argument("--t", type=int, nargs="+", default=[50, 100, 150, 200, 300, 400])
    parser.add_argument("--noises", type=int, default=8)
    parser.add_argument("--dev-noises", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=2, help="pairs drawn per picture")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-baselines", action="store_true")
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"

    index = json.loads((args.data / "pictures.json").read_text())
    with np.load(args.data / "pictures.npz") as archive:
        pictures = torch.from_numpy(archive["pictures"])
    keypoints = json.loads((args.keypoints or args.model[0] / "keypoints.json").read_text())

    def pairs_of(split):
        torch.manual_seed({"dev": 1, "test": 2}[split])
        return {
            "warp": warp_pairs(pictures, index, split, args.repeats),
            "same": cross_pairs(pictures, index, keypoints, split == "dev", True, 1),
            "other": cross_pairs(pictures, index, keypoints, split == "dev", False, args.repeats),
        }

    dev, test = pairs_of("dev"), pairs_of("test")
    results = {}

    def measure(name, features, block=0, **chosen):
        results[name] = {test_name: score(features, pairs)[block] for test_name, pairs in test.items()}
        results[name].update(chosen)
        print(line_of(name, results[name]), flush=True)
        if args.json:
            args.json.write_text(json.dumps(results, indent=1))

    def network(name, net):
        net = net.to(device)
        first = len(net.input_blocks) - 1
        blocks = tuple(range(first, len(net.blocks()) + 1))
        grid = {}
        for t in args.t:
            features = Network(net, t, args.dev_noises, blocks, device)
            scores = {test_name: score(features, pairs) for test_name, pairs in dev.items()}
            grid.update({(block, t): (value(scores, block), scores) for block in blocks})
            best = max(blocks, key=lambda block: grid[block, t][0])
            print(f"… {name}, development, t {t}: b{best} {grid[best, t][0]:.3f}", flush=True)
        block, t = max(grid, key=lambda key: grid[key][0])
        development = {f"b{b} t{t}": round(entry[0], 4) for (b, t), entry in grid.items()}
        measure(name, Network(net, t, args.noises, (block,), device), block, block=block, t=t, development=development)

    for folder in args.model:
        network(str(folder), model.load(folder))
    if not args.no_baselines:
        network("random weights", randomised(json.loads((args.model[0] / "config.json").read_text())))
        measure(f"RGB patch {PATCH}x{PATCH}", rgb_patch)
        measure("same place", same_place)

    print("\n" + HEADER)
    for name, row in results.items():
        print(line_of(name, row))
    counts = ", ".join(f"{test_name} {len(test[test_name])}" for test_name in TESTS)
    print(f"\nPairs of the report: {counts}.")


if __name__ == "__main__":
    main()
