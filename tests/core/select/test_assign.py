import numpy as np
import pytest

from quorate.core.select.assign import draw, unit_uniform


def test_is_stable_across_processes_and_releases() -> None:
    assert unit_uniform("user-1", "digits") == 0.08117629613489274
    assert unit_uniform("ü\ud800", "") == 0.5924999546968448


def test_is_uniform_over_units() -> None:
    values = np.array([unit_uniform(f"user-{i}", "digits") for i in range(20_000)])
    assert values.min() >= 0.0
    assert values.max() < 1.0
    counts = np.bincount((values * 50).astype(int), minlength=50)
    # Chi-square with 49 degrees of freedom; its 99.9 % point is 85.4.
    assert ((counts - 400) ** 2 / 400).sum() < 85.4


def test_salts_are_independent() -> None:
    one = np.array([unit_uniform(str(i), "one") for i in range(5000)])
    two = np.array([unit_uniform(str(i), "two") for i in range(5000)])
    assert abs(np.corrcoef(one, two)[0, 1]) < 3.3 / np.sqrt(5000)


def test_unit_and_salt_do_not_spill_into_each_other() -> None:
    assert unit_uniform("ab", "c") != unit_uniform("a", "bc")
    assert unit_uniform("x", "s" * 100) != unit_uniform("x", "s" * 101)


def test_draws_with_the_given_probabilities() -> None:
    p = np.array([0.2, 0.0, 0.5, 0.3])
    drawn = np.array([draw(p, u) for u in (np.arange(1000) + 0.5) / 1000])
    assert np.bincount(drawn, minlength=4).tolist() == [200, 0, 500, 300]


@pytest.mark.parametrize(
    ("p", "u", "index"),
    [
        ([0.0, 1.0, 0.0], 0.0, 1),
        ([0.0, 1.0, 0.0], 1.0, 1),
        ([0.5, 0.5, 0.0], 1.0, 1),
        ([0.1] * 10, np.nextafter(1.0, 0.0), 9),
        ([0.1] * 3 + [0.0], 0.99, 2),
    ],
)
def test_edges_never_fall_on_a_strategy_of_probability_zero(p: list[float], u: float, index: int) -> None:
    assert draw(np.array(p), u) == index


def test_refuses_to_draw_from_nothing() -> None:
    with pytest.raises(ValueError, match="all 0"):
        draw(np.zeros(3), 0.5)
