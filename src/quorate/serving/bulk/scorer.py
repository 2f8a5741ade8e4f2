"""Scores parts by micro-batches of ``Plane.predict``: sized by time, retried when shed, split around bad rows."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from quorate.core.types import Decision, Scalar
from quorate.errors import (
    Forbidden,
    InvalidInput,
    MalformedRequest,
    NoQuorum,
    NotFound,
    Overloaded,
    QuorateError,
    TooLarge,
    UnsupportedMediaType,
)
from quorate.serving import answers
from quorate.serving.bulk.parts import Part, about_row, place
from quorate.serving.bulk.ways import Way, ways
from quorate.serving.call import Call
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.inputs import InputReader
from quorate.serving.plane import Plane
from quorate.web.problem import INTERNAL_DETAIL

log = logging.getLogger("quorate.serving")
T = TypeVar("T")

TARGET_S = 0.02
"""What a micro-batch should take: long enough to be worth a decision, short enough not to be in the way."""

FIRST_ROWS = 1
"""A member that is given too much at once would be taken for hung; so the first calls measure."""

MOST_ROWS = 1024
RETRY_FOR_S = 30.0
"""How long a micro-batch that is shed is tried again, before its rows fail."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_OF_ROWS = (InvalidInput, MalformedRequest, TooLarge, UnsupportedMediaType)
"""Errors that may be about one row of a call."""

Row = dict[str, Any]
Aside = Callable[[int, Callable[[], Any]], Awaitable[Any]]
"""Does something about so many bytes, in a thread where they are many."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked of all rows of a batch; ``context`` holds where a row has no such key itself.

    ``endpoint`` may be a front.
    """

    endpoint: str
    strategy: str | None
    max_ms: float | None
    min_confidence: float | None
    context: Mapping[str, Scalar]
    request_id: str
    traceparent: str | None


class _TooSlow(NoQuorum):
    """The deadline passed while several rows were run together: fewer may be in time."""


