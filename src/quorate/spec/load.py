"""From text or data to a checked :class:`Config`; every problem is one sentence with the setting and its line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from quorate.errors import ConfigError
from quorate.spec.document import parse
from quorate.spec.fronts import FrontRuleSpec, FrontSpec
from quorate.spec.model import NAME, REF, STICKY, EndpointSpec, Plugged, PolicySpec, PoolSpec, Spec, StrategySpec
from quorate.spec.outcomes import ClassValueSpec
from quorate.spec.problems import ConfigProblems, Origin, Path, dotted, expected
from quorate.spec.rule_forms import RuleSpec

_FORMS = {
    NAME: "a name of a-z, 0-9, '.', '_' and '-', the first a letter or a digit",
    REF: "a model of the registry: 'name', 'name:3' or 'name@alias'",
    STICKY: "context.KEY, KEY of letters, digits, '_', '.' and '-'",
}


@dataclass(frozen=True)
class Config:
    """The settings, and where they were written."""

    spec: Spec
    origin: Origin


def load(text: str | bytes, file: str | PurePath | None = None) -> Config:
    """Read ``quorate.yaml``; ``file`` is named in errors; raises :class:`ConfigProblems`."""
    data, origin = parse(text, file)
    return _validate(data, origin)


def build(data: Mapping[str, Any]) -> Config:
    """Check settings given as Python data of the same shape; raises :class:`ConfigProblems`."""
    return _validate(dict(data), Origin())


def _validate(data: Any, origin: Origin) -> Config:
    try:
        # By way of JSON: in its strict mode lists fill tuples and 200 fills a float, and nothing else is converted.
        return Config(Spec.model_validate_json(json.dumps(data)), origin)
    except ValidationError as error:
        problems = [_problem(found, data, origin) for found in error.errors(include_url=False)]
    # One problem per setting: where several forms are allowed, each of them complains.
    raise ConfigProblems(list({problem.path: problem for problem in reversed(problems)}.values()))


def _problem(error: ErrorDetails, data: Any, origin: Origin) -> ConfigError:
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    path = _written(error["loc"], data, keep_last=kind == "missing")
    name = dotted(path)
    if kind == "missing":
        what = _section(path[:-1], data)
        return origin.problem(path, f"{name} is missing; {_described(what, str(path[-1]))}")
    if kind == "extra_forbidden":
        known = _keys(_section(path[:-1], data))
        owner = dotted(path[:-1]) or "quorate.yaml"
        return origin.problem(path, f"There is no setting '{path[-1]}' in {owner}; {expected(path[-1], known)}")
    if kind == "union_tag_not_found":
        kinds = _kinds(path)
        return origin.problem(path, f"{name}.kind is missing; {expected('', kinds)}")
    if kind == "union_tag_invalid":
        return origin.problem(
            (*path, "kind"), f"There is no kind '{context['tag']}' for {name}; {expected(context['tag'], _kinds(path))}"
        )
    if kind == "string_pattern_mismatch":
        as_key = error["loc"][-1] == "[key]"
        place = f"be a name in {dotted(path[:-1])}" if as_key else f"stand at {name}"
        return origin.problem(path, f"'{str(given)[:80]}' cannot {place}; {_pattern(str(context['pattern']))}")
    if kind == "value_error":
        return origin.problem(path, f"{name}: {context['error']}")
    message = error["msg"].replace("an object", "a mapping").replace("a valid array", "a list")
    owner = name or "The configuration"
    message = message.replace("Input", owner, 1) if "Input" in message else f"{owner}: {message}"
    return origin.problem(path, f"{message}; got {_shown(given)}.")


def _written(location: tuple[int | str, ...], data: Any, *, keep_last: bool) -> Path:
    """The path in the document: what the validator adds to say which variant it tried is left out."""
    path: list[int | str] = []
    kind: object = None
    for i, part in enumerate(location):
        if part == kind:  # the variant; a setting may be called the same
            kind = None
            continue
        inside = isinstance(data, dict) and part in data
        if inside or (isinstance(data, list) and isinstance(part, int) and part < len(data)):
            data = data[part]
            path.append(part)
            kind = data.get("kind") if isinstance(data, dict) else None
        elif keep_last and i == len(location) - 1:
            path.append(part)
    return tuple(path)


def _section(path: Path, data: Any) -> type[BaseModel] | None:
    """The model of the section at ``path``."""
    match path:
        case ():
            return Spec
        case ("pools", _):
            return PoolSpec
        case ("endpoints", _):
            return EndpointSpec
        case ("endpoints", _, "strategies", _):
            return _variant(StrategySpec, path, data)
        case ("fronts", _):
            return FrontSpec
        case ("fronts", _, "rules", int()):
            return FrontRuleSpec
        case ("endpoints", _, "policy", "rules", int()):
            return RuleSpec
        case ("endpoints", _, "policy"):
            return _variant(PolicySpec, path, data)
        case ("endpoints", _, "value", "by_class", _):
            return ClassValueSpec
        case ("endpoints", _, str() as name) if name in EndpointSpec.model_fields:
            return _model_in(EndpointSpec.model_fields[name].annotation)
        case (str() as name,) if name in Spec.model_fields:
            return _model_in(Spec.model_fields[name].annotation)
    return None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a setting is, perhaps among other forms."""
    for found in (annotation, *get_args(annotation)):
        if isinstance(found, type) and issubclass(found, BaseModel):
            return found
    return None


def _variant(base: type[Plugged], path: Path, data: Any) -> type[BaseModel] | None:
    for part in path:
        data = data[part]
    return base.variants().get(str(data.get("kind"))) if isinstance(data, dict) else None


def _kinds(path: Path) -> list[str]:
    return list((PolicySpec if path[-1] == "policy" else StrategySpec).variants())


def _keys(section: type[BaseModel] | None) -> list[str]:
    return [] if section is None else list(section.model_fields)


def _described(section: type[BaseModel] | None, key: str) -> str:
    field = None if section is None else section.model_fields.get(key)
    return f"add it: {field.description}" if field is not None and field.description else "add it."


def _pattern(pattern: str) -> str:
    return f"expected {_FORMS.get(pattern, f'text of the form {pattern}')}."


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
