"""Fit the combiners that need it, from members' outputs on rows those members were not trained on.

Weights come from held-out (validation) outputs; stacking from out-of-fold outputs, where each row's outputs are by
clones that have not seen it. Outputs on training rows would reward the members that overfit.

Reference for stacking on out-of-fold outputs: D. Wolpert, "Stacked generalization", Neural Networks 5(2), 1992.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.combine import stack, weighted
from quorate.core.combine.stack import member_features
from quorate.core.types import FloatArray, State
from quorate.errors import InvalidInput

CLIP = 1e-3
"""Probabilities below this are taken for this in the logarithm; trees often say 0 and are sometimes wrong."""

STRENGTHS = (0.01, 0.1, 1.0, 10.0)
"""Values of C among which cross-validation chooses, on standardised features."""

_FOLDS = 3
_ALL_SUBSETS_UP_TO = 5


def fit_log_odds_weights(outputs: FloatArray, y: NDArray[np.integer[Any]], members: Sequence[str]) -> State:
    """Weights for ``weighted`` from the members' accuracies: ``w = log(p / (1 - p)) + log(K - 1)``.

    ``outputs`` float32 ``[n, m, K]`` on held-out rows, ``y`` true class indices ``[n]``, ``members`` the ``m`` names in
    order. ``p = (right + 1/2) / (n + 1)`` keeps the logarithm finite for a member that is always right; no weight is
    below ``weighted.LEAST_WEIGHT``. :class:`InvalidInput` if the shapes do not fit or a value is not finite.
    """
    check_classes(outputs, y, members, outputs.shape[-1])
    right = (outputs.argmax(axis=2) == y[:, None]).sum(axis=0)
    weights = weighted.log_odds((right + 0.5) / (len(y) + 1.0), outputs.shape[2])
    return State("weighted", weighted.VERSION, {"members": list(members)}, {"weights": weights})


def fit_stack(
    oof_outputs: FloatArray,
    y: NDArray[np.integer[Any]],
    members: Sequence[str],
    classes: Sequence[str],
    *,
    max_missing: int | None = None,
    C: float | None = None,  # noqa: N803  (its name in the field)
    seed: int = 0,
) -> State:
    """Multinomial logistic regressions for ``stack``, one for each set of present members.

    ``oof_outputs`` float32 ``[n, m, k]`` out-of-fold probabilities, ``y`` true class indices ``[n]``, ``members`` and
    ``classes`` the names in order. Sets with up to ``max_missing`` members missing are fitted; None means all sets for
    at most five members, else two missing. ``C`` is the inverse strength of the L2 penalty on standardised features;
    None chooses it by cross-validated log loss on the full set, with folds shuffled by ``seed``.
    :class:`InvalidInput` if the shapes do not fit, a value is not finite, or a class has no rows (three with C None).
    """
    m, k = len(members), len(classes)
    check_classes(oof_outputs, y, members, k)
    counts = np.bincount(y, minlength=k)
    needed = 1 if C is not None else _FOLDS
    if counts.min() < needed:
        rare = int(counts.argmin())
        raise InvalidInput(
            f"stacking needs at least {needed} rows of every class; class '{classes[rare]}' has {counts[rare]}. "
            "Give more rows, or choose C yourself.",
            path="y",
        )
    features = member_features(oof_outputs, CLIP)
    subsets = _subsets(m, max_missing)
    coefficients = np.zeros((len(subsets), m * k, k))
    intercepts = np.zeros((len(subsets), k))
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    # Matrices this small only lose time when they are spread over threads: up to ten times as long on a busy machine.
    with threadpool_limits(1):
        strength = _choose_strength(features, y, seed) if C is None else C
        for index, subset in enumerate(subsets):
            columns = np.repeat(subset, k)
            coefficients[index, columns], intercepts[index] = _logistic(features[:, columns], y, strength)
    meta = {"output": "scores", "members": list(members), "classes": list(classes), "clip": CLIP, "C": strength}
    return State("stack", stack.VERSION, meta, _arrays(subsets, coefficients, intercepts))


def fit_stack_values(
    oof_outputs: FloatArray,
    y: NDArray[np.floating[Any]],
    members: Sequence[str],
    names: Sequence[str],
    *,
    max_missing: int | None = None,
) -> State:
    """Least-squares regressions for ``stack`` on values, one for each set of present members.

    ``oof_outputs`` float32 ``[n, m, k]`` out-of-fold values, ``y`` true values ``[n, k]`` of the targets ``names``;
    ``max_missing`` as in :func:`fit_stack`. Members that agree perfectly share their weight (the solution of least
    norm). :class:`InvalidInput` if the shapes do not fit or a value is not finite.
    """
    m, k = len(members), len(names)
    if y.shape != (len(oof_outputs), k) or not np.isfinite(y).all():
        raise InvalidInput(f"expected finite true values [{len(oof_outputs)}, {k}]; got {list(y.shape)}.", path="y")
    _check(oof_outputs, y[:, 0], members, k)
    features = member_features(oof_outputs, None)
    subsets = _subsets(m, max_missing)
    coefficients = np.zeros((len(subsets), m * k, k))
    intercepts = np.zeros((len(subsets), k))
    for index, subset in enumerate(subsets):
        columns = np.repeat(subset, k)
        centre, target_centre = features[:, columns].mean(axis=0), y.mean(axis=0)
        solution = np.linalg.lstsq(features[:, columns] - centre, y - target_centre, rcond=None)[0]
        coefficients[index, columns] = solution
        intercepts[index] = target_centre - centre @ solution
    meta = {"output": "values", "members": list(members), "classes": list(names)}
    return State("stack", stack.VERSION, meta, _arrays(subsets, coefficients, intercepts))


def _subsets(m: int, max_missing: int | None) -> NDArray[np.bool_]:
    """Sets of present members, bool ``[s, m]``, the full one first."""
    if max_missing is None:
        max_missing = m - 1 if m <= _ALL_SUBSETS_UP_TO else 2
    if not 0 <= max_missing < m:
        raise InvalidInput(
            f"max_missing must lie in 0..{m - 1} for {m} members; got {max_missing}.", path="max_missing"
        )
    absent = [gone for size in range(max_missing + 1) for gone in combinations(range(m), size)]
    subsets = np.ones((len(absent), m), bool)
    for index, gone in enumerate(absent):
        subsets[index, list(gone)] = False
    return subsets


def _logistic(
    features: NDArray[np.float64], y: NDArray[np.integer[Any]], strength: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients ``[f, k]`` and intercepts ``[k]`` of a softmax regression on ``features`` ``[n, f]`` as they are."""
    from sklearn.linear_model import LogisticRegression

    # Standardised features make the solver several times faster and the penalty even.
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0] = 1.0
    model = LogisticRegression(C=strength, max_iter=5000).fit((features - centre) / scale, y)
    coefficients, intercept = model.coef_.T, model.intercept_
    if len(model.classes_) == 2:  # one column of log-odds; halves of opposite sign have the same softmax
        coefficients = np.hstack([-coefficients, coefficients]) / 2
        intercept = np.hstack([-intercept, intercept]) / 2
    coefficients = coefficients / scale[:, None]
    return coefficients, intercept - centre @ coefficients


