"""Errors over gRPC: the one table from error code to status, with the sentence that REST has."""

from __future__ import annotations

import math
from typing import NamedTuple

import grpc

from quorate.errors import NotReady, Overloaded
from quorate.web.problem import sentence, status_of

Metadata = tuple[tuple[str, str], ...]

TABLE: dict[str, grpc.StatusCode] = {
    "malformed_request": grpc.StatusCode.INVALID_ARGUMENT,
    "unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
    "forbidden": grpc.StatusCode.PERMISSION_DENIED,
    "not_found": grpc.StatusCode.NOT_FOUND,
    "method_not_allowed": grpc.StatusCode.UNIMPLEMENTED,
    "conflict": grpc.StatusCode.ABORTED,
    "too_large": grpc.StatusCode.INVALID_ARGUMENT,  # RESOURCE_EXHAUSTED would be tried again
    "unsupported_media_type": grpc.StatusCode.INVALID_ARGUMENT,
    "invalid_input": grpc.StatusCode.INVALID_ARGUMENT,
    "overloaded": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "internal": grpc.StatusCode.INTERNAL,
    "not_ready": grpc.StatusCode.UNAVAILABLE,
    "no_quorum": grpc.StatusCode.DEADLINE_EXCEEDED,
    "invalid_config": grpc.StatusCode.INVALID_ARGUMENT,
    "registry": grpc.StatusCode.FAILED_PRECONDITION,
    "format_refused": grpc.StatusCode.FAILED_PRECONDITION,
    "parity": grpc.StatusCode.FAILED_PRECONDITION,
    "integrity": grpc.StatusCode.INTERNAL,
    "store": grpc.StatusCode.UNAVAILABLE,
    "journal": grpc.StatusCode.UNAVAILABLE,
}
"""Error code -> gRPC status; the codes are those of ``web/problem.py``."""

MAX_DETAILS = 4096
"""Bytes of a status message on the wire: clients take 8 KiB of metadata, all together."""


class Failure(NamedTuple):
    """What a call ends with."""

    code: grpc.StatusCode
    details: str
    trailing: Metadata


def failure(error: BaseException) -> Failure:
    """The status of an error; an exception that is not ours shows nothing of its inside."""
    _, _, code = status_of(error)
    trailing: Metadata = (("quorate-code", code),)
    if isinstance(error, Overloaded | NotReady) and error.retry_after is not None:
        seconds = max(1, math.ceil(error.retry_after))
        # The second one is what gRPC's own retries obey, in milliseconds.
        trailing += (("retry-after", str(seconds)), ("grpc-retry-pushback-ms", str(seconds * 1000)))
    return Failure(TABLE.get(code, grpc.StatusCode.INTERNAL), fitting(sentence(error)), trailing)


def fitting(text: str) -> str:
    """The beginning of a text that has :data:`MAX_DETAILS` bytes at most once it is percent-encoded for the wire."""
    left = MAX_DETAILS
    for place, character in enumerate(text):
        plain = " " <= character <= "~" and character != "%"
        left -= 1 if plain else 3 * len(character.encode("utf-8", "replace"))
        if left < 9:  # room for the mark that something is missing
            return text[:place] + "…"
    return text
