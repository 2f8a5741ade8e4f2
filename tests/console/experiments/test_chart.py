"""The picture: what is in it, where, and that strangers' names are text in it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from quorate.console.experiments.chart import MOST, bar, chart, points

NAMES: dict[str, Any] = {
    "control": "a",
    "treatment": "b",
    "effect": 0.1,
    "higher_is_better": True,
    "metric": "accuracy",
}


def _look(number: int, low: float | None, estimate: float, high: float | None, n: int = 50) -> dict[str, Any]:
    each = {"treatment": "b", "low": low, "estimate": estimate, "high": high, "n_control": n, "n_treatment": n}
    return {"number": number, "body": {"comparisons": [each]}}


def _parsed(svg: str) -> ET.Element:
    return ET.fromstring(f"<both>{svg}</both>")  # noqa: S314 - it is ours


def _drawn(looks: list[dict[str, Any]], **changes: Any) -> list[ET.Element]:
    return list(_parsed(chart(points(looks, "b"), **{**NAMES, **changes})))


LOOKS = [_look(1, -0.9, 0.3, 0.9, 20), _look(2, -0.2, 0.2, 0.6, 60), _look(3, 0.05, 0.2, 0.35, 120)]


def test_higher_values_stand_higher_and_more_units_further_right() -> None:
    wide, narrow = _drawn(LOOKS)
    for svg in (wide, narrow):
        lines = {kind: svg.findall(f"line[@class='{kind}']") for kind in ("c-zero", "c-effect", "c-end")}
        zero = float(lines["c-zero"][0].get("y1") or 0)
        up, down = (float(line.get("y1") or 0) for line in lines["c-effect"])
        assert up < zero < down
        assert zero - up == pytest.approx(down - zero, abs=0.2)
        dots = [(float(dot.get("cx") or 0), float(dot.get("cy") or 0)) for dot in svg.findall("circle")]
        assert [x for x, _ in dots] == sorted(x for x, _ in dots)
        assert all(y < zero for _, y in dots)
        stem = lines["c-end"][0]
        assert float(stem.get("y1") or 0) < dots[-1][1] < float(stem.get("y2") or 0) < zero  # all of it above 0
        box = [float(part) for part in (svg.get("viewBox") or "").split()]
        numbers = [float(n) for n in re.findall(r"-?\d+\.\d+", " ".join(p.get("points") or "" for p in svg))]
        assert all(0 <= n <= max(box) for n in numbers)


def test_which_side_is_better_follows_the_metric() -> None:
    higher, lower = (_drawn(LOOKS, higher_is_better=way)[0] for way in (True, False))
    assert "▲ b is better" in [text.text for text in higher.findall("text")]
    assert "▲ a is better" in [text.text for text in lower.findall("text")]


def test_it_says_in_words_what_it_shows() -> None:
    told = _drawn(LOOKS)[0].get("aria-label") or ""
    assert "+0.20, between +0.05 and +0.35, at 240 units" in told
    assert "of b from a" in told
    titles = [title.text for title in _drawn(LOOKS)[0].iter("title")]
    assert titles[-1] == "Look 3, 240 units: +0.20, between +0.05 and +0.35"


def test_looks_without_an_interval_are_not_drawn() -> None:
    assert chart(points([_look(1, None, 0.1, None)], "b"), **NAMES) == ""
    assert [p.look for p in points([_look(1, None, 0.1, None), *LOOKS[1:]], "b")] == [2, 3]
    assert points(LOOKS, "c") == []


def test_of_many_looks_the_newest_stays() -> None:
    many = [_look(i, -0.1, 0.0, 0.1, i) for i in range(1, 10 * MOST + 8)]
    seen = points(many, "b")
    assert len(seen) <= MOST
    assert seen[-1].look == many[-1]["number"]
    assert _drawn(many)


def test_one_look_is_a_picture_too() -> None:
    (dot,) = _drawn([_look(1, -0.2, 0.0, 0.2)])[0].findall("circle")
    assert dot.find("title") is not None


def test_names_are_text() -> None:
    svg = chart(points(LOOKS, "b"), **{**NAMES, "control": "<script>x</script>", "metric": '"onload="x'})
    assert "<script" not in svg
    assert '"onload' not in svg
    assert [text.text for text in _parsed(svg).iter("text") if "<script>" in (text.text or "")]


def test_a_small_interval_is_on_the_scale_of_its_table() -> None:
    left, right = (_parsed(bar({"low": a, "estimate": a, "high": b}, 1.0))[0] for a, b in ((-1, -0.5), (0.5, 1)))
    ends = [(float(e.get("x1") or 0), float(e.get("x2") or 0)) for s in (left, right) for e in s.findall("line")[1:]]
    assert ends[0][1] < 60 < ends[1][0]
    assert bar({"low": None, "estimate": 0.1, "high": None}, 1.0) == ""
    assert bar({"low": 0.0, "estimate": 0.0, "high": 0.0}, 0.0) == ""
