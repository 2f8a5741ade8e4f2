"""Jobs from a client's side: files scored in the background by the control port."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from quorate.client import job_requests, wire
from quorate.client.control import ControlClient
from quorate.client.errors import of_reply
from quorate.client.job_requests import Job
from quorate.client.wire import httpx


class Jobs(ControlClient):
    """The jobs of a server, by its control port (``http://127.0.0.1:8001``); close it, or use it in a ``with`` block.

    The key needs the role ``operate``. Errors are those of :class:`~quorate.client.sync.Client`.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(url, api_key, timeout=timeout, transport=transport, sleep=sleep)

    def submit(
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
        """Have a ``file`` of this machine sent and scored, or ``input``, a path in the server's folder of jobs.

        The format is by the file's name unless given; what is asked of its rows is that of
        :meth:`~quorate.client.sync.Client.predict`. It is asked once: a second try would be a second job.
        """
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
            return self._ask_once(asked.request, Job)
        try:
            with asked.file.open("rb") as stream:
                return self._ask_once(asked.request, Job, stream)
        except OSError as error:
            raise job_requests.unread(asked.file, error) from None

    def get(self, id: str) -> Job:
        """How far a job is."""
        return self._ask(job_requests.one(id), Job)

    def list(self, *, limit: int = 100) -> tuple[Job, ...]:
        """The newest jobs, newest first."""
        return self._ask(job_requests.newest(limit), tuple[Job, ...])

    def wait(self, id: str, *, every: float = 0.5, told: Callable[[Job], None] = lambda job: None) -> Job:
        """Return when a job has ended; ``told`` is called with every look at it, ``every`` seconds apart."""
        while not (job := self.get(id)).ended:
            told(job)
            self._sleep(every)
        told(job)
        return job

    def result(self, id: str) -> Iterator[bytes]:
        """The result of a job that is done, in pieces."""
        url = self.url + job_requests.result_path(id)
        try:
            with self._client._http.stream("GET", url, timeout=self._timeout) as response:
                if response.status_code != 200:
                    response.read()
                    failed = wire.reply(response)
                    raise of_reply(failed.status, failed.headers, failed.body)
                yield from response.iter_bytes()
        except httpx.RequestError as error:
            raise wire.unreachable(error, self.url, self._timeout) from None

    def save(self, id: str, file: str | Path) -> None:
        """Write the result of a job to a file."""
        with Path(file).open("wb") as target:
            for piece in self.result(id):
                target.write(piece)

    def cancel(self, id: str) -> Job:
        """Stop a job; what it has written is removed."""
        return self._ask(job_requests.cancel(id), Job)
