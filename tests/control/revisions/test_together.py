"""Which members make up a fused graph: those that somebody asks together."""

from __future__ import annotations

from typing import Any

from quorate.codecs.snapshot import EndpointRoute, MemberRoute, PolicyRoute, PoolRoute, StrategyRoute
from quorate.control.revisions.together import EVERYBODY, Together, together
from quorate.core.types import OutputSpec, Signature, TensorSpec

SIGNATURE = Signature("array", (TensorSpec("input", "float32", (None, 2)),), OutputSpec("scores", ("no", "yes")))
POOL = PoolRoute(
    "p",
    "classification",
    SIGNATURE,
    tuple(MemberRoute(n, 1, "onnx", "", {}, SIGNATURE, SIGNATURE.inputs, "output", []) for n in "abcd"),
)


def endpoint(*strategies: StrategyRoute, blind: bool = False, pool: str = "p") -> EndpointRoute:
    return EndpointRoute("e", 1, pool, strategies, PolicyRoute("fixed", blind=blind))


def steps(*stages: str) -> StrategyRoute:
    names = tuple(tuple(stage) for stage in stages)
    return StrategyRoute("s", "cascade", tuple("".join(stages)), 1, plan="cascade", stages=names)


def mean(members: str) -> StrategyRoute:
    return StrategyRoute("m", "mean", tuple(members), 1)


def found(*endpoints: Any) -> Together:
    return together(POOL, endpoints)


def test_without_stages_all_are_one_graph() -> None:
    assert found() == found(endpoint(mean("ab"), mean("abcd"))) == EVERYBODY


def test_the_stages_of_a_plan_are_graphs_of_their_own() -> None:
    assert found(endpoint(steps("a", "bc", "d"))) == Together(False, (("b", "c"),))
    assert found(endpoint(steps("c", "db"))) == Together(False, (("b", "d"),))


def test_beside_a_strategy_of_all_there_is_a_graph_of_all_too() -> None:
    assert found(endpoint(steps("a", "bc", "d"), mean("dcba"))) == Together(True, (("b", "c"),))
    assert found(endpoint(steps("a", "bc", "d")), endpoint(mean("abcd"))) == Together(True, (("b", "c"),))


def test_a_blind_endpoint_asks_all() -> None:
    assert found(endpoint(steps("a", "bc", "d"), blind=True)) == Together(True, (("b", "c"),))


def test_other_strategies_have_graphs_of_their_members() -> None:
    wanted = Together(False, (("b", "c"), ("a", "d")))
    assert found(endpoint(steps("a", "bc", "d"), mean("da"), mean("b"), mean("cb"))) == wanted


def test_other_pools_do_not_matter() -> None:
    assert found(endpoint(steps("a", "bc", "d"), pool="q")) == EVERYBODY
