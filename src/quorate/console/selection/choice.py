"""A list to choose from on a page: made anew only where what there is to choose has changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from nicegui.events import GenericEventArguments

from quorate.console.elements import Node

EMIT = "(event) => emit(event.target.value)"


class Choice:
    """A select with a label, hidden while there is nothing to choose; ``chosen(value)`` is called once somebody did."""

    def __init__(self, label: str, chosen: Callable[[str], Awaitable[None]], name: str) -> None:
        self.value: str | None = None
        self._chosen = chosen
        self._options: list[tuple[str, str]] = []
        self._select = Node("select", "", aria_label=label, hidden=True, data_testid=name)
        self._select.on("change", self._changed, js_handler=EMIT)

    def offer(self, options: Sequence[tuple[str, str]], value: str) -> None:
        """Offer values with their titles, of which ``value`` is the one that is shown."""
        if list(options) != self._options:
            self._options = list(options)
            self._select.clear()
            with self._select:
                for each, title in options:
                    Node("option", "", title, value=each)
        self._select.put(hidden=len(options) < 2, value=value)

    async def _changed(self, event: GenericEventArguments) -> None:
        if event.args in [value for value, _ in self._options]:
            self.value = str(event.args)
            await self._chosen(self.value)
