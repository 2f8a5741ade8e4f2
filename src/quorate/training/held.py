"""Held-out rows for the parity gate, from where users have them: an ``.npz`` file, pictures, a folder of pictures."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.codecs import sample as sample_codec
from quorate.errors import ConfigError

PATH, ANSWERS = "sample", "answers"
MOST_PICTURES = 64
MOST_BYTES = 64 * 1024 * 1024
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


@dataclass(frozen=True, slots=True)
class Held:
    """Raw rows as :meth:`~quorate.preprocess.Pipeline.apply` takes them, and what the original model says to them.

    ``names`` says where each row came from, for messages; ``output`` ``[n, k]`` may be unknown.
    """

    raw: Mapping[str, Any]
    output: NDArray[Any] | None = None
    names: Sequence[str] = ()


def read_held(paths: Sequence[Path], answers: Path | None = None) -> tuple[Held, list[str]]:
    """Rows from one ``.npz`` (:mod:`quorate.codecs.sample`), or encoded pictures from files and folders.

    Folders are searched through, in the order of names. ``answers`` is an ``.npy`` array ``[n, k]`` of what the
    original model says to the pictures, in that order. Of more pictures than 64, or than 64 MiB, some are taken evenly,
    with a notice. :class:`ConfigError` where there is nothing to read, or not as many answers as pictures.
    """
    if any(path.suffix == ".npz" for path in paths):
        if len(paths) > 1 or answers is not None:
            raise ConfigError(
                "Held-out rows are one .npz file with everything in it, or pictures; give one or the other.", path=PATH
            )
        raw, output = sample_codec.decode_rows(_bytes(paths[0]))
        return Held(raw, output), []
    found = [file for path in paths for file in _pictures(path)]
    taken = _fewer(found)
    notices = [] if len(taken) == len(found) else [f"Held-out pictures: {len(taken)} of {len(found)}, taken evenly."]
    files = [found[index] for index in taken]
    expected = None if answers is None else _answers(answers, len(found))[taken]
    return Held({"image": [_bytes(path) for path in files]}, expected, [str(path) for path in files]), notices


def _answers(path: Path, pictures: int) -> NDArray[Any]:
    try:
        found = np.load(io.BytesIO(_bytes(path)), allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path} is not an .npy array of numbers: {error}.", path=ANSWERS) from None
    if not isinstance(found, np.ndarray) or found.shape[:1] != (pictures,):
        raise ConfigError(f"{path} does not have one row of answers for each of the {pictures} pictures.", path=ANSWERS)
    return found


def _pictures(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not found:
        raise ConfigError(
            f"There are no pictures in {path}; expected files that end in {', '.join(sorted(SUFFIXES))}.", path=PATH
        )
    return found


def _fewer(files: Sequence[Path]) -> list[int]:
    """Which of the files, evenly, as many as the limits allow; the first one always."""
    count = min(len(files), MOST_PICTURES)
    while count > 1:
        taken = [index * len(files) // count for index in range(count)]
        if sum(_size(files[index]) for index in taken) <= MOST_BYTES:
            return taken
        count //= 2
    return [0]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", path=PATH) from None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", path=PATH) from None
