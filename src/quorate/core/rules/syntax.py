"""The syntax tree of a rule's condition: frozen nodes that know where in the text they were written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Constant = float | int | str | bool
"""What a literal says; ``null`` is only ever compared with, which is another way to write ``missing(x)``."""

Comparator = Literal["<", "<=", ">", ">=", "==", "!="]
Arithmetic = Literal["+", "-", "*", "/", "%"]

CONTEXT = "context."
"""What the names of context keys begin with; all other names are facts."""


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression; ``start`` and ``stop`` are its place in the text, counted from 0."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Value(Node):
    """A number, text, true or false."""

    value: Constant


@dataclass(frozen=True, slots=True)
class Null(Node):
    """``null``."""


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A fact (``input.rows``) or a key of the context (``context.tier``), by its whole name."""

    name: str

    @property
    def key(self) -> str | None:
        """The context's key; None for a fact."""
        return self.name.removeprefix(CONTEXT) if self.name.startswith(CONTEXT) else None


@dataclass(frozen=True, slots=True)
class Listed(Node):
    """The constants that ``in`` looks among."""

    values: tuple[Constant, ...]


@dataclass(frozen=True, slots=True)
class Compare(Node):
    """One comparison; a chain ``a < b < c`` is the :class:`Conjunction` of its pairs."""

    operator: Comparator
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Among(Node):
    """``x in [...]``, or with ``negated`` ``x not in [...]``."""

    item: Node
    listed: Listed
    negated: bool


@dataclass(frozen=True, slots=True)
class Compute(Node):
    """Arithmetic on two numbers."""

    operator: Arithmetic
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Negative(Node):
    """``-x``."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Not(Node):
    """``not x``."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Conjunction(Node):
    """``a and b and …``."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Disjunction(Node):
    """``a or b or …``."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function of some arguments."""

    function: str
    arguments: tuple[Node, ...]


def children(node: Node) -> tuple[Node, ...]:
    """The parts that a node is computed from, in the order they are written."""
    match node:
        case Compare(left=left, right=right) | Compute(left=left, right=right):
            return left, right
        case Among(item=item):
            return (item,)
        case Negative(operand=operand) | Not(operand=operand):
            return (operand,)
        case Conjunction(parts=parts) | Disjunction(parts=parts):
            return parts
        case Call(arguments=arguments):
            return arguments
    return ()


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it."""
    yield node
    for child in children(node):
        yield from walk(child)


def names(node: Node) -> frozenset[str]:
    """All names that a node looks at, of facts and of context keys."""
    return frozenset(each.name for each in walk(node) if isinstance(each, Name))
