"""Regret over time: what is known of losses, sums of them, estimates where only the drawn one's is known, bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quorate.codecs.snapshot import PolicyRoute, RewardRoute, StrategyRoute
from quorate.control.learning.learner import Learning
from quorate.control.learning.routes import forget
from quorate.control.selection import losses as losses_module
from quorate.control.selection.comparing import compare
from quorate.control.selection.losses import Losses, losses
from quorate.errors import NotFound

from .conftest import LEARNS, MEMBERS, NUMBERS, Lab, near

A = StrategyRoute("only-a", "single", ("a",), 1)
VOTE = StrategyRoute("vote", "vote", MEMBERS, 1, {"voting": "hard"})
ONLINE = StrategyRoute("online", "online", MEMBERS, 1)
EXP3 = PolicyRoute("exp3", {}, reward=RewardRoute())


def known(lab: Lab) -> Losses:
    with lab.database.read() as connection:
        return losses(connection, lab.reader, lab.read, lab.endpoint, lab.pool)


def others(found: Any) -> dict[str, tuple[str, float | None]]:
    return {each.name: (each.basis, each.loss) for each in found.others}


def test_every_loss_is_known_where_truths_and_outputs_are_on_record(lab: Lab) -> None:
    lab.serve(A, VOTE, policy=LEARNS)
    rows = [([0, 1, 1], 1, "only-a"), ([0, 0, 1], 0, "vote"), ([1, 0, 1], 1, "vote"), ([0, 1, 1], 0, "vote")]
    for outputs, truth, assigned in rows:
        answer = outputs[0] if assigned == "only-a" else round(sum(outputs) / 3)
        lab.decide(outputs, truth=truth, assigned=assigned, answer=answer, p=(0.5, 0.5))
    lab.decide([1, 1, 1], truth=0, source="caller", p=(0.5, 0.5))  # chose for itself
    lab.decide([1, 1, 1], p=(0.5, 0.5))  # nothing is known of it
    lab.flush()
    found = lab.regret()
    assert (found.known, found.rows, found.outcomes, found.unit, found.whole) == ("all", 4, 4, "mistakes", True)
    assert found.left_out == {"not_drawn": 1}
    assert found.served == 2.0  # the first and the last
    assert others(found) == {
        "only-a": ("known", 1.0), "vote": ("known", 1.0), "a": ("known", 1.0), "b": ("known", 2.0), "c": ("known", 2.0),
    }  # fmt: skip
    assert found.regret == 1.0
    assert [(point.rows, point.served, point.regret) for point in found.points] == [
        (1, 1.0, 1.0), (2, 1.0, 1.0), (3, 1.0, 1.0), (4, 2.0, 1.0),
    ]  # fmt: skip
    assert (found.since, found.until) == (1001.0, 1007.0)
    assert found.points[2].others == {"only-a": 1.0, "vote": 0.0, "a": 1.0, "b": 1.0, "c": 1.0}


def test_the_drawn_one_lost_what_the_caller_got_and_a_member_that_failed_lost_the_row(lab: Lab) -> None:
    lab.serve(A, VOTE, policy=LEARNS)
    lab.decide([0, 1, 1], truth=1, assigned="only-a", answer=1, served="vote", p=(0.5, 0.5))  # the fallback was right
    lab.decide([0, 0, 0], truth=0, assigned="vote", answer=None, status=(0, 0, 1), p=(0.5, 0.5))
    lab.flush()
    found = others(lab.regret())
    assert found["only-a"] == ("known", 0.0)
    assert found["a"] == ("known", 1.0)
    assert found["c"] == ("known", 1.0)


def test_an_error_is_the_worst_answer(lab: Lab) -> None:
    lab.serve(A, VOTE, policy=LEARNS)
    lab.decide([0, 0, 0], truth=0, p=(0.5, 0.5), nothing=True)
    lab.flush()
    found = lab.regret()
    assert (found.served, others(found)["vote"]) == (1.0, ("known", 0.0))
    assert others(found)["only-a"] == ("known", 1.0)  # it was drawn, and gave nothing


def test_losses_are_those_that_the_policy_learned(lab: Lab) -> None:
    """With a scale of its own: an accuracy of 1 earns half."""
    lab.serve(A, VOTE, policy=PolicyRoute("thompson", {}, reward=RewardRoute("accuracy", 0.0, 2.0)))
    lab.decide([0, 1, 1], truth=0, assigned="only-a", p=(0.5, 0.5))
    lab.flush()
    found = lab.regret()
    assert (found.unit, found.served) == ("rewards", 0.5)
    assert others(found)["vote"] == ("known", 1.0)


def test_where_only_rewards_are_told_the_others_are_estimated_without_bias(lab: Lab) -> None:
    """A told reward says nothing of the other strategy; weighed by the probability of the draw, sums are right."""
    lab.serve(A, VOTE, policy=PolicyRoute("thompson", {}, reward=RewardRoute("clicks", 0.0, 1.0)))
    rng, rows = np.random.default_rng(4), 400
    for _ in range(rows):
        drawn = "only-a" if rng.random() < 0.25 else "vote"
        clicks = float(rng.random() < (0.8 if drawn == "only-a" else 0.4))
        lab.decide([0, 1, 1], rewards={"clicks": clicks}, assigned=drawn, p=(0.25, 0.75))
    lab.flush()
    found = lab.regret()
    assert (found.known, found.unit, found.rows) == ("drawn", "rewards", rows)
    by = {each.name: each for each in found.others}
    assert by["only-a"].basis == by["vote"].basis == "estimate"
    assert by["only-a"].low is not None
    assert by["only-a"].high is not None
    assert by["only-a"].low < 0.2 * rows < by["only-a"].high
    assert by["vote"].low is not None
    assert by["vote"].high is not None
    assert by["vote"].low < 0.6 * rows < by["vote"].high
    assert {each.basis for each in found.others if each.kind == "member"} == {"unknown"}
    assert found.best == "only-a"
    assert found.bound is None


def test_estimates_are_unbiased_and_their_intervals_hold() -> None:
    """Over 300 logs of 500 rows: the mean of the estimates, and how often the 95 % intervals hold the true sum."""
    rng, n = np.random.default_rng(1), 500
    truth = rng.random((n, 2)) < np.array([0.3, 0.5])
    p, held, sums = np.array([0.2, 0.8]), 0, []
    for _ in range(300):
        drawn = (rng.random(n) < p[1]).astype(int)
        served = truth[np.arange(n), drawn].astype(float)
        lost = np.full((n, 2), np.nan)
        lost[np.arange(n), drawn] = served
        found = Losses(
            np.arange(n, dtype=float), served, ("x", "y"), (), lost, drawn, np.tile(p, (n, 1)), "m", "rewards", {}, True
        )
        compared = compare(found)
        assert compared.known == "drawn"
        each = next(one for one in compared.others() if one.name == "x")
        assert each.loss is not None
        assert each.low is not None
        assert each.high is not None
        sums.append(each.loss)
        held += each.low <= truth[:, 0].sum() <= each.high
    error = np.std(sums) / np.sqrt(len(sums))
    assert abs(np.mean(sums) - truth[:, 0].sum()) < 3.5 * error
    assert 0.91 <= held / 300 <= 0.99


def test_what_a_learning_strategy_would_have_said_is_estimated_not_compared_where_it_was_drawn(lab: Lab) -> None:
    """Choosing rows by the draw would be no comparison: all rows stay."""
    lab.serve(A, ONLINE, policy=LEARNS)
    for i in range(40):
        drawn = "online" if i % 4 else "only-a"
        lab.decide([0, 1, 1], truth=i % 2, assigned=drawn, answer=0 if drawn == "only-a" else 1, p=(0.25, 0.75))
    lab.flush()
    found = lab.regret()
    assert (found.known, found.rows) == ("all", 40)
    assert {name: basis for name, (basis, _) in others(found).items()} == {
        "only-a": "known", "online": "estimate", "a": "known", "b": "known", "c": "known",
    }  # fmt: skip


def test_a_fixed_policy_whose_combiner_learns_is_held_against_members_and_experts(lab: Lab) -> None:
    lab.serve(ONLINE, VOTE)
    rng = np.random.default_rng(0)
    for _ in range(3):
        lab.clock.advance(60.0)
        for _ in range(30):
            truth = int(rng.integers(2))
            said = [truth if rng.random() < right else 1 - truth for right in (0.95, 0.6, 0.5)]
            lab.decide(said, truth=truth, answer=said[1])
        lab.flush()
    found = lab.regret()
    assert (found.policy, found.learns, found.unit, found.best) == ("fixed", False, "mistakes", "a")
    assert "online" not in others(found)
    assert found.regret is not None
    assert found.regret > 10
    (combiner,) = found.combiners
    assert (combiner.strategy, combiner.rows, len(combiner.points)) == ("online", 90, 3)
    lost = {each.name: each.loss for each in combiner.experts}
    assert lost["a"] == others(found)["a"][1]
    assert combiner.experts[0].loss == min(lost.values())
    assert combiner.own is not None
    assert combiner.regret is not None
    assert combiner.regret == pytest.approx(combiner.own - min(lost.values()), abs=1e-4)
    assert all(point.regret is not None and point.regret <= point.certificate for point in combiner.points)
    assert [point.rows for point in combiner.points] == [30, 60, 90]


def test_the_policys_own_bound_is_stated_where_it_covers_all_rows(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.serve(A, VOTE, policy=EXP3)
    for i in range(20):
        lab.decide([0, 1, 1], truth=i % 2, p=(0.5, 0.5))
    lab.flush()
    found = lab.regret()
    assert found.bound is not None
    assert found.bound.value == pytest.approx(2 * np.sqrt(20 * 2 * np.log(2)))
    monkeypatch.setattr(losses_module, "LOOKED", 5)
    part = lab.regret()
    assert (part.rows, part.whole, part.bound) == (5, False, None)
    assert part.points[-1].at == found.points[-1].at  # the newest


def test_numbers_without_a_reward_are_absolute_errors(lab: Lab) -> None:
    mean = StrategyRoute("mean", "mean", MEMBERS, 1)
    lab.serve(ONLINE, mean, output=NUMBERS)
    lab.decide([1.0, 2.0, 6.0], truth=2.0, answer=4.0)
    lab.decide([1.0, 2.0, 6.0], truth=3.0, answer=4.0, status=(0, 0, 1))
    lab.flush()
    found = lab.regret()
    assert (found.unit, found.metric) == ("absolute error", "error")
    # c did not answer the second row, which is compared for nobody then
    assert (found.rows, found.served) == (1, 2.0)
    assert others(found) == {"mean": ("known", 1.0), "a": ("known", 1.0), "b": ("known", 0.0), "c": ("known", 4.0)}
    assert found.combiners[0].unit == "squared error"


def test_strategies_that_look_at_features_are_known_where_these_were_recorded(lab: Lab) -> None:
    lab.serve(A, near(lab), policy=LEARNS)
    lab.decide([0, 1, 0], truth=1, features=(0.9, 0.1), assigned="only-a", p=(0.5, 0.5))
    lab.flush()
    assert others(lab.regret())["near"] == ("known", 0.0)


def test_other_strategies_and_members_tell_nothing_of_these(lab: Lab) -> None:
    lab.serve(A, VOTE, policy=LEARNS, digests={"b": "older"})
    lab.decide([0, 0, 0], truth=0, p=(0.5, 0.5))
    lab.serve(A, VOTE, policy=LEARNS)
    lab.flush()
    found = lab.regret()
    assert (found.known, found.rows, found.served, found.best) == ("none", 0, None, None)
    assert found.left_out == {"other_policy": 1}
    assert found.points == []


def test_a_member_called_as_a_strategy_says_that_it_is_one(lab: Lab) -> None:
    lab.serve(StrategyRoute("a", "single", ("a",), 1), VOTE, policy=LEARNS)
    lab.decide([0, 1, 1], truth=0, p=(0.5, 0.5))
    lab.flush()
    found = {each.name: each.kind for each in lab.regret().others}
    assert found == {"a": "strategy", "vote": "strategy", "a (member)": "member", "b": "member", "c": "member"}


def test_what_does_not_learn_has_no_regret(lab: Lab) -> None:
    lab.serve(A, VOTE)
    with pytest.raises(NotFound, match="Neither the policy nor a combiner of endpoint 'e' learns"):
        lab.regret()


def test_a_reset_begins_history_anew(lab: Lab) -> None:
    lab.serve(ONLINE)
    lab.decide([0, 1, 1], truth=0)
    lab.flush()
    assert len(lab.regret().combiners[0].points) == 1
    forget(lab.database, Learning(lab.endpoint, lab.pool), "me", 100_100.0)
    assert lab.regret().combiners == []
    told = lab.trust().experts
    assert told is not None
    assert (told.rows, told.history) == (0, [])
