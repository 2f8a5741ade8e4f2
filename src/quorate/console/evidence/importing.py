"""Importing a file of outcomes: its rows are told to the inference port in parts, like any other outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from typing import Any, Protocol

from nicegui.client import Client

from quorate.client import OutcomeReceipt, QuorateClientError
from quorate.console import words
from quorate.console.apis import in_words
from quorate.console.elements import Node
from quorate.console.evidence.table import Column, Line, Table
from quorate.errors import QuorateError
from quorate.web.outcome_rows import Columns, Wrong, csv_rows, ndjson_rows, outcomes

PART = 1000
SHOWN = 200
"""Rejected rows that are listed; the others are counted."""
SEND = """async (event) => {
  event.preventDefault();
  const form = event.target, file = form.elements.file.files[0];
  if (!file) return emit({ problem: 'Choose a file first.' });
  const query = new URLSearchParams({ name: file.name });
  for (const name of ['id', 'truth', 'rewards', 'source', 'kind']) query.set(name, form.elements[name].value.trim());
  emit({ sending: file.name });
  try {
    const reply = await fetch('%s?' + query, { method: 'POST', body: file });
    if (!reply.ok) emit({ problem: (await reply.json()).detail ?? `It was refused with status ${reply.status}.` });
  } catch {
    emit({ problem: 'The file could not be sent: the page has no connection to its server.' });
  }
}"""


class Tells(Protocol):
    """Where outcomes are told."""

    async def outcomes(self, told: list[Mapping[str, Any]]) -> OutcomeReceipt:
        """Tell some."""
        ...


@dataclass
class Done:
    """What became of a file so far; ``rejected`` has lines and reasons, the first :data:`SHOWN`."""

    rows: int = 0
    accepted: int = 0
    duplicate: int = 0
    pending: int = 0
    refused: int = 0
    rejected: list[tuple[int, str]] = field(default_factory=list)

    def reject(self, line: int, why: str) -> None:
        """One row was no outcome, or was not taken."""
        self.refused += 1
        if len(self.rejected) < SHOWN:
            self.rejected.append((line, why))

    def __str__(self) -> str:
        return (
            f"{words.counted(self.rows, 'row')}: {self.accepted:,} accepted, {self.duplicate:,} known already, "
            f"{self.pending:,} wait for their decision, {self.refused:,} rejected."
        )


class ImportForm:
    """Choose a file, say which columns hold what, and see what became of its rows."""

    def __init__(self, url: str, client: Client) -> None:
        self._client = client
        self._busy = False
        with Node("section", "card wide", aria_labelledby="import-title", id="import"):
            Node("h2", "", "Import outcomes", id="import-title")
            Node(
                "p",
                "quiet note",
                "CSV with a header, or one JSON object a line. A row names its decision by the id of the answer. "
                "Importing the same again changes nothing. Larger files and queries: quorate outcomes import.",
            )
            form = Node("form", "import-form", autocomplete="off").on("submit", self._said, js_handler=SEND % url)
            with form:
                self._fields()
                self._problem = Node("p", "problem slim", role="alert", data_testid="import-problem")
                with Node("div", "tools"):
                    self._button = Node("button", "primary", "Import", type="submit")
            self._status = Node("p", "", "", role="status", data_testid="import-status")
            self._table = Table("Rejected rows", [Column("Line", "figure"), Column("Why it was rejected")])
            self._more = Node("p", "quiet", "", hidden=True)

    def _fields(self) -> None:
        with Node("div", "fields open"):
            with Node("div", "field"):
                Node("label", "", "File", for_="import-file")
                Node("input", "", id="import-file", name="file", type="file", accept=".csv,.tsv,.ndjson,.jsonl,.json")
            for name, title, value, hint in (
                ("id", "Column of the decision", "id", ""),
                ("truth", "Column of the truth", "truth", "none"),
                ("rewards", "Rewards", "", "revenue, clicks=clicked"),
            ):
                with Node("div", "field"):
                    Node("label", "", title, for_=f"import-{name}")
                    Node("input", "", id=f"import-{name}", name=name, type="text", value=value, placeholder=hint)
            with Node("div", "field"):
                Node("label", "", "Whose values", for_="import-source")
                Node("input", "", id="import-source", name="source", value="user", list="import-sources", type="text")
                with Node("datalist", "", id="import-sources"):
                    for source in ("ground_truth", "expert", "user"):
                        Node("option", "", "", value=source)
            with Node("div", "field"):
                Node("label", "", "Truths are", for_="import-kind")
                with Node("select", "", id="import-kind", name="kind"):
                    for kind, title in (("auto", "as they look"), ("label", "classes"), ("number", "numbers")):
                        Node("option", "", title, value=kind)

    def _said(self, event: Any) -> None:
        told = event.args if isinstance(event.args, dict) else {}
        self._problem.say(str(told.get("problem", "")))
        if "sending" in told:
            self._status.say(f"Sending {str(told['sending'])[:100]} …")
        elif told.get("problem"):
            self._status.say("")

    async def take(self, body: bytes, asked: Mapping[str, str], client: Tells) -> str | None:
        """Tell the outcomes of a file; what is wrong with it as a whole, or None."""
        if self._busy:
            return "Another file is being imported on this page; wait until it is done."
        self._busy = True
        done = Done()
        try:
            async for _ in telling(body, asked, client, done):
                if self._client.is_deleted:
                    return None
                self._status.say(f"{done.rows:,} rows …")
        except QuorateClientError as error:
            left = f" Until then: {done}" if done.rows else ""
            if error.status == 403:
                return f"Your key may not tell outcomes; it needs the role outcome.{left}"
            return in_words(error) + left
        except QuorateError as error:
            return error.message
        finally:
            self._busy = False
            self._show(done)
        return None

    def _show(self, done: Done) -> None:
        if self._client.is_deleted:
            return
        self._status.say(str(done))
        self._table.show([Line(f"{n} {line}", [str(line), why]) for n, (line, why) in enumerate(done.rejected)])
        more = done.refused - len(done.rejected)
        self._more.say(f"And {words.counted(more, 'row')} more.")
        self._more.put(hidden=not more)


async def telling(body: bytes, asked: Mapping[str, str], client: Tells, done: Done) -> Any:
    """Tell the outcomes of a file part by part, keeping count; yields after each part."""
    rows = _rows(body, asked)
    while some := await asyncio.to_thread(lambda: list(islice(rows, PART))):
        part: list[tuple[int, Mapping[str, Any]]] = []
        for each in some:
            if isinstance(each, Wrong):
                done.reject(each.line, each.detail)
            else:
                part.append(each)
        if part:
            receipt = await client.outcomes([told for _, told in part])
            for wrong in receipt.rejected:
                done.reject(part[wrong.index][0], wrong.detail)
            done.accepted += receipt.accepted
            done.duplicate += receipt.duplicate
            done.pending += receipt.pending
        done.rows += len(some)
        yield done


def _rows(body: bytes, asked: Mapping[str, str]) -> Iterator[Any]:

    pairs = [each.strip().partition("=") for each in asked.get("rewards", "").split(",") if each.strip()]
    columns = Columns(
        id=asked.get("id") or "id",
        row="row",
        truth=asked.get("truth") or None,
        rewards={metric.strip(): (column or metric).strip() for metric, _, column in pairs},
        source_column="source",
        source=asked.get("source") or "user",
        at="at",
        kind="label" if asked.get("kind") == "label" else "number" if asked.get("kind") == "number" else "auto",
    )
    name, lines = asked.get("name", "").lower(), BytesIO(body)
    csv = name.endswith((".csv", ".tsv")) or not (name.endswith((".ndjson", ".jsonl", ".json")) or body[:1] == b"{")
    found = csv_rows(lines, "\t" if name.endswith(".tsv") else ",") if csv else ndjson_rows(lines)
    return outcomes(found, columns)
