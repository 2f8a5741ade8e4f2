"""What the benchmark of faults looks at, against answers that are known."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime as ort
import pytest

from benchmarks.faults import overload
from benchmarks.faults.checked import Checked, mean
from benchmarks.harness import onnxes
from benchmarks.harness.openloop import RECORD, Records

ROWS = np.random.default_rng(2).normal(size=(5, onnxes.WIDTH)).astype(np.float32)


def test_the_mean_by_numpy_is_that_of_the_models() -> None:
    outputs = [ort.InferenceSession(onnxes.random(n)).run(None, {"input": ROWS})[0] for n in range(3)]
    np.testing.assert_allclose(mean(ROWS, 3), np.mean(outputs, axis=0), atol=1e-6)


def test_every_answer_is_checked_against_its_own_input() -> None:
    checked = Checked("/p", ROWS, mean(ROWS, 1))

    def body(number: int, *, degraded: bool = False) -> bytes:
        probabilities = dict(zip(onnxes.CLASSES, checked.wanted[number].tolist(), strict=True))
        return json.dumps({"predictions": [{"probabilities": probabilities}], "degraded": degraded}).encode()

    assert json.loads(checked.sent(6).partition(b"\r\n\r\n")[2])["instances"] == [pytest.approx(ROWS[1].tolist())]
    checked.seen(6, 200, body(1), 0.1)
    assert (checked.right, dict(checked.wrong)) == (1, {})
    checked.seen(2, 200, body(1), 0.1)
    checked.seen(3, 504, b"", 0.1)
    checked.seen(4, 200, body(4, degraded=True), 0.1)
    assert checked.right == 1
    assert dict(checked.wrong) == {"not the answer of its own input": 1, "status 504": 1, "degraded": 1}


def records(slow_until: float) -> Records:
    rows = np.zeros(400, RECORD)
    rows["intended"] = np.arange(400) / 100
    rows["sent"] = rows["intended"]
    rows["status"] = 200
    rows["done"] = rows["intended"] + np.where(rows["intended"] < slow_until, 0.5, 0.002)
    return Records(rows, 4.0)


def test_recovery_is_the_end_of_the_last_slow_window() -> None:
    before = records(0.0)
    assert overload.recovery_s(before, records(0.0)) == 0.0
    assert overload.recovery_s(before, records(1.25)) == pytest.approx(1.3)
    assert overload.recovery_s(before, records(9.0)) == pytest.approx(4.0)
    failing = records(0.0)
    failing.rows["status"][250] = 504
    assert overload.recovery_s(before, failing) == pytest.approx(2.6)
