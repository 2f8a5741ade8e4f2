"""Where rows of outcomes come from: files, standard input, URLs, and queries of databases.

Everything is read as it is needed. What rows mean is in :mod:`quorate.web.outcome_rows`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from quorate.errors import ConfigError
from quorate.web.outcome_rows import Row

MAX_LINE = 1 << 20


@contextmanager
def opened(place: str) -> Iterator[Iterator[bytes]]:
    """The lines of a file, of standard input (``-``), or of a URL; :class:`ConfigError` where that cannot be read."""
    if place == "-":
        yield iter(sys.stdin.buffer)
    elif place.startswith(("http://", "https://")):
        with _httpx().stream("GET", place, follow_redirects=True, timeout=30.0) as reply:
            if reply.status_code != 200:
                raise ConfigError(f"{place} answered {reply.status_code}; expected the file with 200.", path="FILE")
            yield _lines(reply.iter_bytes(1 << 16))
    else:
        try:
            file = open(place, "rb")  # noqa: SIM115 - closed below; the error is about opening alone
        except OSError as error:
            raise ConfigError(f"{place} cannot be read: {error.strerror}.", path="FILE") from None
        with file:
            yield iter(file)


def _httpx() -> Any:
    try:
        return import_module("httpx")
    except ModuleNotFoundError:
        raise ConfigError("Reading a URL needs the extra 'client'; run: pip install 'quorate[client]'.") from None


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for piece in pieces:
        *whole, held = (held + piece).split(b"\n")
        yield from (line + b"\n" for line in whole)
        if len(held) > MAX_LINE:
            raise ConfigError(f"A line has more than {MAX_LINE} bytes; expected CSV or NDJSON.", path="FILE")
    if held:
        yield held


def sql_rows(url: str, query: str) -> Iterator[Row]:
    """The rows of a query, fetched a thousand at a time; :class:`ConfigError` where it cannot be run."""
    try:
        engine = sa.create_engine(url)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError(f"--database cannot be used: {error}.", path="--database") from None
    try:
        with engine.connect() as connection:
            found = connection.execution_options(stream_results=True, yield_per=1000).execute(sa.text(query))
            for number, row in enumerate(found.mappings(), 1):
                yield Row(number, {name: value for name, value in row.items() if value is not None})
    except (DBAPIError, sa.exc.ResourceClosedError) as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        raise ConfigError(f"The query cannot be run: {reason}.", path="--sql") from None
    finally:
        engine.dispose()
