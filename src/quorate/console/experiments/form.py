"""The form of an experiment; it runs in the browser and sends what was typed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from nicegui.element import Element
from nicegui.events import GenericEventArguments

from quorate.console.elements import put
from quorate.console.experiments.typed import Typed

_COMPONENT = Path(__file__).parents[1] / "static" / "planner.js"

Asked = Callable[[Typed, Mapping[str, str]], Awaitable[None]]
"""Gets the form, and what is assumed for the plan instead of what was seen."""


class Form(Element, component=_COMPONENT):
    """All fields of a registration; what is made inside it stands in its card of the plan.

    ``endpoints`` has of every endpoint its strategies and what it answers; ``on`` what each button does: ``plan``,
    ``test`` and ``save``. What is typed is kept by the browser's tab under ``slot`` until :attr:`forget` runs there.
    """

    def __init__(
        self, initial: Typed, endpoints: Mapping[str, Any], slot: str, on: Mapping[str, Asked], *, revising: bool
    ) -> None:
        super().__init__()
        self._props |= {
            "initial": initial,
            "endpoints": dict(endpoints),
            "problems": {},
            "failed": "",
            "busy": "",
            "suggested": None,
            "revising": revising,
            "slot_key": slot,
        }
        self.forget = f"sessionStorage.removeItem({slot!r})"
        self._busy = ""
        for name, asked in on.items():
            self.on(name, self._asked(name, asked))

    def _asked(self, name: str, asked: Asked) -> Callable[[GenericEventArguments], Awaitable[None]]:
        async def handle(event: GenericEventArguments) -> None:
            if self._busy:
                return
            self._busy = name
            put(self, "busy", name)
            try:
                await asked(event.args["form"], event.args["extra"])
            finally:
                self._busy = ""
                self._props["busy"] = ""
                self.update()

        return handle

    def wrong(self, problems: Mapping[str, str], failed: str = "") -> None:
        """Say beside the fields what is wrong, and of the whole what went wrong; none clears all."""
        put(self, "problems", dict(problems))
        put(self, "failed", failed)

    def suggest(self, limits: Mapping[str, str]) -> None:
        """Limits that the plan suggests; the form fills in those that are empty."""
        put(self, "suggested", dict(limits))
