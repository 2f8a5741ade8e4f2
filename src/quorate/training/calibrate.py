"""Fit the calibration of a strategy, from what the strategy answers to rows that nothing in it was fitted on.

Members' outputs are out-of-fold: by clones that have not seen the row. A combiner that is itself fitted on such outputs
is fitted anew for every part of the rows, on the others, and answers that part: what it says of rows it was fitted on
is surer than it is right, and a calibration fitted on that would be as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate import plugins
from quorate.core.calibrate import methods
from quorate.core.combine.base import Combiner
from quorate.core.plan.trace import trace
from quorate.core.types import FloatArray, OutputSpec, State
from quorate.errors import InvalidInput
from quorate.training.cascade import Way
from quorate.training.fitters import check_classes

CALIBRATIONS = frozenset(methods.METHODS)
"""The methods, as ``Fit`` has them."""
PARTS = 5

Refit = Callable[[NDArray[np.intp]], State]
"""The combiner's state, fitted on some of the rows."""


@dataclass(frozen=True)
class Of:
    """A strategy: its combiner's ``kind`` and ``params``, and the recipe's ``state`` it reads; of conformal states also
    the recipe's calibration, ``calibrate``, of its answers."""

    kind: str
    params: Mapping[str, Any] = field(default_factory=dict)
    state: str | None = None
    calibrate: str | None = None


def fit_calibration(
    method: str,
    of: Of,
    outputs: FloatArray,
    y: NDArray[np.integer[Any]],
    members: Sequence[str],
    classes: Sequence[str],
    *,
    state: State | Refit | None = None,
    features: NDArray[Any] | None = None,
    seed: int = 0,
) -> State:
    """A calibration of the strategy ``of`` over ``members``, from their out-of-fold outputs ``[n, m, k]`` and truths.

    ``state`` is what the combiner reads, where that was not fitted on these rows; else a function that fits it on some
    of them. ``features`` ``[n, d]`` are what a combiner looks at besides. :class:`InvalidInput` if shapes do not fit,
    :class:`~quorate.errors.ConfigError` if there is no such strategy.
    """
    check_classes(outputs, y, members, len(classes))
    way = held_out_answers(of, outputs, y, members, classes, state=state, features=features, seed=seed)
    return fit_on(method, of, way, y, members, classes)


def fit_on(
    method: str,
    of: Of,
    way: Way,
    y: NDArray[np.integer[Any]],
    members: Sequence[str],
    classes: Sequence[str],
) -> State:
    """A calibration of the strategy ``of`` from its way through rows that it has not seen, and their truths.

    Where rows ask no more members than they need it depends on who answered.
    """
    combiner = plugins.build("combiners", of.kind, of.params)
    status = way.status if staged(combiner) else None
    return methods.fit(method, way.answers, y, classes, methods.strategy_of(combiner, members), status)


def staged(combiner: Combiner) -> bool:
    """Whether its rows are answered by different members each."""
    return type(combiner).plan is not Combiner.plan


def held_out_answers(
    of: Of,
    outputs: FloatArray,
    y: NDArray[np.integer[Any]],
    members: Sequence[str],
    classes: Sequence[str],
    *,
    state: State | Refit | None,
    features: NDArray[Any] | None,
    seed: int,
) -> Way:
    """What the strategy answers to rows ``[n, m, k]`` of which its combiner has seen none, and whom it asks."""
    combiner: Combiner = plugins.build("combiners", of.kind, of.params)
    spec = OutputSpec("scores", tuple(classes))

    def answer(rows: NDArray[np.intp] | slice, known: State | None) -> Way:
        combiner.check(members, spec, known)
        some = outputs[rows]
        given = None if features is None else features[rows]
        if not combiner.feature_width(known):
            given = None
        status = np.zeros(some.shape[:2], np.int8)
        status = trace(combiner.plan(members, known), some, status).status(status)
        return Way(combiner.combine(some, status, known, given), status)

    if not callable(state):
        return answer(slice(None), state)
    found = Way(np.empty((len(outputs), len(classes)), np.float32), np.empty(outputs.shape[:2], np.int8))
    for seen, held in _parts(y, seed):
        found.answers[held], found.status[held] = answer(held, state(seen))
    return found


def _parts(y: NDArray[np.integer[Any]], seed: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows to fit on and rows to answer, :data:`PARTS` times, with every class in all of them as far as it goes."""
    from sklearn.model_selection import StratifiedKFold

    counts = np.bincount(y)
    least = int(counts[counts > 0].min())
    if least < 2:
        rare = int(np.flatnonzero(counts == least)[0])
        raise InvalidInput(
            f"calibrating a fitted combiner needs two rows of every class; class number {rare} has one. Give more.",
            path="y",
        )
    yield from StratifiedKFold(min(PARTS, least), shuffle=True, random_state=seed).split(np.zeros(len(y)), y)
