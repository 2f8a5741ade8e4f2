"""What is captured by declaration, and how much there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quorate.console import words
from quorate.console.elements import Node
from quorate.console.evidence.table import Cell, Column, Line, Table
from quorate.console.evidence.wording import lasting, size, when

NOTHING = (
    "Nothing is captured at this endpoint: no input is kept, only its SHA-256. With endpoints.NAME.capture in "
    "quorate.yaml, such as {sample: 0.1, keep_days: 30}, inputs are kept from then on."
)
DAY = 86_400.0


class DeclaredBoard:
    """What quorate.yaml says, in words, and what of it there is."""

    def __init__(self) -> None:
        with Node("section", "card", aria_labelledby="declared-title"):
            Node("h2", "", "What is captured", id="declared-title")
            self._none = Node("p", "quiet", NOTHING, hidden=True, data_testid="no-capture")
            self._list = Node("dl", "declared one", data_testid="declared")
        self._shown: list[tuple[str, str]] | None = None

    def show(
        self,
        declared: Mapping[str, Any] | None,
        redacted: Mapping[str, str] | None,
        held: Mapping[str, Any] | None,
        now: float,
    ) -> None:
        """Fill it from the settings that are served, and what is kept."""
        said = in_words(declared, redacted) if declared else []
        if held is not None:
            said += kept(held, now)
        self._none.put(hidden=bool(declared))
        if said == self._shown:
            return
        self._shown = said
        self._list.clear()
        with self._list:
            for title, text in said:
                with Node("div"):
                    Node("dt", "", title)
                    Node("dd", "", text)


def in_words(declared: Mapping[str, Any], redacted: Mapping[str, str] | None) -> list[tuple[str, str]]:
    """What is declared, in words."""
    sample, only = declared["sample"], declared.get("only") or []
    said = [("Share of decisions", "all" if sample >= 1 else words.percent(sample))]
    if only:
        below = declared["confidence_below"]
        names = {"low_confidence": f"low confidence (below {below:g})"}
        said.append(("Of these only", words.listed([names.get(each, each) for each in only])))
    pictures = "byte for byte, as they came"
    if declared["images"] == "resized":
        pictures = f"made smaller, {declared['image_side']} pixels at most, without metadata"
    said.append(("Pictures", pictures))
    columns = declared.get("columns") or declared.get("redact") or {}
    hidden = {**(redacted or {}), **columns}
    said.append(
        ("Not as it came", ", ".join(f"{name}: {how}" for name, how in hidden.items()) or "nothing is redacted")
    )
    days, most = declared["keep_days"], declared["keep_bytes"]
    said.append(("Kept for", "ever" if days is None else words.counted(days, "day")))
    said.append(("At most", "any number of bytes" if most is None else size(most)))
    return said


def kept(held: Mapping[str, Any], now: float) -> list[tuple[str, str]]:
    """What there is of an endpoint, in words."""
    if not held["files"]:
        return [("There is", "nothing yet; the next requests bring some" if held["declared"] else "nothing left")]
    said = [("There is", f"{size(held['size'])} in {words.counted(held['files'], 'file')}")]
    if held["oldest"] is not None and held["newest"] is not None:
        said.append(("From", f"{when(held['oldest'])} to {when(held['newest'])}"))
        if held["keep_days"] is not None:
            left = held["oldest"] + held["keep_days"] * DAY - now
            said.append(("The oldest goes in", lasting(max(left, 60.0))))
    return said


class HeldBoard:
    """How much there is, of every endpoint."""

    def __init__(self) -> None:
        with Node("section", "card", aria_labelledby="held-title"):
            Node("h2", "", "How much there is", id="held-title")
            columns = [Column("Endpoint"), Column("Size", "figure"), Column("Files", "figure"), Column("Kept for")]
            self._table = Table("How much there is", columns, empty="No endpoint captures anything, or ever did.")
            Node(
                "p",
                "quiet note",
                "Whole files are deleted, the oldest first, twice a minute. What is kept of decisions themselves is a "
                "setting of the journal.",
            )

    def show(self, held: Sequence[Mapping[str, Any]], endpoint: str) -> None:
        """List the endpoints."""
        self._table.show([_held(each, each["endpoint"] == endpoint) for each in held])
        self._table.mark(endpoint if len(held) > 1 else None)


def _held(each: Mapping[str, Any], here: bool) -> Line:
    days, most = each["keep_days"], each["keep_bytes"]
    keeps = " and ".join(
        text
        for text in ("" if days is None else words.counted(days, "day"), "" if most is None else size(most))
        if text
    )
    note = "" if each["declared"] else "not declared any more"
    return Line(
        each["endpoint"],
        [Cell(each["endpoint"], note), size(each["size"]), f"{each['files']:,}", keeps or "ever"],
    )
