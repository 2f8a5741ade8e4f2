"""The ladder behind one endpoint of a real server: what its cascade takes, against what its plan said it would.

Every rung first answers the val photographs alone, one request at a time; the server's own record of its members' runs
gives their costs. With these a cascade is fitted for half of the best rung's time, applied, and asked for photographs
that nothing was fitted on, in turns with the single rungs. Its plan says how often it comes to each rung: that times
what the rungs take in the same minutes is its prediction. A member's run is its size of the picture, the network and
the head; decoding, HTTP, combining and recording are the same whoever is asked, and are measured by how much longer an
answer of the cheapest rung takes than its run.
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
BLOCK = 30
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
        costs = {rung.name: _ask(server, [files[i] for i in val], rung.name).members for rung in RUNGS}
    state = _fitted(outputs[fit], found.coarse[judged][fit], labels, costs)
    register_state(Registry(Home(PROJECT).registry, SystemClock()), name=STATE, state=state)
    names = [CASCADE, *(rung.name for rung in RUNGS)]
    took = {name: _Took() for name in names}
    with running.serve(_project({**alone, CASCADE: {"kind": CASCADE, "state": STATE}})) as server:
        _ask(server, [files[i] for i in val[:5]], CASCADE)
        for start in range(0, len(held), BLOCK):  # in turns: a machine that is slower for a while is so for all
            block = [files[i] for i in held[start : start + BLOCK]]
            took[CASCADE] += _ask(server, block, CASCADE)
            for rung in RUNGS:
                took[rung.name] += _ask(server, block[: max(1, BLOCK // len(RUNGS))], rung.name)
    truth = found.coarse[judged][held]
    return _rows(state, took, float((took[CASCADE].labels(labels) == truth).mean()))


class _Took:
    """What answers took: total milliseconds of their members' runs, and the answers."""

    def __init__(self, ran: float = 0.0, answers: Sequence[dict[str, Any]] = ()) -> None:
        self._ran = ran
        self._answers = list(answers)

    def __iadd__(self, more: _Took) -> _Took:
        return _Took(self._ran + more._ran, [*self._answers, *more._answers])

    @property
    def members(self) -> float:
        """Mean milliseconds of the members' runs of an answer."""
        return self._ran / len(self._answers)

    @property
    def ms(self) -> NDArray[np.float64]:
        """Milliseconds of every answer, by the server's clock."""
        return np.array([answer["latency_ms"] for answer in self._answers])

    def labels(self, classes: Sequence[str]) -> NDArray[np.intp]:
        """Class numbers of the answers."""
        return np.array([classes.index(answer["predictions"][0]["label"]) for answer in self._answers])


def _ask(server: Running, pictures: list[bytes], strategy: str) -> _Took:
    """One request after the other on one connection."""
    before = sum(server.by_label(f"{_RUN}_sum", "member").values())
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
    after = sum(server.by_label(f"{_RUN}_sum", "member").values())
    return _Took((after - before) * 1000, answers)


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


def _rows(state: State, took: dict[str, _Took], accuracy: float) -> list[Row]:
    cheapest, served = took[RUNGS[0].name], took[CASCADE]
    constant = float(cheapest.ms.mean()) - cheapest.members
    expected = state.meta["expected"]
    reached = [sum(took[name].members for name in stage) for stage in state.meta["stages"]]
    now = float(np.dot(reached, expected["reached"]))
    listed = []
    for rung in RUNGS:
        each = took[rung.name]
        note = f"its run {each.members:.2f}, when fitted {state.meta['costs'][rung.name]:.2f}; p95 {_p95(each):.2f}"
        listed.append(Row(WORKLOAD, rung.name, "takes, mean", "ms", (float(each.ms.mean()),), note))
    mean = float(served.ms.mean())
    plan = f"runs {now:.2f}, rest {constant:.2f}; when fitted, runs {expected['cost']:.2f}"
    promised = f"expected {expected['accuracy'][0]:.3f}"
    return [
        *listed,
        Row(WORKLOAD, QUORATE, "takes, mean", "ms", (mean,), f"p95 {_p95(served):.2f}; runs {served.members:.2f}"),
        Row(WORKLOAD, QUORATE, "accuracy", "share", (accuracy,), promised),
        Row(WORKLOAD, "its plan", "takes, mean", "ms", (now + constant,), plan),
        Row(WORKLOAD, QUORATE, "mean / its plan's", "ratio", (mean / (now + constant),)),
        Row(WORKLOAD, QUORATE, "runs / its plan's", "ratio", (served.members / now,)),
        Row(
            WORKLOAD,
            QUORATE,
            "runs / its plan's, with costs when fitted",
            "ratio",
            (served.members / expected["cost"],),
        ),
        Row(WORKLOAD, LIMIT, "mean / its plan's", "ratio", (1 + WITHIN,), "promised, either way"),
    ]


def _p95(took: _Took) -> float:
    return float(np.quantile(took.ms, 0.95))
