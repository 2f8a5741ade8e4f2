"""The interval of the digits benchmark, by hand."""

from __future__ import annotations

import doctest

import pytest

from benchmarks import digits


def test_the_example_runs() -> None:
    found = doctest.testmod(digits)
    assert (found.failed, found.attempted) == (0, 2)


def test_overlapping_training_parts_widen_the_interval() -> None:
    low, high = digits.interval([1.0, 2.0, 3.0, 4.0, 5.0], 0.0)
    assert (low, high) == pytest.approx((3 - 1.96324, 3 + 1.96324), abs=1e-4)  # t(4) = 2.7764, s = sqrt(2.5)
    wider_low, wider_high = digits.interval([1.0, 2.0, 3.0, 4.0, 5.0], 268 / 1259)
    assert wider_high - wider_low == pytest.approx((high - low) * (1 + 5 * 268 / 1259) ** 0.5)
