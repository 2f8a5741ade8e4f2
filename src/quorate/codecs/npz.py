"""Arrays to ``.npz`` bytes and back: no pickle, no surprises in memory, the same bytes for the same arrays."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from quorate.errors import FormatRefused

MAX_BYTES = 1 << 30  # of all arrays together, unpacked


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Encode arrays as a file ``numpy.load`` reads; :class:`FormatRefused` if one holds Python objects."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            if array.dtype.hasobject:
                raise FormatRefused(
                    f"The array '{name}' holds Python objects; expected numbers, booleans or fixed-width text.",
                    path=name,
                )
            # A ZipInfo made from the name alone has no time in it.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                npy.write_array(entry, np.asarray(array, order="C"), allow_pickle=False)
    return file.getvalue()


def unpack(data: bytes, what: str) -> dict[str, NDArray[Any]]:
    """Decode arrays; :class:`FormatRefused`, starting with ``what``, if the bytes are broken, hostile or too many."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > MAX_BYTES:
                raise FormatRefused(f"{what} unpacks to more than {MAX_BYTES} bytes.")
            return {entry.filename.removesuffix(".npy"): _array(archive.read(entry)) for entry in entries}
    except FormatRefused:
        raise
    except Exception as error:  # hostile bytes make zipfile and numpy fail in many ways
        raise FormatRefused(f"{what} is not an archive of plain arrays: {error}.") from None


def _array(data: bytes) -> NDArray[Any]:
    # Not numpy.load: it allocates what the header claims before it looks whether the bytes are there.
    stream = io.BytesIO(data)
    version = npy.read_magic(stream)
    header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if header is None:
        raise ValueError(f"arrays of format {version} are not read")
    shape, fortran, dtype = header(stream)
    if dtype.hasobject:
        raise ValueError("an array holds Python objects")
    start, count = stream.tell(), math.prod(shape)
    if min(shape, default=0) < 0 or len(data) - start != count * dtype.itemsize:
        raise ValueError(f"an array of {len(data) - start} bytes claims to be {dtype}{list(shape)}")
    if count == 0 or dtype.itemsize == 0:
        return np.empty(shape, dtype)
    return np.frombuffer(data, dtype, count, start).reshape(shape, order="F" if fortran else "C").copy()
