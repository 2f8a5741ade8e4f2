"""Calibration after combining: how far confidences are from what comes true, before and after, beside its peers.

    python -m benchmarks.decisions --parts calibration

Each pool is a mean of members that are too sure of themselves: networks without a penalty, boosting that went on too
long, naive Bayes, fully grown trees; *food11* are the softmax outputs of two real networks on images that neither was
trained on. A part of the rows fits the members, a second one the calibration, the third one judges (40, 30 and 30 %;
of food11 half and half; of churn, adult, electricity and spam at most 6,000 rows), over several random splits.

The error is that of :mod:`quorate.core.calibrate.ece`: at most 15 bins of equal mass, without the bias; ``plain`` is
the sum of the bins as it is. ``share left`` is the error after by the error before, both means over the splits, with a
bootstrap interval over the splits, which share rows and so make it somewhat too narrow; a pool that shows no error to
begin with has none. Peers get the same rows:
scikit-learn's ``CalibratedClassifierCV`` around the frozen answers, by all its methods, and the package venn-abers
(which takes classes one against one). Theirs may move labels; Quorate's never do.
"""

from __future__ import annotations

import csv
import os
import subprocess
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.decisions.greedy import _csv
from benchmarks.decisions.reference import adult, loaded
from benchmarks.harness.table import FOLDER, QUORATE, Row
from quorate.core.calibrate.ece import of_answers
from quorate.core.calibrate.methods import METHODS, calibrate

PYTHON = Path(".venvs/bench-venn-abers/bin/python")
SPLITS = 5
MOST_ROWS = 6000
SETS = ("breast cancer", "digits", "adult", "churn", "electricity", "spam", "food11")
SKLEARN = ("sigmoid", "isotonic", "temperature")
PACKAGE = "venn-abers (package)"
BEFORE = "as combined"

Parts = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]
"""Answers and truths to calibrate by, and to judge by."""


def rows(*, quick: bool = False) -> list[Row]:
    """By pool every method's error, share of the error left, accuracy and log loss; how many pools are halved; cost."""
    found: list[Row] = []
    left: dict[str, dict[str, float]] = defaultdict(dict)
    for name in SETS:
        parts = [_parts(name, seed) for seed in range(2 if quick else SPLITS)]
        some = [each for each in parts if each is not None]
        if not some:
            found.append(Row(f"calibration: {name}", QUORATE, "error", "share", (), "no data; see QUORATE_DATA"))
            continue
        found += _pool(name, some, left)
    for system, by in left.items():
        halved = sorted(name for name, share in by.items() if share <= 0.5)
        note = f"of {len(by)}: {', '.join(halved)}"
        found.append(Row("calibration: pools whose error is halved", system, "pools", "", (float(len(halved)),), note))
    return found + _cost()


def _pool(name: str, some: list[Parts], left: dict[str, dict[str, float]]) -> list[Row]:
    workload = f"calibration: {name}"
    figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    packaged = _packaged(name, some)
    for number, part in enumerate(some):
        answers = dict(_answers(part))
        if packaged is not None:
            answers[PACKAGE] = packaged[number]
        for system, answer in answers.items():
            for metric, value in _figures(answer, part[3], part[2]).items():
                figures[system][metric].append(value)
    found = []
    before = np.array(figures[BEFORE]["error"])
    for system, by in figures.items():
        units = {"error": "share", "plain error": "share", "accuracy": "share", "labels moved": "share"}
        found += [Row(workload, system, metric, units.get(metric, "nats"), tuple(v)) for metric, v in by.items()]
        if system != BEFORE and before.any():  # else there is nothing to be halved
            share, low, high = _left(np.array(by["error"]), before)
            left[system][name] = share
            note = f"95 % {low:.2f} to {high:.2f}"
            found.append(Row(workload, system, "share left", "", (share,), note))
    return found


