"""A client of the control port: what is served, decisions, previews and how an endpoint does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

from quorate.errors import QuorateError

TIMEOUT_S = 3.0


class ControlGone(QuorateError):
    """Control cannot be reached, or does not answer in time."""

    code = "not_ready"


class ControlRefused(QuorateError):
    """Control answered with an error; ``status`` is the HTTP status."""

    code = "forbidden"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Control:
    """One connection pool for all sessions; each request carries its session's key."""

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, trust_env=False, transport=transport)

    async def get(self, path: str, key: str | None, *, timeout_s: float = TIMEOUT_S) -> Any:
        """The JSON of a GET; raises :class:`ControlGone` and :class:`ControlRefused`."""
        return msgspec.json.decode((await self._send("GET", path, key, timeout=timeout_s)).content)

    async def preview(self, model: str, body: bytes, content_type: str, key: str | None) -> bytes:
        """The PNG of what a model sees of an input; raises as :meth:`get` does."""
        path = f"/v1/models/{model}/preview"
        return (await self._send("POST", path, key, content=body, headers={"content-type": content_type})).content

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
        raise ControlRefused(_detail(response), response.status_code)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"Control answered with status {response.status_code}."
