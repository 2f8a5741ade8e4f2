"""Revisions can be told from answers, and mixed answers from both."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

from benchmarks.harness import onnxes
from benchmarks.soak.memory import Samples
from benchmarks.soak.swaps import MOST, model, revisions

ROW = np.random.default_rng(1).normal(size=(1, onnxes.WIDTH)).astype(np.float32)


def answer(first: int, second: int) -> dict[str, float]:
    outputs = [
        ort.InferenceSession(model(which, r)).run(None, {"input": ROW})[0][0]
        for which, r in ((True, first), (False, second))
    ]
    return dict(zip(onnxes.CLASSES, np.mean(outputs, axis=0).round(7).tolist(), strict=True))


@pytest.mark.parametrize(("first", "second"), [(0, 0), (7, 7), (7, 8), (100, 3), (MOST, MOST)])
def test_an_answer_says_the_revisions_of_both_members(first: int, second: int) -> None:
    assert revisions(answer(first, second)) == pytest.approx((first, second), abs=0.02)


def test_memory_rows_leave_out_what_came_and_went() -> None:
    samples = Samples()
    samples.points["worker 0 (1)"] = [(float(x), 100.0 + x) for x in range(50)]
    samples.points["member's process (2)"] = [(0.0, 10.0)]
    rows = samples.rows("w", 10.0, "MB/10")
    assert [row.metric for row in rows] == ["worker 0 (1), resident at the end", "worker 0 (1), slope"]
    assert rows[1].value == pytest.approx(10.0)
    assert "it grows" in rows[1].note
