"""Which conditions can never be true, alone or after those before them; sound, and complete only where it is cheap.

A condition being true (or false, or not true: false or unknown) is a disjunction of clauses; a clause says for each
variable what it can be (:mod:`quorate.core.rules.domain`). A comparison of one name with constants is exact. Anything
else, such as arithmetic over two names, is a variable of its own that is true, false or unknown, whatever it is made
of. So clauses allow too much, never too little: where all of them are contradictory, the condition is never true.
Where there would be too many clauses, a part is left out, which again allows more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from quorate.core import facts
from quorate.core.rules.domain import ANYTHING, UNKNOWN, Domain, kind, only, universe, where
from quorate.core.rules.evaluate import compiled
from quorate.core.rules.syntax import (
    CONTEXT,
    Among,
    Call,
    Comparator,
    Compare,
    Conjunction,
    Constant,
    Disjunction,
    Name,
    Node,
    Not,
    Null,
    Value,
    names,
)
from quorate.core.rules.written import written

MOST = 128
"""Clauses of one condition."""

Wish = Literal["true", "false", "not true", "not false"]
Clause = Mapping[str, Domain]
Clauses = list[Clause]

_OPPOSITE: dict[Wish, Wish] = {
    "true": "false",
    "false": "true",
    "not true": "not false",
    "not false": "not true",
}
_FLIPPED: dict[Comparator, Comparator] = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_YES, _NO = Domain(truths=frozenset({True})), Domain(truths=frozenset({False}))
EVERYTHING: Clauses = [{}]


class Finding(NamedTuple):
    """What was found about the rule of index ``rule``, which is tried after those before it.

    ``never``: its condition is never true; ``about`` are the names that contradict themselves. ``shadowed``: whenever
    it is true, one of the rules ``by`` has fired already. ``always``: it, or one of the rules ``by`` before it, fires
    for every request, so that nothing after it is reached.
    """

    rule: int
    kind: Literal["never", "shadowed", "always"]
    by: tuple[int, ...] = ()
    about: tuple[str, ...] = ()


def analyse(conditions: Sequence[Node]) -> list[Finding]:
    """What can be said of conditions that are tried in order until one is true."""
    findings: list[Finding] = []
    untrue = [expand(node, "not true") for node in conditions]
    left = EVERYTHING
    ended: Finding | None = None
    for index, node in enumerate(conditions):
        fires = expand(node, "true")
        if not fires:
            findings.append(Finding(index, "never", about=_contradicted(node)))
            continue
        by = (ended.rule,) if ended else _before(fires, untrue[:index])
        if by is not None:
            findings.append(Finding(index, "shadowed", by))
            continue
        left = both(left, untrue[index])
        if not left:
            ended = Finding(index, "always", _needed(untrue[: index + 1]))
            findings.append(ended)
    return findings


def implies(condition: Node, other: Node) -> bool:
    """Whether ``other`` is true whenever ``condition`` is; False also where that could not be found out."""
    return not both(expand(condition, "true"), expand(other, "not true"))


def _before(fires: Clauses, untrue: Sequence[Clauses]) -> tuple[int, ...] | None:
    """The earlier conditions of which one is true whenever this one is; None where there are no such."""
    for index, clauses in enumerate(untrue):
        if not both(fires, clauses):
            return (index,)
    for clauses in untrue:
        fires = both(fires, clauses)
        if not fires:
            return tuple(range(len(untrue)))
    return None


def _needed(untrue: Sequence[Clauses]) -> tuple[int, ...]:
    """Of conditions that cannot all be untrue, those before the last that it takes for that."""
    needed = list(range(len(untrue) - 1))
    for index in list(needed):
        others = [j for j in needed if j != index]
        if not _each([untrue[-1], *(untrue[j] for j in others)]):
            needed = others
    return tuple(needed)


def _contradicted(node: Node) -> tuple[str, ...]:
    """Names of which no value makes a condition true, whatever the others are."""
    return tuple(sorted(name for name in names(node) if not expand(node, "true", frozenset({name}))))


def both(one: Clauses, other: Clauses) -> Clauses:
    """What both allow; where that would be too many clauses, what the first allows."""
    found: Clauses = []
    for a in one:
        for b in other:
            joined = _joined(a, b)
            if joined is not None:
                found.append(joined)
                if len(found) > MOST:
                    return one
    return found


def _joined(a: Clause, b: Clause) -> Clause | None:
    joined = dict(a)
    for variable, domain in b.items():
        met = domain & joined[variable] if variable in joined else domain
        if met.empty:
            return None
        joined[variable] = met
    return joined


def _either(parts: Iterable[Clauses]) -> Clauses:
    found = [clause for part in parts for clause in part]
    return found if len(found) <= MOST else EVERYTHING


def _each(parts: Iterable[Clauses]) -> Clauses:
    found = EVERYTHING
    for part in parts:
        found = both(found, part)
    return found


def expand(node: Node, wish: Wish, only_about: frozenset[str] | None = None) -> Clauses:
    """Clauses that allow whatever makes the condition come out so; none: nothing does.

    ``only_about`` leaves all other names out.
    """
    match node:
        case Conjunction(parts=parts):
            joined = _each if wish in ("true", "not false") else _either
            return joined(expand(part, wish, only_about) for part in parts)
        case Disjunction(parts=parts):
            joined = _either if wish in ("true", "not false") else _each
            return joined(expand(part, wish, only_about) for part in parts)
        case Not(operand=operand):
            return expand(operand, _OPPOSITE[wish], only_about)
    variable, yes, no = _atom(node)
    if only_about is not None and variable not in only_about and variable is not None:
        return EVERYTHING
    allowed = {"true": yes, "false": no, "not true": ~yes, "not false": ~no}[wish]
    if variable is None:
        return [] if (allowed & _value(node)).empty else EVERYTHING
    allowed = allowed & (ANYTHING if variable.startswith(CONTEXT) else universe(facts.find(variable) or _EXPRESSION))
    return [] if allowed.empty else [{variable: allowed}]


_EXPRESSION = facts.Fact("(…)", "boolean", "Whether a condition about more than one name is true.", "itself")


def _value(node: Node) -> Domain:
    """The truth of a condition without names."""
    value = compiled(node)({}, {})
    return only(value) if isinstance(value, bool) else UNKNOWN


def _atom(node: Node) -> tuple[str | None, Domain, Domain]:
    """What a condition is about (None: nothing), and where it is true and where false."""
    if not names(node):
        return None, _YES, _NO
    match node:
        case Name(name=name):
            return name, _YES, _NO
        case Among(item=item, listed=listed, negated=negated):
            inside = Domain()
            for value in listed.values:
                inside = inside | only(value)
            outside = kind(listed.values[0]) & ~inside
            yes, no = (outside, inside) if negated else (inside, outside)
            return _with_default(node, item, yes, no)
        case Compare(left=left, right=right, operator=operator):
            if isinstance(left, Null) or isinstance(right, Null):
                return _missing(node, right if isinstance(left, Null) else left, operator == "==")
            return _compared(node, left, right, operator)
        case Call(function="missing", arguments=(argument,)):
            return _missing(node, argument, True)
        case Call(function="default"):
            return _with_default(node, node, _YES, _NO)
    return _opaque(node)


def _opaque(node: Node) -> tuple[str, Domain, Domain]:
    return f"({written(node)})", _YES, _NO


def _missing(node: Node, argument: Node, wanted: bool) -> tuple[str, Domain, Domain]:
    if not isinstance(argument, Name):
        return _opaque(node)
    return (argument.name, UNKNOWN, ~UNKNOWN) if wanted else (argument.name, ~UNKNOWN, UNKNOWN)


def _compared(node: Compare, left: Node, right: Node, operator: Comparator) -> tuple[str | None, Domain, Domain]:
    if names(right) and not names(left):
        left, right, operator = right, left, _FLIPPED[operator]
    if not names(right):
        constant = compiled(right)({}, {})
        if constant is None:  # as in a division by zero: it compares with nothing
            return _opaque(node)[0], Domain(), Domain()
        yes = where(operator, constant)
        return _with_default(node, left, yes, kind(constant) & ~yes)
    if operator in (">", "<="):
        left, right, operator = right, left, _FLIPPED[operator]
    if operator in (">=", "!="):  # the opposite of another, and unknown where that is
        plain: Comparator = "<" if operator == ">=" else "=="
        variable, _, _ = _opaque(_ordered(node, left, right, plain))
        return variable, _NO, _YES
    return _opaque(_ordered(node, left, right, operator))


def _ordered(node: Compare, left: Node, right: Node, operator: Comparator) -> Compare:
    if operator == "==" and written(right) < written(left):
        left, right = right, left
    return Compare(node.start, node.stop, operator, left, right)


def _with_default(node: Node, item: Node, yes: Domain, no: Domain) -> tuple[str | None, Domain, Domain]:
    """Of a condition about a name, or about ``default(name, constant)``, for which an unknown name is the constant."""
    match item:
        case Name(name=name):
            return name, yes, no
        case Call(function="default", arguments=(Name(name=name), Value(value=value))):
            return name, _plus(yes, value), _plus(no, value)
    return _opaque(node)


def _plus(domain: Domain, default: Constant) -> Domain:
    return domain if (domain & only(default)).empty else domain | UNKNOWN
