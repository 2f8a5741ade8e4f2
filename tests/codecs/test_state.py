from __future__ import annotations

import json

import numpy as np
import pytest

from quorate.codecs import npz
from quorate.codecs.state import decode, encode
from quorate.core.types import State
from quorate.errors import FormatRefused

STATE = State(
    "stack",
    2,
    {"members": ["a", "b"], "classes": ["0", "1"], "rate": 0.25, "nested": {"x": None}},
    {"weights": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(3)},
)


def test_a_state_survives() -> None:
    files = encode(STATE)
    assert set(files) == {"state.json", "arrays.npz"}
    found = decode(files)
    assert (found.kind, found.version, found.meta) == (STATE.kind, STATE.version, STATE.meta)
    assert found.arrays.keys() == STATE.arrays.keys()
    for name, array in STATE.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


def test_equal_states_have_equal_bytes() -> None:
    other = State("stack", 2, dict(reversed(STATE.meta.items())), dict(reversed(STATE.arrays.items())))
    assert encode(other) == encode(STATE)


def test_an_empty_state_survives() -> None:
    assert decode(encode(State("mean", 1))) == State("mean", 1)


@pytest.mark.parametrize(
    "meta", [{"a": np.float32(1)}, {"a": float("nan")}, {"a": float("inf")}, {"a": b"x"}, {"a": {1}}]
)
def test_metadata_is_plain(meta: dict[str, object]) -> None:
    with pytest.raises(FormatRefused, match="metadata of a 'stack' state has no JSON form"):
        encode(State("stack", 1, meta))


def test_objects_are_refused() -> None:
    with pytest.raises(FormatRefused, match="'w' holds Python objects"):
        encode(State("stack", 1, {}, {"w": np.array([object()])}))


@pytest.mark.parametrize("name", ["state.json", "arrays.npz"])
def test_both_files_are_needed(name: str) -> None:
    files = encode(STATE)
    del files[name]
    with pytest.raises(FormatRefused, match=f"needs the file {name}") as caught:
        decode(files)
    assert caught.value.path == name


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000, b'{"schema": 1}', b'{"schema": 1, "kind": 3}']
)
def test_broken_metadata_is_said_to_be(data: bytes) -> None:
    with pytest.raises(FormatRefused, match=r"state\.json is not a state"):
        decode({**encode(STATE), "state.json": data})


def test_unknown_formats_and_fields_are_refused() -> None:
    files = encode(STATE)
    document = json.loads(files["state.json"])
    with pytest.raises(FormatRefused, match=r"has format 9; this release reads \(1,\)"):
        decode({**files, "state.json": json.dumps(document | {"schema": 9}).encode()})
    with pytest.raises(FormatRefused, match="unknown field `code`"):
        decode({**files, "state.json": json.dumps(document | {"code": "x"}).encode()})


def test_files_of_two_states_do_not_mix() -> None:
    with pytest.raises(FormatRefused, match="do not belong together"):
        decode({**encode(STATE), "arrays.npz": npz.pack({"weights": np.zeros(1)})})
    with pytest.raises(FormatRefused, match=r"arrays\.npz is not an archive"):
        decode({**encode(STATE), "arrays.npz": b"PK"})
