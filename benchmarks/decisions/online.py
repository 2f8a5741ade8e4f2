"""The online combiner, predicting and then learning row by row, beside the best single member, voting and peers.

- *emotion*: eight text classifiers' labels (5,509 rows), in the file's order and shuffled ten times.
- *food11*: hard labels of eight image classifiers (3,097 images), shuffled; the file is sorted by class, and whoever
  forgets gains from that, so its own order is only reported.
- *switching*: nine members over ten classes; one is right 9 times in 10, the others 5 to 7 times, and which one that is
  changes every 400 outcomes. Errors are independent, or 6 in 10 are common to all. The clairvoyant always asks the
  best one. All outcomes are known at once, or each 200 requests later, or one in ten is ever known, in stretches of 400
  requests and of 400 known outcomes. The limits are what Bayes' rule comes to that knows how such a pool is made and
  learns only who is the best (:mod:`.ideal`), from outcomes, or from outcomes and from what members say in requests.
- *random pools*: how much of the stated bound is used up, at most, against the best fixed member.
- *numbers*: nine forecasts of one number, whose best changes every 400 outcomes.
- *one row*: processor time of ``combine``, and of learning from a row among many.

Peers, all told the same: weighted majority (Littlestone and Warmuth 1994) with the penalty that is best in hindsight,
plain Bayesian counts (Dawid and Skene's model, supervised, add-one), and river's softmax regression on the members'
labels (its ensembles train their own members, so that none takes outputs as given) and EWARegressor on numbers.

Intervals are of mean differences over shuffles or pools: Student's, 95 %.
"""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.decisions import forecasts, ideal
from benchmarks.harness.table import FOLDER, LIMIT, QUORATE, Row
from quorate.core.combine.online import Online
from quorate.core.experts import layer
from quorate.core.experts.layer import Layer
from quorate.core.types import OutputSpec, State

PYTHON = Path(".venvs/bench-decisions/bin/python")
SHUFFLES, POOLS, STRETCH = 10, 200, 400
PENALTIES = (0.5, 0.8, 0.9, 0.97)
LIMIT_US = 100.0
TOP = 0.9
Labels = NDArray[np.intp]


class Stream(NamedTuple):
    """What members said ``[n, m]`` and what was true ``[n]``, class indices below k; ``best`` is the clairvoyant's
    member by row, ``own`` the members' accuracies while they are not. Row i's outcome is known when row ``known[i]``
    comes, or never where that is negative."""

    said: Labels
    truth: Labels
    k: int
    known: Labels
    best: Labels | None = None
    own: NDArray[np.float64] | None = None


def rows(*, quick: bool = False) -> list[Row]:
    """The whole table of this part."""
    found = []
    data = Path(os.environ.get("QUORATE_DATA", "../shared/data")) / "outputs"
    if data.exists():
        for name, (said, truth, k) in (("emotion", _emotion(data)), ("food11", _food(data))):
            if quick:
                said, truth = said[:200], truth[:200]
            orders = [np.random.default_rng(i).permutation(len(truth)) for i in range(2 if quick else SHUFFLES)]
            found += _real(f"{name}, shuffled", [_at_once(said[o], truth[o], k) for o in orders])
            found += _real(f"{name}, in order", [_at_once(said, truth, k)])
    else:
        found.append(Row("emotion and food11", QUORATE, "accuracy", "share", (), f"there is no {data}"))
    found += _switching(quick)
    found += _random_pools(10 if quick else POOLS)
    found += forecasts.rows(PYTHON, quick=quick)
    found += _one_row(quick)
    found.append(Row("one row of 10 members, 10 classes", LIMIT, "combine", "us", (LIMIT_US,), "promised"))
    return found


