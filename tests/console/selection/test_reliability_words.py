"""Reliability in words and as a picture: what is known, what is not, and who is too sure."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.console.selection.reliability_words import NOTHING, calibration, diagram, supply, verdict

REFIT = {"state": "sure", "version": 3, "method": "temperature", "auto": True, "above": 0.02, "due": False,
         "until": None, "rows": 700, "needed": 500}  # fmt: skip


def bins(*pairs: tuple[float, float]) -> list[dict[str, Any]]:
    return [
        {"from": c - 0.05, "to": c + 0.05, "confidence": c, "accuracy": a, "low": max(a - 0.1, 0.0),
         "high": min(a + 0.1, 1.0), "rows": 100}
        for c, a in pairs
    ]  # fmt: skip


def found(low: float = 0.03, *pairs: tuple[float, float], **more: Any) -> dict[str, Any]:
    some = bins(*(pairs or ((0.7, 0.6), (0.9, 0.8))))
    error = {"value": 0.1, "low": low, "high": 0.15}
    return {"strategy": "all <b>", "calibrated": False, "rows": 200, "ece": error, "bins": some, "refit": None} | more


def test_the_verdict_says_whether_and_which_way() -> None:
    assert verdict(found()) == (
        "Its confidences are off by 10.0 points (3.0 points to 15.0 points, 95 % sure). On the whole it is too sure, "
        "by 10.0 points."
    )
    assert "not sure enough, by 5.0 points" in verdict(found(0.03, (0.7, 0.75), (0.8, 0.85)))
    assert verdict(found(0.0)) == "Nothing shows that its confidences are off: by 15.0 points at most, 95 % sure."
    assert verdict(found(ece=None, bins=[], rows=0)) == NOTHING


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {},
            "Calibrated by sure, version 3 (temperature). It is fitted again by itself when it is off by more than 2.0",
        ),
        ({"auto": False}, "when somebody asks"),
        ({"due": True}, "Outcomes show that it is off."),
        ({"method": None}, "(lost)"),
    ],
)
def test_how_it_is_calibrated(change: dict[str, Any], says: str) -> None:
    assert says in calibration(found(refit=REFIT | change))
    assert calibration(found()).startswith("Not calibrated")


def test_how_much_there_is_to_fit_on() -> None:
    assert supply(REFIT) == "700 rows with a truth that it has not seen."
    assert supply(REFIT | {"rows": 1}) == "1 row with a truth that it has not seen; it takes 500."


def test_the_picture_has_the_bins_the_diagonal_and_words_that_are_escaped() -> None:
    html = diagram(found())
    assert html.count("<title>") == 2
    assert "70 % sure on average, 60 % right (50 % to 70 %); 100 rows" in html
    assert "as often as it says" in html
    assert "all &lt;b&gt;" in html
    assert "<b>" not in html
    assert diagram(found(bins=[], ece=None)) == ""
    single = diagram(found(0.0, (0.99, 1.0)))
    assert "99 % sure" in single
