"""Jobs for asyncio; the same calls as :class:`~quorate.client.jobs.Jobs`, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from quorate.client import answers, job_requests, wire
from quorate.client.asynchronous import AsyncClient
from quorate.client.errors import of_reply
from quorate.client.job_requests import Job, Submission
from quorate.client.wire import httpx

PIECE = 1 << 18
"""Bytes of a file that are read at a time, in a thread."""


class AsyncJobs:
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
        self._client = AsyncClient(
            url, api_key, timeout=timeout, deadline=3 * timeout, transport=transport, sleep=sleep
        )
        self._timeout = timeout
        self._sleep = sleep
        self.url = self._client.url

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
            context=context,
        )
        if asked.file is None:
            return await self._send(asked, asked.content)
        try:
            stream = await asyncio.to_thread(asked.file.open, "rb")
            try:
                return await self._send(asked, _pieces(stream))
            finally:
                await asyncio.to_thread(stream.close)
        except OSError as error:
            raise job_requests.unread(asked.file, error) from None

    async def _send(self, asked: Submission, content: Any) -> Job:
        url, headers = self.url + asked.path, {"content-type": asked.media_type}
        try:
            reply = wire.reply(
                await self._client._http.post(url, content=content, headers=headers, timeout=self._timeout)
            )
        except httpx.RequestError as error:
            raise job_requests.unreachable(error, self.url, self._timeout) from None
        return job_requests.submitted(reply)

    async def get(self, id: str) -> Job:
        """See :meth:`quorate.client.jobs.Jobs.get`."""
        return answers.parsed((await self._client._exchange(job_requests.one(id))).body, Job)

    async def list(self, *, limit: int = 100) -> tuple[Job, ...]:
        """See :meth:`quorate.client.jobs.Jobs.list`."""
        return answers.parsed((await self._client._exchange(job_requests.newest(limit))).body, tuple[Job, ...])

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
            raise job_requests.unreachable(error, self.url, self._timeout) from None

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
        return answers.parsed((await self._client._exchange(job_requests.cancel(id))).body, Job)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def __aenter__(self) -> AsyncJobs:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


async def _pieces(stream: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(stream.read, PIECE):
        yield piece