def served(stream: Stream) -> tuple[NDArray[np.bool_], State | None]:
    """Which rows the online combiner answered right, and its last state."""
    n, m = stream.said.shape
    outputs = np.eye(stream.k, dtype=np.float32)[stream.said]
    status, output = np.zeros((1, m), np.int8), OutputSpec("scores", tuple(map(str, range(stream.k))))
    combiner, right = Online(), np.zeros(n, bool)
    state: State | None = None
    due, at, truth = _due(stream.known, n), np.arange(n, dtype=float), stream.truth.astype(float)
    for i in range(n):
        row = slice(i, i + 1)
        right[i] = combiner.combine(outputs[row], status, state).argmax() == stream.truth[i]
        state = combiner.watch(state, outputs[row], status, output, at[row])
        for j in due[i]:
            row = slice(j, j + 1)
            state = combiner.learn(state, outputs[row], status, truth[row], output, at=at[row])
    return right, state


def _due(known: Labels, n: int) -> list[list[int]]:
    """Rows whose outcomes come after each row, oldest first."""
    due: list[list[int]] = [[] for _ in range(n)]
    for i, at in enumerate(known.tolist()):
        if 0 <= at < n:
            due[at].append(i)
    return due


def _votes(said: Labels, k: int, weights: NDArray[np.float64] | None = None) -> Labels:
    """The plurality, by ``weights`` ``[m]``; the lower class on a tie."""
    votes = (said[:, :, None] == np.arange(k)) * (np.ones(said.shape[1]) if weights is None else weights)[:, None]
    return votes.sum(axis=1).argmax(axis=1)


def _majority(stream: Stream, penalty: float) -> float:
    """Accuracy of the weighted majority."""
    weights, right = np.ones(stream.said.shape[1]), 0
    due = _due(stream.known, len(stream.truth))
    for i, truth in enumerate(stream.truth):
        right += int(_votes(stream.said[i : i + 1], stream.k, weights)[0] == truth)
        for j in due[i]:
            weights = weights * np.where(stream.said[j] == stream.truth[j], 1.0, penalty)
            weights /= weights.max()
    return right / len(stream.truth)


def _counts(stream: Stream) -> float:
    """Accuracy of plain Bayesian counts."""
    n, m = stream.said.shape
    counts, classes = np.ones((m, stream.k, stream.k)), np.ones(stream.k)
    right, members, due = 0, np.arange(m), _due(stream.known, n)
    for i, truth in enumerate(stream.truth):
        likely = np.log(counts[members, :, stream.said[i]] / counts.sum(axis=2)).sum(axis=0)
        right += int((likely + np.log(classes)).argmax() == truth)
        for j in due[i]:
            counts[members, stream.truth[j], stream.said[j]] += 1
            classes[stream.truth[j]] += 1
    return right / n


def _river(streams: list[Stream]) -> list[float] | None:
    """Accuracies of river's softmax regression; None where its environment is not there."""
    if not PYTHON.exists():
        return None
    folder = FOLDER / "run"
    folder.mkdir(parents=True, exist_ok=True)
    source, target = folder / "labels.npz", folder / "labels.json"
    arrays = {f"{i}.{part}": getattr(each, part) for i, each in enumerate(streams) for part in ("said", "truth")}
    np.savez(source, k=streams[0].k, **arrays)
    command = [str(PYTHON), "-m", "benchmarks.decisions.river_peer", "labels", str(source), str(target)]
    subprocess.run(command, check=True)
    found: list[float] = json.loads(target.read_text())
    return found


def _real(workload: str, streams: list[Stream]) -> list[Row]:
    right = np.array([served(each)[0].mean() for each in streams])
    best = np.array([(each.said == each.truth[:, None]).mean(axis=0).max() for each in streams])
    votes = np.array([(_votes(each.said, each.k) == each.truth).mean() for each in streams])
    found = [
        _row(workload, QUORATE, right, f"less best single {interval(right - best)}, voting {interval(right - votes)}"),
        _row(workload, "best single member", best, "known only afterwards"),
        _row(workload, "voting", votes),
    ]
    return found + _peers(workload, streams)


