"""What runs in DESlib's environment: the five methods on given outputs of members, and what they cost.

    python -m benchmarks.decisions.deslib_peer predict FILE.npz ANSWERS.npz
    python -m benchmarks.decisions.deslib_peer cost FILE.npz METHOD ROWS

It imports nothing of Quorate. Members are look-ups of their recorded outputs by the bytes of a row, so that both
systems see the same numbers. ``cost`` prints one JSON object: seconds of one row, of ROWS at once, and peak memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from typing import Any

import numpy as np
from deslib.dcs.ola import OLA
from deslib.des.des_p import DESP
from deslib.des.knora_e import KNORAE
from deslib.des.knora_u import KNORAU
from deslib.des.meta_des import METADES

warnings.filterwarnings("ignore", category=FutureWarning)

METHODS: dict[str, Any] = {"knora-e": KNORAE, "knora-u": KNORAU, "des-p": DESP, "ola": OLA, "meta-des": METADES}
ONE_ROW = 50


class Table:
    """The recorded outputs ``[n, m, k]`` of all members, by row."""

    def __init__(self, features: Any, outputs: Any) -> None:
        self.place = {row.tobytes(): i for i, row in enumerate(np.ascontiguousarray(features, np.float64))}
        self.outputs = outputs.astype(np.float64)
        self._asked: Any = None
        self._places: Any = None

    def of(self, rows: Any, member: int) -> Any:
        """One member's scores; the rows are looked up once for all members that are asked in turn."""
        asked = np.ascontiguousarray(rows, np.float64).tobytes()
        if asked != self._asked:
            self._asked = asked
            self._places = np.array([self.place[row.tobytes()] for row in np.ascontiguousarray(rows, np.float64)])
        return self.outputs[self._places, member]


class Member:
    """A fitted classifier, as DESlib wants it."""

    def __init__(self, table: Table, number: int, classes: int) -> None:
        self.table, self.number = table, number
        self.classes_ = np.arange(classes)

    def fit(self, rows: Any, truth: Any) -> Member:
        return self

    def predict_proba(self, rows: Any) -> Any:
        return self.table.of(rows, self.number)

    def predict(self, rows: Any) -> Any:
        return self.predict_proba(rows).argmax(axis=1)


def fitted(method: str, arrays: Any, prefix: str) -> Any:
    """A method on the reference rows."""
    reference, truth = arrays[f"{prefix}reference"], arrays[f"{prefix}truth"]
    table = Table(np.concatenate([reference, arrays[f"{prefix}test"]]), arrays[f"{prefix}outputs"])
    pool = [Member(table, j, arrays[f"{prefix}outputs"].shape[2]) for j in range(arrays[f"{prefix}outputs"].shape[1])]
    return METHODS[method](pool, n_jobs=1, random_state=0).fit(reference, truth)


def predict(source: str, target: str) -> None:
    """The labels ``SET.METHOD`` of all test rows, and META-DES's model as log-odds."""
    arrays = np.load(source)
    found: dict[str, Any] = {}
    for name in sorted(key.removesuffix(".truth") for key in arrays if key.endswith(".truth")):
        for method in METHODS:
            model = fitted(method, arrays, f"{name}.")
            found[f"{name}.{method}"] = model.predict(arrays[f"{name}.test"])
            if method == "meta-des":
                bayes = model.meta_classifier_
                found[f"{name}.coefficients"] = bayes.feature_log_prob_[1] - bayes.feature_log_prob_[0]
                found[f"{name}.intercept"] = np.atleast_1d(bayes.class_log_prior_[1] - bayes.class_log_prior_[0])
    np.savez(target, **found)


def cost(source: str, method: str, rows: int) -> None:
    """Without what the members' own answers take, which are asked for once more and subtracted."""
    arrays = np.load(source)
    model = fitted(method, arrays, "")
    test = arrays["test"]

    def took(some: Any) -> float:
        start = time.perf_counter()
        model.predict(some)
        middle = time.perf_counter()
        model._preprocess_predictions(some, model.needs_proba)
        return middle - start - (time.perf_counter() - middle)

    alone = sorted(took(test[i : i + 1]) for i in range(ONE_ROW))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    together = took(test[:rows].copy()) if rows else 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"alone": alone, "together": together, "peak_kib": peak, "before_kib": before}))


if __name__ == "__main__":
    if sys.argv[1] == "predict":
        predict(sys.argv[2], sys.argv[3])
    else:
        cost(sys.argv[2], sys.argv[3], int(sys.argv[4]))
