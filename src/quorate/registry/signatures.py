"""What makes a signature a sound one."""

from __future__ import annotations

from quorate.core.types import OutputSpec, Signature
from quorate.errors import RegistryError

NUMBERS = frozenset(
    {"bool", "float16", "float32", "float64"} | {f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64)}
)
_DTYPES = {"image": frozenset({"bytes", "uint8"}), "array": NUMBERS, "columns": NUMBERS | {"str"}}
_ONLY_NAME = {"image": "image", "array": "input"}


def check_signature(signature: Signature) -> None:
    """Raise :class:`RegistryError`, its ``path`` inside the signature, unless the record's promises hold."""
    kind, inputs = signature.input_kind, signature.inputs
    names = [spec.name for spec in inputs]
    if kind in _ONLY_NAME and names != [_ONLY_NAME[kind]]:
        raise _wrong(f"a signature of kind {kind} has the one input '{_ONLY_NAME[kind]}'; got {names}", "inputs")
    if not names or len(set(names)) != len(names) or not all(names):
        raise _wrong(f"inputs need names, each once; got {names}", "inputs")
    for index, spec in enumerate(inputs):
        path = f"inputs[{index}]"
        if spec.dtype not in _DTYPES[kind]:
            raise _wrong(
                f"'{spec.name}' is {spec.dtype}; expected one of {', '.join(sorted(_DTYPES[kind]))}", f"{path}.dtype"
            )
        if not spec.shape or spec.shape[0] is not None or any(size is not None and size < 1 for size in spec.shape):
            raise _wrong(
                f"'{spec.name}' has the shape {list(spec.shape)}; expected null (any number of rows), then "
                "lengths from 1 or null",
                f"{path}.shape",
            )
        if kind == "columns" and len(spec.shape) != 1:
            raise _wrong(f"the column '{spec.name}' has the shape {list(spec.shape)}; expected [null]", f"{path}.shape")
    _check_output(signature.output)


def _check_output(output: OutputSpec) -> None:
    used, unused = ("classes", "names") if output.kind == "scores" else ("names", "classes")
    labels: tuple[str, ...] = getattr(output, used)
    least = 2 if output.kind == "scores" else 1
    if len(labels) < least or len(set(labels)) != len(labels) or not all(labels):
        raise _wrong(
            f"{output.kind} need at least {least} {used}, each once; got {list(labels)[:20]}", f"output.{used}"
        )
    if getattr(output, unused):
        raise _wrong(f"{output.kind} have no {unused}; got {list(getattr(output, unused))[:20]}", f"output.{unused}")
    if output.units and (output.kind == "scores" or len(output.units) != len(labels)):
        raise _wrong(f"units are one per name of values; got {list(output.units)[:20]}", "output.units")


def _wrong(what: str, path: str) -> RegistryError:
    return RegistryError(f"The signature is wrong: {what}.", path=f"signature.{path}")
