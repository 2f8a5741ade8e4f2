"""A decision as the JSON answer of ``predict``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from quorate.core.types import Decision, FloatArray, Status
from quorate.serving import conformal
from quorate.serving.endpoint import LoadedEndpoint

_DIGITS = 7
_FEW = 4  # rows that plain Python shows faster
_encode = msgspec.json.Encoder().encode


def predictions(decision: Decision, *, blind: bool) -> list[dict[str, Any]]:
    """One entry a row. A blind one is the label only: probabilities would tell the strategy by their shape."""
    assert decision.answer is not None  # noqa: S101 - only answered decisions are shown
    return _rows(decision, decision.answer, blind=blind)


def _rows(like: Decision, answer: FloatArray, *, blind: bool) -> list[dict[str, Any]]:
    """Rows ``[n, k]`` of decisions that are of one endpoint, like this one."""
    if like.output_kind == "values":
        numbers = answer.astype(np.float64).tolist()
        if len(like.classes) > 1:
            return [{"values": dict(zip(like.classes, row, strict=True))} for row in numbers]
        return [{"value": row[0]} for row in numbers]
    classes = like.classes
    if blind:
        return [{"label": classes[i]} for i in answer.argmax(axis=1).tolist()]
    if len(answer) <= _FEW:
        return [_scores(classes, row) for row in answer.tolist()]
    best = answer.argmax(axis=1).tolist()
    rounded = answer.astype(np.float64).round(_DIGITS).tolist()
    return [
        {"label": classes[i], "confidence": row[i], "probabilities": dict(zip(classes, row, strict=True))}
        for i, row in zip(best, rounded, strict=True)
    ]


def _scores(classes: tuple[str, ...], row: list[float]) -> dict[str, Any]:
    """The same for one row, without the price of calling numpy."""
    best = row.index(max(row))
    rounded = [round(p, _DIGITS) for p in row]
    return {
        "label": classes[best],
        "confidence": rounded[best],
        "probabilities": dict(zip(classes, rounded, strict=True)),
    }


def encode(endpoint: LoadedEndpoint, decision: Decision) -> bytes:
    """The body of a 200 answer."""
    return _body(endpoint, decision, predictions(decision, blind=endpoint.blind))


def encode_all(endpoint: LoadedEndpoint, decisions: Sequence[Decision]) -> list[bytes]:
    """The bodies of several, for less than each alone."""
    if len(decisions) == 1:
        return [encode(endpoint, decisions[0])]
    rows = _rows(
        decisions[0], np.concatenate([d.answer for d in decisions if d.answer is not None]), blind=endpoint.blind
    )
    bodies, start = [], 0
    for decision in decisions:
        stop = start + decision.rows
        bodies.append(_body(endpoint, decision, rows[start:stop]))
        start = stop
    return bodies


def _body(endpoint: LoadedEndpoint, decision: Decision, rows: list[dict[str, Any]]) -> bytes:
    rows = conformal.add(endpoint, decision, rows)
    body: dict[str, Any] = {"id": decision.id, "endpoint": decision.endpoint, "predictions": rows}
    if not endpoint.blind:
        body["strategy"] = decision.served
        body["degraded"] = decision.degraded
        body["missing"] = _missing(endpoint, decision) if decision.degraded else []
        body["latency_ms"] = round(decision.latency_ms, 3)
    return _encode(body)


def _missing(endpoint: LoadedEndpoint, decision: Decision) -> list[str]:
    asked = endpoint.strategy(decision.assigned).members
    return [m.name for m in decision.members if m.status is Status.FAILED and m.name in asked]
