"""Out-of-fold outputs that training keeps, so that a pool can be audited before it has served anything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quorate.codecs import held
from quorate.core.types import FloatArray

FOLDER = "held"
"""Beside the registry: ``.quorate/held/STATE.npz`` (:mod:`quorate.codecs.held`)."""
MOST_BYTES = 256 * 1024 * 1024
"""Of the outputs; of more rows some are kept, evenly."""


def keep(
    registry: Path,
    name: str,
    members: Sequence[str],
    classes: Sequence[str],
    outputs: FloatArray,
    truth: NDArray[np.int64],
) -> Path:
    """Write members' outputs ``[n, m, k]`` on rows that they have not seen, with the truth ``[n]``; returns where."""
    most = max(1, MOST_BYTES // max(outputs[0].nbytes, 1))
    index = np.arange(min(most, len(outputs))) * len(outputs) // min(most, len(outputs))
    path = registry.parent / FOLDER / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_bytes(held.encode(held.HeldOutputs(tuple(members), tuple(classes), outputs[index], truth[index])))
    new.replace(path)
    return path
