"""Experiments from a client's side: registered, planned, started and concluded on the control port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.client import experiment_requests
from quorate.client.control import ControlClient
from quorate.client.experiment_requests import Experiment


class Experiments(ControlClient):
    """The experiments of a server, by its control port (``http://127.0.0.1:8001``); close it, or use ``with``.

    The key needs the role ``operate``. What changes anything is asked once; with ``version`` only if nobody has changed
    the experiment since. A registration is what docs/experiments.md describes, as a mapping. Errors are those of
    :class:`~quorate.client.sync.Client`.
    """

    def register(self, registration: Mapping[str, Any]) -> Experiment:
        """Register an experiment; it does not start yet."""
        return self._ask_once(experiment_requests.register(registration), Experiment)

    def revise(self, id: str, registration: Mapping[str, Any], *, version: int | None = None) -> Experiment:
        """Put another registration in the place of one that has not started."""
        return self._ask_once(experiment_requests.revise(id, registration, version), Experiment)

    def withdraw(self, id: str, *, version: int | None = None) -> Experiment:
        """Forget an experiment that has not started."""
        return self._ask_once(experiment_requests.withdraw(id, version), Experiment)

    def start(self, id: str, *, version: int | None = None) -> Experiment:
        """Split the endpoint's traffic as registered."""
        return self._ask_once(experiment_requests.change(id, "start", version), Experiment)

    def stop(self, id: str, *, version: int | None = None) -> Experiment:
        """End a running experiment; what was served before is served again."""
        return self._ask_once(experiment_requests.change(id, "stop", version), Experiment)

    def promote(self, id: str, *, version: int | None = None) -> Experiment:
        """Serve the winner alone."""
        return self._ask_once(experiment_requests.change(id, "promote", version), Experiment)

    def keep(self, id: str, *, version: int | None = None) -> Experiment:
        """After the verdict, serve what was served before."""
        return self._ask_once(experiment_requests.change(id, "keep", version), Experiment)

    def get(self, id: str) -> Experiment:
        """An experiment and its newest look."""
        return self._ask(experiment_requests.one(id), Experiment)

    def list(self, *, endpoint: str | None = None, limit: int = 100) -> tuple[Experiment, ...]:
        """The newest experiments, newest first."""
        return self._ask(experiment_requests.newest(endpoint, limit), tuple[Experiment, ...])

    def looks(self, id: str) -> tuple[dict[str, Any], ...]:
        """Every look that was taken, in order."""
        return self._ask(experiment_requests.looks(id), tuple[dict[str, Any], ...])

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
        return self._ask(request, dict[str, Any])

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
        return self._ask_once(request, dict[str, Any])

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
        return self._ask_once(request, dict[str, Any])
