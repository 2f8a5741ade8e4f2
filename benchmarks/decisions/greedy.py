"""Greedy selection against AutoGluon's weighted ensemble: the same out-of-fold outputs, the same metric.

    python -m benchmarks.decisions --parts greedy

Six data sets on which nothing of it was chosen (:mod:`.fresh`), by seeds that were not looked at before, decide; the
six on some of which its bags were chosen are shown too. Five random splits (70 % to fit on, 30 % to judge). A pool of
scikit-learn models answers out of fold on the first part (five folds); both systems fit weights on that, and the models
fitted on all of the first part are averaged with them on the second. Metrics: accuracy and log loss, and for numbers
the root mean squared error, all as "higher is better". The difference is Quorate's less AutoGluon's, with Student's
95 % interval over the splits, which share rows, so it is somewhat too narrow. Quorate's settings are its defaults,
AutoGluon's those of its own ensembles.
"""

from __future__ import annotations

import csv
import math
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.decisions import fresh
from benchmarks.decisions.reference import adult, loaded
from benchmarks.harness.table import FOLDER, QUORATE, Row
from quorate.core.combine.weighted import Weighted
from quorate.training.greedy import METRICS, fit_greedy

PYTHON = Path(".venvs/bench-autogluon/bin/python")
AUTOGLUON, EACH = "AutoGluon", "each member"
SPLITS, FOLDS, MOST_ROWS = 5, 5, 3000
SETS = ("breast cancer", "digits", "wine", "adult", "churn", "california housing")
JUDGING, DEVELOPMENT = "greedy selection, fresh sets", "greedy selection, known sets"
FIRST_SEED = {JUDGING: 100, DEVELOPMENT: 0}


def rows(*, quick: bool = False) -> list[Row]:
    """By data set and metric both systems, the best member, and the paired difference; and that over all."""
    if not PYTHON.exists():
        note = f"there is no {PYTHON}; run `make bench-decisions`"
        return [Row("greedy selection", AUTOGLUON, "accuracy", "share", (), note)]
    splits = 2 if quick else SPLITS
    return [*_judged(JUDGING, fresh.SETS, splits), *_judged(DEVELOPMENT, SETS, splits)]


def _judged(part: str, sets: tuple[str, ...], splits: int) -> list[Row]:
    found: list[Row] = []
    relative: list[NDArray[np.float64]] = []
    for name in sets:
        scores = _scores(part, name, splits)
        if not scores:
            found.append(Row(f"{part}: {name}", QUORATE, "accuracy", "share", (), "set QUORATE_DATA"))
        for metric, by in scores.items():
            workload, unit = f"{part}: {name}, {metric}", "share" if metric == "accuracy" else "score"
            shown = {system: values for system, values in by.items() if system != EACH}
            found += [Row(workload, system, metric, unit, tuple(values)) for system, values in shown.items()]
            difference = np.array(by[QUORATE]) - np.array(by[AUTOGLUON])
            found.append(_difference(workload, difference, unit))
            relative.append(difference / max(float(np.std(by[EACH])), 1e-12))
    if relative:
        together = np.mean([each[: min(map(len, relative))] for each in relative], axis=0)
        found.append(_difference(f"{part}: all, in spreads of the members' scores", together, "spreads"))
    return found


def _difference(workload: str, values: NDArray[np.float64], unit: str) -> Row:
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    note = f"mean {values.mean():+.5f}, 95 % {values.mean() - half:+.5f} to {values.mean() + half:+.5f}"
    return Row(workload, QUORATE, "less AutoGluon's", unit, tuple(values.tolist()), note)


def _scores(part: str, name: str, splits: int) -> dict[str, dict[str, list[float]]]:
    """By metric and system one score a split; that of :data:`EACH` has them all."""
    found_table = fresh.table(name) if part == JUDGING else _table(name)
    parts = [] if found_table is None else list(_parts(*found_table, FIRST_SEED[part], splits))
    folder = FOLDER / "run"
    folder.mkdir(parents=True, exist_ok=True)
    source, target = folder / "greedy.npz", folder / "greedy-weights.npz"
    arrays = {
        f"{seed}.{metric}.{what}": value
        for seed, (outputs, truth, _, _) in enumerate(parts)
        for metric in _metrics(truth)
        for what, value in (("outputs", outputs), ("truth", truth))
    }
    if not arrays:
        return {}
    np.savez(source, **arrays)
    subprocess.run([str(PYTHON), "-m", "benchmarks.decisions.autogluon_peer", str(source), str(target)], check=True)
    theirs = np.load(target)
    found: dict[str, dict[str, list[float]]] = {}
    for seed, (outputs, truth, test, test_truth) in enumerate(parts):
        names = [f"m{j}" for j in range(outputs.shape[1])]
        for metric in _metrics(truth):
            judge = METRICS[metric]
            weights = fit_greedy(outputs, truth, names, metric=metric, seed=seed).arrays["weights"]
            by = found.setdefault(metric, {QUORATE: [], AUTOGLUON: [], "best member": [], EACH: []})
            by[QUORATE].append(judge(test_truth, _averaged(test, weights)))
            by[AUTOGLUON].append(judge(test_truth, _averaged(test, theirs[f"{seed}.{metric}"])))
            alone = [judge(test_truth, test[:, j].astype(np.float64)) for j in range(len(names))]
            known = [judge(truth, outputs[:, j].astype(np.float64)) for j in range(len(names))]
            by["best member"].append(alone[int(np.argmax(known))])
            by[EACH] += alone
    return found


