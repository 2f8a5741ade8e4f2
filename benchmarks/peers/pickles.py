"""The example's scikit-learn models, fitted again and pickled: what Flask programs usually serve."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from benchmarks.harness import digits
from benchmarks.harness.examples import module
from benchmarks.peers.pool import PoolFiles


def write(pool: PoolFiles, file: Path) -> Path:
    """Fit the five members as ``examples/digits/train.py`` does and pickle them with classes and scale."""
    cached = digits.TRAINED / "members.pickle"
    if not cached.exists():
        train = module(digits.EXAMPLE, "train")
        data = train.digits.dataset()
        rows = data.take(train.digits.parts(data).train)
        pixels = np.asarray(rows.raw["image"], np.float32).reshape(len(rows.labels), -1) * np.float32(pool.scale)
        members = [member.fit(pixels, rows.labels) for member in train.MEMBERS.values()]
        cached.write_bytes(pickle.dumps({"classes": pool.classes, "scale": pool.scale, "members": members}))
    file.write_bytes(cached.read_bytes())
    return file