def _peers(workload: str, streams: list[Stream]) -> list[Row]:
    tried = {penalty: np.array([_majority(each, penalty) for each in streams]) for penalty in PENALTIES}
    penalty = max(tried, key=lambda each: float(tried[each].mean()))
    found = [
        _row(workload, "weighted majority", tried[penalty], f"penalty {penalty:g}, the best of {len(PENALTIES)}"),
        _row(workload, "Bayesian counts", np.array([_counts(each) for each in streams])),
    ]
    if all((each.known == np.arange(len(each.known))).all() for each in streams):
        river = _river(streams)
        note = "softmax regression on labels" if river else f"there is no {PYTHON}; run `make bench-decisions`"
        found.append(_row(workload, "river", np.array(river or []), note))
    return found


def _switching(quick: bool) -> Iterator[Row]:
    pools, stretches = (1, 2) if quick else (5, 10)
    for kind, common in (("independent errors", 0.0), ("common errors", 0.6)):
        for name, late, share, stretch in (
            ("full", 0, 1.0, STRETCH),
            ("200 late", 200, 1.0, STRETCH),
            ("10 % present", 0, 0.1, STRETCH),
            ("10 % present, changes every 4,000 requests", 0, 0.1, 10 * STRETCH),
        ):
            n = stretch * (stretches if stretch == STRETCH else max(stretches // 3, 1))
            streams = [switching(seed, n, common, stretch, late, share) for seed in range(pools)]
            clairvoyant = np.array([(s.said[np.arange(n), s.best] == s.truth).mean() for s in streams])
            right = np.array([served(each)[0].mean() for each in streams])
            workload = f"switching, {kind}, {name}"
            note = f"of the clairvoyant's: {interval(right / clairvoyant, sign='')}"
            yield _row(workload, QUORATE, right, note)
            yield _row(workload, LIMIT, clairvoyant, "the clairvoyant switcher")
            for who, looks in (("limit, outcomes only", False), ("limit, and agreement", True)):
                most = np.array([_ideal(each, common, stretch, looks=looks) for each in streams])
                yield _row(workload, who, most, f"of the clairvoyant's: {interval(most / clairvoyant, sign='')}")
            yield _row(workload, "voting", np.array([(_votes(s.said, s.k) == s.truth).mean() for s in streams]))
            yield _row(
                workload,
                "best single member",
                np.array([(s.said == s.truth[:, None]).mean(axis=0).max() for s in streams]),
                "known only afterwards",
            )
            yield from _peers(workload, streams)


def switching(seed: int, n: int, common: float, stretch: int, late: int, share: float, k: int = 10) -> Stream:
    """Nine members of whom another is the best in every stretch; a share ``common`` of errors is everybody's."""
    rng, m = np.random.default_rng(seed), 9
    truth = rng.integers(0, k, n)
    turns = np.cumsum(rng.integers(1, m, math.ceil(n / stretch))) % m
    best = turns[np.arange(n) // stretch]
    own = rng.uniform(0.5, 0.7, m)
    accuracy = np.tile(own, (n, 1))
    accuracy[np.arange(n), best] = TOP
    together = rng.random((n, 1)) < common
    luck = np.where(together, rng.random((n, 1)), rng.random((n, m)))
    other = np.where(together, rng.integers(1, k, (n, 1)), rng.integers(1, k, (n, m)))
    said = np.where(luck < accuracy, truth[:, None], (truth[:, None] + other) % k)
    known = np.where(rng.random(n) < share, np.arange(n) + late, -1)
    return Stream(said, truth, k, known, best, own)


def _ideal(stream: Stream, common: float, stretch: int, *, looks: bool) -> float:
    assert stream.own is not None
    return ideal.accuracy(
        stream.said, stream.truth, stream.known, stream.own,
        top=TOP, common=common, k=stream.k, stretch=stretch, looks=looks,
    )  # fmt: skip


def random_pool(seed: int, n: int = 600) -> Stream:
    """Two to ten members over two to eight classes, of any quality and dependence, in an order that may drift."""
    rng = np.random.default_rng(10_000 + seed)
    m, k = int(rng.integers(2, 11)), int(rng.integers(2, 9))
    truth = rng.choice(k, n, p=rng.dirichlet(np.ones(k)))
    accuracy = rng.uniform(0.2, 0.98, m) + rng.choice([0.0, 0.2]) * np.sin(np.arange(n)[:, None] / 80 + rng.random(m))
    together = rng.random((n, 1)) < rng.random()
    luck = np.where(together, rng.random((n, 1)), rng.random((n, m)))
    other = np.where(together, rng.integers(1, k, (n, 1)), rng.integers(1, k, (n, m)))
    return _at_once(np.where(luck < accuracy, truth[:, None], (truth[:, None] + other) % k), truth, k)


def _random_pools(pools: int) -> list[Row]:
    behind, used, certified, broken = [], [], [], 0
    for seed in range(pools):
        stream = random_pool(seed)
        right, state = served(stream)
        assert state is not None
        least = float((stream.said != stream.truth[:, None]).sum(axis=0).min())
        lost = float((~right).sum()) - least
        now = Layer.of(state.arrays)
        bound = layer.bound(now, least)
        behind.append(lost / len(right))
        used.append(lost / bound)
        certified.append(layer.certificate(now) / len(right))
        broken += lost > bound
    workload = f"{pools} random pools of 600 outcomes, against the best fixed member"
    return [
        Row(workload, QUORATE, "pools beyond the bound", "pools", (float(broken),)),
        Row(workload, LIMIT, "pools beyond the bound", "pools", (0.0,)),
        Row(workload, QUORATE, "largest share of the bound used", "share", (max(used),)),
        Row(
            workload, QUORATE, "accuracy below the best member", "share", tuple(behind), f"mean {np.mean(behind):+.4f}"
        ),
        Row(workload, QUORATE, "what the state certifies", "share", tuple(certified)),
    ]


def _one_row(quick: bool) -> list[Row]:
    rng, members, k = np.random.default_rng(0), 10, 10
    outputs = rng.dirichlet(np.ones(k), (100, members)).astype(np.float32)
    status = np.zeros((100, members), np.int8)
    combiner, output = Online(), OutputSpec("scores", tuple(map(str, range(k))))
    truths = rng.integers(0, k, 100).astype(float)
    state = combiner.learn(None, outputs, status, truths, output)
    found: dict[str, list[float]] = {"combine": [], "learn, 100 rows at once": [], "learn, one by one": []}
    for _ in range(3 if quick else 30):
        started = time.process_time()
        for i in range(100):
            combiner.combine(outputs[i : i + 1], status[:1], state)
        found["combine"].append((time.process_time() - started) * 1e4)
        started = time.process_time()
        combiner.learn(state, outputs, status, truths, output)
        found["learn, 100 rows at once"].append((time.process_time() - started) * 1e4)
        started = time.process_time()
        for i in range(100):
            combiner.learn(state, outputs[i : i + 1], status[:1], truths[i : i + 1], output)
        found["learn, one by one"].append((time.process_time() - started) * 1e4)
    return [Row("one row of 10 members, 10 classes", QUORATE, name, "us", tuple(each)) for name, each in found.items()]


@cache
def _emotion(data: Path) -> tuple[Labels, Labels, int]:
    with (data / "emotion_detection" / "outputs.csv").open() as file:
        table = np.array(list(csv.reader(file))[1:]).astype(np.intp)
    return table[:, 1:], table[:, 0], int(table.max()) + 1


@cache
def _food(data: Path) -> tuple[Labels, Labels, int]:
    arrays = np.load(data / "food11" / "food11_test3097_8models_hard.npz")
    return arrays["pred"].T.astype(np.intp), arrays["label_derived"].astype(np.intp), len(arrays["classes"])


def _at_once(said: Labels, truth: Labels, k: int) -> Stream:
    return Stream(said, truth, k, np.arange(len(truth)))


def _row(workload: str, system: str, values: NDArray[np.float64], note: str = "") -> Row:
    return Row(workload, system, "accuracy", "share", tuple(values.tolist()), note)


def interval(values: NDArray[Any], sign: str = "+") -> str:
    """The mean with its interval; the number alone where there is but one."""
    middle = float(values.mean())
    if len(values) < 2:
        return f"{middle:{sign}.4f}"
    half = float(stats.t.ppf(0.975, len(values) - 1)) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return f"{middle:{sign}.4f} [{middle - half:{sign}.4f}, {middle + half:{sign}.4f}]"
