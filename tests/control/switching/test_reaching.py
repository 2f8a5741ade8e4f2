"""Plans of switches to and from cascades: members count by the share of rows that reaches their stage."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import EndpointRoute, GraphRoute, MemberRoute, PolicyRoute, PoolRoute, StrategyRoute
from quorate.control.switching.loading import Running, as_fused, longest, run_seconds
from quorate.control.switching.planning import Asked, Plan, plan
from quorate.control.switching.quantities import find
from quorate.control.switching.reaching import Reach
from quorate.core.types import OutputSpec, Signature, State, TensorSpec
from quorate.registry.manifest import Manifest
from quorate.spec import load
from quorate.store import usage
from quorate.store.usage import Used
from quorate.telemetry.counters import Counters
from quorate.training.cascade import fit_cascade

from .conftest import GIB

CONFIG = """\
pools:
  letters: {task: classification, members: [a, b, c]}
endpoints:
  main:
    pool: letters
    strategies:
      average: {kind: mean, members: [a, b]}
      steps: {kind: cascade, state: steps}
    policy: average
"""
RENAMED = CONFIG.replace("steps: {kind", "other: {kind").replace("policy: average", "policy: other")
RUNS_MS = {"a": 2.0, "b": 8.0, "c": 32.0}


@cache
def cascade() -> State:
    """A cascade that asks b and c together."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 240)
    sure = 1 / (1 + np.exp(-rng.normal(np.where(y == 1, 1.0, -1.0)[:, None], [2.0, 1.0, 1.0])))
    outputs = np.stack([1 - sure, sure], axis=2).astype(np.float32)
    costs = {"a": 1.0, "b": 5.0, "c": 5.0}
    return fit_cascade(
        outputs, y, ("a", "b", "c"), ("no", "yes"), costs=costs, stages=[["a"], ["b", "c"]], within={"cost": 5.0}
    )


def register(history: Any, **expected: Any) -> None:
    """The next version of the state of ``steps``, of which that is said."""
    state = cascade()
    files = {**state_codec.encode(State(state.kind, state.version, {**state.meta, "expected": expected}, state.arrays))}
    history.project.registry.register(Manifest(name="steps", format="state", kind="state"), files)


@pytest.fixture
def staged(history: Any) -> Any:
    """An hour of ``average``, 50 requests a minute of 10 ms; nobody has asked ``steps``, whose second stage is dear."""
    register(history, reached=[1.0, 0.3])
    history.project.write(CONFIG)
    history.project.apply()
    history.traffic(range(60), 1, "average", [10.0] * 50)
    history.used(range(60), usage.WORKER, "worker-0", Used(60.0, 3.0, 60.0 * GIB))
    history.used(range(60), usage.ENDPOINT, "main", Used(60.0, requests=50.0))
    history.at(60)
    return history


@pytest.fixture
def worker(history: Any) -> Iterator[Counters]:
    """A worker that lives, and has measured every member."""
    counters = Counters(history.home.telemetry / "worker-0.qt")
    for member, ms in RUNS_MS.items():
        counters.histogram("quorate_member_duration_seconds", member=member).observe(ms)
    yield counters
    counters.close()


def planned(history: Any, to: str | None = "steps", config: str | None = None) -> Plan:
    asked = Asked(to, None if config is None else load(config))
    return plan(
        history.database,
        history.project.registry,
        history.reader,
        history.home.telemetry,
        history.served,
        "main",
        asked,
        author="tester",
        now=history.clock.now(),
    )


def after(made: Plan, name: str) -> float | None:
    found = find(made.quantities, name)
    assert found is not None
    return found.after


def test_a_cascade_that_nobody_asked_is_counted_as_it_was_fitted(staged: Any, worker: Counters) -> None:
    made = planned(staged)
    assert after(made, "latency_p50") == pytest.approx(10.0 - 8.0 + 2.0 + 0.3 * 32.0, rel=0.02)
    assert after(made, "cpu_per_1000_requests") == pytest.approx(60.0 - 10.0 + 2.0 + 0.3 * 40.0)
    latency = find(made.quantities, "latency_p50")
    assert latency is not None
    assert "slowest member of each stage" in (latency.basis or "")
    said = "Members of 'steps' are counted by the share of rows that reaches their stage (1, 0.3), as it was expected"
    assert any(note.startswith(said) for note in made.notes), made.notes


@pytest.mark.parametrize("config", [None, RENAMED])
def test_what_was_served_counts_before_what_was_expected(staged: Any, worker: Counters, config: str | None) -> None:
    """Also under another name, where it is made of the same; a revision from before is another matter."""
    for revision, rows, second in (("1", 100, 10), ("0", 900, 900)):
        mine = {"endpoint": "main", "strategy": "steps", "revision": revision}
        worker.counter("quorate_staged_rows_total", **mine).add(rows)
        for stage, count in (("1", rows), ("2", second)):
            worker.counter("quorate_stages_total", **mine, stage=stage).add(count)
    made = planned(staged, None if config else "steps", config)
    assert after(made, "latency_p50") == pytest.approx(10.0 - 8.0 + 2.0 + 0.1 * 32.0, rel=0.02)
    assert after(made, "cpu_per_1000_requests") == pytest.approx(60.0 - 10.0 + 2.0 + 0.1 * 40.0)
    assert any("(1, 0.1), as it was served to 100 rows." in note for note in made.notes), made.notes


