"""Dynamic selection against DESlib 0.3.7: the same labels, what they cost, and what they are good for.

    python -m benchmarks.decisions --parts dynamic

*Agreement*: both systems get the same features, the same members' outputs and the same reference rows (k = 7, hard
votes, features unscaled), on five splits of each of four data sets. Every row on which they differ is looked at:

- ``tie``: two reference rows at the boundary of the region, or (``knora-e``, ``meta-des``, where the order counts)
  within it, are equally far. Quorate takes the one of lower index, DESlib whichever its tree or its rounded products
  come upon first;
- ``nobody``: no member is right on any neighbour, so KNORA-U's weights are all 0. DESlib then divides by 0 and answers
  the first class; in Quorate all members count equally;
- ``model``: META-DES only: ties among the reference rows gave the two meta-models other evidence, and the row is
  answered alike when Quorate is given DESlib's model.

*Cost*: one row, and many, with 100 members and normal features; DESlib without what its members take.
*Accuracy*: each method, hard and soft, against the member that is best on the reference rows, the vote and stacking
(fitted on the reference rows), on the same test rows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.decisions.reference import SETS, Cut, cuts
from benchmarks.harness.table import FOLDER, QUORATE, Row
from quorate import plugins
from quorate.core.combine.competence import Dynamic, DynamicParams, profiles_of
from quorate.core.combine.mean import Mean
from quorate.core.combine.stack import Stack
from quorate.core.combine.vote import Vote, VoteParams
from quorate.core.types import State
from quorate.training.dynamic import METHODS, NEIGHBOURS, SIMILAR, fit_dynamic
from quorate.training.fitters import fit_stack

PYTHON = Path(".venvs/bench-deslib/bin/python")
DESLIB = "DESlib"
SPLITS = 5
ALMOST = 1e-9
"""Distances that differ by less than this part are a tie: products in double precision round by about as much."""
BIG = (10_000, 100, 50_000, 30)
"""Rows, members, reference rows and features of the largest run."""


def rows(*, quick: bool = False) -> list[Row]:
    """Agreement, cost and accuracy, a block each."""
    return [*_agreement(1 if quick else SPLITS), *_cost(quick=quick)]


def _names(m: int) -> list[str]:
    return [f"m{j}" for j in range(m)]


def combiner(method: str, voting: Any = "hard") -> Dynamic:
    """The plugin of that name."""
    found: Dynamic = plugins.load("combiners", method)(DynamicParams(voting))
    return found


def _state(method: str, cut: Cut) -> State:
    k = cut.reference_outputs.shape[2]
    return fit_dynamic(
        method, cut.reference, cut.reference_outputs, cut.truth, _names(cut.reference_outputs.shape[1]),
        [str(label) for label in range(k)], scale=False,
    )  # fmt: skip


# --- the same labels, and how good they are -----------------------------------------------------------


def _agreement(splits: int) -> list[Row]:
    found: list[Row] = []
    for name in SETS:
        some = list(cuts(name, splits))
        if not some:
            found.append(
                Row(f"dynamic selection: {name}", QUORATE, "accuracy", "share", (), "no data; see QUORATE_DATA")
            )
            continue
        theirs = _deslib(some)
        for method in METHODS:
            found += _compared(method, name, some, theirs)
        found += _baselines(name, some)
    return found


def _deslib(some: Sequence[Cut]) -> dict[str, Any] | None:
    if not PYTHON.exists():
        return None
    folder = FOLDER / "run"
    folder.mkdir(parents=True, exist_ok=True)
    source, target = folder / "deslib.npz", folder / "deslib-answers.npz"
    arrays: dict[str, Any] = {}
    for cut in some:
        arrays |= {
            f"{cut.key}.reference": cut.reference.astype(np.float64),
            f"{cut.key}.test": cut.test.astype(np.float64),
            f"{cut.key}.truth": cut.truth,
            f"{cut.key}.outputs": np.concatenate([cut.reference_outputs, cut.test_outputs]),
        }
    np.savez(source, **arrays)
    command = [str(PYTHON), "-m", "benchmarks.decisions.deslib_peer", "predict", str(source), str(target)]
    subprocess.run(command, check=True)
    return dict(np.load(target))


def _compared(method: str, name: str, some: Sequence[Cut], theirs: dict[str, Any] | None) -> list[Row]:
    workload = f"dynamic selection: {name}, {method}"
    hard, soft, same, deslib = [], [], [], []
    differing = {"tie": 0, "nobody": 0, "model": 0, "unexplained": 0}
    total = 0
    for cut in some:
        state, ok = _state(method, cut), np.zeros(cut.test_outputs.shape[:2], np.int8)
        label = combiner(method).combine(cut.test_outputs, ok, state, cut.test).argmax(axis=1)
        hard.append(float((label == cut.test_truth).mean()))
        answer = combiner(method, "soft").combine(cut.test_outputs, ok, state, cut.test)
        soft.append(float((answer.argmax(axis=1) == cut.test_truth).mean()))
        if theirs is None:
            continue
        expected = theirs[f"{cut.key}.{method}"]
        same.append(float((label == expected).mean()))
        deslib.append(float((expected == cut.test_truth).mean()))
        total += len(label)
        for row in np.flatnonzero(label != expected).tolist():
            differing[_why(method, cut, state, row, int(expected[row]), theirs)] += 1
    rows = [
        Row(workload, QUORATE, "accuracy, hard votes", "share", tuple(hard)),
        Row(workload, QUORATE, "accuracy, soft votes", "share", tuple(soft)),
    ]
    if theirs is None:
        return [*rows, Row(workload, DESLIB, "accuracy, hard votes", "share", (), f"there is no {PYTHON}")]
    told = ", ".join(f"{count} {why}" for why, count in differing.items() if count) or "none differs"
    return [
        *rows,
        Row(workload, DESLIB, "accuracy, hard votes", "share", tuple(deslib)),
        Row(workload, QUORATE, "rows answered as DESlib", "share", tuple(same), f"of {total} rows {told}"),
        Row(workload, QUORATE, "differences not explained", "rows", (float(differing["unexplained"]),)),
    ]


def _why(method: str, cut: Cut, state: State, row: int, expected: int, theirs: dict[str, Any]) -> str:
    one = slice(row, row + 1)
    ordered = method in ("knora-e", "meta-des")
    distances = _squares(cut.test[row], cut.reference)
    if _tied(distances, NEIGHBOURS, ordered=ordered):
        return "tie"
    region = np.argsort(distances, kind="stable")[:NEIGHBOURS]
    if method == "knora-u" and not state.arrays["hits"][region].any():
        return "nobody"
    if method == "meta-des":
        profile = profiles_of(cut.test_outputs[one])[0]
        if _tied(_squares(profile, state.arrays["profiles"]), SIMILAR, ordered=True):
            return "tie"
        arrays = {name: theirs[f"{cut.key}.{name}"] for name in ("coefficients", "intercept")}
        given = replace(state, arrays={**state.arrays, **arrays})
        ok = np.zeros((1, cut.test_outputs.shape[1]), np.int8)
        label = combiner(method).combine(cut.test_outputs[one], ok, given, cut.test[one]).argmax()
        if label == expected and _tied_reference(cut, state):
            return "model"
    return "unexplained"


def _tied_reference(cut: Cut, state: State) -> bool:
    """Whether any reference row has a tie among its own neighbours, from which the meta-model was learned."""
    places = range(len(cut.truth))
    features = (_tied(_squares(cut.reference[i], cut.reference), NEIGHBOURS + 1, ordered=True) for i in places)
    profiles = state.arrays["profiles"]
    return any(features) or any(_tied(_squares(profiles[i], profiles), SIMILAR + 1, ordered=True) for i in places)


def _squares(row: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = ((others.astype(np.float64) - row) ** 2).sum(axis=1)
    return found


def _tied(distances: NDArray[np.float64], k: int, *, ordered: bool) -> bool:
    nearest = np.sort(distances)[: k + 1]
    near = np.diff(nearest) <= ALMOST * (nearest[1:] + 1.0)
    return bool(near.any() if ordered else near[k - 1 :].any())


def _baselines(name: str, some: Sequence[Cut]) -> list[Row]:
    workload = f"dynamic selection: {name}, others on the same rows"
    found: dict[str, list[float]] = {"best member": [], "hard vote": [], "mean": [], "stacking": []}
    for cut in some:
        m, k = cut.test_outputs.shape[1:]
        ok = np.zeros((len(cut.test), m), np.int8)
        known = (cut.reference_outputs.argmax(axis=2) == cut.truth[:, None]).mean(axis=0)
        stacked = fit_stack(
            cut.reference_outputs, cut.truth, _names(m), [str(c) for c in range(k)], max_missing=0, C=0.1
        )
        answers = {
            "best member": cut.test_outputs[:, int(known.argmax())],
            "hard vote": Vote(VoteParams("hard")).combine(cut.test_outputs, ok),
            "mean": Mean().combine(cut.test_outputs, ok),
            "stacking": Stack().combine(cut.test_outputs, ok, stacked),
        }
        for how, answer in answers.items():
            found[how].append(float((answer.argmax(axis=1) == cut.test_truth).mean()))
    return [Row(workload, QUORATE, f"accuracy, {how}", "share", tuple(values)) for how, values in found.items()]


# --- what it costs -----------------------------------------------------------------------------------


def made(n: int, m: int, r: int, d: int, k: int = 2) -> dict[str, NDArray[Any]]:
    """Normal features, members that are right the more often the nearer a row is to a centre of their own."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(r + n, d)).astype(np.float32)
    truth = rng.integers(k, size=r + n)
    skill = 1.0 / (1.0 + np.exp(-(x @ rng.normal(size=(d, m)).astype(np.float32)) / d**0.5 - 0.5))
    right = rng.random((r + n, m)) < skill
    said = np.where(right, truth[:, None], (truth[:, None] + 1) % k)
    sure = rng.uniform(0.5, 1.0, size=(r + n, m))
    outputs = np.empty((r + n, m, k), np.float32)
    outputs[:] = ((1.0 - sure) / (k - 1))[:, :, None]
    np.put_along_axis(outputs, said[:, :, None], sure[:, :, None].astype(np.float32), axis=2)
    return {
        "reference": x[:r].astype(np.float64), "test": x[r:].astype(np.float64), "truth": truth[:r], "outputs": outputs,
    }  # fmt: skip


