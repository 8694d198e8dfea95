#!/usr/bin/env python3
"""Fetches the emoji packages by name, renders their drawings and writes one archive of pictures.

    python prepare.py --data ~/.cache/featscope-demo

writes `pictures.npz` (uint8, N x 4 x 96 x 96, colours premultiplied with alpha) and `pictures.json` (set, name, concept,
category and split of each).
"""

import argparse
import io
import json
import pathlib
import re
import subprocess
import tarfile
import zlib

import numpy as np

SIDE = 96

# Package -> pinned version. All from the npm scope @iconify-json.
PACKAGES = {
    "noto": "1.2.9",
    "noto-v1": "1.2.5",
    "fluent-emoji": "1.2.7",
    "fluent-emoji-flat": "1.2.6",
    "twemoji": "1.2.5",
    "fxemoji": "1.2.2",
    "emojione": "1.2.3",
    "streamline-emojis": "1.2.4",
}

# Whole words of a name. The sets spell the same five tones in two ways; the plain yellow drawing stays.
TONE = re.compile(r"skin-tone|(^|-)(medium-)?(light|dark)$|(^|-)medium$")
# Names that end in a tone's word without meaning one.
NOT_A_TONE = re.compile(r"speaker-medium|moon|sun|light-bulb|traffic-light|flash-?light|police-car-light|lava-light")
DROPPED = re.compile(
    r"keycap|flag|regional-?indicator|negative-?squared|squared-|input-?symbol|letter|button|^[0-9a-z]$|^u[0-9a-f]{4}|ideograph|"
    r"clock[0-9]|-oclock|-thirty|arrow|^empty"
)
DROPPED_CATEGORIES = {"Flags", "Modifiers", "Symbols"}

CATEGORIES = ["animals", "smileys", "people", "food", "objects"]

PLANTS_AND_WEATHER = re.compile(
    r"flower|tree|leaf|leaves|plant|bouquet|blossom|rose|hibiscus|tulip|lotus|seedling|herb|shamrock|clover|cactus|sheaf|palm|"
    r"evergreen|mushroom|chestnut|acorn|moon|sun|star|cloud|rain|snow|storm|tornado|fog|wind|wave|fire|comet|globe|earth|"
    r"umbrella|droplet|droplets|volcano|rock|wood|nest|coral|hyacinth|bamboo|maple|pine|sparkle|dizzy|collision|zap|voltage|"
    r"night|sky|crescent|rice|shell|tanabata|christmas|milky|meteor|lightning|thermometer|water|grapes|zzz|sweat|paw|cyclone|"
    r"eyes|hornsign|mountain|corn|hay|pot|ear-of|rainbow"
)

# Laughing cats and the three wise monkeys, which the sets count as smileys or people.
ANIMAL_FACES = re.compile(r"(^|-)cat(-|$)|monkey|^fox")

# Held out in every style, by substring of the name without hyphens: none of these is ever trained on. The split of
# the test between development (block and t are chosen there) and report is by concept too.
HELD_OUT_DEV = ["frog", "penguin", "giraffe", "hedgehog", "butterfly", "turtle", "zebra", "ghost", "strawberry", "guitar"]
HELD_OUT_TEST = [
    "horse", "raccoon", "octopus", "dragon", "snail", "elephant", "chicken", "cow", "robot", "pizza", "teapot", "firefighter",
]
# Where a substring above is a part of another word.
NOT_HELD_OUT = re.compile(r"cowboy|dragonfruit|scowl")


def fetch(folder):
    """The icons, categories of each package: {package: (icons.json, {name: category})}."""
    folder.mkdir(parents=True, exist_ok=True)
    sets = {}
    for package, version in PACKAGES.items():
        path = folder / f"iconify-json-{package}-{version}.tgz"
        if not path.exists():
            subprocess.run(["npm", "pack", "--silent", f"@iconify-json/{package}@{version}"], cwd=folder, check=True)
        with tarfile.open(path) as archive:
            icons = json.load(archive.extractfile("package/icons.json"))
            metadata = json.load(archive.extractfile("package/metadata.json"))
        category = {name: key for key, names in metadata.get("categories", {}).items() for name in names}
        sets[package] = (icons, category)
    # The 3D Fluent drawings have the names of the flat ones, and no categories of their own.
    sets["fluent-emoji"] = (sets["fluent-emoji"][0], sets["fluent-emoji-flat"][1])
    return sets


