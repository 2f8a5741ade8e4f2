"""What can be done with an experiment, each asked about once more: start, withdraw, stop, promote, keep."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from quorate.console.elements import Node

Do = Callable[["Action"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do: its button, what is asked before, what is said afterwards, and how control is told."""

    name: str
    title: str
    question: str
    done: str
    method: str = "POST"
    primary: bool = False


START = Action(
    "start",
    "Start",
    "From now on the endpoint's traffic is split as registered. Nothing of the experiment can be changed any more; it "
    "can only be stopped.",
    "Started: traffic is split as registered.",
    primary=True,
)
WITHDRAW = Action(
    "withdraw",
    "Forget it",
    "The draft is removed. Nothing was started, so nothing else changes.",
    "Forgotten.",
    "DELETE",
)
STOP = Action(
    "stop",
    "Stop",
    "The experiment ends without a verdict, and what was served before it is served again. It cannot be continued.",
    "Stopped: what was served before is served again.",
)
PROMOTE = Action(
    "promote",
    "Promote the winner",
    "The winner alone answers from now on, as a new revision of the endpoint. Put it into quorate.yaml as well, or the "
    "next apply of a changed file takes it back.",
    "Promoted: the winner alone answers now.",
    primary=True,
)
KEEP = Action(
    "keep",
    "Keep what was served",
    "What was served before the experiment is served again, as a new revision of the endpoint.",
    "Kept: what was served before is served again.",
)
ALL = (START, WITHDRAW, STOP, PROMOTE, KEEP)


def possible(found: Mapping[str, Any]) -> tuple[Action, ...]:
    """What control takes in the experiment's state."""
    if found["state"] == "decided":
        return (PROMOTE, KEEP) if (found["verdict"] or {}).get("verdict") == "better" else (KEEP,)
    return {"registered": (START, WITHDRAW), "running": (STOP,)}.get(found["state"], ())


class Actions:
    """A button and a dialogue for each; those that are not possible now are hidden. ``do`` does what was confirmed."""

    def __init__(self, do: Do) -> None:
        self._do = do
        self._buttons = {}
        for action in ALL:
            opener = Node("button", "primary" if action.primary else "", action.title, type="button", hidden=True)
            opener.on("click", js_handler=f"() => document.getElementById('ask-{action.name}').showModal()")
            self._buttons[action.name] = opener
        for action in ALL:
            self._dialogue(action)

    def _dialogue(self, action: Action) -> None:
        async def confirmed() -> None:
            await self._do(action)

        id = f"ask-{action.name}"
        with Node("dialog", "card", id=id, aria_labelledby=f"{id}-title", aria_describedby=f"{id}-text"):
            Node("h2", "", f"{action.title}?", id=f"{id}-title")
            Node("p", "", action.question, id=f"{id}-text")
            with Node("div", "tools"):
                yes = Node("button", "primary", action.title, type="button", data_testid=f"confirm-{action.name}")
                yes.on("click", confirmed, js_handler=f"() => {{ document.getElementById('{id}').close(); emit(); }}")
                Node("button", "", "Cancel", type="button").on(
                    "click", js_handler=f"() => document.getElementById('{id}').close()"
                )

    def show(self, actions: tuple[Action, ...], *, busy: bool = False) -> None:
        """Offer these and no others; none can be chosen while one is being done."""
        for action in ALL:
            self._buttons[action.name].put(hidden=action not in actions, disabled=busy)
