"""Fitted and learned states as two files: ``state.json`` (what it is, metadata) and ``arrays.npz`` (the numbers)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from quorate.codecs import npz
from quorate.core.types import State
from quorate.errors import FormatRefused

FORMAT = 1
READS = (1,)
META_FILE = "state.json"
ARRAYS_FILE = "arrays.npz"


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    schema: int
    kind: str
    version: int
    meta: dict[str, Any]
    arrays: list[str]


def encode(state: State) -> dict[str, bytes]:
    """File name to bytes, the same for equal states; :class:`FormatRefused` if something in it is not plain data."""
    document = {
        "schema": FORMAT,
        "kind": state.kind,
        "version": state.version,
        "meta": dict(state.meta),
        "arrays": sorted(state.arrays),
    }
    try:
        text = json.dumps(document, sort_keys=True, allow_nan=False, indent=1)
    except (TypeError, ValueError) as error:
        raise FormatRefused(
            f"The metadata of a '{state.kind}' state has no JSON form: {error}; put numbers into its arrays.",
            path="meta",
        ) from error
    return {
        META_FILE: text.encode(),
        ARRAYS_FILE: npz.pack({name: state.arrays[name] for name in sorted(state.arrays)}),
    }


def decode(files: Mapping[str, bytes]) -> State:
    """Read a state back; :class:`FormatRefused` naming the file that is missing, broken or of an unknown format."""
    for name in (META_FILE, ARRAYS_FILE):
        if name not in files:
            raise FormatRefused(f"A state needs the file {name}; got {', '.join(sorted(files)) or 'none'}.", path=name)
    try:
        found = msgspec.json.decode(files[META_FILE], type=dict[str, Any]).get("schema")
        if found not in READS:
            raise FormatRefused(
                f"The state has format {found}; this release reads {READS}. Use the one that wrote it, or newer.",
                path=META_FILE,
            )
        document = msgspec.json.decode(files[META_FILE], type=_Document)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise FormatRefused(f"{META_FILE} is not a state: {error}.", path=META_FILE) from None
    arrays = npz.unpack(files[ARRAYS_FILE], ARRAYS_FILE)
    if sorted(arrays) != sorted(document.arrays):
        raise FormatRefused(
            f"{META_FILE} speaks of the arrays {', '.join(document.arrays) or 'none'}, {ARRAYS_FILE} holds "
            f"{', '.join(sorted(arrays)) or 'none'}; they do not belong together.",
            path=ARRAYS_FILE,
        )
    return State(document.kind, document.version, document.meta, arrays)
