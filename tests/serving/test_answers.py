"""Decisions as JSON answers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from quorate.codecs.snapshot import PolicyRoute, StrategyRoute
from quorate.core.types import Decision, OutputSpec, Signature, TensorSpec
from quorate.errors import MemberCrashed
from quorate.serving import answers

MEAN = StrategyRoute("average", "mean", ("a", "b"), 1)
A = StrategyRoute("only-a", "single", ("a",), 1)
C = StrategyRoute("only-c", "single", ("c",), 1)


@pytest.fixture
def decision(house: Any) -> Decision:
    """An answer for two rows."""
    found: Decision = house.predict(
        house.endpoint(house.pool(a=house.inline(0.2), b=house.inline(0.3)), [MEAN]), rows=2
    )
    return found


def test_scores_are_label_confidence_and_probabilities(decision: Decision) -> None:
    changed = decision._replace(answer=np.array([[0.123456789, 0.876543211], [0.5, 0.5]], np.float32))
    assert answers.predictions(changed, blind=False) == [
        {"label": "yes", "confidence": 0.8765432, "probabilities": {"no": 0.1234568, "yes": 0.8765432}},
        {"label": "no", "confidence": 0.5, "probabilities": {"no": 0.5, "yes": 0.5}},  # a tie goes to the first
    ]


def test_a_blind_prediction_is_the_label(decision: Decision) -> None:
    assert answers.predictions(decision, blind=True) == [{"label": "no"}] * 2


@pytest.mark.parametrize("blind", [True, False])
def test_values_are_numbers(decision: Decision, blind: bool) -> None:
    one = decision._replace(output_kind="values", classes=("price",), answer=np.array([[1.5], [-2]], np.float32))
    assert answers.predictions(one, blind=blind) == [{"value": 1.5}, {"value": -2.0}]
    two = decision._replace(output_kind="values", classes=("x", "y"), answer=np.array([[1, 2]], np.float32))
    assert answers.predictions(two, blind=blind) == [{"values": {"x": 1.0, "y": 2.0}}]


def test_a_whole_answer(house: Any) -> None:
    endpoint = house.endpoint(house.pool(a=house.inline(0.9), b=house.inline(0.7)), [MEAN])
    decision = house.predict(endpoint)
    body = json.loads(answers.encode(endpoint, decision))
    assert list(body) == ["id", "endpoint", "predictions", "strategy", "degraded", "missing", "latency_ms"]
    assert body["id"] == decision.id
    assert body["endpoint"] == "main"
    assert body["strategy"] == "average"
    assert (body["degraded"], body["missing"]) == (False, [])


def test_missing_are_the_failed_members_that_were_asked(house: Any) -> None:
    broken = house.inline(house.raises(MemberCrashed("it broke.")))
    pool = house.pool(a=house.inline(0.9), b=broken, c=broken)
    endpoint = house.endpoint(pool, [MEAN])
    body = json.loads(answers.encode(endpoint, house.predict(endpoint)))
    assert (body["degraded"], body["missing"]) == (True, ["b"])


def test_a_fallback_shows_what_answered_and_who_was_missing(house: Any) -> None:
    pool = house.pool(a=house.inline(0.9), c=house.inline(house.raises(MemberCrashed("it broke."))))
    endpoint = house.endpoint(pool, [C, A], fallback=("only-a",))
    body = json.loads(answers.encode(endpoint, house.predict(endpoint)))
    assert (body["strategy"], body["degraded"], body["missing"]) == ("only-a", True, ["c"])


def test_a_blind_answer_says_nothing_about_its_making(house: Any) -> None:
    policy = PolicyRoute("fixed", {"strategy": "average"}, blind=True)
    broken = house.inline(house.raises(MemberCrashed("it broke.")))
    endpoint = house.endpoint(house.pool(a=house.inline(0.9), b=broken), [MEAN], policy)
    decision = house.predict(endpoint)
    assert decision.degraded
    body = json.loads(answers.encode(endpoint, decision))
    assert body == {"id": decision.id, "endpoint": "main", "predictions": [{"label": "yes"}]}


def test_regression_through_the_plane(house: Any) -> None:
    signature = Signature("array", (TensorSpec("input", "float32", (None, 2)),), OutputSpec("values", names=("price",)))
    same = house.inline(lambda tensors: np.full((len(tensors["input"]), 1), 3.25, np.float32))
    endpoint = house.endpoint(house.pool(signature=signature, a=same, b=same), [MEAN])
    assert json.loads(answers.encode(endpoint, house.predict(endpoint)))["predictions"] == [{"value": 3.25}]
