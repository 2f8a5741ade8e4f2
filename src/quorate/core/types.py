"""The frozen records that pass between the parts of the house."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
StatusArray = NDArray[np.int8]
BoolArray = NDArray[np.bool_]
Tensors = dict[str, NDArray[Any]]
Scalar = str | int | float | bool | None

OutputKind = Literal["scores", "values"]
InputKind = Literal["image", "array", "columns"]
Source = Literal["policy", "caller", "rule", "fallback", "cache"]
NOTHING: Mapping[str, Scalar] = MappingProxyType({})


class Status(IntEnum):
    """What became of one member for one row. Skipped is not failed: only failed makes an answer degraded."""

    OK = 0
    FAILED = 1
    SKIPPED = 2


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named tensor.

    ``shape`` excludes nothing: the first axis is rows; ``None`` means any length.
    ``dtype`` is a numpy name (``uint8``, ``int64``, ``float32``, ``float64``, ``bool``), ``str`` for text or
    ``bytes`` for encoded images. ``nullable`` says whether NaN (``null`` in JSON) is a value or a mistake.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    nullable: bool = False

    def __str__(self) -> str:
        lengths = ["?" if length is None else str(length) for length in self.shape]
        if self.shape and self.shape[0] is None:
            lengths[0] = "N"
        return f"{self.name}[{','.join(lengths)}] {self.dtype}"


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """What a model answers for a row.

    ``scores``: one probability per class, float32 ``[n, len(classes)]``, rows sum to 1.
    ``values``: float32 ``[n, len(names)]``; ``names`` are the targets, ``units`` theirs where known.
    """

    kind: OutputKind
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Numbers per row."""
        return len(self.classes) if self.kind == "scores" else len(self.names)


@dataclass(frozen=True, slots=True)
class Signature:
    """A model's *raw* input, before preprocessing, and its output. Members of a pool have equal signatures.

    ``image``: one tensor ``image``: encoded bytes, or uint8 ``[n, h, w]`` or ``[n, h, w, c]``.
    ``array``: one numeric tensor ``input`` ``[n, …]``. ``columns``: one tensor ``[n]`` per column.
    """

    input_kind: InputKind
    inputs: tuple[TensorSpec, ...]
    output: OutputSpec


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model on disk, verified and ready for a runtime to load.

    ``folder`` holds ``files`` (relative names); ``digest`` covers all of them. ``tensors`` are the artifact's
    *own* inputs, after preprocessing; ``output_name`` is the output tensor that carries ``signature.output``.
    ``options`` are the runtime's own settings (an entry function, trusted types).
    """

    name: str
    version: int
    format: str
    folder: Path
    files: tuple[str, ...]
    digest: str
    signature: Signature
    tensors: tuple[TensorSpec, ...]
    output_name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class State:
    """A combiner's or policy's fitted or learned state: JSON metadata and numeric arrays, never code.

    ``kind`` is the plugin that reads it, ``version`` its format.
    """

    kind: str
    version: int
    meta: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MemberOutputs:
    """What the members of a pool said: ``values`` float32 ``[n, m, k]``, ``status`` int8 ``[n, m]`` (:class:`Status`).

    ``values`` is undefined (NaN by convention) where the status is not ``OK``.
    """

    values: FloatArray
    status: StatusArray


class MemberRun(NamedTuple):
    """One member's part in one decision; ``latency_ms`` is None when it did not run.

    Members fused into one graph share one latency. ``reason`` is an error code of a :class:`MemberError`.
    """

    name: str
    version: int
    status: Status
    latency_ms: float | None = None
    reason: str | None = None


class Decision(NamedTuple):
    """The record of one answer, the spine from which metrics, learning, verdicts and audit derive.

    Times: ``arrived`` is Unix seconds; ``queue_ms`` from arrival to the first member's start; ``latency_ms`` from
    arrival to the answer. ``strategies`` and ``propensities`` are parallel: the probability with which each could
    have been assigned; all are 0 where the caller chose a member. ``assigned`` is what the policy (or caller) chose,
    ``served`` what answered (None on error).
    ``outputs`` float32 ``[n, m, k]`` and ``status`` int8 ``[n, m]`` follow ``members``; ``answer`` float32 ``[n, k]``.
    ``facts`` are what the policy looked at besides the ``context``, which the caller sends.
    ``features`` float32 ``[n, d]`` are what a combiner of the endpoint looks at besides the outputs; None where none
    does.
    ``capture`` says what became of the input (:mod:`quorate.core.capture`); None where it was not to be kept.
    ``unit`` is the key of sticky assignment. ``error`` is the code of the error that was answered instead.
    ``abstained`` says that an answer was withheld, though it is on record: of the rows ``withheld``, or of all where
    these are not named.
    """

    id: str
    endpoint: str
    revision: int
    state_version: int
    source: Source
    arrived: float
    queue_ms: float
    latency_ms: float
    context: Mapping[str, Scalar]
    strategies: tuple[str, ...]
    propensities: tuple[float, ...]
    assigned: str
    served: str | None
    members: tuple[MemberRun, ...]
    outputs: FloatArray
    status: StatusArray
    answer: FloatArray | None
    degraded: bool
    rows: int
    input_digest: bytes
    output_kind: OutputKind = "scores"
    classes: tuple[str, ...] = ()
    unit: str | None = None
    error: str | None = None
    abstained: bool = False
    capture: str | None = None
    request_id: str | None = None
    idempotency_key: str | None = None
    traceparent: str | None = None
    facts: Mapping[str, Scalar] = NOTHING
    features: FloatArray | None = None
    withheld: tuple[int, ...] = ()

    def withholds(self, row: int) -> bool:
        """Whether a row was told no answer."""
        return self.abstained and (not self.withheld or row in self.withheld)


class Outcome(NamedTuple):
    """The truth or rewards for row ``row`` of decision ``decision``.

    Exactly one of ``truth`` (a class label or a number) and ``rewards`` (metric name to number; a single
    ``reward`` is the metric ``reward``) is set. ``at`` is when it became known, ``received`` when it arrived,
    both Unix seconds.
    """

    decision: str
    row: int
    truth: str | float | None = None
    rewards: Mapping[str, float] = MappingProxyType({})
    source: str = "user"
    at: float = 0.0
    received: float = 0.0
