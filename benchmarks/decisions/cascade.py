"""Cascades on FER+: three priced services and a free network tell the emotion in a face (labels with a confidence).

    python -m benchmarks.decisions --parts cascade

Half of the 6,358 pictures to fit on, half to judge, ten times. Costs are as shares of what the best single service
costs. A label with confidence p becomes scores: p for the label, the rest spread over the others. Quorate's states go
through the plan and the combiner that serve, stage by stage. Peers, fitted on the same half and judged on the other:

- *cheapest*, *best single*, *all*: the network alone; the service that is best on the fit half; Quorate's combiner of
  all;
- *stacking two*: Quorate's combiner on the network and the best service, both for every picture;
- *random*: Quorate's first stage, and everybody for pictures drawn at random, as many as the cost allows;
- *single threshold*: the network, and the best service's label where the network is less confident than a threshold;
- *two-stage router*: after FrugalML's idea, in our own description: the network first; then, by its label and how
  confident it is (twelve bins), stop or have one service replace the answer, whichever is right most often on the fit
  half (shrunk towards the label's mean), less a price times its cost; the price is that which uses up the budget;
- *oracle*: knows the truth, and asks the cheapest set of members whose combined answer is right.

Intervals are of mean differences from the best single service over the ten splits, Student's 95 % with the variance of
Nadeau and Bengio ("Inference for the generalization error", Machine Learning 52, 2003): ``(1/J + n_test/n_fit) s^2``.
"""

from __future__ import annotations

import csv
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.harness.table import QUORATE, Row
from quorate.core.combine.cascade import Cascade
from quorate.core.plan.cascade import CascadePlan
from quorate.core.plan.trace import trace
from quorate.core.types import Status
from quorate.training.cascade import Fitting, Promise

SPLITS = 10
MEMBERS = ("github_cnn", "facepp", "microsoft", "google")
COSTS = {"github_cnn": 0.001, "facepp": 5.0, "microsoft": 10.0, "google": 15.0}
CLASSES = tuple(str(c) for c in range(7))
BUDGETS = (0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5)
"""Of the best single service's cost."""
PROMISE = Promise("accuracy", 0.814, 0.1)
BINS, SHRINK = 12, 10.0
WORKLOAD = "cascade: FER+"
Floats = NDArray[np.float64]


class Faces(NamedTuple):
    """Scores float32 ``[n, m, k]``, labels ``[n, m]``, confidences ``[n, m]`` and truths ``[n]``."""

    scores: NDArray[np.float32]
    labels: NDArray[np.intp]
    sure: Floats
    truth: NDArray[np.intp]

    def take(self, rows: NDArray[np.intp]) -> Faces:
        """Those rows only."""
        return Faces(*(each[rows] for each in self))


def rows(*, quick: bool = False) -> list[Row]:
    """The frontier, the promise, and what a row costs to route."""
    faces = load()
    if faces is None:
        return [Row(WORKLOAD, QUORATE, "accuracy", "share", (), "no data; set QUORATE_DATA")]
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    kept: list[tuple[float, float]] = []
    for seed in range(2 if quick else SPLITS):
        order = np.random.default_rng(seed).permutation(len(faces.truth))
        half = len(order) // 2
        for key, point in _split(faces.take(order[:half]), faces.take(order[half:]), seed).items():
            found.setdefault(key, []).append(point)
        kept.append(_promised(faces.take(order[:half]), faces.take(order[half:]), seed))
    return [*_table(found), *_promise_rows(kept), _one_row(faces)]


def load() -> Faces | None:
    """The file's rows; None where there is no such file."""
    path = Path(os.environ.get("QUORATE_DATA", "../shared/data")) / "outputs" / "ferplus" / "outputs.csv"
    if not path.exists():
        return None
    with path.open() as file:
        table = list(csv.DictReader(file))
    labels = np.array([[int(row[f"{name}_label"]) for name in MEMBERS] for row in table])
    sure = np.array([[float(row[f"{name}_confidence"]) for name in MEMBERS] for row in table])
    truth = np.array([int(row["true_label"]) for row in table])
    return Faces(scores_of(labels, sure, len(CLASSES)), labels, sure, truth)


def scores_of(labels: NDArray[np.intp], sure: Floats, k: int) -> NDArray[np.float32]:
    """A label ``[…]`` with its confidence as scores float32 ``[…, k]``: the rest is spread over the other classes.

    The label stays the highest, however little confidence there is in it.

    >>> scores_of(np.array([1]), np.array([0.8]), 3).round(3).tolist()
    [[0.10000000149011612, 0.800000011920929, 0.10000000149011612]]
    """
    p = np.maximum(sure, 1.0 / k + 1e-3)
    found = np.repeat(((1.0 - p) / (k - 1))[..., None], k, axis=-1)
    np.put_along_axis(found, labels[..., None], p[..., None], axis=-1)
    return found.astype(np.float32)