def test_a_few_rows_say_nothing(staged: Any, worker: Counters) -> None:
    mine = {"endpoint": "main", "strategy": "steps", "revision": "1"}
    worker.counter("quorate_staged_rows_total", **mine).add(29)
    worker.counter("quorate_stages_total", **mine, stage="1").add(29)
    assert any("as it was expected when it was fitted" in note for note in planned(staged).notes)


@pytest.mark.parametrize("expected", [{}, {"reached": [1.0]}])
def test_where_nothing_is_known_all_of_them_count_and_that_is_said(
    staged: Any, worker: Counters, expected: dict[str, Any]
) -> None:
    register(staged, **expected)
    made = planned(staged, None, CONFIG.replace("policy: average", "policy: steps"))
    assert after(made, "latency_p50") == pytest.approx(10.0 - 8.0 + 2.0 + 32.0, rel=0.02)
    assert any("(1, 1), as if every row asked them all, since nothing is known" in note for note in made.notes)


def test_nothing_is_said_of_stages_where_none_answer(staged: Any, worker: Counters) -> None:
    config = CONFIG.replace("policy: average", "policy: {kind: split, weights: {average: 1, steps: 1}, blind: true}")
    made = planned(staged, None, config)
    assert not any("stage" in note for note in made.notes)
    assert after(made, "cpu_per_1000_requests") == pytest.approx(60.0 - 10.0 + 42.0)  # everybody runs


SIGNATURE = Signature("array", (TensorSpec("input", "float32", (None, 2)),), OutputSpec("scores", ("no", "yes")))
REACH = Reach((("a",), ("b", "c"), ("d",)), (1.0, 0.25, 0.0), "as it was served")


def graph(*members: str) -> GraphRoute:
    return GraphRoute("digest", {}, "input", members=members)


@pytest.mark.parametrize(
    ("whole", "stages", "expected"),
    [
        (None, (), 2.0 + 0.25 * 40.0),
        (None, (graph("b", "c"),), 2.0 + 0.25 * 8.0),  # one run, whichever of them is asked
        (graph("a", "b", "c", "d"), (graph("b", "c"),), 2.0 + 0.25 * 8.0),
    ],
)
def test_members_of_one_graph_are_one_run(whole: Any, stages: Any, expected: float) -> None:
    now = Running(member_s={name: ms / 1000 for name, ms in RUNS_MS.items()})
    pool = PoolRoute("letters", "classification", SIGNATURE, (), whole, stages)
    assert run_seconds(pool, ("a", "b", "c", "d"), now, REACH) == pytest.approx(expected / 1000)
    assert longest(("a", "b", "c", "d"), now, REACH) == pytest.approx((2.0 + 0.25 * 32.0) / 1000)
    assert longest(("a", "b", "c"), now) == pytest.approx(0.032)
    unmeasured = Reach(REACH.stages, (1.0, 0.25, 0.1), "")
    assert run_seconds(PoolRoute("letters", "classification", SIGNATURE, ()), "abcd", now, unmeasured) is None
    assert longest("abcd", now, unmeasured) is None


def member(name: str) -> MemberRoute:
    return MemberRoute(name, 1, "onnx", name, {}, SIGNATURE, SIGNATURE.inputs, "p", [])


def test_a_configuration_is_counted_by_the_graphs_that_it_would_have() -> None:
    """d runs by itself now, for whatever reason, and would then."""
    members = tuple(map(member, "abcd"))
    held = PoolRoute("letters", "classification", SIGNATURE, members, graph("a", "b", "c"))
    bare = PoolRoute("letters", "classification", SIGNATURE, members)
    everybody = StrategyRoute("all", "mean", ("a", "b", "c", "d"), 1)
    steps = StrategyRoute("steps", "cascade", ("a", "b", "c", "d"), 1, plan="cascade", stages=(("a",), ("b", "c", "d")))

    def graphs(*strategies: StrategyRoute, now: PoolRoute | None = held) -> list[tuple[str, ...]]:
        endpoint = EndpointRoute("main", 1, "letters", strategies, PolicyRoute("fixed", {}))
        return [each.order for each in as_fused(bare, [endpoint], now).graphs]

    assert graphs(everybody) == [("a", "b", "c")]
    assert graphs(steps) == [("b", "c")]
    assert graphs(everybody, steps) == [("a", "b", "c"), ("b", "c")]
    other = PoolRoute("letters", "classification", SIGNATURE, members[:3], graph("a", "b", "c"))
    assert graphs(everybody, now=other) == graphs(everybody, now=None) == []