def classify(name, category):
    """One of CATEGORIES, or None for what is left out."""
    if DROPPED.search(name) or category in DROPPED_CATEGORIES:
        return None
    if TONE.search(name) and not NOT_A_TONE.search(name):
        return None
    category = (category or "").lower()
    if ANIMAL_FACES.search(name) and ("smiley" in category or "people" in category):
        return "animals"
    if "animal" in category or "nature" in category:
        return "objects" if PLANTS_AND_WEATHER.search(name) else "animals"
    if "food" in category:
        return "food"
    if "smiley" in category and "people" not in category:
        return "smileys"
    if "people" in category:
        faces = re.compile(r"face|smil|grin|cat$|kiss$|pouting$|joy|cry|emoji|mask$")
        return "smileys" if faces.search(name) and "people" == category.replace("smiley ", "") else "people"
    return "objects"


def concept_of(name):
    """The same for the styles of one thing: `cat-face`, `catface` and `cat-face-2` are all `cat`."""
    plain = re.sub(r"-\d+$", "", name).replace("-", "")
    return re.sub(r"face$", "", plain) or plain


def split_of(name):
    plain = name.replace("-", "")
    if NOT_HELD_OUT.search(plain):
        return "train"
    for split, words in (("dev", HELD_OUT_DEV), ("test", HELD_OUT_TEST)):
        if any(word in plain for word in words):
            return split
    return "train"


def render(icons, icon):
    """Premultiplied RGBA, 4 x SIDE x SIDE."""
    import resvg_py
    from PIL import Image

    left, top = icon.get("left", icons.get("left", 0)), icon.get("top", icons.get("top", 0))
    width, height = icon.get("width", icons.get("width", 16)), icon.get("height", icons.get("height", 16))
    side = max(width, height)
    left, top = left - (side - width) / 2, top - (side - height) / 2
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{SIDE}" height="{SIDE}" '
        f'viewBox="{left} {top} {side} {side}">{icon["body"]}</svg>'
    )
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg))
    rgba = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), np.float32)
    assert rgba.shape == (SIDE, SIDE, 4), rgba.shape
    rgba = np.concatenate([rgba[..., :3] * (rgba[..., 3:] / 255), rgba[..., 3:]], -1)
    return np.round(rgba).astype(np.uint8).transpose(2, 0, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path.home() / ".cache/featscope-demo")
    data = parser.parse_args().data

    pictures, index, seen = [], [], set()
    for package, (icons, categories) in fetch(data / "npm").items():
        for name, icon in icons["icons"].items():
            category = classify(name, categories.get(name))
            if category is None:
                continue
            picture = render(icons, icon)
            print_of_picture = (package, zlib.crc32(picture.tobytes()))
            # Nearly empty drawings teach nothing, and some are in a set twice.
            if (picture[3] > 32).mean() < 0.08 or print_of_picture in seen:
                continue
            seen.add(print_of_picture)
            pictures.append(picture)
            index.append(
                {"set": package, "name": name, "concept": concept_of(name), "category": category, "split": split_of(name)}
            )
        print(f"{package}: {sum(entry['set'] == package for entry in index)} pictures", flush=True)

    np.savez_compressed(data / "pictures.npz", pictures=np.stack(pictures))
    (data / "pictures.json").write_text(json.dumps(index, indent=0))
    for key in ("category", "split"):
        counts = {}
        for entry in index:
            counts[entry[key]] = counts.get(entry[key], 0) + 1
        print(key, counts)
    print(f"{len(index)} pictures, {(data / 'pictures.npz').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
