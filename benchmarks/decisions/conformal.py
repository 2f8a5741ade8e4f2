"""Conformal sets and intervals: the coverage that was asked for, how large they are, and what a shift does to them.

    python -m benchmarks.decisions --parts conformal

*Exchangeable*: the mean of a pool of scikit-learn models (digits, adult, house prices) or of two published networks
(food11) answers rows that it was not fitted on; 200 random splits halve them, one half to calibrate on, one to judge.
MAPIE gets the same answers and the same splits, with its own randomisation (``include_last_label="randomized"``). The
coverage is the mean over splits; sizes are compared split by split, with Student's 95 % interval of the difference. The
splits share rows, which makes that interval too narrow, in favour of nobody.

*Shifts*: a model that stays as it is, calibrated on the rows before, and everything after in order of time. *bike
sharing*: hourly counts, which grow from year to year. *elec2*: whether the price goes up; its market changes. *noise*:
a simulated number whose noise doubles and later quarters. The plain threshold stays; the adaptive one learns from
every outcome at once, or 200 rows later, or from one in ten, and once from all but handed over 100 at a time.
"""

from __future__ import annotations

import csv
import math
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.decisions.greedy import _csv
from benchmarks.decisions.reference import adult, loaded
from benchmarks.harness.table import FOLDER, LIMIT, QUORATE, Row
from quorate.core.conformal import adaptive
from quorate.core.conformal.adaptive import Adaptation, Adapted
from quorate.core.conformal.calibrated import Calibrated, Threshold, covers
from quorate.core.types import State
from quorate.training.conformal import fit_conformal, fit_conformal_values

PYTHON = Path(".venvs/bench-mapie/bin/python")
MAPIE = "MAPIE"
FITS, SPLITS = 4, 50
LEVELS = (0.9, 0.95)
SHIFTED = 0.9
SCORES = ("lac", "aps", "raps")
Numbers = NDArray[np.float64]


class Answers(NamedTuple):
    """What was answered to rows that are new, ``[n, k]``, and their truth; ``spread`` are the members' outputs of
    numbers."""

    name: str
    answers: NDArray[np.float32]
    truth: NDArray[Any]
    outputs: NDArray[np.float32] | None = None


class Stream(NamedTuple):
    """Answers in order of time; the first ``known`` rows are calibrated on."""

    name: str
    answers: NDArray[np.float32]
    truth: NDArray[Any]
    known: int


def rows(*, quick: bool = False) -> list[Row]:
    """Both tables."""
    return [*_exchangeable(quick), *_shifts(quick)]


# --- exchangeable -------------------------------------------------------------------------------------


def _exchangeable(quick: bool) -> Iterator[Row]:
    fits, splits = (1, 4) if quick else (FITS, SPLITS)
    sets = [each for seed in range(fits) for each in _all_answers(seed)]
    cuts = {
        f"{each.name}.{i}": [_halves(len(each.truth), 1000 * i + j) for j in range(splits)]
        for i, each in enumerate(sets)
    }
    theirs = _mapie(sets, cuts)
    for name in dict.fromkeys(each.name for each in sets):
        mine = [(f"{each.name}.{i}", each) for i, each in enumerate(sets) if each.name == name]
        values = mine[0][1].truth.dtype.kind == "f"
        for score in ("absolute", "normalised") if values else SCORES:
            found = np.concatenate([_judged(each, score, cuts[key]) for key, each in mine])
            peer = None
            if theirs is not None and f"{mine[0][0]}.{score}.size" in theirs:
                parts = [
                    np.stack([theirs[f"{key}.{score}.{what}"] for what in ("coverage", "size")]) for key, _ in mine
                ]
                peer = np.moveaxis(np.concatenate(parts, axis=1), 0, 1)
            for at, level in enumerate(LEVELS):
                yield from _compared(name, score, level, found[:, :, at], None if peer is None else peer[:, :, at])
    if theirs is None:
        yield Row("conformal, exchangeable", MAPIE, "coverage", "share", (), f"there is no {PYTHON}")


