import numpy as np
import pytest

from quorate.core.cascade.evidence import columns, hats, knots_of, seen, width

OUTPUTS = np.array([[[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]], [[0.5, 0.4, 0.1], [0.6, 0.2, 0.2]]], np.float32)
EVERYONE = np.ones((2, 2), bool)


def test_what_is_seen_is_labels_sureness_and_centred_logarithms() -> None:
    found = seen(OUTPUTS, EVERYONE)
    assert found.labels.tolist() == [[0, 1], [0, 0]]
    assert found.sure[0, 0] == pytest.approx(np.log(0.7 / 0.3), abs=1e-6)
    assert np.allclose(found.logs.sum(axis=2), 0.0)
    assert found.logs[0, 0, 0] - found.logs[0, 0, 2] == pytest.approx(np.log(7.0), abs=1e-5)


def test_certainty_stays_finite() -> None:
    found = seen(np.array([[[1.0, 0.0, 0.0]]], np.float32), np.ones((1, 1), bool))
    assert np.isfinite(found.sure).all()
    assert np.isfinite(found.logs).all()


def test_who_has_not_answered_leaves_nothing_but_zeros() -> None:
    poisoned = OUTPUTS.copy()
    poisoned[0, 1] = np.nan
    ok = np.array([[True, False], [True, True]])
    found = seen(poisoned, ok)
    knots = np.tile(np.linspace(-1.0, 2.0, 4), (2, 1))
    assert not found.logs[0, 1].any()
    assert not columns(found, knots, knots)[0, 12:].any(), "neither sureness of the second nor agreement"
    again = seen(OUTPUTS, EVERYONE).of(np.array([True, False]))
    assert np.allclose(columns(again, knots, knots)[0], columns(found, knots, knots)[0])


def test_columns_are_splines_by_label_and_what_pairs_agree_on() -> None:
    found = seen(OUTPUTS, EVERYONE)
    knots = np.tile([0.0, 1.0, 2.0], (2, 1))
    x = columns(found, knots)
    assert x.shape == (2, width(2, 3, 3)) == (2, 2 * 3 * 3 + 3)
    first = found.sure[0, 0]  # between the knots 0 and 1, said of class 0
    assert x[0, :3].tolist() == pytest.approx([1 - first, first, 0.0])
    assert not x[0, 3:9].any(), "nothing of classes that it did not say"
    assert x[:, -3:].tolist() == [[0, 0, 0], [1, 0, 0]], "both say the first class to the second row"


def test_crossed_columns_are_a_label_and_how_sure_the_other_is() -> None:
    found = seen(OUTPUTS, EVERYONE)
    knots = np.tile([0.0, 1.0, 2.0], (2, 1))
    x = columns(found, knots, knots)
    assert x.shape == (2, width(2, 3, 3, 3)) == (2, 2 * 3 * 3 + 3 + 2 * 3 * 3)
    other = hats(found.sure[0, 1:], knots[1])[0] / np.sqrt(3)
    assert x[0, 21:24].tolist() == pytest.approx(other.tolist()), "the first says the first class"
    assert not x[0, 24:30].any()


def test_splines_sum_to_one_everywhere() -> None:
    values = np.linspace(-9.0, 9.0, 101)
    found = hats(values, np.array([-2.0, 0.5, 1.0, 3.0]))
    assert np.allclose(found.sum(axis=1), 1.0)
    assert (found >= 0).all()


def test_knots_are_quantiles_that_never_coincide() -> None:
    outputs = np.repeat(OUTPUTS[:1], 20, axis=0)  # all rows alike
    knots = knots_of(seen(outputs, np.ones((20, 2), bool)), 5)
    assert (np.diff(knots, axis=1) > 0).all()
    assert np.allclose(knots[0], np.log(0.7 / 0.3), atol=1e-4)