# --- one split ----------------------------------------------------------------------------------------


def _split(fit: Faces, test: Faces, seed: int) -> dict[tuple[str, str], tuple[float, float, float]]:
    """By system and budget: accuracy on the test half, its cost, and the best single service's accuracy there."""
    costs = np.array([COSTS[name] for name in MEMBERS])
    best = int((fit.labels == fit.truth[:, None]).mean(axis=0).argmax())
    alone = test.labels == test.truth[:, None]
    reference = float(alone[:, best].mean())
    fitting = Fitting(fit.scores, fit.truth, MEMBERS, CLASSES, COSTS, seed=seed)
    ok, cascade = np.zeros(alone.shape, np.int8), Cascade()
    state = fitting.state(Promise("cost", float(costs[best])))

    def right(*members: int) -> NDArray[np.bool_]:
        status = np.full(alone.shape, int(Status.SKIPPED), np.int8)
        status[:, members] = int(Status.OK)
        return cascade.combine(test.scores, status, state).argmax(axis=1) == test.truth

    cheap, everyone = right(0), right(*range(len(MEMBERS)))
    found = {
        ("cheapest", ""): (float(alone[:, 0].mean()), costs[0] / costs[best]),
        ("best single", ""): (reference, 1.0),
        ("stacking two", ""): (float(right(0, best).mean()), (costs[0] + costs[best]) / costs[best]),
        ("all", ""): (float(everyone.mean()), costs.sum() / costs[best]),
        ("oracle", ""): _oracle(right, costs, costs[best]),
    }
    for share in BUDGETS:
        budget, name = share * float(costs[best]), f"{share:g}"
        routed = fitting.state(Promise("cost", budget))
        status = trace(CascadePlan(routed), test.scores, ok).status(ok)
        answer = cascade.combine(test.scores, status, routed).argmax(axis=1)
        spent = ((status == int(Status.OK)) @ costs).mean() / costs[best]
        found[QUORATE, name] = (float((answer == test.truth).mean()), float(spent))
        rate = min(1.0, (budget - costs[0]) / costs[1:].sum())
        random = (1.0 - rate) * cheap.mean() + rate * everyone.mean()
        found["random", name] = (float(random), (costs[0] + rate * costs[1:].sum()) / costs[best])
        if share <= 1.0:
            found["single threshold", name] = _threshold(fit, test, best, share, costs)
        found["two-stage router", name] = _two_stage(fit, test, budget, costs, best)
    return {key: (accuracy, cost, reference) for key, (accuracy, cost) in found.items()}


def _oracle(right: Callable[..., NDArray[np.bool_]], costs: Floats, unit: float) -> tuple[float, float]:
    m = len(costs)
    sets = [[j for j in range(m) if code >> j & 1] for code in range(1, 2**m)]
    sets.sort(key=lambda some: float(costs[some].sum()))
    hits = np.stack([right(*some) for some in sets], axis=1)
    ever = hits.any(axis=1)
    paid = np.array([costs[some].sum() for some in sets])[np.where(ever, hits.argmax(axis=1), 0)]
    return float(ever.mean()), float(paid.mean() / unit)


def _threshold(fit: Faces, test: Faces, best: int, share: float, costs: Floats) -> tuple[float, float]:
    level = np.quantile(fit.sure[:, 0], share - costs[0] / costs[best])
    asked = test.sure[:, 0] < level
    label = np.where(asked, test.labels[:, best], test.labels[:, 0])
    return float((label == test.truth).mean()), float(asked.mean() + costs[0] / costs[best])


