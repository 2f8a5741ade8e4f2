"""The rules that the image ladder is compared with, on rungs whose answers are made up."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.decisions import _ladder_served, ladder
from benchmarks.decisions.ladder import RUNGS, Seen

M, N = len(RUNGS), 400
MS = np.arange(1.0, M + 1)


@pytest.fixture
def seen() -> Seen:
    """Rung j is right with probability 0.5 + 0.1 j, and sure where it is right; it takes j + 1 ms, decoding half."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, N)
    right = rng.random((N, M)) < 0.5 + 0.1 * np.arange(M)
    label = np.where(right, truth[:, None], (truth[:, None] + 1) % 3)
    sure = np.where(right, 0.9, 0.5)[..., None]
    outputs = np.where(np.arange(3) == label[..., None], sure, (1 - sure) / 2).astype(np.float32)
    return Seen(outputs, truth, np.full(N, 0.5), np.tile(MS, (N, 1)))


def test_what_was_asked_is_what_it_took(seen: Seen) -> None:
    asked = np.zeros((N, M), bool)
    asked[:, 1] = True
    asked[0] = True
    point = seen.point(seen.right[:, 1], asked)
    assert point.ms[1:].tolist() == [2.5] * (N - 1)
    assert point.ms[0] == 0.5 + MS.sum()
    assert point.accuracy == seen.right[:, 1].mean()


def test_a_chain_climbs_until_it_is_sure(seen: Seen) -> None:
    right, asked = ladder._chain(seen, 0.0)
    assert asked.sum(axis=1).tolist() == [1] * N
    np.testing.assert_array_equal(right, seen.right[:, 0])
    right, asked = ladder._chain(seen, 1.1)
    assert asked.all()
    np.testing.assert_array_equal(right, seen.outputs.mean(axis=1).argmax(axis=1) == seen.truth)
    right, asked = ladder._chain(seen, 0.7)
    np.testing.assert_array_equal(asked[:, 1], ~seen.right[:, 0])  # these rungs are sure where they are right
    assert right[seen.right[:, 0]].all()


@pytest.mark.parametrize("budget", [3.0, 6.0, 12.0])
def test_a_chain_stays_within_its_budget(seen: Seen, budget: float) -> None:
    point = ladder._every(seen, seen, MS, budget)
    assert point.ms.mean() - 0.5 <= budget + 1e-9


def test_a_single_threshold_asks_where_the_first_is_least_sure(seen: Seen) -> None:
    best = M - 1
    point = ladder._single(seen, seen, best, float((~seen.right[:, 0]).mean()))
    assert point is not None
    expected = np.where(seen.right[:, 0], True, seen.right[:, best]).mean()
    assert point.accuracy == pytest.approx(expected)
    assert ladder._single(seen, seen, best, 1.2) is None
    drawn = ladder._random(seen, best, 0.5)
    assert drawn is not None
    assert drawn.accuracy == pytest.approx((seen.right[:, 0].mean() + seen.right[:, best].mean()) / 2)
    assert drawn.accuracy < point.accuracy


def test_the_table_without_data_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORATE_DATA", "/nowhere")
    (row,) = ladder.rows(quick=True)
    assert row.runs == ()
    assert "QUORATE_DATA" in row.note


def test_what_a_stage_takes_is_the_slope_between_usual_answers_and_whole_ones() -> None:
    def took(*answers: tuple[float, float, int]) -> _ladder_served._Took:
        """Answers that took so many ms, their runs so many of them, of so many stages."""
        told = [{"latency_ms": ms, "predictions": [{"members": ["m"] * stages}]} for ms, _, stages in answers]
        return _ladder_served._Took(sum(runs for _, runs, _ in answers), told)

    usual, whole = took((6.5, 5.0, 1), (10.0, 8.0, 2)), took((33.5, 30.0, 5))
    found = _ladder_served._besides(usual, whole)
    assert found.stage == pytest.approx(0.5)
    assert found.rest == pytest.approx(1.0)
    assert _ladder_served._besides(usual, took((21.0, 20.0, 5))) == (0.0, pytest.approx(1.75)), "none costs less than 0"
