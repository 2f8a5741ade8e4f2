"""``quorate outcomes``: how many came and how late; and many at once, from files and databases."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TextIO

import msgspec
import typer

from quorate.cli._config import HERE, Json, Project, home_of, store_of
from quorate.cli._output import note, print_json, print_table, progress
from quorate.clock import SystemClock
from quorate.codecs.lookup import JournalReader
from quorate.control.listening import ingest_now
from quorate.control.outcomes.completeness import MetricReport, OutcomesReport, outcomes_report
from quorate.control.outcomes.imports import opened, sql_rows
from quorate.control.outcomes.matching import check_key, find_in, the_one
from quorate.errors import ConfigError, InvalidInput, NotFound
from quorate.store.revisions import newest_revision
from quorate.web.outcome_rows import Columns, Row, Wrong, csv_rows, ndjson_rows, outcomes, unix_seconds

app = typer.Typer(
    help="See how outcomes come; import many.", no_args_is_help=True, add_completion=False,
    pretty_exceptions_enable=False,
)  # fmt: skip
PART = 1000
SHOWN = 20


class Kind(StrEnum):
    """What truths are."""

    AUTO = "auto"
    LABEL = "label"
    NUMBER = "number"


class Format(StrEnum):
    """How a file is written."""

    CSV = "csv"
    NDJSON = "ndjson"


@app.callback()
def _group() -> None:
    """See how outcomes come; import many."""


@app.command()
def show(
    endpoint: Annotated[str, typer.Argument(help="The endpoint.")],
    hours: Annotated[float | None, typer.Option(min=0, help="Decisions of the last hours; 30 days by default.")] = None,
    project: Project = HERE,
    json: Json = False,
) -> None:
    """Show how many of an endpoint's decisions have outcomes, whose, how late, and how complete that is."""
    home, now = home_of(project), time.time()
    with store_of(home) as database:
        ingest_now(home, database, SystemClock())
        with database.read() as connection:
            if newest_revision(connection, endpoint) is None:
                raise NotFound(f"There is no endpoint '{endpoint}'; `quorate endpoints` lists them.")
            since = None if hours is None else now - hours * 3600
            found = outcomes_report(connection, endpoint, now=now, since=since)
    if json:
        print_json(found)
    else:
        _print(found)


def _print(found: OutcomesReport) -> None:
    if not found.metrics:
        note(f"No outcome was told of the {found.rows} rows of endpoint '{found.endpoint}' in this time.")
    columns = ("metric", "rows", "share", "expected", "95 % interval", "complete", "half after", "90 % after")
    table = [
        (m.metric, m.known_rows, _share(m.share), _share(m.final_share), _limits(m), _share(m.completeness),
         _time(m.p50_s), _time(m.p90_s))
        for m in found.metrics
    ]  # fmt: skip
    print_table(columns, table, title=f"{found.endpoint}: {found.rows} rows, outcomes expected within "
                f"{_time(found.horizon_s)}")  # fmt: skip
    ages = [
        (metric.metric, _time(a.age_s), _share(a.share), _share(a.completeness))
        for metric in found.metrics
        for a in metric.by_age
    ]
    print_table(("metric", "age", "share with outcome", "complete"), ages, title="\nBy age of the decision")
    sources = [
        (metric.metric, s.source, s.joined, s.replaced, s.late, s.invalid)
        for metric in found.metrics
        for s in metric.sources
    ]
    order = ", ".join(found.precedence)
    names = ("metric", "source", "counting", "replaced", "late", "invalid")
    print_table(names, sources, title=f"\nBy source ({order}; then others)")
    if found.pending or found.gone:
        note(
            f"Outcomes of all endpoints: {found.pending} wait for their decision, {found.gone} are about one that is "
            "no longer kept."
        )


def _share(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}"


def _limits(m: MetricReport) -> str | None:
    return None if m.final_low is None or m.final_high is None else f"{m.final_low:.1%} to {m.final_high:.1%}"


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    for unit, name in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds * 1000:.3g} ms"


