"""``quorate predict``: ask a running server about files, folders and tables."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from quorate.cli._interrupts import held, interruptible
from quorate.cli._output import note, progress
from quorate.cli._picture_files import Pictures, pictures
from quorate.cli._predictions import CsvWriter, JsonWriter, Result, TableWriter, Writer, columns
from quorate.cli._rows import Batch, Entry, batches, is_read, rows
from quorate.client import Client, EndpointInfo, Item, RequestRefused, ServerUnavailable
from quorate.clock import SystemClock
from quorate.errors import ConfigError, InvalidInput, NotFound, QuorateError

_GIVE_UP = 8
LARGE = 2048
"""From so many rows on they are asked about as one batch."""


class Format(StrEnum):
    """What is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def command(
    endpoint: Annotated[str, typer.Argument(help="The endpoint to ask.")],
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Pictures or folders of them; CSV or JSON files of rows; - for stdin."),
    ],
    url: Annotated[str, typer.Option(envvar="QUORATE_URL", help="The server.")] = "http://127.0.0.1:8000",
    key: Annotated[
        str | None,
        typer.Option(envvar="QUORATE_API_KEY", help="API key; others can see it unless it is in the variable."),
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(help="Strategy or member to answer, where callers may choose.")
    ] = None,
    max_ms: Annotated[float | None, typer.Option(min=0, help="Milliseconds an answer may take.")] = None,
    min_confidence: Annotated[
        float | None, typer.Option(min=0, max=1, help="Confidence below which there is to be no answer.")
    ] = None,
    coverage: Annotated[
        float | None, typer.Option(min=0.5, max=0.999, help="How often the truth is to be in the answer's set.")
    ] = None,
    context: Annotated[
        list[str] | None, typer.Option(help="Recorded with the decision: key=value; repeatable.")
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.TABLE,
    output: Annotated[Path | None, typer.Option(help="File to write instead of standard output.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Requests at a time.")] = 8,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds a try may take.")] = 10.0,
) -> None:
    """Ask an endpoint about pictures, folders of pictures, or rows of tables. Exits with 1 if an item failed."""
    asked = {
        "strategy": strategy,
        "max_ms": max_ms,
        "min_confidence": min_confidence,
        "coverage": coverage,
        "context": dict(map(_pair, context or [])) or None,
    }
    if output is not None and any(output.exists() and Path(p).exists() and output.samefile(p) for p in paths):
        raise ConfigError(f"{output} is one of the inputs and would be overwritten.", path="--output")
    with Client(url, key, timeout=timeout, deadline=3 * timeout) as client:
        info = _endpoint(client, endpoint)
        if output is not None and not info.takes_images and is_read(output, paths):
            raise ConfigError(f"{output} is in a folder whose tables are read; write it elsewhere.", path="--output")
        found = pictures(paths) if info.takes_images else None
        run = _Run(client, info, asked, concurrency)
        with held(), _opened(output) as stream:
            writer = _writer(format_, stream, columns(info, sets=coverage is not None))
            run.all(paths, found, writer, _bar(format_, stream, endpoint, found))
    if run.failed or run.stopped:
        raise typer.Exit(1)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"'{text}' is not a context; expected key=value.", path="--context")
    return key, value


def _endpoint(client: Client, name: str) -> EndpointInfo:
    try:
        info = client.endpoint(name)
    except RequestRefused as error:
        if error.status != 404:
            raise
        known = ", ".join(each.name for each in client.endpoints()) or "none"
        raise NotFound(f"There is no endpoint '{name}'; {client.url} has: {known}.", path="endpoint") from None
    if not info.is_endpoint:
        raise NotFound(f"'{name}' is a model; ask the endpoint it belongs to with --strategy {name}.", path="endpoint")
    return info


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    if output is None:
        yield sys.stdout  # held here: the progress bar puts something else in its place
        return
    try:
        stream = output.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigError(f"{output} cannot be written: {error.strerror}.", path="--output") from None
    with stream:
        yield stream


def _writer(format_: Format, stream: TextIO, shown: tuple[str, ...]) -> Writer:
    if format_ is Format.JSON:
        return JsonWriter(stream)
    return (CsvWriter if format_ is Format.CSV else TableWriter)(stream, shown)


def _bar(format_: Format, stream: TextIO, endpoint: str, found: Pictures | None) -> Any:
    """A progress bar, where somebody sees it and it does not come between the lines that are printed."""
    if not sys.stderr.isatty() or (stream.isatty() and format_ is not Format.TABLE):
        return nullcontext(lambda _: None)
    return progress(endpoint, None if found is None else len(found.files))


