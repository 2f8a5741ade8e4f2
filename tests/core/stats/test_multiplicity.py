import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.stats.multiplicity import benjamini_yekutieli, e_bh, holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_published_values() -> None:
    # R: p.adjust(c(.01, .02, .03, .04, .05), "holm"), and "BY".
    p = [0.01, 0.02, 0.03, 0.04, 0.05]
    np.testing.assert_allclose(holm(p), [0.05, 0.08, 0.09, 0.09, 0.09])
    np.testing.assert_allclose(benjamini_yekutieli(p), [0.05 * 137 / 60] * 5)


@given(p=P_VALUES)
def test_adjusting_never_helps_and_keeps_the_order(p: list[float]) -> None:
    for adjust in (holm, benjamini_yekutieli):
        found = adjust(p)
        assert (found >= np.array(p) - 1e-12).all()
        assert (found <= 1).all()
        order = np.argsort(p, kind="stable")
        assert (np.diff(found[order]) >= 0).all()
        np.testing.assert_allclose(adjust(p[::-1]), found[::-1])


@given(p=P_VALUES)
def test_e_bh_claims_what_bh_claims_of_the_inverted_p_values(p: list[float]) -> None:
    # Wang and Ramdas 2022: e-BH at level q is BH applied to 1 / e.
    level, k = 0.1, len(p)
    e = 1 / np.maximum(p, 1e-9)
    ordered = np.sort(1 / e)
    passing = np.flatnonzero(ordered <= level * np.arange(1, k + 1) / k)
    expected = 1 / e <= ordered[passing[-1]] if len(passing) else np.zeros(k, bool)
    np.testing.assert_array_equal(e_bh(e, level), expected)


def test_holm_keeps_the_chance_of_any_false_claim() -> None:
    p = np.random.default_rng(0).random((4000, 8))
    assert 0.03 < np.mean([holm(row).min() <= 0.05 for row in p]) < 0.062


def test_none_of_nothing() -> None:
    assert len(holm([])) == 0
    assert len(benjamini_yekutieli([])) == 0
    assert len(e_bh([], 0.05)) == 0


def test_refuses_what_is_no_evidence() -> None:
    for adjust in (holm, benjamini_yekutieli):
        for p in ([1.2], [-0.1], [float("nan")], [[0.1]]):
            with pytest.raises(ValueError, match="p-values"):
                adjust(p)
    with pytest.raises(ValueError, match="e-values"):
        e_bh([-1.0], 0.05)
    with pytest.raises(ValueError, match="level"):
        e_bh([1.0], 0.0)