@dataclass
class _Tally:
    """What became of an import."""

    accepted: int = 0
    duplicate: int = 0
    pending: int = 0
    rejected: int = 0


@app.command("import")
def import_(
    file: Annotated[str | None, typer.Argument(metavar="[FILE|URL|-]", help="CSV or NDJSON.")] = None,
    sql: Annotated[str | None, typer.Option(help="A query instead of a file.")] = None,
    database: Annotated[
        str | None, typer.Option(envvar="QUORATE_IMPORT_DATABASE", help="Where the query runs: an SQLAlchemy URL.")
    ] = None,
    format_: Annotated[Format | None, typer.Option("--format", help="By the file's name if not given.")] = None,
    delimiter: Annotated[str, typer.Option(help="Between the cells of a CSV row.")] = ",",
    id_: Annotated[str, typer.Option("--id", help="Column of the decision's id, or of what --by names.")] = "id",
    row: Annotated[str, typer.Option(help="Column of the row's index in its request, where there is one.")] = "row",
    truth: Annotated[str, typer.Option(help="Column of the truth, where there is one.")] = "truth",
    reward: Annotated[list[str] | None, typer.Option(help="METRIC or METRIC=COLUMN; repeatable.")] = None,
    source: Annotated[str, typer.Option(help="Whose values these are.")] = "user",
    source_column: Annotated[str, typer.Option(help="Column of that, where there is one.")] = "source",
    at: Annotated[str, typer.Option(help="Column of when it became known, where there is one.")] = "at",
    truths_are: Annotated[Kind, typer.Option(help="Labels or numbers; auto: text is a label.")] = Kind.AUTO,
    by: Annotated[
        str, typer.Option(help="id, request_id, idempotency_key, traceparent, unit or context.KEY; reads the journal.")
    ] = "id",
    decided: Annotated[str | None, typer.Option(help="With --by: column of a time after the decision.")] = None,
    within: Annotated[float, typer.Option(min=0, help="With --decided: seconds the decision is before it.")] = 3600.0,
    endpoint: Annotated[str | None, typer.Option(help="With --by: only decisions of this endpoint.")] = None,
    rejected: Annotated[Path | None, typer.Option(help="File for rejected rows, one JSON object each.")] = None,
    url: Annotated[str, typer.Option(envvar="QUORATE_URL", help="The server.")] = "http://127.0.0.1:8000",
    key: Annotated[
        str | None,
        typer.Option(envvar="QUORATE_API_KEY", help="API key; others can see it unless it is in the variable."),
    ] = None,
    project: Project = HERE,
    json: Json = False,
) -> None:
    """Tell outcomes from a file, a URL or a query; telling them again changes nothing. Exits with 1 if any was
    rejected."""
    if (file is None) == (sql is None) or (sql is None) != (database is None):
        raise ConfigError("Give either a FILE, or --sql with --database.", path="FILE")
    if by != "id":
        check_key(by)
    columns = Columns(id_, row, truth, _rewards(reward or []), source_column, source, at, truths_are.value)
    tally = _Tally()
    with ExitStack() as stack:
        rows = stack.enter_context(_rows(file, sql, database, format_, delimiter))
        if by != "id":
            rows = stack.enter_context(_matched(rows, by, id_, decided, within, endpoint, home_of(project).journal))
        report = _Rejects(file or "query", stack.enter_context(rejected.open("w")) if rejected else None)
        _send(outcomes(rows, columns), url, key, report, tally)
    tally.rejected = report.count
    note(f"{tally.accepted} accepted, {tally.duplicate} known already, {tally.pending} wait for their decision, "
         f"{tally.rejected} rejected.")  # fmt: skip
    if json:
        print_json(tally)
    if tally.rejected:
        raise typer.Exit(1)


def _rewards(given: list[str]) -> dict[str, str]:
    pairs = (text.partition("=") for text in given)
    return {metric: column or metric for metric, _, column in pairs}


