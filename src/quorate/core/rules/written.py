"""A syntax tree as text again, in one form whatever the spaces and parentheses were."""

from __future__ import annotations

from quorate.core.rules.syntax import (
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


def written(node: Node) -> str:
    """The text of a node, with parentheses around every operation.

    >>> from quorate.core.rules.parse import parse
    >>> written(parse("a.b+1 <  2"))
    '(a.b + 1) < 2'
    """
    match node:
        case Value(value=value):
            return constant(value)
        case Null():
            return "null"
        case Name(name=name):
            return name
        case Among(item=item, listed=listed, negated=negated):
            values = ", ".join(map(constant, listed.values))
            return f"{_inner(item)} {'not in' if negated else 'in'} [{values}]"
        case Compare(operator=operator, left=left, right=right) | Compute(operator=operator, left=left, right=right):
            return f"{_inner(left)} {operator} {_inner(right)}"
        case Negative(operand=operand):
            return f"-{_inner(operand)}"
        case Not(operand=operand):
            return f"not {_inner(operand)}"
        case Conjunction(parts=parts):
            return " and ".join(map(_inner, parts))
        case Disjunction(parts=parts):
            return " or ".join(map(_inner, parts))
        case Call(function=function, arguments=arguments):
            return f"{function}({', '.join(map(written, arguments))})"
    raise TypeError(f"no text for {type(node).__name__}")


def constant(value: Constant) -> str:
    """A constant as it is written in a condition."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)


def _inner(node: Node) -> str:
    return written(node) if isinstance(node, Value | Name | Null | Call) else f"({written(node)})"
