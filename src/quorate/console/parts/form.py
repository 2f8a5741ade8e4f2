"""The form of a tabular endpoint, made from its signature."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from nicegui.events import GenericEventArguments

from quorate.console.catalogue import Endpoint, Field
from quorate.console.elements import Node

Asked = Callable[[Any, str, Mapping[str, Any]], Awaitable[None]]
"""Gets the row, the strategy that is chosen, and what was typed of wishes."""

SEND = """(event) => {
  event.preventDefault();
  const values = Object.fromEntries(new FormData(event.target));
  emit(values, document.getElementById('strategy')?.value ?? '', quorateWishes());
}"""


class RowForm:
    """A field a column (or a number of the array), or one box for a row that is too wide or deep for that."""

    def __init__(self, endpoint: Endpoint, on_ask: Asked) -> None:
        self._endpoint = endpoint
        self._on_ask = on_ask
        with Node("form", "row-form", autocomplete="off").on("submit", self._submitted, js_handler=SEND):
            if endpoint.fields:
                with Node("div", "fields"):
                    for number, field in enumerate(endpoint.fields):
                        _input(field, f"field-{number}", endpoint.kind == "array")
            else:
                with Node("div", "field"):
                    title = f"One row, {_shape(endpoint)}, as JSON or separated by commas"
                    Node("label", "", title, for_="field-0")
                    Node("textarea", "", id="field-0", name="row", rows=6, required=True, spellcheck="false")
            self._problem = Node("p", "problem", role="alert", data_testid="form-problem")
            with Node("div", "tools"):
                Node("button", "primary", "Ask", type="submit", data_testid="ask")
                Node("button", "", "Clear", type="reset")

    async def _submitted(self, event: GenericEventArguments) -> None:
        values, strategy, wishes = event.args
        try:
            row = read_row(self._endpoint, values)
        except ValueError as error:
            self._problem.say(str(error))
            return
        self._problem.say("")
        await self._on_ask(row, str(strategy), dict(wishes))


def read_row(endpoint: Endpoint, values: Mapping[str, str]) -> Any:
    """What was typed, as a row of a request; :class:`ValueError` says which field is wrong and what it takes."""
    if not endpoint.fields:
        return _whole(values.get("row", ""))
    row = {field.name: _value(field, values.get(field.name, "")) for field in endpoint.fields}
    return row if endpoint.kind == "columns" else list(row.values())


def _whole(text: str) -> Any:
    stripped = text.strip()
    try:
        found = msgspec.json.decode(stripped if stripped.startswith("[") else f"[{stripped}]")
    except msgspec.DecodeError:
        raise ValueError("The row is not a list of numbers; write them as 1.5, 2, 3 or as JSON.") from None
    return found


def _value(field: Field, typed: str) -> Any:
    text = typed.strip()
    if not text:
        if field.nullable:
            return None
        if field.entry != "text":
            raise ValueError(f"'{field.name}' is empty; it takes {ENTRIES[field.entry]}.")
        return typed
    if field.entry == "text":
        return typed
    if field.entry == "yes-no":
        return text == "yes"
    try:
        return int(text) if field.entry == "integer" else _finite(text)
    except ValueError:
        raise ValueError(f"'{field.name}' takes {ENTRIES[field.entry]}; got '{text[:40]}'.") from None


def _finite(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise ValueError(text)
    return value


ENTRIES = {"number": "a number", "integer": "a whole number", "yes-no": "yes or no", "text": "text"}


def _input(field: Field, id: str, numbered: bool) -> None:
    title = f"Number {field.name}" if numbered else field.name
    with Node("div", "field"):
        Node("label", "", title, for_=id)
        if field.entry == "yes-no":
            with Node("select", "", id=id, name=field.name):
                for option in ([""] if field.nullable else []) + ["no", "yes"]:
                    Node("option", "", option or "unknown", value=option)
            return
        about: dict[str, Any] = {"id": id, "name": field.name, "type": "text", "placeholder": ENTRIES[field.entry]}
        if field.entry != "text":
            about |= {"type": "number", "step": "any" if field.entry == "number" else "1", "inputmode": "decimal"}
        if field.nullable:
            about["placeholder"] += ", or nothing"
        Node("input", "", required=not field.nullable and field.entry != "text", **about)


def _shape(endpoint: Endpoint) -> str:
    lengths = ["any" if length is None else str(length) for length in endpoint.shape]
    return f"{' × '.join(lengths)} numbers" if lengths else "its numbers"
