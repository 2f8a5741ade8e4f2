"""What runs in the environment of the package venn-abers: it calibrates answers by others' truths.

    python -m benchmarks.decisions.venn_abers_peer FILE.npz ANSWERS.npz

It imports nothing of Quorate.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from venn_abers import VennAbersCalibrator


def main(source: str, target: str) -> None:
    """Calibrate every split of a file: ``N.known`` and ``N.truths`` by which, ``N.answers`` what."""
    found: dict[str, Any] = {}
    with np.load(source) as given:
        numbers = sorted({name.partition(".")[0] for name in given.files}, key=int)
        for number in numbers:
            known, truths, answers = (given[f"{number}.{what}"] for what in ("known", "truths", "answers"))
            calibrated = VennAbersCalibrator().predict_proba(
                p_cal=known.astype(np.float64), y_cal=truths, p_test=answers.astype(np.float64)
            )
            found[number] = np.asarray(calibrated)
    np.savez(target, **found)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
