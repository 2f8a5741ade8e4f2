"""What runs in the peers' environment: river on members' recorded outputs, predicting and then learning row by row.

    python -m benchmarks.decisions.river_peer labels|numbers FILE.npz FILE.json

It imports nothing of Quorate.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import numpy as np

RATES = (0.05, 0.2, 0.5, 2.0)


def labels(arrays: Any) -> list[float]:
    """Accuracies of softmax regression on one-hot labels, one a stream."""
    from river.linear_model import SoftmaxRegression

    found = []
    for said, truth in _streams(arrays):
        model, right = SoftmaxRegression(), 0
        for row, y in zip(said.tolist(), truth.tolist(), strict=True):
            x = {f"{j}={label}": 1.0 for j, label in enumerate(row)} | {"bias": 1.0}
            right += model.predict_one(x) == y
            model.learn_one(x, y)
        found.append(right / len(truth))
    return found


def numbers(arrays: Any) -> list[float]:
    """Root mean squared errors of the exponentially weighted average, at the rate that is best in hindsight."""
    from river.base import Regressor
    from river.ensemble import EWARegressor

    class Given(Regressor):
        """A member whose answers are in its input."""

        def __init__(self, j: int = 0) -> None:
            self.j = j

        def learn_one(self, x: dict[int, float], y: float) -> None:
            pass

        def predict_one(self, x: dict[int, float]) -> float:
            return x[self.j]

    streams = _streams(arrays)
    tried = []
    for rate in RATES:
        errors = []
        for said, truth in streams:
            model, total = EWARegressor([Given(j) for j in range(said.shape[1])], learning_rate=rate), 0.0
            for row, y in zip(said.tolist(), truth.tolist(), strict=True):
                x = dict(enumerate(row))
                total += (model.predict_one(x) - y) ** 2
                model.learn_one(x, y)
            errors.append(math.sqrt(total / len(truth)))
        tried.append(errors)
    return min(tried, key=lambda each: sum(each) if all(map(math.isfinite, each)) else math.inf)


def _streams(arrays: Any) -> list[tuple[Any, Any]]:
    streams = sum(key.endswith(".said") for key in arrays)
    return [(arrays[f"{i}.said"], arrays[f"{i}.truth"]) for i in range(streams)]


if __name__ == "__main__":
    loaded = np.load(sys.argv[2])
    answer = {"labels": labels, "numbers": numbers}[sys.argv[1]](loaded)
    with open(sys.argv[3], "w") as file:
        json.dump(answer, file)
