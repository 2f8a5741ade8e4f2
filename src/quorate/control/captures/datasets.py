"""Captured inputs with their decisions and outcomes, as a data set that something can be trained on or labelled from.

A data set is a folder: the rows as a table, the images as files, and a card that says where they are from. It is
written beside its place and renamed, so it is there whole or not at all.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from quorate import __version__
from quorate.clock import Clock
from quorate.codecs.capture import Capture
from quorate.codecs.capture_reader import CaptureReader, Losses, read_segment
from quorate.codecs.lookup import JournalReader
from quorate.control.captures.dataset_files import Format, Pictures, digest_of_files, table_writer
from quorate.control.outcomes.rules import RuleBook
from quorate.core.outcomes import OutcomeRules
from quorate.core.types import Decision, Status
from quorate.errors import ConfigError, InvalidInput, NotFound
from quorate.home import Home
from quorate.store.database import Database
from quorate.store.ledger import JOINED, PENDING, TRUTH, StoredOutcome, outcomes_of

Truth = Literal["with", "without", "all"]
CARD = "card.json"
CARD_FORMAT = 1
_MANY = 500
_DEFAULT = OutcomeRules()


class Input(msgspec.Struct, frozen=True):
    """One input column: ``kind`` is numbers, text or image; ``shape`` that of one row."""

    name: str
    kind: Literal["numbers", "text", "image"]
    dtype: str = ""
    shape: tuple[int, ...] = ()
    hashed: bool = False


class Card(msgspec.Struct):
    """Where a data set is from, what was left out of it and why; the file ``card.json``.

    Times are Unix seconds. ``shares`` counts rows by the share of decisions that was captured: a row stands for
    ``1 / share`` of those that ``only`` names. ``without_decision`` are inputs whose decision is no longer in the
    journal, ``other_inputs`` those that have other columns than the newest.
    """

    endpoint: str
    format: str
    truth: str
    created: float
    author: str
    release: str
    inputs: list[Input]
    card_format: int = CARD_FORMAT
    since: float | None = None
    until: float | None = None
    first: float | None = None
    last: float | None = None
    rows: int = 0
    decisions: int = 0
    rows_with_truth: int = 0
    revisions: list[int] = []
    classes: dict[str, int] = {}
    truth_sources: dict[str, int] = {}
    shares: dict[str, int] = {}
    only: list[str] = []
    removed: list[str] = []
    hashed: list[str] = []
    without_decision: int = 0
    other_inputs: int = 0
    damaged_bytes: int = 0
    unreadable_records: int = 0
    digest: str = ""


@dataclass(slots=True)
class _Build:
    """A data set that is being written."""

    card: Card
    values: int
    losses: Losses = field(default_factory=Losses)
    revisions: set[int] = field(default_factory=set)
    classes: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    shares: Counter[str] = field(default_factory=Counter)
    only: set[str] = field(default_factory=set)


def export(
    home: Home,
    database: Database,
    clock: Clock,
    endpoint: str,
    out: Path,
    *,
    form: Format = "ndjson",
    truth: Truth = "all",
    since: float | None = None,
    until: float | None = None,
    author: str = "unknown",
) -> Card:
    """Write the captured inputs of an endpoint as a data set to the folder ``out``, which must not exist.

    ``since`` and ``until`` bound the arrival (Unix seconds). :class:`NotFound` where nothing is captured,
    :class:`ConfigError` for a folder that exists, :class:`InvalidInput` where the format does not fit the inputs.
    """
    reader = CaptureReader(home.captures)
    newest = _newest(reader, endpoint)
    if newest is None:
        raise NotFound(f"No input of endpoint '{endpoint[:64]}' is kept; `quorate data status` lists what is.")
    inputs = _inputs(newest)
    if form == "folder" and [one.kind for one in inputs] != ["image"]:
        raise InvalidInput(
            f"The format 'folder' is images by class; the inputs of '{endpoint}' are "
            f"{', '.join(one.name for one in inputs)}. Take csv, ndjson or parquet.",
            path="format",
        )
    if out.exists():
        raise ConfigError(f"{out} exists; a data set is written to a folder of its own.", path="out")
    card = Card(endpoint, form, truth, clock.now(), author, __version__, inputs, since=since, until=until)
    temporary = out.with_name(f".{out.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        build = _Build(card, _values(JournalReader(home.journal).find(newest.id)))
        _write(home, database, reader, build, temporary)
        _finish(build, temporary)
        temporary.rename(out)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror or error}.", path="out") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return card


def _write(home: Home, database: Database, reader: CaptureReader, build: _Build, folder: Path) -> None:
    card = build.card
    pictures = Pictures(folder, by_class=card.format == "folder")
    journal = JournalReader(home.journal)
    chosen = (
        capture
        for capture in reader.captures(card.endpoint, build.losses)
        if (card.since is None or capture.arrived >= card.since)
        and (card.until is None or capture.arrived < card.until)
    )
    book = RuleBook()
    with table_writer(folder, card.format, _columns(card.inputs), values=build.values) as write:
        while some := list(islice(chosen, _MANY)):
            decisions = {capture.id: journal.find_next(capture.id) for capture in some}
            with database.read() as connection:
                rules = {
                    id_: book.of(connection, decision.endpoint, decision.revision).outcomes
                    for id_, decision in decisions.items()
                    if decision is not None
                }
                told = _by_row(outcomes_of(connection, [capture.id for capture in some]), rules)
            rows = [row for c in some for row in _rows(build, c, decisions[c.id], told, pictures)]
            write(rows)


def _rows(
    build: _Build,
    capture: Capture,
    decision: Decision | None,
    told: Mapping[tuple[str, int], Sequence[StoredOutcome]],
    pictures: Pictures,
) -> Iterator[dict[str, Any]]:
    card = build.card
    if _inputs(capture) != card.inputs:
        card.other_inputs += 1
        return
    card.without_decision += decision is None
    any_row = False
    for row in range(capture.rows):
        outcomes = told.get((capture.id, row), ())
        truth = _best(outcomes)
        known = truth is not None
        if (card.truth == "with" and not known) or (card.truth == "without" and known):
            continue
        any_row = True
        label = None if truth is None else truth.value if truth.label is None else truth.label
        made: dict[str, Any] = {
            "decision": capture.id,
            "row": row,
            "arrived": capture.arrived,
            "weight": 1.0 / capture.share if capture.share > 0 else None,
            "truth": label,
            "truth_source": None if truth is None else truth.source,
            **_answer(decision, row),
            "rewards": {o.metric: o.value for o in outcomes if o.metric != TRUTH},
        }
        for one in card.inputs:
            value: Any = capture.inputs[one.name][row]
            if one.kind == "image":
                value = pictures.write(value, f"{capture.id}-{row}", None if label is None else str(label))
            made[one.name] = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        build.shares[f"{capture.share:g}"] += 1
        if truth is not None:
            build.sources[truth.source] += 1
            build.classes[str(label)] += decision is None or decision.output_kind == "scores"
            card.rows_with_truth += 1
        card.rows += 1
        yield made
    if any_row:
        card.decisions += 1
        card.first = min(capture.arrived, math.inf if card.first is None else card.first)
        card.last = max(capture.arrived, -math.inf if card.last is None else card.last)
        build.revisions.add(capture.revision)
        build.only |= set(capture.only)
        card.removed = sorted({*card.removed, *capture.removed})
        card.hashed = sorted({*card.hashed, *capture.hashed})


def _answer(decision: Decision | None, row: int) -> dict[str, Any]:
    """What was answered, how sure it was, and how far the members were apart."""
    none: dict[str, Any] = {"answer": None, "confidence": None, "disagreement": None, "strategy": None}
    if decision is None:
        return none
    none["strategy"] = decision.assigned
    answer = None if decision.answer is None else decision.answer[row]
    outputs = decision.outputs[row][decision.status[row] == Status.OK] if decision.outputs.size else None
    if answer is None or not np.isfinite(answer).all():
        return none
    if decision.output_kind == "scores":
        best = int(answer.argmax())
        apart = None
        if outputs is not None and len(outputs):
            apart = float((outputs.argmax(axis=1) != best).mean())
        return none | {
            "answer": decision.classes[best],
            "confidence": float(answer[best]),
            "disagreement": apart,
        }
    spread = None if outputs is None or not len(outputs) else float(outputs.std(axis=0).mean())
    said = answer.tolist()
    return none | {"answer": said[0] if len(said) == 1 else said, "disagreement": spread}


def _finish(build: _Build, folder: Path) -> None:
    card = build.card
    card.revisions = sorted(build.revisions)
    card.classes = {name: count for name, count in sorted(build.classes.items()) if count}
    card.truth_sources = dict(sorted(build.sources.items()))
    card.shares = dict(sorted(build.shares.items()))
    card.only = sorted(build.only)
    card.damaged_bytes, card.unreadable_records = build.losses.damaged, build.losses.unreadable
    card.digest = digest_of_files(folder)
    (folder / CARD).write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
    (folder / "card.md").write_text("\n".join(_page(card)) + "\n", "utf-8")


def _page(card: Card) -> Iterator[str]:
    """The card for people."""

    def when(seconds: float | None) -> str:
        return "–" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")

    yield f"# Data set of endpoint `{card.endpoint}`"
    yield ""
    yield f"Exported {when(card.created)} by {card.author}, Quorate {card.release}; SHA-256 `{card.digest}`."
    yield ""
    yield "| what | |"
    yield "|---|---|"
    facts: dict[str, Any] = {
        "rows": card.rows,
        "of decisions": card.decisions,
        "with a truth": card.rows_with_truth,
        "arrived": f"{when(card.first)} to {when(card.last)}",
        "revisions": ", ".join(map(str, card.revisions)) or "–",
        "rows by class": ", ".join(f"{name}: {count}" for name, count in card.classes.items()) or "–",
        "truth from": ", ".join(f"{name}: {count}" for name, count in card.truth_sources.items()) or "–",
        "rows by share captured": ", ".join(f"{share}: {count}" for share, count in card.shares.items()) or "–",
        "only decisions that are": " or ".join(card.only) or "all",
        "columns removed": ", ".join(card.removed) or "none",
        "columns hashed": ", ".join(card.hashed) or "none",
        "inputs": ", ".join(f"{one.name} ({one.kind})" for one in card.inputs),
        "inputs whose decision is gone": card.without_decision,
        "inputs with other columns, left out": card.other_inputs,
        "damaged bytes": card.damaged_bytes,
        "records that could not be read": card.unreadable_records,
    }
    for name, value in facts.items():
        yield f"| {name} | {value} |"
    yield ""
    yield "A row's `weight` is one over the share of decisions that was captured when it came: weighted sums estimate"
    yield "those over all decisions that the filters name. Nothing tells of decisions that the filters left out."


def _values(decision: Decision | None) -> int:
    """How many numbers an answer has; 0 for labels."""
    return 0 if decision is None or decision.output_kind == "scores" else len(decision.classes)


def _newest(reader: CaptureReader, endpoint: str) -> Capture | None:
    files = sorted(reader.files(endpoint), key=lambda segment: segment.path.stat().st_mtime, reverse=True)
    for segment in files:
        found = [capture for _, capture in read_segment(segment.path) if capture.erased is None]
        if found:
            return max(found, key=lambda capture: capture.arrived)
    return None


def _inputs(capture: Capture) -> list[Input]:
    found = []
    for name, column in capture.inputs.items():
        if isinstance(column, np.ndarray) and not (name == "image" and column.ndim >= 3 and column.dtype == np.uint8):
            found.append(Input(name, "numbers", column.dtype.str, column.shape[1:]))
        elif isinstance(column, np.ndarray) or (column and not isinstance(column[0], str)):
            found.append(Input(name, "image"))
        else:
            found.append(Input(name, "text", hashed=name in capture.hashed))
    return found


def _columns(inputs: Sequence[Input]) -> list[str]:
    known = ["decision", "row", "arrived", "weight", "truth", "truth_source", "answer", "confidence", "disagreement"]
    return [*known, "strategy", "rewards", *(one.name for one in inputs)]


def _by_row(
    outcomes: Sequence[StoredOutcome], rules: Mapping[str, OutcomeRules]
) -> dict[tuple[str, int], list[StoredOutcome]]:
    """Outcomes that count by row; of a metric that several sources tell, the one that takes precedence."""
    found: dict[tuple[str, int], dict[str, StoredOutcome]] = defaultdict(dict)
    for outcome in sorted(
        outcomes, key=lambda each: rules.get(each.decision, _DEFAULT).rank(each.source), reverse=True
    ):
        if outcome.state in (JOINED, PENDING):
            found[outcome.decision, outcome.row][outcome.metric] = outcome
    return {key: list(by_metric.values()) for key, by_metric in found.items()}


def _best(outcomes: Sequence[StoredOutcome]) -> StoredOutcome | None:
    return next((outcome for outcome in outcomes if outcome.metric == TRUTH), None)
