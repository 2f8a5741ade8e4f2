"""Where weights and photographs are, what the eleven classes are called, and which truth others gave to photographs.

Nothing of it is in this repository: ``$QUORATE_DATA`` names a folder that the README says how to fill.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from quorate.errors import ConfigError
from quorate.training.data import Dataset
from quorate.training.labels import read_labels
from quorate.training.pictures import Wishes

CLASSES = read_labels(str(Path(__file__).with_name("labels.txt")))[0]
DESSERT = CLASSES.index("Dessert")

# How those who trained the network show it pictures when they measure it: torchvision's Resize(224), CenterCrop(224).
WISHES = Wishes(preset="imagenet", resize_to=224)

FILES = {"static": "food11_quantized_aggressive.onnx", "dynamic": "food11_quantized_dynamic.onnx"}
ROWS = {"static": None, "dynamic": "alone"}  # dynamic quantisation takes its scale from the whole batch

# Classes of the Grocery Store dataset in words of Food-11. Its juices have no such class, and what is made of oats or
# soya looks like a dairy product without being one; they are left out.
DAIRY = ("Milk", "Sour-Cream", "Sour-Milk", "Yoghurt")
GROWN = ("Fruit", "Vegetables")


def data() -> Path:
    """The folder with weights and photographs; :class:`ConfigError` where there is none."""
    folder = Path(os.environ.get("QUORATE_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
    if not folder.is_dir():
        raise ConfigError(
            f"There is no folder {folder}; set QUORATE_DATA to one that is filled as examples/food11/README.md says.",
            path="QUORATE_DATA",
        )
    return folder


def weights(name: str) -> Path:
    """The ONNX file of a member; :class:`ConfigError` where it is missing."""
    path = data() / "pretrained" / "food11_mobilenetv2" / FILES[name]
    if not path.is_file():
        raise ConfigError(f"There is no {path}; examples/food11/README.md says where to get it.", path="QUORATE_DATA")
    return path


def labelled_slices() -> Iterator[tuple[str, Path, int]]:
    """Slice, picture and class of what those who trained the network test it on; nothing where it is missing.

    Cakes that look like something else and Indian desserts are desserts; cut-out dishes lie in folders named after
    their class.
    """
    root = data() / "images" / "food_slices"
    for name in ("cake_looks_like", "indian_dessert"):
        for path in sorted((root / name).glob("*.jpg")):
            yield name, path, DESSERT
    for path in sorted((root / "templates" / "food").glob("*/*.png")):
        yield "cut-out dishes", path, int(path.parent.name)


def held_pictures() -> list[Path]:
    """Photographs for the import's checks, the plainest first; nothing where there are none."""
    found = [data() / "images" / "food_slices" / "test_image.jpeg", *(path for _, path, _ in labelled_slices())]
    return [path for path in found if path.is_file()]


def groceries(split: str = "test") -> Dataset | None:
    """A part of the Grocery Store dataset, the classes translated; None where it is missing."""
    root = data() / "images" / "grocery_store"
    if not (root / "classes.csv").is_file():
        return None
    with (root / "classes.csv").open(newline="", encoding="utf-8") as file:
        coarse = {row["Class ID (int)"]: row["Coarse Class Name (str)"] for row in csv.DictReader(file)}
    pictures, labels = [], []
    for path, fine in _rows(root, split):
        grown = path.split("/")[1] in GROWN
        if grown or coarse[fine] in DAIRY:
            pictures.append((root / path).read_bytes())
            labels.append("Vegetable/Fruit" if grown else "Dairy product")
    return Dataset("Grocery Store", {"image": pictures}, np.array(labels))


def _rows(root: Path, split: str) -> list[tuple[str, str]]:
    """Path and fine class of every picture of a part: from ``test.txt``, as published, or one ``index.csv`` for all."""
    published = root / f"{split}.txt"
    if published.is_file():
        lines = [line.split(",") for line in published.read_text("utf-8").splitlines() if line]
        return [(path.strip(), fine.strip()) for path, fine, _ in lines]
    with (root / "index.csv").open(newline="", encoding="utf-8") as file:
        return [(row["path"], row["fine_id"]) for row in csv.DictReader(file) if row["split"] == split]
