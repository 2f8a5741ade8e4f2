from collections import Counter
from typing import Any

import numpy as np
import pytest

from quorate.core.stats.intervals import wilson
from tests.training.cascades import COSTS, MEMBERS, fitted


def points(kind: str) -> list[dict[str, Any]]:
    return [point for point in fitted().meta["frontier"] if point["kind"] == kind]


def test_every_kind_is_there_and_one_cascade_is_chosen() -> None:
    found = fitted().meta["frontier"]
    counts = Counter(point["kind"] for point in found)
    assert set(counts) == {"cascade", "cheapest", "best", "all", "random", "threshold", "oracle"}
    (chosen,) = (point for point in found if point["chosen"])
    assert chosen["kind"] == "cascade"
    expected = fitted().meta["expected"]
    assert (chosen["cost"], chosen["accuracy"]) == (expected["cost"], expected["accuracy"][0])
    assert len(found) < 120


def test_points_are_what_they_are_called() -> None:
    (cheapest,), (best,), (every,), (oracle,) = (points(kind) for kind in ("cheapest", "best", "all", "oracle"))
    assert (cheapest["name"], cheapest["cost"]) == ("small", COSTS["small"])
    assert best["name"] == "large"
    assert every["cost"] == sum(COSTS.values())
    assert oracle["accuracy"] == max(point["accuracy"] for point in fitted().meta["frontier"])
    assert oracle["cost"] < every["cost"] / 2
    assert len(MEMBERS) == 3


def test_the_same_cost_spent_at_random_or_by_a_threshold_buys_less() -> None:
    (chosen,) = (point for point in points("cascade") if point["chosen"])
    (random,) = points("random")
    assert random["cost"] == pytest.approx(chosen["cost"])
    assert random["accuracy"] < chosen["accuracy"] - 0.01
    thresholds = points("threshold")
    costs, accuracies = zip(*((point["cost"], point["accuracy"]) for point in thresholds), strict=True)
    assert np.interp(chosen["cost"], costs, accuracies) < chosen["accuracy"] + 0.005


def test_intervals_are_wilsons() -> None:
    for point in fitted().meta["frontier"]:
        expected = wilson(round(point["accuracy"] * 800), 800)
        assert (point["low"], point["high"]) == (expected.low, expected.high)
        assert 0 <= point["low"] <= point["accuracy"] <= point["high"] <= 1
