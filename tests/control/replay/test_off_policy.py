"""Replay by propensities: rewards of what was served, overlap, sticky units, policies that look at the context."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quorate.core.stats.off_policy import NoOverlap
from quorate.errors import InvalidInput

from .conftest import STRATEGIES, decided, drawn, rewarded, told


def logged(count: int = 800, seed: int = 0, **other: Any) -> tuple[list[Any], np.ndarray, np.ndarray]:
    """Decisions drawn 3 : 1, and their rewards: about 0.3 for the first strategy, 0.6 for the second."""
    rng = np.random.default_rng(seed)
    drawn_ = (rng.random(count) < 0.25).astype(int)
    rewards = (rng.random(count) < np.array([0.3, 0.6])[drawn_]).astype(float)
    output = drawn(1)[0]
    decisions = [
        decided(i, output, assigned=STRATEGIES[a], propensities=(0.75, 0.25), **other) for i, a in enumerate(drawn_)
    ]
    return decisions, drawn_, rewards


@pytest.mark.parametrize("compacted", [False, True])
def test_a_reward_is_known_of_what_was_served(log: Any, compacted: bool) -> None:
    decisions, which, rewards = logged()
    segment = log.write(decisions, [rewarded(d, {"clicks": r}) for d, r in zip(decisions, rewards, strict=True)])
    if compacted:
        pytest.importorskip("pyarrow")
        log.compact(segment)
    found = log.replay("best", metric="clicks")
    w = np.where(which == 1, 4.0, 0.0)
    values = {each.method: each.value.value for each in found.estimates}
    assert (found.method, found.metric, found.higher_is_better) == ("off-policy", "clicks", True)
    assert values["ips"] == pytest.approx((w * rewards).mean())
    assert values["snips"] == pytest.approx(rewards[which == 1].mean())
    assert found.candidate.value == values["dr"]
    assert found.live.value == pytest.approx(rewards.mean())
    assert found.candidate.low <= 0.6 <= found.candidate.high
    assert (found.verdict, found.counts.used) == ("better", 800)
    assert found.overlap is not None
    assert found.overlap.effective == pytest.approx((which == 1).sum())
    assert ("effective sample size" in " ".join(found.warnings)) == (found.overlap.effective < 200)
    policy = log.replay(policy={"kind": "split", "weights": {"average": 3, "best": 1}}, metric="clicks")
    assert policy.estimates[0].difference.value == pytest.approx(0.0, abs=1e-12)  # it is the one that was live
    assert policy.verdict == "not shown"
    assert policy.overlap is not None
    assert policy.overlap.effective == pytest.approx(800)


def test_sampled_records_are_replayed_by_propensities(log: Any) -> None:
    """Without outputs the truth still says whether the served answer was right."""
    decisions, which, _ = logged(300)
    bare = [d._replace(outputs=d.outputs[:, :, :0]) for d in decisions]
    log.write(bare, [told(d, ("no", "yes")[i % 2]) for i, d in enumerate(bare)])
    found = log.replay("best")
    right = np.array([d.answer.argmax() == i % 2 for i, d in enumerate(bare)])
    assert found.method == "off-policy"
    assert found.estimates[1].value.value == pytest.approx(right[which == 1].mean())
    assert log.replay("best", method="off-policy").candidate == found.candidate
    with pytest.raises(InvalidInput, match="300 outputs not recorded"):
        log.replay("best", method="exact")


def test_both_ways_agree_where_both_are_possible(log: Any) -> None:
    outputs, rng = drawn(1000), np.random.default_rng(3)
    decisions = [decided(i, outputs[i], assigned=STRATEGIES[i % 2]) for i in range(1000)]
    labels = np.where(rng.random(1000) < outputs[:, 0, 0, 1], "yes", "no").tolist()
    log.write(decisions, [told(d, label) for d, label in zip(decisions, labels, strict=True)])
    found = log.replay("best")
    assert found.method == "exact"
    assert {each.method for each in found.estimates} == {"ips", "snips", "dr"}
    for each in found.estimates:
        assert each.value.low <= found.candidate.value <= each.value.high
        assert found.difference.standard_error < each.difference.standard_error


def test_no_overlap_is_refused_with_the_revisions(log: Any) -> None:
    decisions, _, rewards = logged(100)
    never = [decided(i, drawn(1)[0], revision=2, propensities=(1.0, 0.0)) for i in range(100, 140)]
    told_ = [
        rewarded(d, {"clicks": float(r)}) for d, r in zip([*decisions, *never], [*rewards, *[1.0] * 40], strict=True)
    ]
    log.write([*decisions, *never], told_)
    with pytest.raises(
        NoOverlap, match=r"40 of 140 decisions could not .*'best' \(propensity 0\), in revision 2 \(40\)"
    ) as no:
        log.replay("best", metric="clicks")
    assert (no.value.path, no.value.code) == ("strategy", "invalid_input")
    assert log.replay("best", metric="clicks", revision=1).counts.used == 100
    assert log.replay("average", metric="clicks").counts.used == 140
    with pytest.raises(NoOverlap, match="what the policy may choose") as no:
        log.replay(policy={"kind": "split", "weights": {"average": 1, "best": 1}}, metric="clicks")
    assert no.value.path == "policy"
    for strategy in ("a", {"kind": "vote"}):  # never assigned, and a reward is known of what was served only
        with pytest.raises(NoOverlap, match="Serve it with a small share first"):
            log.replay(strategy, metric="clicks")


def test_callers_choices_never_count(log: Any) -> None:
    decisions, which, rewards = logged(200)
    chosen = [
        decided(i, drawn(1)[0], assigned="best", propensities=(0.0, 1.0), source="caller") for i in range(200, 300)
    ]
    both = [*decisions, *chosen]
    log.write(both, [rewarded(d, {"clicks": r}) for d, r in zip(both, [*rewards, *[1.0] * 100], strict=True)])
    found = log.replay("best", metric="clicks")
    assert found.counts.left_out == {"chosen by the caller": 100}
    assert found.estimates[1].value.value == pytest.approx(rewards[which == 1].mean())


def test_sticky_units_widen_the_interval(log: Any) -> None:
    rng = np.random.default_rng(4)
    users = rng.integers(40, size=800)
    side, taste = rng.integers(2, size=40), rng.random(40)
    output = drawn(1)[0]

    def decisions(sticky: bool) -> list[Any]:
        return [
            decided(i, output, assigned=STRATEGIES[side[u]], unit=f"u{u}" if sticky else None)
            for i, u in enumerate(users)
        ]

    log.write(decisions(True), [rewarded(d, {"t": taste[u]}) for d, u in zip(decisions(True), users, strict=True)])
    found = log.replay("best", metric="t")
    assert found.overlap is not None
    assert found.overlap.effective < 40
    assert any("effective sample size" in warning for warning in found.warnings)
    assert found.difference.high - found.difference.low > 0.15


def test_names_that_changed_their_meaning_are_told(log: Any) -> None:
    project = log.project
    text = project.home.config.read_text()
    project.write(text.replace("member: a", "member: b"))
    project.apply()
    decisions, _, rewards = logged(300)
    mixed = [d._replace(revision=1 + i % 2) for i, d in enumerate(decisions)]
    log.write(mixed, [rewarded(d, {"clicks": r}) for d, r in zip(mixed, rewards, strict=True)])
    found = log.replay("best", metric="clicks")
    assert any("'best' was another strategy" in w and "in revision 1 than in 2" in w for w in found.warnings)
    assert not any("was another" in w for w in log.replay("best", metric="clicks", revision=2).warnings)
