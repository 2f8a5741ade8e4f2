"""Content-addressed bytes: named by their SHA-256, written once, verified whenever they are read.

Layout under the registry's root::

    blobs/ab/abcdef…          the bytes, read-only, sharded by the first two digits
    checkouts/<map digest>/…  folders with the original file names: hard links (or copies) of blobs
    temporary/                what is being written; leftovers of killed processes are swept up later
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path, PurePosixPath

import msgspec

from quorate.errors import IntegrityError, RegistryError
from quorate.registry.files import locked, make_folder, settle, settle_folder, staged, writing

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=@-]*")
_CHUNK = 1 << 20

Stamp = tuple[int, int, int, int]


def check_names(names: Mapping[str, object]) -> None:
    """Raise :class:`RegistryError` unless all names are relative POSIX paths that stay in their folder."""
    if not names:
        raise RegistryError("A model needs at least one file; got none.")
    for name in names:
        if len(name) > 255 or not all(_PART.fullmatch(part) for part in name.split("/")):
            raise RegistryError(
                f"'{name[:255]}' cannot be a model's file name; expected a relative path of letters, digits and "
                "._+=@-, no part of it starting with a sign but _; rename the file.",
                path="files",
            )
        inside = next((str(p) for p in PurePosixPath(name).parents if str(p) in names), None)
        if inside is not None:
            raise RegistryError(f"'{inside}' cannot be both a file and the folder of '{name}'.", path="files")


def digest_of(files: Mapping[str, str]) -> str:
    """SHA-256 of a map from file names to blob digests; it covers every name and every byte."""
    return hashlib.sha256(msgspec.json.encode(sorted(files.items()))).hexdigest()


class BlobStore:
    """The blobs of one registry; safe under concurrent processes and a kill at any moment."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._temporary = root / "temporary"

    def put(self, data: bytes | Path) -> str:
        """Store bytes or a file's content and return the digest; :class:`RegistryError` if the disk refuses."""
        with writing(self.root), staged(self._temporary) as (file, path):
            digest = hashlib.sha256()
            for chunk in _chunks(data):
                digest.update(chunk)
                file.write(chunk)
            name = digest.hexdigest()
            target = self._path(name)
            # Shared with other writers, exclusive with the collector: whoever finds the blob there renews its age
            # under the lock, so it is either seen as young or already gone.
            with self._sweeping(shared=True):
                if target.is_file() and _file_digest(target) == name:
                    os.utime(target)
                    return name
                settle(file)
                path.chmod(0o444)
                make_folder(target.parent)
                path.replace(target)
                settle_folder(target.parent)
            return name

    def has(self, digest: str) -> bool:
        """Whether there is a blob of that digest; its content is not read."""
        return self._path(digest).is_file()

    def stamp(self, digest: str) -> Stamp | None:
        """Another value whenever somebody may have changed the blob's bytes; None where there is no such blob."""
        try:
            status = self._path(digest).stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def sound(self, digest: str) -> bool:
        """Whether the blob is there and its bytes are what was stored; reads them all."""
        try:
            return _file_digest(self._path(digest)) == digest
        except FileNotFoundError:
            return False

    def read(self, digest: str) -> bytes:
        """The bytes of that digest; :class:`IntegrityError` if they are missing or not what was stored."""
        try:
            data = self._path(digest).read_bytes()
        except FileNotFoundError:
            raise _missing(f"blob {digest}") from None
        found = hashlib.sha256(data).hexdigest()
        if found != digest:
            raise _corrupted(f"blob {digest}", digest, found)
        return data

    def checkout(self, files: Mapping[str, str]) -> Path:
        """A folder holding ``files`` (relative name to digest) under their names, every one of them verified now.

        :class:`IntegrityError` names the file whose bytes are missing or not what was stored.
        """
        check_names(files)
        folder = self.root / "checkouts" / digest_of(files)
        if _intact(folder, files):
            with suppress(OSError):  # a registry that may only be read; the time matters to the collector only
                os.utime(folder)
            return folder
        with writing(self.root):
            building = self._temporary / secrets.token_hex(16)
            make_folder(building)
            try:
                for name, digest in files.items():
                    self._place(name, digest, building / name)
                make_folder(folder.parent)
                self._install(building, folder, files)
            finally:
                shutil.rmtree(building, ignore_errors=True)
        return folder

    def collect(self, live: set[str], before: float) -> int:
        """Remove blobs not in ``live`` and checkouts made of such, if last stored or asked for before Unix time
        ``before``; return the bytes freed."""
        freed = 0
        with writing(self.root), self._sweeping(shared=False):
            for blob in (self.root / "blobs").glob("??/*"):
                status = blob.stat()
                if blob.name not in live and status.st_mtime < before:
                    blob.unlink()
                    freed += status.st_size
            for folder in (self.root / "checkouts").glob("*"):
                if folder.stat().st_mtime < before and not live.issuperset(
                    _file_digest(path) for path in folder.rglob("*") if path.is_file()
                ):
                    shutil.rmtree(folder)
            for left in self._temporary.glob("*"):
                if left.stat().st_mtime < before:
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
        return freed

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise IntegrityError(f"'{digest[:80]}' is not a blob's digest; expected 64 hexadecimal digits.")
        return self.root / "blobs" / digest[:2] / digest

    def _sweeping(self, *, shared: bool) -> AbstractContextManager[None]:
        return locked(self.root / "locks" / "blobs", shared=shared)

    def _place(self, name: str, digest: str, target: Path) -> None:
        blob = self._path(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            try:
                os.link(blob, target)
            except FileNotFoundError:
                raise
            except OSError:  # a file system without hard links, or too many of them
                shutil.copyfile(blob, target)
        except FileNotFoundError:
            raise _missing(f"model file '{name}'") from None
        found = _file_digest(target)
        if found != digest:
            raise _corrupted(f"model file '{name}'", digest, found)

    def _install(self, building: Path, folder: Path, files: Mapping[str, str]) -> None:
        if folder.exists() and not _intact(folder, files):
            # Damaged: move it aside. A process that loaded from it keeps its open files.
            aside = self._temporary / secrets.token_hex(16)
            with suppress(FileNotFoundError):  # another process did the same
                folder.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
        try:
            building.rename(folder)
        except OSError:
            if not _intact(folder, files):  # else another process was quicker
                raise


def _chunks(data: bytes | Path) -> Iterator[bytes]:
    if isinstance(data, bytes):
        yield data
        return
    with data.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _intact(folder: Path, files: Mapping[str, str]) -> bool:
    try:
        return all(_file_digest(folder / name) == digest for name, digest in files.items())
    except (FileNotFoundError, NotADirectoryError):
        return False


def _missing(what: str) -> IntegrityError:
    return IntegrityError(f"The {what} is missing from the registry; restore it from a backup or register it again.")


def _corrupted(what: str, expected: str, found: str) -> IntegrityError:
    return IntegrityError(
        f"The {what} is corrupted: expected SHA-256 {expected}, got {found}; "
        "restore the registry from a backup or register the model again."
    )