def _cost(*, quick: bool) -> list[Row]:
    found: list[Row] = []
    for workload, (n, m, r, d) in {
        "dynamic selection: one row, 100 members, 2,000 reference rows, 30 features": (200, 100, 2000, 30),
        "dynamic selection: one row, 10 members, 2,000 reference rows, 30 features": (200, 10, 2000, 30),
    }.items():
        source = _written(made(n, m, r, d))
        for method in METHODS:
            us = [
                1e6 * took
                for took in _measured("benchmarks.decisions.dynamic", sys.executable, source, method, 0)["alone"]
            ]
            found.append(Row(workload, QUORATE, f"time of one row, {method}", "us", tuple(us)))
            if PYTHON.exists() and m == 100:
                theirs = _measured("benchmarks.decisions.deslib_peer", str(PYTHON), source, method, 0)["alone"]
                found.append(Row(workload, DESLIB, f"time of one row, {method}", "us", tuple(1e6 * t for t in theirs)))
    return found + _together(quick=quick)


def _together(*, quick: bool) -> list[Row]:
    n, m, r, d = (500, 20, 1000, 10) if quick else BIG
    workload = f"dynamic selection: {n:,} rows at once, {m} members, {r:,} reference rows, {d} features"
    source = _written(made(n, m, r, d))
    found: list[Row] = []
    for method in ("knora-u", "meta-des"):
        systems = {QUORATE: ("benchmarks.decisions.dynamic", sys.executable)}
        if PYTHON.exists():
            systems[DESLIB] = ("benchmarks.decisions.deslib_peer", str(PYTHON))
        for system, (module, python) in systems.items():
            cost = _measured(module, python, source, method, n)
            found.append(Row(workload, system, f"time of a row, {method}", "us", (1e6 * cost["together"] / n,)))
            note = f"of it {cost['before_kib'] / 1024**2:.2f} before: the data, the fit and the library"
            found.append(Row(workload, system, f"peak memory, {method}", "GiB", (cost["peak_kib"] / 1024**2,), note))
    return found


