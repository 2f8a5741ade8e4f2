"""A client of the control port: what is served, decisions, previews and how an endpoint does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import httpx
import msgspec

from quorate.errors import QuorateError

TIMEOUT_S = 3.0
PIECES_S = 30.0
"""Seconds for each piece of a file."""


class ControlGone(QuorateError):
    """Control cannot be reached, or does not answer in time."""

    code = "not_ready"


class ControlRefused(QuorateError):
    """Control answered with an error; ``status`` is the HTTP status, ``path`` the field that it names."""

    code = "forbidden"

    def __init__(self, message: str, status: int, *, path: str | None = None) -> None:
        super().__init__(message, path=path)
        self.status = status


class Control:
    """One connection pool for all sessions; each request carries its session's key."""

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, trust_env=False, transport=transport)

    async def get(self, path: str, key: str | None, *, timeout_s: float = TIMEOUT_S) -> Any:
        """The JSON of a GET; raises :class:`ControlGone` and :class:`ControlRefused`."""
        return msgspec.json.decode((await self._send("GET", path, key, timeout=timeout_s)).content)

    async def send(
        self,
        method: str,
        path: str,
        key: str | None,
        *,
        body: Any = None,
        version: int | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        """Send ``body`` as JSON and return the JSON of the answer; raises as :meth:`get` does.

        With ``version`` the change is made only if nobody has changed the thing since.
        """
        headers = {} if version is None else {"if-match": f'"{version}"'}
        more: dict[str, Any] = {}
        if body is not None:
            headers["content-type"] = "application/json"
            more["content"] = msgspec.json.encode(body)
        response = await self._send(method, path, key, headers, timeout=timeout_s, **more)
        return msgspec.json.decode(response.content)

    async def fetch(self, path: str, key: str | None, *, accept: str, timeout_s: float = TIMEOUT_S) -> bytes:
        """The bytes of a GET, of the media type that is asked for; raises as :meth:`get` does."""
        return (await self._send("GET", path, key, {"accept": accept}, timeout=timeout_s)).content

    async def preview(self, model: str, body: bytes, content_type: str, key: str | None) -> bytes:
        """The PNG of what a model sees of an input; raises as :meth:`get` does."""
        path = f"/v1/models/{model}/preview"
        return (await self._send("POST", path, key, content=body, headers={"content-type": content_type})).content

    async def pieces(self, path: str, key: str | None) -> AsyncIterator[bytes]:
        """The bytes of a GET, piece by piece, of whatever size; raises as :meth:`get` does, before the first piece."""
        request = self._http.build_request("GET", path, headers={"x-api-key": key} if key else {}, timeout=PIECES_S)
        try:
            response = await self._http.send(request, stream=True)
            if not response.is_success:
                await response.aread()
        except httpx.TransportError:
            raise ControlGone("Control is not reachable.") from None
        if not response.is_success:
            detail, where = _problem(response)
            raise ControlRefused(detail, response.status_code, path=where)

        async def read() -> AsyncIterator[bytes]:
            async with aclosing(response):
                async for piece in response.aiter_bytes():
                    yield piece

        return read()

    async def _send(
        self, method: str, path: str, key: str | None, headers: Mapping[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        sent = {**(headers or {}), **({"x-api-key": key} if key else {})}
        try:
            response = await self._http.request(method, path, headers=sent, **more)
        except httpx.TransportError:
            raise ControlGone("Control is not reachable.") from None
        if response.is_success:
            return response
        detail, where = _problem(response)
        raise ControlRefused(detail, response.status_code, path=where)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()


def _problem(response: httpx.Response) -> tuple[str, str | None]:
    """What a problem document says is wrong, and the field that it names."""
    try:
        found = response.json()
        return str(found["detail"]), found.get("path")
    except (ValueError, KeyError, TypeError):
        return f"Control answered with status {response.status_code}.", None
