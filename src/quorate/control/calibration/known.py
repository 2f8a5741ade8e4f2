"""What strategies say of the newest decisions whose truth is known: for the reliability of what is served, and to fit
calibrations again.

Members' outputs are on record, so what every strategy would answer is known, whoever answered: with the combiners that
serve, of all decisions under which its members were the same. Where outputs were not recorded, or the combiner learns,
only the answers that the strategy itself gave are known. Decisions that a caller chose a strategy for are left out, and
erased ones. No more is read than :data:`LOOKED` decisions, and no more kept than a number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from quorate.codecs.decision import Packed
from quorate.codecs.lookup import JournalReader
from quorate.codecs.snapshot import EndpointRoute, PoolRoute
from quorate.control.learning.answering import LoggedStrategy, ReadBlob
from quorate.control.learning.feedback import truth_of
from quorate.control.outcomes.joined import Joined
from quorate.control.outcomes.rejoining import Newest, by_revision
from quorate.control.revisions.publication import routes_of
from quorate.core.calibrate.methods import calibrate
from quorate.core.erasing import is_erased
from quorate.core.types import FloatArray, StatusArray
from quorate.errors import NotFound
from quorate.store.ledger import TRUTH
from quorate.store.revisions import revision

ROWS, LOOKED = 5000, 50_000
"""Rows of a strategy that are used, and decisions with a truth, of all endpoints, that are looked at for them."""
UNTIL = "outcomes_until"
"""In a calibration's metadata: it was fitted on outcomes of decisions up to then, Unix seconds."""

_NUMBERS = 4_000_000
"""Probabilities that are kept of a strategy: with a thousand classes there are fewer rows."""


@dataclass
class KnownRows:
    """Rows of one strategy, the newest first.

    ``plain`` float32 ``[n, k]`` is what it combines, not calibrated, with ``truths`` int64 ``[n]``, ``arrived``
    float64 ``[n]``, and ``status`` int8 ``[n, m]`` of its members as it asked them; ``served`` ``[s, k]`` what it
    answered itself where no more is known, with ``served_truths``.
    """

    plain: FloatArray
    truths: NDArray[np.int64]
    arrived: NDArray[np.float64]
    status: StatusArray
    served: FloatArray
    served_truths: NDArray[np.int64]

    def answers(self, strategy: LoggedStrategy) -> tuple[FloatArray, NDArray[np.int64]]:
        """What it answers as it is calibrated now, to rows that its calibration was not fitted on, and the truths."""
        fresh = self.arrived > until(strategy)
        answers = calibrate(self.plain[fresh], strategy.calibration, self.status[fresh])
        return np.concatenate([answers, self.served]), np.concatenate([self.truths[fresh], self.served_truths])


def until(strategy: LoggedStrategy) -> float:
    """Up to which arrival the strategy's calibration has seen outcomes; 0 where it has seen none."""
    return 0.0 if strategy.calibration is None else float(strategy.calibration.meta.get(UNTIL, 0.0))


@dataclass
class _Parts:
    plain: list[FloatArray] = field(default_factory=list)
    truths: list[NDArray[np.int64]] = field(default_factory=list)
    arrived: list[NDArray[np.float64]] = field(default_factory=list)
    status: list[StatusArray] = field(default_factory=list)
    served: list[FloatArray] = field(default_factory=list)
    served_truths: list[int] = field(default_factory=list)
    rows: int = 0

    def joined(self, width: int, members: int, most: int) -> KnownRows:
        def of(parts: Sequence[NDArray[np.generic]], empty: NDArray[np.generic]) -> NDArray[np.generic]:
            return np.concatenate([empty, *parts])[:most]

        none = np.zeros((0, width), np.float32)
        return KnownRows(
            of(self.plain, none),  # type: ignore[arg-type]
            of(self.truths, np.zeros(0, np.int64)),  # type: ignore[arg-type]
            of(self.arrived, np.zeros(0)),  # type: ignore[arg-type]
            of(self.status, np.zeros((0, members), np.int8)),  # type: ignore[arg-type]
            of(self.served, none),  # type: ignore[arg-type]
            np.array(self.served_truths[:most], np.int64),
        )


