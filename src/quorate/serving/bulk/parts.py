"""Rows that go through an endpoint together, whatever format they came in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from quorate.codecs.snapshot import Limits
from quorate.core.types import Scalar
from quorate.errors import MalformedRequest, QuorateError
from quorate.serving.inputs import InputReader
from quorate.serving.sight import Seen

_ROW = re.compile(r"^Row \d+")
_INDEX = re.compile(r"instances\[(\d+)\]")

Id = str | int | None


class Part(Protocol):
    """Consecutive rows with one context; ``first`` is the number of the first in the whole input.

    ``size`` is bytes.
    """

    first: int
    count: int
    size: int

    @property
    def context(self) -> Mapping[str, Scalar]:
        """What is known about these rows alone."""

    @property
    def faults(self) -> Mapping[int, QuorateError]:
        """Rows that cannot be read at all, by their index here."""

    def id(self, index: int) -> Id:
        """The row's own id, where it has one."""

    def raw(self, indices: Sequence[int], reader: InputReader, limits: Limits) -> dict[str, Any]:
        """Some of its rows as raw input; client errors name the place among ``indices`` as ``instances[place]``."""

    def digest(self, indices: Sequence[int]) -> bytes:
        """SHA-256 of some of its rows."""

    def seen(self, index: int, arrived: float, limits: Limits) -> Seen:
        """One of its rows as a front sees it, as a request of its own; the context is :attr:`context`."""


class Source(Protocol):
    """Reads a body; back-pressure is not taking parts."""

    ignored: Sequence[str]
    """Columns that the endpoint does not take, where the format names columns once."""

    async def take(self, rows: int) -> Sequence[Part] | None:
        """The next parts, of ``rows`` rows together at most, of what has come by now; None at the end."""

    def close(self) -> None:
        """Let go of what it holds."""


def place(error: QuorateError) -> int | None:
    """Which of the rows of a call an error is about; None where it is about none in particular."""
    found = _INDEX.match(error.path or "")
    return int(found[1]) if found else None


def about_row(error: QuorateError, number: int) -> QuorateError:
    """The error of a call as that of one row of a batch: it names the row's own number and fields."""
    message = _ROW.sub(f"Row {number}", error.message)
    message = _INDEX.sub("instance", message).replace("The body ", "The line ", 1)
    path = _INDEX.sub("instance", error.path or "", count=1)
    kind = type(error)
    try:
        return kind(message, path="instance" if path in ("", "body", "instances") else path)
    except TypeError:  # an error that is made otherwise
        return MalformedRequest(message, path=path)
