"""The files of a data set: its table as CSV, NDJSON or Parquet, its images, and the digest of all of them."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import msgspec
import numpy as np
from numpy.typing import NDArray

from quorate.errors import ConfigError

Format = Literal["csv", "ndjson", "parquet", "folder"]
TABLES = ("csv", "ndjson", "parquet")
UNLABELLED = "_unlabelled"
_SUFFIXES = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "bmp": ".bmp", "gif": ".gif", "tiff": ".tif"}

Row = Mapping[str, Any]
_encode = msgspec.json.Encoder().encode


@contextmanager
def table_writer(
    folder: Path, form: str, columns: Sequence[str], *, values: int = 0
) -> Iterator[Callable[[Sequence[Row]], None]]:
    """A function that writes rows to the table of a data set; images by class have an NDJSON table beside them.

    ``values`` is how many numbers an answer has; 0 where answers are labels.
    """
    if form == "csv":
        with (folder / "data.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            yield lambda rows: writer.writerows([[_cell(row[name]) for name in columns] for row in rows])
    elif form == "parquet":
        with _parquet(folder / "data.parquet", columns, values) as write:
            yield write
    else:
        with (folder / "data.ndjson").open("wb") as lines:
            yield lambda rows: lines.writelines(_encode(row) + b"\n" for row in rows)


def _cell(value: Any) -> Any:
    """A value of a CSV file: numbers so that they come back exactly, lists and mappings as JSON."""
    if isinstance(value, list | dict):
        return _encode(value).decode()
    return "" if value is None else repr(value) if isinstance(value, float) else value


@contextmanager
def _parquet(path: Path, columns: Sequence[str], values: int) -> Iterator[Callable[[Sequence[Row]], None]]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise ConfigError("Parquet needs the extra 'arrow'; pip install 'quorate[arrow]', or take ndjson.") from None
    kinds = {
        "decision": pa.string(), "row": pa.int64(), "arrived": pa.float64(), "weight": pa.float64(),
        "truth_source": pa.string(), "confidence": pa.float64(), "disagreement": pa.float64(),
        "strategy": pa.string(), "rewards": pa.string(), "truth": pa.float64() if values else pa.string(),
        "answer": pa.string() if not values else pa.float64() if values == 1 else pa.list_(pa.float64()),
    }  # fmt: skip
    writer: Any = None

    def write(rows: Sequence[Row]) -> None:
        nonlocal writer
        if not rows:
            return
        plain = [{**row, "rewards": _encode(row["rewards"]).decode()} for row in rows]
        if writer is None:
            made = {name: pa.array([row[name] for row in plain], kinds.get(name)).type for name in columns}
            writer = parquet.ParquetWriter(path, pa.schema([(name, made[name]) for name in columns]))
        writer.write_batch(pa.RecordBatch.from_pylist(plain, schema=writer.schema))

    try:
        yield write
        if writer is None:
            writer = parquet.ParquetWriter(path, pa.schema([(name, kinds.get(name, pa.string())) for name in columns]))
    finally:
        if writer is not None:
            writer.close()


class Pictures:
    """Writes images below a folder: all in ``images``, or in folders named after their class."""

    def __init__(self, folder: Path, *, by_class: bool) -> None:
        self._folder = folder
        self._by_class = by_class

    def write(self, image: bytes | NDArray[Any], name: str, label: str | None) -> str:
        """Write an image; its path in the data set. Pixels become PNG."""
        data, suffix = _encoded(image)
        place = "images" if not self._by_class else UNLABELLED if label is None else folder_of(label)
        (self._folder / place).mkdir(exist_ok=True)
        (self._folder / place / f"{name}{suffix}").write_bytes(data)
        return f"{place}/{name}{suffix}"


def folder_of(label: str) -> str:
    """A class as the name of a folder: percent-encoded where it has to be.

    >>> folder_of("cat"), folder_of("../x y"), folder_of("")
    ('cat', '%2E.%2Fx y', '%')
    """
    name = quote(label, safe=" ") or "%"
    return f"%2E{name[1:]}" if name.startswith(".") else f"%5F{name[1:]}" if name.startswith("_") else name


def _encoded(image: bytes | NDArray[Any]) -> tuple[bytes, str]:
    from quorate.preprocess.pillow import sniff

    if isinstance(image, bytes):
        return image, _SUFFIXES.get(sniff(image) or "", ".bin")
    from PIL import Image

    pixels = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, format="PNG")
    return file.getvalue(), ".png"


def digest_of_files(folder: Path) -> str:
    """SHA-256, hex, over names and contents of all files in a folder, in the order of their names."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256")
        total.update(f"{path.relative_to(folder).as_posix()} {found.hexdigest()}\n".encode())
    return total.hexdigest()
