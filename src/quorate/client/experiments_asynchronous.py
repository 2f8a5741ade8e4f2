"""Experiments for asyncio; the same calls as :class:`~quorate.client.experiments.Experiments`, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any

import msgspec

from quorate.client import answers, experiment_requests, job_requests, wire
from quorate.client.asynchronous import AsyncClient
from quorate.client.experiment_requests import Experiment
from quorate.client.requests import Request
from quorate.client.retries import Reply
from quorate.client.wire import httpx


class AsyncExperiments:
    """The experiments of a server, by its control port, for one event loop; ``aclose`` it, or use ``async with``.

    Parameters and errors are those of :class:`~quorate.client.experiments.Experiments`; ``sleep`` is awaited.
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
        self._sleep = sleep
        self.url = self._client.url

    async def _once(self, request: Request) -> Reply:
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
        return experiment_requests.good(wire.reply(response))

    async def register(self, registration: Mapping[str, Any]) -> Experiment:
        """See :meth:`quorate.client.experiments.Experiments.register`."""
        return experiment_requests.changed(await self._once(experiment_requests.register(registration)))

    async def revise(self, id: str, registration: Mapping[str, Any], *, version: int | None = None) -> Experiment:
        """See :meth:`quorate.client.experiments.Experiments.revise`."""
        return experiment_requests.changed(await self._once(experiment_requests.revise(id, registration, version)))

    async def withdraw(self, id: str, *, version: int | None = None) -> Experiment:
        """See :meth:`quorate.client.experiments.Experiments.withdraw`."""
        return experiment_requests.changed(await self._once(experiment_requests.withdraw(id, version)))

    async def start(self, id: str, *, version: int | None = None) -> Experiment:
        """See :meth:`quorate.client.experiments.Experiments.start`."""
        return experiment_requests.changed(await self._once(experiment_requests.change(id, "start", version)))

    async def stop(self, id: str, *, version: int | None = None) -> Experiment:
        """See :meth:`quorate.client.experiments.Experiments.stop`."""
        return experiment_requests.changed(await self._once(experiment_requests.change(id, "stop", version)))

    async def promote(self, id: str, *, version: int | None = None) -> Experiment:
        """See :meth:`quorate.client.experiments.Experiments.promote`."""
        return experiment_requests.changed(await self._once(experiment_requests.change(id, "promote", version)))

    async def keep(self, id: str, *, version: int | None = None) -> Experiment:
        """See :meth:`quorate.client.experiments.Experiments.keep`."""
        return experiment_requests.changed(await self._once(experiment_requests.change(id, "keep", version)))

    async def get(self, id: str) -> Experiment:
        """See :meth:`quorate.client.experiments.Experiments.get`."""
        return answers.parsed((await self._client._exchange(experiment_requests.one(id))).body, Experiment)

    async def list(self, *, endpoint: str | None = None, limit: int = 100) -> tuple[Experiment, ...]:
        """See :meth:`quorate.client.experiments.Experiments.list`."""
        reply = await self._client._exchange(experiment_requests.newest(endpoint, limit))
        return answers.parsed(reply.body, tuple[Experiment, ...])

    async def looks(self, id: str) -> tuple[dict[str, Any], ...]:
        """See :meth:`quorate.client.experiments.Experiments.looks`."""
        reply = await self._client._exchange(experiment_requests.looks(id))
        return answers.parsed(reply.body, tuple[dict[str, Any], ...])

    async def wait(self, id: str, *, every: float = 1.0) -> Experiment:
        """See :meth:`quorate.client.experiments.Experiments.wait`."""
        while not (found := await self.get(id)).decided:
            await self._sleep(every)
        return found

    async def report(self, id: str, reader: str = "manager") -> str:
        """The report for a ``manager`` or a ``statistician``: one HTML page."""
        request = experiment_requests.report(id, reader, as_json=False)
        return (await self._client._exchange(request)).body.decode()

    async def report_data(self, id: str) -> dict[str, Any]:
        """See :meth:`quorate.client.experiments.Experiments.report_data`."""
        request = experiment_requests.report(id, "statistician", as_json=True)
        return answers.parsed((await self._client._exchange(request)).body, dict[str, Any])

    async def plan(
        self,
        registration: Mapping[str, Any],
        *,
        days: float | None = None,
        daily_units: float | None = None,
        presence: float | None = None,
    ) -> dict[str, Any]:
        """See :meth:`quorate.client.experiments.Experiments.plan`."""
        request = experiment_requests.plan(registration, days=days, daily_units=daily_units, presence=presence)
        found: dict[str, Any] = msgspec.json.decode((await self._once(request)).body)
        return found

    async def self_test(
        self,
        registration: Mapping[str, Any],
        *,
        days: float | None = None,
        runs: int = 500,
        looks: int = 20,
        seed: int = 0,
    ) -> dict[str, Any]:
        """See :meth:`quorate.client.experiments.Experiments.self_test`."""
        request = experiment_requests.self_test(registration, days=days, runs=runs, looks=looks, seed=seed)
        found: dict[str, Any] = msgspec.json.decode((await self._once(request)).body)
        return found

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def __aenter__(self) -> AsyncExperiments:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
