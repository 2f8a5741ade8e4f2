"""Named, versioned, immutable models on local files.

Layout under the root, beside the blobs (see :mod:`quorate.registry.blobs`)::

    models/<name>/versions/<n>.json     the manifest of version n, written once
    models/<name>/versions/<n>.removed  what is left of a removed one; its number is never used again
    models/<name>/aliases.json          alias to version
    locks/                              advisory locks, released by the system when their holder dies
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from quorate.clock import Clock
from quorate.core.types import Artifact
from quorate.errors import RegistryError
from quorate.registry import formats
from quorate.registry.blobs import BlobStore, digest_of
from quorate.registry.files import locked, make_folder, publish, settle, settle_folder, staged, writing
from quorate.registry.manifest import Manifest, decode, encode
from quorate.registry.signatures import check_signature

CHAMPION = "champion"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_ALIASES_FORMAT = 1


class Ref(NamedTuple):
    """A parsed reference: ``name``, ``name:3`` or ``name@alias``."""

    name: str
    version: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> Ref:
        """Read a reference; :class:`RegistryError` if it is none.

        >>> Ref.parse("digits:3")
        Ref(name='digits', version=3, alias=None)
        """
        name, at, alias = text.partition("@")
        name, colon, version = name.partition(":")
        _check_name("a model name", name)
        if colon and (at or not _VERSION.fullmatch(version)):
            raise RegistryError(
                f"'{text[:200]}' is not a model reference; expected 'name', 'name:version' with a version from 1, or "
                "'name@alias'."
            )
        if at:
            _check_name("an alias", alias)
        return cls(name, int(version) if colon else None, alias if at else None)


class _Aliases(msgspec.Struct, forbid_unknown_fields=True):
    aliases: dict[str, int]
    schema: int = _ALIASES_FORMAT


class Registry:
    """The models of one project; safe under concurrent processes and a kill at any moment."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root = root
        self.clock = clock
        self.blobs = BlobStore(root)

    def register(self, draft: Manifest, files: Mapping[str, bytes | Path]) -> Manifest:
        """Store ``files`` and publish ``draft`` as the next version of its name; return the finished manifest.

        :class:`FormatRefused` if the content is not on the allow-list, :class:`RegistryError` if a name is not
        allowed, the sample is not there or the disk refuses; then the registry is as it was.
        """
        _check_name("a model name", draft.name)
        formats.check(draft.format, files, draft.options)
        _check_kind(draft)
        if draft.sample is not None and not self.blobs.has(draft.sample):
            raise RegistryError(f"The sample {draft.sample} of '{draft.name}' is not among the blobs; store it first.")
        digests = {name: self.blobs.put(data) for name, data in sorted(files.items())}
        folder = self._versions(draft.name)
        with self._changing(draft.name):
            make_folder(folder)
            manifest = msgspec.structs.replace(
                draft,
                version=max(_numbers(folder, ".json") + _numbers(folder, ".removed"), default=0) + 1,
                files=digests,
                digest=digest_of(digests),
                created=self.clock.now(),
            )
            data = encode(manifest)
            manifest = decode(data, path=manifest.ref)  # what cannot be read back is not published
            with staged(self.root / "temporary") as (file, path):
                file.write(data)
                settle(file)
                publish(path, folder / f"{manifest.version}.json")
        return manifest

    def names(self) -> tuple[str, ...]:
        """All models that have a version, sorted."""
        found = (path.name for path in (self.root / "models").glob("*"))
        return tuple(sorted(name for name in found if _NAME.fullmatch(name) and self.versions(name)))

    def versions(self, name: str) -> tuple[int, ...]:
        """Versions of a model, oldest first; empty if there is no such model."""
        _check_name("a model name", name)
        return tuple(sorted(_numbers(self._versions(name), ".json")))

    def aliases(self, name: str) -> dict[str, int]:
        """Alias to version."""
        _check_name("a model name", name)
        try:
            data = self._aliases(name).read_bytes()
        except FileNotFoundError:
            return {}
        try:
            found = msgspec.json.decode(data, type=_Aliases)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise RegistryError(
                f"The aliases of '{name}' cannot be read: {error}. Restore {self._aliases(name)} from a backup."
            ) from error
        if found.schema != _ALIASES_FORMAT:
            raise RegistryError(
                f"The aliases of '{name}' have format {found.schema}; this release reads {_ALIASES_FORMAT}. "
                "Use the release that wrote them or a newer one."
            )
        return found.aliases

    def resolve(self, ref: str) -> tuple[str, int]:
        """Name and version that ``ref`` means now; :class:`RegistryError` if there is none."""
        name, version, alias = Ref.parse(ref)
        versions = self.versions(name)
        if not versions:
            raise RegistryError(
                f"There is no model '{name}' in the registry; it holds {', '.join(self.names()) or 'none'}. "
                "Train one, or `quorate models import` it.",
                path=ref,
            )
        aliases = self.aliases(name)
        if alias is not None:
            if alias not in aliases:
                raise RegistryError(
                    f"Model '{name}' has no alias '{alias}'; it has {', '.join(sorted(aliases)) or 'none'}.", path=ref
                )
            version = aliases[alias]
        elif version is None:
            version = aliases.get(CHAMPION, versions[-1])
        if version not in versions:
            raise RegistryError(
                f"Model '{name}' has no version {version}; it has {', '.join(map(str, versions))}.", path=ref
            )
        return name, version

    def manifest(self, ref: str) -> Manifest:
        """The manifest of ``name`` (alias ``champion`` if set, else the newest), ``name:3`` or ``name@alias``."""
        name, version = self.resolve(ref)
        try:
            return self._manifest(name, version)
        except FileNotFoundError:
            raise RegistryError(
                f"Model '{name}' has no version {version} any more; it was removed.", path=ref
            ) from None

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let ``alias`` name a version of the model, whatever it named before."""
        _check_name("an alias", alias)
        with self._changing(name):
            self.resolve(f"{name}:{version}")
            self._write_aliases(name, {**self.aliases(name), alias: version})

    def remove_alias(self, name: str, alias: str) -> None:
        """Forget an alias; the version stays. :class:`RegistryError` if there is no such alias."""
        with self._changing(name):
            self.resolve(f"{name}@{alias}")
            aliases = self.aliases(name)
            del aliases[alias]
            self._write_aliases(name, aliases)

    def remove(self, ref: str, protected: Collection[str] = ()) -> Manifest:
        """Remove the exact version ``ref`` (``name:3``) and return what it was; its number is never used again.

        :class:`RegistryError` if an alias names it or it is in ``protected``, the refs (``name:3``) in use.
        """
        name, version, _ = Ref.parse(ref)
        if version is None:
            raise RegistryError(f"'{ref}' does not name one version; say which one to remove, as '{name}:3'.", path=ref)
        with self._changing(name):
            self.resolve(ref)
            naming = sorted(alias for alias, target in self.aliases(name).items() if target == version)
            if naming:
                raise RegistryError(
                    f"'{ref}' cannot be removed: the alias {', '.join(naming)} names it; move or remove the alias.",
                    path=ref,
                )
            if ref in protected:
                raise RegistryError(
                    f"'{ref}' cannot be removed: it is being served; apply a configuration without it first.", path=ref
                )
            manifest = self._manifest(name, version)
            path = self._versions(name) / f"{version}.json"
            path.rename(path.with_suffix(".removed"))
            settle_folder(path.parent)
        return manifest

    def collect_garbage(self, keep: Collection[str] = (), older_than: float = 3600.0) -> int:
        """Remove blobs that no manifest and not ``keep`` (digests in use elsewhere, as in a snapshot) name.

        Blobs stored within the last ``older_than`` seconds stay, since their manifest may be about to be written.
        Returns the bytes freed.
        """
        before = self.clock.now() - older_than
        live = set(keep)
        for name in self.names():
            for version in self.versions(name):
                try:
                    manifest = self._manifest(name, version)
                except FileNotFoundError:
                    continue  # removed just now
                live.update(manifest.files.values(), () if manifest.sample is None else (manifest.sample,))
        return self.blobs.collect(live, before)

    def artifact(self, manifest: Manifest) -> Artifact:
        """The model's files, verified and laid out in a folder; :class:`IntegrityError` if one is damaged."""
        if manifest.signature is None:
            raise RegistryError(f"'{manifest.ref}' is a combiner's state, which no runtime loads; name a model.")
        return Artifact(
            name=manifest.name,
            version=manifest.version,
            format=manifest.format,
            folder=self.blobs.checkout(manifest.files),
            files=tuple(sorted(manifest.files)),
            digest=manifest.digest,
            signature=manifest.signature,
            tensors=manifest.tensors,
            output_name=manifest.output_name,
            options=manifest.options,
        )

    def read_blob(self, digest: str) -> bytes:
        """The bytes of that digest, verified."""
        return self.blobs.read(digest)

    def _manifest(self, name: str, version: int) -> Manifest:
        path = self._versions(name) / f"{version}.json"
        return decode(path.read_bytes(), path=str(path))

    def _write_aliases(self, name: str, aliases: dict[str, int]) -> None:
        path = self._aliases(name)
        with staged(self.root / "temporary") as (file, temporary):
            file.write(msgspec.json.encode(_Aliases(dict(sorted(aliases.items())))))
            settle(file)
            temporary.replace(path)
            settle_folder(path.parent)

    def _versions(self, name: str) -> Path:
        return self.root / "models" / name / "versions"

    def _aliases(self, name: str) -> Path:
        return self.root / "models" / name / "aliases.json"

    @contextmanager
    def _changing(self, name: str) -> Iterator[None]:
        _check_name("a model name", name)
        with writing(self.root), locked(self.root / "locks" / f"model-{name}"):
            yield


def _check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise RegistryError(
            f"'{name[:200]}' cannot be {what}; expected up to 128 of a-z, 0-9, '.', '_' and '-', "
            "the first a letter or a digit.",
            path=name[:200],
        )


def _check_kind(draft: Manifest) -> None:
    if draft.kind == "state":
        if draft.format != "state" or draft.signature is not None:
            raise RegistryError(f"The state '{draft.name}' has the format state and no signature.", path="kind")
        return
    if draft.format == "state" or draft.signature is None:
        raise RegistryError(f"The model '{draft.name}' needs a signature, and a format other than state.", path="kind")
    check_signature(draft.signature)


def _numbers(folder: Path, suffix: str) -> list[int]:
    return [int(path.stem) for path in folder.glob(f"*{suffix}") if _VERSION.fullmatch(path.stem)]
