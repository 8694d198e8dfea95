#!/usr/bin/env python3
"""Writes a checkpoint's averaged weights as the program's loader reads them.

    python export.py --checkpoint ~/.cache/featscope-demo/run/checkpoint.pt --to out

makes `out/model.safetensors` (f16, guided-diffusion's names) and `out/config.json`.
"""

import argparse
import json
import pathlib

import torch
from safetensors.torch import save_file

import model

LARGEST = 12_000_000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = pathlib.Path.home() / ".cache/featscope-demo"
    parser.add_argument("--checkpoint", type=pathlib.Path, default=cache / "run/checkpoint.pt")
    parser.add_argument("--to", type=pathlib.Path, default=cache / "export")
    parser.add_argument("--like", type=pathlib.Path, help="another model.safetensors whose names and shapes must be the same")
    args = parser.parse_args()

    state = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    tensors = {name: tensor.half().contiguous() for name, tensor in state["ema"].items()}
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise SystemExit("the weights are not finite, or do not fit into f16")
    args.to.mkdir(parents=True, exist_ok=True)
    weights = args.to / "model.safetensors"
    save_file(tensors, weights, metadata={"format": "pt"})
    weights.chmod(0o644)
    (args.to / "config.json").write_text(json.dumps(state["config"], indent=1) + "\n")
    model.load(args.to)
    if args.like:
        from safetensors.torch import load_file

        other = {name: tuple(tensor.shape) for name, tensor in load_file(args.like).items()}
        if other != {name: tuple(tensor.shape) for name, tensor in tensors.items()}:
            raise SystemExit(f"names or shapes differ from {args.like}")
    size = weights.stat().st_size
    if size > LARGEST:
        raise SystemExit(f"{size} bytes are more than the {LARGEST} that may be embedded")
    print(f"{args.to}: {size / 1e6:.1f} MB, {state['pictures']} pictures seen, {state['seconds'] / 60:.0f} minutes of training")


if __name__ == "__main__":
    main()
