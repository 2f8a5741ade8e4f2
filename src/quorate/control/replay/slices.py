"""Logged decisions as arrays, some ten thousand at a time: first what is counted of all, then the bodies of some.

Compacted files are read by column. Segments that are not compacted are read record by record, which takes some ten
times as long.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from quorate.codecs import decision as decision_codec
from quorate.codecs import parquet
from quorate.codecs.journal import RecordKind, Scan, scan
from quorate.core.types import Decision, FloatArray, StatusArray
from quorate.errors import JournalError

SOURCES = ("policy", "rule", "caller", "fallback", "cache")
AT_ONCE = 16
"""Row groups of a compacted file (4096 decisions each) that are in memory at a time."""
RECORDS = 8192
"""Decisions of a segment that are in memory at a time."""


@dataclass(frozen=True)
class Layout:
    """What decisions of one revision have in common."""

    members: tuple[str, ...]
    width: int
    classes: tuple[str, ...]
    strategies: tuple[str, ...]
    output_kind: str
    features: int = 0


@dataclass
class Body:
    """Answered decisions of one layout: ``index`` int ``[n]`` are their places in the head.

    Rows of all decisions lie one after another: ``outputs`` float32 ``[r, m, k]`` (None where they were not recorded),
    ``status`` int8 ``[r, m]``, ``answer`` float32 ``[r, k]``; decision i has the rows from ``start[i]`` on.
    ``propensities`` float64 ``[n, strategies]``; ``context`` and ``facts`` are JSON texts, where they were asked for.
    ``features`` float32 ``[r, d]`` are there with the outputs, where they were recorded.
    """

    index: NDArray[np.int64]
    layout: Layout
    start: NDArray[np.int64]
    propensities: NDArray[np.float64]
    outputs: FloatArray | None
    status: StatusArray
    answer: FloatArray
    context: Sequence[str | None] = ()
    facts: Sequence[str | None] = ()
    features: FloatArray | None = None


class Head(ABC):
    """Decisions of one segment, in the order of their sequences, all of one endpoint or not.

    Arrays ``[n]``: ``sequence`` int64, ``arrived`` and ``latency_ms`` float64, ``revision``, ``state_version`` and
    ``rows`` int64,
    ``source`` int8 (a place in :data:`SOURCES`, -1 for others); bool: ``mine`` (of the endpoint), ``error``,
    ``degraded``, ``abstained``, ``fell_back``. ``assigned`` and ``served`` are places in ``names``, -1 for None.
    ``unit`` are hashes of sticky units, -1 where there is none; None where no decision has one.
    """

    sequence: NDArray[np.int64]
    arrived: NDArray[np.float64]
    latency_ms: NDArray[np.float64]
    revision: NDArray[np.int64]
    state_version: NDArray[np.int64]
    rows: NDArray[np.int64]
    source: NDArray[np.int8]
    mine: NDArray[np.bool_]
    error: NDArray[np.bool_]
    degraded: NDArray[np.bool_]
    abstained: NDArray[np.bool_]
    names: tuple[str, ...]
    assigned: NDArray[np.int64]
    served: NDArray[np.int64]
    unit: NDArray[np.int64] | None

    @property
    def fell_back(self) -> NDArray[np.bool_]:
        """Which were answered by another strategy than the one that was assigned."""
        found: NDArray[np.bool_] = (self.served >= 0) & (self.served != self.assigned)
        return found

    @abstractmethod
    def bodies(self, wanted: NDArray[np.bool_], *, outputs: bool = True, context: bool = False) -> Iterator[Body]:
        """The bodies of the ``wanted`` decisions, bool ``[n]``; all of them were answered.

        ``outputs`` and ``status`` are there only where ``outputs`` are asked for, ``context`` and ``facts`` likewise.
        """


# --- compacted files --------------------------------------------------------------------------------

_TEXTS = ("endpoint", "source", "assigned", "served", "output_kind", "context", "facts")
_HEAD = (
    "sequence", "endpoint", "arrived", "latency_ms", "revision", "state_version", "rows", "source", "error", "degraded",
    "abstained", "assigned", "served", "unit",
)  # fmt: skip
_BODY = (
    "output_kind", "strategies", "propensities", "member_names", "width", "output_rows", "answer_rows", "answer",
    "classes", "feature_width",
)  # fmt: skip
_OUTPUTS = ("outputs", "status", "features")
_CONTEXT = ("context", "facts")


class Columns:
    """The heads of a compacted file; ``read`` and ``total`` are decisions."""

    def __init__(self, path: Path, endpoint: str, since: float | None, until: float | None) -> None:
        self._path, self._endpoint = path, endpoint
        self._since, self._until = since, until
        self.read = self.total = 0

    def __iter__(self) -> Iterator[Head]:
        with parquet.opened(self._path, _TEXTS) as file:
            self.total = file.metadata.num_rows
            groups = [group for group in range(file.num_row_groups) if self._overlaps(file, group)]
            passed = sum(file.metadata.row_group(g).num_rows for g in range(file.num_row_groups) if g not in groups)
            self.read = passed
            for start in range(0, len(groups), AT_ONCE):
                head = _ColumnHead(self._path, file, groups[start : start + AT_ONCE], self._endpoint)
                yield head
                self.read += len(head.sequence)

    def _overlaps(self, file: Any, group: int) -> bool:
        """Whether a row group may hold decisions of the time asked for, by its statistics."""
        if self._since is None and self._until is None:
            return True
        names = [file.metadata.schema.column(i).path for i in range(file.metadata.num_columns)]
        column = names.index("arrived")
        found = file.metadata.row_group(group).column(column).statistics
        if found is None or not found.has_min_max:
            return True
        return (self._since is None or found.max >= self._since) and (self._until is None or found.min <= self._until)


class _ColumnHead(Head):
    def __init__(self, path: Path, file: Any, groups: list[int], endpoint: str) -> None:
        self._path, self._file, self._groups = path, file, groups
        table = file.read_row_groups(groups, columns=list(_HEAD))
        self.sequence = _numbers(table["sequence"]).astype(np.int64)
        self.arrived, self.latency_ms = _numbers(table["arrived"]), _numbers(table["latency_ms"])
        self.revision, self.rows = _numbers(table["revision"]), _numbers(table["rows"])
        self.state_version = _numbers(table["state_version"])
        endpoints, codes = _coded(table["endpoint"])
        self.mine = codes == (endpoints.index(endpoint) if endpoint in endpoints else -2)
        sources, codes = _coded(table["source"])
        places = np.array([SOURCES.index(s) if s in SOURCES else -1 for s in sources] + [-1], np.int8)
        self.source = places[codes]
        self.degraded, self.abstained = (_numbers(table[name]) for name in ("degraded", "abstained"))
        self.error = ~np.asarray(table["error"].is_null())
        assigned, first = _coded(table["assigned"])
        served, second = _coded(table["served"])
        self.names = tuple(dict.fromkeys([*assigned, *served]))
        self.assigned, self.served = _renamed(assigned, first, self.names), _renamed(served, second, self.names)
        self.unit = None
        if table["unit"].null_count < len(table):
            self.unit = units(table["unit"].to_pylist())

    def bodies(self, wanted: NDArray[np.bool_], *, outputs: bool = True, context: bool = False) -> Iterator[Body]:
        """See :meth:`Head.bodies`."""
        if not wanted.any():
            return
        names = {*_BODY, *(_OUTPUTS if outputs else ()), *(_CONTEXT if context else ())}
        names &= set(self._file.schema_arrow.names)
        with parquet.understood(self._path):
            table = self._file.read_row_groups(self._groups, columns=sorted(names))
        index = np.flatnonzero(wanted)
        if len(index) < len(wanted):
            table = table.take(index)
        codes, layouts = _layouts(table)
        for code, layout in enumerate(layouts):
            some = np.flatnonzero(codes == code)
            part = table if len(layouts) == 1 else table.take(some)
            yield _body(part, index[some], layout, self.rows[index[some]], context=context)


def _body(table: Any, index: NDArray[np.int64], layout: Layout, rows: NDArray[np.int64], *, context: bool) -> Body:
    m, total = len(layout.members), int(rows.sum())
    shapes = [_numbers(table[name]) for name in ("output_rows", "answer_rows")]
    if any((shape != rows).any() for shape in shapes):
        raise JournalError("decisions have other numbers of rows than they say.")
    there = "outputs" in table.column_names
    facts: Sequence[str | None] = ()
    if context:  # the first format had no facts
        facts = table["facts"].to_pylist() if "facts" in table.column_names else [None] * len(index)
    return Body(
        index=index,
        layout=layout,
        start=np.cumsum(rows) - rows,
        propensities=_flat(table["propensities"]).reshape(len(index), len(layout.strategies)),
        outputs=_flat(table["outputs"]).reshape(total, m, layout.width) if there and layout.width else None,
        status=_flat(table["status"]).reshape(total, m) if there else np.zeros((0, m), np.int8),
        answer=_flat(table["answer"]).reshape(total, -1),
        context=table["context"].to_pylist() if context else (),
        facts=facts,
        features=_flat(table["features"]).reshape(total, layout.features) if there and layout.features else None,
    )


def _layouts(table: Any) -> tuple[NDArray[np.int64], list[Layout]]:
    """Which layout each row of a table has."""
    parts = [_lists(table[name]) for name in ("member_names", "classes", "strategies")]
    kinds, kind = _coded(table["output_kind"])
    width = _numbers(table["width"]).astype(np.int64)
    features = np.zeros(len(width), np.int64)
    if "feature_width" in table.column_names:  # the formats before had none
        features = table["feature_width"].fill_null(0).to_numpy().astype(np.int64)
    keys = np.stack([*(codes for codes, _ in parts), kind, width, features], axis=1)
    if len(keys) and (keys == keys[0]).all():
        distinct, codes = keys[:1], np.zeros(len(keys), np.int64)
    else:
        distinct, codes = np.unique(keys, axis=0, return_inverse=True)
        codes = codes.reshape(-1)
    (_, members), (_, classes), (_, strategies) = parts
    return codes, [
        Layout(members[a], int(w), classes[b], strategies[c], kinds[d], f) for a, b, c, d, w, f in distinct.tolist()
    ]


def _lists(column: Any) -> tuple[NDArray[np.int64], list[tuple[str, ...]]]:
    """Lists of texts as the distinct ones, and which each row has."""
    whole = column.combine_chunks()
    lengths = np.diff(whole.offsets.to_numpy())
    flat = whole.flatten().dictionary_encode()
    n = len(lengths)
    if n and (lengths == lengths[0]).all():
        codes = flat.indices.to_numpy().reshape(n, lengths[0])
        if (codes == codes[0]).all():
            texts = flat.dictionary.to_pylist()
            return np.zeros(n, np.int64), [tuple(texts[code] for code in codes[0].tolist())]
    known: dict[tuple[str, ...], int] = {}
    places = np.array([known.setdefault(tuple(each), len(known)) for each in whole.to_pylist()], np.int64)
    return places, list(known)


def _flat(column: Any) -> NDArray[Any]:
    """The numbers of a column of lists, one list after another."""
    found: NDArray[Any] = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return found


def _numbers(column: Any) -> NDArray[Any]:
    found: NDArray[Any] = column.to_numpy()
    return found


def _coded(column: Any) -> tuple[list[str], NDArray[np.int64]]:
    """A column of texts as the distinct ones and which each row has, -1 for None."""
    whole = column.combine_chunks()
    if not hasattr(whole, "indices"):
        whole = whole.dictionary_encode()
    codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return whole.dictionary.to_pylist(), codes


def _renamed(texts: Sequence[str], codes: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.int64]:
    places = np.array([*(names.index(text) for text in texts), -1], np.int64)
    return places[codes]


def units(values: Sequence[str | None]) -> NDArray[np.int64]:
    """A number for every sticky unit, the same for the same one; -1 where there is none."""
    return np.array([-1 if v is None else zlib.crc32(v.encode("utf-8", "surrogatepass")) for v in values], np.int64)


# --- segments ---------------------------------------------------------------------------------------


class Records:
    """The heads of a segment that is not compacted; ``damaged`` bytes hold no record, ``unreadable`` are records."""

    def __init__(self, path: Path, endpoint: str) -> None:
        self._path, self._endpoint = path, endpoint
        self.damaged = self.unreadable = 0

    def __iter__(self) -> Iterator[Head]:
        found = scan(self._path)
        kept: list[tuple[int, Decision]] = []
        for sequence, decision in self._decisions(found):
            kept.append((sequence, decision))
            if len(kept) == RECORDS:
                yield _RecordHead(kept)
                kept = []
        if kept:
            yield _RecordHead(kept)
        self.damaged = sum(damage.length for damage in found.damage)

    def _decisions(self, found: Scan) -> Iterator[tuple[int, Decision]]:
        for record in found:
            if record.kind != RecordKind.DECISION:
                continue
            try:
                if decision_codec.summary(record.payload).endpoint == self._endpoint:
                    yield record.sequence, decision_codec.decode(record.payload)
            except JournalError:
                self.unreadable += 1


class _RecordHead(Head):
    def __init__(self, rows: Sequence[tuple[int, Decision]]) -> None:
        self._decisions = [decision for _, decision in rows]
        d = self._decisions
        self.sequence = np.array([sequence for sequence, _ in rows], np.int64)
        self.arrived, self.latency_ms = np.array([x.arrived for x in d]), np.array([x.latency_ms for x in d])
        self.revision, self.rows = np.array([x.revision for x in d]), np.array([x.rows for x in d])
        self.state_version = np.array([x.state_version for x in d])
        self.source = np.array([SOURCES.index(x.source) if x.source in SOURCES else -1 for x in d], np.int8)
        self.mine = np.ones(len(d), bool)
        self.error = np.array([x.error is not None for x in d])
        self.degraded, self.abstained = np.array([x.degraded for x in d]), np.array([x.abstained for x in d])
        self.names = tuple(dict.fromkeys([x.assigned for x in d] + [x.served for x in d if x.served is not None]))
        places: dict[str | None, int] = {name: i for i, name in enumerate(self.names)}
        self.assigned = np.array([places[x.assigned] for x in d])
        self.served = np.array([places.get(x.served, -1) for x in d])
        self.unit = units([x.unit for x in d]) if any(x.unit is not None for x in d) else None

    def bodies(self, wanted: NDArray[np.bool_], *, outputs: bool = True, context: bool = False) -> Iterator[Body]:
        """See :meth:`Head.bodies`."""
        layouts: dict[Layout, list[int]] = defaultdict(list)
        for i in np.flatnonzero(wanted).tolist():
            d = self._decisions[i]
            names = tuple(run.name for run in d.members)
            features = 0 if d.features is None else d.features.shape[1]
            layouts[Layout(names, d.outputs.shape[2], d.classes, d.strategies, d.output_kind, features)].append(i)
        for layout, index in layouts.items():
            some = [self._decisions[i] for i in index]
            rows = np.array([d.rows for d in some])
            if any(d.outputs.shape[0] != d.rows or d.answer is None or len(d.answer) != d.rows for d in some):
                raise JournalError("decisions have other numbers of rows than they say.")
            yield Body(
                index=np.array(index),
                layout=layout,
                start=np.cumsum(rows) - rows,
                propensities=np.array([d.propensities for d in some]).reshape(len(some), len(layout.strategies)),
                outputs=np.concatenate([d.outputs for d in some]) if layout.width else None,
                status=np.concatenate([d.status for d in some]),
                answer=np.concatenate([d.answer for d in some if d.answer is not None]),
                context=[msgspec.json.encode(dict(d.context)).decode() for d in some] if context else (),
                facts=[msgspec.json.encode(dict(d.facts)).decode() if d.facts else None for d in some]
                if context
                else (),
                features=np.concatenate([d.features for d in some if d.features is not None])
                if layout.features
                else None,
            )
