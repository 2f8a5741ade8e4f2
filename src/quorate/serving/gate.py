"""What every route of the inference port asks of a request before it is answered, and how it is answered once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from quorate.errors import NotReady
from quorate.serving.http import Reply, Request
from quorate.serving.idempotency import IdempotencyTable
from quorate.serving.once import once
from quorate.serving.plane import Plane
from quorate.web import headers as header
from quorate.web.hosts import HostPolicy
from quorate.web.limits import read_body


class Gate:
    """The port's checks, by the current generation's hosts, keys and limits; ``ready`` says whether requests may come.

    ``idempotency`` is shared by all workers of a machine.
    """

    def __init__(self, plane: Plane, *, host: str, idempotency: IdempotencyTable, ready: Callable[[], bool]) -> None:
        self._plane = plane
        self._host = host
        self._idempotency = idempotency
        self._ready = ready
        self._kept: set[asyncio.Task[Reply]] = set()
        self._hosts = HostPolicy(host)
        self._hosts_of = -1

    def check(self, request: Request) -> None:
        """Refuse a head that is ambiguous, or meant for somebody else."""
        header.check(request.received, request.headers)
        generation = self._plane.generation
        if generation.version != self._hosts_of:
            self._hosts = HostPolicy(self._host, generation.routing.hosts)
            self._hosts_of = generation.version
        self._hosts.check(request.method, request.headers.get(b"host"), request.headers.get(b"origin"))

    def authorise(self, request: Request, role: str) -> str | None:
        """The id of the caller's key, None where no keys are needed."""
        keyring = self._plane.generation.keyring
        return keyring.authorise(request.headers.get(b"authorization"), request.headers.get(b"x-api-key"), role)

    def whole(self, request: Request) -> bytes | None:
        """The body, where it is here and can be taken as it is."""
        whole = request.whole
        fits = whole is not None and len(whole) <= self._plane.generation.limits.body_bytes
        return whole if fits and b"content-encoding" not in request.headers else None

    async def body(self, request: Request) -> bytes:
        """The whole body, within the limits."""
        whole = self.whole(request)
        if whole is not None:
            return whole
        headers = request.headers
        return await read_body(
            request.receive,
            limit=self._plane.generation.limits.body_bytes,
            content_length=headers.get(b"content-length"),
            encoding=headers.get(b"content-encoding"),
        )

    def need_ready(self) -> None:
        """Raise :class:`NotReady` while requests may not come."""
        if not self._ready():
            raise NotReady("This worker is starting or draining; try again in a moment.")

    async def once(
        self, request: Request, answer: Callable[[], Awaitable[Reply]], caller: str | None, key: str, digest: bytes
    ) -> Reply:
        """Answer once per key, to the end also where the client leaves: with the same key it may come back."""

        async def pinned() -> Reply:
            with self._plane.pinned():
                return await once(self._idempotency, request, answer, caller=caller, key=key, digest=digest)

        task = asyncio.ensure_future(pinned())
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)
        return await asyncio.shield(task)

    async def finish(self) -> None:
        """Wait for requests with a key whose clients have left."""
        await asyncio.gather(*self._kept, return_exceptions=True)
