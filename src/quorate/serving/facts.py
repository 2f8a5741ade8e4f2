"""Finding out what policies ask for: the facts of one request and of the worker, those asked for and no others.

A fact that cannot be found out is None, which no rule takes for true; it is counted, and never fails a request. What
takes long (the pixels of a large picture) is not done on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from numpy.typing import NDArray

from quorate.clock import Clock
from quorate.core import facts as catalogue
from quorate.core.distance import Reference
from quorate.core.types import Scalar, Signature
from quorate.errors import MemberError
from quorate.preprocess.glance import glance, size
from quorate.serving.breaker import Circuit
from quorate.serving.call import Call
from quorate.serving.lanes import ThreadLane
from quorate.serving.pool import LoadedPool
from quorate.telemetry.process import resident_bytes

log = logging.getLogger("quorate.serving")

Found = Mapping[str, Scalar]
Finder = Callable[[Call], Found]
PIXELS = ("image.brightness", "image.contrast", "image.sharpness")
HEAVY_BYTES = 16 * 1024
"""Bytes of an input from which on its pixels, or its distance, are measured in a thread."""

READ_EVERY = 1.0
"""Seconds for which what the system says of the process, and what monitors say of drift, is taken to hold."""


class Surroundings:
    """What is the same for all requests of a worker; ``drift`` is the file that monitors write."""

    def __init__(self, clock: Clock, drift: Path | None = None) -> None:
        self._clock = clock
        self._drift = drift
        self._read: dict[str, float] = {}
        self._cpu: float | None = None
        self._spent = (clock.monotonic(), time.process_time())
        self._memory: int | None = None
        self._states: Mapping[str, str] = {}
        self._broken = False

    def _due(self, what: str) -> bool:
        now = self._clock.monotonic()
        if now - self._read.get(what, -READ_EVERY) < READ_EVERY:
            return False
        self._read[what] = now
        return True

    def cpu(self) -> float | None:
        """Cores that this process kept busy since the last reading, a second ago or more; None before the first."""
        now, (then, before) = self._clock.monotonic(), self._spent
        if now - then >= READ_EVERY:
            spent = time.process_time()
            self._cpu, self._spent = (spent - before) / (now - then), (now, spent)
        return self._cpu

    def memory(self) -> int | None:
        """Resident bytes of this process."""
        if self._due("memory"):
            self._memory = resident_bytes()
        return self._memory

    def drift(self, endpoint: str) -> str | None:
        """What monitors say of an endpoint's input; None where there is nothing, or nothing that can be read.

        The file is JSON, ``{"endpoints": {NAME: "stable" | "warning" | "drift"}}``.
        """
        if self._drift is not None and self._due("drift"):
            try:
                said = msgspec.json.decode(self._drift.read_bytes(), type=_Drift)
                self._states, self._broken = said.endpoints, False
            except FileNotFoundError:
                self._states = {}
            except (OSError, msgspec.DecodeError) as error:
                self._states = {}
                if not self._broken:
                    log.error("%s cannot be read, so no drift is known: %s", self._drift, error)
                self._broken = True
        return self._states.get(endpoint)


class _Drift(msgspec.Struct):
    endpoints: dict[str, str]


class Gatherer:
    """The facts ``names`` of requests of one endpoint, whose ``pool`` answers.

    ``in_flight()`` are its requests under way, ``interpretable`` the strategies declared so; ``on_failure()`` counts
    what could not be found out because of an error. ``reference`` are the numbers that are usual, set by the loader.
    """

    def __init__(
        self,
        names: Iterable[str],
        endpoint: str,
        pool: LoadedPool,
        surroundings: Surroundings,
        *,
        in_flight: Callable[[], int],
        interpretable: Mapping[str, bool],
        timezone: str = "UTC",
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.names = tuple(sorted(names))
        self.reference: Reference | None = None
        self._endpoint = endpoint
        self._pool = pool
        self._around = surroundings
        self._in_flight = in_flight
        self._interpretable = interpretable
        self._on_failure = on_failure
        self._failed = False
        self._zone = zone(timezone)
        self._pixels = bool(set(PIXELS) & set(self.names))
        self._finders = self._made()

    @property
    def measures_distance(self) -> bool:
        """Whether it needs a reference."""
        return "input.distance" in self.names

    def heavy(self, call: Call) -> bool:
        """Whether finding out about this request would hold the event loop up."""
        return call.size > HEAVY_BYTES and (self._pixels or self.measures_distance)

    def gather(self, call: Call) -> dict[str, Scalar]:
        """All facts that are asked for; what could not be found out is None."""
        found: dict[str, Scalar] = dict.fromkeys(self.names)
        for finder in self._finders:
            try:
                found.update(finder(call))
            except Exception:
                self._fail()
        return found

    async def gather_aside(self, call: Call, lane: ThreadLane, seconds: float) -> dict[str, Scalar]:
        """The same in a thread, where that is better; nothing is known if it takes longer than ``seconds``."""
        if not self.heavy(call):
            return self.gather(call)
        try:
            return await asyncio.wait_for(lane.submit(partial(self.gather, call)), max(0.0, seconds))
        except (TimeoutError, MemberError):
            self._on_failure()
            return dict.fromkeys(self.names)

    def _fail(self) -> None:
        self._on_failure()
        if not self._failed:
            self._failed = True
            log.exception("Facts of '%s' could not be found out; this is logged once", self._endpoint)

    def _made(self) -> list[Finder]:
        found: list[Finder] = []
        of_time = [name for name in self.names if name.startswith("time.")]
        if of_time:
            found.append(partial(_time, of_time, self._zone))
        if {"image.width", "image.height"} & set(self.names):
            found.append(self._only(lambda call: _size(call.raw)))
        if self._pixels:
            found.append(self._only(lambda call: _measured(call.raw, self._pool.max_pixels)))
        for name in self.names:
            if not name.startswith(("time.", "image.")):
                finder = self._one(name)
                found.append(lambda call, name=name, finder=finder: {name: finder(call)})  # type: ignore[misc]
        return found

    def _only(self, finder: Finder) -> Finder:
        """Of several facts found at once, those that were asked for."""
        wanted = frozenset(self.names)
        return lambda call: {name: value for name, value in finder(call).items() if name in wanted}

    def _one(self, name: str) -> Callable[[Call], Scalar]:
        pool, signature = self._pool, self._pool.route.signature
        about = catalogue.parts(name)
        if about is not None:
            return self._about(*about)
        plain: dict[str, Callable[[Call], Scalar]] = {
            "input.rows": lambda call: call.rows,
            "input.bytes": lambda call: call.size,
            "input.kind": lambda call: signature.input_kind,
            "input.missing": lambda call: missing(call.raw, signature),
            "input.distance": lambda call: distance(self.reference, call.raw, signature),
            "request.interpretable": lambda call: interpretable(call.context),
            "load.in_flight": lambda call: self._in_flight(),
            "load.queue_ms": lambda call: pool.backlog_ms(pool.units_for(pool.everyone)),
            "process.cpu": lambda call: self._around.cpu(),
            "process.memory": lambda call: self._around.memory(),
            "drift.state": lambda call: self._around.drift(self._endpoint),
        }
        return plain[name]

    def _about(self, family: str, own: str, what: str) -> Callable[[Call], Scalar]:
        """A fact about a member or a strategy; members are looked up each time: pools come and go."""
        if family == "strategy":
            declared = self._interpretable[own]
            return lambda call: declared
        pool = self._pool
        position = [member.name for member in pool.members].index(own)
        if what == "healthy":
            return lambda call: pool.members[position].breaker.state is Circuit.CLOSED
        return lambda call: pool.units_for([position])[0].cost.of(1) if pool.resident else None


def zone(name: str) -> tzinfo:
    """A time zone by its IANA name; UTC where the system does not know it, which is logged."""
    if name != "UTC":
        with suppress(Exception):
            return ZoneInfo(name)
        log.error("The time zone '%s' is not known to this system; time.* is UTC instead.", name)
    return UTC


def interpretable(context: Mapping[str, Scalar]) -> bool:
    """Whether the caller asks for an answer that people can follow; query parameters are text."""
    return context.get("interpretable") in (True, "true")


def _time(names: Iterable[str], zone: tzinfo, call: Call) -> Found:
    at = datetime.fromtimestamp(call.arrived, zone)
    found = {"time.hour": at.hour, "time.minute": at.minute, "time.weekday": at.weekday()}
    return {name: found[name] for name in names}


def time_facts(at: float, timezone: str) -> dict[str, Scalar]:
    """``time.*`` at Unix time ``at``."""
    when = datetime.fromtimestamp(at, zone(timezone))
    return {"time.hour": when.hour, "time.minute": when.minute, "time.weekday": when.weekday()}


def of_input(
    raw: Mapping[str, Any], size_: int, signature: Signature, reference: Reference | None, *, max_pixels: int
) -> dict[str, Scalar]:
    """All facts about an input of ``size_`` bytes, whether they are asked for or not."""
    return {
        "input.rows": len(next(iter(raw.values()))),
        "input.bytes": size_,
        "input.kind": signature.input_kind,
        "input.missing": missing(raw, signature),
        "input.distance": distance(reference, raw, signature),
        **_size(raw),
        **_measured(raw, max_pixels),
    }


def _first(raw: Mapping[str, Any]) -> Any:
    """The first picture; None for other inputs."""
    pictures = raw.get("image")
    return None if pictures is None else pictures[0]


def _size(raw: Mapping[str, Any]) -> Found:
    found = size(_first(raw))
    return {} if found is None else {"image.width": found[0], "image.height": found[1]}


def _measured(raw: Mapping[str, Any], max_pixels: int) -> Found:
    found = glance(_first(raw), max_pixels=max_pixels)
    return {} if found is None else dict(zip(PIXELS, found, strict=True))


def missing(raw: Mapping[str, Any], signature: Signature) -> float:
    """Share of values that are missing: NaN, and of columns of text that may be missing, the empty text."""
    absent = total = 0
    for spec in signature.inputs if signature.input_kind != "image" else ():
        values = np.asarray(raw[spec.name])
        total += values.size
        if values.dtype.kind == "f":
            absent += int(np.isnan(values).sum())
        elif spec.nullable and spec.dtype == "str":
            absent += int((values == "").sum())
    return absent / total if total else 0.0


def numbers(raw: Mapping[str, Any], signature: Signature) -> NDArray[np.float64] | None:
    """The numeric part of a raw input as ``[n, d]``; None for pictures and where there is none."""
    if signature.input_kind == "image":
        return None
    parts = [np.asarray(raw[spec.name]) for spec in signature.inputs if spec.dtype not in ("str", "bytes")]
    if not parts:
        return None
    return np.concatenate([part.reshape(len(part), -1).astype(np.float64) for part in parts], axis=1)


def reference_of(raw: Mapping[str, Any], signature: Signature) -> Reference | None:
    """What is usual, by held-out rows; None where they have no numbers, or are too few."""
    rows = numbers(raw, signature)
    return None if rows is None else Reference.of(rows)


def distance(reference: Reference | None, raw: Mapping[str, Any], signature: Signature) -> float | None:
    """How far the farthest row is from what is usual; None where that is not known."""
    rows = None if reference is None else numbers(raw, signature)
    return None if reference is None or rows is None else reference.distance(rows)
