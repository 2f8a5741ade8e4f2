"""The image ladder: six MobileNets of rising size behind one raw signature, accuracy against measured milliseconds.

    python -m benchmarks.decisions --parts ladder

**Groceries.** The networks, uint8 TFLite files as they came, know ImageNet; each has a linear head for the 43 coarse
classes of the grocery photographs, fitted on the train split (1,511; the penalty on val). The val split and a random
half of the test split (224 + 510) fit whatever chooses between the rungs; the other 510 judge it, ten times.
Milliseconds are measured a photograph at a time in one process: decoding it once, and for each rung that is asked its
size of the picture, the network (one thread) and the head. Of the judged photographs the table has accuracy, mean and
p95.

- *RUNG alone*, *all together* (the mean of all);
- *random*: the cheapest rung, and in its place the best one for photographs drawn at random, as the time allows;
- *single threshold*: the cheapest rung, and in its place the best one where it is less sure than a threshold;
- *threshold at every rung*: one after the other, averaging; stop as soon as the average is sure enough;
- *Quorate*: the fitted cascade, ``within: {cost}``, through the plan and the combiner that serve;
- *oracle*: knows the truth, and asks the cheapest rung that is right, else the cheapest.

"best" is the rung that is best on the rows to fit on; budgets are shares of what it takes.

**ImageNet as it is.** Eleven kinds of groceries have a class of their own among ImageNet's 1,000. On their test
photographs the networks that came with ImageNet's classes answer by these, without any training: right is the class
itself, out of 1,001. The heads are not used there.

**Served.** The ladder behind one endpoint of a real server (:mod:`benchmarks.decisions._ladder_served`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.decisions import _imagenet, _ladder_served, _rungs
from benchmarks.decisions._rungs import RUNGS, Measured
from benchmarks.harness.table import QUORATE, Row
from quorate import plugins
from quorate.core.types import Status

SPLITS = 10
BUDGETS = (0.35, 0.5, 0.65, 0.8, 1.0)
WORKLOAD = "image ladder"
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Point(NamedTuple):
    """What a system did on the judged photographs: accuracy, and milliseconds of each."""

    accuracy: float
    ms: Floats


class Seen(NamedTuple):
    """Some photographs: outputs float32 ``[n, m, k]``, truths ``[n]``, milliseconds of decoding and of the rungs."""

    outputs: NDArray[np.float32]
    truth: NDArray[np.intp]
    decoding: Floats
    ms: Floats

    def take(self, rows: NDArray[np.intp]) -> Seen:
        """Those rows only."""
        return Seen(*(each[rows] for each in self))

    @property
    def right(self) -> Bools:
        """Whether each rung is right, ``[n, m]``."""
        found: Bools = self.outputs.argmax(axis=2) == self.truth[:, None]
        return found

    def point(self, right: Bools, asked: Bools) -> Point:
        """With rungs ``asked`` ``[n, m]`` for each."""
        return Point(float(right.mean()), self.decoding + (self.ms * asked).sum(axis=1))


def rows(*, quick: bool = False) -> list[Row]:
    """The frontier on the groceries, ImageNet's own classes, and the ladder served."""
    why = _rungs.missing()
    if why is not None:
        return [Row(WORKLOAD, QUORATE, "accuracy", "share", (), why)]
    found = _rungs.photographs(6 if quick else 1)
    fine, labels = _rungs.kinds()
    registry, manifests = _rungs.registered(found, labels)
    judged = found.where("val", "test")
    measured = _rungs.measured(registry, manifests, [found.files[i] for i in judged])
    test = found.split[judged] == "test"
    groceries = Seen(measured.outputs, found.coarse[judged], measured.decoding, measured.ms)
    return [
        *_cost_rows(measured, groceries, test),
        *_frontier(groceries, test, labels, 2 if quick else SPLITS),
        *_imagenet.rows(found, fine),
        *_ladder_served.rows(found, labels, groceries.outputs, judged, quick=quick),
    ]


