"""Before anything is timed: every system gives the same answers, on held-out rows, as the members' plain mean."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.peers.pool import FiveSessions, PoolFiles

TOLERANCE = 1e-5
PICKLED = 1e-4
"""What the parity gate allows between a scikit-learn model and its ONNX form."""

Wanted = Sequence[Mapping[str, float]]


class WrongAnswer(SystemExit):
    """A system answers otherwise; nothing may be timed."""


def expected(pool: PoolFiles, instances: Sequence[object]) -> list[dict[str, float]]:
    """The mean of the members' probabilities, by class, for each row."""
    rows = FiveSessions(pool).probabilities(instances).astype(np.float64)
    return [dict(zip(pool.classes, row, strict=True)) for row in rows.tolist()]


def post(port: int, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, body, dict(headers or {"Content-Type": "application/json"}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def check_answer(name: str, status: int, answer: bytes, wanted: Wanted, tolerance: float = TOLERANCE) -> None:
    """:class:`WrongAnswer` says what differs from ``wanted``, one mapping a row."""
    problem = (
        f"status {status}: {answer[:200]!r}" if status != 200 else difference(json.loads(answer), wanted, tolerance)
    )
    if problem is not None:
        raise WrongAnswer(f"{name} answers wrongly: {problem}. Nothing was timed.")


def difference(answer: Mapping[str, Any], wanted: Wanted, tolerance: float = TOLERANCE) -> str | None:
    """What is wrong with an answer, in Quorate's form or in that of the Open Inference Protocol, or None."""
    if "outputs" in answer:
        return _oip_difference(answer, wanted, tolerance)
    predictions = answer.get("predictions")
    if not isinstance(predictions, list) or len(predictions) != len(wanted):
        return f"it has not {len(wanted)} predictions"
    return next(filter(None, map(_row_difference, predictions, wanted, [tolerance] * len(wanted))), None)


def _row_difference(found: Mapping[str, Any], probabilities: Mapping[str, float], tolerance: float) -> str | None:
    label = max(probabilities, key=probabilities.__getitem__)
    if found["label"] != label:
        return f"label {found['label']}, expected {label}"
    if list(found["probabilities"]) != list(probabilities):
        return f"classes {list(found['probabilities'])}, expected {list(probabilities)}"
    off = max(abs(found["probabilities"][c] - p) for c, p in probabilities.items())
    off = max(off, abs(found["confidence"] - probabilities[label]))
    return f"a probability is off by {off:.2g}" if off > tolerance else None


def _oip_difference(answer: Mapping[str, Any], wanted: Wanted, tolerance: float) -> str | None:
    output = next((o for o in answer["outputs"] if o["name"] == "probabilities"), None)
    if output is None:
        return "there is no output 'probabilities'"
    rows = np.array([list(row.values()) for row in wanted])
    found = np.array(output["data"], np.float64)
    if found.size != rows.size:
        return f"{found.size} probabilities, expected {rows.size}"
    off = float(abs(found.reshape(rows.shape) - rows).max())
    return f"a probability is off by {off:.2g}" if off > tolerance else None