def _figures(answer: NDArray[Any], truth: NDArray[np.int64], plain: NDArray[np.float32]) -> Mapping[str, float]:
    found = of_answers(answer, truth)
    assert found is not None
    label = answer.argmax(axis=1)
    likely = np.maximum(answer[np.arange(len(truth)), truth].astype(np.float64), 1e-7)
    return {
        "error": found.error.value,
        "plain error": found.error.observed,
        "accuracy": float((label == truth).mean()),
        "log loss": float(-np.log(likely).mean()),
        "labels moved": float((label != plain.argmax(axis=1)).mean()),
    }


def _left(after: NDArray[np.float64], before: NDArray[np.float64]) -> tuple[float, float, float]:
    draws = np.random.default_rng(0).integers(len(after), size=(2000, len(after)))
    shares = after[draws].mean(axis=1) / np.maximum(before[draws].mean(axis=1), 1e-12)
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(after.mean() / max(before.mean(), 1e-12)), float(low), float(high)


def _answers(part: Parts) -> Iterator[tuple[str, NDArray[Any]]]:
    known, truths, answers, _ = part
    yield BEFORE, answers
    for method in METHODS:
        yield f"{QUORATE} {method}", calibrate(answers, METHODS[method].fit(known, truths, {}))
    for method in SKLEARN:
        found = _scikit(method, known, truths, answers)
        if found is not None:
            yield f"scikit-learn {method}", found


def _scikit(method: str, known: Any, truths: Any, answers: Any) -> NDArray[Any] | None:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    class Answers(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        """Its rows are its probabilities already."""

        def fit(self, x: Any, y: Any) -> Any:
            self.classes_ = np.arange(x.shape[1])
            return self

        def predict_proba(self, x: Any) -> Any:
            return np.asarray(x, np.float64)

        def predict(self, x: Any) -> Any:
            return np.argmax(x, axis=1)

        def decision_function(self, x: Any) -> Any:
            logits = np.log(np.maximum(np.asarray(x, np.float64), 1e-12))
            return logits[:, 1] - logits[:, 0] if x.shape[1] == 2 else logits

    frozen = FrozenEstimator(Answers().fit(known, truths))
    found: NDArray[Any] = CalibratedClassifierCV(frozen, method=method).fit(known, truths).predict_proba(answers)
    return found if found.shape == answers.shape else None  # a class was missing


def _packaged(name: str, some: list[Parts]) -> list[NDArray[Any]] | None:
    """What the package says, from an environment of its own; None without it."""
    if not PYTHON.exists():
        return None
    folder = FOLDER / "run"
    folder.mkdir(parents=True, exist_ok=True)
    source, target = folder / "calibration.npz", folder / "calibration-answers.npz"
    arrays = {}
    for number, (known, truths, answers, _) in enumerate(some):
        arrays |= {f"{number}.known": known, f"{number}.truths": truths, f"{number}.answers": answers}
    np.savez(source, **arrays)
    command = [str(PYTHON), "-m", "benchmarks.decisions.venn_abers_peer", str(source), str(target)]
    if subprocess.run(command, check=False).returncode:
        return None
    with np.load(target) as found:
        return [found[str(number)] for number in range(len(some))]


def _cost() -> list[Row]:
    """What a method adds to a request: one row, and 32 rows of one batch, of ten classes."""
    rng = np.random.default_rng(0)
    known = rng.dirichlet(np.full(10, 0.3), size=5000).astype(np.float32)
    truths = (known.cumsum(axis=1) > rng.random((5000, 1))).argmax(axis=1)
    found = []
    for method, calibration in METHODS.items():
        state = calibration.fit(known, truths, {})
        for n in (1, 32):
            runs = tuple(_timed(lambda n=n, state=state: calibrate(known[:n], state)) for _ in range(7))
            found.append(Row(f"calibration: cost, {n} rows, 10 classes", f"{QUORATE} {method}", "time", "us", runs))
    return found


def _timed(call: Callable[[], object], times: int = 300) -> float:
    started = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - started) / times * 1e6


# --- pools ----------------------------------------------------------------------------------------------


