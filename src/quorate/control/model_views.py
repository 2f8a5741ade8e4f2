"""What the control port answers about models, and how it is made from the registry."""

from __future__ import annotations

from typing import Any

import msgspec

from quorate.control.view import View
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry


class ModelSummary(View):
    """One model of the registry: its versions and aliases."""

    name: str
    kind: str
    format: str
    newest: int
    versions: list[int]
    aliases: dict[str, int]


class ModelVersion(View):
    """One version of a model: its manifest. ``created`` is Unix seconds."""

    name: str
    version: int
    aliases: list[str]
    kind: str
    format: str
    digest: str
    created: float
    signature: dict[str, Any] | None
    preprocess: list[dict[str, Any]]
    files: dict[str, str]
    metrics: dict[str, float]
    data_digest: str | None
    commit: str | None
    libraries: dict[str, str]
    parent: str | None
    notes: dict[str, str]


class Model(View):
    """A model with every version's manifest, newest first."""

    name: str
    aliases: dict[str, int]
    versions: list[ModelVersion]


def model_summary(registry: Registry, name: str) -> ModelSummary | None:
    """A model's summary; None when its last version was removed just now."""
    versions = registry.versions(name)
    if not versions:
        return None
    newest = registry.manifest(f"{name}:{versions[-1]}")
    return ModelSummary(
        name=name,
        kind=newest.kind,
        format=newest.format,
        newest=newest.version,
        versions=list(versions),
        aliases=registry.aliases(name),
    )


def model_version(manifest: Manifest, aliases: dict[str, int]) -> ModelVersion:
    """A manifest as it is shown."""
    return ModelVersion(
        name=manifest.name,
        version=manifest.version,
        aliases=sorted(alias for alias, version in aliases.items() if version == manifest.version),
        kind=manifest.kind,
        format=manifest.format,
        digest=manifest.digest,
        created=manifest.created,
        signature=msgspec.to_builtins(manifest.signature),
        preprocess=manifest.preprocess,
        files=manifest.files,
        metrics=manifest.metrics,
        data_digest=manifest.data_digest,
        commit=manifest.commit,
        libraries=manifest.libraries,
        parent=manifest.parent,
        notes=manifest.notes,
    )
