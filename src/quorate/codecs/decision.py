"""Decisions as bytes: a version byte, then a positional MessagePack array; arrays as raw little-endian bytes.

Decoding is exact: every field comes back equal, arrays bit for bit (NaN payloads included).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from quorate.codecs import versioned
from quorate.core.types import NOTHING, Decision, FloatArray, MemberRun, OutputKind, Scalar, Source
from quorate.errors import InvalidInput

VERSION = 3


class _Wire(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Versions 1 to 3, field by field: the second has ``facts`` besides, the third ``features``.

    ``withheld`` may be missing in any: a release that does not know it takes the whole decision for abstained.
    """

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
    withheld: tuple[int, ...] = ()


class Packed(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What joining and learning look at of a decision: arrays are bytes with their shape beside them, so that those of
    many become one array without an array of each; the rest is left packed.

    ``times`` are arrival, queue and latency, ``shape`` that of the outputs, ``flags`` degraded and abstained; the rest
    is as in :class:`Decision`.
    """

    id: str
    endpoint: str
    revision: int
    state_version: msgspec.Raw
    source: Source
    times: tuple[float, float, float]
    context: dict[str, Scalar]
    strategies: msgspec.Raw
    propensities: tuple[float, ...]
    assigned: str
    served: msgspec.Raw
    members: msgspec.Raw
    shape: tuple[int, int, int]
    outputs: bytes
    status: bytes
    answer: tuple[int, int, bytes] | None
    flags: tuple[bool, bool]
    rows: int
    input_digest: msgspec.Raw
    output_kind: OutputKind
    classes: tuple[str, ...]
    unit: msgspec.Raw
    error: str | None
    capture: str | None
    request_id: msgspec.Raw
    idempotency_key: msgspec.Raw
    traceparent: msgspec.Raw
    facts: dict[str, Scalar] = {}
    features: tuple[int, bytes] | None = None
    withheld: tuple[int, ...] = ()

    @property
    def arrived(self) -> float:
        """Unix seconds."""
        return self.times[0]

    @property
    def latency_ms(self) -> float:
        """From arrival to answer."""
        return self.times[2]

    def withholds(self, row: int) -> bool:
        """Whether a row was told no answer."""
        return self.flags[1] and (not self.withheld or row in self.withheld)

    def answered(self) -> FloatArray | None:
        """The answer ``[n, k]``, read-only."""
        if self.answer is None:
            return None
        rows, width, raw = self.answer
        return np.frombuffer(raw, "<f4").reshape(rows, width)


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
_pack = msgspec.msgpack.Decoder(Packed).decode
_summarise = msgspec.msgpack.Decoder(Summary).decode


def pack(decision: Decision) -> Packed:
    """A decision as :func:`packed` would read it."""
    return packed(encode(decision))


def _wire(d: Decision) -> _Wire:
    outputs, answer, features = d.outputs, d.answer, d.features
    return _Wire(
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
        d.withheld,
    )


def encode(decision: Decision) -> bytes:
    """One decision as bytes.

    Raises :class:`InvalidInput` when text or numbers in it have no encoding (an integer beyond 64 bits, a lone
    surrogate).
    """
    try:
        return b"\x03" + _encode(_wire(decision))
    except (OverflowError, UnicodeEncodeError) as error:
        raise InvalidInput(
            f"A decision holds a value that cannot be recorded: {error}; send text without lone surrogates and "
            "integers of at most 64 bits.",
            path="context",
        ) from error


def decode(data: bytes) -> Decision:
    """The decision in ``data``, arrays read-only; :class:`JournalError` if its version is unknown or it is broken."""
    return versioned.read("A decision record", data, _READERS)


def packed(data: bytes) -> Packed:
    """The decision in ``data`` as it was recorded; :class:`JournalError` like :func:`decode`."""
    return versioned.read("A decision record", data, _PACKED)


def summary(data: bytes) -> Summary:
    """What is counted of the decision in ``data``, for less than decoding it takes.

    :class:`JournalError` like :func:`decode`, though what is left packed is not looked into.
    """
    return versioned.read("A decision record", data, _SUMMARIES)


def _read(data: bytes) -> Decision:
    w = _decode(data)
    n, m, k = w.shape
    answer = None if w.answer is None else np.frombuffer(w.answer[2], "<f4").reshape(w.answer[:2])
    return Decision(
        w.id,
        w.endpoint,
        w.revision,
        w.state_version,
        w.source,
        *w.times,
        w.context,
        w.strategies,
        w.propensities,
        w.assigned,
        w.served,
        w.members,
        np.frombuffer(w.outputs, "<f4").reshape(n, m, k),
        np.frombuffer(w.status, "i1").reshape(n, m),
        answer,
        w.flags[0],
        w.rows,
        w.input_digest,
        w.output_kind,
        w.classes,
        w.unit,
        w.error,
        w.flags[1],
        w.capture,
        w.request_id,
        w.idempotency_key,
        w.traceparent,
        w.facts or NOTHING,
        None if w.features is None else np.frombuffer(w.features[1], "<f4").reshape(w.rows, w.features[0]),
        w.withheld,
    )


def _read_packed(data: bytes) -> Packed:
    found = _pack(data)
    n, m, k = found.shape
    rows, width, raw = found.answer or (0, 0, b"")
    features = found.features or (0, b"")
    arrays = (found.outputs, found.status, raw, features[1])
    if tuple(map(len, arrays)) != (4 * n * m * k, n * m, 4 * rows * width, 4 * found.rows * features[0]):
        raise ValueError("its arrays are not of the shapes that it says")
    return found


_READERS: dict[int, Callable[[bytes], Decision]] = dict.fromkeys((1, 2, 3), _read)
_SUMMARIES: dict[int, Callable[[bytes], Summary]] = dict.fromkeys((1, 2, 3), _summarise)
_PACKED: dict[int, Callable[[bytes], Packed]] = dict.fromkeys((1, 2, 3), _read_packed)
