"""The server under attack: the digits pool behind blind endpoints whose arms differ as much as arms can.

========  ==============================================================================================
graph     arms of one fused graph: one member alone, a vote of five, a fitted stack
process   arms of which one waits for a member in its own process, and one does not want it at all
faults    the same, where that member raises at one row in seven: one arm loses its answer, another a member
sticky    the arms of ``graph``, one for each user
open      ``graph`` without ``blind``: what the method finds where there is something to find
========  ==============================================================================================
"""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from benchmarks.harness import digits
from benchmarks.harness.table import FOLDER
from quorate.clock import SystemClock
from quorate.core.types import TensorSpec
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.training.register import register_model

ARMS = ("arm-single", "arm-vote", "arm-stack")
OTHER_ARMS = ("arm-quick", "arm-mixed", "arm-slow")
BLIND = ("graph", "process", "faults", "sticky")
OPEN = "open"
MEMBERS = ("logistic", "forest", "extra-trees", "mlp", "svm")

# Nearest class mean, and some work; a member of its own making, in a process of its own.
CALLABLE = """
import time
import numpy as np

MEANS = np.array({means}, np.float32)
rng = np.random.default_rng()

def predict(input):
    until = time.perf_counter() + 0.001
    distance = ((input[:, None] - MEANS) ** 2).sum(axis=2)
    scores = np.exp(-distance * 4)
    while time.perf_counter() < until:
        pass
    if (input == 0).mean() < 0.98 and rng.random() < {share}:
        raise RuntimeError("broken")
    return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
"""


def project(name: str) -> Path:
    """A fresh copy of the trained digits project with these endpoints, applied."""
    folder = FOLDER / "run" / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(digits.trained(), folder)
    home = Home(folder)
    registry = Registry(home.registry, SystemClock())
    pixels, labels = training_pictures()
    means = [(pixels[labels == label] / 255).mean(axis=0).ravel().round(4).tolist() for label in sorted(set(labels))]
    healthy = registry.manifest("logistic")
    assert healthy.signature is not None
    for member, share in (("slow", 0.0), ("faulty", 0.15)):
        register_model(
            registry,
            name=member,
            format="callable",
            files={f"{member}.py": CALLABLE.format(means=means, share=share).encode()},
            signature=healthy.signature,
            tensors=(TensorSpec("input", "float32", (None, 64)),),
            preprocess=healthy.preprocess,
            options={"entry": "predict"},
            sample_raw={"image": np.zeros((4, 8, 8), np.uint8)},
        )
    home.config.write_text(yaml.safe_dump(_config(), sort_keys=False))
    subprocess.run([digits.QUORATE, "apply", "--project", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


def _config() -> dict[str, object]:
    arms: dict[str, dict[str, object]] = {
        "arm-single": {"kind": "single", "member": "svm"},
        "arm-vote": {"kind": "vote", "voting": "hard"},
        "arm-stack": {"kind": "stack", "state": "digits-stacking"},
    }

    def split(strategies: dict[str, dict[str, object]], **more: object) -> dict[str, object]:
        return {"kind": "split", "weights": dict.fromkeys(strategies, 1), **more}

    def others(member: str) -> dict[str, dict[str, object]]:
        return {
            "arm-quick": {"kind": "single", "member": "svm"},
            "arm-mixed": {"kind": "mean", "members": ["forest", "mlp", member]},
            "arm-slow": {"kind": "single", "member": member},
        }

    pools = {"digits": [*MEMBERS], "with-slow": [*MEMBERS, "slow"], "with-faulty": [*MEMBERS, "faulty"]}
    return {
        "pools": {name: {"task": "classification", "members": members} for name, members in pools.items()},
        "endpoints": {
            "graph": {"pool": "digits", "strategies": arms, "policy": split(arms, blind=True)},
            "process": {"pool": "with-slow", "strategies": others("slow"), "policy": split(others("slow"), blind=True)},
            "faults": {
                "pool": "with-faulty",
                "strategies": others("faulty"),
                "policy": split(others("faulty"), blind=True),
            },
            "sticky": {
                "pool": "digits",
                "strategies": arms,
                "policy": split(arms, blind=True, sticky="context.user"),
            },
            OPEN: {"pool": "digits", "strategies": arms, "policy": split(arms)},
        },
    }


def training_pictures() -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """scikit-learn's digits, 8x8 grey, and their labels."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.rint(bunch.images * (255 / 16)).astype(np.uint8), bunch.target.astype(str)


def pictures(count: int, seed: int) -> list[NDArray[np.uint8]]:
    """Digits, and as many blends of two digits, over which models differ: there the label itself tells something."""
    pixels, _ = training_pictures()
    rng = np.random.default_rng(seed)
    plain = [pixels[i] for i in rng.choice(len(pixels), count // 2, replace=False)]
    pairs = rng.choice(len(pixels), (count - len(plain), 2), replace=False).astype(int)
    return plain + [np.asarray((pixels[a].astype(int) + pixels[b]) // 2, np.uint8) for a, b in pairs]


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
