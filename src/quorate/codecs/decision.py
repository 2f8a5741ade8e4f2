"""Decisions as bytes: a version byte, then a positional MessagePack array; arrays as raw little-endian bytes.

Decoding is exact: every field comes back equal, arrays bit for bit (NaN payloads included).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from quorate.codecs import versioned
from quorate.core.types import NOTHING, Decision, MemberRun, OutputKind, Scalar, Source
from quorate.errors import InvalidInput

VERSION = 3


class _Wire(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Versions 1 to 3, field by field: the second has ``facts`` besides, the third ``features``."""

    id: str
    endpoint: str
    revision: int
    state_version: int
    source: Source
    times: tuple[float, float, float]
    context: dict[str, Scalar]
    strategies: tuple[str, ...]
    propensities: tuple[float, ...]
    assigned: str
    served: str | None
    members: tuple[MemberRun, ...]
    shape: tuple[int, int, int]
    outputs: bytes
    status: bytes
    answer: tuple[int, int, bytes] | None
    flags: tuple[bool, bool]
    rows: int
    input_digest: bytes
    output_kind: OutputKind
    classes: tuple[str, ...]
    unit: str | None
    error: str | None
    capture: str | None
    request_id: str | None
    idempotency_key: str | None
    traceparent: str | None
    facts: dict[str, Scalar] = {}
    features: tuple[int, bytes] | None = None


class Summary(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What is counted of a decision; ``times`` and ``flags`` are those of :class:`_Wire`, the rest is left packed."""

    id: str
    endpoint: str
    revision: int
    state_version: msgspec.Raw
    source: Source
    times: tuple[float, float, float]
    context: msgspec.Raw
    strategies: msgspec.Raw
    propensities: msgspec.Raw
    assigned: str
    served: str | None
    members: msgspec.Raw
    shape: msgspec.Raw
    outputs: msgspec.Raw
    status: msgspec.Raw
    answer: msgspec.Raw
    flags: tuple[bool, bool]
    rows: int
    input_digest: msgspec.Raw
    output_kind: msgspec.Raw
    classes: msgspec.Raw
    unit: msgspec.Raw
    error: str | None

    @property
    def arrived(self) -> float:
        """Unix seconds."""
        return self.times[0]

    @property
    def latency_ms(self) -> float:
        """From arrival to answer."""
        return self.times[2]

    @property
    def degraded(self) -> bool:
        """Whether a failed member is missing from the answer."""
        return self.flags[0]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a decision cannot hold a {type(value).__name__}")


_encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
_decode = msgspec.msgpack.Decoder(_Wire).decode
_summarise = msgspec.msgpack.Decoder(Summary).decode


def encode(decision: Decision) -> bytes:
    """One decision as bytes.

    Raises :class:`InvalidInput` when text or numbers in it have no encoding (an integer beyond 64 bits, a lone
    surrogate).
    """
    d = decision
    outputs, answer, features = d.outputs, d.answer, d.features
    wire = _Wire(
        d.id,
        d.endpoint,
        d.revision,
        d.state_version,
        d.source,
        (d.arrived, d.queue_ms, d.latency_ms),
        d.context if type(d.context) is dict else dict(d.context),
        d.strategies,
        d.propensities,
        d.assigned,
        d.served,
        d.members,
        outputs.shape,
        outputs.astype("<f4", copy=False).tobytes(),
        d.status.astype("i1", copy=False).tobytes(),
        None if answer is None else (*answer.shape, answer.astype("<f4", copy=False).tobytes()),
        (d.degraded, d.abstained),
        d.rows,
        d.input_digest,
        d.output_kind,
        d.classes,
        d.unit,
        d.error,
        d.capture,
        d.request_id,
        d.idempotency_key,
        d.traceparent,
        d.facts if type(d.facts) is dict else dict(d.facts),
        None if features is None else (features.shape[1], features.astype("<f4", copy=False).tobytes()),
    )
    try:
        return b"\x03" + _encode(wire)
    except (OverflowError, UnicodeEncodeError) as error:
        raise InvalidInput(
            f"A decision holds a value that cannot be recorded: {error}; send text without lone surrogates and "
            "integers of at most 64 bits.",
            path="context",
        ) from error


def decode(data: bytes) -> Decision:
    """The decision in ``data``, arrays read-only; :class:`JournalError` if its version is unknown or it is broken."""
    return versioned.read("A decision record", data, _READERS)


def summary(data: bytes) -> Summary:
    """What is counted of the decision in ``data``, for less than decoding it takes.

    :class:`JournalError` like :func:`decode`, though what is left packed is not looked into.
    """
    return versioned.read("A decision record", data, _SUMMARIES)


def _read(data: memoryview) -> Decision:
    w = _decode(data)
    n, m, k = w.shape
    answer = None
    if w.answer is not None:
        rows, width, raw = w.answer
        answer = np.frombuffer(raw, "<f4").reshape(rows, width)
    return Decision(
        id=w.id,
        endpoint=w.endpoint,
        revision=w.revision,
        state_version=w.state_version,
        source=w.source,
        arrived=w.times[0],
        queue_ms=w.times[1],
        latency_ms=w.times[2],
        context=w.context,
        strategies=w.strategies,
        propensities=w.propensities,
        assigned=w.assigned,
        served=w.served,
        members=w.members,
        outputs=np.frombuffer(w.outputs, "<f4").reshape(n, m, k),
        status=np.frombuffer(w.status, "i1").reshape(n, m),
        answer=answer,
        degraded=w.flags[0],
        rows=w.rows,
        input_digest=w.input_digest,
        output_kind=w.output_kind,
        classes=w.classes,
        unit=w.unit,
        error=w.error,
        abstained=w.flags[1],
        capture=w.capture,
        request_id=w.request_id,
        idempotency_key=w.idempotency_key,
        traceparent=w.traceparent,
        facts=w.facts or NOTHING,
        features=None if w.features is None else np.frombuffer(w.features[1], "<f4").reshape(w.rows, w.features[0]),
    )


_READERS: dict[int, Callable[[memoryview], Decision]] = {1: _read, 2: _read, 3: _read}
_SUMMARIES: dict[int, Callable[[memoryview], Summary]] = {1: _summarise, 2: _summarise, 3: _summarise}
