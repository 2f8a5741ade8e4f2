"""Tables, definitions and pictures of an experiment's page, made of what is known and made anew when that changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from quorate.console.elements import Node


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: int = 1) -> None:
    """A table in a region that scrolls by itself; columns from the ``numbers``-th on are figures. None without rows.

    A cell that is SVG is shown as that; it must be made of escaped text.
    """
    listed = [*rows]
    if not listed:
        return
    scroll = Node("div", "scroll", tabindex="0", role="region", aria_label=f"Table: {title}")
    with scroll, Node("table"):
        with Node("thead"), Node("tr"):
            for i, column in enumerate(columns):
                Node("th", "figure" if i >= numbers else "", column, scope="col")
        with Node("tbody"):
            for row in listed:
                with Node("tr"):
                    for i, value in enumerate(row):
                        _cell(str(value), first=i == 0, figure=i >= numbers)


def _cell(text: str, *, first: bool, figure: bool) -> None:
    if text.startswith("<svg "):
        Node("td", "figure" if figure else "", innerHTML=text)
    elif first:
        Node("th", "", text, scope="row")
    else:
        Node("td", "figure" if figure else "", text)


def facts(rows: Iterable[tuple[str, str]]) -> None:
    """Names and what is to be said of them."""
    with Node("dl", "facts"):
        for name, value in rows:
            with Node("div"):
                Node("dt", "", name)
                Node("dd", "", value)


def picture(svg: str) -> None:
    """A picture that :mod:`quorate.console.experiments.chart` has drawn."""
    Node("div", "picture", innerHTML=svg)


class card:  # noqa: N801 - used as a function
    """A section with a heading, as a context manager; ``name`` is its id."""

    def __init__(self, name: str, title: str, classes: str = "") -> None:
        self._section = Node("section", f"card part {classes}".strip(), aria_labelledby=f"{name}-title", data_part=name)
        with self._section:
            Node("h2", "", title, id=f"{name}-title")

    def __enter__(self) -> None:
        self._section.__enter__()

    def __exit__(self, *error: object) -> None:
        self._section.__exit__(*error)
