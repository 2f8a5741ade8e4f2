"""Results of a long run that are of use only to itself: kept on disk until it is finished."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from quorate.codecs import npz
from quorate.errors import FormatRefused


class Checkpoints:
    """Arrays by name in one folder, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str) -> dict[str, NDArray[Any]] | None:
        """What was put under ``name``; None if nothing was, or it cannot be read any more."""
        try:
            return npz.unpack(self._path(name).read_bytes(), name)
        except (OSError, FormatRefused):
            return None

    def put(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep arrays under ``name``, a plain file name."""
        self.folder.mkdir(parents=True, exist_ok=True)
        new = self._path(f"{name}.{os.getpid()}.new")
        new.write_bytes(npz.pack(arrays))
        new.replace(self._path(name))

    def clear(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another run's are there, or there is none
            self.folder.parent.rmdir()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"
