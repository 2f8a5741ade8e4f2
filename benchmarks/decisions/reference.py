"""Data sets cut in three for dynamic selection: members are fitted on one part, known on another, judged on the third.

breast cancer, digits and wine are scikit-learn's; adult is the first 5,000 rows of the census file in
``$QUORATE_DATA`` (else ``../shared/data``), its text columns one-hot. Features are standardised by the first part and
rounded to single precision.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SETS = ("breast cancer", "digits", "wine", "adult")
ADULT_ROWS = 5000
MEMBERS = 20


@dataclass(frozen=True)
class Cut:
    """One split of one data set; outputs are float32 ``[n, m, k]``, truths int ``[n]``."""

    name: str
    seed: int
    reference: NDArray[np.float32]
    reference_outputs: NDArray[np.float32]
    truth: NDArray[np.int64]
    test: NDArray[np.float32]
    test_outputs: NDArray[np.float32]
    test_truth: NDArray[np.int64]

    @property
    def key(self) -> str:
        """A name for arrays."""
        return f"{self.name} {self.seed}"


def adult(rows: int) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
    """The census file's first rows; None where there is no such file."""
    folder = Path(os.environ.get("QUORATE_DATA", "../shared/data"))
    path = folder / "tabular" / "adult" / "adult.csv"
    if not path.exists():
        return None
    with path.open() as file:
        table = list(csv.DictReader(file))[:rows]
    target = next(name for name in table[0] if name.startswith("income"))
    columns = []
    for name in table[0]:
        values = np.array([row[name].strip() for row in table])
        if name == target:
            truth = (np.char.find(values, ">50K") >= 0).astype(np.int64)
            continue
        try:
            columns.append(values.astype(np.float64)[:, None])
        except ValueError:
            columns.append((values[:, None] == np.unique(values)).astype(np.float64))
    return np.hstack(columns), truth


def loaded(name: str) -> tuple[Any, Any] | None:
    """Features and classes of one of :data:`SETS`."""
    from sklearn import datasets

    if name == "adult":
        return adult(ADULT_ROWS)
    load = {"breast cancer": datasets.load_breast_cancer, "digits": datasets.load_digits, "wine": datasets.load_wine}
    found: tuple[Any, Any] = load[name](return_X_y=True)
    return found


def cuts(name: str, splits: int) -> Iterator[Cut]:
    """Random stratified splits, half to fit the members, a quarter each to know them by and to judge."""
    from sklearn.model_selection import train_test_split

    found = loaded(name)
    if found is None:
        return
    x, y = found
    for seed in range(splits):
        fit_x, rest_x, fit_y, rest_y = train_test_split(x, y, test_size=0.5, stratify=y, random_state=seed)
        ref_x, test_x, ref_y, test_y = train_test_split(
            rest_x, rest_y, test_size=0.5, stratify=rest_y, random_state=seed
        )
        centre, spread = fit_x.mean(axis=0), fit_x.std(axis=0)
        kept = spread > 0
        fit_x, ref_x, test_x = (
            ((part - centre) / np.where(kept, spread, 1.0))[:, kept].astype(np.float32)
            for part in (fit_x, ref_x, test_x)
        )
        pool = members(fit_x, fit_y, seed)
        first, second = (outputs(pool, part) for part in (ref_x, test_x))
        yield Cut(name, seed, ref_x, first, ref_y, test_x, second, test_y)


def members(x: Any, y: Any, seed: int) -> list[Any]:
    """Bagged models, each on its own bootstrap sample and half of the columns: the usual pool of dynamic selection."""
    from sklearn.ensemble import BaggingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeClassifier

    half = MEMBERS // 2
    pool = []
    for base in (LogisticRegression(max_iter=500), DecisionTreeClassifier(max_depth=6, min_samples_leaf=3)):
        bag = BaggingClassifier(base, half, max_samples=0.5, max_features=0.5, random_state=seed).fit(x, y)
        pool += [(model, columns) for model, columns in zip(bag.estimators_, bag.estimators_features_, strict=True)]
    return [(model, columns, len(np.unique(y))) for model, columns in pool]


def outputs(pool: list[Any], x: Any) -> NDArray[np.float32]:
    """Scores ``[n, m, k]``; a class that a bootstrap sample lacks has 0. Equal rows have equal outputs."""
    _, first, place = np.unique(x, axis=0, return_index=True, return_inverse=True)
    found = np.zeros((len(first), len(pool), pool[0][2]), np.float32)
    for j, (model, columns, _) in enumerate(pool):
        found[:, j, model.classes_.astype(int)] = model.predict_proba(x[first][:, columns])
    return found[place.reshape(-1)]
