"""The stages of a fitted plan: sets of members that are asked together, in the order in which rows may reach them."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.core.types import BoolArray, State

STAGES = "stages"
"""Where a fitted state's metadata has them: a list of lists of members' names."""

Stages = tuple[tuple[int, ...], ...]


def stages_of(members: Sequence[str], state: State | None) -> Stages:
    """Positions in ``members``, stage by stage, each in the first stage that has it; one stage of all where none are
    told. Members that no stage names are a last one."""
    named = None if state is None else state.meta.get(STAGES)
    if not named:
        return (tuple(range(len(members))),)
    seen: set[int] = set()
    found = []
    for stage in named:
        fresh = tuple(members.index(name) for name in stage if name in members and members.index(name) not in seen)
        seen.update(fresh)
        found.append(fresh)
    rest = tuple(j for j in range(len(members)) if j not in seen)
    return tuple(stage for stage in (*found, rest) if stage)


def reached(stages: Stages, asked: BoolArray) -> list[int]:
    """How many rows of ``asked`` bool ``[n, m]`` have asked somebody of each stage.

    >>> import numpy as np
    >>> import numpy as np
    >>> reached(((0,), (1, 2)), np.array([[True, False, False], [True, True, True]]))
    [2, 1]
    """
    if len(asked) == 1:  # as most requests are: it is counted for each
        (row,) = asked.tolist()
        return [int(any(row[j] for j in stage)) for stage in stages]
    return [int(asked[:, stage].any(axis=1).sum()) for stage in stages]