def _metrics(truth: NDArray[Any]) -> tuple[str, ...]:
    return ("rmse",) if truth.ndim == 2 else ("accuracy", "log_loss")


def _averaged(outputs: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    from quorate.core.types import State

    state = State("weighted", 1, {}, {"weights": np.asarray(weights)})
    return Weighted().combine(outputs, np.zeros(outputs.shape[:2], np.int8), state).astype(np.float64)


# --- data and pools -----------------------------------------------------------------------------------


def _parts(x: Any, y: Any, first: int, splits: int) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Out-of-fold outputs and truth of the first part, outputs and truth of the second."""
    from sklearn.model_selection import KFold, StratifiedKFold, train_test_split
    from threadpoolctl import threadpool_limits

    values = y.dtype.kind == "f"
    for seed in range(first, first + splits):
        layers = None if values else y
        fit_x, test_x, fit_y, test_y = train_test_split(x, y, test_size=0.3, stratify=layers, random_state=seed)
        centre, spread = fit_x.mean(axis=0), fit_x.std(axis=0)
        fit_x, test_x = ((part - centre) / np.where(spread > 0, spread, 1.0) for part in (fit_x, test_x))
        pool = _regressors(seed) if values else _classifiers(seed)
        width = 1 if values else int(y.max()) + 1
        outputs = np.zeros((len(fit_x), len(pool), width), np.float32)
        test = np.zeros((len(test_x), len(pool), width), np.float32)
        cut = (KFold if values else StratifiedKFold)(FOLDS, shuffle=True, random_state=seed)
        folds = list(cut.split(fit_x, fit_y))
        with threadpool_limits(1):  # models this small lose time when they are spread over threads
            for j, model in enumerate(pool):
                for fit, held in folds:
                    outputs[held, j] = _said(model.fit(fit_x[fit], fit_y[fit]), fit_x[held], width)
                test[:, j] = _said(model.fit(fit_x, fit_y), test_x, width)
        if values:
            fit_y, test_y = fit_y[:, None], test_y[:, None]
        yield outputs, fit_y, test, test_y


def _said(model: Any, x: Any, width: int) -> Any:
    return model.predict(x)[:, None] if not hasattr(model, "predict_proba") else model.predict_proba(x)[:, :width]


def _table(name: str) -> tuple[Any, Any] | None:
    if name == "adult":
        return adult(MOST_ROWS)
    if name in ("churn", "california housing"):
        folder, target = {
            "churn": ("churn", "Churn"), "california housing": ("california_housing", "median_house_value")
        }[name]  # fmt: skip
        return _csv(folder, target)
    return loaded(name)


def _csv(folder: str, target: str) -> tuple[Any, Any] | None:
    """Up to :data:`MOST_ROWS` rows, evenly; text with few values one-hot, what is missing the column's mean."""
    path = Path(os.environ.get("QUORATE_DATA", "../shared/data")) / "tabular" / folder / f"{folder}.csv"
    if not path.exists():
        return None
    with path.open() as file:
        table = list(csv.DictReader(file))
    table = table[:: max(1, len(table) // MOST_ROWS)][:MOST_ROWS]
    columns = []
    for name in table[0]:
        values = np.array([row[name].strip() for row in table])
        try:
            numbers = np.where(values == "", "nan", values).astype(np.float64)
        except ValueError:
            kinds = np.unique(values)
            if name == target:
                truth = (values == kinds[-1]).astype(np.int64)
            elif len(kinds) <= 20:  # an identifier has a value a row
                columns.append((values[:, None] == kinds).astype(np.float64))
            continue
        numbers = np.where(np.isnan(numbers), np.nanmean(numbers), numbers)
        if name == target:
            truth = numbers / 1e5
        else:
            columns.append(numbers[:, None])
    return np.hstack(columns), truth


def _classifiers(seed: int) -> list[Any]:
    from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.tree import DecisionTreeClassifier

    return [
        LogisticRegression(C=0.01, max_iter=300),
        LogisticRegression(C=1.0, max_iter=300),
        GaussianNB(var_smoothing=1e-2),
        KNeighborsClassifier(5),
        KNeighborsClassifier(25),
        DecisionTreeClassifier(max_depth=4, random_state=seed),
        DecisionTreeClassifier(min_samples_leaf=5, random_state=seed),
        RandomForestClassifier(40, random_state=seed),
        RandomForestClassifier(40, min_samples_leaf=5, random_state=seed),
        ExtraTreesClassifier(40, random_state=seed),
        HistGradientBoostingClassifier(max_iter=30, random_state=seed),
    ]


def _regressors(seed: int) -> list[Any]:
    from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor, RandomForestRegressor
    from sklearn.linear_model import Ridge
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.tree import DecisionTreeRegressor

    return [
        Ridge(1.0),
        Ridge(100.0),
        KNeighborsRegressor(5),
        KNeighborsRegressor(25),
        DecisionTreeRegressor(max_depth=5, random_state=seed),
        RandomForestRegressor(40, random_state=seed),
        ExtraTreesRegressor(40, random_state=seed),
        HistGradientBoostingRegressor(max_iter=60, random_state=seed),
    ]