@contextmanager
def _rows(
    file: str | None, sql: str | None, database: str | None, format_: Format | None, delimiter: str
) -> Iterator[Iterator[Row | Wrong]]:
    if file is None:
        yield sql_rows(database or "", sql or "")
        return
    name = file.partition("?")[0].lower()
    form = format_ or (Format.CSV if name.endswith((".csv", ".tsv")) else Format.NDJSON)
    with opened(file) as lines:
        tab = name.endswith(".tsv") and delimiter == ","
        yield csv_rows(lines, "\t" if tab else delimiter) if form is Format.CSV else ndjson_rows(lines)


@contextmanager
def _matched(
    rows: Iterable[Row | Wrong], by: str, id_: str, decided: str | None, within: float, endpoint: str | None, root: Path
) -> Iterator[Iterator[Row | Wrong]]:
    """The rows with ids of decisions in the place of keys; they are spooled, and the journal is read once."""
    with tempfile.TemporaryFile("w+b") as spool:
        wanted: set[str] = set()
        for row in rows:
            if isinstance(row, Row) and id_ in row.values:
                wanted.add(str(row.values[id_]))
            spool.write(msgspec.json.encode(row, enc_hook=str) + b"\n")
        found = find_in(JournalReader(root), by, wanted, endpoint)

        def read() -> Iterator[Row | Wrong]:
            spool.seek(0)
            for line in spool:
                told = msgspec.json.decode(line)
                if "detail" in told:
                    yield Wrong(told["line"], told["detail"])
                    continue
                row = Row(told["line"], told["values"])
                try:
                    yield _with_id(row)
                except (InvalidInput, LookupError) as error:
                    yield Wrong(row.line, str(error))

        def _with_id(row: Row) -> Row:
            if id_ not in row.values:
                return row
            name = str(row.values[id_])
            when = None
            if decided is not None:
                if decided not in row.values:
                    raise InvalidInput(f"There is no '{decided}' in it.")
                when = unix_seconds(row.values[decided], decided)
            try:
                one = the_one(name, found, at=when, within_s=within)
            except LookupError as error:
                raise InvalidInput(f"{by} '{name[:64]}' is not unique: {error}.") from None
            if one is None:
                raise InvalidInput(f"No decision that is kept has {by} '{name[:64]}'.")
            return Row(row.line, {**row.values, id_: one})

        yield read()


class _Rejects:
    """Rejected rows: the first of them are shown, all are counted and written where that is wanted."""

    def __init__(self, name: str, file: TextIO | None) -> None:
        self.count = 0
        self._name = name
        self._file = file

    def add(self, line: int, detail: str) -> None:
        """One more."""
        self.count += 1
        if self.count <= SHOWN:
            note(f"{self._name}:{line}: {detail}")
        elif self.count == SHOWN + 1:
            note("More rows are rejected; --rejected FILE lists all of them.")
        if self._file is not None:
            self._file.write(msgspec.json.encode({"line": line, "detail": detail}).decode() + "\n")


def _send(
    told: Iterator[tuple[int, dict[str, Any]] | Wrong], url: str, key: str | None, rejects: _Rejects, tally: _Tally
) -> None:
    from quorate.client import Client

    with Client(url, key, retries=8, deadline=300.0) as client, progress("outcomes", None) as tick:
        done = 0
        while some := list(islice(told, PART)):
            part: list[tuple[int, dict[str, Any]]] = []
            for each in some:
                if isinstance(each, Wrong):
                    rejects.add(each.line, each.detail)
                else:
                    part.append(each)
            if part:
                receipt = client.outcomes([outcome for _, outcome in part])
                for wrong in receipt.rejected:
                    rejects.add(part[wrong.index][0], wrong.detail)
                tally.accepted += receipt.accepted
                tally.duplicate += receipt.duplicate
                tally.pending += receipt.pending
            done += len(some)
            tick(f"{done} rows")
