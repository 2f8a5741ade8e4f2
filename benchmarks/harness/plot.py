"""A line plot as SVG: a few series over time, no library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

Series = Mapping[str, Sequence[tuple[float, float]]]
WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 900, 360, 70, 30, 40, 200
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f")


def svg(series: Series, *, title: str, x: str, y: str) -> str:
    """The document; every series is a list of points."""
    points = [point for line in series.values() for point in line]
    if not points:
        raise ValueError("a plot needs at least one point")
    x_max = max(p[0] for p in points) or 1.0
    y_max = 1.1 * max(p[1] for p in points) or 1.0

    def place(point: tuple[float, float]) -> str:
        across = LEFT + (WIDTH - LEFT - RIGHT) * point[0] / x_max
        up = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * point[1] / y_max
        return f"{across:.1f},{up:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="18" font-weight="bold">{escape(title)}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x)}</text>',
    ]
    for step in range(5):
        value = y_max * step / 4
        height = place((0, value)).split(",")[1]
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height}" y2="{height}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{height}" text-anchor="end">{value:.3g} {escape(y)}</text>')
        across = place((x_max * step / 4, 0)).split(",")[0]
        parts.append(f'<text x="{across}" y="{HEIGHT - 24}" text-anchor="middle">{x_max * step / 4:.3g}</text>')
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<polyline fill="none" stroke="{colour}" points="{" ".join(map(place, line))}"/>')
        parts.append(
            f'<text x="{WIDTH - RIGHT + 10}" y="{TOP + 16 * (number + 1)}" fill="{colour}">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def save(series: Series, file: Path, **words: str) -> Path:
    """Write it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(svg(series, **words))
    return file
