"""Traces: spans derived from finished decisions and exported by a thread of its own; requests pay a microsecond.

Off unless ``OTEL_EXPORTER_OTLP_ENDPOINT`` (or ``…_TRACES_ENDPOINT``) is set; all settings are OpenTelemetry's own
variables. Nothing here blocks a request or fails it: what does not fit is dropped and counted.
Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import importlib.util
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from quorate.core.types import Decision, MemberRun, Status
from quorate.errors import ConfigError
from quorate.telemetry.counters import Counters

log = logging.getLogger("quorate.telemetry")

QUEUE = 2048
"""Decisions that may wait for their export."""
BATCH = 32
"""Decisions an export; few, because building it holds the interpreter (about 0.2 ms each, with five members)."""
SHARE = 0.2
"""Of a core that the thread may take; with more to export than that, the queue fills up."""
PERIOD_S = 1.0
CLOSE_S = 2.0
MISSING = "There are no traces: the extra 'otel' is not installed; pip install 'quorate[otel]' adds it."

_SAMPLERS: dict[str, tuple[bool, float | None]] = {
    "always_on": (False, 1.0),
    "always_off": (False, 0.0),
    "traceidratio": (False, None),
    "parentbased_always_on": (True, 1.0),
    "parentbased_always_off": (True, 0.0),
    "parentbased_traceidratio": (True, None),
}
_ALL = 1 << 64


class Sampling(NamedTuple):
    """Whether a caller's own sampling flag is obeyed, and the ratio of the others that are sampled."""

    by_parent: bool
    ratio: float


class Finished(NamedTuple):
    """What a decision's spans are made of; the arrays are left behind."""

    trace: int
    traceparent: str | None
    id: str
    request_id: str | None
    endpoint: str
    revision: int
    source: str
    assigned: str
    served: str | None
    degraded: bool
    error: str | None
    rows: int
    arrived: float
    queue_ms: float
    latency_ms: float
    members: Sequence[MemberRun]


class Exporter(Protocol):
    """Sends the spans of decisions; the number of spans, and whether they were taken."""

    def export(self, decisions: Sequence[Finished]) -> tuple[int, bool]: ...

    def shutdown(self) -> None: ...


def sampling(environment: Mapping[str, str]) -> Sampling | None:
    """How to sample, None where traces are off; :class:`ConfigError` for a setting that cannot be obeyed."""
    get = environment.get
    endpoint = get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or get("OTEL_EXPORTER_OTLP_ENDPOINT")
    exporter = get("OTEL_TRACES_EXPORTER") or "otlp"
    if not endpoint or exporter == "none" or get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    protocol = get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    _one_of("OTEL_TRACES_EXPORTER", exporter, ("otlp", "none"))
    _one_of("OTEL_EXPORTER_OTLP_PROTOCOL", protocol, ("http/protobuf",))
    name = get("OTEL_TRACES_SAMPLER") or "parentbased_always_on"
    _one_of("OTEL_TRACES_SAMPLER", name, tuple(_SAMPLERS))
    by_parent, ratio = _SAMPLERS[name]
    return Sampling(by_parent, _ratio(get("OTEL_TRACES_SAMPLER_ARG") or "1") if ratio is None else ratio)


def _one_of(variable: str, got: str, known: Sequence[str]) -> None:
    if got not in known:
        raise ConfigError(f"{variable} must be one of {', '.join(known)}; got '{got[:64]}'.", path=variable)


def _ratio(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise ConfigError(
            f"OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1; got '{text[:64]}'.", path="OTEL_TRACES_SAMPLER_ARG"
        )
    return ratio


def installed() -> bool:
    """Whether the extra ``otel`` is there; it is not imported."""
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


class Tracer:
    """Takes finished decisions on the event loop, and exports their spans in a daemon thread."""

    def __init__(
        self,
        exporter: Exporter,
        sampling: Sampling,
        counters: Counters,
        *,
        random_bits: Callable[[int], int] | None = None,
    ) -> None:
        self._exporter = exporter
        self._by_parent = sampling.by_parent
        self._bound = round(sampling.ratio * _ALL)
        self._bits = random_bits if random_bits is not None else random.Random().getrandbits  # seeded by the system
        self._queue: deque[Finished] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        # One series a thread: the loop counts what is dropped, the thread what is exported or failed.
        self._dropped = counters.counter("quorate_spans_total", result="dropped")
        self._exported = counters.counter("quorate_spans_total", result="exported")
        self._failed = counters.counter("quorate_spans_total", result="failed")
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)

    def start(self) -> None:
        """Start exporting."""
        self._thread.start()

    def observe(self, decision: Decision) -> None:
        """Take one decision if it is sampled; never waits and never raises."""
        try:
            parent = decision.traceparent
            trace = int(parent[3:35], 16) if parent is not None else self._bits(128)
            if parent is not None and self._by_parent:
                if not int(parent[53:55], 16) & 1:
                    return
            elif trace % _ALL >= self._bound:
                return
            if len(self._queue) >= QUEUE or self._closing.is_set():
                self._dropped.add(spans_of(decision.members))
                return
            self._queue.append(_finished(decision, trace))
            if len(self._queue) == BATCH:
                self._wake.set()
        except Exception:
            self._dropped.add(spans_of(decision.members))

    def close(self, timeout: float = CLOSE_S) -> bool:
        """Export what waits; False if that took longer than ``timeout`` seconds. Counters must outlive the thread."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout)
        self._exporter.shutdown()
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            closing = self._closing.is_set()  # before the queue is emptied: nothing is added to it afterwards
            self._wake.wait(0 if closing else PERIOD_S)
            self._wake.clear()
            while self._queue:
                before = time.thread_time()
                self._export([self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))])
                self._closing.wait((time.thread_time() - before) * (1 / SHARE - 1))
            if closing:
                return

    def _export(self, batch: Sequence[Finished]) -> None:
        try:
            spans, ok = self._exporter.export(batch)
        except Exception:
            log.exception("Spans could not be exported")
            spans, ok = sum(spans_of(decision.members) for decision in batch), False
        (self._exported if ok else self._failed).add(spans)


def spans_of(members: Sequence[MemberRun]) -> int:
    """Spans of a decision: its own, and one for each member that was asked."""
    return 1 + sum(run.status is not Status.SKIPPED for run in members)


def _finished(decision: Decision, trace: int) -> Finished:
    return Finished(
        trace,
        decision.traceparent,
        decision.id,
        decision.request_id,
        decision.endpoint,
        decision.revision,
        decision.source,
        decision.assigned,
        decision.served,
        decision.degraded,
        decision.error,
        decision.rows,
        decision.arrived,
        decision.queue_ms,
        decision.latency_ms,
        decision.members,
    )
