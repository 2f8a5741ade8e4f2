"""What the boards say of declarations, sources, captures and erasures."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("nicegui", reason="The extra 'console' is not installed")

from quorate.console.evidence.capture_boards import in_words, kept
from quorate.console.evidence.delay_board import delays
from quorate.console.evidence.erasure_board import read, would
from quorate.console.evidence.outcomes import settings
from quorate.console.evidence.source_boards import contested
from quorate.console.evidence.table import spans
from quorate.console.evidence.time_board import mean_of, over_time
from quorate.console.evidence.value_board import worths

CAPTURE = {
    "sample": 0.1, "only": ["disagreement", "low_confidence"], "confidence_below": 0.6, "images": "resized",
    "image_side": 256, "columns": {"name": "remove"}, "keep_days": 30.0, "keep_bytes": None,
}  # fmt: skip
ERASED: dict[str, Any] = {
    "decisions": 2, "captures": 1, "files": 1, "answers": 0, "jobs": 1, "shipped": ["s3://x"], "exports": [],
    "damaged_bytes": 0, "unreadable_records": 0,
}  # fmt: skip


def test_what_is_captured_is_said_in_words() -> None:
    said = dict(in_words(CAPTURE, {"user_id": "hash"}))
    assert said["Share of decisions"] == "10.0 %"
    assert said["Of these only"] == "disagreement and low confidence (below 0.6)"
    assert said["Pictures"] == "made smaller, 256 pixels at most, without metadata"
    assert said["Not as it came"] == "user_id: hash, name: remove"
    assert (said["Kept for"], said["At most"]) == ("30 days", "any number of bytes")


def test_what_there_is_and_when_it_goes() -> None:
    held = {"files": 2, "size": 2048, "oldest": 0.0, "newest": 86_400.0, "declared": True, "keep_days": 3.0}
    assert dict(kept(held, 86_400.0)) == {
        "There is": "2 KiB in 2 files",
        "From": "1 Jan 1970, 00:00 UTC to 2 Jan 1970, 00:00 UTC",
        "The oldest goes in": "2 d",
    }
    assert kept(held | {"files": 0}, 0.0) == [("There is", "nothing yet; the next requests bring some")]
    assert kept(held | {"files": 0, "declared": False}, 0.0) == [("There is", "nothing left")]


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ({"by": "context", "key": " user_id ", "value": " 42 "}, {"context": {"user_id": "42"}}),
        ({"by": "unit", "key": "left over", "value": "u"}, {"unit": "u"}),
        ({"by": "decisions", "key": "", "value": "a, b c"}, {"decisions": ["a", "b", "c"]}),
    ],
)
def test_who_is_meant(typed: dict[str, str], asked: dict[str, Any]) -> None:
    assert read(typed) == asked


@pytest.mark.parametrize("typed", [{"by": "context", "key": "user_id", "value": " "}, {"by": "context", "value": "1"}])
def test_nobody_is_meant_by_nothing(typed: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="Say w"):
        read(typed)


def test_what_an_erasure_would_take_and_cannot_reach() -> None:
    assert would(ERASED) == (
        "2 decisions and 1 captured input in 1 file would be rewritten without this subject; 1 job would be emptied. "
        "Out of its reach: 1 shipped copy."
    )
    assert "nothing to erase" in would(ERASED | {"decisions": 0, "captures": 0})


def test_the_declared_value_in_words() -> None:
    declared = {
        "correct": 1.0, "error": -5.0, "per_ms": -0.02, "by_class": {"fraud": {"correct": None, "error": -500.0}},
        "confusion": {"fraud": {"fine": -800.0}}, "rewards": {"revenue": 1.0}, "absent": {"revenue": 0.0},
    }  # fmt: skip
    assert worths(declared) == [
        ("a right answer", "+1"),
        ("a wrong answer", "-5"),
        ("each millisecond", "-0.02"),
        ("wrong where it is fraud", "-500"),
        ("“fine” where it is fraud", "-800"),
        ("each unit of revenue, 0 where it is not told", "+1"),
    ]


def test_of_contested_values_the_one_that_counts_is_named() -> None:
    user = {"source": "user", "value": "6", "state": "joined", "counts": False}
    expert = {"source": "expert", "value": "5", "state": "joined", "counts": True}
    row = contested({"decision": "0" * 36, "row": 1, "metric": "truth", "values": [user, expert]})
    assert [getattr(cell, "text", cell) for cell in row.cells] == ["…" + "0" * 12, "user: 6; expert: 5", "5"]
    assert row.cells[0].note == "truth, row 1"  # type: ignore[union-attr]
    late = contested({"decision": "1" * 36, "row": 0, "metric": "truth", "values": [user | {"state": "late"}, expert]})
    assert late.cells[2].note == "one came too late"  # type: ignore[union-attr]


def test_settings_are_those_of_the_revision_that_is_served() -> None:
    revisions = [{"number": number, "content": {"endpoint": {"value": number}}} for number in (3, 2)]
    assert settings({"served": {"revision": 2}, "revisions": revisions}) == {"value": 2}
    assert settings({"served": None, "revisions": revisions}) == {"value": 3}


def test_means_of_the_report_by_metric() -> None:
    strategy = {
        "accuracy": 0.9, "accuracy_low": 0.8, "accuracy_high": 0.95, "judged_rows": 40, "mean_absolute_error": None,
        "value": None, "rewards": [{"metric": "clicks", "rows": 3, "mean": 0.5, "low": None, "high": None}],
    }  # fmt: skip
    assert mean_of(strategy, "accuracy") == {"mean": 0.9, "low": 0.8, "high": 0.95, "rows": 40}
    assert mean_of(strategy, "clicks") == strategy["rewards"][0]  # type: ignore[index]
    assert [mean_of(strategy, metric) for metric in ("error", "value", "nothing")] == [None, None, None]


def test_charts_of_time_and_delay_say_what_they_show() -> None:
    points = [{"at": 3600.0 * hour, "rows": 50, "mean": 0.9, "low": 0.8, "high": 0.95} for hour in range(4)]
    series = {"since": 0.0, "now": 4 * 3600.0, "step_s": 3600.0}
    html = over_time([{"strategy": "a", "metric": "accuracy", "points": points}], series, "accuracy")
    assert "The accuracy of a over time" in html
    assert "a, 1 Jan 1970, 03:00 UTC: 90.0 % (80.0 to 95.0 %; 50 rows)" in html
    curve = [{"delay_s": 10.0**k, "share": k / 5, "low": k / 6, "high": k / 4} for k in range(5)]
    late = delays([{"metric": "truth", "curve": curve, "p50_s": None}], None)
    assert "half by never" in late
    assert ">1 h<" in late


def test_intervals_share_a_scale_that_holds_zero_where_that_is_meant() -> None:
    low, high = spans([(1.0, 2.0, 3.0), (2.0, 3.0, 5.0)], zero=False)
    assert low is not None
    assert high is not None
    assert low[0] < low[1] == high[0] < low[2] == high[1] < high[2]
    assert low[3] is None
    around, nothing = spans([(-1.0, 0.0, 1.0), (None, 1.0, None)], zero=True)
    assert around is not None
    assert around[3] == pytest.approx(around[1]) == pytest.approx(0.5)
    assert nothing is None
