"""Sizes in bytes, as numbers or written like 32MiB."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

SIZE = r"^[1-9][0-9]{0,8} ?(B|kB|MB|GB|KiB|MiB|GiB)$"
MAX_BYTES = 2**60  # above what SIZE can say, so that the published schema refuses exactly what is refused here

_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not re.match(SIZE, value):
        raise ValueError(f"expected a number of bytes or a size like 32MiB; got '{value[:40]}'.")
    number, unit = re.findall(r"[0-9]+|[A-Za-z]+", value)
    return int(number) * _UNITS[unit]


Size = Annotated[
    int,
    Field(ge=1, le=MAX_BYTES),
    BeforeValidator(
        _bytes,
        json_schema_input_type=Annotated[int, Field(ge=1, le=MAX_BYTES)] | Annotated[str, Field(pattern=SIZE)],
    ),
]
