"""The contract of a calibration: how scores become probabilities that come true as often as they say.

The label never moves. A method gives every class a probability ``q`` of its own; where another class would then be
above the label that was answered, q is replaced by the closest distribution (least squares) in which none is: the label
and the classes above it share the mean of their probabilities, ``t = max_j mean(q_label and the j highest others)``. So
accuracy, votes, and what policies learn from labels stay as they were.

The mean over the classes that are pooled is the projection onto ``{p: p_label >= p_j for all j}``: M. Best, N.
Chakravarti, "Active set algorithms for isotonic regression", Mathematical Programming 47, 1990.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import FloatArray, State
from quorate.errors import InvalidInput

Matrix = NDArray[np.float64]
VERSION = 1
"""Format of fitted states: meta ``classes`` (names, in order), ``rows`` (fitted on), ``strategy`` (``kind``,
``params`` and ``members`` of what was calibrated); the rest is the method's own."""


class Calibration(ABC):
    """Stateless: what was fitted is an argument, so answers can be replayed exactly. ``kind`` is its name."""

    kind: ClassVar[str]

    @abstractmethod
    def fitted(self, scores: Matrix, y: NDArray[np.int64]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Metadata and arrays from scores ``[n, k]`` on rows that the strategy was not fitted on, and their truths."""

    @abstractmethod
    def probabilities(self, scores: FloatArray, state: State) -> Matrix:
        """Probabilities ``[n, k]`` that sum to 1, the label not yet kept; NaN where the scores are."""

    @abstractmethod
    def wrong(self, state: State, classes: int) -> str | None:
        """The name of what does not fit in a state; None if all does."""

    def fit(self, scores: NDArray[Any], y: NDArray[Any], meta: Mapping[str, Any]) -> State:
        """The state from a strategy's answers ``[n, k]`` and true class indices ``[n]``.

        ``meta`` is kept beside what is fitted. :class:`InvalidInput` if shapes do not fit, or a score is not a
        probability.
        """
        check_rows(scores, y)
        found, arrays = self.fitted(np.asarray(scores, np.float64), np.asarray(y, np.int64))
        return State(self.kind, VERSION, {**meta, **found, "rows": len(y)}, arrays)

    def apply(self, answer: FloatArray, state: State) -> FloatArray:
        """The calibrated answer float32 ``[n, k]``, with the labels of ``answer``; see the module."""
        return keeping_labels(self.probabilities(answer, state), answer)


def keeping_labels(probabilities: Matrix, answer: FloatArray) -> FloatArray:
    """The closest probabilities float32 ``[n, k]`` whose greatest is where it is in ``answer`` ``[n, k]``.

    >>> keeping_labels(np.array([[0.25, 0.5, 0.25]]), np.array([[0.6, 0.3, 0.1]], np.float32)).round(3).tolist()
    [[0.375, 0.375, 0.25]]
    """
    result: FloatArray = probabilities.astype(np.float32)
    label = answer.argmax(axis=1)
    moved = result.argmax(axis=1) != label
    if moved.any():
        rows = np.flatnonzero(moved)
        result[rows] = _pooled(probabilities[rows], label[rows])
    return result


def _pooled(probabilities: Matrix, label: NDArray[np.intp]) -> FloatArray:
    n, k = probabilities.shape
    at = np.arange(n)
    others = probabilities.copy()
    others[at, label] = -1.0  # the last of the sorted ones, which is left out
    highest = -np.sort(-others, axis=1)[:, : k - 1]
    sums = np.cumsum(np.column_stack([probabilities[at, label], highest]), axis=1)
    level = (sums / np.arange(1, k + 1)).max(axis=1)
    result: FloatArray = np.minimum(probabilities, level[:, None]).astype(np.float32)
    # Above the others by the least there is: of equals the first would be the label.
    result[at, label] = np.nextafter(level.astype(np.float32), np.float32(2.0))
    return result


def check_rows(scores: NDArray[Any], y: NDArray[Any]) -> None:
    """Scores ``[n, k]`` in 0..1, n above 0, and true class indices ``[n]``; else :class:`InvalidInput`."""
    if scores.ndim != 2 or scores.shape[1] < 2 or y.shape != (len(scores),) or not len(scores):
        raise InvalidInput(
            "calibration needs answers [n, k] of two classes or more, n above 0, and as many truths; got "
            f"{list(scores.shape)} and {list(y.shape)}.",
            path="scores",
        )
    if not np.isfinite(scores).all() or scores.min() < 0 or scores.max() > 1 + 1e-5:
        raise InvalidInput("what is calibrated must be probabilities; drop rows without an answer.", path="scores")
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= scores.shape[1]:
        raise InvalidInput(f"true class indices must be integers in 0..{scores.shape[1] - 1}.", path="y")


def one_against_rest(k: int) -> range:
    """The classes that have a map of their own: all, but of two only the second one, whose complement is the first."""
    return range(1, 2) if k == 2 else range(k)


def keys_of(scores: NDArray[Any]) -> Matrix:
    """Scores ``[n, k]`` as keys ``[n, maps]`` of one ascending array of all maps: that of map c lies in 2c..2c+1."""
    k = scores.shape[1]
    own = scores[:, 1:] if k == 2 else scores
    keys: Matrix = np.minimum(own, 1.0).astype(np.float64)
    if k > 2:
        keys += 2.0 * np.arange(k)
    return keys


def normalised(maps: Matrix, scores: NDArray[Any]) -> Matrix:
    """Probabilities ``[n, k]`` from those of each class against the rest ``[n, maps]``.

    Divided by their sum; where all are 0 the scores stay as they are.
    """
    if maps.shape[1] == 1:
        return np.column_stack([1.0 - maps[:, 0], maps[:, 0]])
    total = np.add.reduce(maps, axis=1, keepdims=True)
    nothing = total == 0
    if nothing.any():
        return np.where(nothing, scores, maps / np.where(nothing, 1.0, total))
    found: Matrix = maps / total
    return found
