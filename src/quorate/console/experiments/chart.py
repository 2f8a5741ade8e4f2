"""The picture of an interval over time, as SVG: what every look saw when it was taken. Pure.

It is drawn twice, for wide and for narrow screens, of which style shows one: letters keep their size on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

from quorate.console import words
from quorate.console.experiments.said import interval, number, signed

MOST = 240
"""Looks that are drawn; of more every so many are, the newest always."""
DOTTED = 40


class Point(NamedTuple):
    """One look: units with an outcome in both arms, the difference with its interval, and its number."""

    units: float
    low: float
    estimate: float
    high: float
    look: int


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a picture, and the room around its plot."""

    name: str
    width: float
    height: float
    left: float = 58.0
    right: float = 14.0
    top: float = 14.0
    bottom: float = 40.0
    ticks: int = 5
    units: str = "units with an outcome"


SHAPES = (Shape("wide", 760, 300), Shape("narrow", 360, 280, left=50, ticks=3, units="units"))


def points(looks: Sequence[Mapping[str, Any]], treatment: str) -> list[Point]:
    """The looks at which there was an interval, thinned out to :data:`MOST`."""
    found = []
    for look in looks:
        for each in look["body"].get("comparisons", ()):
            if each["treatment"] == treatment and None not in (each["low"], each["estimate"], each["high"]):
                total = float(each["n_control"] + each["n_treatment"])
                found.append(Point(total, each["low"], each["estimate"], each["high"], look["number"]))
    step = math.ceil(len(found) / MOST) or 1
    return found[::-1][::step][::-1]


def chart(
    seen: Sequence[Point], *, control: str, treatment: str, effect: float, higher_is_better: bool, metric: str
) -> str:
    """The picture; "" without points. ``effect`` is the smallest difference that matters, above 0."""
    if not seen:
        return ""
    names = (treatment, control) if higher_is_better else (control, treatment)
    last = seen[-1]
    told = (
        f"Difference in {metric} of {treatment} from {control}, with its interval, as units came in. The newest of "
        f"{words.counted(len(seen), 'look')} shown: {interval(last._asdict())}, at {number(last.units)} units. "
        f"No difference is 0, differences of {number(effect)} or more matter."
    )
    return "".join(_draw(shape, seen, names, effect, told) for shape in SHAPES)


def _draw(shape: Shape, seen: Sequence[Point], names: tuple[str, str], effect: float, told: str) -> str:
    low, high = _reach(seen, effect)
    last = max(point.units for point in seen) or 1.0

    def x(units: float) -> float:
        return shape.left + (shape.width - shape.left - shape.right) * units / last

    def y(value: float) -> float:
        inside = min(max(value, low), high)
        return shape.top + (shape.height - shape.top - shape.bottom) * (high - inside) / (high - low)

    right = shape.width - shape.right
    band = [(x(p.units), y(p.high)) for p in seen] + [(x(p.units), y(p.low)) for p in reversed(seen)]
    line = [(x(p.units), y(p.estimate)) for p in seen]
    parts = [
        (
            f'<rect class="c-small" x="{shape.left:.1f}" y="{y(effect):.1f}" width="{right - shape.left:.1f}" '
            f'height="{y(-effect) - y(effect):.1f}"/>'
        ),
        *(_grid(shape, y(value), signed(value)) for value in _ticks(low, high, 5) if value),
        f'<polygon class="c-band" points="{_path(band)}"/>',
        *(
            _level(shape, y(value), kind)
            for value, kind in ((effect, "c-effect"), (-effect, "c-effect"), (0.0, "c-zero"))
        ),
        _text(shape.left - 7, y(0.0) + 4, "0", "end"),
        f'<polyline class="c-line" points="{_path(line)}"/>',
        *(_dot(p, x(p.units), y(p.estimate), 2.2) for p in (seen[:-1] if len(seen) <= DOTTED else ())),
        _whisker(seen[-1], x(seen[-1].units), y),
        *(
            _text(x(units), shape.height - shape.bottom + 16, number(units), "middle")
            for units in _ticks(0, last, shape.ticks)
            if x(units) <= right - 8
        ),
        _text(right, shape.height - 5, shape.units, "end"),
        _text(shape.left + 6, shape.top + 11, f"▲ {names[0]} is better", "start", "c-side"),
        _text(shape.left + 6, shape.height - shape.bottom - 6, f"▼ {names[1]} is better", "start", "c-side"),
        f'<rect class="c-key" x="{shape.left:.1f}" y="{shape.height - 14:.1f}" width="12" height="10"/>',
        _text(shape.left + 17, shape.height - 5, f"below {number(effect)}: too small to matter", "start"),
    ]
    box = f"0 0 {shape.width:.0f} {shape.height:.0f}"
    return (
        f'<svg class="chart-{shape.name}" viewBox="{box}" role="img" aria-label="{escape(told)}">{"".join(parts)}</svg>'
    )


