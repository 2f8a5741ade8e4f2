"""A decision as the JSON answer of ``predict``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from quorate.core.types import Decision, FloatArray, Status
from quorate.serving import abstaining, conformal
from quorate.serving.call import Call
from quorate.serving.endpoint import LoadedEndpoint

_DIGITS = 7
_FEW = 4  # rows that plain Python shows faster
_encode = msgspec.json.Encoder().encode


def predictions(decision: Decision, *, blind: bool) -> list[dict[str, Any]]:
    """One entry a row. A blind one is the label only: probabilities would tell the strategy by their shape."""
    assert decision.answer is not None  # noqa: S101 - only answered decisions are shown
    return _rows(decision, decision.answer, blind=blind)


def shown(endpoint: LoadedEndpoint, decision: Decision, call: Call | None = None) -> list[dict[str, Any]]:
    """The same as an endpoint answers a call.

    Where it depends on the request or on the row who answers, each has the ``members`` that did; where ``call`` says
    how sure an answer must be, each says whether it ``abstained``, and why; where a coverage holds, each has its set.
    """
    rows = predictions(decision, blind=endpoint.blind)
    if not _plain(endpoint, decision, call):
        rows = _told(rows, endpoint, decision, call)
    return conformal.add(endpoint, decision, rows)


def tells(endpoint: LoadedEndpoint, call: Call) -> bool:
    """Whether an answer may say who gave it, row by row, or that there is none."""
    return not endpoint.blind and not (call.plain and endpoint.all_at_once)


def tensors(endpoint: LoadedEndpoint, decision: Decision, call: Call) -> dict[str, NDArray[Any]]:
    """The same as tensors ``[n]``: ``members`` separated by commas, ``abstained`` (bool) and ``reason``, as bytes."""
    rows = range(decision.rows)
    served = endpoint.strategy(decision.served or decision.assigned)
    sure = call.min_confidence or 0.0
    why = [abstaining.reason(decision, row, sure).encode() if decision.withholds(row) else b"" for row in rows]
    return {
        "members": np.array(
            [",".join(names).encode() for names in abstaining.members(decision, served.members)], object
        ),
        "abstained": np.array([decision.withholds(row) for row in rows], np.bool_),
        "reason": np.array(why, object),
    }


def _plain(endpoint: LoadedEndpoint, decision: Decision, call: Call | None) -> bool:
    """Whether its rows tell the answer and nothing else."""
    if endpoint.blind:
        return True
    if call is not None and not call.plain:
        return False
    return endpoint.all_at_once or not endpoint.strategy(decision.served or decision.assigned).staged


def _told(
    rows: list[dict[str, Any]], endpoint: LoadedEndpoint, decision: Decision, call: Call | None
) -> list[dict[str, Any]]:
    served = endpoint.strategy(decision.served or decision.assigned)
    for row, names in zip(rows, abstaining.members(decision, served.members), strict=True):
        row["members"] = names
    sure = None if call is None else call.min_confidence
    if sure is None:
        return rows
    return [
        {
            "abstained": True,
            "reason": abstaining.reason(decision, i, sure),
            "confidence": row["confidence"],
            "members": row["members"],
        }
        if decision.withholds(i)
        else row | {"abstained": False}
        for i, row in enumerate(rows)
    ]


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


def encode(endpoint: LoadedEndpoint, decision: Decision, call: Call | None = None) -> bytes:
    """The body of a 200 answer."""
    return _body(endpoint, decision, shown(endpoint, decision, call))


def encode_all(
    endpoint: LoadedEndpoint, decisions: Sequence[Decision], calls: Sequence[Call] | None = None
) -> list[bytes]:
    """The bodies of several, for less than each alone; without ``calls`` nothing was asked that shows in them."""
    if calls is not None:
        return [encode(endpoint, decision, call) for decision, call in zip(decisions, calls, strict=True)]
    if len(decisions) == 1:
        return [encode(endpoint, decisions[0])]
    rows = _rows(
        decisions[0], np.concatenate([d.answer for d in decisions if d.answer is not None]), blind=endpoint.blind
    )
    bodies, start = [], 0
    for decision in decisions:
        stop = start + decision.rows
        bodies.append(_body(endpoint, decision, conformal.add(endpoint, decision, rows[start:stop])))
        start = stop
    return bodies


def _body(endpoint: LoadedEndpoint, decision: Decision, rows: list[dict[str, Any]]) -> bytes:
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
