"""``quorate journal``: what is kept of decisions, and compacting, shipping and deleting it by hand."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from quorate.cli._config import HERE, Json, Project, home_of, store_of
from quorate.cli._output import note, print_json, print_table
from quorate.clock import SystemClock
from quorate.codecs import parquet
from quorate.codecs.lookup import JournalReader
from quorate.control.journal.ingest import ingest_lock
from quorate.control.journal.keeping import Keeper, Kept, ship_lock
from quorate.control.journal.pins import Pin, pins
from quorate.control.journal.pins import pin as set_pin
from quorate.control.journal.pins import unpin as remove_pin
from quorate.control.journal.retention import stored
from quorate.control.listening import catch_up, ingest_now
from quorate.errors import ConfigError, NotFound
from quorate.home import Home

app = typer.Typer(
    help="See and keep the journal.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


@app.callback()
def _group() -> None:
    """See and keep the journal."""


@app.command()
def status(project: Project = HERE, json: Json = False) -> None:
    """Show what is in the journal, and what was done with it."""
    home = home_of(project)
    sizes: dict[tuple[int, str], list[float]] = defaultdict(lambda: [0, 0, float("inf")])
    for each in stored(JournalReader(home.journal).files()):
        entry = sizes[each.segment.slot, "columns" if each.segment.compacted else "segment"]
        entry[0] += 1
        entry[1] += each.size
        entry[2] = min(entry[2], each.newest)
    kept, held = Kept.read(home), pins(home, time.time())
    files = [
        {"slot": slot, "kind": kind, "files": int(n), "bytes": int(size), "oldest": _moment(oldest)}
        for (slot, kind), (n, size, oldest) in sorted(sizes.items())
    ]
    if json:
        print_json({"files": files, "kept": kept, "pins": held})
        return
    print_table(("slot", "kind", "files", "bytes", "oldest"), [tuple(row.values()) for row in files])
    ratio = f"{kept.after / kept.before:.2f}" if kept.before else None
    done = (
        ("segments compacted", kept.compacted),
        ("decisions in them", kept.decisions),
        ("bytes after / before", ratio),
        ("files deleted", kept.deleted),
        ("bytes deleted", kept.deleted_bytes),
        ("files held back", kept.held),
        ("files shipped", kept.shipped),
        ("failures to ship", kept.ship_failures),
        ("newest failure to ship", kept.ship_error),
    )
    print_table(("so far", ""), done, title="\nKeeping")
    if held:
        rows = [(p.name, _moment(p.since), None if p.until is None else _moment(p.until), p.reason) for p in held]
        print_table(("pin", "since", "until", "reason"), rows, title="\nPins")
    for name, why in kept.left.items():
        note(f"{name} is not compacted: {why}")
    if not parquet.available():
        note("Segments are not compacted: the extra 'arrow' is not installed; pip install 'quorate[arrow]'.")


@app.command()
def compact(project: Project = HERE) -> None:
    """Turn finished segments into Parquet files now."""
    if not parquet.available():
        raise ConfigError("Compaction needs the extra 'arrow'; run: pip install 'quorate[arrow]'.")
    with _keeping(home_of(project)) as keeper:
        before = keeper.kept.compacted
        while keeper.compactable():
            so_far = keeper.kept.compacted + len(keeper.kept.left)
            keeper.tidy(at_once=True)
            if keeper.kept.compacted + len(keeper.kept.left) == so_far:
                break
        typer.echo(f"{keeper.kept.compacted - before} segments were compacted.")
        _leave(keeper.kept.left)


@app.command()
def prune(project: Project = HERE) -> None:
    """Delete now what journal.keep_days and journal.keep_bytes no longer keep."""
    with _keeping(home_of(project)) as keeper:
        before = (keeper.kept.deleted, keeper.kept.deleted_bytes)
        keeper.tidy(most=0, at_once=True)
        files, size = keeper.kept.deleted - before[0], keeper.kept.deleted_bytes - before[1]
        typer.echo(f"{files} files ({size} bytes) were deleted; {keeper.kept.held} are held back.")


@app.command()
def ship(project: Project = HERE) -> None:
    """Copy finished files to where journal.ship says; exits with 1 if one could not be copied."""
    home = home_of(project)
    with store_of(home) as database:
        ingest_now(home, database, SystemClock())
        with ship_lock(home) as mine:
            if not mine:
                raise ConfigError("Another process ships this project's journal now; it does so by itself.")
            keeper = Keeper(home, database, SystemClock())
            if keeper.settings().ship is None:
                raise ConfigError("Nothing says where to ship; set journal.ship and run `quorate apply`.")
            before = (keeper.kept.shipped, keeper.kept.ship_failures)
            keeper.ship()
            typer.echo(f"{keeper.kept.shipped - before[0]} files were shipped.")
            if keeper.kept.ship_failures > before[1]:
                note(f"Not all could be: {keeper.kept.ship_error}")
                raise typer.Exit(1)


@app.command()
def pin(
    name: Annotated[str, typer.Argument(help="The pin's name.")],
    since: Annotated[
        str, typer.Option(help="Decisions from then on are needed: 2026-01-31 or 2026-01-31T12:00 (UTC).")
    ],
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    days: Annotated[float | None, typer.Option(min=0, help="The pin goes by itself after so many days.")] = None,
    project: Project = HERE,
) -> None:
    """Hold back the deletion of decisions that are needed later."""
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        raise ConfigError(f"--since is a date or time such as 2026-01-31T12:00; got '{since[:64]}'.") from None
    start = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    until = None if days is None else time.time() + days * 86_400
    set_pin(home_of(project), Pin(name, start, reason, until))
    typer.echo(f"Decisions from {_moment(start)} on are kept.")


@app.command()
def unpin(name: Annotated[str, typer.Argument(help="The pin's name.")], project: Project = HERE) -> None:
    """Remove a pin."""
    if not remove_pin(home_of(project), name):
        raise NotFound(f"There is no pin '{name[:64]}'; `quorate journal status` lists them.")


@contextmanager
def _keeping(home: Home) -> Iterator[Keeper]:
    """A keeper while nobody else ingests; what is in the journal is ingested first."""
    with store_of(home) as database, ingest_lock(home) as mine:
        if not mine:
            raise ConfigError("The control process of this project runs, and does this by itself.")
        catch_up(home, database, SystemClock())
        yield Keeper(home, database, SystemClock())


def _leave(left: dict[str, str]) -> None:
    for name, why in left.items():
        note(f"{name} stays as it is: {why}")


def _moment(seconds: float) -> Any:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
