import numpy as np
import pytest

from quorate.core.distance import LEAST_ROWS, Reference


def test_of_normal_rows_it_is_about_one_whatever_the_number_of_columns():
    rng = np.random.default_rng(0)
    for columns in (1, 5, 100):
        reference = Reference.of(rng.normal(3, 2, (2000, columns)))
        fresh = rng.normal(3, 2, (500, columns))
        squares = [reference.distance(row[None]) ** 2 for row in fresh]
        assert np.mean(squares) == pytest.approx(1.0, abs=0.15)


def test_the_farthest_row_counts_and_outliers_among_the_known_rows_do_not():
    known = np.r_[np.arange(21.0), 1e6][:, None]
    reference = Reference.of(known)
    assert reference.centre[0] == 10.5
    assert reference.scale[0] == pytest.approx(1.4826 * 5.5)
    assert reference.distance(np.array([[10.5], [18.6543]])) == pytest.approx(1.0, abs=1e-5)


def test_columns_that_never_change_and_missing_values_say_nothing():
    known = np.c_[np.arange(10.0), np.ones(10), np.full(10, np.nan)]
    reference = Reference.of(known)
    assert reference.distance(np.array([[4.5, 99.0, 99.0]])) == 0.0
    assert reference.distance(np.array([[np.nan, 1.0, 1.0]])) is None


def test_mostly_equal_columns_are_scaled_by_their_standard_deviation():
    known = np.r_[np.zeros(15), np.ones(5)][:, None]
    reference = Reference.of(known)
    assert reference.distance(np.array([[1.0]])) == pytest.approx(1 / known.std())


def test_too_little_is_no_reference():
    assert Reference.of(np.arange(LEAST_ROWS - 1.0)[:, None]) is None
    assert Reference.of(np.ones((20, 2))) is None
    assert Reference.of(np.empty((20, 0))) is None
    assert Reference.of(np.arange(9.0)[:, None]).distance(np.ones((1, 2))) is None


def test_what_is_absurdly_far_stays_a_number():
    assert np.isfinite(Reference.of(np.arange(9.0)[:, None]).distance(np.array([[1e308]])))
