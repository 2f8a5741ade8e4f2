"""Why a decision took its way: by its id, in words, with what was known then."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nicegui.events import GenericEventArguments

from quorate.console import words
from quorate.console.control import ControlGone, ControlRefused
from quorate.console.elements import Node
from quorate.console.parts.looking import refused
from quorate.console.policies.example import GONE
from quorate.console.policies.rule_boards import facts_of
from quorate.console.policies.ways import show_way

SEND = "(event) => { event.preventDefault(); emit(event.target.elements.id.value); }"
ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
Find = Callable[[str], Awaitable[Mapping[str, Any]]]


class DecidedBoard:
    """A field for an id; ``find`` asks control for the decision. ``wide`` is over all columns of the page."""

    def __init__(self, find: Find, *, wide: bool = False) -> None:
        self._find = find
        with Node("section", "card wide" if wide else "card", aria_labelledby="decided-title"):
            Node("h2", "", "Why did a decision go its way?", id="decided-title")
            Node("p", "quiet note", "Its id is in the answer, and on the page where one tries an endpoint.")
            with Node("form", "row", autocomplete="off").on("submit", self._submitted, js_handler=SEND):
                with Node("div", "field"):
                    Node("label", "", "Decision", for_="decision-id")
                    self._field = Node("input", "", id="decision-id", name="id", type="text", spellcheck="false",
                         placeholder="0193…", aria_describedby="problem-decision-id")  # fmt: skip
                self._go = Node("button", "", "Why?", type="submit", data_testid="why")
            self._problem = Node("p", "problem slim", role="alert", id="problem-decision-id")
            self._answer = Node("div", "decided", role="status", data_testid="decided")

    async def _submitted(self, event: GenericEventArguments) -> None:
        await self.look(str(event.args))

    def fill(self, typed: str) -> None:
        """Put an id into the field, as if it had been typed."""
        self._field.put(value=typed)

    async def look(self, typed: str) -> None:
        """Show the decision of this id, or what is wrong with it."""
        id_ = typed.strip().lower()
        self._answer.clear()
        if not ID.fullmatch(id_):
            self._problem.say("That is no id of a decision: it has 32 hexadecimal digits with hyphens, like 0193….")
            return
        self._problem.say("")
        self._go.put(disabled=True)
        try:
            found = await self._find(id_)
        except ControlGone:
            self._problem.say(GONE)
        except ControlRefused as error:
            self._problem.say(refused(error))
        else:
            with self._answer:
                _show(found)
                show_way(found)
        finally:
            self._go.put(disabled=False)


def _show(found: Mapping[str, Any]) -> None:
    Node("p", "said", summary(found))
    with Node("ul", "why-list"):
        for each in found["why"]:
            Node("li", "", each)
    for title, known in (("Context", found["context"]), ("Facts", found["facts"])):
        if known:
            Node("h3", "", title)
            with Node("ul", "known"):
                for line in facts_of(known):
                    with Node("li"):
                        Node("code", "", line)
    shares = {name: p for name, p in found["propensities"].items() if p}
    if len(shares) > 1:
        Node("h3", "", "Probabilities")
        Node("p", "", ", ".join(f"{name} {words.percent(p)}" for name, p in shares.items()))


def summary(found: Mapping[str, Any]) -> str:
    """Who answered, and when."""
    served = found["served"] or "nobody"
    return f"{found['endpoint']}, revision {found['revision']}, {found['arrived_at']}: answered by {served}."
