#!/usr/bin/env python3
"""Draws every view of the window into assets/screenshots/, without a display.

    cargo build --release && tools/screenshots/make.py

Each view is a workspace made from the one in base.featscope.json, a size, a theme and what is done by name.
"""

import copy
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUT = ROOT / "assets" / "screenshots"
PROGRAM = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "target" / "release" / "featscope"
BASE = json.loads((HERE / "base.featscope.json").read_text())


def workspace(**changes):
    made = copy.deepcopy(BASE)
    made["document"].update(changes)
    return made


def pin(number, slot, x, y):
    return {"number": number, "slot": slot, "at": {"point": [x, y]}}


def pictures(**names):
    return {slot: {"source": {"Sample": name}, "fingerprint": None} for slot, name in names.items()}


EAR = pin(1, "A", 62, 62)
EYE = pin(2, "A", 78, 128)
NOSE = pin(3, "A", 128, 150)
# The same ear and eye of the cat and of the dog.
PAIRS = [
    {**pin(number, "A", *first), "mate": {"slot": "B", "at": {"point": second}}}
    for number, (first, second) in enumerate([([62, 62], [72, 60]), ([84, 132], [106, 116])], 1)
]
MANY = pictures(A="noto-cat-face", B="fluent-dog-face", C="noto-fox", D="noto-tiger-face")
# What a fresh window shows.
FIRST = {
    "pictures": pictures(
        A="noto-cat-face",
        B="noto-v1-cat-face",
        C="fluent-cat-face",
        D="fluent-flat-cat-face",
        E="fluent-dog-face",
        F="noto-fox",
        G="fluent-flat-tiger-face",
    ),
    "settings": {**BASE["document"]["settings"], "size": {"ShortSide": 64}},
    "pins": [EAR],
    "selected_pin": 1,
}
STANDARD = ["--do", "Standard layout"]
ZOOMED = {"centre": [0.3, 0.5], "zoom": 14.0}

VIEWS = {
    "start": (workspace(**FIRST), STANDARD),
    "light": (workspace(**FIRST), [*STANDARD, "--theme", "light"]),
    "pins": (workspace(pins=[EAR, EYE, NOSE], selected_pin=2), []),
    "targets": (
        workspace(pictures=MANY, pins=[EAR, NOSE], selected_pin=1),
        STANDARD,
    ),
    "cells": (
        workspace(pins=[EYE], selected_pin=2, view=ZOOMED),
        ["--do", "Cell grid", "--do", "New heat map pane"],
    ),
    "channels": (workspace(), ["--do", "New channel pane", "--do", "Settings and layers"]),
    "mask": (workspace(), ["--do", "Foreground mask", "--theme", "light"]),
    "sheet": (workspace(), ["--do", "Survey every layer", "--size", "1920x1080"]),
    "plot": (workspace(), ["--do", "Survey every layer", "--do", "New plot"]),
    "cka": (workspace(), ["--do", "Page: CKA"]),
    "content-shift": (workspace(), ["--do", "Page: Timesteps"]),
    "comparison": (workspace(), ["--do", "Page: Compare", "--theme", "light"]),
    "ranking": (workspace(pins=PAIRS, selected_pin=1), ["--do", "Page: Rank"]),
    "recommendation": (workspace(), ["--do", "Recommend a layer and t"]),
    "presentation": (workspace(**FIRST), [*STANDARD, "--do", "Presentation mode", "--size", "1920x1080"]),
    "palette": (workspace(), ["--do", "Command palette"]),
    "keys": (workspace(), ["--do", "Keys"]),
    "log": (workspace(), ["--do", "Log"]),
    "frame-times": (workspace(), ["--do", "Frame times"]),
    "small": (workspace(**FIRST), [*STANDARD, "--size", "900x600"]),
    "large": (workspace(**FIRST), [*STANDARD, "--size", "1920x1080", "--scale", "2"]),
    "empty": (workspace(pictures={}, pins=[]), STANDARD),
}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, (made, options) in VIEWS.items():
            path = Path(folder) / f"{name}.featscope.json"
            path.write_text(json.dumps(made))
            command = [PROGRAM, "shot", "--workspace", path, *options, "--out", OUT / f"{name}.png"]
            subprocess.run(command, check=True)
            print(OUT / f"{name}.png")


if __name__ == "__main__":
    main()
