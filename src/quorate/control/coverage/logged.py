"""The conformal states of logged revisions, and where the truths of logged rows lie among their calibration scores."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from quorate.codecs import state as state_codec
from quorate.codecs.decision import Packed
from quorate.codecs.snapshot import EndpointRoute, PoolRoute, StrategyRoute
from quorate.control.revisions.publication import routes_of
from quorate.core.conformal.calibrated import Calibrated
from quorate.core.conformal.draws import draws
from quorate.errors import NotFound, QuorateError
from quorate.store.revisions import revision

log = logging.getLogger("quorate.control")

ReadBlob = Callable[[str], bytes]
Numbers = NDArray[np.float64]
MANY = 1000


class Promising(NamedTuple):
    """One strategy that can promise, with the places of its members among the pool's."""

    route: StrategyRoute
    calibrated: Calibrated
    columns: list[int]


def promising(endpoint: EndpointRoute, pool: PoolRoute, read: ReadBlob) -> dict[str, Promising]:
    """The strategies with conformal states, by name; what cannot be read is logged."""
    order = [member.name for member in pool.members]
    found = {}
    for route in endpoint.strategies:
        if route.conformal is None:
            continue
        try:
            state = state_codec.decode({name: read(digest) for name, digest in route.conformal.state.items()})
            columns = [order.index(name) for name in route.members]
            found[route.name] = Promising(route, Calibrated(state), columns)
        except (QuorateError, OSError) as error:
            log.error("It is not known what strategy '%s' promised: %s", route.name, error)
    return found


class Promises:
    """Those of revisions, read once each."""

    def __init__(self, read: ReadBlob) -> None:
        self._read = read
        self._known: dict[tuple[str, int], dict[str, Promising]] = {}

    def of(self, connection: sa.Connection, endpoint: str, number: int) -> dict[str, Promising]:
        """By strategy; nothing where the store does not have the revision."""
        at = (endpoint, number)
        if at not in self._known:
            try:
                found = promising(*routes_of(revision(connection, endpoint, number)), self._read)
            except (NotFound, msgspec.DecodeError):
                return {}
            if len(self._known) >= MANY:
                self._known.clear()
            self._known[at] = found
        return self._known[at]


def served_by(decision: Packed) -> str | None:
    """The strategy that answered."""
    found = msgspec.msgpack.decode(decision.served)
    return found if isinstance(found, str) else None


def truth_scores(
    mine: Promising, decision: Packed, rows: Sequence[int], truths: Numbers
) -> tuple[Numbers, Numbers] | None:
    """Score and tie ``[n]`` of the truths of some rows, class indices or numbers; NaN where a row has no score.

    None where the decision has no answer, or the members' outputs that it takes were not recorded.
    """
    answers = decision.answered()
    n, m, width = decision.shape
    looks = mine.calibrated.looks_at_members
    if answers is None or (looks and (not width or max(mine.columns) >= m)):
        return None
    some = list(rows)
    outputs, status = np.zeros((len(some), 0, 1), np.float32), np.zeros((len(some), 0), np.int8)
    if looks:
        outputs = np.frombuffer(decision.outputs, "<f4").reshape(n, m, width)[some][:, mine.columns]
        status = np.frombuffer(decision.status, "i1").reshape(n, m)[some][:, mine.columns]
    return mine.calibrated.of_truths(answers[some], outputs, status, draws(decision.id, decision.rows)[some], truths)
