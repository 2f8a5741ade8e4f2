"""How reliable confidences are, from a client's side: looked at, and calibrations fitted again, on the control port."""

from __future__ import annotations

from quorate.client import calibration_requests
from quorate.client.calibration_requests import Refitted, Reliability
from quorate.client.control import ControlClient


class Calibrations(ControlClient):
    """The calibrations of a server, by its control port (``http://127.0.0.1:8001``); close it, or use ``with``.

    The key needs the role ``operate``. A refit is asked for once. Errors are those of
    :class:`~quorate.client.sync.Client`.
    """

    def reliability(self, endpoint: str, *, rows: int | None = None) -> Reliability:
        """How often the confidences of the endpoint's strategies come true, on the newest ``rows`` with a truth."""
        return self._ask(calibration_requests.reliability(endpoint, rows), Reliability)

    def refit(self, endpoint: str, strategy: str) -> Refitted:
        """Fit a strategy's calibration again on what became known, and serve it."""
        return self._ask_once(calibration_requests.refit(endpoint, strategy), Refitted)
