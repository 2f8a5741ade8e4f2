"""Classification as a contextual bandit, against Vowpal Wabbit: the share of rows answered wrong while learning.

Six data sets that come with scikit-learn and river, ten shuffles each. A system sees the features of a row, picks a
class, and is told only whether that was right. Features are standardised beforehand, the same for both. Vowpal Wabbit
is its own reduction from classes (``--cbify``) with linear models and mtr, by greedy, SquareCB and RegCB-opt, each with
three learning rates; *its best* is the one of these nine that is best on the data set in hindsight. Quorate's are the
defaults of ``lin_ucb`` and ``lin_thompson``, but for the floor, which is 0 as Vowpal Wabbit has none; they learn in
lots of five rows, Vowpal Wabbit after every row.

The interval is of the mean difference over shuffles, each the mean over the data sets: Student's, 95 %.

Reference: A. Bietti, A. Agarwal, J. Langford, "A contextual bandit bake-off", JMLR 22, 2021.
"""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.decisions.peer import order
from benchmarks.harness.table import FOLDER, QUORATE, Row
from quorate.core.select.assign import draw
from quorate.core.select.base import Feedback
from quorate.core.select.lin_thompson import LinThompson, LinThompsonParams
from quorate.core.select.lin_ucb import LinUcb, LinUcbParams
from quorate.core.select.linear import Linear
from quorate.core.types import Scalar

PYTHON = Path(".venvs/bench-decisions/bin/python")
SHUFFLES, LOT = 10, 5
VOWPAL = "Vowpal Wabbit"


def rows(*, quick: bool = False) -> list[Row]:
    """Mean progressive loss by data set and system, and the paired differences."""
    workload = "classification as a bandit, six data sets"
    if not PYTHON.exists():
        return [Row(workload, VOWPAL, "loss", "share", (), f"there is no {PYTHON}; run `make bench-decisions`")]
    shuffles = 2 if quick else SHUFFLES
    folder = FOLDER / "run"
    folder.mkdir(parents=True, exist_ok=True)
    sets, answer = folder / "sets.npz", folder / "vw.json"
    for command in (["data", str(sets)], ["vw", str(sets), str(answer), str(shuffles)]):
        subprocess.run([str(PYTHON), "-m", "benchmarks.decisions.peer", *command], check=True)
    vowpal = json.loads(answer.read_text())
    arrays = np.load(sets)
    found: list[Row] = []
    losses: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name, grid in vowpal.items():
        best = min(grid, key=lambda each: float(np.mean(grid[each])))
        usual = min((each for each in grid if each.endswith(" 0.5")), key=lambda each: float(np.mean(grid[each])))
        losses[name] = {"best": np.array(grid[best]), "usual": np.array(grid[usual])}
        for policy in ("lin_ucb", "lin_thompson"):
            x, y = arrays[f"{name}.x"], arrays[f"{name}.y"]
            losses[name][policy] = np.array([progressive(policy, x, y, shuffle) for shuffle in range(shuffles)])
            found.append(_row(f"{workload}: {name}", QUORATE, policy, losses[name][policy]))
        found.append(_row(f"{workload}: {name}", VOWPAL, "best in hindsight", losses[name]["best"], best))
        found.append(_row(f"{workload}: {name}", VOWPAL, "best with its default rate", losses[name]["usual"], usual))
    mean = {key: np.mean([each[key] for each in losses.values()], axis=0) for key in next(iter(losses.values()))}
    for system, key in ((QUORATE, "lin_ucb"), (QUORATE, "lin_thompson"), (VOWPAL, "best"), (VOWPAL, "usual")):
        note = "" if system == VOWPAL else f"less Vowpal Wabbit's best: {_interval(mean[key] - mean['best'])}"
        found.append(_row(f"{workload}: mean", system, key, mean[key], note))
    return found


def progressive(policy: str, x: NDArray[Any], y: NDArray[Any], shuffle: int) -> float:
    """The share of rows of one shuffle that the policy answered wrong."""
    features = tuple(f"context.f{j}" for j in range(x.shape[1]))
    names = [f"class-{i}" for i in range(int(y.max()) + 1)]
    learner: Linear = (
        LinUcb(names, LinUcbParams(features=features, floor=0.0))
        if policy == "lin_ucb"
        else LinThompson(names, LinThompsonParams(features=features, floor=0.0, seed=shuffle))
    )
    state, wrong, told = learner.initial(), 0, list[Feedback]()
    uniform = np.random.default_rng(shuffle).random(len(y))
    for u, i in zip(uniform.tolist(), order(len(y), shuffle).tolist(), strict=True):
        context: dict[str, Scalar] = {f"f{j}": value for j, value in enumerate(x[i].tolist())}
        p = learner.distribution(state, context, {}).tolist()
        arm = draw(p, u)
        wrong += arm != y[i]
        reward = np.full(len(names), np.nan)
        reward[arm] = float(arm == y[i])
        told.append(Feedback(context, {}, tuple(p), arm, reward, 0.0, 1.0))
        if len(told) == LOT:
            state, told = learner.learn(state, told), []
    return wrong / len(y)


def _row(workload: str, system: str, metric: str, values: NDArray[np.float64], note: str = "") -> Row:
    return Row(workload, system, metric, "share", tuple(values.tolist()), note)


def _interval(differences: NDArray[np.float64]) -> str:
    n, middle = len(differences), float(differences.mean())
    half = float(stats.t.ppf(0.975, n - 1)) * float(differences.std(ddof=1)) / math.sqrt(n)
    return f"{middle:+.4f} [{middle - half:+.4f}, {middle + half:+.4f}]"
