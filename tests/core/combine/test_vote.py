from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.combine.mean import Mean
from quorate.core.combine.vote import Vote, VoteParams
from quorate.core.types import OutputSpec
from quorate.errors import ConfigError

SCORES = OutputSpec("scores", classes=("a", "b"))


def hard(*rows: Any, status: Any = None) -> Any:
    outputs = np.array(rows, np.float32)
    given = np.zeros(outputs.shape[:2], np.int8) if status is None else np.array(status, np.int8)
    return Vote(VoteParams("hard")).combine(outputs, given)


def test_soft_is_the_mean_of_probabilities() -> None:
    outputs = np.random.default_rng(0).dirichlet(np.ones(4), size=(20, 3)).astype(np.float32)
    status = np.random.default_rng(1).integers(0, 3, size=(20, 3)).astype(np.int8)
    np.testing.assert_array_equal(Vote().combine(outputs, status), Mean().combine(outputs, status))


def test_hard_counts_labels_where_soft_would_decide_otherwise() -> None:
    row = [[0.6, 0.4], [0.6, 0.4], [0.1, 0.9]]
    assert hard(row)[0] == pytest.approx([2 / 3, 1 / 3], abs=2e-6)
    assert Vote().combine(np.array([row], np.float32), np.zeros((1, 3), np.int8)).argmax() == 1


def test_a_tie_goes_to_the_higher_soft_mean() -> None:
    answer = hard([[0.55, 0.45, 0.0], [0.1, 0.9, 0.0]])
    assert answer.argmax() == 1
    assert answer[0] == pytest.approx([0.5, 0.5, 0.0], abs=2e-6)


def test_a_tie_in_the_soft_mean_too_goes_to_the_lower_index() -> None:
    assert hard([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]).argmax() == 1


def test_a_member_torn_between_classes_votes_for_the_lower_index() -> None:
    assert hard([[0.0, 0.5, 0.5]])[0].tolist() == [0.0, 1.0, 0.0]


def test_only_members_that_answered_vote() -> None:
    row = [[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]]
    assert hard(row, status=[[1, 2, 0]])[0].tolist() == [0.0, 1.0]


@settings(max_examples=200, deadline=None)
@given(m=st.integers(1, 9), k=st.integers(2, 5), seed=st.integers(0, 2**32 - 1))
def test_hard_follows_the_rule_row_by_row(m: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Few distinct probabilities, so that ties abound.
    outputs = (rng.multinomial(4, np.ones(k) / k, size=(6, m)) / 4).astype(np.float32)
    status = rng.choice([0, 0, 1, 2], size=(6, m)).astype(np.int8)
    answer = hard(*outputs, status=status)
    for row, ok, got in zip(outputs, status == 0, answer, strict=True):
        if not ok.any():
            assert np.isnan(got).all()
            continue
        votes = np.bincount(row[ok].argmax(axis=1), minlength=k)
        soft = row[ok].astype(float).mean(axis=0)
        best = max(range(k), key=lambda c: (votes[c], round(soft[c], 9), -c))
        assert got.argmax() == best
        assert got == pytest.approx(votes / ok.sum(), abs=2e-6)


def test_refuses_another_voting_and_values() -> None:
    with pytest.raises(ConfigError, match="'hard' or 'soft'; got 'loud'") as caught:
        Vote(VoteParams("loud")).check(["a"], SCORES, None)  # type: ignore[arg-type]
    assert caught.value.path == "voting"
    with pytest.raises(ConfigError, match="'vote' combines scores; the pool's models answer values"):
        Vote().check(["a"], OutputSpec("values", names=("y",)), None)
