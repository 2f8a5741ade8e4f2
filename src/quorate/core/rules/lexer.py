"""From text to tokens. Nothing here is ever executed; what is no token is an error with its column."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from quorate.errors import ConfigError

MAX_LENGTH = 2000
"""Characters of a condition."""

Kind = Literal["number", "text", "name", "sign", "end"]

# Names of members and the like often have a hyphen, which is no minus where a fact's name goes on behind it.
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<about>(?<![.\w])(?:member|strategy|endpoint)\.[a-z0-9][a-z0-9_-]*(?=\.[A-Za-z_]))
      | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<text>"[^"\\]*(?:\\["\\][^"\\]*)*" | '[^'\\]*(?:\\['\\][^'\\]*)*')
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign><=|>=|==|!=|[-+*/%<>()\[\],.])
    )""",
    re.VERBOSE,
)
_NAME_FOLLOWS = re.compile(r"[A-Za-z_]")


class Token(NamedTuple):
    """``value`` is a number, the unescaped text, a name or a sign; ``start`` and ``stop`` count from 0."""

    kind: Kind
    value: str | int | float
    start: int
    stop: int


def problem(column: int, message: str) -> ConfigError:
    """A fault of the condition at ``column``, counted from 0 here and from 1 in the message."""
    return ConfigError(f"column {column + 1}: {message}")


def tokens(text: str) -> list[Token]:
    """All tokens and an end; :class:`ConfigError` with the column of what is none.

    >>> [token.value for token in tokens('input.rows >= 10')]
    ['input', '.', 'rows', '>=', 10, '']
    """
    if len(text) > MAX_LENGTH:
        raise problem(
            MAX_LENGTH, f"a condition has at most {MAX_LENGTH} characters; got {len(text)}. Write it shorter."
        )
    found: list[Token] = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise _refused(text, at + len(text[at:]) - len(text[at:].lstrip()))
        kind = match.lastgroup
        start, at = match.start(kind or 0), match.end()
        written = match.group(kind or 0)
        if kind == "number":
            if _NAME_FOLLOWS.match(text, at):
                raise problem(start, f"'{text[start : at + 1]}' is neither a number nor a name.")
            found.append(Token("number", _number(written, start), start, at))
        elif kind == "text":
            found.append(Token("text", re.sub(r"\\(.)", r"\1", written[1:-1]), start, at))
        else:
            found.append(Token("sign" if kind == "sign" else "name", written, start, at))
    found.append(Token("end", "", len(text.rstrip()), len(text.rstrip())))
    return found


def _number(written: str, start: int) -> int | float:
    if written.isdigit():
        if len(written) > 18:
            raise problem(start, f"a whole number has at most 18 digits; got {len(written)}.")
        return int(written)
    value = float(written)
    if value - value != 0:
        raise problem(start, f"'{written}' is too large for a number.")
    return value


def _refused(text: str, at: int) -> ConfigError:
    char = text[at]
    if char in "\"'":
        return problem(at, f"text that begins with {char} does not end; \\{char} and \\\\ are the escapes.")
    near = {"=": "'=='", "&": "'and'", "|": "'or'", "!": "'not' or '!='"}.get(char)
    hint = f"; did you mean {near}?" if near else "."
    return problem(at, f"'{char}' has no meaning here{hint}")
