"""Right, or wrong and what it is: the truth for one answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui.events import GenericEventArguments

from quorate.console.catalogue import Endpoint
from quorate.console.elements import Node
from quorate.console.parts.record import Entry

Tell = Callable[[Entry, str], Awaitable[str | None]]
"""Reports what was said to be true and keeps it in the entry; returns what went wrong, in words, or None."""


class Feedback:
    """Two buttons and, for "wrong", what it is instead; ``tell`` sends it."""

    def __init__(self, endpoint: Endpoint, tell: Tell) -> None:
        self._endpoint = endpoint
        self._tell = tell
        self._entry: Entry | None = None
        with Node("div", "feedback", role="group", aria_label="Was the answer right?"):
            self._right = Node("button", "", "✓ Right", type="button", disabled=True, data_testid="right")
            self._right.on("click", self._is_right, [])
            self._wrong = Node("button", "", "✗ Wrong, it is", type="button", disabled=True, data_testid="wrong")
            self._wrong.on("click", js_handler=FOCUS)
            self._truth = self._field()
            self._thanks = Node("p", "quiet note", " ", role="status", data_testid="thanks")

    def _field(self) -> Node:
        def told(event: GenericEventArguments) -> Awaitable[None]:
            return self._is(str(event.args))

        if self._endpoint.output == "scores" and self._endpoint.classes:
            field = Node("select", "", id="truth", aria_label="What it is instead", disabled=True)
            with field:
                Node("option", "", "…", value="")
                for name in self._endpoint.classes:
                    Node("option", "", name, value=name)
        else:
            kind = {"type": "number", "step": "any"} if self._endpoint.output == "values" else {"type": "text"}
            field = Node(
                "input", "", id="truth", aria_label="What it is instead", maxlength=1000, disabled=True, **kind
            )
        field.on("change", told, js_handler="(event) => event.target.value !== '' && emit(event.target.value)")
        return field

    def show(self, entry: Entry | None) -> None:
        """Ask about this answer; about none where there is none."""
        self._entry = entry
        several = self._endpoint.output == "values" and len(self._endpoint.targets) > 1
        for part in (self._right, self._wrong, self._truth):
            part.put(disabled=entry is None or several or (part is self._right and entry.abstained))
        self._picked(entry.truth if entry is not None else None)
        self._thanks.say(" " if entry is None or entry.truth is None else f"You said: it is {entry.truth}.")

    def _picked(self, truth: str | None) -> None:
        right = truth is not None and self._entry is not None and truth == self._entry.label
        self._right.flag("chosen", right)
        self._wrong.flag("chosen", truth is not None and not right)
        self._truth.put(value=truth if truth is not None and not right else "")

    async def _is_right(self) -> None:
        if self._entry is not None:
            await self._is(self._entry.label)

    async def _is(self, said: str) -> None:
        entry = self._entry
        if entry is None:
            return
        wrong = await self._tell(entry, said)
        if self._entry is not entry:
            return
        if wrong is None:
            self._picked(said)
        self._thanks.say(wrong or (f"Thank you. It is {said}." if said != entry.label else "Thank you."))


FOCUS = "(event) => { const field = document.getElementById('truth'); field.focus(); field.showPicker?.(); }"
