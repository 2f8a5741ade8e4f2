"""Request headers that are taken over: request id, trace context, idempotency key."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

from quorate.errors import MalformedRequest

_RANDOM = random.Random()
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_ONCE = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"host",
        b"idempotency-key",
        b"inference-header-content-length",
        b"origin",
        b"x-api-key",
    }
)
_KEY = re.compile(rb"[!-~]{1,255}")


def check(received: Sequence[tuple[bytes, bytes]], headers: Mapping[bytes, bytes]) -> None:
    """Refuse (:class:`MalformedRequest`) a head that two readers could understand differently.

    ``received`` is all headers in order, ``headers`` the last of each name. A proxy may obey the first of two Hosts and
    we the last. (A body with both a length and chunks the parser refuses itself.)
    """
    if len(headers) < len(received):
        names = [name for name, _ in received]
        for name in _ONCE:
            if names.count(name) > 1:
                shown = name.decode().title()
                raise MalformedRequest(f"The header {shown} is sent {names.count(name)} times; send one.", path=shown)


def request_id(header: bytes | None) -> str:
    """The client's X-Request-Id where it is harmless to log and send back, else a new one."""
    if header is not None and _REQUEST_ID.fullmatch(header):
        return header.decode("ascii")
    return f"{_RANDOM.getrandbits(128):032x}"


def traceparent(header: bytes | None) -> str | None:
    """A valid W3C traceparent, passed on unchanged; an invalid one is ignored, as the standard says.

    Source: https://www.w3.org/TR/trace-context/#traceparent-header
    """
    found = _TRACEPARENT.fullmatch(header) if header is not None else None
    if found is None:
        return None
    version, trace, parent, more = found.groups()
    if version == b"ff" or not trace.strip(b"0") or not parent.strip(b"0") or (version == b"00" and more):
        return None
    return found[0].decode("latin-1")


def idempotency_key(header: bytes | None) -> str | None:
    """A valid Idempotency-Key, None where there is none; :class:`MalformedRequest` for one that cannot be a key."""
    if header is None:
        return None
    if not _KEY.fullmatch(header):
        raise MalformedRequest(
            f"The Idempotency-Key must be 1 to 255 visible ASCII characters; got {len(header)} bytes.",
            path="Idempotency-Key",
        )
    return header.decode("ascii")
