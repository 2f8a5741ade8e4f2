"""Everything the caller can see of its answers, as numbers; the label is kept apart.

What only repetition shows is here too: how an answer's time ranks among those to the same picture, what came before it
and after it on its connection, and what other answers to the same user were like.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.blind.caller import Seen
from benchmarks.blind.traffic import FORMS
from quorate.core.select.assign import unit_uniform
from quorate.ids import DecisionId

Floats = NDArray[np.float64]
_ID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_VARIES = re.compile(rb"\r\n(date|x-request-id): [^\r]*", re.I)
_REQUEST_ID = re.compile(rb"\r\nx-request-id: ([0-9a-f]{32})\r\n", re.I)
_LABEL = re.compile(rb'("label":|"data":\[)"\d"')
_WINDOW = 5


@dataclass(frozen=True)
class Sight:
    """Answers of one endpoint in the order sent: ``columns`` by name, float64 ``[n]``, and what they are about.

    ``label`` is the answer itself; ``shape`` numbers the distinct forms of an answer once label, ids and times are
    blanked out. ``picture`` and ``user`` (-1 for none) are the caller's own.
    """

    columns: dict[str, Floats]
    label: NDArray[np.str_]
    shape: NDArray[np.int64]
    picture: NDArray[np.int64]
    user: NDArray[np.int64]
    decision: tuple[str, ...]

    @property
    def matrix(self) -> NDArray[np.float32]:
        """All columns side by side ``[n, f]``."""
        return np.column_stack(list(self.columns.values())).astype(np.float32)


def decision_id(seen: Seen) -> str:
    """The id in an answer's body."""
    found = _ID.search(seen.body)
    assert found is not None
    return found[0].decode()


def label(seen: Seen) -> str:
    """The class in an answer, whatever its form."""
    if seen.ask.form == "binary":
        return seen.body[-1:].decode()  # the last element of the tail: digits are one character
    body = json.loads(seen.body)
    if seen.ask.form == "protocol":
        found = [output for output in body["outputs"] if output["name"] == "label"]
        return str(found[0]["data"][0])
    return str(body["predictions"][0]["label"])


def shape(seen: Seen) -> bytes:
    """An answer with label, ids and times blanked out: names and order of headers and fields, sizes, other values."""
    body = _ID.sub(b"ID", seen.body)
    body = body[:-1] + b"L" if seen.ask.form == "binary" else _LABEL.sub(rb'\1"L"', body)
    return seen.ask.form.encode() + b"\n" + _VARIES.sub(rb"\r\n\1: V", seen.head) + body


def sight(endpoint: str, all_seen: Sequence[Seen], *, extra: Callable[[Seen], dict[str, float]] | None = None) -> Sight:
    """What a caller knows of the decisions among ``all_seen``; retries count once."""
    answered = [s for s in all_seen if s.ask.kind == "answer" and s.status == 200]
    ids = [decision_id(s) for s in answered]
    n = len(answered)
    columns: dict[str, Floats] = {}
    columns |= _times(answered, all_seen)
    columns |= _ids(answered, ids)
    columns |= _bytes(answered)
    columns |= _asked(endpoint, answered)
    users = {name: number for number, name in enumerate(sorted({s.ask.user for s in answered if s.ask.user}))}
    user = np.array([users.get(s.ask.user or "", -1) for s in answered])
    if users:
        for name in ("log latency", "latency rank in its picture", "sequence step"):
            columns[f"user's mean of {name}"] = _mean_of(columns[name], user)
    if extra is not None:
        found = [extra(s) for s in answered]
        columns |= {name: np.array([f[name] for f in found]) for name in found[0]}
    shapes = {found: number for number, found in enumerate(dict.fromkeys(map(shape, answered)))}
    return Sight(
        {name: np.broadcast_to(np.asarray(column, float), n) for name, column in columns.items()},
        np.array([label(s) for s in answered]),
        np.array([shapes[shape(s)] for s in answered]),
        np.array([s.ask.picture for s in answered]),
        user,
        tuple(ids),
    )


def _times(answered: Sequence[Seen], all_seen: Sequence[Seen]) -> dict[str, Floats]:
    sent, first, done = (np.array([getattr(s, name) for s in answered]) for name in ("sent", "first", "done"))
    latency = np.log(done - sent)
    pictures = np.array([s.ask.picture for s in answered])
    kinds = np.array([FORMS.index(s.ask.form) * 100 + s.connections for s in answered])
    typical = latency - _grouped(latency, kinds, np.median)
    before, after = _neighbours(answered, all_seen)
    busy = np.sort(np.array([s.done for s in all_seen]))
    return {
        "log latency": latency,
        "log time to first byte": np.log(first - sent),
        "first byte to last": done - first,
        "latency against its form": typical,
        "latency rank in its picture": _ranked(typical, pictures),
        "latency against its picture": typical - _grouped(typical, pictures, np.median),
        "latency, mean of the last": _rolling(typical),
        "latency of the answer before": before[0],
        "latency of the answer after": after[0],
        "gap to the answer before": before[1],
        "gap to the answer after": after[1],
        "answers while it was under way": (np.searchsorted(busy, done) - np.searchsorted(busy, sent)).astype(float),
    }


