"""The examples' own modules, and projects made from them under ``build/bench``."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from benchmarks.harness import digits
from benchmarks.harness.table import FOLDER
from quorate.clock import SystemClock
from quorate.home import Home
from quorate.registry.registry import Registry

FOOD = "food11"
NETWORKS = ("bag-a", "bag-b", "bag-c", "bag-d", "bag-e")
STACKING = "stacking"
STATE = "five-stacking"
TRAINED = FOLDER / "five-networks"


def module(folder: Path, name: str) -> ModuleType:
    """``folder/name.py``, which may import what lies beside it."""
    sys.path.insert(0, str(folder.resolve()))
    try:
        spec = importlib.util.spec_from_file_location(f"{folder.name.replace('-', '_')}_{name}", folder / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        found = importlib.util.module_from_spec(spec)
        for beside in folder.glob("*.py"):  # another example may have a module of the same name
            sys.modules.pop(beside.stem, None)
        spec.loader.exec_module(found)
        return found
    finally:
        sys.path.pop(0)


def apply(folder: Path, config: dict[str, Any]) -> Path:
    """Write ``quorate.yaml`` and apply it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "quorate.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    subprocess.run([digits.QUORATE, "apply", "--project", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


def data() -> Path | None:
    """The folder of photographs and pretrained weights, or None where there is none."""
    folder = Path(os.environ.get("QUORATE_DATA") or "../shared/data")
    return folder.resolve() if (folder / "pretrained").is_dir() else None


def photographs() -> Path:
    """One MobileNetV2 behind one endpoint, ``food11``, imported as ``examples/food11`` does."""
    folder = FOLDER / "run" / "photographs"
    shutil.rmtree(folder, ignore_errors=True)
    train = module(Path("examples") / FOOD, "train")
    train._import(Registry(Home(folder).registry, SystemClock()), "static")
    endpoint = {
        "pool": FOOD,
        "strategies": {"alone": {"kind": "single", "member": "static"}},
        "policy": {"kind": "fixed", "strategy": "alone"},
        "deadline_ms": 1000,
    }
    pools = {FOOD: {"task": "classification", "members": ["static"]}}
    return apply(folder, {"pools": pools, "endpoints": {FOOD: endpoint}})


def networks() -> Path:
    """Five convolutional networks behind a fitted stack, the endpoint ``digits``; trained once (minutes)."""
    # In a process of its own: the pool of processes that trains leaves one behind that cleans up.
    print("Training five networks where they are not there yet …", flush=True)
    subprocess.run([sys.executable, "-m", "benchmarks.harness.examples"], check=True)
    folder = FOLDER / "run" / "networks"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(TRAINED, folder)
    endpoint = {
        "pool": "networks",
        "strategies": {STACKING: {"kind": "stack", "state": STATE}},
        "policy": {"kind": "fixed", "strategy": STACKING},
        "deadline_ms": 1000,
    }
    pools = {"networks": {"task": "classification", "members": list(NETWORKS)}}
    return apply(folder, {"pools": pools, "endpoints": {"digits": endpoint}})


def train_networks() -> None:
    """Fit and register what is not there yet."""
    train = module(Path("examples/digits-cnn"), "train")
    recipe = train.recipe()
    bagged = [trainer for trainer in recipe.trainers if set(trainer.names) <= set(NETWORKS)]
    recipe = dataclasses.replace(recipe, trainers=bagged, states={STATE: train.Fit("stack")})
    train.train_pool(recipe, Registry(Home(TRAINED).registry, SystemClock()))


if __name__ == "__main__":
    train_networks()
