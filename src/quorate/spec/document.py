"""YAML text to plain data with the line of every setting; bounded, and nothing in the text is ever executed."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from quorate.errors import ConfigError
from quorate.spec.problems import ConfigProblems, Origin, Path, dotted

MAX_BYTES = 1024 * 1024
MAX_NODES = 50_000
MAX_DEPTH = 24

_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """Reads scalars as YAML 1.2 does: ``yes``, ``on``, ``1:30`` and dates are text, ``1e-3`` is a number."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - typed so upstream


for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(f"^(?:{_pattern})$"), _first)


def parse(text: str | bytes, file: str | PurePath | None = None) -> tuple[Any, Origin]:
    """Read one YAML document; returns its data and where each setting is; raises :class:`ConfigProblems`."""
    origin = Origin(file)
    try:
        content = text if isinstance(text, str) else text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigProblems(
            [_at(origin, line, "The configuration is not UTF-8 text here; save it as UTF-8.")]
        ) from None
    if len(content) > MAX_BYTES:
        raise ConfigProblems(
            [origin.problem((), f"The configuration has {len(content)} characters; at most {MAX_BYTES} are read.")]
        )
    try:
        node = _Loader(content).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(f"{error.context or ''} {error.problem or ''}".split())
        raise ConfigProblems([_at(origin, mark.line + 1 if mark else 1, f"This is not valid YAML: {what}.")]) from None
    except yaml.reader.ReaderError as error:
        line = content.count("\n", 0, error.position) + 1
        message = f"This is not valid YAML: the character {error.character!r} is not allowed; remove it."
        raise ConfigProblems([_at(origin, line, message)]) from None
    except RecursionError:
        raise ConfigProblems([origin.problem((), f"{_TOO_DEEP} Write it flatter.")]) from None
    if node is None:
        return {}, origin
    reader = _Reader(origin)
    data = reader.read(node, ())
    if reader.problems:
        raise ConfigProblems(reader.problems)
    return data, origin


_TOO_DEEP = f"The configuration is nested deeper than {MAX_DEPTH} levels (or an alias contains itself)."


def _at(origin: Origin, line: int, message: str) -> ConfigError:
    return ConfigError(message, file=origin.file, line=line)


class _Reader:
    """Nodes to data; an alias is read anew wherever it is used, and all that is read counts against one bound."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.problems: list[ConfigError] = []
        self.count = 0

    def read(self, node: Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self.count += 1
        if self.count > MAX_NODES:
            message = (
                f"The configuration has more than {MAX_NODES} values with its aliases expanded; use fewer aliases."
            )
            raise ConfigProblems([_at(self.origin, line, message)])
        if len(path) > MAX_DEPTH:
            raise ConfigProblems([_at(self.origin, line, f"{_TOO_DEEP} Write it flatter.")])
        self.origin.lines.setdefault(path, line)
        if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, path)
        if isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.read(item, (*path, i)) for i, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        return self._refuse(node, path)

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value
            if not isinstance(key_node, ScalarNode) or key_node.tag != f"{_TAG}str":
                shown = f"'{key}'" if isinstance(key_node, ScalarNode) else "a list or mapping"
                message = f"{_where(path)} has {shown} as a key; keys are text here: write it in quotes."
                self.problems.append(_at(self.origin, line, message))
                continue
            if key in data:
                first = self.origin.lines[(*path, key)]
                message = f"'{key}' is set twice in {_where(path)}, first in line {first}; remove one of them."
                self.problems.append(_at(self.origin, line, message))
                continue
            self.origin.lines[(*path, key)] = line
            data[key] = self.read(value_node, (*path, key))
        return data

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        kind, value = node.tag.removeprefix(_TAG), node.value
        try:
            match kind:
                case "str":
                    return value
                case "null":
                    return None
                case "bool":
                    return {"true": True, "false": False}[value.lower()]
                case "int":
                    return int(value, 0) if value.lower().startswith(("0x", "0o")) else int(value)
                case "float":
                    return float(value.lower().replace(".inf", "inf").replace(".nan", "nan"))
        except (ValueError, KeyError):
            message = f"{_where(path)} is tagged as {kind}; '{value[:60]}' is not one."
            self.problems.append(_at(self.origin, node.start_mark.line + 1, message))
            return None
        return self._refuse(node, path)

    def _refuse(self, node: Node, path: Path) -> None:
        tag = node.tag.replace(_TAG, "!!")
        message = (
            f"{_where(path)} has the tag '{tag}'; only plain text, numbers, true/false, lists and mappings are read."
        )
        self.problems.append(_at(self.origin, node.start_mark.line + 1, message))


def _where(path: Path) -> str:
    return dotted(path) or "the top level"