class Gathering:
    """Collects the rows of an endpoint, as it is served now."""

    def __init__(self, connection: sa.Connection, reader: JournalReader, route: EndpointRoute, pool: PoolRoute) -> None:
        self._connection = connection
        self._reader = reader
        self._route = route
        self._classes = pool.signature.output.classes
        self._digests = {member.name: member.digest for member in pool.members}
        self._routes: dict[int, tuple[EndpointRoute, PoolRoute] | None] = {}

    def rows(
        self,
        strategies: Sequence[LoggedStrategy],
        *,
        most: int = ROWS,
        looked: int = LOOKED,
        rest: Callable[[], object] = lambda: None,
    ) -> dict[str, KnownRows]:
        """The newest ``most`` rows of each strategy at most; ``rest()`` is called now and then, and may raise."""
        width = len(self._classes)
        most = max(1, min(most, _NUMBERS // width))
        parts = {strategy.name: _Parts() for strategy in strategies}
        for joined in Newest(self._connection, self._reader, self._route.name, looked=looked, metric=TRUTH):
            by = by_revision(each for each in joined if self._counts(each.decision))
            for number in sorted(by, reverse=True):
                for strategy in strategies:
                    if parts[strategy.name].rows < most:
                        self._add(parts[strategy.name], strategy, number, by[number])
            rest()
            if all(found.rows >= most for found in parts.values()):
                break
        return {each.name: parts[each.name].joined(width, len(each.columns), most) for each in strategies}

    def _counts(self, d: Packed) -> bool:
        return d.source != "caller" and not is_erased(d.capture) and d.classes == self._classes

    def _add(self, parts: _Parts, strategy: LoggedStrategy, number: int, joined: Sequence[Joined]) -> None:
        """Add what a strategy says of decisions made under a revision."""
        found = self._revision(number)
        if found is None:
            return
        endpoint, pool = found
        members = tuple(member.name for member in pool.members)
        own = next(each for each in self._route.strategies if each.name == strategy.name)
        digests = {member.name: member.digest for member in pool.members}
        if any(digests.get(name) != self._digests[name] for name in own.members):
            return
        same = any(each == own for each in endpoint.strategies)
        placed = strategy.over(own, members)
        for each in joined:
            truths = {row: truth_of(each, row) for row in each.truths}
            rows = [row for row, truth in sorted(truths.items()) if np.isfinite(truth)]
            if not rows:
                continue
            said = _said(placed, each.decision, len(members))
            if said is not None:
                answers, status = said
                known = [row for row in rows if np.isfinite(answers[row]).all()]
                parts.plain.append(answers[known])
                parts.status.append(status[known])
                parts.truths.append(np.array([truths[row] for row in known], np.int64))
                parts.arrived.append(np.full(len(known), each.decision.arrived))
                parts.rows += len(known)
            elif same and _served(each.decision) == strategy.name:
                answered = each.decision.answered()
                if answered is not None and answered.shape[1] == len(self._classes):
                    known = [row for row in rows if np.isfinite(answered[row]).all()]
                    parts.served.append(answered[known])
                    parts.served_truths += [int(truths[row]) for row in known]
                    parts.rows += len(known)

    def _revision(self, number: int) -> tuple[EndpointRoute, PoolRoute] | None:
        if number not in self._routes:
            try:
                self._routes[number] = routes_of(revision(self._connection, self._route.name, number))
            except NotFound:
                self._routes[number] = None
        return self._routes[number]


def _said(strategy: LoggedStrategy, d: Packed, members: int) -> tuple[FloatArray, StatusArray] | None:
    """What a strategy combines of a decision's recorded outputs ``[n, k]``, NaN where it has no answer, and the status
    ``[n, m]`` of its members; None where that cannot be known."""
    n, m, width = d.shape
    if strategy.combiner is None or not strategy.knows or not width or m != members:
        return None
    outputs = np.frombuffer(d.outputs, "<f4").reshape(d.shape)
    status = np.frombuffer(d.status, "i1").reshape(n, m)
    features = None
    if d.features is not None:
        features = np.frombuffer(d.features[1], "<f4").reshape(n, d.features[0])
    return strategy.said(outputs, status, features)


def _served(d: Packed) -> str | None:
    found: str | None = msgspec.msgpack.decode(d.served)
    return found


def logged(
    route: EndpointRoute, pool: PoolRoute, read: ReadBlob, names: Sequence[str] | None = None
) -> list[LoggedStrategy]:
    """The strategies of an endpoint (those of ``names``), ready to answer."""
    members = tuple(member.name for member in pool.members)
    chosen = (each for each in route.strategies if names is None or each.name in names)
    return [LoggedStrategy.of(each, members, read) for each in chosen]
