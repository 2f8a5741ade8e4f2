"""Rows of an audit from a file of members' outputs on held-out rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quorate.codecs import held as codec
from quorate.control.pool_audits.rows import MOST, MOST_LOOKED_UP, NUMBERS
from quorate.control.pool_audits.subject import Subject
from quorate.core.audit.game import Rows
from quorate.core.combine.competence import Dynamic
from quorate.core.types import Status
from quorate.errors import InvalidInput


def read(path: Path) -> codec.HeldOutputs:
    """The file; :class:`InvalidInput` where it cannot be read, :class:`~quorate.errors.FormatRefused`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.", path="rows") from None
    return codec.decode(data, str(path))


def most_rows(subject: Subject, width: int) -> int:
    """How many rows an audit takes at most, of outputs of that many numbers."""
    dynamic = isinstance(subject.strategy.combiner, Dynamic)
    return max(1, min(MOST_LOOKED_UP if dynamic else MOST, NUMBERS // max(width, 1)))


def rows_of(held: codec.HeldOutputs, subject: Subject, path: Path) -> tuple[Rows, float]:
    """The rows of the strategy's members, and which share of the file's they are; :class:`InvalidInput`."""
    strategy = subject.strategy
    missing = [name for name in strategy.members if name not in held.members]
    if missing:
        raise InvalidInput(f"{path} has no outputs of '{missing[0]}'; it has {', '.join(held.members)}.", path="rows")
    if held.classes != subject.classes:
        raise InvalidInput(
            f"{path} is about the classes [{', '.join(held.classes)}]; the pool answers "
            f"[{', '.join(subject.classes)}].",
            path="rows",
        )
    columns = [held.members.index(name) for name in strategy.members]
    width = strategy.combiner.feature_width(strategy.state)
    if width and (held.features is None or held.features.shape[1] != width):
        raise InvalidInput(
            f"Strategy '{strategy.name}' looks at {width} features, which {path} does not have as 'features'.",
            path="rows",
        )
    outputs, status = held.outputs[:, columns], held.status[:, columns]
    usable = (status != int(Status.SKIPPED)).all(axis=1)
    usable &= (status == int(Status.OK)).sum(axis=1) >= max(strategy.quorum, 1)
    index = np.flatnonzero(usable)
    most = most_rows(subject, outputs.shape[1] * outputs.shape[2])
    share = 1.0
    if len(index) > most:
        share = most / len(index)
        index = index[np.arange(most) * len(index) // most]
    features = None if not width or held.features is None else held.features[index]
    return Rows(outputs[index], status[index], held.truth[index], held.group[index], features), share
