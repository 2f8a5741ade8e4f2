"""Where finished journal files are copied to: a folder, a URL that fsspec knows, or whatever a command does."""

from __future__ import annotations

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

from quorate.codecs.snapshot import ShipSettings
from quorate.errors import JournalError
from quorate.registry.files import make_folder, settle, settle_folder

_SHOWN = 300  # characters of a command's complaint


class Target(ABC):
    """Takes copies of files; putting the same file again replaces it."""

    @abstractmethod
    def put(self, path: Path, name: str) -> None:
        """Copy a file under a relative POSIX name; when this returns it is there, whole.

        Raises :class:`JournalError` or ``OSError``; ``FileNotFoundError`` where ``path`` is gone.
        """


class FolderTarget(Target):
    """A folder, such as a mounted share: copied under a temporary name, brought to the disk, renamed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, path: Path, name: str) -> None:
        """See :class:`Target`."""
        with path.open("rb") as source:
            target = self._root / name
            make_folder(target.parent)
            temporary = target.with_name(f".{target.name}.{os.getpid()}")
            try:
                with temporary.open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
                    settle(file)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
        settle_folder(target.parent)


class UrlTarget(Target):
    """A URL such as ``s3://bucket/prefix``, through fsspec and its package for that protocol."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._system: Any = None
        self._root = ""

    def put(self, path: Path, name: str) -> None:
        """See :class:`Target`."""
        size = path.stat().st_size
        try:
            system = self._open()
            remote = f"{self._root.rstrip('/')}/{name}"
            system.makedirs(str(PurePosixPath(remote).parent), exist_ok=True)
            system.put_file(str(path), remote)
            system.invalidate_cache()
            found = system.size(remote)
        except FileNotFoundError:
            if not path.exists():
                raise
            raise JournalError(f"{name} could not be copied to {self._url}: the place is not there.") from None
        except JournalError:
            raise
        except Exception as error:  # every store has errors of its own
            raise JournalError(
                f"{name} could not be copied to {self._url}: {type(error).__name__}: {error}."
            ) from error
        if found != size:
            raise JournalError(f"{name} has {found} bytes at {self._url}; expected {size}.")

    def _open(self) -> Any:
        if self._system is None:
            try:
                core = import_module("fsspec.core")
            except ModuleNotFoundError:
                raise JournalError(
                    "journal.ship.to is a URL, which needs fsspec and its package for that protocol; "
                    "run: pip install fsspec, and s3fs, gcsfs or adlfs."
                ) from None
            self._system, self._root = core.url_to_fs(self._url)
        return self._system


class CommandTarget(Target):
    """A command that is run once for every file: ``{path}`` is the file, ``{name}`` its name below the journal."""

    def __init__(self, command: tuple[str, ...], timeout_s: float) -> None:
        self._command = command
        self._timeout_s = timeout_s

    def put(self, path: Path, name: str) -> None:
        """See :class:`Target`; a command has failed when it exits with anything but 0, or takes too long."""
        if not path.exists():
            raise FileNotFoundError(path)
        words = [word.replace("{path}", str(path)).replace("{name}", name) for word in self._command]
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, timeout=self._timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            raise JournalError(f"'{words[0]}' took longer than {self._timeout_s:g} s for {name}.") from None
        except OSError as error:
            raise JournalError(f"'{words[0]}' could not be run: {error.strerror}.") from error
        if done.returncode != 0:
            said = " ".join((done.stderr or done.stdout).decode("utf-8", "replace").split())[-_SHOWN:]
            raise JournalError(
                f"'{words[0]}' failed for {name} with exit code {done.returncode}: {said or 'no message'}."
            )


def target_of(settings: ShipSettings) -> Target:
    """The target that the settings declare."""
    if settings.command is not None:
        return CommandTarget(settings.command, settings.timeout_s)
    to = settings.to or ""
    return UrlTarget(to) if "://" in to else FolderTarget(Path(to))


def label(settings: ShipSettings) -> str:
    """What the target is called where it is remembered that a file was shipped to it."""
    return settings.to if settings.to is not None else " ".join(settings.command or ())
