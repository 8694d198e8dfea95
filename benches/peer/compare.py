"""Runs the program and diffusers on PyTorch in turn, each stage in a process of its own, and prints a table.

Ratios are of medians, this program over the peer; each pair of processes runs within the same minute, so that what else the
machine does meets both.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PRACTICAL = [
    "up-level1-repeat1-vit-block0-cross-q",
    "up-level1-repeat2-res-out",
    "up-level2-repeat1-vit-block0-cross-q",
    "up-level3-repeat0-vit-block0-self-k",
]
PICTURE = HERE.parents[1] / "assets" / "samples" / "photo-cat.png"
STAGES = {
    "practical": "U-Net, practical activations",
    "early": "U-Net, mid-vit-out (the peer runs to the end)",
    "vae": "VAE encoder",
    "text": "text encoder, with reading it",
    "adm": "ADM-256, the whole network",
    "extract": "extract, from the start of the process",
}


def measured(command, environment):
    """What a stage's process says of itself, with its own processor and wall seconds."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **environment}, text=True)
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(map(str, command))} ended with {status}")
    whole = {"processor": usage.ru_utime + usage.ru_stime, "wall": time.perf_counter() - began}
    told = json.loads(said.splitlines()[-1]) if said.strip().startswith("{") else {"runs": []}
    return {"runs": told["runs"] or [whole], "peak_mib": usage.ru_maxrss / 1024}


def commands(stage, arguments, folder):
    threads = str(arguments.threads)
    model = arguments.models / ("adm256" if stage == "adm" else "sd15")
    peer = [sys.executable, HERE / "stages.py", stage, arguments.models, "--threads", threads]
    if stage == "extract":
        settings = ["--prompt", "a photo of a cat", "--t", "51", "--size", "512", "--activations", ",".join(PRACTICAL)]
        where = ["--model", model, "--image", PICTURE, "--out", folder / f"{time.monotonic_ns()}.safetensors"]
        ours = [arguments.featscope, "extract", *settings, *where]
        peer += ["--out", folder / "peer.npz"]
    else:
        ours = [arguments.stages, stage, model, "--repeats", str(arguments.repeats)]
        peer += ["--repeats", str(arguments.repeats)]
    return ours, peer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, help="the folder that weights.py filled")
    parser.add_argument("--featscope", type=Path, required=True, help="the program, a release build")
    parser.add_argument("--stages", type=Path, required=True, help="the benchmark `stages`, as cargo names it")
    parser.add_argument("--only", choices=STAGES, nargs="*", default=list(STAGES))
    parser.add_argument("--turns", type=int, default=5, help="processes of each program")
    parser.add_argument("--repeats", type=int, default=1, help="repeats within a process")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    environment = {"RAYON_NUM_THREADS": str(arguments.threads), "OMP_NUM_THREADS": str(arguments.threads)}
    folder = Path(tempfile.mkdtemp())
    print("| stage | | this program | peer | ratio |\n|---|---|---|---|---|")
    for stage in arguments.only:
        found = [[], []]
        for _ in range(arguments.turns):
            for which, command in enumerate(commands(stage, arguments, folder)):
                found[which].append(measured(command, environment))
        rows = [
            ("processor, s", [[run["processor"] for turn in side for run in turn["runs"]] for side in found]),
            ("wall, s", [[run["wall"] for turn in side for run in turn["runs"]] for side in found]),
            ("peak memory, MiB", [[turn["peak_mib"] for turn in side] for side in found]),
        ]
        for name, sides in rows:
            ours, peer = (statistics.median(side) for side in sides)
            digits = 0 if "MiB" in name else 2
            print(f"| {STAGES[stage]} | {name} | {ours:.{digits}f} | {peer:.{digits}f} | {ours / peer:.2f} |", flush=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