class Scorer:
    """Scores one batch; ``rows_per_call`` adapts to the time target. ``turn`` bounds the worker's bulk calls at once.

    What concerns every row (the endpoint is gone) is raised; all else becomes the error of its rows.
    """

    def __init__(
        self,
        plane: Plane,
        wish: Wish,
        *,
        turn: asyncio.Semaphore,
        aside: Aside,
        retried: Callable[[], None],
        rng: random.Random,
    ) -> None:
        self._sizes: dict[str, int] = {}
        self._plane = plane
        self._wish = wish
        self._turn = turn
        self._aside = aside
        self._retried = retried
        self._rng = rng
        self._readers: dict[str, InputReader] = {}

    @property
    def rows_per_call(self) -> int:
        """How many rows a part should have: as many as all endpoints that rows went to take at once."""
        return min(MOST_ROWS, sum(self._sizes.values())) or FIRST_ROWS

    async def score(self, part: Part) -> list[Row]:
        """The part's rows, in order."""
        found: dict[int, Row] = {i: self._failed(part, i, error) for i, error in part.faults.items()}
        groups = await self._groups(part, [i for i in range(part.count) if i not in part.faults])
        while groups:
            way, group = groups.pop(0)
            if not group:
                continue
            try:
                async with self._turn:
                    found |= await self._call(part, way, group)
            except _OF_ROWS as error:
                groups = [*((way, some) for some in await self._around(part, way, group, error, found)), *groups]
            except _TooSlow:
                self._sizes[way.endpoint] = max(1, len(group) // 2)
                groups = [*((way, some) for some in _halves(group)), *groups]
            except (NotFound, Forbidden) as error:
                if not way.facts or self._wish.endpoint not in self._plane.generation.fronts:
                    raise
                if way.endpoint in self._plane.generation.endpoints:  # it is about what was asked of that endpoint
                    found |= {i: self._failed(part, i, error) for i in group}
                else:
                    groups = [*await self._groups(part, group), *groups]  # the front sends them elsewhere now
            except Exception as error:
                if not isinstance(error, QuorateError):
                    log.exception("A micro-batch of %s failed (%s)", self._wish.endpoint, self._wish.request_id)
                found |= {i: self._failed(part, i, error) for i in group}
            await asyncio.sleep(0)  # inline members leave the loop no gap by themselves
        return [found[i] for i in range(part.count)]

    async def _groups(self, part: Part, indices: Sequence[int]) -> list[tuple[Way, list[int]]]:
        """Rows that are scored together; of a front's, no more than their endpoint takes at once."""
        found: list[tuple[Way, list[int]]] = []
        for way, some in await ways(self._plane, self._wish.endpoint, part, indices, self._wish.context):
            size = self._sizes.get(way.endpoint, FIRST_ROWS) if way.facts else max(1, len(some))
            found += [(way, some[first : first + size]) for first in range(0, len(some), size)]
        return found

    async def _call(self, part: Part, way: Way, group: Sequence[int]) -> dict[int, Row]:
        """One micro-batch as one decision; a shed one is tried again."""
        clock = self._plane.clock
        until = clock.monotonic() + RETRY_FOR_S
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self._decide(part, way, group)
            except Overloaded as error:
                wait = max(pause, min(error.retry_after, _LONGEST_PAUSE)) * self._rng.uniform(0.5, 1.0)
                if clock.monotonic() + wait >= until:
                    raise
                pause = min(2 * pause, _LONGEST_PAUSE)
            self._retried()
            await asyncio.sleep(wait)

    async def _decide(self, part: Part, way: Way, group: Sequence[int]) -> dict[int, Row]:
        plane, wish = self._plane, self._wish
        with plane.pinned():  # for each micro-batch anew: a long batch must not keep an old revision alive
            endpoint = plane.endpoint(way.endpoint)
            reader = self._reader_of(endpoint)
            limits = plane.generation.limits
            raw = await self._aside(part.size, lambda: part.raw(group, reader, limits))
            started = plane.clock.monotonic()
            call = Call(
                raw=raw,
                rows=len(group),
                size=part.size * len(group) // part.count,
                digest=part.digest(group),
                arrived=plane.clock.now(),
                started=started,
                strategy=wish.strategy,
                max_ms=wish.max_ms,
                min_confidence=wish.min_confidence,
                context={**wish.context, **part.context},
                request_id=wish.request_id,
                traceparent=wish.traceparent,
                priority="bulk",
                facts=way.facts,
            )
            try:
                decision = await plane.predict(endpoint, call)
            except NoQuorum as error:
                limit = min(endpoint.deadline, (wish.max_ms or 3.6e6) / 1000)
                if len(group) > 1 and plane.clock.monotonic() - started >= limit / 2:
                    raise _TooSlow(error.message) from None
                raise
            self._adapt(len(group), plane.clock.monotonic() - started, endpoint, limits.rows)
            if way.facts:
                plane.meters.fronted(wish.endpoint, endpoint.name)
            predictions = answers.shown(endpoint, decision, call)
        rows = _rows(part, group, decision, predictions, blind=endpoint.blind, named=bool(way.facts))
        return dict(zip(group, rows, strict=True))

    def _reader_of(self, endpoint: LoadedEndpoint) -> InputReader:
        signature = endpoint.pool.route.signature
        known = self._readers.get(endpoint.name)
        if known is None or known.signature is not signature:
            known = self._readers[endpoint.name] = InputReader(signature)
        return known

    def _adapt(self, rows: int, seconds: float, endpoint: LoadedEndpoint, most: int) -> None:
        """Follow the time a row takes; growth only where the batch was full, twice as many at most."""
        target = min(TARGET_S, endpoint.deadline / 4)
        wanted = int(rows * target / max(seconds, 1e-6))
        size = self._sizes.setdefault(endpoint.name, FIRST_ROWS)
        if wanted < rows or rows >= size:
            self._sizes[endpoint.name] = max(1, min(wanted, 2 * size, MOST_ROWS, most))

    async def _around(
        self, part: Part, way: Way, group: list[int], error: QuorateError, found: dict[int, Row]
    ) -> list[list[int]]:
        """Take out the rows an error is about; what is left is to be scored."""
        if len(group) == 1:
            found[group[0]] = self._failed(part, group[0], error)
            return []
        at = place(error)
        if at is None and (error.path or "").startswith(("context", "options")):
            found |= {i: self._failed(part, i, error) for i in group}
            return []
        wrong = await self._aside(part.size, lambda: self._wrong(part, way, group))
        if wrong:
            found |= {i: self._failed(part, i, one) for i, one in wrong.items()}
            return [[i for i in group if i not in wrong]]
        if at is None or at >= len(group):
            return _halves(group)
        # Each row is well-formed; preprocessing (an image that is none) met a bad one, and those before it are good.
        found[group[at]] = self._failed(part, group[at], error)
        return [group[:at], group[at + 1 :]]

    def _wrong(self, part: Part, way: Way, group: Sequence[int]) -> dict[int, QuorateError]:
        reader, limits = self._readers[way.endpoint], self._plane.generation.limits
        wrong: dict[int, QuorateError] = {}
        for i in group:
            try:
                part.raw([i], reader, limits)
            except QuorateError as error:
                wrong[i] = error
        return wrong

    def _failed(self, part: Part, index: int, error: BaseException) -> Row:
        row: Row = {"row": part.first + index}
        if part.id(index) is not None:
            row["id"] = part.id(index)
        if isinstance(error, QuorateError) and error.code != "internal":
            shown = about_row(error, part.first + index) if isinstance(error, _OF_ROWS) else error
            row["error"] = {"code": shown.code, "detail": shown.message}
            if shown.path is not None:
                row["error"]["path"] = shown.path
        else:
            row["error"] = {"code": "internal", "detail": INTERNAL_DETAIL}
        return row


def _halves(group: list[int]) -> list[list[int]]:
    middle = len(group) // 2
    return [group[:middle], group[middle:]]


def _rows(
    part: Part, group: Sequence[int], decision: Decision, predictions: Sequence[Row], *, blind: bool, named: bool
) -> list[Row]:
    more = {} if blind else {"strategy": decision.served, "degraded": decision.degraded}
    if named:
        more["endpoint"] = decision.endpoint
    rows: list[Row] = []
    for k, (i, prediction) in enumerate(zip(group, predictions, strict=True)):
        row: Row = {"row": part.first + i}
        if part.id(i) is not None:
            row["id"] = part.id(i)
        rows.append(
            row
            | {"prediction": prediction, "decision": decision.id, "decision_row": k, "revision": decision.revision}
            | more
        )
    return rows
