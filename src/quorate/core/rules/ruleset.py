"""Conditions in order: the first that is true decides."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.core.facts import Asker
from quorate.core.rules.analyse import Finding, analyse
from quorate.core.rules.check import check
from quorate.core.rules.evaluate import Values, compiled
from quorate.core.rules.parse import parse
from quorate.core.rules.syntax import CONTEXT, Node, names
from quorate.core.rules.trace import Trace, trace
from quorate.errors import ConfigError

MOST = 64
"""Rules of one policy or front."""


class Ruleset:
    """Checked and compiled conditions; ``asker`` says which facts they may look at.

    :class:`ConfigError` with the path (``rules[2].when``) and the column of what is wrong.
    """

    def __init__(self, texts: Sequence[str], asker: Asker) -> None:
        if len(texts) > MOST:
            raise ConfigError(f"there are {len(texts)} rules; at most {MOST} are tried. Join some.", path="rules")
        self.texts = tuple(texts)
        self.nodes = tuple(_read(text, asker, index) for index, text in enumerate(texts))
        self._closures = tuple(map(compiled, self.nodes))
        named = frozenset(name for node in self.nodes for name in names(node))
        self.facts = frozenset(name for name in named if not name.startswith(CONTEXT))
        self.keys = frozenset(name.removeprefix(CONTEXT) for name in named if name.startswith(CONTEXT))

    def first(self, context: Values, facts: Values) -> int | None:
        """The index of the first condition that is true; None where none is.

        >>> Ruleset(["context.age > 60", "input.rows < 10"], "policy").first({"age": 5}, {"input.rows": 1})
        1
        """
        for index, holds in enumerate(self._closures):
            if holds(context, facts) is True:
                return index
        return None

    def traces(self, context: Values, facts: Values) -> list[Trace]:
        """What came of every condition and its parts."""
        pairs = zip(self.nodes, self.texts, strict=True)
        return [trace(node, text, context, facts) for node, text in pairs]

    def findings(self) -> list[Finding]:
        """Conditions that can never be true, and those after which nothing is reached."""
        return analyse(self.nodes)


def _read(text: str, asker: Asker, index: int) -> Node:
    try:
        node = parse(text)
        check(node, asker)
    except ConfigError as error:
        raise ConfigError(error.message, path=f"rules[{index}].when") from None
    return node


def said(finding: Finding) -> str:
    """A finding in words; rules are counted from 1.

    >>> said(Finding(2, "shadowed", (0,)))
    'rule 3 can never fire: rule 1 fires whenever it would. Remove it, or move it up.'
    """
    number = finding.rule + 1
    by = ", ".join(str(index + 1) for index in finding.by)
    if finding.kind == "never":
        what = f"no value of {' or '.join(finding.about)} makes" if finding.about else "nothing makes"
        return f"rule {number} can never fire: {what} its condition true. Correct it, or remove it."
    if finding.kind == "shadowed":
        if len(finding.by) == 1:
            return f"rule {number} can never fire: rule {by} fires whenever it would. Remove it, or move it up."
        return f"rule {number} can never fire: one of the rules {by} fires whenever it would. Remove it, or move it up."
    if finding.by:
        return (
            f"rule {number}, or one of the rules {by} before it, fires for every request; what follows is not reached."
        )
    return f"rule {number} fires for every request; what follows is not reached."
