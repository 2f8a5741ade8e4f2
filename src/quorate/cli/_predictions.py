"""What ``quorate predict`` prints: a table at the end, or JSON and CSV as the answers come."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from quorate.cli._output import print_table
from quorate.client import Answer, EndpointInfo, Prediction


@dataclass(frozen=True, slots=True)
class Result:
    """One item: what was asked about, and a row of an answer or why there is none."""

    item: str
    answer: Answer | None = None
    row: int = 0
    error: str | None = None

    @property
    def prediction(self) -> Prediction | None:
        """The row's prediction."""
        if self.answer is None:
            return None
        # A row of a batch comes alone; ``row`` says which of its decision's rows it is.
        return self.answer.predictions[self.row if len(self.answer) > 1 else 0]


class Writer(Protocol):
    """Takes results in order; ``close`` makes what was written whole, also after an interruption."""

    def write(self, result: Result) -> None:
        """Take one."""

    def close(self) -> None:
        """Finish."""


def columns(endpoint: EndpointInfo) -> tuple[str, ...]:
    """What a table shows: what the endpoint answers, ids to tell outcomes about, errors."""
    answers = {tensor.name for tensor in endpoint.outputs}
    shown = [name for name in ("label", "confidence", "value") if name in answers]
    blind = answers == {"label"}
    return ("item", *shown, *(() if blind else ("strategy", "degraded")), "id", "row", "error")


def values(result: Result) -> dict[str, Any]:
    """Everything about a result, for JSON; what does not apply is left out."""
    if result.answer is None or result.prediction is None:
        return {"item": result.item, "error": result.error}
    answer, prediction = result.answer, result.prediction
    found = {
        "item": result.item,
        "label": prediction.label,
        "confidence": prediction.confidence,
        "probabilities": prediction.probabilities,
        "value": prediction.value,
        "values": prediction.values,
        "abstained": prediction.abstained,
        "reason": prediction.reason,
        "members": prediction.members,
        "strategy": answer.strategy,
        "degraded": answer.degraded,
        "missing": answer.missing,
        "id": answer.id,
        "row": result.row,
    }
    return {name: value for name, value in found.items() if value is not None}


class JsonWriter:
    """A JSON list, one result a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._before = "["

    def write(self, result: Result) -> None:
        """See :class:`Writer`."""
        self._stream.write(f"{self._before}\n  {json.dumps(values(result), ensure_ascii=False)}")
        self._before = ","

    def close(self) -> None:
        """See :class:`Writer`."""
        self._stream.write("[]\n" if self._before == "[" else "\n]\n")


class CsvWriter:
    """CSV with a head. Text that a spreadsheet would run as a formula gets an apostrophe before it."""

    def __init__(self, stream: TextIO, columns: Sequence[str]) -> None:
        self._columns = columns
        self._csv = csv.writer(stream, lineterminator="\n")
        self._csv.writerow(columns)

    def write(self, result: Result) -> None:
        """See :class:`Writer`."""
        found = _flat(result)
        self._csv.writerow([_safe(found.get(name)) for name in self._columns])

    def close(self) -> None:
        """See :class:`Writer`."""


class TableWriter:
    """Keeps all results and prints them aligned."""

    def __init__(self, stream: TextIO, columns: Sequence[str], show: Callable[..., None] = print_table) -> None:
        self._stream = stream
        self._columns = columns
        self._show = show
        self._results: list[Result] = []

    def write(self, result: Result) -> None:
        """See :class:`Writer`."""
        self._results.append(result)

    def close(self) -> None:
        """See :class:`Writer`."""
        found = [_flat(result) for result in self._results]
        used = [c for c in self._columns if c != "error" or any(each.get(c) for each in found)]
        rows = [[_printable(each.get(name)) for name in used] for each in found]
        self._show(used, rows, stream=self._stream)


def _flat(result: Result) -> dict[str, Any]:
    found = values(result)
    if "values" in found:
        found["value"] = json.dumps(found["values"], ensure_ascii=False)
    if found.get("abstained"):
        found["error"] = found["reason"]
    return found


def _safe(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") and not _is_number(value):
        return f"'{value}"
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _printable(value: Any) -> Any:
    if isinstance(value, str):  # a file's name may hold what would command the terminal
        return "".join(letter if letter.isprintable() else "�" for letter in value)
    return value
