"""What runs in AutoGluon's environment: its weighted ensemble on given out-of-fold outputs.

    python -m benchmarks.decisions.autogluon_peer FILE.npz WEIGHTS.npz

It imports nothing of Quorate. For every key ``NAME.METRIC.outputs`` ``[n, m, k]`` with ``NAME.METRIC.truth`` it writes
the weights ``NAME.METRIC`` ``[m]`` with AutoGluon's own settings for its ensembles: 25 steps, ties broken by log loss.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
from autogluon.core import metrics
from autogluon.core.models.greedy_ensemble.ensemble_selection import EnsembleSelection

warnings.filterwarnings("ignore", message="The y_prob values do not sum to one")

METRICS = {"accuracy": metrics.accuracy, "log_loss": metrics.log_loss, "rmse": metrics.root_mean_squared_error}
STEPS = 25


def main(source: str, target: str) -> None:
    """Fit all."""
    arrays = np.load(source)
    found: dict[str, Any] = {}
    for key in sorted(name.removesuffix(".truth") for name in arrays if name.endswith(".truth")):
        outputs, truth = arrays[f"{key}.outputs"].astype(np.float64), arrays[f"{key}.truth"]
        kind = "regression" if key.endswith("rmse") else "binary" if outputs.shape[2] == 2 else "multiclass"
        some = [outputs[:, j] if kind == "multiclass" else outputs[:, j, -1] for j in range(outputs.shape[1])]
        metric = METRICS[key.rsplit(".", 1)[1]]
        ensemble = EnsembleSelection(STEPS, kind, metric, tie_breaker="second_metric")
        ensemble.fit(some, truth.reshape(-1))
        found[key] = ensemble.weights_
    np.savez(target, **found)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
