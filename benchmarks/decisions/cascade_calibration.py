"""Calibrated cascades: how far the final confidences are from what comes true, and what the correction costs.

    python -m benchmarks.decisions --parts cascade_calibration

Two pools. *FER+* (:mod:`benchmarks.decisions.cascade`): half of the pictures fit the cascade and its calibration, half
judge. *mixed*: simulated, 31 classes, two members of which half of what they say is far too sure, and nothing but how
sure it is tells which half; 1,500 rows fit, 8,000 judge. The calibration is fitted on the cascade's own way through the
rows, cross-fitted: with one map for all rows, and with one for every set of members where that is better.

The error is that of :mod:`quorate.core.calibrate.ece`, without the bias: of all final answers, and of those of the set
of members (that ended 500 rows or more) for which it is largest. No label moves, and nobody else is asked.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import numpy as np

from benchmarks.decisions import cascade
from benchmarks.harness.table import QUORATE, Row
from quorate.core.calibrate.ece import of_answers
from quorate.core.calibrate.methods import METHODS, calibrate, fit
from quorate.core.combine.cascade import Cascade
from quorate.core.plan.cascade import CascadePlan
from quorate.core.plan.trace import trace
from quorate.training.cascade import Fitting, Promise

SPLITS = 3
BEFORE, COMMON, BY_SET = "as combined", "one map", "a map by set"
Figures = dict[tuple[str, str, str], list[float]]
_SIGNALS = (2.2, 3.2)
_CLASSES = 31


def rows(*, quick: bool = False) -> list[Row]:
    """Errors before and after by pool and method, and the time that a map by set adds to a request."""
    found: Figures = defaultdict(list)
    faces = cascade.load()
    for seed in range(1 if quick else SPLITS):
        if faces is not None:
            order = np.random.default_rng(seed).permutation(len(faces.truth))[: 1200 if quick else None]
            one, other = np.array_split(order, 2)
            costs = Promise("cost", 10.0)
            parts = (faces.scores[one], faces.truth[one], faces.scores[other], faces.truth[other])
            _judge(found, "FER+", cascade.MEMBERS, cascade.CLASSES, cascade.COSTS, costs, parts, seed)
        simulated = (*mixed(400 if quick else 1500, seed), *mixed(8000, 1000 + seed))
        names, classes = ("small", "large"), tuple(str(i) for i in range(_CLASSES))
        _judge(found, "mixed", names, classes, {"small": 1.0, "large": 8.0}, Promise("cost", 4.0), simulated, seed)
    table = [
        Row(f"calibrated cascade: {pool}", system, metric, "share", tuple(values))
        for (pool, system, metric), values in found.items()
    ]
    return table + _cost()


def mixed(n: int, seed: int) -> tuple[Any, Any]:
    """Outputs ``[n, 2, 31]`` and truths ``[n]`` of the simulated pool."""
    rng = np.random.default_rng(seed)
    y, found = rng.integers(_CLASSES, size=n), []
    for signal in _SIGNALS:
        z = rng.normal(size=(n, _CLASSES))
        z[np.arange(n), y] += signal
        steep = np.where(rng.random(n) < 0.5, 6.0, 1.0)[:, None]
        scores = np.exp(steep * signal * (z - z.max(axis=1, keepdims=True)))
        found.append(scores / scores.sum(axis=1, keepdims=True))
    return np.stack(found, axis=1).astype(np.float32), y


def _judge(
    found: Figures,
    pool: str,
    members: Any,
    classes: Any,
    costs: Any,
    promise: Promise,
    parts: Any,
    seed: int,
) -> None:
    outputs, y, fresh, truth = parts
    fitting = Fitting(outputs, y, members, classes, costs, seed=seed)
    state, way = fitting.state(promise), fitting.way(promise)
    ok = np.zeros(fresh.shape[:2], np.int8)
    status = trace(CascadePlan(state), fresh, ok).status(ok)
    plain = Cascade().combine(fresh, status, state)
    ended = np.unique(status, axis=0, return_inverse=True)[1].reshape(-1)

    def tell(system: str, answer: Any) -> None:
        some = [ended == number for number in range(ended.max() + 1) if (ended == number).sum() >= 500]
        found[pool, system, "error"].append(_error(answer, truth))
        found[pool, system, "worst set"].append(max(_error(answer[mine], truth[mine]) for mine in some))

    tell(BEFORE, plain)
    about = {"kind": "cascade", "params": {}, "members": list(members)}
    for method in METHODS:
        for system, known in ((COMMON, None), (BY_SET, way.status)):
            made = fit(method, way.answers, y, classes, about, known)
            answer = calibrate(plain, made, status)
            assert (answer.argmax(axis=1) == plain.argmax(axis=1)).all()
            tell(f"{QUORATE} {method}, {system}", answer)


def _error(answers: Any, truth: Any) -> float:
    found = of_answers(answers, truth)
    assert found is not None
    return found.error.value


def _cost() -> list[Row]:
    """One row of ten classes, and 32 rows that ended with three different sets."""
    rng = np.random.default_rng(0)
    n, sets = 6000, np.array([[0, 2, 2], [0, 0, 2], [0, 0, 0]], np.int8)
    answers = rng.dirichlet(np.full(10, 0.3), size=n).astype(np.float32)
    truths = (answers.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    status = sets[np.arange(n) % 3]
    powers = answers ** np.array([2.0, 1.0, 0.5])[np.arange(n) % 3, None]  # too sure, right, not sure enough
    said = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    found = []
    for method in METHODS:
        made = fit(method, said, truths, "abcdefghij", {}, status)
        for some in (1, 32):
            runs = []
            for _ in range(7):
                started = time.perf_counter()
                for _ in range(300):
                    calibrate(said[:some], made, status[:some])
                runs.append((time.perf_counter() - started) / 300 * 1e6)
            note = f"{len(made.arrays['sets'])} sets with maps of their own"
            workload = f"calibrated cascade: cost, {some} rows, 10 classes"
            found.append(Row(workload, f"{QUORATE} {method}", "time", "us", tuple(runs), note))
    return found
