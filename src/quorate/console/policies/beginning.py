"""Having a policy begin anew: with nothing, or with what is known of earlier decisions; each confirmed first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from nicegui.events import GenericEventArguments

from quorate.console import words
from quorate.console.control import ControlGone, ControlRefused
from quorate.console.elements import Node
from quorate.console.parts.looking import refused
from quorate.console.policies.example import GONE

Send = Callable[[str], Awaitable[Any]]
"""POSTs to a path below the learner's."""

DAYS = 30.0
MOST_DAYS = 3650.0
STEP = """(event) => {
  event.preventDefault();
  emit(event.target.elements.days?.value ?? '');
}"""
FOCUS = "document.getElementById('{}')?.focus()"


class BeginBoard:
    """The two forms. ``send(path)`` asks control; ``now()`` is Unix seconds; ``focus(id)`` moves the keyboard there."""

    def __init__(self, send: Send, now: Callable[[], float], focus: Callable[[str], None]) -> None:
        self._send, self._now, self._focus = send, now, focus
        self._days = DAYS
        self._rows = 0
        self._newest: Mapping[str, Any] | None = None
        with Node("section", "card wide", aria_labelledby="begin-title"):
            Node("h2", "", "Begin anew", id="begin-title")
            with Node("div", "begin"):
                with Node("form", "begin-form", autocomplete="off").on("submit", self._warm_asked, js_handler=STEP):
                    Node("h3", "", "With what is known of earlier decisions")
                    with Node("div", "row"):
                        with Node("div", "field"):
                            Node("label", "", "Of the last days (30 where empty)", for_="days")
                            Node("input", "", id="days", name="days", type="text", inputmode="decimal",
                                 placeholder="30", aria_describedby="problem-days")  # fmt: skip
                        self._warm = Node("button", "", "Warm start …", type="submit", data_testid="warm")
                    self._problem = Node("p", "problem slim", role="alert", id="problem-days")
                with Node("form", "begin-form", autocomplete="off").on("submit", self._reset_asked, js_handler=STEP):
                    Node("h3", "", "With nothing")
                    with Node("div", "row"):
                        self._reset = Node("button", "", "Reset …", type="submit", data_testid="reset")
                    self._problem_reset = Node("p", "problem slim", role="alert")
            self._sure = _Sure(self._go)
            self._state = Node("p", "note", " ", role="status", data_testid="begun")

    async def _warm_asked(self, event: GenericEventArguments) -> None:
        self._quiet()
        try:
            self._days = days(str(event.args))
        except ValueError as error:
            self._problem.say(str(error))
            return
        self._sure.ask(
            "warm-start",
            f"What was learned ({words.counted(self._rows, 'row')}) is replaced by what is known of decisions of the "
            f"last {self._days:g} days that the same strategies made. Answers go on meanwhile.",
            "Yes, warm-start it",
        )
        self._focus("sure")

    async def _reset_asked(self, event: GenericEventArguments) -> None:
        self._quiet()
        self._sure.ask(
            "reset",
            f"What was learned ({words.counted(self._rows, 'row')}) is forgotten, and the policy draws as on its first "
            "day. It cannot be undone; a warm start can learn from the same decisions again.",
            "Yes, forget it all",
        )
        self._focus("sure")

    def _quiet(self) -> None:
        self._problem.say("")
        self._problem_reset.say("")

    async def _go(self, what: str) -> None:
        where = self._problem if what == "warm-start" else self._problem_reset
        since = max(0.0, self._now() - self._days * 86400.0)
        path = f"/warm-start?since={since:.0f}" if what == "warm-start" else "/reset"
        try:
            await self._send(path)
        except ControlGone:
            where.say(GONE)
        except ControlRefused as error:
            where.say(refused(error, "admin"))
        else:
            self._state.say(
                "It was taken in." if what == "warm-start" else "It was reset; workers follow within seconds."
            )

    def show(self, learned: Mapping[str, Any], newest: Mapping[str, Any] | None) -> None:
        """Say how the newest warm start stands."""
        self._rows = learned["rows"].get("learned", 0)
        busy = newest is not None and newest["state"] in ("queued", "running")
        self._warm.put(disabled=busy)
        if newest is not None and newest != self._newest:
            self._newest = newest
            self._state.say(stands(newest))


class _Sure:
    """The last question before something is done; ``go(what)`` does it."""

    def __init__(self, go: Callable[[str], Awaitable[None]]) -> None:
        self._do = go
        self._what = ""
        with Node("div", "confirm", hidden=True, data_testid="confirm") as self._box:
            self._text = Node("p", "said", " ")
            with Node("div", "tools"):
                self._yes = Node("button", "primary", " ", type="button", id="sure", data_testid="sure")
                no = Node("button", "", "No, keep it", type="button", data_testid="keep")
        self._yes.on("click", self._confirmed, [])
        no.on("click", self.close, [])

    def ask(self, what: str, text: str, yes: str) -> None:
        """Ask whether ``what`` is meant."""
        self._what = what
        self._text.say(text)
        self._yes.say(yes)
        self._box.put(hidden=False)

    def close(self) -> None:
        """Nothing is done."""
        self._what = ""
        self._box.put(hidden=True)

    async def _confirmed(self) -> None:
        what, self._what = self._what, ""
        self._box.put(hidden=True)
        if what:  # a second click finds nothing to do
            await self._do(what)


def days(typed: str) -> float:
    """Days as somebody typed them, 30 where nothing was; :class:`ValueError` says what is taken."""
    if not typed.strip():
        return DAYS
    try:
        found = float(typed.strip().replace(",", "."))
    except ValueError:
        raise ValueError(f"Days are a number above 0; got '{typed.strip()[:40]}'.") from None
    if not 0 < found <= MOST_DAYS:
        raise ValueError(f"Days are a number above 0, {MOST_DAYS:g} at most; got '{typed.strip()[:40]}'.")
    return found


def stands(warm: Mapping[str, Any]) -> str:
    """How a warm start stands, in a sentence."""
    if warm["state"] == "failed":
        return f"The warm start failed: {warm['error']}"
    if warm["state"] == "done":
        rows = (warm["learned"] or {}).get("learned", 0)
        ended = f"{datetime.fromtimestamp(warm['ended'], UTC):%-d %b, %H:%M} UTC"
        return f"The warm start ended at {ended}: {words.counted(rows, 'row')} learned from."
    return "The warm start waits its turn." if warm["state"] == "queued" else "The warm start runs; answers go on."