def _compared(name: str, score: str, level: float, mine: Numbers, peer: Numbers | None) -> Iterator[Row]:
    workload = f"conformal: {name}, {score}, {level:.0%} asked"
    size = "labels" if score in SCORES else "width"
    off = f"mean {mine[:, 0].mean():.4f}, {100 * (mine[:, 0].mean() - level):+.2f} points"
    yield Row(workload, QUORATE, "coverage", "share", tuple(mine[:, 0].tolist()), off)
    note = "" if peer is None else f"less MAPIE's {_interval(mine[:, 1] - peer[:, 1])}"
    yield Row(
        workload, QUORATE, f"mean {size}", size, tuple(mine[:, 1].tolist()), f"mean {mine[:, 1].mean():.4f} {note}"
    )
    if peer is not None:
        yield Row(workload, MAPIE, "coverage", "share", tuple(peer[:, 0].tolist()), f"mean {peer[:, 0].mean():.4f}")
        yield Row(workload, MAPIE, f"mean {size}", size, tuple(peer[:, 1].tolist()), f"mean {peer[:, 1].mean():.4f}")


def _judged(each: Answers, score: str, cuts: list[tuple[NDArray[np.intp], NDArray[np.intp]]]) -> Numbers:
    """Coverage and mean size ``[s, 2, levels]``."""
    found = np.zeros((len(cuts), 2, len(LEVELS)))
    names = [str(c) for c in range(each.answers.shape[1])]
    for i, (known, new) in enumerate(cuts):
        answers, truth = each.answers[new], each.truth[new]
        draws = 1.0 - np.random.default_rng(i).random((len(new), 2))
        status = np.zeros((len(new), 0 if each.outputs is None else each.outputs.shape[1]), np.int8)
        outputs = np.zeros((len(new), 0, 1), np.float32) if each.outputs is None else each.outputs[new]
        if score in SCORES:
            calibrated = Calibrated(fit_conformal(each.answers[known], each.truth[known], names, score=score, seed=i))
        else:
            spread = None if each.outputs is None else each.outputs[known]
            calibrated = Calibrated(
                fit_conformal_values(each.answers[known], each.truth[known], names, score=score, outputs=spread)
            )
        for at, level in enumerate(LEVELS):
            threshold = calibrated.threshold(level)
            if score in SCORES:
                sets = calibrated.sets(answers, draws, threshold)
                found[i, :, at] = sets[np.arange(len(new)), truth].mean(), sets.sum(axis=1).mean()
            else:
                ends = calibrated.intervals(answers, outputs, status, threshold)
                inside = (truth >= ends[:, 0]) & (truth <= ends[:, 1])
                found[i, :, at] = inside.mean(), (ends[:, 1] - ends[:, 0]).mean()
    return found


def _mapie(sets: list[Answers], cuts: dict[str, list[tuple[Any, Any]]]) -> Any:
    if not PYTHON.exists():
        return None
    folder = FOLDER / "run"
    folder.mkdir(parents=True, exist_ok=True)
    source, target = folder / "conformal.npz", folder / "conformal-mapie.npz"
    arrays: dict[str, Any] = {"levels": np.array(LEVELS)}
    for i, each in enumerate(sets):
        key = f"{each.name}.{i}"
        known, new = zip(*cuts[key], strict=True)
        arrays |= {f"{key}.answers": each.answers, f"{key}.truth": each.truth}
        arrays |= {f"{key}.known": np.array(known), f"{key}.new": np.array(new)}
    np.savez(source, **arrays)
    subprocess.run([str(PYTHON), "-m", "benchmarks.decisions.mapie_peer", str(source), str(target)], check=True)
    return np.load(target)


