"""The ladder behind one endpoint of a real server: what its cascade takes, against what its plan said it would.

Every rung first answers the val photographs alone, one request at a time; the server's own record of its members' runs
gives their costs. With these a cascade is fitted for half of the best rung's time, applied, and asked for photographs
that nothing was fitted on. A member's run is its size of the picture, the network and the head; decoding, HTTP,
combining and recording are the same whoever is asked, and are measured by how much longer an answer of the cheapest
rung takes than its run.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.decisions._rungs import PROJECT, RUNGS, Photographs
from benchmarks.harness import running
from benchmarks.harness.examples import apply
from benchmarks.harness.running import Running
from benchmarks.harness.table import LIMIT, QUORATE, Row
from quorate import plugins
from quorate.clock import SystemClock
from quorate.core.types import State
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.training.register import register_state

ENDPOINT, STATE, CASCADE = "groceries", "ladder-cascade", "cascade"
PATH = f"/v1/endpoints/{ENDPOINT}/predict"
SHARE = 0.5
"""Of the best rung's time, that the cascade may take."""
WITHIN = 0.1
WORKLOAD = "image ladder, served"
_RUN = "quorate_member_duration_seconds"


def rows(
    found: Photographs,
    labels: Sequence[str],
    outputs: NDArray[np.float32],
    judged: NDArray[np.intp],
    *,
    quick: bool = False,
) -> list[Row]:
    """Each rung served, the cascade served, and the ratio of its measured time to the plan's.

    ``outputs`` ``[n, m, k]`` are the rungs' answers to the photographs ``judged`` (val and test), in their order.
    """
    if CASCADE not in plugins.names("combiners"):
        return [Row(WORKLOAD, QUORATE, "takes, mean", "ms", (), "this release has no cascades")]
    val = np.flatnonzero(found.split[judged] == "val")
    tested = np.random.default_rng(0).permutation(np.flatnonzero(found.split[judged] == "test"))
    fit, held = np.concatenate([val, tested[::2]]), tested[1::2]
    files = [found.files[i] for i in judged]
    if quick:
        val, held = val[:10], held[:20]
    alone = {rung.name: {"kind": "single", "member": rung.name} for rung in RUNGS}
    with running.serve(_project(alone)) as server:
        _ask(server, [files[i] for i in val[:5]], RUNGS[-1].name)  # the first answers of a server are slower
        took = {rung.name: _ask(server, [files[i] for i in val], rung.name) for rung in RUNGS}
    costs = {name: each.members for name, each in took.items()}
    state = _fitted(outputs[fit], found.coarse[judged][fit], labels, costs)
    register_state(Registry(Home(PROJECT).registry, SystemClock()), name=STATE, state=state)
    with running.serve(_project({**alone, CASCADE: {"kind": CASCADE, "state": STATE}})) as server:
        _ask(server, [files[i] for i in val[:5]], CASCADE)
        served = _ask(server, [files[i] for i in held], CASCADE)
    truth = found.coarse[judged][held]
    return _rows(state, costs, took, served, float((served.labels(labels) == truth).mean()))


class _Took:
    """What answers took: ``members`` and ``whole`` are mean milliseconds of their members' runs and of the answers."""

    def __init__(self, members: float, answers: list[dict[str, Any]]) -> None:
        self.members = members
        self.ms = np.array([answer["latency_ms"] for answer in answers])
        self._said = [answer["predictions"][0]["label"] for answer in answers]

    @property
    def whole(self) -> float:
        """Mean milliseconds of an answer, by the server's clock."""
        return float(self.ms.mean())

    def labels(self, classes: Sequence[str]) -> NDArray[np.intp]:
        """Class numbers of the answers."""
        return np.array([classes.index(label) for label in self._said])


def _ask(server: Running, pictures: list[bytes], strategy: str) -> _Took:
    """One request after the other on one connection."""
    before = server.by_label(f"{_RUN}_sum", "member")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    answers = []
    try:
        for picture in pictures:
            headers = {"content-type": "image/jpeg"}
            connection.request("POST", f"{PATH}?strategy={strategy}", body=picture, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{strategy} was answered with {answer.status}: {body[:300]!r}")
            answers.append(json.loads(body))
    finally:
        connection.close()
    after = server.by_label(f"{_RUN}_sum", "member")
    spent = sum(after.values()) - sum(before.values())
    return _Took(spent * 1000 / len(pictures), answers)


def _project(strategies: dict[str, Any]) -> Path:
    endpoint = {
        "pool": ENDPOINT,
        "strategies": strategies,
        "policy": {"kind": "fixed", "strategy": RUNGS[-1].name},
        "caller_may_choose": True,
        "deadline_ms": 5000,
    }
    members = [rung.name for rung in RUNGS]
    pools = {ENDPOINT: {"task": "classification", "members": members, "threads": 1}}
    return apply(PROJECT, {"pools": pools, "endpoints": {ENDPOINT: endpoint}})


def _fitted(
    outputs: NDArray[np.float32], truth: NDArray[np.intp], labels: Sequence[str], costs: dict[str, float]
) -> State:
    from quorate.training.cascade import fit_cascade

    best = RUNGS[int((outputs.argmax(axis=2) == truth[:, None]).mean(axis=0).argmax())].name
    names = [rung.name for rung in RUNGS]
    within = {"cost": SHARE * costs[best]}
    return fit_cascade(outputs, truth, names, labels, costs=costs, unit="ms", within=within)


def _rows(state: State, costs: dict[str, float], took: dict[str, _Took], served: _Took, accuracy: float) -> list[Row]:
    cheapest = RUNGS[0].name
    constant = took[cheapest].whole - costs[cheapest]
    expected = float(state.meta["expected"]["cost"])
    listed = []
    for name, each in took.items():
        note = f"its run {costs[name]:.2f}; p95 {np.quantile(each.ms, 0.95):.2f}"
        listed.append(Row(WORKLOAD, name, "takes, mean", "ms", (each.whole,), note))
    p95 = float(np.quantile(served.ms, 0.95))
    return [
        *listed,
        Row(WORKLOAD, QUORATE, "takes, mean", "ms", (served.whole,), f"p95 {p95:.2f}; runs {served.members:.2f}"),
        Row(
            WORKLOAD, QUORATE, "accuracy", "share", (accuracy,), f"expected {state.meta['expected']['accuracy'][0]:.3f}"
        ),
        Row(
            WORKLOAD,
            "its plan",
            "takes, mean",
            "ms",
            (expected + constant,),
            f"runs {expected:.2f}, rest {constant:.2f}",
        ),
        Row(WORKLOAD, QUORATE, "mean / its plan's", "ratio", (served.whole / (expected + constant),)),
        Row(WORKLOAD, QUORATE, "runs / its plan's", "ratio", (served.members / expected,)),
        Row(WORKLOAD, LIMIT, "mean / its plan's", "ratio", (1 + WITHIN,), "promised, either way"),
    ]
