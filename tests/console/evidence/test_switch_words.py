"""Quantities of a switch in words: units, directions, and no verdict where an interval leaves doubt."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.console.evidence.switch_words import EFFECT, amount, change, group, named, tone

MINUS = "\N{MINUS SIGN}"


def quantity(name: str, unit: str, step: float | None, low: float | None = None, high: float | None = None) -> Any:
    after = None if step is None else 100.0 + step
    return {"name": name, "unit": unit, "before": 100.0, "after": after, "change": step, "low": low, "high": high}


@pytest.mark.parametrize(
    ("value", "unit", "signed", "shown"),
    [
        (None, "ms", False, "not known"),
        (12.34, "ms", True, "+12.3 ms"),
        (-0.0319, "share", True, f"{MINUS}3.19 points"),
        (0.8586, "share", False, "85.86 %"),
        (398 * 2**20, "bytes", False, "398 MiB"),
        (-1.5, "s", True, f"{MINUS}1.5 s"),
        (0.0, "s", False, "0 s"),
        (-268.7, "per 1,000 requests", True, f"{MINUS}268.7"),
        (2.867, "EUR", False, "2.867 EUR"),
    ],
)
def test_amounts(value: float | None, unit: str, signed: bool, shown: str) -> None:
    assert amount(value, unit, signed=signed) == shown


@pytest.mark.parametrize(
    ("each", "said"),
    [
        (quantity("latency_p95", "ms", 5.0, 4.0, 6.0), "worse"),
        (quantity("latency_p95", "ms", -5.0, -6.0, -4.0), "better"),
        (quantity("latency_p95", "ms", 5.0, -1.0, 6.0), ""),
        (quantity("accuracy", "share", 0.05, 0.01, 0.09), "better"),
        (quantity("value", "per row", -1.0, -2.0, -0.5), "worse"),
        (quantity("memory", "bytes", 10.0), "worse"),
        (quantity("memory", "bytes", 1.0), ""),
        (quantity("memory_freed", "bytes", 10.0), "better"),
        (quantity("money_per_million_requests", "EUR", -10.0), "better"),
    ],
)
def test_for_the_better_only_where_there_is_no_doubt(each: Any, said: str) -> None:
    assert tone(each) == said


def test_differences_and_names() -> None:
    cell = change(quantity("accuracy", "share", -0.03, -0.05, -0.01))
    assert cell == (f"{MINUS}3 points", f"{MINUS}5 to {MINUS}1 points", "worse", None)
    assert change(quantity("memory", "bytes", None)).text == "not known"
    assert named("revenue_per_1000_requests") == "revenue of 1,000 requests"
    assert named("latency_p50") == "median latency"
    assert [group("memory"), group("latency_p99"), group("revenue")] == [
        "Memory and processors",
        "Latency and errors",
        EFFECT,
    ]
