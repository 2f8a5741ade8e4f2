"""What policies have learned, from the store to the workers: publishing it, and a worker's taking it in.

There are 1,000 endpoints that learn. Of these one, ten or all have a new state; the event loop of a worker stands still
while it takes them in.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.harness.table import LIMIT, QUORATE, Row
from quorate.clock import SystemClock
from quorate.codecs import learned
from quorate.codecs.learned import Learned
from quorate.codecs.snapshot import EndpointRoute, MemberRoute, PolicyRoute, PoolRoute, RewardRoute, StrategyRoute
from quorate.core.types import Artifact, OutputSpec, Signature, State, TensorSpec
from quorate.errors import MemberError
from quorate.preprocess.pipeline import Pipeline
from quorate.serving.breaker import Breaker
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.generation import Generation
from quorate.serving.lanes import ThreadLane
from quorate.serving.learned import LearnedStates
from quorate.serving.member import LoadedMember
from quorate.serving.pool import LoadedPool
from quorate.serving.units import AbsentUnit, Unit

ENDPOINTS = 1000
ARMS = ("a", "b", "c", "d", "e")
CHANGED = (1, 10, ENDPOINTS)
LIMIT_MS = 10.0
PAUSE = "a worker takes it in, longest pause"


def rows(*, quick: bool = False) -> list[Row]:
    """Milliseconds of publishing and of taking in, for each number of changed states."""
    rounds = 3 if quick else 30
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "learned"
        endpoints = {endpoint.name: endpoint for endpoint in _endpoints()}
        generation = Generation(1, Generation.empty().routing, endpoints=endpoints)
        worker = LearnedStates(folder)
        states = {each.name: Learned(each.name, each.learner_key, 0, _state(each)) for each in endpoints.values()}
        versions = dict.fromkeys(states, 0)
        learned.write(folder, {name: learned.pack(state) for name, state in states.items()}, versions)
        _follow(worker, generation)
        for changed in CHANGED:
            publishing, taking = [], []
            for _ in range(rounds):
                fresh = {}
                for key in list(states)[:changed]:
                    versions[key] += 1
                    states[key] = states[key]._replace(version=versions[key], state=_moved(states[key].state))
                    fresh[key] = learned.pack(states[key])
                publishing.append(_timed(lambda fresh=fresh: learned.write(folder, fresh, versions)))
                taking.append(_follow(worker, generation))
                assert endpoints[list(states)[changed - 1]].state_version == versions[list(states)[changed - 1]]
            workload = f"{changed:,} of {ENDPOINTS:,} states changed"
            found.append(Row(workload, QUORATE, "publish", "ms", tuple(publishing)))
            found.append(Row(workload, QUORATE, PAUSE, "ms", tuple(taking)))
            found.append(Row(workload, LIMIT, PAUSE, "ms", (LIMIT_MS,), "promised of a delta"))
    return found


def _follow(worker: LearnedStates, generation: Generation) -> float:
    """The longest that the event loop stands still, in milliseconds."""
    longest, more = 0.0, True
    while more:
        started = time.perf_counter()
        more = worker.follow(generation)
        longest = max(longest, (time.perf_counter() - started) * 1000)
    return longest


def _timed(work: object) -> float:
    started = time.perf_counter()
    work()  # type: ignore[operator]
    return (time.perf_counter() - started) * 1000


def _state(endpoint: LoadedEndpoint) -> State:
    state = endpoint.policy.initial()
    assert state is not None
    return state


def _moved(state: State) -> State:
    return replace(state, arrays={name: np.array(array) for name, array in state.arrays.items()})


def _away() -> Unit:
    raise MemberError("it is not in memory.")


def _endpoints() -> list[LoadedEndpoint]:
    clock = SystemClock()
    signature = Signature("array", (TensorSpec("input", "float32", (None, 2)),), OutputSpec("scores", ("no", "yes")))
    routes = tuple(MemberRoute(n, 1, "onnx", "d", {}, signature, signature.inputs, "output", []) for n in ARMS)
    members = []
    for position, route in enumerate(routes):
        artifact = Artifact(route.name, 1, "onnx", Path(), (), "d", signature, signature.inputs, "output")
        members.append(LoadedMember(route, artifact, AbsentUnit(position, 0, _away), Breaker(clock)))
    pool = LoadedPool(
        PoolRoute("pool", "classification", signature, routes),
        members,
        [Pipeline.from_spec([])],
        None,
        [],
        clock=clock,
        lane=ThreadLane(1, clock=clock),
        on_fault=lambda _member, _code: None,
        on_graph_fault=lambda: None,
        on_run=lambda _requests, _rows, _ms: None,
    )
    strategies = tuple(StrategyRoute(name, "single", (name,), 1) for name in ARMS)
    policy = PolicyRoute("thompson", {}, reward=RewardRoute())
    return [
        LoadedEndpoint(EndpointRoute(f"endpoint-{i}", 1, "pool", strategies, policy), pool, {})
        for i in range(ENDPOINTS)
    ]
