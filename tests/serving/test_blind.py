"""What a blind endpoint must hide where members fail, where units are sticky, and where answers differ in layout."""

import numpy as np
import pytest

from quorate.codecs.snapshot import EndpointRoute, PolicyRoute, StrategyRoute
from quorate.core.select.assign import unit_uniform
from quorate.errors import NoQuorum
from quorate.serving.blind import settle
from quorate.serving.endpoint import LoadedEndpoint

BOTH = StrategyRoute("both", "mean", ("a", "b"), 2)
A = StrategyRoute("only-a", "single", ("a",), 1)
B = StrategyRoute("only-b", "single", ("b",), 1)
C = StrategyRoute("only-c", "single", ("c",), 1)


def split(*names, **more):
    return PolicyRoute("split", {"weights": dict.fromkeys(names, 1)}, blind=True, **more)


def broken(tensors):
    raise RuntimeError("broken")


def settled(house, endpoint, rows=1):
    """The arm that answers for each arm assigned, from one execution."""
    execution = house.execution(endpoint.pool, rows)
    house.ran(execution, endpoint.everyone)
    found = {}
    for uniform in np.linspace(0, 0.99, 50):
        choice = endpoint.choose(None, {}, lambda u=uniform: float(u))
        found[choice.strategy.name] = settle(endpoint, choice, execution)
    return found


def test_an_arm_without_an_answer_is_answered_by_another(house):
    """Else its 504 would be its name; the decision says who answered, and that it is degraded."""
    pool = house.pool(a=house.inline(broken), b=house.inline(0.4), c=house.inline(0.9))
    endpoint = house.endpoint(pool, [A, B, C], split("only-a", "only-b", "only-c"))
    served = {(d.assigned, d.served, d.degraded, d.error) for d in (house.predict(endpoint) for _ in range(40))}
    assert served == {
        ("only-a", "only-b", True, None),
        ("only-b", "only-b", False, None),
        ("only-c", "only-c", False, None),
    }


def test_the_fallback_comes_before_other_arms_and_strangers_never(house):
    pool = house.pool(a=house.inline(broken), b=house.inline(0.4), c=house.inline(0.9))
    policy = split("only-a", "only-b")
    found = settled(house, house.endpoint(pool, [A, B, C], policy, fallback=("only-c",)))
    assert {name: s.name for name, (s, _, _) in found.items()} == {"only-a": "only-c", "only-b": "only-b"}
    pool = house.pool(a=house.inline(broken), b=house.inline(broken), c=house.inline(0.9))
    found = settled(house, house.endpoint(pool, [A, B, C], policy))
    assert found == {"only-a": (None, None, True), "only-b": (None, None, True)}


@pytest.mark.parametrize("failing", [(), ("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")])
@pytest.mark.parametrize("settings", [{}, {"fallback": ("both",)}, {"fallback": ("only-c",)}])
@pytest.mark.parametrize("on_failure", ["degrade", "fallback"])
def test_whether_there_is_an_answer_never_depends_on_the_arm(house, failing, settings, on_failure):
    answers = {name: broken if name in failing else 0.4 for name in "abc"}
    pool = house.pool(**{name: house.inline(answer) for name, answer in answers.items()})
    policy = split("both", "only-a", "only-c")
    endpoint = house.endpoint(pool, [BOTH, A, C], policy, on_member_failure=on_failure, **settings)
    found = settled(house, endpoint, rows=3)
    assert set(found) == {"both", "only-a", "only-c"}
    assert len({answer is None for _, answer, _ in found.values()}) == 1
    assert all(answer is None or answer.shape == (3, 2) for _, answer, _ in found.values())


def test_no_arm_has_an_answer_when_every_arm_has_none(house):
    pool = house.pool(a=house.inline(broken), b=house.inline(broken), c=house.inline(0.9))
    endpoint = house.endpoint(pool, [BOTH, A, B], split("both", "only-a", "only-b"))
    said = set()
    for _ in range(20):
        with pytest.raises(NoQuorum) as caught:
            house.predict(endpoint)
        said.add(str(caught.value))
    assert len(said) == 1
    assert "only-" not in said.pop()
    assert {decision.assigned for decision in house.journal.decisions} == {"both", "only-a", "only-b"}


def test_every_arms_answer_has_the_same_layout(house):
    """``tobytes`` of a view takes longer than of an array, which shows at 10,000 rows."""
    pool = house.pool(a=house.inline(0.2), b=house.inline(0.4), c=house.inline(0.9))
    found = settled(house, house.endpoint(pool, [BOTH, A, C], split("both", "only-a", "only-c")), rows=5)
    assert len(found) == 3
    for _, answer, degraded in found.values():
        assert answer.dtype == np.float32
        assert answer.flags.c_contiguous
        assert answer.base is None
        assert not degraded


def test_one_that_knows_the_code_cannot_compute_the_arm_of_a_sticky_unit(house):
    """Without a secret, ``unit_uniform(user, endpoint)`` would be the arm, and everybody has that function."""
    pool = house.pool(a=house.inline(0.2), b=house.inline(0.4), c=house.inline(0.9))
    users = [f"user-{number}" for number in range(400)]

    def arms(secret, blind=True):
        policy = PolicyRoute("split", {"weights": {"only-a": 1, "only-b": 1}}, blind=blind, sticky="user")
        route = EndpointRoute("main", 1, "pool", (A, B), policy)
        endpoint = LoadedEndpoint(route, pool, {}, secret=secret)
        return [endpoint.choose(None, {"user": user}, lambda: 0.0).strategy.name for user in users]

    computed = ["only-a" if unit_uniform(user, "main") < 0.5 else "only-b" for user in users]
    assert arms("s1", blind=False) == computed
    assert arms("s1") == arms("s1")
    for other in (computed, arms("s2"), arms("")):
        agreement = np.mean([mine == theirs for mine, theirs in zip(arms("s1"), other, strict=True)])
        assert 0.4 < agreement < 0.6


def test_a_degraded_answer_is_counted_like_any_other(house):
    """Looking a counter up only for degraded answers takes microseconds that an arm could be told by."""
    pool = house.pool(a=house.inline(broken), b=house.inline(0.4))
    endpoint = house.endpoint(pool, [A, B], split("only-a", "only-b"))
    for _ in range(20):
        house.predict(endpoint)
    lost = sum(decision.assigned == "only-a" for decision in house.journal.decisions)
    assert 0 < lost < 20
    for metric in ("quorate_degraded_total", "quorate_fallbacks_total"):
        assert house.counters.counter(metric, endpoint="main").value == lost
