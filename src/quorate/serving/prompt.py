"""Prompt requests: those that one of the next turns of the event loop can answer, all of a turn's together.

For a small model a coroutine, its futures and its wake-ups cost several times what the model does. So requests whose
whole pool runs on the event loop are put in line here without any: when their batch has run, it is combined, decided
and handed to the journal as one, and each request is told its decision when all are written.

Whatever is out of the ordinary is not for this place: a circuit that is open, a member that failed, a blind endpoint
(its arms must not show in the time), an answer cache, a plan of several stages, an answer that must be sure enough or
may not have the time for all members. Such a request is told ``None`` and goes the way of :meth:`Plane.predict` from
its start, which can do everything; members that run in this process are functions of their input, so a second run does
no harm.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from quorate.core.types import NOTHING, Decision, FloatArray, MemberRun, Scalar
from quorate.errors import Overloaded
from quorate.serving import conformal
from quorate.serving.batch import Part
from quorate.serving.batcher import Batcher
from quorate.serving.call import Call
from quorate.serving.deciding import decision
from quorate.serving.endpoint import Choice, LoadedEndpoint
from quorate.serving.feed import Feed
from quorate.serving.plane import Plane
from quorate.serving.work import Work

log = logging.getLogger("quorate.serving")

Show = Callable[[LoadedEndpoint, Sequence[Decision], Sequence[Call] | None], list[bytes]]
Told = tuple[Decision, bytes] | Overloaded | None
"""What becomes of a prompt request: its decision and how that is shown, that it was shed, or None: it is to go the
ordinary way."""


class _Kept:
    """The promise of what is over."""

    def done(self) -> bool:
        return True

    def set_result(self, result: Part, /) -> None:
        """Nobody waits."""

    def set_exception(self, exception: Exception, /) -> None:
        """Nobody waits."""


_KEPT = _Kept()


class _Recorded:
    """Waits for a group's records; the answers go the moment that they are written, not a turn of the loop later."""

    __slots__ = ("_then", "_told")

    def __init__(self, then: Callable[[int], None]) -> None:
        self._then = then
        self._told = False

    def done(self) -> bool:
        return self._told

    def set_result(self, kept: int, /) -> None:
        self._told = True
        try:
            self._then(kept)
        except Exception:
            log.exception("What follows a record failed")

    def set_exception(self, error: Exception, /) -> None:
        """Groups are never told an error."""


class Asked(Work):
    """A prompt request in line: work that is its own promise. ``then`` is called once."""

    __slots__ = ("_desk", "batcher", "call", "choice", "endpoint", "gone", "part", "then")

    def __init__(
        self,
        desk: PromptDesk,
        batcher: Batcher,
        endpoint: LoadedEndpoint,
        choice: Choice,
        call: Call,
        then: Callable[[Told], None],
    ) -> None:
        super().__init__(
            Feed(call.raw, call.rows, call.path),
            self,
            until=call.started + endpoint.limit(call.max_ms),
            fault_after=endpoint.deadline / 2,
            owner=endpoint.name,
            bulk=call.priority == "bulk",
        )
        self._desk = desk
        self.batcher = batcher
        self.endpoint = endpoint
        self.choice = choice
        self.call = call
        self.then = then
        self.part: Part | None = None
        self.gone = False

    def done(self) -> bool:
        """Whether its client has left."""
        return self.gone

    def set_result(self, result: Part, /) -> None:
        """It has run."""
        self.part = result
        self._over()

    def set_exception(self, exception: Exception, /) -> None:
        """It could not run; the ordinary way finds out whose fault that is."""
        self._over()

    def _over(self) -> None:
        self.promise = _KEPT  # itself until now: the input would wait for a collection
        self._desk.ran(self)

    def cancel(self) -> None:
        """Its client has left: it is not run, but what has run is a decision all the same."""
        if not self.gone:
            self.gone = True
            self._desk.left(self)
            self.promise = _KEPT


