"""Which decisions have their input kept: a share of the ids, and of it what is of interest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quorate.core.capture import CaptureRule, disagreement
from quorate.core.record import sampled
from quorate.core.types import Decision
from quorate.ids import DecisionId


def decision(sequence: int = 0, **changes: Any) -> Decision:
    base: dict[str, Any] = {
        "id": str(DecisionId(1000, 0, 0, sequence)), "endpoint": "e", "revision": 1, "state_version": 0,
        "source": "policy", "arrived": 1.0, "queue_ms": 0.0, "latency_ms": 1.0, "context": {}, "strategies": ("s",),
        "propensities": (1.0,), "assigned": "s", "served": "s", "members": (),
        "outputs": np.array([[[0.9, 0.1], [0.8, 0.2]]], "f4"), "status": np.zeros((1, 2), "i1"),
        "answer": np.array([[0.85, 0.15]], "f4"), "degraded": False, "rows": 1, "input_digest": b"d",
    }  # fmt: skip
    return Decision(**(base | changes))


def test_the_sample_is_a_share_of_the_ids_and_always_the_same() -> None:
    made = [decision(i) for i in range(4000)]
    kept = [d.id for d in made if CaptureRule(0.1).wants(d)]
    assert 330 < len(kept) < 470  # 400 expected, four standard deviations are 76
    assert kept == [d.id for d in made if sampled(d.id, 0.1)]
    assert set(kept) <= {d.id for d in made if CaptureRule(0.5).wants(d)}
    assert not any(CaptureRule(0.0).wants(d) for d in made)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("errors", {"error": "no_quorum", "answer": None}),
        ("degraded", {"degraded": True}),
        ("disagreement", {"outputs": np.array([[[0.9, 0.1], [0.3, 0.7]]], "f4")}),
        ("low_confidence", {"answer": np.array([[0.55, 0.45]], "f4")}),
    ],
)
def test_a_filter_takes_what_it_names_and_nothing_else(name: str, changes: dict[str, Any]) -> None:
    rule = CaptureRule(1.0, [name], below=0.6)
    assert rule.wants(decision(**changes))
    assert not rule.wants(decision())
    others = [other for other in ("errors", "degraded", "disagreement", "low_confidence") if other != name]
    assert not CaptureRule(1.0, others, below=0.6).wants(decision(**changes))
    assert CaptureRule(1.0, [name, *others]).wants(decision(**changes))


def test_members_that_did_not_answer_and_values_do_not_disagree() -> None:
    apart = np.array([[[0.9, 0.1], [0.3, 0.7]]], "f4")
    assert not disagreement(decision(outputs=apart, status=np.array([[0, 1]], "i1")))
    assert not disagreement(decision(outputs=apart, output_kind="values"))
    assert not disagreement(decision(outputs=apart[..., :0]))
    assert not CaptureRule(1.0, ["low_confidence"]).wants(decision(answer=None, error="no_quorum"))
