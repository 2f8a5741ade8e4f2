"""Before anything is timed: every system gives the same answers, on held-out rows, as the members' plain mean."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.peers.pool import FiveSessions, PoolFiles

TOLERANCE = 1e-5


def expected(pool: PoolFiles, instances: Sequence[object]) -> list[dict[str, float]]:
    """The mean of the members' probabilities, by class, for each row."""
    rows = FiveSessions(pool).probabilities(instances).astype(np.float64)
    return [dict(zip(pool.classes, row, strict=True)) for row in rows.tolist()]


def post(port: int, path: str, body: bytes) -> tuple[int, bytes]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def check_answers(
    name: str, port: int, path: str, bodies: Sequence[bytes], wanted: Sequence[Mapping[str, float]]
) -> None:
    """:class:`SystemExit` that says what differs if a system answers otherwise."""
    for number, (body, probabilities) in enumerate(zip(bodies, wanted, strict=True)):
        status, answer = post(port, path, body)
        problem = f"status {status}" if status != 200 else difference(json.loads(answer), probabilities)
        if problem is not None:
            raise SystemExit(f"{name} answers row {number} wrongly: {problem}. Nothing was timed.")


def difference(answer: dict[str, object], probabilities: Mapping[str, float]) -> str | None:
    """What is wrong with an answer to one row, or None."""
    predictions = answer.get("predictions")
    if not isinstance(predictions, list) or len(predictions) != 1:
        return "it has not one prediction"
    found = predictions[0]
    label = max(probabilities, key=probabilities.__getitem__)
    if found["label"] != label:
        return f"label {found['label']}, expected {label}"
    if list(found["probabilities"]) != list(probabilities):
        return f"classes {list(found['probabilities'])}, expected {list(probabilities)}"
    off = max(abs(found["probabilities"][c] - p) for c, p in probabilities.items())
    off = max(off, abs(found["confidence"] - probabilities[label]))
    return f"a probability is off by {off:.2g}" if off > TOLERANCE else None
