"""Boosting by SAMME: each round is trained where the rounds before it erred.

With rows' weights w (at first all equal), K classes and learning rate r, a round is fitted on the weighted rows; its
error is ``e = sum of w over the rows it gets wrong``, its weight in the ensemble ``a = r (log((1 - e) / e) +
log(K - 1))``, and the rows that it got wrong count ``exp(a)`` times as much in the next round, after which weights are
brought to sum 1 again.

A round that gets every row right has no finite weight; its error is then taken for half a row's, and the next round
sees equal weights again. A round no better than chance (``e >= 1 - 1/K``) is an error: it would count less
than nothing.

Reference: J. Zhu, H. Zou, S. Rosset, T. Hastie, "Multi-class AdaBoost", Statistics and Its Interface 2(3), 2009,
algorithm 2. Shrinkage by a learning rate: J. Friedman, "Greedy function approximation", Annals of Statistics 29(5),
2001.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quorate.core.combine import weighted
from quorate.core.types import FloatArray, State, Tensors
from quorate.errors import ConfigError, InvalidInput
from quorate.training.export import Exported
from quorate.training.trainer import Fitted, Rows, Trainer

ROUND = "samme_round"
ERROR = "samme_error"
WEIGHT = "samme_weight"
EFFECTIVE = "samme_effective_rows"
HEAVIEST = "samme_heaviest_row"


@dataclass(frozen=True)
class Samme:
    """Fits ``trainers``, one a round, each of one member; they must heed rows' weights."""

    trainers: tuple[Trainer, ...]
    learning_rate: float = 1.0

    @property
    def names(self) -> tuple[str, ...]:
        """The members, in the order of the rounds."""
        return tuple(name for trainer in self.trainers for name in trainer.names)

    @property
    def libraries(self) -> tuple[str, ...]:
        """Those of all rounds."""
        return tuple(sorted({library for trainer in self.trainers for library in trainer.libraries}))

    @property
    def cost(self) -> float:
        """All rounds', one after the other."""
        return sum(trainer.cost for trainer in self.trainers)

    def fit(self, rows: Rows) -> Sequence[Fitted]:
        """Fit the rounds; their metrics say error, weight and how uneven the rows' weights were.

        :class:`InvalidInput` if a round is no better than chance.
        """
        rows.need_classes(self.names[0])
        weights = np.full(len(rows), 1 / len(rows))
        found: list[Fitted] = []
        for number, trainer in enumerate(self.trainers, start=1):
            (fitted,) = trainer.fit(replace(rows, weights=weights))
            wrong = fitted.answers(rows.inputs).argmax(axis=1) != rows.truth
            error, weight = judge(wrong, weights, len(rows.classes), self.learning_rate, trainer.names[0])
            metrics = {
                ROUND: float(number),
                ERROR: error,
                WEIGHT: weight,
                EFFECTIVE: float(1 / np.square(weights).sum()),
                HEAVIEST: float(weights.max() * len(rows)),
            }
            found.append(_Boosted(fitted, {**fitted.metrics, **metrics}))
            weights = reweighted(weights, wrong, weight)
        return found


def judge(
    wrong: NDArray[np.bool_], weights: NDArray[np.float64], classes: int, learning_rate: float, name: str
) -> tuple[float, float]:
    """A round's weighted error and its weight; :class:`InvalidInput` if it is no better than chance.

    >>> wrong = np.array([True, False, False, False])
    >>> error, weight = judge(wrong, np.full(4, 0.25), 3, 1.0, "m")
    >>> error, round(weight, 4)  # log(3) + log(2)
    (0.25, 1.7918)
    """
    error = float(weights[wrong].sum())
    if error >= 1 - 1 / classes:
        raise InvalidInput(
            f"Round '{name}' is wrong on {error:.0%} of the weighted rows, no better than chance; boost with fewer "
            "rounds, a lower learning rate or a stronger learner.",
            path=name,
        )
    counted = max(error, 0.5 / len(wrong))
    return error, learning_rate * float(np.log((1 - counted) / counted) + np.log(classes - 1))


def reweighted(weights: NDArray[np.float64], wrong: NDArray[np.bool_], weight: float) -> NDArray[np.float64]:
    """The weights of the next round, which sum to 1; equal ones after a round that got everything right."""
    if not wrong.any():
        return np.full(len(weights), 1 / len(weights))
    # The greatest exponent is 0, so that nothing overflows.
    raised: NDArray[np.float64] = weights * np.where(wrong, 1.0, np.exp(-weight))
    normalised: NDArray[np.float64] = raised / raised.sum()
    return normalised


def ensemble_weights(metrics: Mapping[str, Mapping[str, float]]) -> State:
    """The state of ``weighted`` for boosted members, from their manifests' metrics by name.

    :class:`ConfigError` for a member that was not boosted.
    """
    for name, found in metrics.items():
        if WEIGHT not in found:
            raise ConfigError(f"'{name}' was not boosted, so it has no SAMME weight; leave it out.", path=name)
    weights = np.array([max(found[WEIGHT], weighted.LEAST_WEIGHT) for found in metrics.values()])
    return State("weighted", weighted.VERSION, {"members": list(metrics)}, {"weights": weights})


@dataclass(frozen=True)
class _Boosted:
    """A round's member with what boosting knows of it."""

    fitted: Fitted
    metrics: Mapping[str, float]

    def answers(self, inputs: Tensors) -> FloatArray:
        return self.fitted.answers(inputs)

    def export(self, inputs: Tensors) -> Exported:
        return self.fitted.export(inputs)
