"""Experiments for asyncio; the same calls as :class:`~quorate.client.experiments.Experiments`, awaited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.client import experiment_requests
from quorate.client.control_asynchronous import AsyncControlClient
from quorate.client.experiment_requests import Experiment


class AsyncExperiments(AsyncControlClient):
    """The experiments of a server, by its control port, for one event loop; ``aclose`` it, or use ``async with``.

    Parameters and errors are those of :class:`~quorate.client.experiments.Experiments`; ``sleep`` is awaited.
    """

    async def register(self, registration: Mapping[str, Any]) -> Experiment:
        """See :meth:`quorate.client.experiments.Experiments.register`."""
        return await self._ask_once(experiment_requests.register(registration), Experiment)

    async def revise(self, id: str, registration: Mapping[str, Any], *, version: int | None = None) -> Experiment:
        """See :meth:`quorate.client.experiments.Experiments.revise`."""
        return await self._ask_once(experiment_requests.revise(id, registration, version), Experiment)

    async def withdraw(self, id: str, *, version: int | None = None) -> Experiment:
        """See :meth:`quorate.client.experiments.Experiments.withdraw`."""
        return await self._ask_once(experiment_requests.withdraw(id, version), Experiment)

    async def start(self, id: str, *, version: int | None = None) -> Experiment:
        """See :meth:`quorate.client.experiments.Experiments.start`."""
        return await self._ask_once(experiment_requests.change(id, "start", version), Experiment)

    async def stop(self, id: str, *, version: int | None = None) -> Experiment:
        """See :meth:`quorate.client.experiments.Experiments.stop`."""
        return await self._ask_once(experiment_requests.change(id, "stop", version), Experiment)

    async def promote(self, id: str, *, version: int | None = None) -> Experiment:
        """See :meth:`quorate.client.experiments.Experiments.promote`."""
        return await self._ask_once(experiment_requests.change(id, "promote", version), Experiment)

    async def keep(self, id: str, *, version: int | None = None) -> Experiment:
        """See :meth:`quorate.client.experiments.Experiments.keep`."""
        return await self._ask_once(experiment_requests.change(id, "keep", version), Experiment)

    async def get(self, id: str) -> Experiment:
        """See :meth:`quorate.client.experiments.Experiments.get`."""
        return await self._ask(experiment_requests.one(id), Experiment)

    async def list(self, *, endpoint: str | None = None, limit: int = 100) -> tuple[Experiment, ...]:
        """See :meth:`quorate.client.experiments.Experiments.list`."""
        return await self._ask(experiment_requests.newest(endpoint, limit), tuple[Experiment, ...])

    async def looks(self, id: str) -> tuple[dict[str, Any], ...]:
        """See :meth:`quorate.client.experiments.Experiments.looks`."""
        return await self._ask(experiment_requests.looks(id), tuple[dict[str, Any], ...])

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
        return await self._ask(request, dict[str, Any])

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
        return await self._ask_once(request, dict[str, Any])

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
        return await self._ask_once(request, dict[str, Any])
