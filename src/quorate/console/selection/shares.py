"""Shares as pictures: a bar a name, and a field of groups by members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from quorate.console import words
from quorate.console.elements import Node

MOST = 12
"""Names that have a column or bar of their own; the others are one together."""
OTHERS = "others"


class Group(NamedTuple):
    """A row of the field: its name, how many rows it stands for, and the shares by name."""

    name: str
    rows: int
    shares: Mapping[str, float]


def foremost(shares: Mapping[str, float], most: int = MOST) -> list[str]:
    """Names by their shares, the greatest first: ``most`` of them where there are more than that."""
    ranked = sorted(shares, key=lambda name: -shares[name])
    return ranked[:most] if len(ranked) > most else ranked


def gathered(shares: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """Shares of ``names``, and those of all others together where there are any.

    >>> gathered({"a": 0.5, "b": 0.3, "c": 0.2}, ["a"])
    {'a': 0.5, 'others': 0.5}
    """
    found = {name: shares.get(name, 0.0) for name in names}
    rest = [share for name, share in shares.items() if name not in found]
    return found | ({OTHERS: sum(rest)} if rest else {})


class SharesTable:
    """Names with their shares, as bars."""

    def __init__(self, name: str) -> None:
        scroll = Node("div", "scroll", tabindex="0", role="region", aria_label=f"Table: {name}")
        with scroll, Node("table"):
            with Node("thead"), Node("tr"):
                self._column = Node("th", "", "Name", scope="col")
                self._figure = Node("th", "", "Share", scope="col")
            self._body = Node("tbody", "", data_testid=name.lower().replace(" ", "-"))
        self._rows: dict[str, tuple[Node, Node]] = {}

    def show(self, shares: Mapping[str, float], column: str, figure: str) -> None:
        """Fill it, in the order of the mapping; ``column`` is what the names are called, ``figure`` the shares."""
        self._column.say(column)
        self._figure.say(figure)
        if [*shares] != [*self._rows]:
            self._body.clear()
            with self._body:
                self._rows = {name: _row(name) for name in shares}
        for name, share in shares.items():
            text, fill = self._rows[name]
            text.say(words.percent(share))
            fill.grow(share)


def _row(name: str) -> tuple[Node, Node]:
    with Node("tr", data_name=name):
        Node("th", "", name, scope="row")
        with Node("td"):
            text = Node("span", "", words.DASH)
            with Node("span", "share", aria_hidden="true"):
                fill = Node("span", "fill")
    return text, fill


class Field:
    """Groups by members: every share as a number, and as the strength of its colour beside the greatest of all."""

    def __init__(self, name: str) -> None:
        scroll = Node("div", "scroll", tabindex="0", role="region", aria_label=f"Table: {name}")
        with scroll, Node("table", "field-of-shares", data_testid=name.lower().replace(" ", "-")):
            self._head = Node("thead")
            self._body = Node("tbody")
        self._shown: tuple[object, ...] = ()

    def show(self, title: str, names: Sequence[str], groups: Sequence[Group]) -> None:
        """Draw it anew where something changed; ``names`` are the columns, ``title`` says what the groups are."""
        shown = (title, list(names), list(groups))
        if shown == self._shown:
            return
        self._shown = shown
        self._head.clear()
        with self._head, Node("tr"):
            Node("th", "", title, scope="col")
            Node("th", "figure", "Rows", scope="col")
            for name in names:
                Node("th", "figure", name, scope="col")
        self._body.clear()
        most = max((share for group in groups for share in group.shares.values()), default=0.0)
        with self._body:
            for group in groups:
                self._line(group, names, most or 1.0)

    def _line(self, group: Group, names: Sequence[str], most: float) -> None:
        with Node("tr", data_group=group.name):
            Node("th", "", group.name, scope="row")
            Node("td", "figure", f"{group.rows:,}")
            for name in names:
                share = group.shares.get(name)
                cell = Node("td", "figure heat", words.percent(share, 0))
                cell.style(f"--share:{(share or 0.0) / most:.3f}")