def _two_stage(fit: Faces, test: Faces, budget: float, costs: Floats, best: int) -> tuple[float, float]:
    k, edges = len(CLASSES), np.quantile(fit.sure[:, 0], np.linspace(0, 1, BINS + 1)[1:-1])

    def cell(faces: Faces) -> NDArray[np.intp]:
        return faces.labels[:, 0] * BINS + np.searchsorted(edges, faces.sure[:, 0])

    hits = (fit.labels == fit.truth[:, None]).astype(float)
    cells = cell(fit)
    by_label = np.array([hits[fit.labels[:, 0] == c].mean(axis=0) for c in range(k)])
    count = np.bincount(cells, minlength=k * BINS)
    total = np.stack([np.bincount(cells, hits[:, j], k * BINS) for j in range(hits.shape[1])], axis=1)
    expected = (total + SHRINK * np.repeat(by_label, BINS, axis=0)) / (count + SHRINK)[:, None]
    more = np.where(np.arange(len(costs)) == 0, 0.0, costs)

    def choice(price: float) -> NDArray[np.intp]:
        return (expected - price * more).argmax(axis=1)

    low, high = 0.0, 1.0
    for _ in range(40):
        price = (low + high) / 2
        spent = costs[0] + (more[choice(price)] * count).sum() / count.sum()
        low, high = (price, high) if spent > budget else (low, price)
    chosen = choice(high)[cell(test)]
    right = test.labels[np.arange(len(chosen)), chosen] == test.truth
    return float(right.mean()), float((costs[0] + more[chosen]).mean() / costs[best])


def _promised(fit: Faces, test: Faces, seed: int) -> tuple[float, float]:
    """Accuracy and cost of the cascade that promises :data:`PROMISE`."""
    fitting = Fitting(fit.scores, fit.truth, MEMBERS, CLASSES, COSTS, held=0.4, seed=seed)
    state, ok = fitting.state(PROMISE), np.zeros(test.labels.shape, np.int8)
    status = trace(CascadePlan(state), test.scores, ok).status(ok)
    answer = Cascade().combine(test.scores, status, state).argmax(axis=1)
    spent = (status == int(Status.OK)) @ np.array([COSTS[name] for name in MEMBERS])
    return float((answer == test.truth).mean()), float(spent.mean())


# --- the table ----------------------------------------------------------------------------------------


def corrected(differences: Sequence[float], share: float = 1.0) -> tuple[float, float, float]:
    """The mean with Nadeau and Bengio's 95 % interval; ``share`` is rows to judge over rows to fit on."""
    values = np.asarray(differences)
    mean, j = float(values.mean()), len(values)
    if j < 2:
        return mean, -math.inf, math.inf
    half = float(stats.t.ppf(0.975, j - 1)) * float(values.std(ddof=1)) * math.sqrt(1 / j + share)
    return mean, mean - half, mean + half


def _table(found: dict[tuple[str, str], list[tuple[float, float, float]]]) -> list[Row]:
    listed = []
    for (system, budget), points in sorted(found.items(), key=lambda item: (item[0][1] != "", item[0][1], item[0][0])):
        accuracy, cost, reference = (np.array(values) for values in zip(*points, strict=True))
        mean, low, high = corrected((accuracy - reference).tolist())
        note = (
            f"{100 * mean:+.2f} points [{100 * low:+.2f}, {100 * high:+.2f}] on the best single, at {cost.mean():.3f}"
        )
        workload = f"{WORKLOAD}, budget {budget} of the best single's cost" if budget else f"{WORKLOAD}, fixed"
        listed.append(Row(workload, system, "accuracy", "share", tuple(accuracy.tolist()), note))
        listed.append(Row(workload, system, "cost of the best single's", "share", tuple(cost.tolist())))
    return listed


def _promise_rows(kept: list[tuple[float, float]]) -> list[Row]:
    workload = f"{WORKLOAD}, at_least accuracy {PROMISE.value:g}, risk {PROMISE.risk:g}"
    accuracy, cost = (tuple(values) for values in zip(*kept, strict=True))
    broken = sum(value < PROMISE.value for value in accuracy)
    note = f"below the promise on {broken} of {len(kept)} test halves, whose own sampling error is 0.7 points"
    return [
        Row(workload, QUORATE, "accuracy", "share", accuracy, note),
        Row(workload, QUORATE, "cost of the best single's", "share", tuple(c / COSTS["microsoft"] for c in cost)),
    ]


def _one_row(faces: Faces) -> Row:
    """Processor time to route and combine one row, through all its stages."""
    some = faces.take(np.arange(1000))
    state = Fitting(some.scores, some.truth, MEMBERS, CLASSES, COSTS).state(Promise("cost", 10.0))
    plan, nobody, found = CascadePlan(state), np.full((1, len(MEMBERS)), Status.SKIPPED, np.int8), []
    for _ in range(5):
        started = time.process_time()
        for i in range(100):
            row, status, way = some.scores[i : i + 1], nobody, plan.begin()
            while (asked := way.next(row, status, math.inf)).any():
                status = np.where(asked, np.int8(Status.OK), status)
            way.answers(row, status)
        found.append((time.process_time() - started) * 1e4)
    return Row("cascade: one row of 4 members, all stages", QUORATE, "route and combine", "us", tuple(found))
