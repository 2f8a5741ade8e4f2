import numpy as np
import pytest

from quorate.serving.cost import FEW_TAIL, INLINE_MS, Cost, Curve


def test_rows_within_a_time():
    cost = Cost(0.4, 0.1)
    assert cost.rows_within(1.0) == 6
    assert cost.of(cost.rows_within(1.0)) <= 1.0
    assert cost.rows_within(0.1) == 1  # never none
    assert Cost(0.4, 0.0).rows_within(1.0) > 10_000
    assert Cost(4.0, 0.0).rows_within(1.0) == 1


def test_enough_rows_are_those_after_which_a_row_is_hardly_cheaper():
    cost = Cost(1.0, 0.1)
    enough = cost.enough_rows
    per_row = cost.of(enough) / enough
    assert per_row <= 1.1 * cost.row_ms
    assert cost.of(enough - 1) / (enough - 1) > 1.0999 * cost.row_ms
    assert Cost(0.0, 1.0).enough_rows == 1
    assert Cost(1.0, 0.0).enough_rows > 10_000


def follow(curve, fixed, row, runs, rows=(1, 2, 4, 8, 16, 32), seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(runs):
        n = int(rng.choice(rows))
        curve.observe(n, (fixed + row * n) * rng.uniform(0.95, 1.05))


def test_the_curve_follows_a_cost_that_changes():
    curve = Curve(Cost(0.2, 0.01))
    follow(curve, 2.0, 0.3, 600)
    assert curve.cost.fixed_ms == pytest.approx(2.0, rel=0.1)
    assert curve.cost.row_ms == pytest.approx(0.3, rel=0.1)
    follow(curve, 0.1, 0.02, 1200)
    assert curve.cost.fixed_ms == pytest.approx(0.1, rel=0.5)
    assert curve.cost.row_ms == pytest.approx(0.02, rel=0.2)


def test_runs_of_one_size_move_the_level_and_keep_a_slope():
    curve = Curve(Cost(0.2, 0.05))
    follow(curve, 0.45, 0.05, 600, rows=(1,))
    assert curve.cost.of(1) == pytest.approx(0.5, rel=0.05)
    assert 0.0 <= curve.cost.row_ms <= 0.5


def test_one_preempted_run_hardly_counts():
    curve = Curve(Cost(0.2, 0.01))
    follow(curve, 0.2, 0.01, 100)
    curve.observe(1, 500.0)
    assert curve.cost.of(1) < 0.3


def test_costs_are_never_negative():
    curve = Curve(Cost(0.2, 0.01))
    for rows, ms in ((1, 1.0), (32, 0.1), (1, 2.0), (64, 0.0)) * 40:
        curve.observe(rows, ms)
        assert curve.cost.fixed_ms >= 0.0
        assert curve.cost.row_ms >= 0.0


def test_what_was_cheap_at_rest_stays_on_the_loop_while_the_machine_is_busy():
    cheap, dear = Curve(Cost(0.5, 0.0)), Curve(Cost(1.5, 0.0))
    follow(cheap, 1.5, 0.0, 400, rows=(1, 2))
    assert cheap.cost.of(1) > INLINE_MS
    assert cheap.inline(1)
    assert not dear.inline(1)
    follow(cheap, 3.0, 0.0, 400, rows=(1, 2))
    assert not cheap.inline(1)


def test_a_tail_is_taken_from_the_newest_runs() -> None:
    curve = Curve(Cost(10.0, 0.0))
    assert curve.p95(1) == pytest.approx(10.0 * FEW_TAIL), "too few were seen"
    for _ in range(19):
        curve.observe(1, 10.0)
    assert curve.p95(1) == pytest.approx(10.0 * FEW_TAIL)
    curve.observe(1, 10.0)
    assert curve.p95(1) == pytest.approx(10.0)


def test_one_run_in_twenty_may_take_longer() -> None:
    slow, seldom = Curve(Cost(10.0, 0.0)), Curve(Cost(10.0, 0.0))
    for i in range(400):
        slow.observe(1, 20.0 if i % 10 == 0 else 10.0)
        seldom.observe(1, 20.0 if i % 40 == 0 else 10.0)
    assert slow.p95(1) == pytest.approx(20.0, rel=0.1)
    assert seldom.p95(1) == pytest.approx(10.0, rel=0.1)


def test_a_tail_follows_a_change() -> None:
    curve = Curve(Cost(10.0, 0.0))
    for ms in [10.0] * 200 + [30.0] * 400:
        curve.observe(1, ms)
    assert curve.p95(1) == pytest.approx(30.0, rel=0.1)
