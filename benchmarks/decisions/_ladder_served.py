"""The ladder behind one endpoint of a real server: what its cascade takes, against what its plan said it would.

Every rung first answers the val photographs alone, one request at a time; the server's own record of its members' runs
gives their costs. A member's run is its size of the picture, the network and the head. With these a first cascade is
fitted and asked for the val photographs, and for some of them on to its last stage. How much longer its answers take
than their members' runs is taken for a straight line in their number of stages: its slope is what a stage costs besides
its member (handing it to a thread and back, choosing who is next), and its constant what every answer has whoever is
asked (HTTP, decoding, recording). The cascade that is judged is fitted anew with that cost of a stage, for
half of the best rung's time, and asked for photographs that nothing was fitted on, in turns with the single rungs.

What its plan says an answer takes was known before the first of these was asked: how often it comes to each rung, times
what that takes, the stages, and the constant. A machine that is slower for a while is so for all, so members' runs are
also taken as they were in the same minutes.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
"""Of the best rung's time, which is a stage too, that the cascade may take."""
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
    both = {**alone, CASCADE: {"kind": CASCADE, "state": STATE}}
    shown = [files[i] for i in val]
    with running.serve(_project(alone)) as server:
        _ask(server, shown[:5], RUNGS[-1].name)  # the first answers of a server are slower
        costs = {rung.name: _ask(server, shown, rung.name).members for rung in RUNGS}
    known = outputs[fit], found.coarse[judged][fit], labels, costs
    registry = Registry(Home(PROJECT).registry, SystemClock())
    register_state(registry, name=STATE, state=_fitted(*known, 0.0))
    names = [CASCADE, *(rung.name for rung in RUNGS)]
    with running.serve(_project(both)) as server:
        _ask(server, shown[:5], CASCADE)
        usual, whole = _Took(), _Took()
        for start in (*range(0, len(val), BLOCK), *range(0, len(val), BLOCK)):
            usual += _ask(server, shown[start : start + BLOCK], CASCADE)
            whole += _ask(server, shown[start : start + BLOCK : 4], CASCADE, sure=1.0)
    besides = _besides(usual, whole)
    state = _fitted(*known, besides.stage)
    register_state(registry, name=STATE, state=state)
    took = {name: _Took() for name in names}
    with running.serve(_project(both)) as server:
        _ask(server, shown[:5], CASCADE)
        for start in range(0, len(held), BLOCK):  # in turns: a machine that is slower for a while is so for all
            block = [files[i] for i in held[start : start + BLOCK]]
            took[CASCADE] += _ask(server, block, CASCADE)
            for rung in RUNGS:
                took[rung.name] += _ask(server, block[: max(1, BLOCK // len(RUNGS))], rung.name)
    truth = found.coarse[judged][held]
    return _rows(state, took, besides, float((took[CASCADE].labels(labels) == truth).mean()))


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

    @property
    def stages(self) -> float:
        """Mean stages of an answer; each rung is one."""
        return float(np.mean([len(answer["predictions"][0]["members"]) for answer in self._answers]))

    def labels(self, classes: Sequence[str]) -> NDArray[np.intp]:
        """Class numbers of the answers."""
        return np.array([classes.index(answer["predictions"][0]["label"]) for answer in self._answers])


class _Besides(NamedTuple):
    """Milliseconds of an answer besides its members' runs: ``stage`` of every stage, and ``rest``."""

    stage: float
    rest: float


def _besides(usual: _Took, whole: _Took) -> _Besides:
    """The line through what usual answers take besides their runs, and answers that went on to the last stage."""
    more, far = (float(took.ms.mean()) - took.members for took in (usual, whole))
    stage = max(0.0, (far - more) / (whole.stages - usual.stages))
    return _Besides(stage, more - stage * usual.stages)


def _ask(server: Running, pictures: list[bytes], strategy: str, sure: float | None = None) -> _Took:
    """One request after the other on one connection; they go on until they are as ``sure``, if that is given."""
    path = f"{PATH}?strategy={strategy}" + ("" if sure is None else f"&min_confidence={sure:g}")
    before = sum(server.by_label(f"{_RUN}_sum", "member").values())
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    answers = []
    try:
        for picture in pictures:
            headers = {"content-type": "image/jpeg"}
            connection.request("POST", path, body=picture, headers=headers)
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
    outputs: NDArray[np.float32], truth: NDArray[np.intp], labels: Sequence[str], costs: dict[str, float], stage: float
) -> State:
    from quorate.training.cascade import fit_cascade

    best = RUNGS[int((outputs.argmax(axis=2) == truth[:, None]).mean(axis=0).argmax())].name
    names = [rung.name for rung in RUNGS]
    within = {"cost": SHARE * (costs[best] + stage)}
    return fit_cascade(outputs, truth, names, labels, costs=costs, unit="ms", stage=stage, within=within)


def _rows(state: State, took: dict[str, _Took], besides: _Besides, accuracy: float) -> list[Row]:
    served, expected = took[CASCADE], state.meta["expected"]
    stages = besides.stage * sum(expected["reached"])
    runs = expected["cost"] - stages
    reached = [sum(took[name].members for name in stage) for stage in state.meta["stages"]]
    now = float(np.dot(reached, expected["reached"]))
    listed = []
    for rung in RUNGS:
        each = took[rung.name]
        note = f"its run {each.members:.2f}, when fitted {state.meta['costs'][rung.name]:.2f}; p95 {_p95(each):.2f}"
        listed.append(Row(WORKLOAD, rung.name, "takes, mean", "ms", (float(each.ms.mean()),), note))
    mean = float(served.ms.mean())
    parts = f"stages {stages:.2f} ({besides.stage:.2f} each), rest {besides.rest:.2f}"
    plans, before = now + stages + besides.rest, expected["cost"] + besides.rest
    runs_now, runs_before = served.members / now, served.members / runs
    promised = f"expected {expected['accuracy'][0]:.3f}"
    note = f"p95 {_p95(served):.2f}; runs {served.members:.2f}, {served.stages:.2f} stages"
    return [
        *listed,
        Row(WORKLOAD, QUORATE, "takes, mean", "ms", (mean,), note),
        Row(WORKLOAD, QUORATE, "accuracy", "share", (accuracy,), promised),
        Row(WORKLOAD, "its plan", "takes, mean", "ms", (plans,), f"runs {now:.2f}, {parts}"),
        Row(WORKLOAD, "its plan", "takes, mean, as fitted", "ms", (before,), f"runs {runs:.2f}, {parts}"),
        Row(WORKLOAD, QUORATE, "mean / its plan's", "ratio", (mean / plans,)),
        Row(WORKLOAD, QUORATE, "mean / its plan's, as fitted", "ratio", (mean / before,)),
        Row(WORKLOAD, QUORATE, "runs / its plan's", "ratio", (runs_now,)),
        Row(WORKLOAD, QUORATE, "runs / its plan's, as fitted", "ratio", (runs_before,)),
        Row(WORKLOAD, LIMIT, "mean / its plan's", "ratio", (1 + WITHIN,), "promised, either way"),
    ]


def _p95(took: _Took) -> float:
    return float(np.quantile(took.ms, 0.95))
