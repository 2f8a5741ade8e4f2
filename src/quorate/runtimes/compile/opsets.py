"""One version per operator domain for models that were exported with different ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quorate.errors import FormatRefused
from quorate.runtimes.compile.parts import all_nodes, domain_of
from quorate.runtimes.signature import one_line

if TYPE_CHECKING:
    import onnx

# Operators of ai.onnx.ml whose newer versions only add to what the older ones could say, to (first, last) such version.
_EXTENDED = {
    "TreeEnsembleClassifier": (1, 4),
    "TreeEnsembleRegressor": (1, 4),
    "LabelEncoder": (2, 4),
}


def unify(models: dict[str, onnx.ModelProto]) -> dict[str, int]:
    """The version of each domain that all members can have, the newest first; converts members, in place.

    :class:`FormatRefused`, naming the member that has other versions than most, if there is none.
    """
    domains = {domain for model in models.values() for domain in opsets(model)}
    return {domain: _unify(models, domain) for domain in sorted(domains)}


def opsets(model: onnx.ModelProto) -> dict[str, int]:
    """Version by domain; some exporters write a domain twice."""
    found: dict[str, int] = {}
    for entry in model.opset_import:
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        found[domain] = max(entry.version, found.get(domain, 0))
    return found


def _unify(models: dict[str, onnx.ModelProto], domain: str) -> int:
    versions = {name: found[domain] for name, model in models.items() if domain in (found := opsets(model))}
    refused: FormatRefused | None = None
    for wanted in sorted(set(versions.values()), reverse=True):
        try:
            converted = {
                name: _convert(name, models[name], domain, version, wanted)
                for name, version in versions.items()
                if version != wanted and not _same_meaning(models[name], domain, version, wanted)
            }
        except FormatRefused as error:
            refused = refused or error
            continue
        models.update(converted)
        return wanted
    assert refused is not None  # noqa: S101 - a single version needs no conversion
    raise refused


def _same_meaning(model: onnx.ModelProto, domain: str, version: int, wanted: int) -> bool:
    """Whether every operator that the model uses means the same in both versions of its domain."""
    from onnx import defs

    used = {node.op_type for node in all_nodes(model.graph.node) if domain_of(node) == domain}
    try:
        return all(_alike(operator, domain, version, wanted) for operator in used)
    except defs.SchemaError:  # an operator that onnx does not know
        return False


def _alike(operator: str, domain: str, version: int, wanted: int) -> bool:
    from onnx import defs

    found = defs.get_schema(operator, version, domain)
    other = defs.get_schema(operator, wanted, domain)
    if other.deprecated:
        return False
    if found.since_version == other.since_version:
        return True
    first, last = _EXTENDED.get(operator, (1, 0)) if domain == "ai.onnx.ml" else (1, 0)
    return bool(first <= version <= wanted <= last)


def _convert(name: str, model: onnx.ModelProto, domain: str, version: int, wanted: int) -> onnx.ModelProto:
    from onnx import version_converter

    reason = f"onnx converts only its own domain, not {domain}"
    if not domain:
        try:
            converted: onnx.ModelProto = version_converter.convert_version(model, wanted)
            return converted
        except Exception as error:  # the converter's C++ errors
            reason = one_line(error)
    raise FormatRefused(
        f"Member '{name}' cannot be fused: it uses version {version} of the operators '{domain or 'ai.onnx'}', another "
        f"member {wanted} ({reason}); export them with one target_opset.",
        path=name,
    )
