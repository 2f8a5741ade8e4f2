"""Calibrations for asyncio; the same calls as :class:`~quorate.client.calibrations.Calibrations`, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

from quorate.client import answers, calibration_requests, job_requests, learner_requests, wire
from quorate.client.asynchronous import AsyncClient
from quorate.client.calibration_requests import Refitted, Reliability
from quorate.client.wire import httpx


class AsyncCalibrations:
    """The calibrations of a server, by its control port, for one event loop; ``aclose`` it, or use ``async with``.

    Parameters and errors are those of :class:`~quorate.client.calibrations.Calibrations`; ``sleep`` is awaited.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = AsyncClient(
            url, api_key, timeout=timeout, deadline=3 * timeout, transport=transport, sleep=sleep
        )
        self._timeout = timeout
        self.url = self._client.url

    async def reliability(self, endpoint: str, *, rows: int | None = None) -> Reliability:
        """See :meth:`quorate.client.calibrations.Calibrations.reliability`."""
        reply = await self._client._exchange(calibration_requests.reliability(endpoint, rows))
        return answers.parsed(reply.body, Reliability)

    async def refit(self, endpoint: str, strategy: str) -> Refitted:
        """See :meth:`quorate.client.calibrations.Calibrations.refit`."""
        request = calibration_requests.refit(endpoint, strategy)
        try:
            response = await self._client._http.request(
                request.method,
                self.url + request.path,
                headers=dict(request.headers),
                content=request.content,
                timeout=self._timeout,
            )
        except httpx.RequestError as error:
            raise job_requests.unreachable(error, self.url, self._timeout) from None
        return answers.parsed(learner_requests.good(wire.reply(response)).body, Refitted)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def __aenter__(self) -> AsyncCalibrations:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
