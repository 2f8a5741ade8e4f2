"""What is learned from, as configured; and what an answer earns."""

from __future__ import annotations

import numpy as np
import pytest

from quorate.codecs.snapshot import RewardRoute
from quorate.control.learning.rewards import normalised, of_truths, reward_route
from quorate.core.types import OutputSpec
from quorate.errors import ConfigError
from quorate.spec.model import RewardSpec

SCORES = OutputSpec("scores", ("no", "yes"))
NUMBER = OutputSpec("values", names=("price",))


@pytest.mark.parametrize(
    ("spec", "output", "expected"),
    [
        (None, SCORES, RewardRoute("accuracy", 0.0, 1.0)),
        (RewardSpec(low=10.0), NUMBER, RewardRoute("error", 10.0, 0.0)),
        (RewardSpec(metric="error", low=10.0, high=1.0), NUMBER, RewardRoute("error", 10.0, 1.0)),
        (RewardSpec(metric="clicks"), SCORES, RewardRoute("clicks", 0.0, 1.0)),
        (RewardSpec(metric="clicks", high=5.0), NUMBER, RewardRoute("clicks", 0.0, 5.0)),
        (RewardSpec(metric="value", low=-5.0, high=1.0), SCORES, RewardRoute("value", -5.0, 1.0)),
    ],
)
def test_defaults_follow_from_the_task(spec: RewardSpec | None, output: OutputSpec, expected: RewardRoute) -> None:
    assert reward_route(spec, output, valued=True) == expected


@pytest.mark.parametrize(
    ("spec", "output", "path", "sentence"),
    [
        (RewardSpec(metric="error"), SCORES, "metric", "use 'accuracy'"),
        (RewardSpec(metric="accuracy"), NUMBER, "metric", "use 'error'"),
        (None, NUMBER, "low", "the worst one"),
        (RewardSpec(low=1.0), OutputSpec("values", names=("a", "b")), "metric", "2 numbers"),
        (RewardSpec(metric="clicks", low=1.0), SCORES, "high", "both 1"),
        (RewardSpec(metric="value", low=0.0, high=1.0), SCORES, "metric", "declare its 'value'"),
    ],
)
def test_what_makes_no_reward_is_refused(spec: RewardSpec, output: OutputSpec, path: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        reward_route(spec, output, valued=False)
    assert caught.value.path == path


def test_the_value_needs_a_scale() -> None:
    with pytest.raises(ConfigError, match="no scale of its own"):
        reward_route(RewardSpec(metric="value", low=0.0), SCORES, valued=True)


def test_rewards_lie_between_0_and_1() -> None:
    values = np.array([-1.0, 0.0, 2.5, 10.0, 99.0, np.nan])
    assert normalised(values, RewardRoute("x", 0.0, 10.0)).tolist()[:5] == [0.0, 0.0, 0.25, 1.0, 1.0]
    assert normalised(values, RewardRoute("x", 10.0, 0.0)).tolist()[:5] == [1.0, 1.0, 0.75, 0.0, 0.0]
    assert np.isnan(normalised(values, RewardRoute())[5])


def test_a_truth_tells_of_every_answer_that_is_known() -> None:
    answers = np.array([[[0.9, 0.1], [0.2, 0.8]], [[np.nan, np.nan], [0.5, 0.5]]], np.float32)
    found = of_truths(answers, np.array([0.0, 0.0]), "accuracy")
    assert found[0].tolist() == [1.0, 0.0]
    assert np.isnan(found[1, 0])
    assert found[1, 1] == 1.0  # the first of equal ones, as everywhere
    numbers = of_truths(np.array([[3.0], [np.nan]], np.float32), np.array([5.0, 5.0]), "error")
    assert numbers[0] == 2.0
    assert np.isnan(numbers[1])
