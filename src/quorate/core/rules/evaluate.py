"""Conditions as closures: three-valued, without side effects, never an exception.

The value of an expression is a number, text or a boolean, or None: *unknown*. Unknown are a key that the context does
not have, a fact that is not known, a number that is not finite, a division by zero, and whatever an operator or
function cannot do with the types it meets (a text is neither more nor less than 5). ``and`` is false if a part is
false, ``or`` is true if a part is true, and else an unknown part makes them unknown; ``not`` of unknown is unknown
(Kleene's strong logic of indeterminacy, *Introduction to Metamathematics*, 1952, §64). A rule fires when its condition
is true, and only then.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quorate.core.rules.syntax import (
    Among,
    Call,
    Compare,
    Compute,
    Conjunction,
    Disjunction,
    Name,
    Negative,
    Node,
    Not,
    Null,
    Value,
)
from quorate.core.types import Scalar

Values = Mapping[str, Scalar]
Closure = Callable[[Values, Values], Any]
"""Of the context and the facts, the value; None is unknown."""

KINDS: Mapping[type, str] = {int: "number", float: "number", str: "text", bool: "boolean"}

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_COMPUTE: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}


def compiled(node: Node) -> Closure:
    """A closure for a checked condition, or a part of one."""
    made: Closure = _MAKERS[type(node)](node)
    return made


def _literal(node: Value) -> Closure:
    value = node.value
    return lambda context, facts: value


def _null(node: Null) -> Closure:
    return lambda context, facts: None


def _name(node: Name) -> Closure:
    key = node.key
    if key is None:
        name = node.name

        def fact(context: Values, facts: Values) -> Any:
            value = facts.get(name)
            return None if type(value) is float and value - value != 0 else value

        return fact

    def sent(context: Values, facts: Values) -> Any:
        value = context.get(key)
        return None if type(value) is float and value - value != 0 else value

    return sent


def _compare(node: Compare) -> Closure:
    if isinstance(node.left, Null) or isinstance(node.right, Null):
        other = compiled(node.right if isinstance(node.left, Null) else node.left)
        wanted = node.operator == "=="
        return lambda context, facts: (other(context, facts) is None) is wanted
    left, right, compare = compiled(node.left), compiled(node.right), _COMPARE[node.operator]
    kinds, ordered = KINDS.get, node.operator not in ("==", "!=")

    def compared(context: Values, facts: Values) -> Any:
        a, b = left(context, facts), right(context, facts)
        kind = kinds(type(a))
        if kind is None or kind != kinds(type(b)) or (ordered and kind != "number"):
            return None
        return compare(a, b)

    return compared


def _among(node: Among) -> Closure:
    item, values, negated = compiled(node.item), frozenset(node.listed.values), node.negated
    wanted = KINDS[type(node.listed.values[0])]

    def among(context: Values, facts: Values) -> Any:
        value = item(context, facts)
        return None if KINDS.get(type(value)) != wanted else (value in values) is not negated

    return among


def _compute(node: Compute) -> Closure:
    left, right, compute = compiled(node.left), compiled(node.right), _COMPUTE[node.operator]

    def computed(context: Values, facts: Values) -> Any:
        return _finite(compute, left(context, facts), right(context, facts))

    return computed


def _finite(function: Callable[..., Any], *numbers: Any) -> Any:
    """What a function gives for numbers; unknown where one is none, and where the result is not finite."""
    for number in numbers:
        if KINDS.get(type(number)) != "number":
            return None
    try:
        value = function(*numbers)
    except ArithmeticError:  # a division by zero, or more than a float can be
        return None
    return value if value - value == 0 else None


def _negative(node: Negative) -> Closure:
    operand = compiled(node.operand)
    return lambda context, facts: _finite(operator.neg, operand(context, facts))


def _not(node: Not) -> Closure:
    operand = compiled(node.operand)

    def negated(context: Values, facts: Values) -> Any:
        value = operand(context, facts)
        return not value if value is True or value is False else None

    return negated


def _all(node: Conjunction) -> Closure:
    parts = tuple(map(compiled, node.parts))

    def every(context: Values, facts: Values) -> Any:
        found: bool | None = True
        for part in parts:
            value = part(context, facts)
            if value is False:
                return False
            if value is not True:
                found = None
        return found

    return every


def _any(node: Disjunction) -> Closure:
    parts = tuple(map(compiled, node.parts))

    def some(context: Values, facts: Values) -> Any:
        found: bool | None = False
        for part in parts:
            value = part(context, facts)
            if value is True:
                return True
            if value is not False:
                found = None
        return found

    return some


def _call(node: Call) -> Closure:
    arguments = tuple(map(compiled, node.arguments))
    if node.function == "missing":
        (only,) = arguments
        return lambda context, facts: only(context, facts) is None
    if node.function == "default":
        first, second = arguments

        def default(context: Values, facts: Values) -> Any:
            value = first(context, facts)
            return second(context, facts) if value is None else value

        return default
    function = _FUNCTIONS[node.function]
    return lambda context, facts: function([argument(context, facts) for argument in arguments])


def _of_numbers(function: Callable[..., Any]) -> Callable[[Sequence[Any]], Any]:
    return lambda values: _finite(function, *values)


def _of_texts(function: Callable[..., Any]) -> Callable[[Sequence[Any]], Any]:
    def call(values: Sequence[Any]) -> Any:
        for value in values:
            if type(value) is not str:
                return None
        return function(*values)

    return call


def _number(values: Sequence[Any]) -> Any:
    (value,) = values
    if KINDS.get(type(value)) == "number":
        return value
    if type(value) is not str or "_" in value:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if number - number == 0 else None


def matches(text: str, pattern: str) -> bool:
    """Whether a text has the form of a pattern, in which ``*`` is any text; takes no longer than a few searches.

    >>> matches("eu-west-1", "eu-*-1"), matches("eu", "*u*e*")
    (True, False)
    """
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    last = rest.pop()
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, stop = len(first), len(text) - len(last)
    for piece in rest:
        at = text.find(piece, at, stop)
        if at < 0:
            return False
        at += len(piece)
    return True


_FUNCTIONS: dict[str, Callable[[Sequence[Any]], Any]] = {
    "min": _of_numbers(min),
    "max": _of_numbers(max),
    "abs": _of_numbers(abs),
    "number": _number,
    "len": _of_texts(len),
    "lower": _of_texts(str.lower),
    "startswith": _of_texts(str.startswith),
    "endswith": _of_texts(str.endswith),
    "contains": _of_texts(str.__contains__),
    "matches": _of_texts(matches),
}

_MAKERS: dict[type[Node], Callable[[Any], Closure]] = {
    Value: _literal,
    Null: _null,
    Name: _name,
    Compare: _compare,
    Among: _among,
    Compute: _compute,
    Negative: _negative,
    Not: _not,
    Conjunction: _all,
    Disjunction: _any,
    Call: _call,
}
