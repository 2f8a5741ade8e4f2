"""What was asked in this session; a click shows it again."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from quorate.console import words
from quorate.console.elements import Node
from quorate.console.parts.record import Entry

SHOWN = 24


class History:
    """The newest answers of one endpoint, newest first; ``on_pick`` gets the one that was clicked."""

    def __init__(self, entries: Iterable[Entry], on_pick: Callable[[Entry], None]) -> None:
        self._on_pick = on_pick
        self._items: dict[int, tuple[Node, Node, Node]] = {}
        with Node("section", "card history", aria_labelledby="history-title"):
            Node("h2", "", "This session", id="history-title")
            self._none = Node("p", "quiet note", "Nothing was asked yet.")
            self._list = Node("ol", "asked")
        for entry in reversed([*entries][:SHOWN]):
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """One more answer, at the front."""
        self._none.put(hidden=True)
        with self._list, Node("li") as item, Node("button", "", type="button") as button:
            button.on("click", lambda: self._on_pick(entry), [])
            picture = Node("img", "thumb", alt="", hidden=True)
            Node("span", "thumb text", "", aria_hidden="true")
            Node("span", "label", entry.label)
            sure = "" if entry.confidence is None else words.percent(entry.confidence, 0)
            Node("span", "quiet", sure or entry.what)
            told = Node("span", "told", "")
        item.move(self._list, 0)
        self._items[entry.number] = (item, picture, told)
        self.refresh(entry)
        if len(self._items) > SHOWN:
            oldest = min(self._items)
            self._items.pop(oldest)[0].delete()

    def refresh(self, entry: Entry) -> None:
        """Something more is known of an answer: its small picture, or the truth."""
        if entry.number not in self._items:
            return
        _, picture, told = self._items[entry.number]
        picture.put(src=entry.thumb, hidden=entry.thumb is None)
        if entry.truth is not None:
            told.say("✓" if entry.truth == entry.label else f"✗ {entry.truth}")
            told.flag("wrong", entry.truth != entry.label)
