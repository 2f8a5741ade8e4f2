"""Types of expressions, found before any request: what cannot mean anything is an error at its column.

Facts have the types of their catalogue; what callers send in the context may be of any type, and is looked at when
it comes (:mod:`quorate.core.rules.evaluate`).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from quorate.core import facts
from quorate.core.facts import Asker
from quorate.core.rules.lexer import problem
from quorate.core.rules.syntax import (
    CONTEXT,
    Among,
    Call,
    Compare,
    Compute,
    Conjunction,
    Constant,
    Disjunction,
    Name,
    Negative,
    Node,
    Not,
    Null,
    Value,
)
from quorate.errors import ConfigError

Type = Literal["number", "text", "boolean", "any"]


class Function(NamedTuple):
    """Types of the arguments and of the result; with ``more`` any number of the last argument."""

    takes: tuple[Type, ...]
    gives: Type
    more: bool = False


FUNCTIONS = {
    "min": Function(("number", "number"), "number", more=True),
    "max": Function(("number", "number"), "number", more=True),
    "abs": Function(("number",), "number"),
    "number": Function(("any",), "number"),
    "len": Function(("text",), "number"),
    "lower": Function(("text",), "text"),
    "startswith": Function(("text", "text"), "boolean"),
    "endswith": Function(("text", "text"), "boolean"),
    "contains": Function(("text", "text"), "boolean"),
    "matches": Function(("text", "text"), "boolean"),
    "missing": Function(("any",), "boolean"),
    "default": Function(("any", "any"), "any"),
}


def type_of(value: Constant) -> Type:
    """The type of a constant."""
    return "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def check(node: Node, asker: Asker) -> None:
    """A condition that is true or false; :class:`~quorate.errors.ConfigError` says the column of what is wrong."""
    _need(_Checker(asker).type(node), "boolean", node, "a condition")


class _Checker:
    def __init__(self, asker: Asker) -> None:
        self._asker: Asker = asker

    def type(self, node: Node) -> Type:
        match node:
            case Value(value=value):
                return type_of(value)
            case Null():
                raise problem(node.start, "null is only compared with, as in `context.tier == null`.")
            case Name():
                return self._name(node)
            case Compare():
                return self._compare(node)
            case Among():
                return self._among(node)
            case Compute(operator=operator, left=left, right=right):
                for side in (left, right):
                    _need(self.type(side), "number", side, f"'{operator}'")
                return "number"
            case Negative(operand=operand):
                return _need(self.type(operand), "number", operand, "'-'")
            case Not(operand=operand):
                return _need(self.type(operand), "boolean", operand, "'not'")
            case Conjunction(parts=parts) | Disjunction(parts=parts):
                for part in parts:
                    _need(self.type(part), "boolean", part, "'and'" if isinstance(node, Conjunction) else "'or'")
                return "boolean"
            case Call():
                return self._call(node)
        raise TypeError(f"no type for {type(node).__name__}")

    def _name(self, node: Name) -> Type:
        if node.name.startswith(CONTEXT):
            return "any"
        if node.name == "context":
            raise problem(node.start, "'context' alone has no value; name a key, as in context.tier.")
        try:
            return facts.need(node.name, self._asker).type
        except ConfigError as error:
            raise problem(node.start, error.message) from None

    def _compare(self, node: Compare) -> Type:
        sides = [side for side in (node.left, node.right) if not isinstance(side, Null)]
        types = [self.type(side) for side in sides]
        if len(sides) < 2:
            if not sides or node.operator not in ("==", "!="):
                raise problem(node.start, "null is compared by '==' and '!=' only, with something else than null.")
            return "boolean"
        if node.operator not in ("==", "!="):
            for side, found in zip(sides, types, strict=True):
                _need(found, "number", side, f"'{node.operator}'")
        elif "any" not in types and types[0] != types[1]:
            raise problem(
                node.start, f"{_an(types[0])} and {_an(types[1])} are never equal; compare things of one type."
            )
        return "boolean"

    def _among(self, node: Among) -> Type:
        listed = [type_of(value) for value in node.listed.values]
        if len(set(listed)) > 1:
            raise problem(node.listed.start, "the values of a list have one type; make two conditions of it.")
        found = self.type(node.item)
        if found not in ("any", listed[0]):
            raise problem(node.item.start, f"{_an(found)} is never in a list of {listed[0]}s.")
        return "boolean"

    def _call(self, node: Call) -> Type:
        function = FUNCTIONS.get(node.function)
        if function is None:
            raise problem(
                node.start, f"there is no function '{node.function}'; expected one of {', '.join(FUNCTIONS)}."
            )
        count, wanted = len(node.arguments), len(function.takes)
        if count < wanted or (count > wanted and not function.more):
            more = " or more" if function.more else ""
            raise problem(node.start, f"'{node.function}' takes {wanted}{more} arguments; got {count}.")
        types = [self.type(argument) for argument in node.arguments]
        takes = function.takes + function.takes[-1:] * (count - wanted)
        for argument, found, expected in zip(node.arguments, types, takes, strict=True):
            _need(found, expected, argument, f"'{node.function}'")
        if node.function == "matches" and not isinstance(node.arguments[1], Value):
            raise problem(node.arguments[1].start, "the pattern of 'matches' is text in quotes, as in \"eu-*\".")
        if node.function == "number":
            _need("any" if types[0] == "number" else types[0], "text", node.arguments[0], "'number'")
        return _either(node, types) if node.function == "default" else function.gives


def _either(node: Call, types: list[Type]) -> Type:
    first, second = types
    if "any" not in types and first != second:
        raise problem(node.start, f"'default' gives {_an(first)} or {_an(second)} here; both must have one type.")
    return second if first == "any" else first


def _need(found: Type, wanted: Type, node: Node, whom: str) -> Type:
    if wanted != "any" and found not in ("any", wanted):
        raise problem(node.start, f"{whom} needs {_an(wanted)}; got {_an(found)}.")
    return wanted


def _an(type_: Type) -> str:
    return "text" if type_ == "text" else f"a {type_}"
