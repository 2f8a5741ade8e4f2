"""Experiments from a client's side: registered, planned, started and concluded on the control port."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import msgspec

from quorate.client import answers, experiment_requests, job_requests, wire
from quorate.client.experiment_requests import Experiment
from quorate.client.requests import Request
from quorate.client.retries import Reply
from quorate.client.sync import Client
from quorate.client.wire import httpx


class Experiments:
    """The experiments of a server, by its control port (``http://127.0.0.1:8001``); close it, or use ``with``.

    The key needs the role ``operate``. What changes anything is asked once; with ``version`` only if nobody has changed
    the experiment since. A registration is what docs/experiments.md describes, as a mapping. Errors are those of
    :class:`~quorate.client.sync.Client`.
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

    def _once(self, request: Request) -> Reply:
        try:
            response = self._client._http.request(
                request.method,
                self.url + request.path,
                headers=dict(request.headers),
                content=request.content,
                timeout=self._timeout,
            )
        except httpx.RequestError as error:
            raise job_requests.unreachable(error, self.url, self._timeout) from None
        return experiment_requests.good(wire.reply(response))

    def register(self, registration: Mapping[str, Any]) -> Experiment:
        """Register an experiment; it does not start yet."""
        return experiment_requests.changed(self._once(experiment_requests.register(registration)))

    def revise(self, id: str, registration: Mapping[str, Any], *, version: int | None = None) -> Experiment:
        """Put another registration in the place of one that has not started."""
        return experiment_requests.changed(self._once(experiment_requests.revise(id, registration, version)))

    def withdraw(self, id: str, *, version: int | None = None) -> Experiment:
        """Forget an experiment that has not started."""
        return experiment_requests.changed(self._once(experiment_requests.withdraw(id, version)))

    def start(self, id: str, *, version: int | None = None) -> Experiment:
        """Split the endpoint's traffic as registered."""
        return experiment_requests.changed(self._once(experiment_requests.change(id, "start", version)))

    def stop(self, id: str, *, version: int | None = None) -> Experiment:
        """End a running experiment; what was served before is served again."""
        return experiment_requests.changed(self._once(experiment_requests.change(id, "stop", version)))

    def promote(self, id: str, *, version: int | None = None) -> Experiment:
        """Serve the winner alone."""
        return experiment_requests.changed(self._once(experiment_requests.change(id, "promote", version)))

    def keep(self, id: str, *, version: int | None = None) -> Experiment:
        """After the verdict, serve what was served before."""
        return experiment_requests.changed(self._once(experiment_requests.change(id, "keep", version)))

    def get(self, id: str) -> Experiment:
        """An experiment and its newest look."""
        return answers.parsed(self._client._exchange(experiment_requests.one(id)).body, Experiment)

    def list(self, *, endpoint: str | None = None, limit: int = 100) -> tuple[Experiment, ...]:
        """The newest experiments, newest first."""
        reply = self._client._exchange(experiment_requests.newest(endpoint, limit))
        return answers.parsed(reply.body, tuple[Experiment, ...])

    def looks(self, id: str) -> tuple[dict[str, Any], ...]:
        """Every look that was taken, in order."""
        reply = self._client._exchange(experiment_requests.looks(id))
        return answers.parsed(reply.body, tuple[dict[str, Any], ...])

    def wait(self, id: str, *, every: float = 1.0) -> Experiment:
        """Return when there is a verdict, looking ``every`` seconds."""
        while not (found := self.get(id)).decided:
            self._sleep(every)
        return found

    def report(self, id: str, reader: str = "manager") -> str:
        """The report for a ``manager`` or a ``statistician``: one HTML page."""
        request = experiment_requests.report(id, reader, as_json=False)
        return self._client._exchange(request).body.decode()

    def report_data(self, id: str) -> dict[str, Any]:
        """Everything in the reports, as JSON values."""
        request = experiment_requests.report(id, "statistician", as_json=True)
        return answers.parsed(self._client._exchange(request).body, dict[str, Any])

    def plan(
        self,
        registration: Mapping[str, Any],
        *,
        days: float | None = None,
        daily_units: float | None = None,
        presence: float | None = None,
    ) -> dict[str, Any]:
        """How many units and days it takes, from the endpoint's own traffic of the last ``days``.

        ``stop.max_units`` and ``stop.max_days`` may be left out. ``daily_units`` and ``presence`` (the share of units
        whose outcome becomes known) take the place of what was seen.
        """
        request = experiment_requests.plan(registration, days=days, daily_units=daily_units, presence=presence)
        found: dict[str, Any] = msgspec.json.decode(self._once(request).body)
        return found

    def self_test(
        self,
        registration: Mapping[str, Any],
        *,
        days: float | None = None,
        runs: int = 500,
        looks: int = 20,
        seed: int = 0,
    ) -> dict[str, Any]:
        """How often the method finds a difference on the endpoint's own units where there is none."""
        request = experiment_requests.self_test(registration, days=days, runs=runs, looks=looks, seed=seed)
        found: dict[str, Any] = msgspec.json.decode(self._once(request).body)
        return found

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def __enter__(self) -> Experiments:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
