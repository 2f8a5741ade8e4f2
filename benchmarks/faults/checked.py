"""Requests whose right answers are known, one by one: the mean of members that are computed here, too."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import onnxes
from benchmarks.harness.requests import Request
from benchmarks.peers.export import body

TOLERANCE = 1e-5


def mean(rows: NDArray[np.float32], members: int) -> NDArray[np.float64]:
    """The soft vote of the first random members, ``[n, 4]``, by numpy alone."""
    total = np.zeros((len(rows), len(onnxes.CLASSES)))
    for number in range(members):
        z = rows.astype(np.float64) @ onnxes.weights(number).astype(np.float64)
        exp = np.exp(z - z.max(axis=1, keepdims=True))
        total += exp / exp.sum(axis=1, keepdims=True)
    return total / members


@dataclass
class Checked:
    """``rows`` ``[n, 16]`` and their right answers ``[n, 4]``; ``wrong`` counts what was answered otherwise, by why."""

    path: str
    rows: NDArray[np.float32]
    wanted: NDArray[np.float64]
    right: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def sent(self, number: int) -> bytes:
        """The request of a number."""
        return Request(self.path, body([self.rows[number % len(self.rows)].tolist()])).encode()

    def seen(self, number: int, status: int, answer: bytes, seconds: float) -> None:
        """Compare an answer with what its own request asked."""
        self.seconds.append(seconds)
        why = self.difference(number, status, answer)
        if why is None:
            self.right += 1
        else:
            self.wrong[why] += 1

    def difference(self, number: int, status: int, answer: bytes) -> str | None:
        """What is wrong, or None."""
        if status != 200:
            return f"status {status}"
        document = json.loads(answer)
        found = list(document["predictions"][0]["probabilities"].values())
        if np.abs(np.array(found) - self.wanted[number % len(self.wanted)]).max() > TOLERANCE:
            return "not the answer of its own input"
        return "degraded" if document["degraded"] else None

    @property
    def said(self) -> str:
        """All that was wrong."""
        return ", ".join(f"{count} {why}" for why, count in self.wrong.items())