@dataclass
class _Run:
    """One run of the command: what it asks, and how it went."""

    client: Client
    info: EndpointInfo
    asked: dict[str, Any]
    concurrency: int
    done: int = 0
    failed: int = 0
    degraded: int = 0
    stopped: bool = False
    _unreachable: int = field(default=0, repr=False)

    def all(self, paths: list[str], found: Pictures | None, writer: Writer, bar: Any) -> None:
        """Ask about everything, and say how it went, also when interrupted."""
        clock = SystemClock()
        started = clock.monotonic()
        with ExitStack() as closing:
            closing.callback(lambda: self._summary(clock.monotonic() - started, found))
            closing.callback(writer.close)
            tick: Callable[[str], None] = closing.enter_context(bar)
            for result in interruptible(self._pictures(found) if found is not None else self._rows(paths)):
                self.done += 1
                self.failed += result.error is not None
                self.degraded += result.answer is not None and bool(result.answer.degraded)
                writer.write(result)
                tick(result.item)

    def _pictures(self, found: Pictures) -> Iterator[Result]:
        items = self.client.predict_many(
            self.info.name, (image for _, image in found.files), concurrency=self.concurrency, **self.asked
        )
        for (name, _), item in zip(found.files, items, strict=True):
            _raise_if_about_all(item.error)
            yield Result(name, item.answer, error=_words(item.error))
            if self._hopeless(item):
                return

    def _rows(self, paths: list[str]) -> Iterator[Result]:
        entries = rows(paths, self.info)
        head = list(islice(entries, LARGE))
        if len(head) == LARGE:
            yield from self._large(chain(head, entries))
            return
        left_over: list[tuple[str, Any]] = []
        asked = batches(head, left_over)
        for item in self.client.predict_many(self.info.name, batches=asked, concurrency=self.concurrency, **self.asked):
            _raise_if_about_all(item.error)
            yield from self._batch(item)
            if self._hopeless(item):
                return
        yield from (Result(name, error=_words(error)) for name, error in left_over)

    def _large(self, entries: Iterable[Entry]) -> Iterator[Result]:
        """Many rows go to the endpoint's batch: few requests, constant memory, bad rows fail alone."""
        waiting: deque[Entry] = deque()

        def good() -> Iterator[Any]:
            for entry in entries:
                waiting.append(entry)
                if not isinstance(entry[1], InvalidInput):
                    yield entry[1]

        def bad() -> Iterator[Result]:
            while waiting and isinstance(waiting[0][1], InvalidInput):
                name, error = waiting.popleft()
                yield Result(name, error=_words(error))

        for found in self.client.batch(self.info.name, good(), concurrency=min(self.concurrency, 8), **self.asked):
            yield from bad()
            name, _ = waiting.popleft()
            yield Result(name, found.answer(self.info.name), found.decision_row or 0, _words(found.error))
        yield from bad()

    def _batch(self, item: Item) -> Iterator[Result]:
        batch: Batch = item.source
        answers: Iterator[Result]
        names = [name for name, row in batch.entries if not isinstance(row, InvalidInput)]
        if item.answer is not None:
            answers = (Result(name, item.answer, row) for row, name in enumerate(names))
        elif len(batch) > 1 and _is_about_a_row(item.error):
            # One row spoils the request; the others are asked about by themselves.
            alone = self.client.predict_many(
                self.info.name, batches=([row] for row in batch), concurrency=self.concurrency, **self.asked
            )
            answers = (Result(n, one.answer, error=_words(one.error)) for n, one in zip(names, alone, strict=True))
        else:
            answers = (Result(name, error=_words(item.error)) for name in names)
        for name, row in batch.entries:
            yield Result(name, error=_words(row)) if isinstance(row, InvalidInput) else next(answers)

    def _hopeless(self, item: Item) -> bool:
        """Is the server gone, so that asking on would only take time?"""
        self._unreachable = self._unreachable + 1 if isinstance(item.error, ServerUnavailable) else 0
        self.stopped = self._unreachable >= max(_GIVE_UP, self.concurrency)
        return self.stopped

    def _summary(self, seconds: float, found: Pictures | None) -> None:
        total = None if found is None else len(found.files)
        parts = [f"{self.done - self.failed} answered", f"{self.failed} failed", f"{self.degraded} degraded"]
        if total is not None and total > self.done:
            parts.append(f"{total - self.done} not asked")
        rate = f"; {self.done / seconds:.0f} a second" if self.done and seconds > 0 else ""
        note(f"{_count(self.done if total is None else total, 'item')}: {', '.join(parts)}{rate}.")
        if found is not None and found.left_out:
            note(f"Left out because no pictures: {_count(found.left_out, 'file')}.")
        if self.stopped:
            note(f"Stopped: {self.client.url} could not be reached {self._unreachable} times in a row.")


def _raise_if_about_all(error: QuorateError | None) -> None:
    """End the run where every other item would be refused for the same reason: key, endpoint, options."""
    if isinstance(error, RequestRefused) and (
        error.status in (401, 403, 404) or (error.path or "").startswith(("options", "query", "context"))
    ):
        raise error


def _is_about_a_row(error: QuorateError | None) -> bool:
    about = error is not None and (error.path or "").startswith("instances")
    return about and (isinstance(error, InvalidInput) or (isinstance(error, RequestRefused) and error.status == 422))


def _words(error: QuorateError | None) -> str | None:
    return None if error is None else " ".join(str(error).split())


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