def _neighbours(answered: Sequence[Seen], all_seen: Sequence[Seen]) -> tuple[tuple[Floats, Floats], ...]:
    """On the same connection: latency of the request before and after, and the pause between."""
    lines: dict[tuple[int, int], list[Seen]] = defaultdict(list)
    for seen in all_seen:
        lines[seen.connections, seen.connection].append(seen)
    beside: dict[int, tuple[float, float, float, float]] = {}
    for line in lines.values():
        line.sort(key=lambda s: s.sent)
        for i, seen in enumerate(line):
            before, after = line[max(0, i - 1)], line[min(len(line) - 1, i + 1)]
            beside[seen.order] = (
                np.log(before.done - before.sent),
                seen.sent - before.done if i else 0.0,
                np.log(after.done - after.sent),
                after.sent - seen.done if after is not seen else 0.0,
            )
    found = np.array([beside[s.order] for s in answered])
    return (found[:, 0], found[:, 1]), (found[:, 2], found[:, 3])


def _ids(answered: Sequence[Seen], ids: Sequence[str]) -> dict[str, Floats]:
    parts = [DecisionId.parse(text) for text in ids]
    sequence = np.array([p.sequence for p in parts], float)
    milliseconds = np.array([p.milliseconds for p in parts], float)
    found = {
        "id's time against the clock": milliseconds - 1000 * np.array([s.wall for s in answered]),
        "id's millisecond": milliseconds % 10,
        "id's slot": np.array([p.slot for p in parts], float),
        "sequence step": np.diff(sequence, prepend=sequence[0]),
    }
    found |= {f"sequence mod {m}": sequence % m for m in (2, 3, 4, 5, 6, 7, 8, 16, 64)}
    drawn = [_REQUEST_ID.search(s.head) for s in answered]
    codes = np.array([list(bytes.fromhex(d[1].decode())) if d else [0] * 16 for d in drawn], float)
    return found | {f"request id, byte {i}": codes[:, i] for i in range(16)}


def _bytes(answered: Sequence[Seen]) -> dict[str, Floats]:
    def numbers(of: Callable[[Seen], float]) -> Floats:
        return np.array([of(s) for s in answered], float)

    return {
        "bytes of the head": numbers(lambda s: len(s.head)),
        "headers": numbers(lambda s: s.head.count(b"\r\n") - 2),
        "order of the headers": numbers(lambda s: _code(b",".join(re.findall(rb"\r\n([^:\r]+):", s.head)))),
        "values of the headers": numbers(lambda s: _code(_VARIES.sub(b"", s.head))),
        "bytes of the body": numbers(lambda s: len(s.body)),
        "body but label and id": numbers(lambda s: _code(shape(s))),
        "chunks": numbers(lambda s: len(s.chunks)),
        "bytes of the first chunk": numbers(lambda s: s.chunks[0]),
    }


def _asked(endpoint: str, answered: Sequence[Seen]) -> dict[str, Floats]:
    """What the caller did itself, and what anybody can compute from that with the published code."""
    count = len(FORMS)
    forms = np.eye(count)[[FORMS.index(s.ask.form) for s in answered]]
    found = {f"form {name}": forms[:, i] for i, name in enumerate(FORMS)}
    found["place in the run"] = np.arange(len(answered)) / len(answered)
    found["picture"] = np.array([s.ask.picture for s in answered], float)
    found["connection"] = np.array([s.connection for s in answered], float)
    found["connections"] = np.array([s.connections for s in answered], float)
    if any(s.ask.user for s in answered):
        found["assignment of the user without a secret"] = np.array(
            [unit_uniform(s.ask.user or "", endpoint) for s in answered]
        )
        found["assignment with an empty secret"] = np.array(
            [unit_uniform(s.ask.user or "", f" {endpoint}") for s in answered]
        )
    return found


def _code(data: bytes) -> float:
    """A number for a text; equal texts have equal ones."""
    return float(zlib.crc32(data) % 100_003)


def _grouped(values: Floats, groups: NDArray[np.int64], of: Callable[[Floats], float]) -> Floats:
    result = np.empty(len(values))
    for group in np.unique(groups):
        result[groups == group] = of(values[groups == group])
    return result


def _mean_of(values: Floats, groups: NDArray[np.int64]) -> Floats:
    return _grouped(values, groups, lambda found: float(found.mean()))


def _ranked(values: Floats, groups: NDArray[np.int64]) -> Floats:
    result = np.empty(len(values))
    for group in np.unique(groups):
        inside = np.flatnonzero(groups == group)
        result[inside] = values[inside].argsort().argsort() / len(inside)
    return result


def _rolling(values: Floats) -> Floats:
    padded = np.concatenate([np.full(_WINDOW - 1, values[0]), values])
    return np.convolve(padded, np.full(_WINDOW, 1 / _WINDOW), "valid")
