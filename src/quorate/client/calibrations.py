"""How reliable confidences are, from a client's side: looked at, and calibrations fitted again, on the control port."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from quorate.client import answers, calibration_requests, job_requests, learner_requests, wire
from quorate.client.calibration_requests import Refitted, Reliability
from quorate.client.sync import Client
from quorate.client.wire import httpx


class Calibrations:
    """The calibrations of a server, by its control port (``http://127.0.0.1:8001``); close it, or use ``with``.

    The key needs the role ``operate``. A refit is asked for once. Errors are those of
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
        self.url = self._client.url

    def reliability(self, endpoint: str, *, rows: int | None = None) -> Reliability:
        """How often the confidences of the endpoint's strategies come true, on the newest ``rows`` with a truth."""
        reply = self._client._exchange(calibration_requests.reliability(endpoint, rows))
        return answers.parsed(reply.body, Reliability)

    def refit(self, endpoint: str, strategy: str) -> Refitted:
        """Fit a strategy's calibration again on what became known, and serve it."""
        request = calibration_requests.refit(endpoint, strategy)
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
        return answers.parsed(learner_requests.good(wire.reply(response)).body, Refitted)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def __enter__(self) -> Calibrations:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
