"""Calibration of a strategy whose rows are answered by different members each: a map for every set that ended rows.

A plan of several stages stops where it is sure enough, so rows that end with few members are others than those that
go on, and what is too sure in the ones may be not sure enough in the others. One map for all would be right on average
and wrong for each set. So a set of members that answered has a map of its own, if at least :data:`LEAST` rows ended
with it, and if that map, on rows that it was not fitted on, has a lower Brier score than the common one:

    B = mean over rows of sum_c (q_c - [y = c])^2

The common map is fitted on all rows. It is that of all other sets: rare ones, and those that only come about because a
member failed. Which set a row ended with is not changed by any of this: plans see what is not calibrated.

Reference: G. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.calibrate.base import Calibration, check_rows
from quorate.core.types import BoolArray, FloatArray, State, Status, StatusArray
from quorate.errors import InvalidInput

VERSION = 2
"""Format of fitted states: as version 1 for the common map; beside it array ``sets`` bool ``[s, m]`` of members that
answered, in the strategy's order, meta ``own``: ``s`` of metadata, and arrays ``I.NAME``: those of set I."""

LEAST = 100
"""Rows that a map of its own needs at least."""
PARTS = 5

_OK = int(Status.OK)
Numbers = NDArray[np.float64]


def fit(
    method: Calibration,
    answers: NDArray[Any],
    y: NDArray[Any],
    status: StatusArray,
    meta: Mapping[str, Any],
    sets: BoolArray | None = None,
) -> State:
    """The state from answers ``[n, k]``, true class indices ``[n]`` and the status ``[n, m]`` that each came about by.

    ``sets`` bool ``[s, m]`` are to have maps of their own, if a row ended with them; by default those that are better
    with one.
    :class:`InvalidInput` if shapes do not fit, or a score is not a probability.
    """
    check_rows(answers, y)
    if status.ndim != 2 or len(status) != len(y):
        raise InvalidInput(f"expected a status [{len(y)}, m]; got {list(status.shape)}.", path="status")
    ok = status == _OK
    common = method.fit(answers, y, meta)
    chosen = (
        _worth(method, answers, y, ok) if sets is None else sets[(ok[:, None] == sets[None]).all(axis=2).any(axis=0)]
    )
    own, arrays = [], dict(common.arrays)
    for number, members in enumerate(chosen):
        rows = (ok == members).all(axis=1)
        made = method.fit(answers[rows], y[rows], {})
        own.append(dict(made.meta))
        arrays |= {f"{number}.{name}": values for name, values in made.arrays.items()}
    return State(method.kind, VERSION, {**common.meta, "own": own}, {**arrays, "sets": chosen})


def apply(method: Calibration, answer: FloatArray, state: State, status: StatusArray | None) -> FloatArray:
    """The calibrated answer float32 ``[n, k]``, with the labels of ``answer``, by the map of each row's set.

    :class:`InvalidInput` without a ``status``: who answered must be known.
    """
    if status is None:
        raise InvalidInput("this calibration depends on which members answered; give their status.", path="status")
    sets = state.arrays["sets"]
    if not len(sets):
        return method.apply(answer, state)
    hit = np.logical_and.reduce((status == _OK)[:, None] == sets[None], axis=2)
    if len(hit) == 1:  # most requests have one row
        return method.apply(answer, _part(state, int(hit[0].argmax()) if hit.any() else -1))
    found = np.empty(answer.shape, np.float32)
    for place in range(-1, len(sets)):
        rows = hit[:, place] if place >= 0 else ~hit.any(axis=1)
        if rows.any():
            found[rows] = method.apply(answer[rows], _part(state, place))
    return found


def wrong(method: Calibration, state: State, classes: int, members: int) -> str | None:
    """The name of what does not fit in a state; None if all does."""
    sets, own = state.arrays.get("sets"), state.meta.get("own")
    if sets is None or sets.ndim != 2 or sets.shape[1] != members or sets.dtype != np.bool_:
        return "array 'sets'"
    if not isinstance(own, list) or len(own) != len(sets) or not all(isinstance(each, dict) for each in own):
        return "'own'"
    for place in range(-1, len(sets)):
        found = method.wrong(_part(state, place), classes)
        if found is not None:
            return found if place < 0 else f"{found} of set {place}"
    return None


def _part(state: State, place: int) -> State:
    """The map of one set; -1 is the common one."""
    if place < 0:
        return state
    start = f"{place}."
    arrays = {name.removeprefix(start): values for name, values in state.arrays.items() if name.startswith(start)}
    return State(state.kind, VERSION, state.meta["own"][place], arrays)


def _worth(method: Calibration, answers: NDArray[Any], y: NDArray[Any], ok: BoolArray) -> BoolArray:
    """The sets ``[s, m]`` that are better off with a map of their own than with the common one, held out."""
    sets, of, counts = np.unique(ok, axis=0, return_inverse=True, return_counts=True)
    of = of.reshape(-1)
    part = np.empty(len(y), np.intp)
    for number in range(len(sets)):
        part[of == number] = np.arange(counts[number]) % PARTS
    everybody = np.ones(len(y), bool)
    common = _brier(method, answers, y, everybody, part)
    kept = []
    for number, members in enumerate(sets):
        mine = of == number
        enough = counts[number] >= LEAST and members.any()
        kept.append(bool(enough) and _brier(method, answers, y, mine, part)[mine].mean() < common[mine].mean())
    found: BoolArray = sets[np.array(kept, bool)]
    return found


def _brier(method: Calibration, answers: NDArray[Any], y: NDArray[Any], rows: BoolArray, part: NDArray[Any]) -> Numbers:
    """Brier scores ``[n]`` of some rows by maps fitted on the others of them; 0 for the rest."""
    found = np.zeros(len(y))
    for number in range(PARTS):
        held, seen = rows & (part == number), rows & (part != number)
        if not held.any() or not seen.any():
            continue
        q = method.apply(np.asarray(answers[held], np.float32), method.fit(answers[seen], y[seen], {}))
        q[np.arange(len(q)), y[held]] -= 1.0
        found[held] = (q.astype(np.float64) ** 2).sum(axis=1)
    return found
