"""Writes that a kill or a power cut leaves either undone or done, and locks that die with their holder."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from quorate.errors import RegistryError

if sys.platform == "win32":
    import msvcrt  # whose locks are always exclusive

    def _lock(descriptor: int, *, shared: bool) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
else:
    import fcntl

    def _lock(descriptor: int, *, shared: bool) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold an advisory lock on ``path`` (made if absent); the system releases it when the process dies."""
    make_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(descriptor, shared=shared)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Turn the system's refusal to write (full disk, no permission) into a :class:`RegistryError`."""
    try:
        yield
    except OSError as error:
        raise RegistryError(
            f"The registry in {root} could not be written ({error.strerror or error}) and is as it was before; "
            "free space or permissions there and try again."
        ) from error


@contextmanager
def staged(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A fresh file to write in ``folder``; it is removed on the way out unless it was renamed away."""
    make_folder(folder)
    path = folder / secrets.token_hex(16)
    try:
        with path.open("xb") as file:
            yield file, path
    finally:
        path.unlink(missing_ok=True)


def publish(path: Path, target: Path) -> None:
    """Give the finished file ``path`` the name ``target``; a target that exists is never overwritten.

    Where the file system has no hard links only the caller's lock keeps two publishers apart.
    """
    try:
        os.link(path, target)
    except FileExistsError:
        raise
    except OSError:
        path.replace(target)
    settle_folder(target.parent)


def settle(file: BinaryIO) -> None:
    """Bring a file's bytes to the disk."""
    file.flush()
    os.fsync(file.fileno())


def settle_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk, where the platform can."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents; the new entries are on the disk on return."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    settle_folder(folder.parent)