def _parts(name: str, seed: int) -> Parts | None:
    """The mean of the pool's members, on the second and third part."""
    if name == "food11":
        return _food(seed)
    found = _spam(seed) if name == "spam" else _table(name, seed)
    if found is None:
        return None
    x, y, pool = found
    from sklearn.model_selection import train_test_split
    from threadpoolctl import threadpool_limits

    fit_x, rest_x, fit_y, rest_y = train_test_split(x, y, train_size=0.4, stratify=y, random_state=seed)
    cal_x, test_x, cal_y, test_y = train_test_split(rest_x, rest_y, test_size=0.5, stratify=rest_y, random_state=seed)
    if name != "spam":
        centre, spread = fit_x.mean(axis=0), fit_x.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        fit_x, cal_x, test_x = ((part - centre) / spread for part in (fit_x, cal_x, test_x))
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that networks are trained on for as long as they are is meant
        fitted = [model.fit(fit_x, fit_y) for model in pool]
        known = np.mean([model.predict_proba(cal_x) for model in fitted], axis=0)
        answers = np.mean([model.predict_proba(test_x) for model in fitted], axis=0)
    return known.astype(np.float32), cal_y, answers.astype(np.float32), test_y


def _table(name: str, seed: int) -> tuple[Any, Any, list[Any]] | None:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neural_network import MLPClassifier
    from sklearn.tree import DecisionTreeClassifier

    if name == "adult":
        found = adult(MOST_ROWS)
    elif name == "churn":
        found = _csv("churn", "Churn", MOST_ROWS)
    elif name == "electricity":
        found = _electricity()
    else:
        found = loaded(name)
    if found is None:
        return None
    networks = [MLPClassifier((64,), alpha=0.0, max_iter=120, tol=0.0, random_state=10 * seed + i) for i in range(2)]
    boosted = HistGradientBoostingClassifier(
        max_iter=150, learning_rate=0.3, min_samples_leaf=2, early_stopping=False, random_state=seed
    )
    members = [*networks, boosted, GaussianNB(), DecisionTreeClassifier(random_state=seed)]
    return *found, members


def _folder() -> Path:
    return Path(os.environ.get("QUORATE_DATA", "../shared/data"))


def _electricity() -> tuple[Any, Any] | None:
    """Prices up or down, taken as exchangeable: every seventh half-hour or so, in no order."""
    path = _folder() / "streams" / "elec2" / "elec2.csv"
    if not path.exists():
        return None
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    table = table[:: len(table) // MOST_ROWS][:MOST_ROWS]
    return table[:, :-1], table[:, -1].astype(np.int64)


def _spam(seed: int) -> tuple[Any, Any, list[Any]] | None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import SGDClassifier
    from sklearn.naive_bayes import BernoulliNB, MultinomialNB
    from sklearn.tree import DecisionTreeClassifier

    path = _folder() / "text" / "sms_spam" / "sms.tsv"
    if not path.exists():
        return None
    with path.open(encoding="utf-8") as file:
        table = [line for line in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if len(line) == 2]
    x = CountVectorizer(min_df=3, binary=True).fit_transform([text for _, text in table])
    y = np.array([label == "spam" for label, _ in table]).astype(np.int64)
    steep = SGDClassifier(loss="modified_huber", alpha=1e-6, random_state=seed)
    return x, y, [MultinomialNB(), BernoulliNB(), steep, DecisionTreeClassifier(random_state=seed)]


def _food(seed: int) -> Parts | None:
    """The mean of two networks' softmax outputs on the validation images, half and half."""
    path = _folder() / "outputs" / "food11" / "food11_train9866_val3430_incepv3_vgg19_softmax.npz"
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as found:
        names = [name for name in found.files if "val" in name]
        truth = next(found[name] for name in names if found[name].ndim == 1)
        outputs = [found[name] for name in names if found[name].ndim == 2]
    answers = np.mean(outputs, axis=0).astype(np.float32)
    answers /= answers.sum(axis=1, keepdims=True)
    order = np.random.default_rng(seed).permutation(len(truth))
    known, test = order[: len(order) // 2], order[len(order) // 2 :]
    truth = truth.astype(np.int64)
    return answers[known], truth[known], answers[test], truth[test]
