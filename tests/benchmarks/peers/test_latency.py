"""The parts of a request's time add up."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.harness.openloop import RECORD, Records
from benchmarks.peers.latency import breakdown, model_ms
from quorate.core.types import Decision, MemberRun, Status


def decision(number: int, *, queue: float, model: float, latency: float, arrived: float = 0.0) -> Decision:
    runs = (
        MemberRun("a", 1, Status.OK, model),
        MemberRun("b", 1, Status.OK, model / 2),
        MemberRun("c", 1, Status.SKIPPED),
    )
    empty = np.zeros((1, 3, 2), np.float32)
    return Decision(
        id="x",
        endpoint="e",
        revision=1,
        state_version=0,
        source="policy",
        arrived=arrived,
        queue_ms=queue,
        latency_ms=latency,
        context={},
        strategies=("s",),
        propensities=(1.0,),
        assigned="s",
        served="s",
        members=runs,
        outputs=empty,
        status=np.zeros((1, 3), np.int8),
        answer=empty[:, 0],
        degraded=False,
        rows=1,
        input_digest=b"",
        request_id=f"{number:010d}",
    )


def test_the_model_is_its_slowest_member() -> None:
    assert model_ms(decision(0, queue=0, model=3.0, latency=4)) == 3.0


def test_parts_add_up_and_only_good_answers_count() -> None:
    rows = np.array(
        [(0.0, 0.001, 0.010, 200, 0), (1.0, 1.0, 1.020, 429, 0), (2.0, 2.0, 2.005, 200, 0), (3.0, 3.0, 3.1, 200, 0)],
        RECORD,
    )
    clock = 1.7e9  # the server's is another one than the generator's
    known = {
        "0000000000": decision(0, queue=1.0, model=4.0, latency=6.0, arrived=clock + 0.0035),
        "0000000001": decision(1, queue=1.0, model=4.0, latency=6.0, arrived=clock + 1.0),
        "0000000002": decision(2, queue=0.5, model=2.0, latency=3.0, arrived=clock + 2.0005),
    }
    found = breakdown(Records(rows, 4.0), known)
    assert found["total"].tolist() == pytest.approx([10, 5])
    assert found["unsent"].tolist() == pytest.approx([1, 0])
    assert found["sockets"].tolist() == pytest.approx([2, 0], abs=1e-3)
    assert found["model"].tolist() == [4, 2]
    assert found["queue"].tolist() == [1, 0.5]
    assert found["added"].tolist() == pytest.approx([2, 2.5], abs=1e-3)
    assert found["inside"].tolist() == pytest.approx([1, 0.5])
    assert found["outside"].tolist() == pytest.approx([4, 2])
    waited = found["unsent"] + found["sockets"] + found["queue"] + found["model"]
    np.testing.assert_allclose(found["total"], found["added"] + waited)


def test_nothing_is_known_of_no_answers() -> None:
    assert all(len(values) == 0 for values in breakdown(Records(np.zeros(0, RECORD), 1.0), {}).values())
