"""What an endpoint's answers are worth, checked against the classes or numbers that its pool answers."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from quorate.core.types import OutputSpec
from quorate.core.value import ValueSpec
from quorate.spec import EndpointSpec
from quorate.spec.problems import Path


def resolve_value(
    endpoint: str, spec: EndpointSpec, output: OutputSpec, report: Callable[[Path, str], None]
) -> ValueSpec | None:
    """The declared value, None where there is none; what could never count is reported."""
    value, path, name = spec.value, ("endpoints", endpoint, "value"), f"endpoints.{endpoint}.value"
    if value is None:
        return None
    named = [("by_class", label) for label in value.by_class]
    for truth, answers in value.confusion.items():
        named += [("confusion", label) for label in (truth, *answers)]
    for key, label in named:
        if output.kind != "scores" or label not in output.classes:
            known = ", ".join(f"'{each}'" for each in output.classes[:20]) or "none, for it answers numbers"
            told = f"{name}.{key} names the class '{label}'; the classes of pool '{spec.pool}' are {known}."
            report((*path, key), told)
    wrong = ("per_unit_error",) if output.kind == "scores" else ("correct", "error")
    for key in wrong:
        if getattr(value, key) is not None:
            kind = "numbers" if output.kind == "scores" else "classes"
            report((*path, key), f"{name}.{key} is for {kind}, which pool '{spec.pool}' does not answer. Remove it.")
    return msgspec.convert(value.model_dump(), ValueSpec)