def _written(arrays: dict[str, NDArray[Any]]) -> Path:
    path = FOLDER / "run" / "dynamic-cost.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def _measured(module: str, python: str, source: Path, method: str, n: int) -> dict[str, Any]:
    run = subprocess.run(
        [python, "-m", module, "cost", str(source), method, str(n)], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def cost(source: str, method: str, n: int) -> None:
    """What ``deslib_peer cost`` prints, for Quorate: a process of its own, so that its peak is its own."""
    import resource

    arrays = np.load(source)
    r, outputs = len(arrays["truth"]), arrays["outputs"]
    m, k = outputs.shape[1:]
    classes = [str(c) for c in range(k)]
    state = fit_dynamic(
        method, arrays["reference"].astype(np.float32), outputs[:r], arrays["truth"], _names(m), classes
    )
    test, asked, run = arrays["test"].astype(np.float32), outputs[r:], combiner(method)
    status = np.zeros(asked.shape[:2], np.int8)

    def took(some: slice) -> float:
        start = time.perf_counter()
        run.combine(asked[some], status[some], state, test[some])
        return time.perf_counter() - start

    alone = sorted(took(slice(i, i + 1)) for i in [*range(100), *range(100)])[:-20]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    together = took(slice(0, n)) if n else 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"alone": alone, "together": together, "peak_kib": peak, "before_kib": before}))


if __name__ == "__main__":
    cost(sys.argv[2], sys.argv[3], int(sys.argv[4]))
