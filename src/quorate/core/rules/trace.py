"""What every part of a condition came to, and why it is unknown where it is: for people, not for requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from quorate.core.rules.evaluate import KINDS, Values, compiled
from quorate.core.rules.syntax import Call, Compare, Compute, Name, Node, Null, Value, children


class Trace(NamedTuple):
    """A part as it was written, its value (None: unknown), why it is unknown, and what it was computed from."""

    text: str
    value: Any
    why: str | None
    parts: tuple[Trace, ...]

    def flat(self, depth: int = 0) -> Iterator[tuple[int, Trace]]:
        """All parts with their depth, each before what it was computed from; constants left out."""
        yield depth, self
        for part in self.parts:
            yield from part.flat(depth + 1)


def trace(node: Node, text: str, context: Values, facts: Values) -> Trace:
    """Evaluate a checked condition, written as ``text``, part by part."""
    parts = [trace(c, text, context, facts) for c in children(node) if not isinstance(c, Value | Null)]
    value = compiled(node)(context, facts)
    why = None
    if value is None:
        inner = next((part.why for part in parts if part.why is not None), None)
        why = inner or _why(node, context, facts)
    return Trace(text[node.start : node.stop], value, why, tuple(parts))


def _why(node: Node, context: Values, facts: Values) -> str:
    """Why a node is unknown whose parts are all known."""
    values = [compiled(child)(context, facts) for child in children(node)]
    match node:
        case Name(name=name):
            given = context.get(node.key) if node.key is not None else facts.get(name)
            if given is not None:
                return f"{name} is {given}, which is no number to compute with"
            return f"{name} is not in the context" if node.key is not None else f"{name} is not known"
        case Compute(operator="/" | "%") if values[1] == 0 and all(map(_is_number, values)):
            return "division by zero"
        case Compute() if all(map(_is_number, values)):
            return "the result is too large"
        case Compare(operator=operator):
            return f"'{operator}' cannot compare {_a(values[0])} with {_a(values[1])}"
        case Call(function=function):
            return f"'{function}' can do nothing with {', '.join(map(_shown, values))}"
    return f"it can do nothing with {', '.join(map(_shown, values))}"


def _is_number(value: Any) -> bool:
    return KINDS.get(type(value)) == "number"


def _a(value: Any) -> str:
    found = KINDS.get(type(value), "something unknown")
    return "text" if found == "text" else found if found == "something unknown" else f"a {found}"


def _shown(value: Any) -> str:
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
