"""Jobs for asyncio; the same calls as :class:`~quorate.client.jobs.Jobs`, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, BinaryIO

from quorate.client import job_requests, wire
from quorate.client.control_asynchronous import AsyncControlClient
from quorate.client.errors import of_reply
from quorate.client.job_requests import Job
from quorate.client.wire import httpx

PIECE = 1 << 18
"""Bytes of a file that are read at a time, in a thread."""


class AsyncJobs(AsyncControlClient):
    """The jobs of a server, by its control port, for one event loop; ``aclose`` it, or use ``async with``.

    Parameters and errors are those of :class:`~quorate.client.jobs.Jobs`; ``sleep`` is awaited.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(url, api_key, timeout=timeout, transport=transport, sleep=sleep)

    async def submit(
        self,
        endpoint: str,
        file: str | Path | None = None,
        *,
        input: str | None = None,
        input_format: str | None = None,
        output_format: str = "ndjson",
        strategy: str | None = None,
        max_ms: float | None = None,
        min_confidence: float | None = None,
        coverage: float | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Job:
        """See :meth:`quorate.client.jobs.Jobs.submit`; the file is read in a thread."""
        asked = job_requests.submission(
            endpoint,
            file,
            input=input,
            input_format=input_format,
            output_format=output_format,
            strategy=strategy,
            max_ms=max_ms,
            min_confidence=min_confidence,
            coverage=coverage,
            context=context,
        )
        if asked.file is None:
            return await self._ask_once(asked.request, Job)
        try:
            stream = await asyncio.to_thread(asked.file.open, "rb")
            try:
                return await self._ask_once(asked.request, Job, _pieces(stream))
            finally:
                await asyncio.to_thread(stream.close)
        except OSError as error:
            raise job_requests.unread(asked.file, error) from None

    async def get(self, id: str) -> Job:
        """See :meth:`quorate.client.jobs.Jobs.get`."""
        return await self._ask(job_requests.one(id), Job)

    async def list(self, *, limit: int = 100) -> tuple[Job, ...]:
        """See :meth:`quorate.client.jobs.Jobs.list`."""
        return await self._ask(job_requests.newest(limit), tuple[Job, ...])

    async def wait(self, id: str, *, every: float = 0.5, told: Callable[[Job], None] = lambda job: None) -> Job:
        """See :meth:`quorate.client.jobs.Jobs.wait`."""
        while not (job := await self.get(id)).ended:
            told(job)
            await self._sleep(every)
        told(job)
        return job

    async def result(self, id: str) -> AsyncGenerator[bytes, None]:
        """See :meth:`quorate.client.jobs.Jobs.result`; ``async for`` over it."""
        url = self.url + job_requests.result_path(id)
        try:
            async with self._client._http.stream("GET", url, timeout=self._timeout) as response:
                if response.status_code != 200:
                    await response.aread()
                    failed = wire.reply(response)
                    raise of_reply(failed.status, failed.headers, failed.body)
                async for piece in response.aiter_bytes():
                    yield piece
        except httpx.RequestError as error:
            raise wire.unreachable(error, self.url, self._timeout) from None

    async def save(self, id: str, file: str | Path) -> None:
        """See :meth:`quorate.client.jobs.Jobs.save`; the file is written in a thread."""
        target = await asyncio.to_thread(Path(file).open, "wb")
        try:
            async with aclosing(self.result(id)) as pieces:
                async for piece in pieces:
                    await asyncio.to_thread(target.write, piece)
        finally:
            await asyncio.to_thread(target.close)

    async def cancel(self, id: str) -> Job:
        """See :meth:`quorate.client.jobs.Jobs.cancel`."""
        return await self._ask(job_requests.cancel(id), Job)


async def _pieces(stream: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(stream.read, PIECE):
        yield piece
