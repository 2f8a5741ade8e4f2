"""Which files of the given paths are pictures to ask about."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

STDIN = "-"
_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
    | {".heic", ".heif", ".avif", ".ppm", ".pgm"}  # the server says of these what it reads instead
)
_BEGINNINGS = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"P4\n", b"P5\n", b"P6\n")


@dataclass(frozen=True, slots=True)
class Pictures:
    """``files`` to send with their names as shown, and how many other files the folders held."""

    files: tuple[tuple[str, Path | bytes], ...]
    left_out: int


def pictures(paths: Sequence[str]) -> Pictures:
    """Files as given, whatever they hold; of folders, and the folders in them, the files that are pictures.

    A picture is known by its name or its first bytes. Hidden files and folders are passed over; symbolic links to
    folders are not followed.
    """
    files: list[tuple[str, Path | bytes]] = []
    left_out = 0
    for given in paths:
        if given == STDIN:
            files.append((STDIN, sys.stdin.buffer.read()))
            continue
        path = Path(given)
        if not path.is_dir():
            files.append((shown(path), path))
            continue
        for file in walk(path):
            if _is_picture(file):
                files.append((shown(file), file))
            else:
                left_out += 1
    return Pictures(tuple(files), left_out)


def walk(folder: Path) -> Iterator[Path]:
    """Regular files below a folder, hidden ones left out, in the order of their names."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(root) / name
            if not name.startswith(".") and file.is_file():
                yield file


def shown(path: Path) -> str:
    """A path as text that every output can hold, also where its bytes are no UTF-8; a spreadsheet takes it for text."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return text if text[:1] not in ("=", "+", "-", "@") else f".{os.sep}{text}"


def _is_picture(file: Path) -> bool:
    if file.suffix.lower() in _SUFFIXES:
        return True
    try:
        with file.open("rb") as stream:
            head = stream.read(16)
    except OSError:
        return False
    return head.startswith(_BEGINNINGS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
