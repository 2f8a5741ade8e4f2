"""Decisions and outcomes as Parquet files: what sealed segments are compacted to. Needs the extra ``arrow``.

One row per record, in the order of the segment. Every field comes back bit for bit. Arrays are lists of numbers with
their shape beside them: ``outputs`` is ``[output_rows, members, width]`` in row-major order, ``status``
``[output_rows, members]``, ``answer`` ``[answer_rows, answer_width]`` (both None where there was no answer),
``features`` ``[output_rows, feature_width]`` (both None where no combiner looks at any). ``withheld`` are rows that
were told no answer, where some were and others not.
``context`` and ``facts`` are JSON; where a number of the context is not finite, which JSON cannot say,
``context_packed`` has it as MessagePack.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np

from quorate.codecs import parquet
from quorate.codecs.parquet import arrow, lists, opened, slices, table
from quorate.core.types import NOTHING, Decision, MemberRun, Outcome, Scalar, Status

_PLAIN = {
    "endpoint": "string", "revision": "int64", "state_version": "int64", "source": "string", "arrived": "float64",
    "queue_ms": "float64", "latency_ms": "float64", "assigned": "string", "served": "string", "degraded": "bool_",
    "rows": "int64", "input_digest": "binary", "output_kind": "string", "unit": "string", "error": "string",
    "abstained": "bool_", "capture": "string", "request_id": "string", "idempotency_key": "string",
    "traceparent": "string",
}  # fmt: skip
"""Fields of a decision that are columns as they are."""

_OUTCOME = {
    "decision": "string", "row": "int64", "truth_label": "string", "truth_value": "float64", "truth_integer": "int64",
    "rewards": "rewards", "source": "string", "at": "float64", "received": "float64",
}  # fmt: skip


@functools.cache
def _decision_types() -> dict[str, Any]:
    pa, _ = arrow()
    texts = pa.list_(pa.string())
    return {
        "sequence": pa.uint64(),
        "id": pa.string(),
        **{name: getattr(pa, kind)() for name, kind in _PLAIN.items()},
        "context": pa.string(),
        "context_packed": pa.binary(),
        "facts": pa.string(),
        "strategies": texts,
        "propensities": pa.list_(pa.float64()),
        "member_names": texts,
        "member_versions": pa.list_(pa.int64()),
        "member_status": pa.list_(pa.int8()),
        "member_latency_ms": pa.list_(pa.float64()),
        "member_reasons": texts,
        "members": pa.int32(),
        "width": pa.int32(),
        "output_rows": pa.int32(),
        "outputs": pa.list_(pa.float32()),
        "status": pa.list_(pa.int8()),
        "answer_rows": pa.int32(),
        "answer_width": pa.int32(),
        "answer": pa.list_(pa.float32()),
        "feature_width": pa.int32(),
        "features": pa.list_(pa.float32()),
        "classes": texts,
        "withheld": pa.list_(pa.int32()),
    }


@functools.cache
def _outcome_types() -> dict[str, Any]:
    pa, _ = arrow()
    rewards = pa.map_(pa.string(), pa.float64())
    kinds = {name: rewards if kind == "rewards" else getattr(pa, kind)() for name, kind in _OUTCOME.items()}
    return {"sequence": pa.uint64(), **kinds}


def decisions_table(rows: Sequence[tuple[int, Decision]], origin: Mapping[str, int]) -> Any:
    """Decisions with their sequences as a table; ``origin`` says which segment they are from (slot, boot …)."""
    decisions = [decision for _, decision in rows]
    columns: dict[str, Any] = {name: [getattr(d, name) for d in decisions] for name in ("id", *_PLAIN)}
    columns["sequence"] = [sequence for sequence, _ in rows]
    packed = [_odd(d.context) for d in decisions]
    columns["context"] = [
        msgspec.json.encode(d.context if type(d.context) is dict else dict(d.context)).decode() for d in decisions
    ]
    columns["context_packed"] = [
        msgspec.msgpack.encode(dict(d.context)) if odd else None for d, odd in zip(decisions, packed, strict=True)
    ]
    columns["facts"] = [msgspec.json.encode(dict(d.facts)).decode() if d.facts else None for d in decisions]
    columns["strategies"] = [d.strategies for d in decisions]
    columns["classes"] = [d.classes for d in decisions]
    for column, name in _MEMBER.items():
        columns[column] = [[getattr(run, name) for run in d.members] for d in decisions]
    shapes = np.array([d.outputs.shape for d in decisions], np.int32).reshape(-1, 3)
    columns |= {"output_rows": shapes[:, 0], "members": shapes[:, 1], "width": shapes[:, 2]}
    columns["answer_rows"] = [None if d.answer is None else d.answer.shape[0] for d in decisions]
    columns["answer_width"] = [None if d.answer is None else d.answer.shape[1] for d in decisions]
    columns["outputs"] = lists([d.outputs for d in decisions], np.dtype("<f4"))
    columns["status"] = lists([d.status for d in decisions], np.dtype("i1"))
    none = np.zeros(0, "<f4")
    columns["answer"] = lists([none if d.answer is None else d.answer for d in decisions], np.dtype("<f4"))
    columns["feature_width"] = [None if d.features is None else d.features.shape[1] for d in decisions]
    columns["features"] = lists([none if d.features is None else d.features for d in decisions], np.dtype("<f4"))
    columns["withheld"] = [d.withheld or None for d in decisions]
    columns["propensities"] = lists([np.array(d.propensities, "<f8") for d in decisions], np.dtype("<f8"))
    return table(_decision_types(), columns, origin)


_MEMBER = {
    "member_names": "name",
    "member_versions": "version",
    "member_status": "status",
    "member_latency_ms": "latency_ms",
    "member_reasons": "reason",
}

# Dictionaries are for text only: they would take one NaN for another.
_DECISION_ENCODINGS = {
    "id": "DELTA_BYTE_ARRAY",
    "sequence": "DELTA_BINARY_PACKED",
    "outputs.list.element": "BYTE_STREAM_SPLIT",
    "answer.list.element": "BYTE_STREAM_SPLIT",
    "features.list.element": "BYTE_STREAM_SPLIT",
    "arrived": "BYTE_STREAM_SPLIT",
    "queue_ms": "BYTE_STREAM_SPLIT",
    "latency_ms": "BYTE_STREAM_SPLIT",
    "propensities.list.element": "BYTE_STREAM_SPLIT",
    "member_latency_ms.list.element": "BYTE_STREAM_SPLIT",
}
_OUTCOME_ENCODINGS = {
    "decision": "DELTA_BYTE_ARRAY",
    "sequence": "DELTA_BINARY_PACKED",
    "truth_value": "PLAIN",
    "rewards.key_value.value": "PLAIN",
    "at": "BYTE_STREAM_SPLIT",
    "received": "BYTE_STREAM_SPLIT",
}


def write(file: BinaryIO, rows: Any) -> None:
    """Write decisions or outcomes as a file; :class:`JournalError` if that cannot be done."""
    parquet.write(file, rows, _TEXTS, _DECISION_ENCODINGS if "outputs" in rows.column_names else _OUTCOME_ENCODINGS)


def outcomes_table(rows: Sequence[tuple[int, Outcome]], origin: Mapping[str, int]) -> Any:
    """Outcomes with their sequences as a table."""
    outcomes = [outcome for _, outcome in rows]
    columns: dict[str, Any] = {name: [getattr(o, name) for o in outcomes] for name in ("decision", "row", "source")}
    columns |= {name: [getattr(o, name) for o in outcomes] for name in ("at", "received")}
    columns["sequence"] = [sequence for sequence, _ in rows]
    for column, kind in (("truth_label", str), ("truth_value", float), ("truth_integer", int)):
        columns[column] = [o.truth if isinstance(o.truth, kind) else None for o in outcomes]
    columns["rewards"] = [list(o.rewards.items()) for o in outcomes]
    return table(_outcome_types(), columns, origin)


def read_decisions(path: Path) -> Iterator[tuple[int, Decision]]:
    """All decisions of a file with their sequences; :class:`JournalError` if it cannot be read."""
    with opened(path) as file:
        for group in range(file.num_row_groups):
            yield from _decisions(file.read_row_group(group))


def read_decision(path: Path, row: int) -> Decision | None:
    """The decision in row ``row`` of a file; None if it has fewer. Reads one row group."""
    with opened(path) as file:
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if row < size:
                return next(decision for _, decision in _decisions(file.read_row_group(group).slice(row, 1)))
            row -= size
    return None


def read_rows(path: Path, rows: Sequence[int]) -> Iterator[tuple[int, Decision]]:
    """The decisions in some rows of a file, ascending, with their sequences; a row group is read at a time."""
    pa, _ = arrow()
    wanted, start = np.asarray(rows, np.int64), 0
    with opened(path) as file:
        for group in range(file.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            mine = wanted[(wanted >= start) & (wanted < stop)] - start
            if len(mine):
                yield from _decisions(file.read_row_group(group).take(pa.array(mine)))
            start = stop


def read_table(path: Path) -> Any:
    """A whole file as a table."""
    with opened(path) as file:
        return file.read()


def read_subjects(path: Path) -> Iterator[tuple[str, str, dict[str, Scalar], str | None, str | None]]:
    """Id, endpoint, context, unit and capture of every decision of a file, without the rest of it."""
    with opened(path) as file:
        names = ["id", "endpoint", "context", "context_packed", "unit", "capture"]
        for group in range(file.num_row_groups):
            columns = file.read_row_group(group, columns=names).to_pydict()
            for id_, endpoint, context, packed, unit, capture in zip(*(columns[name] for name in names), strict=True):
                yield id_, endpoint, _context(context, packed), unit, capture


def read_group(path: Path, row: int) -> tuple[int, list[Decision]]:
    """The decisions that are stored together with that of row ``row``, and the row of the first of them."""
    with opened(path) as file:
        first = group = 0
        while row >= first + file.metadata.row_group(group).num_rows:
            first += file.metadata.row_group(group).num_rows
            group += 1
        return first, [decision for _, decision in _decisions(file.read_row_group(group))]


def read_outcomes(path: Path) -> Iterator[tuple[int, Outcome]]:
    """All outcomes of a file with their sequences."""
    with opened(path) as file:
        for group in range(file.num_row_groups):
            columns = file.read_row_group(group).to_pydict()
            for i, sequence in enumerate(columns["sequence"]):
                truths = (columns[name][i] for name in ("truth_label", "truth_value", "truth_integer"))
                yield (
                    sequence,
                    Outcome(
                        decision=columns["decision"][i],
                        row=columns["row"][i],
                        truth=next((truth for truth in truths if truth is not None), None),
                        rewards=dict(columns["rewards"][i]),
                        source=columns["source"][i],
                        at=columns["at"][i],
                        received=columns["received"][i],
                    ),
                )


def _odd(context: Mapping[str, Scalar]) -> bool:
    return any(type(value) is float and value - value != 0 for value in context.values())


def emptied(column: Any, rows: Sequence[bool]) -> Any:
    """A column of lists of float32 without those of some rows; the others stay as they are, bit for bit."""
    none = np.zeros(0, "<f4")
    kept = [none if gone else found for gone, found in zip(rows, slices(column), strict=True)]
    return lists(kept, np.dtype("<f4"))


_TEXTS = [
    "endpoint", "source", "assigned", "served", "output_kind", "unit", "error", "context", "facts",
    "strategies.list.element", "member_names.list.element", "member_reasons.list.element", "classes.list.element",
    "capture", "rewards.key_value.key", "truth_label",
]  # fmt: skip


def _decisions(rows: Any) -> Iterator[tuple[int, Decision]]:
    numbers = ("outputs", "status", "answer", "propensities", "features")
    columns = {name: rows[name].to_pylist() for name in rows.column_names if name not in numbers}
    outputs, status, answer, propensities = (slices(rows[name]) for name in numbers[:-1])
    widths = columns.get("feature_width") or [None] * len(columns["id"])
    features = slices(rows["features"]) if any(width is not None for width in widths) else []
    plain = [(name, columns[name]) for name in _PLAIN]
    members = list(zip(*(columns[name] for name in _MEMBER), strict=True))
    facts = columns.get("facts") or [None] * len(columns["id"])
    withheld = columns.get("withheld") or [None] * len(columns["id"])
    for i, sequence in enumerate(columns["sequence"]):
        n, m, k = columns["output_rows"][i], columns["members"][i], columns["width"][i]
        shape = (columns["answer_rows"][i], columns["answer_width"][i])
        context = _context(columns["context"][i], columns["context_packed"][i])
        yield (
            sequence,
            Decision(
                id=columns["id"][i],
                context=context,
                strategies=tuple(columns["strategies"][i]),
                propensities=tuple(propensities[i].tolist()),
                members=_runs(members[i]),
                outputs=outputs[i].reshape(n, m, k),
                status=status[i].reshape(n, m),
                answer=None if shape[0] is None else answer[i].reshape(shape),
                classes=tuple(columns["classes"][i]),
                facts=NOTHING if facts[i] is None else msgspec.json.decode(facts[i]),
                features=None if widths[i] is None else features[i].reshape(-1, widths[i]),
                withheld=tuple(withheld[i] or ()),
                **{name: values[i] for name, values in plain},
            ),
        )


def _context(text: str, packed: bytes | None) -> dict[str, Scalar]:
    return msgspec.json.decode(text) if packed is None else msgspec.msgpack.decode(packed)  # type: ignore[no-any-return]


def _runs(columns: Iterable[Sequence[Any]]) -> tuple[MemberRun, ...]:
    return tuple(
        [
            MemberRun(name, version, Status(status), ms, why)
            for name, version, status, ms, why in zip(*columns, strict=True)
        ]
    )
