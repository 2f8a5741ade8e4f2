"""The manifest: everything the registry knows about one version of a model, immutable once written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from quorate.core.types import Signature, TensorSpec
from quorate.errors import RegistryError

FORMAT = 1

# Manifests of the release before are read through one function a step: format n to a document of format n + 1.
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of a model (``kind`` model) or of a combiner's fitted state (``kind`` state).

    A draft handed to :meth:`Registry.register` leaves ``version``, ``files``, ``digest`` and ``created`` alone; the
    registry fills them. ``files`` maps relative names to blob digests, ``digest`` covers all of them. ``tensors``
    are the artifact's own inputs, after ``preprocess`` (declared steps); ``output_name`` carries
    ``signature.output``; a state has no signature. ``sample`` is the digest of a blob of held-out raw rows and the
    model's outputs on them. ``data_digest`` and ``commit`` say what it was trained from, ``libraries`` with what
    (distribution to version), ``parent`` (a ref) which version it succeeds. ``created`` is Unix seconds.
    """

    name: str
    format: str
    kind: Literal["model", "state"] = "model"
    version: int = 0
    signature: Signature | None = None
    tensors: tuple[TensorSpec, ...] = ()
    output_name: str = ""
    preprocess: list[dict[str, Any]] = []
    options: dict[str, Any] = {}
    files: dict[str, str] = {}
    digest: str = ""
    sample: str | None = None
    metrics: dict[str, float] = {}
    data_digest: str | None = None
    commit: str | None = None
    libraries: dict[str, str] = {}
    created: float = 0.0
    parent: str | None = None
    notes: dict[str, str] = {}
    schema: int = FORMAT

    @property
    def ref(self) -> str:
        """The exact reference, ``name:version``."""
        return f"{self.name}:{self.version}"


def encode(manifest: Manifest) -> bytes:
    """The manifest as indented JSON; :class:`RegistryError` if something in it has no JSON form."""
    try:
        return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    except TypeError as error:
        raise RegistryError(f"The manifest of '{manifest.name}' cannot be written as JSON: {error}.") from error


def decode(data: bytes, *, path: str) -> Manifest:
    """Read a manifest back; :class:`RegistryError` naming ``path`` if it is broken or of an unknown format."""
    try:
        document = msgspec.json.decode(data, type=dict[str, Any])
        found = document.get("schema")
        while found != FORMAT and found in UPGRADES:
            document = UPGRADES[found](document)
            found = document.get("schema")
        if found != FORMAT:
            raise RegistryError(
                f"The manifest {path} has format {found}; this release reads {sorted({*UPGRADES, FORMAT})}. "
                "Use the release that wrote it or a newer one.",
                path=path,
            )
        return msgspec.convert(document, Manifest)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise RegistryError(
            f"The manifest {path} cannot be read: {error}. Restore it from a backup.", path=path
        ) from error
