"""What policies have learned, from a client's side: looked at, reset and warm-started on the control port."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from quorate.client import answers, job_requests, learner_requests, selection_requests, wire
from quorate.client.learner_requests import Learned, WarmStart
from quorate.client.requests import Request
from quorate.client.retries import Reply
from quorate.client.selection_requests import Regret, Trust
from quorate.client.sync import Client
from quorate.client.wire import httpx


class Learners:
    """The learners of a server, by its control port (``http://127.0.0.1:8001``); close it, or use ``with``.

    The key needs the role ``operate``, and ``admin`` to reset or warm-start. What changes anything is asked once.
    Errors are those of :class:`~quorate.client.sync.Client`.
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
        return learner_requests.good(wire.reply(response))

    def get(self, endpoint: str) -> Learned:
        """What the endpoint's policy has learned."""
        return answers.parsed(self._client._exchange(learner_requests.one(endpoint)).body, Learned)

    def trust(self, endpoint: str, *, strategy: str | None = None, by: str | None = None) -> Trust:
        """Whom a strategy trusts where: the first that tells, and by predicted label, where it is not said.

        ``by`` is ``label``, ``context.KEY`` or ``feature.NAME``; ``ways`` of the answer lists them.
        """
        asked = selection_requests.trust(endpoint, strategy, by)
        return answers.parsed(self._client._exchange(asked).body, Trust)

    def regret(self, endpoint: str, *, points: int | None = None) -> Regret:
        """What was served against each strategy, member and expert, at so many points of time (60)."""
        return answers.parsed(self._client._exchange(selection_requests.regret(endpoint, points)).body, Regret)

    def reset(self, endpoint: str) -> Learned:
        """Have the policy forget what it learned."""
        return answers.parsed(self._once(learner_requests.reset(endpoint)).body, Learned)

    def warm_start(self, endpoint: str, *, since: float | None = None) -> WarmStart:
        """Have the policy begin anew with what is known of decisions from ``since`` on: Unix seconds, 30 days back.

        It is done in the background; see :meth:`wait`. Refused while another runs.
        """
        return answers.parsed(self._once(learner_requests.warm_start(endpoint, since)).body, WarmStart)

    def newest_warm_start(self, endpoint: str) -> WarmStart:
        """The warm start that was asked for last, since control started."""
        return answers.parsed(self._client._exchange(learner_requests.newest(endpoint)).body, WarmStart)

    def wait(self, endpoint: str, *, every: float = 0.5) -> WarmStart:
        """Return when the newest warm start has ended, looking ``every`` seconds; see ``error`` whether it failed."""
        while not (found := self.newest_warm_start(endpoint)).over:
            self._sleep(every)
        return found

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def __enter__(self) -> Learners:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
