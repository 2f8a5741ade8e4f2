"""What is wrong with a configuration: every problem with its setting, its line and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import PurePath

from quorate.errors import ConfigError

Path = tuple[str | int, ...]
"""Where a setting is: keys and list indices from the top of the document."""


class ConfigProblems(ConfigError):
    """All problems of one configuration at once, in the order of their lines; itself it reads as the first."""

    def __init__(self, problems: Sequence[ConfigError]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line or 0))
        first = self.problems[0]
        more = f" (and {len(self.problems) - 1} more: `quorate check` lists them)" if len(self.problems) > 1 else ""
        super().__init__(first.message + more, path=first.path, file=first.file, line=first.line)


class Origin:
    """Where the settings of a configuration were written: the file, and the line of every setting.

    ``lines`` maps the path of a setting to its line, 1-based; it is empty for a configuration made in Python.
    """

    def __init__(self, file: str | PurePath | None = None, lines: Mapping[Path, int] | None = None) -> None:
        self.file = None if file is None else str(file)
        self.lines = dict(lines or {})

    def problem(self, path: Path, message: str) -> ConfigError:
        """A problem at ``path``; its line is that of the nearest enclosing setting that is written."""
        line = next((self.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.lines), None)
        return ConfigError(message, path=dotted(path) or None, file=self.file, line=line)


def dotted(path: Path) -> str:
    """A path as people write it.

    >>> dotted(("pools", "digits", "members", 2))
    'pools.digits.members[2]'
    """
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def expected(name: object, known: Iterable[str], *, none: str = "there are none") -> str:
    """The end of a sentence about an unknown name: what there is, and the nearest of it."""
    names = sorted(known)
    if not names:
        return none
    near = get_close_matches(str(name), names, 1)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return f"expected {'one of ' if len(names) > 1 else ''}{', '.join(names)}{hint}"
