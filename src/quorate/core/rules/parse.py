"""From tokens to a syntax tree, by recursive descent: bounded in length, size and depth.

condition  = conjunction { "or" conjunction }
conjunction = negation { "and" negation }
negation   = "not" negation | comparison
comparison = sum { ("<" | "<=" | ">" | ">=" | "==" | "!=") sum } | sum [ "not" ] "in" list
sum        = product { ("+" | "-") product }
product    = factor { ("*" | "/" | "%") factor }
factor     = "-" factor | NUMBER | TEXT | "true" | "false" | "null" | name | call | "(" condition ")"
name       = WORD { "." WORD | "[" TEXT "]" }
call       = WORD "(" [ condition { "," condition } ] ")"
list       = "[" constant { "," constant } "]"
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from quorate.core.rules.lexer import Token, problem, tokens
from quorate.core.rules.syntax import (
    Among,
    Call,
    Compare,
    Compute,
    Conjunction,
    Constant,
    Disjunction,
    Listed,
    Name,
    Negative,
    Node,
    Not,
    Null,
    Value,
)

MAX_DEPTH = 32
"""Nesting of parentheses, functions and negations."""

MAX_NODES = 200
"""Names, constants and operators of one condition."""

MAX_LISTED = 200

_CONSTANTS = {"true": True, "false": False}
_WORDS = {"and", "or", "not", "in", "null", *_CONSTANTS}
_COMPARATORS = ("<", "<=", ">", ">=", "==", "!=")


def parse(text: str) -> Node:
    """The syntax tree of a condition; :class:`~quorate.errors.ConfigError` says the column of what is wrong.

    >>> parse("1 < 2").operator
    '<'
    """
    parser = _Parser(tokens(text))
    node = parser.condition()
    parser.end()
    return node


class _Parser:
    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._at = 0
        self._depth = 0
        self._nodes = 0

    # --- tokens ---

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += token.kind != "end"
        return token

    def _is(self, *words: str) -> bool:
        """Whether a sign or word follows; text in quotes never is one."""
        return self._next.kind in ("sign", "name") and self._next.value in words

    def _expect(self, sign: str, where: str) -> Token:
        if not self._is(sign):
            raise problem(self._next.start, f"expected '{sign}' {where}; got {_shown(self._next)}.")
        return self._take()

    def end(self) -> None:
        """Nothing may follow."""
        if self._next.kind != "end":
            message = f"expected an operator or the end of the condition; got {_shown(self._next)}."
            raise problem(self._next.start, message)

    # --- bounds ---

    def _made(self, node: Any) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            message = f"a condition has at most {MAX_NODES} names, constants and operators; make several rules of it."
            raise problem(node.start, message)
        return node

    def _deeper(self, read: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise problem(self._next.start, f"a condition is nested at most {MAX_DEPTH} deep; write it flatter.")
        node = read()
        self._depth -= 1
        return node

    # --- the grammar ---

    def condition(self) -> Node:
        return self._joined("or", self._conjunction, Disjunction)

    def _conjunction(self) -> Node:
        return self._joined("and", self._negation, Conjunction)

    def _joined(self, word: str, read: Callable[[], Node], made: Callable[..., Node]) -> Node:
        parts = [read()]
        while self._is(word):
            self._take()
            parts.append(read())
        if len(parts) == 1:
            return parts[0]
        return cast(Node, self._made(made(parts[0].start, parts[-1].stop, tuple(parts))))

    def _negation(self) -> Node:
        if not self._is("not"):
            return self._comparison()
        start = self._take().start
        operand = self._deeper(self._negation)
        return cast(Node, self._made(Not(start, operand.stop, operand)))

    def _comparison(self) -> Node:
        left = self._sum()
        if self._is("in", "not"):
            return self._among(left)
        pairs: list[Node] = []
        while self._is(*_COMPARATORS):
            operator = self._take().value
            right = self._sum()
            pairs.append(self._made(Compare(left.start, right.stop, operator, left, right)))  # type: ignore[arg-type]
            left = right
        if len(pairs) > 1:
            return cast(Node, self._made(Conjunction(pairs[0].start, pairs[-1].stop, tuple(pairs))))
        return pairs[0] if pairs else left

    def _among(self, item: Node) -> Node:
        negated = self._is("not")
        self._take()
        if negated:
            self._expect("in", "after 'not'")
        opening = self._expect("[", "after 'in'")
        values = [self._constant()]
        while self._is(","):
            self._take()
            values.append(self._constant())
            if len(values) > MAX_LISTED:
                raise problem(opening.start, f"a list has at most {MAX_LISTED} values.")
        closing = self._expect("]", "after the values of a list")
        listed = Listed(opening.start, closing.stop, tuple(values))
        return cast(Node, self._made(Among(item.start, closing.stop, item, listed, negated)))

    def _constant(self) -> Constant:
        sign = -1 if self._is("-") else 1
        if sign < 0:
            self._take()
        token = self._take()
        if token.kind == "number":
            return sign * cast(float, token.value)
        if token.kind == "text" and sign > 0:
            return token.value
        if token.kind == "name" and token.value in _CONSTANTS and sign > 0:
            return _CONSTANTS[token.value]
        raise problem(token.start, f"a list holds numbers, texts, true and false only; got {_shown(token)}.")

    def _sum(self) -> Node:
        return self._chain(("+", "-"), self._product)

    def _product(self) -> Node:
        return self._chain(("*", "/", "%"), self._factor)

    def _chain(self, signs: tuple[str, ...], read: Callable[[], Node]) -> Node:
        left = read()
        while self._next.kind == "sign" and self._is(*signs):
            operator = self._take().value
            right = read()
            left = self._made(Compute(left.start, right.stop, operator, left, right))  # type: ignore[arg-type]
        return left

    def _factor(self) -> Node:
        token = self._take()
        match token.kind:
            case "number" | "text":
                return cast(Node, self._made(Value(token.start, token.stop, token.value)))
            case "name" if token.value in _CONSTANTS:
                value = _CONSTANTS[token.value]
                return cast(Node, self._made(Value(token.start, token.stop, value)))
            case "name" if token.value == "null":
                return cast(Node, self._made(Null(token.start, token.stop)))
            case "name" if token.value not in _WORDS:
                return self._call(token) if self._is("(") else self._name(token)
            case "sign" if token.value == "-":
                operand = self._deeper(self._factor)
                if isinstance(operand, Value) and not isinstance(operand.value, bool | str):
                    return Value(token.start, operand.stop, -operand.value)
                return cast(Node, self._made(Negative(token.start, operand.stop, operand)))
            case "sign" if token.value == "(":
                inner = self._deeper(self.condition)
                closing = self._expect(")", f"to close the parenthesis of column {token.start + 1}")
                return replace(inner, start=token.start, stop=closing.stop)
        raise problem(token.start, f"expected a name, a constant, a function or a parenthesis; got {_shown(token)}.")

    def _name(self, first: Token) -> Node:
        parts, stop = [str(first.value)], first.stop
        while self._is(".", "["):
            opening = self._take()
            part = self._take()
            if opening.value == ".":
                if part.kind != "name":
                    hint = 'keys of other letters are written in brackets, as in context["user-id"]'
                    raise problem(part.start, f"expected a name after '.'; got {_shown(part)}; {hint}.")
                stop = part.stop
            else:
                if part.kind != "text" or not part.value:
                    raise problem(part.start, f"expected a name in quotes after '['; got {_shown(part)}.")
                stop = self._expect("]", "after the name").stop
            parts.append(str(part.value))
        return cast(Node, self._made(Name(first.start, stop, ".".join(parts))))

    def _call(self, name: Token) -> Node:
        self._take()
        arguments: list[Node] = []
        while not self._is(")"):
            if arguments:
                self._expect(",", f"or ')' after an argument of '{name.value}'")
            arguments.append(self._deeper(self.condition))
        closing = self._take()
        return cast(Node, self._made(Call(name.start, closing.stop, str(name.value), tuple(arguments))))


def _shown(token: Token) -> str:
    return "the end" if token.kind == "end" else f"{token.value!r}" if token.kind == "text" else f"'{token.value}'"
