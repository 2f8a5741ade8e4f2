"""What both clients of jobs send, and what they make of replies."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from quorate.client.requests import Options, Request
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
    min_confidence: float | None = None
    coverage: float | None = None
    context: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    author: str = ""

    @property
    def ended(self) -> bool:
        """Is it done, failed or cancelled?"""
        return self.state in ENDED


@dataclasses.dataclass(frozen=True, slots=True)
class Submission:
    """A request for a new job; its body is what ``file`` holds, if there is one."""

    request: Request
    file: Path | None = None


def submission(
    endpoint: str,
    file: str | Path | None,
    *,
    input: str | None,
    input_format: str | None,
    output_format: str,
    strategy: str | None,
    max_ms: float | None,
    min_confidence: float | None,
    coverage: float | None,
    context: Mapping[str, Any] | None,
) -> Submission:
    """See ``Jobs.submit``; :class:`~quorate.errors.InvalidInput` for what cannot be asked."""
    if (file is None) == (input is None):
        raise InvalidInput("Give either file or input.", path="file")
    options = Options(strategy, max_ms, min_confidence=min_confidence, coverage=coverage).asked()
    if file is None:
        body: dict[str, Any] = {"endpoint": endpoint, "input": input, "output_format": output_format, **options}
        body |= {"input_format": input_format} if input_format else {}
        body |= {"context": dict(context)} if context else {}
        headers = {"content-type": "application/json"}
        return Submission(Request("POST", "/v1/jobs", headers, json.dumps(body).encode()))
    path = Path(file)
    form = input_format or SUFFIXES.get(path.suffix.lower())
    if form not in MEDIA_TYPES:
        raise InvalidInput(f"input_format is one of {', '.join(MEDIA_TYPES)}; got '{form}'.", path="input_format")
    query = {"endpoint": endpoint, "output_format": output_format, **options}
    query |= {f"context.{key}": value for key, value in (context or {}).items()}
    return Submission(Request("POST", f"/v1/jobs?{urlencode(query)}", {"content-type": MEDIA_TYPES[form]}), path)


def one(id: str) -> Request:
    """Look at a job."""
    return Request("GET", f"/v1/jobs/{quote(id, safe='')}")


def cancel(id: str) -> Request:
    """Stop a job."""
    return Request("DELETE", f"/v1/jobs/{quote(id, safe='')}")


def newest(limit: int) -> Request:
    """Look at the newest jobs."""
    return Request("GET", f"/v1/jobs?limit={limit}")


def result_path(id: str) -> str:
    """Where a job's result is."""
    return f"/v1/jobs/{quote(id, safe='')}/result"


def unread(path: Path, error: OSError) -> InvalidInput:
    """A file to send that cannot be read."""
    return InvalidInput(f"'{path}' cannot be read: {error.strerror}.", path="file")
