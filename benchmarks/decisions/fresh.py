"""Data sets on which nothing of greedy selection was chosen: they judge it.

All but diabetes (scikit-learn's) are of ``$QUORATE_DATA``, else ``../shared/data``; of each at most 3,000 rows, evenly.

- *elec2*: whether the price of electricity goes up; *sms spam*: by how often each of the 200 most frequent words
  occurs; *adult*: income, of the census file's rows from 5,000 on; two classes each.
- *movielens*: the rating, five classes, by the film's genres and what the user and the film got on average in the other
  97,000 rows.
- *bike sharing* (hourly counts, in hundreds) and *diabetes*: numbers.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.decisions.reference import ADULT_ROWS, adult

SETS = ("elec2", "sms spam", "adult", "movielens", "bike sharing", "diabetes")
MOST_ROWS, WORDS = 3000, 200
Table = tuple[NDArray[np.float64], NDArray[Any]]


def table(name: str) -> Table | None:
    """Features ``[n, d]`` and classes int ``[n]`` or numbers float ``[n]``; None where there is no such file."""
    data = Path(os.environ.get("QUORATE_DATA", "../shared/data"))
    if name == "diabetes":
        from sklearn.datasets import load_diabetes

        x, y = load_diabetes(return_X_y=True)
        return x, y / 100.0
    if not data.exists():
        return None
    if name == "adult":
        found = adult(1_000_000)
        return None if found is None else (_evenly(found[0][ADULT_ROWS:]), _evenly(found[1][ADULT_ROWS:]))
    return {"elec2": _elec2, "sms spam": _sms, "movielens": _movielens, "bike sharing": _bikes}[name](data)


def _evenly(rows: NDArray[Any]) -> NDArray[Any]:
    return rows[:: max(1, len(rows) // MOST_ROWS)][:MOST_ROWS]


def _elec2(data: Path) -> Table:
    rows = np.loadtxt(data / "streams" / "elec2" / "elec2.csv", delimiter=",", skiprows=1)
    rows = _evenly(rows)
    return rows[:, :-1], rows[:, -1].astype(np.int64)


def _sms(data: Path) -> Table:
    lines = (data / "text" / "sms_spam" / "sms.tsv").read_text(encoding="utf-8").splitlines()
    told = _evenly(np.array([line.split("\t", 1) for line in lines if "\t" in line], object))
    texts = [Counter(re.findall(r"[a-z]+|\d+", text.lower())) for text in told[:, 1]]
    count: Counter[str] = Counter()
    for each in texts:
        count.update(each.keys())
    words = [word for word, _ in count.most_common(WORDS)]
    counts = np.array([[each[word] for word in words] for each in texts], np.float64)
    return counts, (told[:, 0] == "spam").astype(np.int64)


def _movielens(data: Path) -> Table:
    folder = data / "tabular" / "movielens_100k"
    ratings = np.loadtxt(folder / "u.data", dtype=np.int64)
    lines = (folder / "u.item").read_text(encoding="latin-1").splitlines()
    genres = np.array([line.split("|")[5:] for line in lines if line], np.float64)
    chosen = np.zeros(len(ratings), bool)
    chosen[_evenly(np.arange(len(ratings)))] = True
    others, mine = ratings[~chosen], ratings[chosen]
    columns = [genres[mine[:, 1] - 1]]
    for who in (0, 1):
        size = int(ratings[:, who].max()) + 1
        seen = np.bincount(others[:, who], minlength=size)
        total = np.bincount(others[:, who], weights=others[:, 2], minlength=size)
        mean = (total + 5 * others[:, 2].mean()) / (seen + 5)
        columns += [mean[mine[:, who], None], np.log1p(seen[mine[:, who], None])]
    return np.hstack(columns), mine[:, 2] - 1


def _bikes(data: Path) -> Table:
    with (data / "tabular" / "bike_sharing" / "bikeshare.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = ("season", "holiday", "workingday", "weather", "temp", "atemp", "humidity", "windspeed")
    x = [[float(row[name]) for name in names] + [float(row["datetime"][at]) for at in _TIME] for row in rows]
    y = [float(row["count"]) / 100.0 for row in rows]
    return _evenly(np.array(x)), _evenly(np.array(y))


_TIME = (slice(2, 4), slice(5, 7), slice(11, 13))
"""Year, month and hour in ``2011-01-31 23:00:00``."""
