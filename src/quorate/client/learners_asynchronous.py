"""Learners for asyncio; the same calls as :class:`~quorate.client.learners.Learners`, awaited."""

from __future__ import annotations

from quorate.client import learner_requests, selection_requests
from quorate.client.control_asynchronous import AsyncControlClient
from quorate.client.learner_requests import Learned, WarmStart
from quorate.client.selection_requests import Coverage, Regret, Trust


class AsyncLearners(AsyncControlClient):
    """The learners of a server, by its control port, for one event loop; ``aclose`` it, or use ``async with``.

    Parameters and errors are those of :class:`~quorate.client.learners.Learners`; ``sleep`` is awaited.
    """

    async def get(self, endpoint: str) -> Learned:
        """See :meth:`quorate.client.learners.Learners.get`."""
        return await self._ask(learner_requests.one(endpoint), Learned)

    async def trust(self, endpoint: str, *, strategy: str | None = None, by: str | None = None) -> Trust:
        """See :meth:`quorate.client.learners.Learners.trust`."""
        asked = selection_requests.trust(endpoint, strategy, by)
        return await self._ask(asked, Trust)

    async def regret(self, endpoint: str, *, points: int | None = None) -> Regret:
        """See :meth:`quorate.client.learners.Learners.regret`."""
        asked = selection_requests.regret(endpoint, points)
        return await self._ask(asked, Regret)

    async def coverage(self, endpoint: str, *, since: float | None = None) -> Coverage:
        """See :meth:`quorate.client.learners.Learners.coverage`."""
        return await self._ask(selection_requests.coverage(endpoint, since), Coverage)

    async def reset(self, endpoint: str) -> Learned:
        """See :meth:`quorate.client.learners.Learners.reset`."""
        return await self._ask_once(learner_requests.reset(endpoint), Learned)

    async def warm_start(self, endpoint: str, *, since: float | None = None) -> WarmStart:
        """See :meth:`quorate.client.learners.Learners.warm_start`."""
        return await self._ask_once(learner_requests.warm_start(endpoint, since), WarmStart)

    async def newest_warm_start(self, endpoint: str) -> WarmStart:
        """See :meth:`quorate.client.learners.Learners.newest_warm_start`."""
        return await self._ask(learner_requests.newest(endpoint), WarmStart)

    async def wait(self, endpoint: str, *, every: float = 0.5) -> WarmStart:
        """See :meth:`quorate.client.learners.Learners.wait`."""
        while not (found := await self.newest_warm_start(endpoint)).over:
            await self._sleep(every)
        return found
