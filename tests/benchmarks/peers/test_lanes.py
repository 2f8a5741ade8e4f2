"""What placed members are held against."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.harness import onnxes
from benchmarks.peers.pool import open_session
from benchmarks.peers.workloads.lanes import Alone, run_alone


def test_the_limit_of_slow_members_is_the_longest_or_an_even_share() -> None:
    alone = Alone((2.0, 3.0, 4.0, 3.0, 2.0))
    assert alone.limit("slow", 2) == 7.0
    assert alone.limit("slow", 4) == 4.0
    assert alone.limit("quick", 4) == 14.0


def test_every_member_is_timed() -> None:
    models = [onnxes.deep(number, layers=1, size=8, rows=2) for number in range(3)]
    found = run_alone(models, np.ones((1, onnxes.WIDTH), np.float32), 0.0)
    assert len(found.members) == 3
    assert min(found.members) > 0
    assert found.beside > 0


def test_a_deep_model_answers_every_row_with_probabilities_of_its_own() -> None:
    rows = np.random.default_rng(1).normal(size=(3, onnxes.WIDTH)).astype(np.float32)
    session = open_session(onnxes.deep(1, layers=3))
    [together] = session.run(None, {"input": rows})
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)
    alone = np.concatenate([session.run(None, {"input": row[None]})[0] for row in rows])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    assert np.ptp(together, axis=0).max() == pytest.approx(np.ptp(alone, axis=0).max(), abs=1e-5) != 0
