"""What runs in MAPIE's environment: its split conformal predictors on given answers of a model.

    python -m benchmarks.decisions.mapie_peer FILE.npz FOUND.npz

It imports nothing of Quorate. Of every set ``NAME`` there are ``NAME.answers`` ``[n, k]`` and ``NAME.truth`` ``[n]``,
and splits ``NAME.known`` ``[s, c]`` and ``NAME.new`` ``[s, t]``, indices of rows to calibrate on and to judge. Answers
are probabilities, or one column of numbers. Written are coverage and mean size, ``NAME.SCORE.coverage`` and ``.size``
``[s, levels]``, by the levels ``levels``.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
from mapie.classification import SplitConformalClassifier
from mapie.regression import SplitConformalRegressor
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

warnings.filterwarnings("ignore")


class Said(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose input is its own answer."""

    def __init__(self, classes: int = 2) -> None:
        self.classes = classes

    def fit(self, x: Any, y: Any = None) -> Said:
        self.classes_ = np.arange(self.classes)
        self.n_features_in_ = self.classes
        self.is_fitted_ = True
        return self

    def predict_proba(self, x: Any) -> Any:
        return np.asarray(x, np.float64)

    def predict(self, x: Any) -> Any:
        return np.asarray(x).argmax(axis=1)


class SaidNumber(RegressorMixin, BaseEstimator):
    """The same with numbers."""

    def fit(self, x: Any, y: Any = None) -> SaidNumber:
        self.n_features_in_ = 1
        self.is_fitted_ = True
        return self

    def predict(self, x: Any) -> Any:
        return np.asarray(x, np.float64)[:, 0]


def classes(score: str, answers: Any, truth: Any, known: Any, new: Any, levels: list[float], seed: int) -> Any:
    """Coverage and mean size ``[2, levels]`` of one split."""
    model = Said(answers.shape[1]).fit(answers)
    predictor = SplitConformalClassifier(
        model, confidence_level=levels, conformity_score=score, prefit=True, random_state=seed
    )
    predictor.conformalize(answers[known], truth[known])
    params = {} if score == "lac" else {"include_last_label": "randomized"}
    _, sets = predictor.predict_set(answers[new], conformity_score_params=params)
    inside = sets[np.arange(len(new)), truth[new]]
    return np.stack([inside.mean(axis=0), sets.sum(axis=1).mean(axis=0)])


def numbers(answers: Any, truth: Any, known: Any, new: Any, levels: list[float]) -> Any:
    """The same of intervals: coverage and mean width."""
    model = SaidNumber().fit(answers)
    predictor = SplitConformalRegressor(model, confidence_level=levels, conformity_score="absolute", prefit=True)
    predictor.conformalize(answers[known], truth[known])
    _, ends = predictor.predict_interval(answers[new])
    inside = (truth[new][:, None] >= ends[:, 0]) & (truth[new][:, None] <= ends[:, 1])
    return np.stack([inside.mean(axis=0), (ends[:, 1] - ends[:, 0]).mean(axis=0)])


def main(source: str, target: str) -> None:
    """All sets, splits and scores."""
    arrays = np.load(source)
    levels = arrays["levels"].tolist()
    found: dict[str, Any] = {}
    for name in sorted(key.removesuffix(".truth") for key in arrays if key.endswith(".truth")):
        answers, truth = arrays[f"{name}.answers"].astype(np.float64), arrays[f"{name}.truth"]
        splits = list(zip(arrays[f"{name}.known"], arrays[f"{name}.new"], strict=True))
        if answers.shape[1] > 1:
            answers = answers / answers.sum(axis=1, keepdims=True)
        # Of two classes MAPIE refuses the scores that rank them.
        for score in {1: ("absolute",), 2: ("lac",)}.get(answers.shape[1], ("lac", "aps", "raps")):
            told = [
                classes(score, answers, truth, known, new, levels, seed)
                if answers.shape[1] > 1
                else numbers(answers, truth, known, new, levels)
                for seed, (known, new) in enumerate(splits)
            ]
            found[f"{name}.{score}.coverage"], found[f"{name}.{score}.size"] = np.moveaxis(np.array(told), 1, 0)
    np.savez(target, **found)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
