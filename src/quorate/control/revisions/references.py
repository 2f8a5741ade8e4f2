"""What references such as ``bag-a:3`` mean now: models and states of the registry, or what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable

from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import MemberRoute
from quorate.core.types import State
from quorate.errors import QuorateError, RegistryError
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.spec.problems import Path
from quorate.spec.rules import model_name

ACCURACY = "validation_accuracy"
"""The metric of a model from which log-odds weights are computed."""


class References:
    """Looks references up in a registry; what is wrong goes to ``report(path, message)``."""

    def __init__(self, registry: Registry, report: Callable[[Path, str], None]) -> None:
        self._registry = registry
        self._report = report

    def model(self, path: Path, ref: str) -> tuple[MemberRoute, float | None] | None:
        """The model as a member, and its :data:`ACCURACY` where it has that metric; None if it cannot be used."""
        manifest = self._manifest(path, ref, "model")
        if manifest is None or manifest.signature is None:
            return None
        route = MemberRoute(
            name=model_name(ref),
            version=manifest.version,
            format=manifest.format,
            digest=manifest.digest,
            files=manifest.files,
            signature=manifest.signature,
            tensors=manifest.tensors,
            output_name=manifest.output_name,
            preprocess=manifest.preprocess,
            options=manifest.options,
            sample=manifest.sample,
        )
        return route, manifest.metrics.get(ACCURACY)

    def state(self, path: Path, ref: str) -> tuple[dict[str, str] | None, State | None]:
        """The state's files by digest, and the state itself; None twice if it cannot be used."""
        found = self.fitted(path, ref)
        return (None, None) if found is None else (found[0].files, found[1])

    def fitted(self, path: Path, ref: str) -> tuple[Manifest, State] | None:
        """What the registry says of a state, and the state itself; None if it cannot be used."""
        manifest = self._manifest(path, ref, "state")
        if manifest is None:
            return None
        try:
            files = {name: self._registry.read_blob(digest) for name, digest in manifest.files.items()}
            return manifest, state_codec.decode(files)
        except QuorateError as error:
            self._report(path, f"The state '{manifest.ref}' cannot be read: {error}")
            return None

    def _manifest(self, path: Path, ref: str, kind: str) -> Manifest | None:
        try:
            manifest = self._registry.manifest(ref)
        except RegistryError as error:
            self._report(path, str(error))
            return None
        if manifest.kind != kind:
            is_a, wanted = ("a combiner's state", "a model") if kind == "model" else ("a model", "a combiner's state")
            self._report(path, f"'{manifest.ref}' is {is_a}; expected {wanted} here.")
            return None
        lost = sorted(name for name, digest in manifest.files.items() if not self._registry.blobs.has(digest))
        if lost:
            self._report(
                path,
                f"'{manifest.ref}' has lost its file {', '.join(lost)}; restore the registry or register it again.",
            )
            return None
        return manifest
