"""Jobs from a client's side: files scored in the background by the control port."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from quorate.client import answers, wire
from quorate.client.errors import ServerUnavailable, of_reply
from quorate.client.requests import Request
from quorate.client.sync import Client
from quorate.client.wire import httpx
from quorate.errors import InvalidInput

MEDIA_TYPES = {
    "ndjson": "application/x-ndjson",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
SUFFIXES = {".ndjson": "ndjson", ".jsonl": "ndjson", ".arrow": "arrow", ".arrows": "arrow", ".parquet": "parquet"}
ENDED = frozenset({"done", "failed", "cancelled"})


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """A job as the control port shows it; times are Unix seconds, ``progress`` is 0 to 1 where it is known."""

    id: str
    endpoint: str
    state: str
    created: float
    started: float | None
    finished: float | None
    error: str | None
    input: str | None
    input_format: str
    input_bytes: int
    output_format: str
    rows_done: int
    rows_failed: int
    rows_total: int | None
    progress: float | None
    rows_per_second: float | None
    strategy: str | None = None
    max_ms: float | None = None
    context: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    author: str = ""

    @property
    def ended(self) -> bool:
        """Is it done, failed or cancelled?"""
        return self.state in ENDED


class Jobs:
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
        self._client = Client(url, api_key, timeout=timeout, deadline=3 * timeout, transport=transport, sleep=sleep)
        self._timeout = timeout
        self._sleep = sleep
        self.url = self._client.url

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
        context: Mapping[str, Any] | None = None,
    ) -> Job:
        """Have a ``file`` of this machine sent and scored, or ``input``, a path in the server's folder of jobs.

        The format is by the file's name unless given. It is asked once: a second try would be a second job.
        """
        if (file is None) == (input is None):
            raise InvalidInput("Give either file or input.", path="file")
        asked = {"strategy": strategy, "max_ms": max_ms}
        options = {name: value for name, value in asked.items() if value is not None}
        if input is not None:
            body: dict[str, Any] = {"endpoint": endpoint, "input": input, "output_format": output_format, **options}
            body |= {"input_format": input_format} if input_format else {}
            body |= {"context": dict(context)} if context else {}
            return self._send(json.dumps(body).encode(), "application/json", "")
        path = Path(file or "")
        form = input_format or SUFFIXES.get(path.suffix.lower())
        if form not in MEDIA_TYPES:
            raise InvalidInput(f"input_format is one of {', '.join(MEDIA_TYPES)}; got '{form}'.", path="input_format")
        query = {"endpoint": endpoint, "output_format": output_format, **options}
        query |= {f"context.{key}": value for key, value in (context or {}).items()}
        try:
            with path.open("rb") as stream:
                return self._send(stream, MEDIA_TYPES[form], f"?{urlencode(query)}")
        except OSError as error:
            raise InvalidInput(f"'{path}' cannot be read: {error.strerror}.", path="file") from None

    def _send(self, content: Any, media_type: str, query: str) -> Job:
        url = f"{self.url}/v1/jobs{query}"
        try:
            reply = wire.reply(
                self._client._http.post(
                    url, content=content, headers={"content-type": media_type}, timeout=self._timeout
                )
            )
        except httpx.RequestError as error:
            raise ServerUnavailable(wire.fault(error, self.url, self._timeout).message, code="unreachable") from None
        if reply.status != 202:
            raise of_reply(reply.status, reply.headers, reply.body)
        return answers.parsed(reply.body, Job)

    def get(self, id: str) -> Job:
        """How far a job is."""
        return answers.parsed(self._client._exchange(Request("GET", f"/v1/jobs/{id}")).body, Job)

    def list(self, *, limit: int = 100) -> tuple[Job, ...]:
        """The newest jobs, newest first."""
        reply = self._client._exchange(Request("GET", f"/v1/jobs?limit={limit}"))
        return answers.parsed(reply.body, tuple[Job, ...])

    def wait(self, id: str, *, every: float = 0.5, told: Callable[[Job], None] = lambda job: None) -> Job:
        """Return when a job has ended; ``told`` is called with every look at it, ``every`` seconds apart."""
        while not (job := self.get(id)).ended:
            told(job)
            self._sleep(every)
        told(job)
        return job

    def result(self, id: str) -> Iterator[bytes]:
        """The result of a job that is done, in pieces."""
        url = f"{self.url}/v1/jobs/{id}/result"
        try:
            with self._client._http.stream("GET", url, timeout=self._timeout) as response:
                if response.status_code != 200:
                    response.read()
                    failed = wire.reply(response)
                    raise of_reply(failed.status, failed.headers, failed.body)
                yield from response.iter_bytes()
        except httpx.RequestError as error:
            raise ServerUnavailable(wire.fault(error, self.url, self._timeout).message, code="unreachable") from None

    def save(self, id: str, file: str | Path) -> None:
        """Write the result of a job to a file."""
        with Path(file).open("wb") as target:
            for piece in self.result(id):
                target.write(piece)

    def cancel(self, id: str) -> Job:
        """Stop a job; what it has written is removed."""
        return answers.parsed(self._client._exchange(Request("DELETE", f"/v1/jobs/{id}")).body, Job)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def __enter__(self) -> Jobs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
