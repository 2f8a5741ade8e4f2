"""The form for an example of a request: a field for each fact and context key that rules look at, and for rows."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from nicegui.events import GenericEventArguments

from quorate.console.control import ControlGone, ControlRefused
from quorate.console.elements import Node
from quorate.console.parts.looking import refused
from quorate.console.policies.rule_boards import TriedBoard

SEND = """(event) => {
  event.preventDefault();
  emit(Object.fromEntries(new FormData(event.target)));
}"""
GONE = "Control is not reachable; try once more in a moment."
CONTEXT, FACT, MORE, ROWS = "context:", "fact:", "more", "rows"
Explain = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class Wrong(ValueError):
    """What was typed into ``field`` is not what it takes."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class ExampleForm:
    """Made from what the rules look at; ``explain`` asks control, whose refusals appear beside the field they name."""

    def __init__(self, explain: Explain) -> None:
        self._explain = explain
        self._asks: tuple[Any, ...] | None = None
        self._problems: dict[str, Node] = {}
        with Node("section", "card", aria_labelledby="example-title"):
            Node("h2", "", "Which rule would fire?", id="example-title")
            Node("p", "quiet note", "Say what is known of a request; what you leave empty is unknown.")
            with Node("form", "example", autocomplete="off").on("submit", self._submitted, js_handler=SEND):
                self._fields = Node("div", "example-fields")
                self._problem = Node("p", "problem slim", role="alert", data_testid="example-problem")
                with Node("div", "tools"):
                    self._go = Node("button", "primary", "Try it", type="submit", data_testid="try")
                    Node("button", "", "Clear", type="reset")
            self.tried = TriedBoard()

    def ask(self, found: Mapping[str, Any]) -> None:
        """Have the fields that the rules need; made again only where those are others."""
        asks = (tuple(found["keys"]), tuple(fact["name"] for fact in found["facts"]), bool(found["rules"]))
        if asks == self._asks:
            return
        self._asks = asks
        self._fields.clear()
        self._problems = {}
        with self._fields:
            if found["keys"]:
                with Node("fieldset"):
                    Node("legend", "", "The context that the caller sends")
                    with Node("div", "fields open"):
                        for key in found["keys"]:
                            self._text(CONTEXT + key, key, "text, number, true or false")
            if found["facts"]:
                with Node("fieldset"):
                    Node("legend", "", "Facts")
                    with Node("div", "fields open"):
                        for fact in found["facts"]:
                            self._fact(fact)
            with Node("details", "more"):
                Node("summary", "", "Rows, and more of the context")
                with Node("div", "fields open two"):
                    self._box(ROWS, "Rows as they would be sent, as JSON", "[[5.1, 3.5, 1.4, 0.2]]")
                    self._box(MORE, "More of the context, as a JSON object", '{"user_id": 7}')
                Node("p", "quiet note", "From rows, facts about the input are found out; a fact typed above wins.")

    def _text(self, name: str, title: str, hint: str) -> None:
        with Node("div", "field"):
            own = self._own_id()
            Node("label", "", title, for_=own)
            Node("input", "", id=own, name=name, type="text", placeholder=hint, spellcheck="false",
                 aria_describedby=f"{own}-problem")  # fmt: skip
            self._below(name, own)

    def _fact(self, fact: Mapping[str, Any]) -> None:
        name = FACT + fact["name"]
        with Node("div", "field"):
            own = self._own_id()
            Node("label", "", fact["name"] + (f" ({fact['unit']})" if fact["unit"] else ""), for_=own)
            described = {"aria_describedby": f"{own}-problem", "title": fact["meaning"]}
            options = ["true", "false"] if fact["type"] == "boolean" else list(fact["values"])
            if options:
                with Node("select", "", id=own, name=name, **described):
                    for option in ["", *options]:
                        Node("option", "", option or "unknown", value=option)
            else:
                kind = {"inputmode": "decimal", "placeholder": "a number"} if fact["type"] == "number" else {}
                Node("input", "", id=own, name=name, type="text", spellcheck="false", **kind, **described)
            self._below(name, own)

    def _box(self, name: str, title: str, hint: str) -> None:
        with Node("div", "field"):
            own = self._own_id()
            Node("label", "", title, for_=own)
            Node("textarea", "", id=own, name=name, rows=3, placeholder=hint, spellcheck="false",
                 aria_describedby=f"{own}-problem")  # fmt: skip
            self._below(name, own)

    def _own_id(self) -> str:
        """The next field's id: names may have any character."""
        return f"example-{len(self._problems)}"

    def _below(self, name: str, own: str) -> None:
        self._problems[name] = Node("p", "problem slim", role="alert", id=f"{own}-problem")

    async def _submitted(self, event: GenericEventArguments) -> None:
        self.complain("", "")
        try:
            example = read(event.args)
        except Wrong as error:
            self.complain(error.field, str(error))
            return
        self._go.put(disabled=True)
        try:
            self.tried.show(await self._explain(example))
        except ControlGone:
            self.complain("", GONE)
        except ControlRefused as error:
            self.complain(field_of(error.path), refused(error))
        finally:
            self._go.put(disabled=False)

    def complain(self, field: str, message: str) -> None:
        """Say what is wrong beside the field, or below all of them; with no message that nothing is."""
        if message:
            self.tried.clear()
        for name, node in self._problems.items():
            node.say(message if name == field else "")
        self._problem.say("" if field in self._problems else message)


def read(typed: Mapping[str, str]) -> dict[str, Any]:
    """What was typed, as control takes it; :class:`Wrong` names the field."""
    context: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    for name, text in typed.items():
        if not text.strip():
            continue
        if name.startswith(CONTEXT):
            context[name.removeprefix(CONTEXT)] = scalar(text)
        elif name.startswith(FACT):
            facts[name.removeprefix(FACT)] = scalar(text)
    more, rows = typed.get(MORE, "").strip(), typed.get(ROWS, "").strip()
    if more:
        found = _json(MORE, more)
        if not isinstance(found, dict):
            raise Wrong(MORE, 'This is no JSON object; write it as {"key": value}.')
        context = {**found, **context}
    example: dict[str, Any] = {"context": context, "facts": facts}
    if rows:
        listed = _json(ROWS, rows)
        if not isinstance(listed, list):
            raise Wrong(ROWS, "This is no JSON list of rows; write it as [row, row].")
        example["instances"] = listed
    return example


def scalar(text: str) -> bool | int | float | str:
    """A number, true, false, or else text; in quotes it is text whatever it says.

    >>> scalar("12"), scalar("1.5"), scalar("true"), scalar('"12"'), scalar("gold")
    (12, 1.5, True, '12', 'gold')
    """
    stripped = text.strip()
    try:
        found = msgspec.json.decode(stripped)
    except msgspec.DecodeError:
        return stripped
    if isinstance(found, bool | str) or (isinstance(found, int | float) and math.isfinite(found)):
        return found
    return stripped


def _json(field: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Wrong(field, f"This is no JSON: {error}.") from None


def field_of(path: str | None) -> str:
    """The field of the form that a problem's path is about; empty where it is none in particular.

    >>> field_of("facts.input.rows"), field_of("context.tier"), field_of("instances[0].x"), field_of(None)
    ('fact:input.rows', 'context:tier', 'rows', '')
    """
    if not path:
        return ""
    if path.startswith("instances"):
        return ROWS
    for prefix, field in (("facts.", FACT), ("context.", CONTEXT)):
        if path.startswith(prefix):
            return field + path.removeprefix(prefix)
    return ""