def _reach(seen: Sequence[Point], effect: float) -> tuple[float, float]:
    """Values at the bottom and the top. The first intervals are wide: without a limit the later ones were a line."""
    late = seen[len(seen) // 3 :]
    reach = 1.15 * max(effect, *(abs(value) for point in late for value in (point.low, point.high)))
    low = max(min(-1.3 * effect, *(point.low for point in seen)), -reach)
    high = min(max(1.3 * effect, *(point.high for point in seen)), reach)
    margin = 0.08 * (high - low)
    return low - margin, high + margin


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers in ``low .. high``, at most ``most`` or so."""
    rough = (high - low) / most
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * part for part in (1, 2, 5, 10) if size * part >= rough)
    first = math.ceil(low / step)
    return [round(step * i, 12) for i in range(first, math.floor(high / step) + 1)]


def _grid(shape: Shape, at: float, text: str) -> str:
    line = (
        f'<line class="c-grid" x1="{shape.left:.1f}" x2="{shape.width - shape.right:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>'
    )
    return line + _text(shape.left - 7, at + 4, text, "end")


def _level(shape: Shape, at: float, kind: str) -> str:
    return (
        f'<line class="{kind}" x1="{shape.left:.1f}" x2="{shape.width - shape.right:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>'
    )


def _dot(point: Point, at: float, height: float, radius: float) -> str:
    told = f"Look {point.look}, {number(point.units)} units: {interval(point._asdict())}"
    return f'<circle class="c-dot" cx="{at:.1f}" cy="{height:.1f}" r="{radius}"><title>{escape(told)}</title></circle>'


def _whisker(point: Point, at: float, y: Any) -> str:
    ends = (y(point.high), y(point.low))
    caps = "".join(
        f'<line class="c-end" x1="{at - 5:.1f}" x2="{at + 5:.1f}" y1="{end:.1f}" y2="{end:.1f}"/>' for end in ends
    )
    stem = f'<line class="c-end" x1="{at:.1f}" x2="{at:.1f}" y1="{ends[0]:.1f}" y2="{ends[1]:.1f}"/>'
    return f"{stem}{caps}{_dot(point, at, y(point.estimate), 4.5)}"


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}>{escape(text)}</text>'


def _path(line: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in line)


def bar(each: Mapping[str, Any], reach: float) -> str:
    """One interval as a small picture on ``-reach .. reach`` with 0 in the middle; "" where there is none."""
    if each["low"] is None or each["high"] is None or not reach:
        return ""

    def x(value: float) -> float:
        return 60 + 58 * min(max(value / reach, -1.0), 1.0)

    return (
        '<svg class="mini" viewBox="0 0 120 16" aria-hidden="true">'
        '<line class="c-zero" x1="60" x2="60" y1="0" y2="16"/>'
        f'<line class="c-end" x1="{x(each["low"]):.1f}" x2="{x(each["high"]):.1f}" y1="8" y2="8"/>'
        f'<circle class="c-dot" cx="{x(each["estimate"]):.1f}" cy="8" r="3.5"/></svg>'
    )
