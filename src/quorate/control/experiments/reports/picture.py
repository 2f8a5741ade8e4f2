"""The picture of the interval over time, as SVG within a page: what every look saw when it was taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from quorate.control.experiments.reports.words import number

WIDTH, HEIGHT = 720.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 12.0, 14.0, 34.0


def interval_over_time(report: Mapping[str, Any], treatment: str) -> str:
    """The interval of ``treatment - control`` at every look, against the units known by then; empty without any."""
    points = list(_points(report["looks"], treatment))
    if not points:
        return ""
    effect: float = report["registration"]["minimum_effect"]
    effect = effect if report["higher_is_better"] else -effect
    values = [0.0, effect, *(value for _, *three in points for value in three)]
    # The first intervals are wide: without them the later ones would be a line.
    late = points[len(points) // 3 :]
    reach = 1.15 * max(abs(value) for value in [effect, *(value for _, *three in late for value in three)])
    low, high = max(min(values), -reach), min(max(values), reach)
    margin = 0.06 * (high - low or 1.0)
    low, high = low - margin, high + margin
    first, last = 0.0, max(units for units, *_ in points) or 1.0

    def x(units: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (units - first) / (last - first)

    def y(value: float) -> float:
        inside = min(max(value, low), high)
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - inside) / (high - low)

    band = [(x(units), y(top)) for units, _, _, top in points]
    band += [(x(units), y(bottom)) for units, bottom, _, _ in reversed(points)]
    line = [(x(units), y(middle)) for units, _, middle, _ in points]
    ticks = "".join(_tick(y(value), text) for value, text in _ticks(low, high, effect))
    named = escape(f"Difference of {treatment} from control, with its interval, as units came in")
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.2"/>' for a, b in line)
    return (
        f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{named}">'
        f'<polygon class="band" points="{_path(band)}"/>{ticks}'
        f'<polyline class="line" points="{_path(line)}"/><g class="dots">{dots}</g>'
        f'<text x="{WIDTH - RIGHT:.0f}" y="{HEIGHT - 8:.0f}" text-anchor="end">'
        f"{number(last)} units with an outcome</text>"
        f'<text x="{LEFT:.0f}" y="{HEIGHT - 8:.0f}">0</text></svg>'
    )


def _points(looks: Sequence[Mapping[str, Any]], treatment: str) -> Iterator[tuple[float, float, float, float]]:
    for look in looks:
        for each in look["body"].get("comparisons", ()):
            if each["treatment"] == treatment and None not in (each["low"], each["estimate"], each["high"]):
                yield (float(each["n_control"] + each["n_treatment"]), each["low"], each["estimate"], each["high"])


def _ticks(low: float, high: float, effect: float) -> Iterator[tuple[float, str]]:
    yield 0.0, "0"
    if low <= effect <= high:
        yield effect, f"{number(effect)} matters"
    for end in (low, high):
        if abs(end - effect) > 0.1 * (high - low) and abs(end) > 0.1 * (high - low):
            yield end, number(end)


def _tick(at: float, text: str) -> str:
    kind = "zero" if text == "0" else "tick"
    return (
        f'<line class="{kind}" x1="{LEFT:.0f}" x2="{WIDTH - RIGHT:.0f}" y1="{at:.1f}" y2="{at:.1f}"/>'
        f'<text x="{LEFT - 6:.0f}" y="{at + 4:.1f}" text-anchor="end">{escape(text.split(" ")[0])}</text>'
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
