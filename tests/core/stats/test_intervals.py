import math

import numpy as np
import pytest

from quorate.core.stats.intervals import normal_quantile, paired_difference, wilson


def pairs(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = [both, first, second, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe (1998), "Two-sided confidence intervals for the single proportion", Table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_limits(successes: int, n: int, low: float, high: float) -> None:
    found = wilson(successes, n)
    assert found.estimate == successes / n
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_wilson_solves_the_score_test_at_its_limits() -> None:
    found = wilson(37, 120, level=0.9)
    for limit in (found.low, found.high):
        z = abs(found.estimate - limit) / math.sqrt(limit * (1 - limit) / 120)
        assert z == pytest.approx(normal_quantile(0.9), rel=1e-12)


def test_wilson_at_the_edges() -> None:
    assert wilson(0, 10).low == 0.0
    assert wilson(10, 10).high == 1.0
    nothing = wilson(0, 0)
    assert math.isnan(nothing.estimate)
    assert (nothing.low, nothing.high) == (0.0, 1.0)


def test_wilson_covers_as_often_as_it_says() -> None:
    for p in (0.5, 0.9, 0.98):
        drawn = np.random.default_rng(0).binomial(200, p, size=4000)
        covering = {s: wilson(int(s), 200) for s in np.unique(drawn)}
        covered = np.mean([covering[s].low <= p <= covering[s].high for s in drawn])
        assert 0.93 < covered < 0.975


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        # Altman et al., "Statistics with Confidence" (2000), Table 6.2; Newcombe (1998), Table II; Bentur et al. (2009)
        # in Fagerland, Lydersen, Laake, "Statistical Analysis of Contingency Tables" (2017), chapter 8.
        ((14, 5, 0, 22), 0.011, 0.226),
        ((36, 12, 2, 0), 0.0569, 0.3404),
        ((1, 1, 7, 12), -0.507, -0.026),
    ],
)
def test_paired_difference_gives_the_published_limits(
    table: tuple[int, int, int, int], low: float, high: float
) -> None:
    found = paired_difference(*pairs(*table))
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-4))


def test_paired_difference_turns_round_with_its_arguments() -> None:
    first, second = pairs(60, 9, 4, 20)
    there, back = paired_difference(first, second), paired_difference(second, first)
    assert there.estimate == pytest.approx(5 / 93)
    assert (back.low, back.high) == (pytest.approx(-there.high), pytest.approx(-there.low))


def test_paired_difference_without_any_difference_or_rows() -> None:
    same = paired_difference(*pairs(50, 0, 0, 0))
    assert same.estimate == 0.0
    assert -0.1 < same.low < 0.0 < same.high < 0.1
    nothing = paired_difference(np.array([], bool), np.array([], bool))
    assert math.isnan(nothing.estimate)
    assert (nothing.low, nothing.high) == (-1.0, 1.0)


@pytest.mark.parametrize("cells", [(0.85, 0.06, 0.03, 0.06), (0.4, 0.2, 0.2, 0.2), (0.94, 0.02, 0.02, 0.02)])
def test_paired_difference_covers_as_often_as_it_says(cells: tuple[float, ...]) -> None:
    drawn = np.random.default_rng(1).multinomial(150, cells, size=1500)
    found = [paired_difference(*pairs(*counts)) for counts in drawn]
    covered = np.mean([low <= cells[1] - cells[2] <= high for _, low, high in found])
    assert 0.93 < covered < 0.985


def test_refuses_what_is_no_count_level_or_pair() -> None:
    with pytest.raises(ValueError, match="between 0 and n = 3; got 4"):
        wilson(4, 3)
    with pytest.raises(ValueError, match="between 0 and 1"):
        normal_quantile(95)
    with pytest.raises(ValueError, match="one entry per row"):
        paired_difference(np.ones(3, bool), np.ones(4, bool))
