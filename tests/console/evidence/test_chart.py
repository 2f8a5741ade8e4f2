"""Charts: round axes that hold their values, shapes where the values are, and nothing of others unescaped."""

from __future__ import annotations

import re

import pytest

from quorate.console.evidence.chart import Axis, Dot, Series, chart, fitting


@pytest.mark.parametrize(
    ("values", "marks"),
    [
        ([0.82, 0.91], ["0.82", "0.84", "0.86", "0.88", "0.9", "0.92"]),
        ([0.0, 1.0], ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ([-3.0, 7.0], ["-4", "-2", "0", "2", "4", "6", "8"]),
    ],
)
def test_marks_are_round_and_hold_all_values(values: list[float], marks: list[str]) -> None:
    axis = fitting(values, lambda value: f"{value:.3g}")
    assert [text for _, text in axis.marks] == marks
    assert axis.low - 1e-9 <= min(values) <= max(values) <= axis.high + 1e-9


def test_an_axis_stays_inside_what_is_possible_and_a_single_value_has_one_too() -> None:
    axis = fitting([0.9, 1.0], lambda value: f"{value:.0%}", lowest=0.0, highest=1.0)
    assert axis.high == 1.0
    assert fitting([2.0], str).low < 2.0 < fitting([2.0], str).high
    assert fitting([], str).low == 0.0


def test_lines_and_bands_are_where_their_values_are() -> None:
    series = Series("a", [Dot(0, 0.0, 0.0, 0.5, "first"), Dot(1, 1.0, 0.5, 1.0, "last")])
    html = chart([series], Axis(0, 1, [(0, "then")]), Axis(0, 1, [(0, "none"), (1, "all")]), label="a over time")
    assert re.findall(r'class="line s0 d0" d="(M[^"]*L[^"]*)"', html) == ["M0.0 1000.0L1000.0 0.0"]
    assert re.findall(r'class="band s0" d="([^"]*)"', html) == ["M0.0 500.0L1000.0 0.0L1000.0 500.0L0.0 1000.0Z"]
    assert html.count('class="dot') == 2
    assert 'aria-label="a over time"' in html
    assert '<span style="left:0.00%" class="first">then</span>' in html


def test_steps_stay_until_the_next_one_and_a_lone_interval_is_a_bar() -> None:
    stairs = Series("s", [Dot(0, 0.0, None, None), Dot(1, 1.0, None, None)], steps=True)
    html = chart([stairs], Axis(0, 1, []), Axis(0, 1, []), label="")
    assert 'd="M0.0 1000.0L1000.0 1000.0L1000.0 0.0"' in html
    alone = chart([Series("s", [Dot(0.5, 0.5, 0.25, 0.75)])], Axis(0, 1, []), Axis(0, 1, []), label="")
    assert 'class="bar s0" d="M500.0 750.0V250.0"' in alone


def test_names_are_text() -> None:
    html = chart([Series("<img src=x>", [Dot(0, 0, None, None, '"><b>')])], Axis(0, 1, []), Axis(0, 1, []), label='"x')
    assert "<img" not in html
    assert "<b>" not in html
    assert 'aria-label="&quot;x"' in html