def _halves(n: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    order = np.random.default_rng(seed).permutation(n)
    return order[: n // 2], order[n // 2 : 2 * (n // 2)]


def _interval(values: Numbers) -> str:
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return f"{values.mean():+.5f} [{values.mean() - half:+.5f}, {values.mean() + half:+.5f}]"


# --- answers ------------------------------------------------------------------------------------------


def _all_answers(seed: int) -> Iterator[Answers]:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        for name, found in (("digits", loaded("digits")), ("adult", adult(5000))):
            if found is not None:
                yield _pool(name, *found, seed)
        houses = _csv("california_housing", "median_house_value")
        if houses is not None:
            yield _pool("house prices", *houses, seed)
    food = _food()
    if food is not None and seed == 0:
        yield food


def _pool(name: str, x: Any, y: Any, seed: int) -> Answers:
    """The mean of models fitted on a part of the rows, as it answers the rest."""
    from sklearn.model_selection import train_test_split

    from benchmarks.decisions.greedy import _classifiers, _regressors

    values = y.dtype.kind == "f"
    layers = None if values else y
    fit_x, new_x, fit_y, new_y = train_test_split(x, y, test_size=0.6, stratify=layers, random_state=seed)
    centre, spread = fit_x.mean(axis=0), fit_x.std(axis=0)
    fit_x, new_x = ((part - centre) / np.where(spread > 0, spread, 1.0) for part in (fit_x, new_x))
    pool = _regressors(seed)[::2] if values else _classifiers(seed)[1::3]
    models = [model.fit(fit_x, fit_y) for model in pool]
    said = [m.predict(new_x)[:, None] if values else m.predict_proba(new_x) for m in models]
    outputs = np.stack(said, axis=1).astype(np.float32)
    truth = new_y.astype(np.float64) if values else new_y.astype(np.int64)
    return Answers(name, outputs.mean(axis=1, dtype=np.float64).astype(np.float32), truth, outputs if values else None)


def _food() -> Answers | None:
    """The mean of two published networks on 3,430 images that neither was trained on."""
    path = _data() / "outputs" / "food11" / "food11_train9866_val3430_incepv3_vgg19_softmax.npz"
    if not path.exists():
        return None
    arrays = np.load(path)
    parts = [arrays[name].astype(np.float64) for name in ("incep_softmax_val", "vgg_softmax_val")]
    mean = np.mean([part / part.sum(axis=1, keepdims=True) for part in parts], axis=0)
    return Answers("food11", mean.astype(np.float32), arrays["label_val"].astype(np.int64))


def _data() -> Path:
    return Path(os.environ.get("QUORATE_DATA", "../shared/data"))


# --- shifts -------------------------------------------------------------------------------------------


def _shifts(quick: bool) -> Iterator[Row]:
    streams = [_noise(0, 1200 if quick else 6000)]
    streams += [each for each in (_bikes(), _elec()) if each is not None]
    for stream in streams:
        if quick:
            stream = stream._replace(
                answers=stream.answers[: stream.known + 500], truth=stream.truth[: stream.known + 500]
            )
        yield from _shift(stream)


def _shift(stream: Stream) -> Iterator[Row]:
    k, names = stream.known, [str(c) for c in range(stream.answers.shape[1])]
    values = stream.truth.dtype.kind == "f"
    state: State = (
        fit_conformal_values(stream.answers[:k], stream.truth[:k], names)
        if values
        else fit_conformal(stream.answers[:k], stream.truth[:k], names)
    )
    calibrated = Calibrated(state)
    answers, truth = stream.answers[k:], stream.truth[k:].astype(np.float64)
    draws = 1.0 - np.random.default_rng(1).random((len(truth), 2))
    empty = np.zeros((len(truth), 0, 1), np.float32), np.zeros((len(truth), 0), np.int8)
    scores, ties = calibrated.of_truths(answers, *empty, draws, truth)
    workload = f"conformal under shift: {stream.name}, {SHIFTED:.0%} asked"
    yield Row(workload, LIMIT, "coverage", "share", (SHIFTED,), "asked")
    plain = covers(scores, ties, calibrated.threshold(SHIFTED), np.zeros(len(truth), np.intp))
    yield _covered(workload, "plain", plain, _size(calibrated, answers, draws, [calibrated.threshold(SHIFTED)]))
    for how, late, share, step in (
        ("adaptive", 0, 1.0, 1),
        ("adaptive, outcomes 200 late", 200, 1.0, 1),
        ("adaptive, one outcome in ten", 0, 0.1, 1),
        ("adaptive, 100 outcomes at a time", 0, 1.0, 100),
    ):
        covered, thresholds = served(calibrated, scores, ties, late=late, share=share, step=step)
        yield _covered(workload, how, covered, _size(calibrated, answers, draws, thresholds))


def served(
    calibrated: Calibrated, scores: Numbers, ties: Numbers, *, late: int, share: float, step: int
) -> tuple[NDArray[np.bool_], list[Threshold]]:
    """Which rows were covered, and with which thresholds, where outcomes come ``late`` rows late, a ``share`` of them,
    and are learned from ``step`` at a time."""
    settings = Adaptation()
    known, now = adaptive.start(calibrated, settings), calibrated.threshold(SHIFTED)
    present = np.random.default_rng(2).random(len(scores)) < share
    covered, thresholds, waiting = np.zeros(len(scores), bool), [], []
    zero = np.zeros(1, np.intp)
    for i in range(len(scores)):
        covered[i] = covers(scores[i : i + 1], ties[i : i + 1], now, zero)[0]
        thresholds.append(now)
        if i >= late and present[i - late]:
            waiting.append(i - late)
        if len(waiting) >= step:
            asked = np.full(len(waiting), SHIFTED)
            known = adaptive.learn(known, scores[waiting], ties[waiting], settings, asked, covered[waiting])
            now, waiting = Adapted(adaptive.pack(known)).threshold(SHIFTED), []
    return covered, thresholds


def _size(calibrated: Calibrated, answers: Any, draws: Numbers, thresholds: list[Threshold]) -> float:
    """The mean number of labels, or the median width."""
    most = np.array([float(each.scores[0]) for each in thresholds])
    if calibrated.output == "values":
        return float(np.median(2 * np.maximum(most, 0)))
    return float((calibrated.of_classes(answers, draws) <= most[:, None]).sum(axis=1).mean())


def _covered(workload: str, how: str, covered: NDArray[np.bool_], size: float) -> Row:
    stretches = np.array_split(covered, max(1, len(covered) // 500))
    worst = min(float(each.mean()) for each in stretches)
    off = 100 * (covered.mean() - SHIFTED)
    note = f"{how}: {off:+.2f} points; worst 500 rows {worst:.3f}; mean labels or median width {size:.3g}"
    return Row(workload, f"{QUORATE}, {how}", "coverage", "share", (float(covered.mean()),), note)


def _noise(seed: int, n: int) -> Stream:
    """A number whose noise doubles after a third of the rows and is half of the first after two thirds."""
    rng = np.random.default_rng(seed)
    known = 1000
    scale = np.repeat([1.0, 2.0, 0.5], math.ceil(n / 3))[:n]
    answers = rng.normal(size=known + n)
    truth = answers + rng.normal(size=known + n) * np.concatenate([np.ones(known), scale])
    return Stream("noise", answers[:, None].astype(np.float32), truth, known)


def _bikes() -> Stream | None:
    """Hourly counts of two years by the hour, the weather and the season; fitted on three months, calibrated on two."""
    path = _data() / "tabular" / "bike_sharing" / "bikeshare.csv"
    if not path.exists():
        return None
    from sklearn.ensemble import HistGradientBoostingRegressor

    with path.open() as file:
        table = list(csv.DictReader(file))
    names = ("season", "holiday", "workingday", "weather", "temp", "atemp", "humidity", "windspeed")
    x = np.array([[float(row[name]) for name in names] for row in table])
    hour = np.array([float(row["datetime"][11:13]) for row in table])
    y = np.array([float(row["count"]) for row in table])
    x = np.hstack([x, hour[:, None]])
    first, known = 1300, 900
    model = HistGradientBoostingRegressor(max_iter=100, random_state=0).fit(x[:first], y[:first])
    return Stream("bike sharing", model.predict(x[first:])[:, None].astype(np.float32), y[first:], known)


def _elec() -> Stream | None:
    """Whether the price goes up, by demand, transfers and the time of day; fitted on the first rows."""
    path = _data() / "streams" / "elec2" / "elec2.csv"
    if not path.exists():
        return None
    from sklearn.ensemble import HistGradientBoostingClassifier

    table = np.loadtxt(path, delimiter=",", skiprows=1)
    x, y = table[:, :-1], table[:, -1].astype(np.int64)
    first, known = 4000, 2000
    model = HistGradientBoostingClassifier(max_iter=100, random_state=0).fit(x[:first], y[:first])
    answers = model.predict_proba(x[first:]).astype(np.float32)
    return Stream("elec2", answers, y[first:], known)
