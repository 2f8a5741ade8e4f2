from __future__ import annotations

import io
import pickle
import random
import struct
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quorate.codecs import npz
from quorate.errors import FormatRefused

ARRAYS = {
    "floats": np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "empty": np.zeros((0, 5)),
    "scalar": np.float64(2.5).reshape(()),
    "text": np.array(["a", "bcd"]),
    "file": np.array([True, False]),
    "big-endian": np.arange(3, dtype=">i4"),
    "": np.zeros(1),
}


def entry(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return file.getvalue()


def npy(header: str, body: bytes = b"") -> bytes:
    text = header.encode().ljust(53) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def test_arrays_survive_and_their_bytes_are_reproducible() -> None:
    data = npz.pack(ARRAYS)
    found = npz.unpack(data, "it")
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)
    assert npz.pack(found) == data


def test_numpy_reads_what_is_written_and_the_other_way_round() -> None:
    with np.load(io.BytesIO(npz.pack(ARRAYS)), allow_pickle=False) as found:
        np.testing.assert_array_equal(found["floats"], ARRAYS["floats"])
    file = io.BytesIO()
    np.savez_compressed(file, a=ARRAYS["fortran"])
    np.testing.assert_array_equal(npz.unpack(file.getvalue(), "it")["a"], ARRAYS["fortran"])


@given(hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, min_side=0, max_side=4)))
def test_any_plain_array_survives(array: np.ndarray) -> None:
    found = npz.unpack(npz.pack({"a": array}), "it")["a"]
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()


def test_python_objects_go_neither_in_nor_out() -> None:
    with pytest.raises(FormatRefused, match="'a' holds Python objects"):
        npz.pack({"a": np.array([{}, None])})
    file = io.BytesIO()
    np.savez(file, a=np.array([{}, None]))
    with pytest.raises(FormatRefused, match="an array holds Python objects"):
        npz.unpack(file.getvalue(), "it")
    with pytest.raises(FormatRefused, match="it is not an archive of plain arrays"):
        npz.unpack(entry("a.npy", pickle.dumps([1])), "it")


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -2), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",
        "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (2,), }",
        "{'descr': '<f8', 'shape': (2,), }",
        "__import__('os').abort()",
        "{'descr': '|V0', 'fortran_order': False, 'shape': (99999999999,), }",
    ],
)
def test_a_header_that_lies_costs_nothing(header: str) -> None:
    with pytest.raises(FormatRefused, match="it is not an archive of plain arrays"):
        npz.unpack(entry("a.npy", npy(header, b"\0" * 16)), "it")


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "MAX_BYTES", 1000)
    with pytest.raises(FormatRefused, match="unpacks to more than 1000 bytes"):
        npz.unpack(entry("a.npy", b"\0" * 2000), "it")


def test_broken_bytes_end_in_a_clear_error() -> None:
    data = npz.pack({"a": np.arange(100.0), "b": np.ones((3, 3), np.float32)})
    for length in range(0, len(data), 7):
        with pytest.raises(FormatRefused):
            npz.unpack(data[:length], "it")
    rng = random.Random(1)
    for _ in range(2000):
        broken = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        with suppress(FormatRefused):
            npz.unpack(bytes(broken), "it")


@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_clear_error(data: bytes) -> None:
    with pytest.raises(FormatRefused):
        npz.unpack(data, "it")
