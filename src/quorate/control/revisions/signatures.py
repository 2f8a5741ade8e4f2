"""How the signatures of two models differ, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from quorate.core.types import OutputSpec, Signature


def differences(first: Signature, other: Signature) -> Iterator[str]:
    """What differs between two signatures, in words."""
    if first.input_kind != other.input_kind:
        yield f"its input is {other.input_kind}, not {first.input_kind}"
    elif first.inputs != other.inputs:
        yield f"its input is {_listed(other.inputs)}, not {_listed(first.inputs)}"
    expected, got = first.output, other.output
    if expected.kind != got.kind:
        yield f"it answers {got.kind}, not {expected.kind}"
    elif expected.classes != got.classes:
        how = "in another order" if set(expected.classes) == set(got.classes) else f"not {_listed(expected.classes)}"
        yield f"its classes are {_listed(got.classes)}, {how}"
    elif expected.names != got.names or expected.units != got.units:
        yield f"its targets are {_targets(got)}, not {_targets(expected)}"


def _targets(output: OutputSpec) -> str:
    units = output.units or ("",) * len(output.names)
    return _listed([f"{name} {unit}".strip() for name, unit in zip(output.names, units, strict=False)])


def _listed(values: Sequence[object]) -> str:
    shown = [str(value) for value in values[:12]]
    return f"[{', '.join(shown)}{', …' if len(values) > 12 else ''}]"
