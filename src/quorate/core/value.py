"""Business value: what an answer was worth, from its truth, its rewards and the time it took.

``value = payoff(truth, answer) + sum over metrics of weight * reward + per_ms * latency_ms``.
All numbers are in one unit of the user's choice, and signed: what helps is positive, what costs is negative. The
payoff of a class is the first that is declared of: the entry of ``confusion`` for (truth, answer), the ``correct`` or
``error`` of the truth's ``by_class``, the general ``correct`` or ``error``, 0. The payoff of a number is
``per_unit_error * |answer - truth|``.

A value is NaN, which means unknown, until everything that it is declared to depend on is known: the truth where there
is a payoff, every metric of ``rewards`` that has no value for its absence. An answer that was not given (an error, an
abstention) has the payoff ``unanswered``, or an unknown value where none is declared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class ClassValue:
    """What answers are worth where this class is the truth; None: as for any other class."""

    correct: float | None = None
    error: float | None = None


@dataclass(frozen=True, slots=True)
class ValueSpec:
    """How an endpoint's answers are valued; see the module.

    ``absent`` has the value of a metric of ``rewards`` that was not told for a row of which anything else is known: 0
    where only sales are reported, for instance. Without it such a row has no value yet.
    """

    correct: float | None = None
    error: float | None = None
    by_class: Mapping[str, ClassValue] = field(default_factory=dict)
    confusion: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    per_unit_error: float | None = None
    per_ms: float = 0.0
    rewards: Mapping[str, float] = field(default_factory=dict)
    absent: Mapping[str, float] = field(default_factory=dict)
    unanswered: float | None = None

    @property
    def needs_truth(self) -> bool:
        """Whether the truth is part of it."""
        general = (self.correct, self.error, self.per_unit_error)
        return any(number is not None for number in general) or bool(self.by_class or self.confusion)


def payoff(spec: ValueSpec, truth: str, answer: str) -> float:
    """What the class ``answer`` is worth where ``truth`` is true.

    >>> fraud = ValueSpec(correct=1.0, error=-5.0, confusion={"fraud": {"fine": -100.0}})
    >>> payoff(fraud, "fine", "fine"), payoff(fraud, "fine", "fraud"), payoff(fraud, "fraud", "fine")
    (1.0, -5.0, -100.0)
    """
    exact = spec.confusion.get(truth, {}).get(answer)
    if exact is not None:
        return exact
    name = "correct" if truth == answer else "error"
    own = getattr(spec.by_class[truth], name) if truth in spec.by_class else None
    found: float | None = own if own is not None else getattr(spec, name)
    return 0.0 if found is None else found


def payoffs(spec: ValueSpec, classes: Sequence[str]) -> NDArray[np.float64]:
    """All payoffs of an endpoint's classes, float64 ``[k, k]``: truth by answer."""
    return np.array([[payoff(spec, truth, answer) for answer in classes] for truth in classes], np.float64).reshape(
        len(classes), len(classes)
    )


def value_of(
    spec: ValueSpec,
    truth: str | float | None,
    answer: str | float | None,
    rewards: Mapping[str, float],
    latency_ms: float,
) -> float:
    """What one answer was worth; NaN where that is not known.

    ``truth`` None is unknown, ``answer`` None is none given; ``rewards`` are those known, ``latency_ms`` is of the
    request.

    >>> spec = ValueSpec(correct=1.0, error=-5.0, per_ms=-0.001, rewards={"revenue": 0.5}, absent={"revenue": 0.0})
    >>> value_of(spec, "cat", "cat", {"revenue": 3.0}, 20.0), value_of(spec, "cat", "dog", {}, 20.0)
    (2.48, -5.02)
    """
    total = spec.per_ms * latency_ms if spec.per_ms else 0.0
    if spec.needs_truth:
        if truth is None:
            return math.nan
        total += _payoff(spec, truth, answer)
    elif truth is None and not rewards:
        return math.nan
    for metric, weight in spec.rewards.items():
        total += weight * rewards.get(metric, spec.absent.get(metric, math.nan))
    return total


def _payoff(spec: ValueSpec, truth: str | float, answer: str | float | None) -> float:
    if answer is None:
        return math.nan if spec.unanswered is None else spec.unanswered
    if isinstance(truth, str) and isinstance(answer, str):
        return payoff(spec, truth, answer)
    if isinstance(truth, str) or isinstance(answer, str):
        return math.nan
    return math.nan if spec.per_unit_error is None else spec.per_unit_error * abs(answer - truth)


def values_of(
    spec: ValueSpec,
    classes: Sequence[str],
    truths: ArrayLike,
    answers: ArrayLike,
    rewards: Mapping[str, ArrayLike],
    latency_ms: ArrayLike,
) -> NDArray[np.float64]:
    """What n answers were worth, float64 of the shape that the arguments broadcast to; NaN where not known.

    With ``classes``, ``truths`` and ``answers`` are indices into them, -1 for none; without, numbers, NaN for none.
    ``rewards`` has NaN where a metric is not known. With ``answers`` ``[n, s]`` and the others ``[n, 1]`` all of s
    strategies' answers are valued at once.
    """
    total = spec.per_ms * np.asarray(latency_ms, np.float64)
    known: NDArray[np.bool_] = np.zeros((), np.bool_)
    if spec.needs_truth:
        total = total + (_class_payoffs if classes else _number_payoffs)(spec, classes, truths, answers)
    else:
        known = _known(classes, truths)
    for values in rewards.values():
        known = known | ~np.isnan(np.asarray(values, np.float64))
    for metric, weight in spec.rewards.items():
        found = np.asarray(rewards.get(metric, math.nan), np.float64)
        total = total + weight * np.where(np.isnan(found), spec.absent.get(metric, math.nan), found)
    whole = np.broadcast_arrays(total, truths, answers, known)[0]
    return np.array(whole if spec.needs_truth else np.where(known, whole, math.nan), np.float64)


def _known(classes: Sequence[str], truths: ArrayLike) -> NDArray[np.bool_]:
    found = np.asarray(truths)
    return np.asarray(found >= 0 if classes else ~np.isnan(found.astype(np.float64)))


def _class_payoffs(
    spec: ValueSpec, classes: Sequence[str], truths: ArrayLike, answers: ArrayLike
) -> NDArray[np.float64]:
    k = len(classes)
    table = np.full((k + 1, k + 1), math.nan)
    table[:k, :k] = payoffs(spec, classes)
    table[:k, k] = math.nan if spec.unanswered is None else spec.unanswered
    found: NDArray[np.float64] = table[np.asarray(truths, np.intp), np.asarray(answers, np.intp)]
    return found


def _number_payoffs(spec: ValueSpec, _: Sequence[str], truths: ArrayLike, answers: ArrayLike) -> NDArray[np.float64]:
    truth, answer = np.asarray(truths, np.float64), np.asarray(answers, np.float64)
    unit = math.nan if spec.per_unit_error is None else spec.per_unit_error
    none = math.nan if spec.unanswered is None else spec.unanswered
    return np.where(np.isnan(truth), math.nan, np.where(np.isnan(answer), none, unit * np.abs(answer - truth)))