class PromptDesk:
    """Takes prompt requests; belongs to the event loop. ``show`` makes the bodies of an endpoint's answers."""

    def __init__(self, plane: Plane, show: Show) -> None:
        self._plane = plane
        self._show = show
        self._ran: list[Asked] = []

    def takes(self, endpoint: LoadedEndpoint) -> bool:
        """Whether the endpoint is of the kind whose requests may be prompt, and all is well with its members."""
        pool = endpoint.pool
        return endpoint.simple and pool.resident and not (endpoint.unloaded or pool.unloaded) and pool.sound

    def ask(self, endpoint: LoadedEndpoint, call: Call, then: Callable[[Told], None]) -> Asked | None:
        """Put a request in line, if it can be prompt; ``then`` is told in a later turn what became of it.

        Raises client errors; whether it is to be refused was asked before.
        """
        plane, pool = self._plane, endpoint.pool
        unit = pool.together()
        if unit is None or not plane.light(pool, call):
            return None
        batcher = pool.batcher(unit)
        if not batcher.prompt(call.rows):
            return None
        if (call.max_ms is not None or call.min_confidence is not None) and not self._in_time(endpoint, batcher, call):
            return None
        facts: Mapping[str, Scalar] = NOTHING
        if endpoint.facts is not None and call.strategy is None:
            if endpoint.facts.heavy(call):
                return None
            facts = endpoint.facts.gather(call)
        choice = endpoint.choose(call.strategy, call.context, plane.uniform, facts)
        if not choice.strategy.simple:
            return None
        conformal.check(endpoint, choice, call)
        asked = Asked(self, batcher, endpoint, choice, call, then)
        plane.enter(endpoint, call)
        batcher.put(asked)
        return asked

    def _in_time(self, endpoint: LoadedEndpoint, batcher: Batcher, call: Call) -> bool:
        """Whether all members answer within what the caller allows, and whatever they are sure of is an answer."""
        left = call.started + endpoint.limit(call.max_ms) - self._plane.clock.monotonic()
        return call.min_confidence is None and batcher.within_ms(call.rows) <= left * 1000

    def left(self, asked: Asked) -> None:
        """A request's client has left."""
        if asked.started is None:  # it will not be run
            asked.batcher.left(asked)
            self._plane.leave(asked.endpoint)
            asked.then(None)

    def ran(self, asked: Asked) -> None:
        """A request's turn is over; the others of that turn are told in the same breath."""
        if not self._ran:
            asked.batcher.afterwards(self._settle)
        self._ran.append(asked)

    def _settle(self) -> None:
        """Decide what has run, endpoint by endpoint."""
        ran, self._ran = self._ran, []
        groups: dict[LoadedEndpoint, list[Asked]] = {}
        for asked in ran:
            self._plane.leave(asked.endpoint)
            if asked.part is not None and asked.part.flawless:
                groups.setdefault(asked.endpoint, []).append(asked)
            else:
                asked.then(None)
        for endpoint, group in groups.items():
            try:
                self._decide(endpoint, group)
            except Exception:  # whoever it is that cannot be combined or recorded: one by one it shows
                for asked in group:
                    asked.then(None)

    def _decide(self, endpoint: LoadedEndpoint, group: Sequence[Asked]) -> None:
        plane = self._plane
        answers = [self._answer(asked) for asked in group]
        ids = plane.journal.ids.take_many(len(group))
        now = plane.clock.monotonic()
        decisions = [
            decision(
                id_,
                endpoint,
                asked.choice,
                asked.call,
                asked.choice.strategy,
                answer,
                degraded=False,
                started=part.batch.started,
                now=now,
                runs=runs,
                outputs=part.values,
                status=part.status,
                features=None if endpoint.looks_at is None else part.features(endpoint.looks_at),
            )
            for id_, asked, (answer, runs, part) in zip(ids, group, answers, strict=True)
        ]
        calls = None
        if any(asked.call.max_ms is not None for asked in group):  # then who answered is told
            calls = [asked.call for asked in group]
        bodies = self._show(endpoint, decisions, calls)
        payloads = [plane.recorded(endpoint, asked.call, made) for asked, made in zip(group, decisions, strict=True)]
        promise = _Recorded(partial(self._kept, endpoint, group, decisions, bodies))
        plane.journal.append_group(payloads, promise, on_full=endpoint.route.on_full)

    @staticmethod
    def _answer(asked: Asked) -> tuple[FloatArray, tuple[MemberRun, ...], Part]:
        part, pool = asked.part, asked.endpoint.pool
        assert part is not None  # noqa: S101 - it has run
        return asked.choice.strategy.of(part), part.batch.once("runs", partial(pool.ran_well, part.batch)), part

    def _kept(
        self,
        endpoint: LoadedEndpoint,
        group: Sequence[Asked],
        decisions: Sequence[Decision],
        bodies: Sequence[bytes],
        kept: int,
    ) -> None:
        """The first ``kept`` decisions are in the journal; of the others the endpoint says what becomes."""
        plane, meters = self._plane, self._plane.meters
        shed = endpoint.route.on_full == "shed"
        for _ in decisions[kept:]:
            if shed:
                meters.shed(endpoint.name, "journal")
            else:
                meters.dropped(endpoint.name)
        plane.count(decisions[:kept] if shed else decisions)
        for index, asked in enumerate(group):
            recorded = index < kept or not shed
            asked.then((decisions[index], bodies[index]) if recorded else plane.not_recorded(endpoint))
        group[0].batcher.make_way()
