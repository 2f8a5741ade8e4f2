"""Tables whose rows are made once and then only filled, so that neither focus nor place is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from quorate.console import words
from quorate.console.elements import Node


class Column(NamedTuple):
    """The title of a column and its class."""

    title: str
    classes: str = ""


class Cell(NamedTuple):
    """What is in a cell: text, a quieter line below it, its class, and where an interval lies in its picture.

    ``span`` has shares of the picture's width, 0 to 1: lower limit, estimate, upper limit, and where zero is.
    """

    text: str = words.DASH
    note: str = ""
    classes: str = ""
    span: tuple[float, float, float, float | None] | None = None


class Line(NamedTuple):
    """A row: what tells it from others, and its cells; the first one is its heading."""

    key: str
    cells: Sequence[Cell | str]


class Table:
    """A table in a region that scrolls sideways; ``empty`` is said where it has no rows.

    With ``on_pick`` the headings are buttons, and :meth:`mark` says which row is shown. ``actions(key)`` makes what is
    in a last cell of each row, when the row is made.
    """

    def __init__(
        self,
        name: str,
        columns: Sequence[Column],
        *,
        empty: str = "",
        on_pick: Callable[[str], Any] | None = None,
        actions: Callable[[str], None] | None = None,
    ) -> None:
        self._on_pick = on_pick
        self._actions = actions
        self._empty = Node("p", "quiet", empty, hidden=True)
        self._scroll = Node("div", "scroll", tabindex="0", role="region", aria_label=f"Table: {name}", hidden=True)
        with self._scroll, Node("table", "figures", data_testid=name.lower().replace(" ", "-")):
            with Node("thead"), Node("tr"):
                for column in columns:
                    Node("th", column.classes, column.title, scope="col")
                if actions is not None:
                    with Node("th", "", "", scope="col"):
                        Node("span", "unseen", "What can be done")
            self._body = Node("tbody")
        self._columns = columns
        self._rows: dict[str, _Row] = {}
        self._marked: str | None = None

    def show(self, lines: Sequence[Line]) -> None:
        """Fill the rows, making those anew that are others than before."""
        if [line.key for line in lines] != [*self._rows]:
            self._body.clear()
            with self._body:
                self._rows = {line.key: self._row(line.key) for line in lines}
            self.mark(self._marked)
        for line in lines:
            self._rows[line.key].fill(line.cells)
        self._scroll.put(hidden=not lines)
        self._empty.put(hidden=bool(lines) or not self._empty.text)

    def _row(self, key: str) -> _Row:
        row = _Row(key, self._columns, self._on_pick)
        if self._actions is not None:
            with row.node, Node("td", "actions"):
                self._actions(key)
        return row

    def mark(self, key: str | None) -> None:
        """This row is the one that is shown."""
        self._marked = key
        for name, row in self._rows.items():
            row.mark(name == key)


class _Row:
    def __init__(self, key: str, columns: Sequence[Column], on_pick: Callable[[str], Any] | None) -> None:
        self._cells: list[_Filled] = []
        self._button: Node | None = None
        with Node("tr", data_key=key) as self.node:
            for number, column in enumerate(columns):
                heading = {"scope": "row"} if number == 0 else {}
                with Node("td" if number else "th", column.classes, **heading) as cell:
                    if number == 0 and on_pick is not None:
                        self._button = Node("button", "pick", type="button").on("click", lambda: on_pick(key), [])
                        with self._button:
                            self._cells.append(_Filled(cell))
                    else:
                        self._cells.append(_Filled(cell))

    def fill(self, cells: Sequence[Cell | str]) -> None:
        for filled, cell in zip(self._cells, cells, strict=True):
            filled.show(Cell(cell) if isinstance(cell, str) else cell)

    def mark(self, on: bool) -> None:
        self.node.flag("picked", on)
        if self._button is not None:
            self._button.put(aria_pressed="true" if on else "false")


class _Filled:
    def __init__(self, cell: Node) -> None:
        self._cell = cell
        self._classes = ""
        with Node("span", "cell") as self._box:
            self._text = Node("span", "", words.DASH)
            self._note = Node("span", "quiet block", "", hidden=True)
            with Node("span", "span", aria_hidden="true", hidden=True) as self._span:
                self._zero = Node("span", "zero", hidden=True)
                self._range = Node("span", "range")
                self._point = Node("span", "point")

    def show(self, cell: Cell) -> None:
        self._text.say(cell.text)
        self._note.say(cell.note)
        self._note.put(hidden=not cell.note)
        if cell.classes != self._classes:
            for name in {*self._classes.split(), *cell.classes.split()}:
                self._cell.flag(name, name in cell.classes.split())
            self._classes = cell.classes
        self._span.put(hidden=cell.span is None)
        self._box.flag("drawn", cell.span is not None)
        if cell.span is not None:
            low, point, high, zero = cell.span
            self._range.place(left=low, width=high - low)
            self._point.place(left=point)
            self._zero.put(hidden=zero is None)
            if zero is not None:
                self._zero.place(left=zero)


def spans(
    limits: Sequence[tuple[float | None, float | None, float | None]], *, zero: bool
) -> list[tuple[float, float, float, float | None] | None]:
    """Where intervals (lower limit, estimate, upper limit) lie in pictures of one common scale.

    The scale holds all of them, and 0 where that is meant; None where one is not known.
    """
    known = [each for each in limits if None not in each]
    values = [value for each in known for value in each if value is not None] + ([0.0] if zero else [])
    if not known:
        return [None for _ in limits]
    low, high = min(values), max(values)
    margin = 0.04 * (high - low) or 1.0
    low, width = low - margin, high - low + 2 * margin

    def place(each: tuple[float | None, float | None, float | None]) -> tuple[float, float, float, float | None] | None:
        a, b, c = each
        if a is None or b is None or c is None:
            return None
        return (a - low) / width, (b - low) / width, (c - low) / width, -low / width if zero else None

    return [place(each) for each in limits]
