"""Calibrations for asyncio; the same calls as :class:`~quorate.client.calibrations.Calibrations`, awaited."""

from __future__ import annotations

from quorate.client import calibration_requests
from quorate.client.calibration_requests import Refitted, Reliability
from quorate.client.control_asynchronous import AsyncControlClient


class AsyncCalibrations(AsyncControlClient):
    """The calibrations of a server, by its control port, for one event loop; ``aclose`` it, or use ``async with``.

    Parameters and errors are those of :class:`~quorate.client.calibrations.Calibrations`; ``sleep`` is awaited.
    """

    async def reliability(self, endpoint: str, *, rows: int | None = None) -> Reliability:
        """See :meth:`quorate.client.calibrations.Calibrations.reliability`."""
        return await self._ask(calibration_requests.reliability(endpoint, rows), Reliability)

    async def refit(self, endpoint: str, strategy: str) -> Refitted:
        """See :meth:`quorate.client.calibrations.Calibrations.refit`."""
        return await self._ask_once(calibration_requests.refit(endpoint, strategy), Refitted)