def _cost_rows(measured: Measured, seen: Seen, test: Bools) -> list[Row]:
    """What every rung takes and how often it is right, on the test split."""
    listed = [_ms_row(f"{WORKLOAD}: a photograph", "decoding", measured.decoding)]
    for j, rung in enumerate(RUNGS):
        workload = f"{WORKLOAD}: rung {rung.name}, all of test"
        listed.append(Row(workload, rung.name, "accuracy", "share", (float(seen.right[test, j].mean()),)))
        listed.append(_ms_row(workload, rung.name, measured.ms[test, j], measured.processor[test, j]))
    return listed


def _ms_row(workload: str, system: str, ms: Floats, processor: Floats | None = None) -> Row:
    note = f"mean; median {np.median(ms):.2f}, p95 {np.quantile(ms, 0.95):.2f}"
    note += "" if processor is None else f"; processor {processor.mean():.2f}"
    return Row(workload, system, "takes", "ms", (float(ms.mean()),), note)


# --- the frontier -------------------------------------------------------------------------------------


def _frontier(seen: Seen, test: Bools, labels: Sequence[str], splits: int) -> list[Row]:
    found: dict[tuple[str, str], list[tuple[Point, float]]] = {}
    val, tested = np.flatnonzero(~test), np.flatnonzero(test)
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(tested)
        half = len(order) // 2
        fit = np.concatenate([val, order[:half]])
        points = _split(seen.take(fit), seen.take(order[half:]), labels, seed)
        reference = points["best rung", ""].accuracy
        for key, point in points.items():
            found.setdefault(key, []).append((point, reference))
    listed = []
    for (system, budget), points in sorted(found.items(), key=lambda item: item[0][1]):
        workload = f"{WORKLOAD}: within {budget} of the best rung's time" if budget else f"{WORKLOAD}: fixed"
        listed += _point_rows(workload, system, points)
    return listed


def _point_rows(workload: str, system: str, points: list[tuple[Point, float]]) -> list[Row]:
    accuracy = tuple(point.accuracy for point, _ in points)
    mean, low, high = _corrected([point.accuracy - reference for point, reference in points])
    note = f"{100 * mean:+.2f} points [{100 * low:+.2f}, {100 * high:+.2f}] on the best rung"
    return [
        Row(workload, system, "accuracy", "share", accuracy, note),
        Row(workload, system, "takes, mean", "ms", tuple(float(point.ms.mean()) for point, _ in points)),
        Row(workload, system, "takes, p95", "ms", tuple(float(np.quantile(point.ms, 0.95)) for point, _ in points)),
    ]


def _corrected(differences: Sequence[float]) -> tuple[float, float, float]:
    """The mean over random halves with Student's 95 % interval, their overlap corrected for: ``(1/J + n2/n1) s^2``.

    C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine Learning 52, 2003.
    """
    values, j = np.asarray(differences), len(differences)
    half = float(stats.t.ppf(0.975, j - 1) * values.std(ddof=1) * math.sqrt(1 / j + 510 / 734))
    return float(values.mean()), float(values.mean()) - half, float(values.mean()) + half


def _split(fit: Seen, held: Seen, labels: Sequence[str], seed: int) -> dict[tuple[str, str], Point]:
    best = int(fit.right.mean(axis=0).argmax())
    everyone = np.ones(held.right.shape, bool)
    only = np.eye(len(RUNGS), dtype=bool)
    mean = held.outputs.mean(axis=1).argmax(axis=1) == held.truth
    found: dict[tuple[str, str], Point | None] = {
        (f"{rung.name} alone", ""): held.point(held.right[:, j], only[[j]]) for j, rung in enumerate(RUNGS)
    }
    found["best rung", ""] = held.point(held.right[:, best], only[[best]])
    found["all together", ""] = held.point(mean, everyone)
    cheapest_right = np.where(held.right.any(axis=1), held.right.argmax(axis=1), 0)
    found["oracle", ""] = held.point(held.right.any(axis=1), only[cheapest_right])
    costs = fit.ms.mean(axis=0)
    cascade = _Cascades(fit, costs, labels, seed) if "cascade" in plugins.names("combiners") else None
    for share in BUDGETS:
        budget, name = share * float(costs[best]), f"{share:g}"
        found["random", name] = _random(held, best, (budget - costs[0]) / costs[best])
        found["single threshold", name] = _single(fit, held, best, (budget - costs[0]) / costs[best])
        found["threshold at every rung", name] = _every(fit, held, costs, budget)
        if cascade is not None:
            found[QUORATE, name] = cascade.within(held, budget)
    return {key: point for key, point in found.items() if point is not None}


