"""What the server answered, as frozen, typed values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypedDict, TypeVar

import msgspec

from quorate.client.errors import ServerFailed
from quorate.errors import InvalidInput, QuorateError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one row; what does not apply is None.

    Classification has ``label``, and unless the endpoint is blind ``confidence`` and ``probabilities`` (label to 0..1);
    regression has ``value``, or ``values`` (name to number) where there are several targets. ``abstained`` rows have no
    label but a ``reason``. ``members`` are those that answered the row, where the request or the strategy chose them.
    """

    label: str | None = None
    confidence: float | None = None
    probabilities: Mapping[str, float] | None = None
    value: float | None = None
    values: Mapping[str, float] | None = None
    abstained: bool | None = None
    reason: str | None = None
    members: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """One decision: ``predictions`` has one entry per row; ``id`` is what outcomes are told about.

    ``strategy``, ``degraded``, ``missing`` (members that should have answered) and ``latency_ms`` (inside the server)
    are None while the endpoint is blind. ``replayed`` says that a retry got the answer of an earlier try. ``raw`` is
    the whole JSON answer.
    """

    id: str
    endpoint: str
    predictions: tuple[Prediction, ...]
    strategy: str | None = None
    degraded: bool | None = None
    missing: tuple[str, ...] | None = None
    latency_ms: float | None = None
    replayed: bool = False
    request_id: str | None = None
    raw: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False, repr=False)

    @property
    def prediction(self) -> Prediction:
        """The prediction of a single row; :class:`~quorate.errors.InvalidInput` if there are several."""
        if len(self.predictions) != 1:
            raise InvalidInput(
                f"This answer has {len(self.predictions)} rows; read them from predictions.", path="predictions"
            )
        return self.predictions[0]

    @property
    def label(self) -> str | None:
        """The label of a single-row answer."""
        return self.prediction.label

    @property
    def confidence(self) -> float | None:
        """The confidence of a single-row answer."""
        return self.prediction.confidence

    @property
    def value(self) -> float | None:
        """The value of a single-row answer."""
        return self.prediction.value

    def __len__(self) -> int:
        return len(self.predictions)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.predictions)


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """One result of ``predict_many``: ``source`` is what was given, and either ``answer`` or ``error`` is set."""

    index: int
    source: Any
    answer: Answer | None = None
    error: QuorateError | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Rejected:
    """An outcome that can never be right; ``index`` is its place in what was sent."""

    index: int
    code: str
    detail: str
    path: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class OutcomeReceipt:
    """How many outcomes were new, known already, or wait for their decision, and those that were rejected."""

    accepted: int = 0
    duplicate: int = 0
    pending: int = 0
    rejected: tuple[Rejected, ...] = ()

    def plus(self, later: OutcomeReceipt, *, offset: int) -> OutcomeReceipt:
        """This and the receipt of a later part, which began at index ``offset``."""
        moved = (dataclasses.replace(each, index=each.index + offset) for each in later.rejected)
        return OutcomeReceipt(
            self.accepted + later.accepted,
            self.duplicate + later.duplicate,
            self.pending + later.pending,
            (*self.rejected, *moved),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output: ``shape`` has -1 where any length goes, first axis rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class EndpointInfo:
    """An endpoint as the server describes it: its revisions, and its raw inputs and outputs."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def takes_images(self) -> bool:
        """Does it take images rather than rows of a table?"""
        return [(each.name, each.datatype) for each in self.inputs] == [("image", "BYTES")]

    @property
    def is_endpoint(self) -> bool:
        """Is it an endpoint rather than a single model?"""
        return self.platform == "quorate_ensemble"


class _Entry(TypedDict):
    name: str


def answer(body: bytes, headers: Mapping[str, str]) -> Answer:
    """Read the body of a predict answer."""
    raw = parsed(body, dict[str, Any])
    return dataclasses.replace(
        _converted(raw, Answer),
        replayed=headers.get("idempotency-replayed") == "true",
        request_id=headers.get("x-request-id"),
        raw=raw,
    )


def index(body: bytes) -> tuple[str, ...]:
    """The names in a repository index, each once, in its order."""
    return tuple(dict.fromkeys(entry["name"] for entry in parsed(body, list[_Entry])))


def parsed(body: bytes, kind: type[T]) -> T:
    """JSON as ``kind``; :class:`~quorate.client.errors.ServerFailed` where it is something else."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _nonsense(error) from None


def _converted(raw: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise _nonsense(error) from None


def _nonsense(error: Exception) -> ServerFailed:
    return ServerFailed(
        f"What came back is no answer of a Quorate inference port ({error}); check the URL and what is in between.",
        code="bad_reply",
    )
