"""Answering at most once per idempotency key."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

from quorate.errors import Conflict, InvalidInput
from quorate.serving.http import Reply, Request
from quorate.serving.idempotency import Claimed, IdempotencyTable, InProgress, Mismatch, Replay


async def once(
    table: IdempotencyTable,
    request: Request,
    answer: Callable[[], Awaitable[Reply]],
    *,
    caller: str | None,
    key: str,
    digest: bytes,
) -> Reply:
    """Answer an HTTP request at most once per caller and idempotency key; see :func:`at_most_once`.

    ``digest`` is of the request's body.
    """
    asked = request.path.encode() + b"\0" + request.query + b"\0" + digest
    return await at_most_once(table, answer, caller=caller, key=key, asked=asked)


async def at_most_once(
    table: IdempotencyTable, answer: Callable[[], Awaitable[Reply]], *, caller: str | None, key: str, asked: bytes
) -> Reply:
    """Answer at most once per caller and idempotency key: a retry gets the first answer, from any worker.

    ``asked`` is what tells requests apart. :class:`Conflict` while the first request is being answered,
    :class:`InvalidInput` where the key was used for another; a request that fails gives the key back.
    """
    key = f"{caller or ''} {key}"  # a key holds no blank
    claim = await table.claim(key, hashlib.sha256(asked).digest())
    match claim:
        case Replay(status, headers, body):
            return status, [*headers, (b"idempotency-replayed", b"true")], body
        case InProgress():
            raise Conflict(
                "A request with this Idempotency-Key is still being answered; retry when it is.",
                path="Idempotency-Key",
            )
        case Mismatch():
            raise InvalidInput(
                "This Idempotency-Key was used for another request; use a new key.", path="Idempotency-Key"
            )
        case Claimed():
            pass
    try:
        reply = await answer()
    except BaseException:
        await table.release(key)
        raise
    if isinstance(reply[2], bytes):  # what is streamed cannot be kept, and takes no key
        await table.finish(key, reply[0], reply[1], reply[2])
    return reply