def _choose_strength(features: NDArray[np.float64], y: NDArray[np.integer[Any]], seed: int) -> float:
    from sklearn.model_selection import StratifiedKFold

    losses = np.zeros(len(STRENGTHS))
    for train, test in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(features, y):
        for index, strength in enumerate(STRENGTHS):
            coefficients, intercept = _logistic(features[train], y[train], strength)
            logits = features[test] @ coefficients + intercept
            logits -= logits.max(axis=1, keepdims=True)
            true = logits[np.arange(len(test)), y[test]]
            losses[index] += (np.log(np.exp(logits).sum(axis=1)) - true).sum()
    return STRENGTHS[int(losses.argmin())]


def _arrays(
    subsets: NDArray[np.bool_], coefficients: NDArray[np.float64], intercepts: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    return {"subsets": subsets, "coefficients": coefficients, "intercepts": intercepts}


def check_classes(outputs: FloatArray, y: NDArray[Any], members: Sequence[str], k: int) -> None:
    """Finite outputs ``[n, m, k]`` and true class indices ``[n]`` in 0..k-1; else :class:`InvalidInput`."""
    _check(outputs, y, members, k)
    if not np.issubdtype(y.dtype, np.integer):
        raise InvalidInput(f"expected true class indices as integers; got {y.dtype}.", path="y")
    if y.min() < 0 or y.max() >= k:
        raise InvalidInput(f"true class indices must lie in 0..{k - 1}; got {y.min()}..{y.max()}.", path="y")


def _check(outputs: FloatArray, y: NDArray[Any], members: Sequence[str], k: int) -> None:
    check_outputs(outputs, members, k)
    if y.shape != (len(outputs),):
        raise InvalidInput(f"expected one truth for each of the {len(outputs)} rows; got {list(y.shape)}.", path="y")


def check_outputs(outputs: FloatArray, members: Sequence[str], k: int) -> None:
    """Finite outputs ``[n, m, k]``, n above 0; else :class:`InvalidInput`."""
    if outputs.ndim != 3 or outputs.shape[1:] != (len(members), k) or not len(outputs):
        raise InvalidInput(
            f"expected outputs [n, {len(members)}, {k}] for {len(members)} members and {k} classes or targets, "
            f"n above 0; got {list(outputs.shape)}.",
            path="outputs",
        )
    if not np.isfinite(outputs).all():
        raise InvalidInput("the outputs to fit on must be finite; drop the rows where a member failed.", path="outputs")
