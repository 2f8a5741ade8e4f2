"""What the clients of a server's control port share: a look may be asked again, a change is asked once."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from quorate.client import answers, wire
from quorate.client.requests import Request
from quorate.client.sync import Client
from quorate.client.wire import httpx

Found = TypeVar("Found")


class ControlClient:
    """A connection to a server's control port (``http://127.0.0.1:8001``); close it, or use ``with``.

    A try waits ``timeout`` seconds. ``transport`` replaces httpx's own; ``sleep`` is for tests.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = Client(url, api_key, timeout=timeout, deadline=3 * timeout, transport=transport, sleep=sleep)
        self._timeout = timeout
        self._sleep = sleep
        self.url = self._client.url

    def _ask(self, request: Request, kind: type[Found]) -> Found:
        return answers.parsed(self._client._exchange(request).body, kind)

    def _ask_once(self, request: Request, kind: type[Found], content: Any = None) -> Found:
        """``content``, if given, is sent in the place of the request's own: a stream."""
        try:
            response = self._client._http.request(
                request.method,
                self.url + request.path,
                headers=dict(request.headers),
                content=request.content if content is None else content,
                timeout=self._timeout,
            )
        except httpx.RequestError as error:
            raise wire.unreachable(error, self.url, self._timeout) from None
        return answers.parsed(wire.good(wire.reply(response)).body, kind)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
