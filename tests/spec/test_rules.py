"""Small rules of the spec that need no registry; most are tested through resolution."""

from __future__ import annotations

import pytest

from quorate.spec import build
from quorate.spec.rules import endpoint_policy, model_name, strategy_members, strategy_quorum


@pytest.mark.parametrize(("ref", "name"), [("a", "a"), ("a.b-c:12", "a.b-c"), ("a@champion", "a")])
def test_model_name(ref: str, name: str) -> None:
    assert model_name(ref) == name


def test_members_keep_the_order_they_are_listed_in() -> None:
    strategies = {
        "all": {"kind": "mean"},
        "some": {"kind": "mean", "members": ["c", "a"]},
        "one": {"kind": "single", "member": "b"},
    }
    endpoint = build(
        {"pools": {}, "endpoints": {"e": {"pool": "p", "strategies": strategies, "quorum": 2}}}
    ).spec.endpoints["e"]
    found = {name: strategy_members(strategy, ("a", "b", "c")) for name, strategy in endpoint.strategies.items()}
    assert found == {"all": ("a", "b", "c"), "some": ("c", "a"), "one": ("b",)}
    quorums = {name: strategy_quorum(strategy, endpoint) for name, strategy in endpoint.strategies.items()}
    assert quorums == {"all": 2, "some": 2, "one": 1}
    assert endpoint_policy(endpoint) is None


def test_an_only_strategy_needs_no_policy() -> None:
    endpoint = build({"pools": {}, "endpoints": {"e": {"pool": "p", "strategies": {"s": {"kind": "mean"}}}}})
    policy = endpoint_policy(endpoint.spec.endpoints["e"])
    assert policy is not None
    assert (policy.kind, policy.params()) == ("fixed", {"strategy": "s"})
