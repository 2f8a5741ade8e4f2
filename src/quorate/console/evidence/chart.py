"""Charts as HTML: lines with bands in an SVG that stretches, and labels that do not.

What they show is said in words in their label, and in a table beside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

COLOURS = 7
"""Series that are told apart by colour; further ones begin again, with other dashes."""


class Dot(NamedTuple):
    """A point with its limits (None where unknown), and what is said about it."""

    x: float
    y: float
    low: float | None
    high: float | None
    says: str = ""


class Series(NamedTuple):
    """A line; ``steps``: it stays where it is until the next dot."""

    name: str
    dots: Sequence[Dot]
    steps: bool = False


class Axis(NamedTuple):
    """From where to where, and the marks with their labels."""

    low: float
    high: float
    marks: Sequence[tuple[float, str]]

    def share(self, value: float) -> float:
        """Where a value lies, 0 to 1."""
        return (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5


def chart(series: Sequence[Series], x: Axis, y: Axis, *, label: str, lines: Sequence[tuple[float, str]] = ()) -> str:
    """The HTML of a chart; ``lines`` are horizontal ones with what they mean."""
    shapes = [_grid(y), *(_level(y, value) for value, _ in lines)]
    shapes += [_band(each, number, x, y) for number, each in enumerate(series)]
    shapes += [_line(each, number, x, y) for number, each in enumerate(series)]
    ys = "".join(f'<span style="bottom:{y.share(v):.2%}">{escape(text)}</span>' for v, text in y.marks)
    xs = "".join(f'<span style="left:{x.share(v):.2%}"{_edge(x.share(v))}>{escape(text)}</span>' for v, text in x.marks)
    keys = "".join(
        f'<li><svg viewBox="0 0 28 8" aria-hidden="true"><path class="line s{number % COLOURS} d{number // COLOURS}" '
        f'd="M2 4H26"/></svg>{escape(each.name)}</li>'
        for number, each in enumerate(series)
        if each.name
    )
    legend = f'<ul class="legend">{keys}</ul>' if keys else ""
    return (
        f'<div class="plot" role="img" aria-label="{escape(label)}"><div class="y" aria-hidden="true">{ys}</div>'
        f'<svg class="area" viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">{"".join(shapes)}'
        f'</svg><div class="x" aria-hidden="true">{xs}</div></div>{legend}'
    )


def _edge(share: float) -> str:
    return ' class="first"' if share < 0.06 else ' class="last"' if share > 0.94 else ""


def _grid(y: Axis) -> str:
    return "".join(f'<path class="grid" d="M0 {_y(y, value)}H1000"/>' for value, _ in y.marks)


def _level(y: Axis, value: float) -> str:
    return f'<path class="level" d="M0 {_y(y, value)}H1000"/>'


def _band(series: Series, number: int, x: Axis, y: Axis) -> str:
    known = [dot for dot in series.dots if dot.low is not None and dot.high is not None]
    if len(known) < 2:
        bars = (f"M{_x(x, dot.x)} {_y(y, dot.low)}V{_y(y, dot.high)}" for dot in known)  # type: ignore[arg-type]
        return f'<path class="bar s{number % COLOURS}" d="{"".join(bars)}"/>' if known else ""
    upper = _path([(dot.x, dot.high) for dot in known], x, y, series.steps)  # type: ignore[misc]
    lower = _path([(dot.x, dot.low) for dot in known], x, y, series.steps, back=True)  # type: ignore[misc]
    return f'<path class="band s{number % COLOURS}" d="M{upper}L{lower}Z"/>'


def _line(series: Series, number: int, x: Axis, y: Axis) -> str:
    if not series.dots:
        return ""
    look = f"s{number % COLOURS} d{number // COLOURS}"
    line = f'<path class="line {look}" d="M{_path([(dot.x, dot.y) for dot in series.dots], x, y, series.steps)}"/>'
    dots = "".join(
        f'<path class="dot {look}" d="M{_x(x, dot.x)} {_y(y, dot.y)}h0"><title>{escape(dot.says)}</title></path>'
        for dot in series.dots
        if dot.says
    )
    return line + dots


def _path(points: Sequence[tuple[float, float]], x: Axis, y: Axis, steps: bool, *, back: bool = False) -> str:
    if steps:
        points = [
            corner
            for number, point in enumerate(points)
            for corner in ([(point[0], points[number - 1][1])] if number else []) + [point]
        ]
    places = [f"{_x(x, a)} {_y(y, b)}" for a, b in (reversed(points) if back else points)]
    return "L".join(places)


def _x(x: Axis, value: float) -> str:
    return f"{1000 * min(max(x.share(value), 0.0), 1.0):.1f}"


def _y(y: Axis, value: float) -> str:
    return f"{1000 * (1 - min(max(y.share(value), 0.0), 1.0)):.1f}"


def fitting(
    values: Sequence[float], text: Callable[[float], str], *, lowest: float = -math.inf, highest: float = math.inf
) -> Axis:
    """An axis with three to eight round marks that holds all values, inside ``lowest`` to ``highest``."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low < 1e-9 * max(abs(high), 1e-9):
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    marks = [number * step for number in range(first, last + 1)]
    marks = [mark for mark in marks if lowest - 1e-9 <= mark <= highest + 1e-9]
    return Axis(max(first * step, lowest), min(last * step, highest), [(mark, text(mark)) for mark in marks])
