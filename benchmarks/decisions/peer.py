"""What runs in the peers' environment: the data sets, and Vowpal Wabbit on them.

    python -m benchmarks.decisions.peer data FILE.npz
    python -m benchmarks.decisions.peer vw FILE.npz FILE.json SHUFFLES

It imports nothing of Quorate.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

ALGORITHMS = {
    "greedy": "--epsilon 0",
    "squarecb": "--squarecb",
    "regcb-opt": "--regcbopt",
}
RATES = (0.05, 0.5, 5.0)
"""Learning rates; 0.5 is the default."""


def order(n: int, shuffle: int) -> Any:
    """The rows of one shuffle, the same here and there."""
    return np.random.default_rng(1000 + shuffle).permutation(n)


def data(path: str) -> None:
    """Write the six data sets: standardised features ``NAME.x`` ``[n, d]`` and classes ``NAME.y`` ``[n]`` from 0."""
    from river import datasets
    from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

    found = {}
    for name, load in (
        ("iris", load_iris),
        ("wine", load_wine),
        ("breast-cancer", load_breast_cancer),
        ("digits", load_digits),
    ):
        found[name] = load(return_X_y=True)
    for name, dataset in (("phishing", datasets.Phishing()), ("image-segments", datasets.ImageSegments())):
        rows = list(dataset)
        keys = sorted(rows[0][0])
        table = [[float(x[key]) for key in keys] for x, _ in rows]
        found[name] = np.array(table), np.array([str(y) for _, y in rows])
    arrays = {}
    for name, (x, y) in found.items():
        x = np.asarray(x, np.float64)
        spread = x.std(0)
        arrays[f"{name}.x"] = ((x - x.mean(0)) / np.where(spread > 0, spread, 1.0))[:, spread > 0]
        arrays[f"{name}.y"] = np.unique(y, return_inverse=True)[1]
    np.savez(path, **arrays)


def vw(source: str, target: str, shuffles: int) -> None:
    """Write the progressive losses: data set to algorithm and rate to one number a shuffle."""
    from vowpalwabbit import Workspace

    arrays = np.load(source)
    found: dict[str, dict[str, list[float]]] = {}
    for name in sorted(key[:-2] for key in arrays if key.endswith(".x")):
        x, y = arrays[f"{name}.x"], arrays[f"{name}.y"]
        k = int(y.max()) + 1
        text = [" ".join(f"f{j}:{value:.6g}" for j, value in enumerate(row)) for row in x]
        found[name] = {}
        for algorithm, options in ALGORITHMS.items():
            for rate in RATES:
                losses = []
                for shuffle in range(shuffles):
                    model = Workspace(
                        f"--cbify {k} --cb_explore_adf --cb_type mtr {options} -l {rate} -b 18 --quiet "
                        f"--random_seed {shuffle + 1}"
                    )
                    for i in order(len(y), shuffle).tolist():
                        model.learn(f"{y[i] + 1} | {text[i]}")
                    losses.append(model.get_sum_loss() / len(y))
                    model.finish()
                found[name][f"{algorithm} {rate:g}"] = losses
    with open(target, "w") as file:
        json.dump(found, file)


if __name__ == "__main__":
    if sys.argv[1] == "data":
        data(sys.argv[2])
    else:
        vw(sys.argv[2], sys.argv[3], int(sys.argv[4]))
