"""Metrics, differences, durations and moments in words."""

from __future__ import annotations

import pytest

from quorate.console import words
from quorate.console.evidence import wording

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, "–"), (0.25, "250 ms"), (5400, "1.5 h"), (14 * 86_400, "14 d"), (90, "1.5 min")]
)
def test_how_long_something_takes(seconds: float | None, shown: str) -> None:
    assert wording.lasting(seconds) == shown


def test_moments_and_sizes() -> None:
    assert wording.when(1_700_000_000) == "14 Nov 2023, 22:13 UTC"
    assert wording.when(None) == "–"
    assert wording.shortly(1_700_000_000, days=True) == "14 Nov"
    assert wording.shortly(1_700_000_000, days=False) == "22:13"
    assert [wording.size(each) for each in (None, 1, 2048, 3 * 2**20, 1.5 * 2**30)] == [
        "–", "1 byte", "2 KiB", "3 MiB", "1.5 GiB",
    ]  # fmt: skip


def test_accuracies_are_per_cent_and_their_differences_points() -> None:
    assert wording.value("accuracy")(0.891) == "89.1 %"
    assert wording.value("revenue")(1234.567) == "1235"
    assert wording.difference("accuracy")(-0.0349) == f"{MINUS}3.49 points"
    assert wording.difference("revenue")(0.25) == "+0.25"
    assert wording.difference("revenue")(None) == "–"


def test_a_unit_that_both_limits_share_is_said_once() -> None:
    assert wording.limits(0.879, 0.895, words.percent) == "87.9 to 89.5 %"
    assert wording.limits(0.01, 0.02, wording.difference("accuracy")) == "+1.00 to +2.00 points"
    assert wording.limits(1.0, 2.0, wording.number) == "1 to 2"
    assert wording.limits(0.9999, 1.0, words.percent) == "> 99.9 to 100.0 %"
    assert wording.limits(None, 1.0, wording.number) == ""


def test_sentences_begin_and_end() -> None:
    assert wording.sentence("revision 2 took over") == "Revision 2 took over."
    assert wording.sentence("Done.") == "Done."
    assert wording.sentence(" ") == ""
