"""Held-out raw rows and a model's outputs on them, as one ``.npz``: for warm-up, probes and parity.

Arrays: ``input.NAME`` for every raw input and ``output``. A list of encoded images is stored as their bytes end to
end in ``input.NAME`` (uint8) and where each begins and ends in ``offsets.NAME`` (int64 ``[n + 1]``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.codecs import npz
from quorate.errors import FormatRefused

Raw = dict[str, NDArray[Any] | list[bytes]]


def encode(raw: Mapping[str, NDArray[Any] | Sequence[bytes]], output: NDArray[Any]) -> bytes:
    """Encode raw inputs (name to array, or list of encoded images; first axis rows) and outputs ``[n, k]``.

    :class:`FormatRefused` if the numbers of rows differ or an array holds Python objects.
    """
    rows = {name: len(value) for name, value in raw.items()}
    if set(rows.values()) != {len(output)}:
        raise FormatRefused(f"A sample needs as many outputs as rows of every input; got {rows} and {len(output)}.")
    arrays: dict[str, NDArray[Any]] = {}
    for name, value in raw.items():
        if isinstance(value, np.ndarray):
            arrays[f"input.{name}"] = value
        else:
            arrays[f"input.{name}"] = np.frombuffer(b"".join(value), np.uint8)
            arrays[f"offsets.{name}"] = np.cumsum([0, *map(len, value)], dtype=np.int64)
    return npz.pack({**arrays, "output": output})


def decode(data: bytes) -> tuple[Raw, NDArray[Any]]:
    """Read raw inputs and outputs back; :class:`FormatRefused` if the bytes are broken or have no outputs."""
    raw, output = decode_rows(data)
    if output is None:
        raise FormatRefused("The sample has no array 'output'.", path="output")
    return raw, output


def decode_rows(data: bytes) -> tuple[Raw, NDArray[Any] | None]:
    """As :func:`decode`, for samples that may come without outputs."""
    arrays = npz.unpack(data, "The sample")
    output = arrays.pop("output", None)
    raw: Raw = {}
    for key, array in arrays.items():
        what, dot, name = key.partition(".")
        if what == "input" and dot:
            offsets = arrays.get(f"offsets.{name}")
            raw[name] = array if offsets is None else _split(name, array, offsets)
        elif what != "offsets" or f"input.{name}" not in arrays:
            raise FormatRefused(
                f"The sample has an array '{key}'; expected input.NAME, offsets.NAME and output.", path=key
            )
    rows = {name: len(value) if isinstance(value, list) or value.ndim else 0 for name, value in raw.items()}
    counts = {*rows.values(), *(() if output is None else (len(output) if output.ndim else 0,))}
    if not raw or len(counts) != 1 or 0 in counts:
        raise FormatRefused(f"The sample needs the same number of rows everywhere, at least one; got {rows}.")
    return raw, output


def _split(name: str, array: NDArray[Any], offsets: NDArray[Any]) -> list[bytes]:
    good = (
        array.dtype == np.uint8
        and array.ndim == 1
        and offsets.dtype == np.int64
        and offsets.ndim == 1
        and len(offsets) > 0
        and offsets[0] == 0
        and offsets[-1] == len(array)
        and bool((np.diff(offsets) >= 0).all())
    )
    if not good:
        raise FormatRefused(f"The sample's offsets.{name} do not fit input.{name}.", path=f"offsets.{name}")
    data = array.tobytes()
    return [data[start:end] for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]