def _random(held: Seen, best: int, rate: float) -> Point | None:
    """The expectation over draws; its milliseconds are those of one draw."""
    if not 0.0 <= rate <= 1.0:
        return None
    asked = np.zeros(held.right.shape, bool)
    asked[:, 0] = True
    more = np.random.default_rng(0).random(len(asked)) < rate
    asked[more, best] = True
    accuracy = (1.0 - rate) * held.right[:, 0].mean() + rate * held.right[:, best].mean()
    return held.point(held.right[:, 0], asked)._replace(accuracy=float(accuracy))


def _single(fit: Seen, held: Seen, best: int, rate: float) -> Point | None:
    if not 0.0 <= rate <= 1.0:
        return None
    level = np.quantile(fit.outputs[:, 0].max(axis=1), rate)
    more = held.outputs[:, 0].max(axis=1) < level
    asked = np.zeros(held.right.shape, bool)
    asked[:, 0] = True
    asked[more, best] = True
    return held.point(np.where(more, held.right[:, best], held.right[:, 0]), asked)


def _chain(seen: Seen, threshold: float) -> tuple[Bools, Bools]:
    """Right, and asked: up the ladder until the average of what was said is sure enough."""
    averages = np.cumsum(seen.outputs, axis=1) / np.arange(1, len(RUNGS) + 1)[:, None]
    sure = averages.max(axis=2) >= threshold
    sure[:, -1] = True
    last = sure.argmax(axis=1)
    asked = np.arange(len(RUNGS)) <= last[:, None]
    return averages[np.arange(len(last)), last].argmax(axis=1) == seen.truth, asked


def _every(fit: Seen, held: Seen, costs: Floats, budget: float) -> Point:
    levels = np.linspace(0.0, 1.0, 201)
    spent = np.array([(_chain(fit, level)[1] * costs).sum(axis=1).mean() for level in levels])
    level = levels[max(0, int(np.searchsorted(spent, budget, side="right")) - 1)]
    return held.point(*_chain(held, float(level)))


class _Cascades:
    """Quorate's fitted cascades, where this release has them."""

    def __init__(self, fit: Seen, costs: Floats, labels: Sequence[str], seed: int) -> None:
        from quorate.training.cascade import Fitting

        names = [rung.name for rung in RUNGS]
        priced = dict(zip(names, costs.tolist(), strict=True))
        self._fitting = Fitting(fit.outputs, fit.truth, names, labels, priced, "ms", seed=seed)

    def within(self, held: Seen, budget: float) -> Point:
        """The most accurate one within a mean time."""
        from quorate.training.cascade import Promise

        return self._judged(held, self._fitting.state(Promise("cost", budget)))

    def _judged(self, held: Seen, state: Any) -> Point:
        from quorate.core.combine.cascade import Cascade
        from quorate.core.plan.cascade import CascadePlan
        from quorate.core.plan.trace import trace

        ok = np.zeros(held.right.shape, np.int8)
        status = trace(CascadePlan(state), held.outputs, ok).status(ok)
        answer = Cascade().combine(held.outputs, status, state).argmax(axis=1)
        return held.point(answer == held.truth, status == int(Status.OK))
