"""Fit conformal predictors: the nonconformity scores of a strategy's answers to rows that nobody was fitted on.

The rows must be like those to come, in any order, and new to the members, to the strategy's own fitted state and to its
calibration; else its scores are too low, and what is promised is not kept. No rows are lost to fitting: nothing but the
penalty of ``raps`` and the floor of ``normalised`` is chosen, the one on rows that are then left out, the other without
a look at the truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.conformal import scores, values
from quorate.core.conformal.calibrated import state_of
from quorate.core.conformal.quantile import rank
from quorate.core.types import FloatArray, State, Status, StatusArray
from quorate.errors import InvalidInput

PENALTIES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
FREE = (1, 2, 3, 5)
"""Penalties of ``raps``, and the ranks that are free of them, among which the smallest mean set is looked for."""

TUNING, TUNED_FOR = 0.2, (0.9, 0.95)
"""The share of the rows that the penalty is chosen on, and the coverages that it is chosen for."""

FLOOR = 0.5
"""What is added to the disagreement, in medians of it, so that members that agree do not promise to be exact."""


def fit_conformal(
    answers: FloatArray,
    y: NDArray[np.integer[Any]],
    classes: Sequence[str],
    *,
    score: str = "lac",
    conditional: bool = False,
    penalty: float | None = None,
    free: int | None = None,
    of: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> State:
    """The state for conformal sets from a strategy's answers ``[n, k]`` and true class indices ``y`` ``[n]``.

    ``score`` is one of :data:`quorate.core.conformal.scores.KINDS`. With ``conditional`` every class has rows of its
    own, and the coverage holds for each (Vovk's label-conditional, or Mondrian, predictor). ``penalty`` and ``free``
    are those of ``raps``; where they are not given, a fifth of the rows chooses them and is not calibrated on. ``of``
    says which strategy the answers are of. ``seed`` is that of the draws. :class:`InvalidInput` if something does not
    fit.
    """
    if score not in scores.KINDS:
        raise InvalidInput(f"There is no score '{score}'; expected one of {', '.join(scores.KINDS)}.", path="score")
    if score != "raps" and (penalty is not None or free is not None):
        raise InvalidInput(f"penalty and free belong to 'raps'; the score is '{score}'.", path="penalty")
    if (penalty is None) != (free is None):
        raise InvalidInput("Give both penalty and free, or neither.", path="penalty")
    if penalty is not None and (not penalty >= 0 or free is None or free < 0):
        raise InvalidInput(f"penalty and free are 0 or more; got {penalty} and {free}.", path="penalty")
    _check(answers, y, len(classes))
    rng = np.random.default_rng(seed)
    meta: dict[str, Any] = {"output": "scores", "score": score, "classes": list(classes), "of": _plain(of)}
    if score == "raps":
        if penalty is None or free is None:
            answers, y, penalty, free = _tuned(answers, y, rng)
        meta |= {"penalty": float(penalty), "free": int(free)}
    draws = 1.0 - rng.random((len(y), 2))
    found = scores.of_classes(score, answers, draws[:, 0], penalty or 0.0, free or 0)[np.arange(len(y)), y]
    if conditional:
        missing = np.flatnonzero(np.bincount(y, minlength=len(classes)) == 0)
        if len(missing):
            raise InvalidInput(
                f"Class '{classes[missing[0]]}' has no rows to calibrate on; give some, or leave out 'conditional'.",
                path="conditional",
            )
    return state_of(meta, found, draws[:, 1], y.astype(np.intp) if conditional else None)


def fit_conformal_values(
    answers: FloatArray,
    y: NDArray[np.floating[Any]],
    names: Sequence[str],
    *,
    score: str = "absolute",
    outputs: FloatArray | None = None,
    lower: str | None = None,
    upper: str | None = None,
    of: Mapping[str, Any] | None = None,
) -> State:
    """The state for intervals from a strategy's answers ``[n, k]`` for targets ``names``, and true numbers ``y``.

    ``score`` is one of :data:`quorate.core.conformal.values.KINDS`. ``normalised`` needs the members' own ``outputs``
    ``[n, m, 1]``; ``cqr`` the names of the targets that are the ``lower`` and the ``upper`` quantile, the others one
    target. :class:`InvalidInput` if something does not fit.
    """
    if score not in values.KINDS:
        raise InvalidInput(f"There is no score '{score}'; expected one of {', '.join(values.KINDS)}.", path="score")
    if answers.shape != (len(y), len(names)) or not len(y):
        raise InvalidInput(f"expected answers [{len(y)}, {len(names)}]; got {list(answers.shape)}.", path="answers")
    if not (np.isfinite(answers).all() and np.isfinite(y).all()):
        raise InvalidInput("the answers and truths to fit on must be finite; drop the other rows.", path="answers")
    meta: dict[str, Any] = {"output": "values", "score": score, "classes": list(names), "of": _plain(of)}
    low = high = 0
    if score == "cqr":
        if lower is None or upper is None or lower not in names or upper not in names:
            raise InvalidInput(
                f"'cqr' needs two of the targets {', '.join(names)} as lower and upper; got {lower} and {upper}.",
                path="lower",
            )
        low, high = names.index(lower), names.index(upper)
        meta |= {"lower": low, "upper": high}
    elif len(names) != 1:
        raise InvalidInput(f"'{score}' takes one target; got {', '.join(names)}.", path="score")
    scale = np.ones(len(y))
    if score == "normalised":
        spread = _spread(outputs, len(y))
        floor = FLOOR * float(np.median(spread)) or FLOOR * float(spread.mean()) or 1.0
        meta["floor"] = floor
        scale = spread + floor
    found = values.of_numbers(
        score, y.astype(np.float64), answers[:, low].astype(np.float64), answers[:, high].astype(np.float64), scale
    )
    return state_of(meta, found, np.ones(len(y)))


def _spread(outputs: FloatArray | None, rows: int) -> NDArray[np.float64]:
    if outputs is None or outputs.ndim != 3 or outputs.shape[0] != rows or outputs.shape[1] < 2:
        got = "none" if outputs is None else str(list(outputs.shape))
        raise InvalidInput(
            f"'normalised' needs the outputs [{rows}, m, 1] of two members or more; got {got}.", path="outputs"
        )
    status: StatusArray = np.full(outputs.shape[:2], int(Status.OK), np.int8)
    spread = values.disagreement(outputs, status)
    if not np.isfinite(spread).all():
        raise InvalidInput("the outputs to fit on must be finite; drop the other rows.", path="outputs")
    return spread


def _check(answers: FloatArray, y: NDArray[Any], k: int) -> None:
    if answers.ndim != 2 or answers.shape != (len(y), k) or not len(y):
        raise InvalidInput(f"expected answers [{len(y)}, {k}], n above 0; got {list(answers.shape)}.", path="answers")
    if not np.isfinite(answers).all():
        raise InvalidInput("the answers to fit on must be finite; drop the other rows.", path="answers")
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= k:
        raise InvalidInput(f"true class indices must be integers in 0..{k - 1}.", path="y")


def _tuned(
    answers: FloatArray, y: NDArray[Any], rng: np.random.Generator
) -> tuple[FloatArray, NDArray[Any], float, int]:
    """The rows to calibrate on, and the penalty with the smallest mean sets on the others."""
    order = rng.permutation(len(y))
    some, rest = np.split(order, [int(TUNING * len(y))])
    if not len(some):
        return answers, y, PENALTIES[0], FREE[0]
    draws = 1.0 - rng.random(len(some))
    places = [min(rank(len(some), coverage), len(some)) - 1 for coverage in TUNED_FOR]
    best = (np.inf, PENALTIES[0], FREE[0])
    for penalty in PENALTIES:
        for free in FREE:
            found = scores.of_classes("raps", answers[some], draws, penalty, free)
            thresholds = np.sort(found[np.arange(len(some)), y[some]])[places]
            size = float((found[:, :, None] <= thresholds).sum(axis=1).mean())
            best = min(best, (size, penalty, free))
    return answers[rest], y[rest], best[1], best[2]


def _plain(of: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if of is None else dict(of)
