"""Erasing one subject: first what would go, then, confirmed in words, for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quorate.console import words
from quorate.console.catalogue import Endpoint
from quorate.console.control import ControlGone, ControlRefused
from quorate.console.elements import Node
from quorate.console.evidence.dataset_board import GONE, Send
from quorate.console.evidence.table import Cell, Column, Line, Table
from quorate.console.evidence.wording import when
from quorate.console.parts.looking import refused

EMPTY = "Nobody was erased here yet."
WORD = "erase"
PLACES = 3
"""Places of data sets that are named; the others are counted."""
STATES = {"queued": "waits its turn", "waiting": "waits for files that are written", "running": "runs", "done": "done"}
BY = {"context": "a context key", "unit": "the unit of sticky assignment", "decisions": "decisions by their ids"}
SEND = """(event) => {
  event.preventDefault();
  const form = event.target.elements;
  emit({ by: form.by.value, key: form.key.value, value: form.value.value });
}"""
KIND = """(event) => {
  const by = event.target.value;
  document.getElementById('erase-key').closest('.field').hidden = by !== 'context';
  document.querySelector('label[for=erase-value]').textContent = by === 'decisions' ? 'Ids of decisions' : 'Its value';
}"""
CONFIRM = "(event) => { event.preventDefault(); emit(event.target.elements.word.value); }"


class ErasureBoard:
    """The form, the confirmation and the list; ``send(method, path, body)`` asks control.

    Whom it is about is in the memory of this page only, until it is erased or something else is typed.
    """

    def __init__(self, endpoint: Endpoint, send: Send) -> None:
        self._endpoint, self._send = endpoint, send
        self._subject: dict[str, Any] | None = None
        self._looked_up = ""
        with Node("section", "card wide", aria_labelledby="erase-title"):
            Node("h2", "", "Erase one subject", id="erase-title")
            Node(
                "p",
                "quiet note",
                "Inputs, context, unit and ids of requests go, from every file; what was answered, and how right it "
                "was, stays, with nobody's name. First you see how much it would be.",
            )
            self._form()
            self._confirm()
            columns = [
                Column("Asked"),
                Column("How it stands", "text"),
                *(Column(title, "figure") for title in ("Decisions", "Inputs", "Files")),
            ]
            self._table = Table("Erasures", columns, empty=EMPTY)

    def _form(self) -> None:
        with Node("form", "replay-form", autocomplete="off").on("submit", self._asked, js_handler=SEND):
            with Node("div", "fields open"):
                with Node("div", "field"):
                    Node("label", "", "Named by", for_="erase-by")
                    with Node("select", "", id="erase-by", name="by").on("change", js_handler=KIND):
                        for each, title in BY.items():
                            Node("option", "", title, value=each)
                for name, title, hint in (("key", "The key", "user_id"), ("value", "Its value", "")):
                    with Node("div", "field"):
                        Node("label", "", title, for_=f"erase-{name}")
                        Node("input", "", id=f"erase-{name}", name=name, type="text", placeholder=hint,
                             spellcheck="false", aria_describedby="problem-erase")  # fmt: skip
            self._problem = Node("p", "problem slim", role="alert", id="problem-erase", data_testid="erase-problem")
            with Node("div", "tools"):
                self._look = Node("button", "", "Look what would go", type="submit", data_testid="erase-look")

    def _confirm(self) -> None:
        with Node("div", "confirm", hidden=True, data_testid="erase-confirm") as self._box:
            self._would = Node("p", "said", "", role="status", data_testid="erase-would")
            with Node("form", "row", autocomplete="off").on("submit", self._sure, js_handler=CONFIRM) as self._last:
                with Node("div", "field"):
                    Node("label", "", f"Type “{WORD}” to erase for good; it cannot be undone", for_="erase-word")
                    Node("input", "", id="erase-word", name="word", type="text", spellcheck="false",
                         aria_describedby="problem-sure")  # fmt: skip
                    self._unsure = Node("p", "problem slim", role="alert", id="problem-sure")
                self._go = Node("button", "danger", "Erase for good", type="submit", data_testid="erase-sure")

    async def _asked(self, event: Any) -> None:
        self._box.put(hidden=True)
        self._subject = None
        try:
            subject = read(event.args)
        except ValueError as error:
            self._problem.say(str(error))
            return
        made = await self._ask({**subject, "dry_run": True}, self._look, self._problem)
        if made is not None:
            self._subject, self._looked_up = subject, made["id"]
            self._would.say("Looking through all files …")
            self._box.put(hidden=False)
            self._last.put(hidden=True)

    async def _sure(self, event: Any) -> None:
        if self._subject is None:
            return
        if str(event.args).strip().lower() != WORD:
            self._unsure.say(f"Nothing was erased. Type the word “{WORD}” if you are sure.")
            return
        made = await self._ask(self._subject, self._go, self._unsure)
        if made is not None:
            self._subject, self._looked_up = None, ""
            self._would.say("It was taken in, and goes on by itself; the list below says how far it is.")
            self._last.put(hidden=True)

    async def _ask(self, body: Mapping[str, Any], button: Node, problem: Node) -> dict[str, Any] | None:
        button.put(disabled=True)
        problem.say("")
        try:
            made: dict[str, Any] = await self._send("POST", "/v1/erasures", {"endpoint": self._endpoint.name, **body})
        except ControlRefused as error:
            problem.say(refused(error, "admin"))
        except ControlGone:
            problem.say(GONE)
        else:
            return made
        finally:
            button.put(disabled=False)
        return None

    def show(self, erasures: Sequence[Mapping[str, Any]]) -> None:
        """List them, the newest first, and say what the dry run has found."""
        self._table.show([_line(each) for each in erasures])
        found = next((each for each in erasures if each["id"] == self._looked_up), None)
        if found is not None and found["state"] == "done" and self._subject is not None:
            self._would.say(would(found))
            self._last.put(hidden=not found["decisions"] and not found["captures"])


def read(typed: Mapping[str, Any]) -> dict[str, Any]:
    """Who is meant, as control takes it; :class:`ValueError` says what is missing."""
    by, key, value = typed.get("by"), str(typed.get("key", "")).strip(), str(typed.get("value", "")).strip()
    if not value:
        raise ValueError("Say who is meant: the value is empty.")
    if by == "context":
        if not key:
            raise ValueError("Say which context key has the value, such as user_id.")
        return {"context": {key: value}}
    if by == "unit":
        return {"unit": value}
    return {"decisions": value.replace(",", " ").split()}


def would(found: Mapping[str, Any]) -> str:
    """What a dry run has found."""
    if not found["decisions"] and not found["captures"]:
        return "Nothing is kept of this subject at this endpoint, so there is nothing to erase."
    said = (
        f"{words.counted(found['decisions'], 'decision')} and {words.counted(found['captures'], 'captured input')} "
        f"in {words.counted(found['files'], 'file')} would be rewritten without this subject"
    )
    others = (("answers", "remembered answer"), ("jobs", "job"))
    more = [words.counted(found[name], one) for name, one in others if found[name]]
    if more:
        said += f"; {words.listed(more)} would be emptied"
    return f"{said}.{_beyond(found)}"


def _beyond(found: Mapping[str, Any]) -> str:
    """What an erasure cannot reach."""
    out = []
    if found["shipped"]:
        out.append(f"{words.counted(len(found['shipped']), 'shipped copy', 'shipped copies')}")
    if found["exports"]:
        named = ", ".join(found["exports"][:PLACES]) + (" and others" if len(found["exports"]) > PLACES else "")
        out.append(f"{words.counted(len(found['exports']), 'data set')} ({named})")
    if found["damaged_bytes"] or found["unreadable_records"]:
        out.append("damaged parts of files")
    return f" Out of its reach: {words.listed(out)}." if out else ""


def _line(found: Mapping[str, Any]) -> Line:
    state = STATES.get(found["state"], found["state"])
    note = found["error"] or _beyond(found).strip()
    if found["waiting"]:
        note = f"{words.counted(len(found['waiting']), 'file')} still written to. {note}".strip()
    what = "dry run: " if found["dry_run"] else ""
    return Line(
        found["id"],
        [
            Cell(when(found["created"]), f"{what}{found['by']}, by {found['author']}"),
            Cell(state, note, "worse" if found["error"] else ""),
            *(f"{found[name]:,}" for name in ("decisions", "captures", "files")),
        ],
    )
