"""Who is trusted where: the weights of the combiner that serves, over the rows that it can be asked about."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.codecs.snapshot import StrategyRoute
from quorate.control.selection import recent
from quorate.control.selection.trust import able
from quorate.core.erasing import mark
from quorate.errors import InvalidInput, NotFound, RegistryError

from .conftest import MEMBERS, Lab, near

MEAN = StrategyRoute("mean", "mean", MEMBERS, 1)
ONLINE = StrategyRoute("online", "online", MEMBERS, 1)
HERE = {"a": (0.1, 0.1), "b": (0.9, 0.2), "c": (0.1, 0.8)}


def groups(found: Any) -> dict[str, tuple[int, dict[str, float]]]:
    return {each.name: (each.rows, each.shares) for each in found.groups}


def only(member: str) -> dict[str, float]:
    return {name: float(name == member) for name in MEMBERS}


def test_the_member_that_is_right_nearby_is_trusted_there(lab: Lab) -> None:
    lab.serve(MEAN, near(lab))
    for member, times in (("a", 5), ("b", 3), ("c", 2)):
        for _ in range(times):
            lab.decide([0, 1, 0], features=HERE[member], context={"tier": "gold" if member == "b" else "tin"})
    lab.flush()
    found = lab.trust()
    assert (found.strategy, found.means, found.rows, found.decisions) == ("near", "weight", 10, 10)
    assert found.overall == pytest.approx({"a": 0.5, "b": 0.3, "c": 0.2})
    assert groups(found) == {
        "no": (7, pytest.approx({"a": 5 / 7, "b": 0.0, "c": 2 / 7})),
        "yes": (3, only("b")),
    }
    assert (found.since, found.until) == (1001.0, 1010.0)
    assert [way.by for way in found.ways] == ["label", "context.tier", "feature.age", "feature.size"]
    assert groups(lab.trust(by="context.tier"))["gold"] == (3, only("b"))
    assert list(groups(lab.trust(by="context.nothing"))) == ["(not sent)"]
    by_age = groups(lab.trust(by="feature.age"))
    assert by_age == {"up to 0.1": (7, pytest.approx({"a": 5 / 7, "b": 0.0, "c": 2 / 7})), "above 0.1": (3, only("b"))}


def test_what_does_not_tell_is_left_out_and_counted(lab: Lab) -> None:
    lab.serve(MEAN, near(lab), digests={"c": "an older c"})
    lab.decide([0, 1, 0], features=HERE["c"])
    lab.serve(MEAN, near(lab))
    lab.decide([0, 1, 0], features=HERE["a"])
    lab.decide([0, 1, 0])
    lab.decide([0, 1, 0], features=HERE["a"], status=(0, 2, 0))
    lab.decide([0, 1, 0], features=HERE["b"], capture=mark("token"))
    lab.decide([0, 1, 0], features=HERE["b"], endpoint="another")
    lab.decide([0, 1, 0], features=HERE["b"], bare=True)
    lab.decide([0, 1, 0], features=HERE["b"], status=(0, 1, 0))  # a failed member weighs nothing
    lab.flush()
    found = lab.trust()
    assert (found.rows, found.overall) == (2, only("a"))
    assert found.left_out == {"erased": 1, "no_features": 1, "not_asked": 1, "not_recorded": 1, "other_members": 1}


def test_only_the_newest_rows_are_looked_at(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "ROWS", 4)
    lab.serve(near(lab))
    for member in "aaaaaabbbc":
        lab.decide([0, 0, 0], features=HERE[member])
    lab.flush()
    found = lab.trust()
    assert (found.rows, found.since) == (4, 1007.0)
    assert found.overall == pytest.approx({"a": 0.0, "b": 0.75, "c": 0.25})
    monkeypatch.setattr(recent, "ROWS", 2000)
    monkeypatch.setattr(recent, "LOOKED", 3)
    assert lab.trust().rows == 3


def test_a_cascade_tells_who_answered_of_what_it_served(lab: Lab) -> None:
    lab.serve(MEAN, StrategyRoute("steps", "cascade", ("a", "b"), 1))
    for label, status in ((0, (0, 2, 2)), (0, (0, 2, 0)), (1, (0, 0, 2)), (1, (2, 0, 2))):
        lab.decide([label] * 3, answer=label, status=status, assigned="steps", context={"k": label})
    lab.decide([0, 0, 0], assigned="mean")
    lab.flush()
    found = lab.trust()
    assert (found.means, found.rows, found.left_out) == ("answered", 4, {"not_served": 1})
    assert found.overall == {"a": 0.75, "b": 0.5}
    assert groups(found) == {"no": (2, {"a": 1.0, "b": 0.0}), "yes": (2, {"a": 0.5, "b": 1.0})}
    assert groups(lab.trust(by="context.k")) == {"0": (2, {"a": 1.0, "b": 0.0}), "1": (2, {"a": 0.5, "b": 1.0})}


def test_a_combiner_that_learns_tells_now_and_as_it_was(lab: Lab) -> None:
    lab.serve(ONLINE, MEAN)
    before = lab.trust()
    assert before.experts is not None
    assert (before.means, before.experts.rows, before.experts.history, before.groups) == ("experts", 0, [], [])
    for minute in range(3):
        lab.clock.advance(60.0)
        for i in range(20):
            lab.decide([i % 2, 1 - i % 2, 0], truth=1 - i % 2)  # b is right, a is wrong
        lab.flush()
        found = lab.trust(strategy="online")
        assert found.experts is not None
        assert found.experts.rows == 20 * (minute + 1)
        assert [point.rows for point in found.experts.history] == [20 * (n + 1) for n in range(minute + 1)]
        assert sum(found.experts.trust.values()) == pytest.approx(1.0)
        assert found.experts.history[-1].trust == pytest.approx(found.experts.trust, abs=1e-5)
    assert found.experts.trust["b"] > 5 * found.experts.trust["a"]
    times = [point.at for point in found.experts.history]
    assert times == sorted(times)


def test_who_tells(lab: Lab) -> None:
    lab.serve(MEAN, ONLINE, near(lab), StrategyRoute("steps", "cascade", ("a", "b"), 1))
    told = {each.name: each.means for each in able(lab.endpoint)}
    assert told == {"online": "experts", "near": "weight", "steps": "answered"}
    assert [each.name for each in lab.trust(strategy="near").strategies] == ["online", "near", "steps"]


def test_no_rows_are_no_shares(lab: Lab) -> None:
    lab.serve(near(lab))
    found = lab.trust()
    assert (found.rows, found.overall, found.groups, found.since) == (0, {}, [], None)


def test_refusals_say_what_there_is(lab: Lab) -> None:
    lab.serve(MEAN)
    with pytest.raises(NotFound, match="No strategy of endpoint 'e'"):
        lab.trust()
    lab.serve(MEAN, near(lab))
    with pytest.raises(InvalidInput, match="It can be told of the strategies near; got 'mean'"):
        lab.trust(strategy="mean")
    with pytest.raises(InvalidInput, match=r"grouped by label, feature\.age, feature\.size; got 'colour'") as refused:
        lab.trust(by="colour")
    assert refused.value.path == "by"
    lab.read = lambda digest: b""  # type: ignore[method-assign, assignment]
    with pytest.raises(RegistryError, match="fitted state of strategy 'near' cannot be read"):
        lab.trust()
