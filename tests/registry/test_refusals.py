from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import zipfile
import zlib

import numpy as np
import pytest

from quorate.errors import FormatRefused
from quorate.registry import formats
from quorate.registry.refusals import is_pickle, refuse_known


class Thing:
    def __init__(self) -> None:
        self.weights = np.arange(10)


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(3))
    return file.getvalue()


PICKLES = {f"protocol {p}": pickle.dumps({"a": Thing(), "b": [1, 2.5, "text"]}, protocol=p) for p in range(6)}
CASES = {
    **{name: (data, "pickle.*skops") for name, data in PICKLES.items()},
    "joblib zlib": (zlib.compress(PICKLES["protocol 4"]), "joblib.*skops"),
    "joblib gzip": (gzip.compress(PICKLES["protocol 4"]), "joblib.*skops"),
    "joblib bz2": (bz2.compress(PICKLES["protocol 4"]), "joblib.*skops"),
    "joblib xz": (lzma.compress(PICKLES["protocol 4"]), "joblib.*skops"),
    "joblib lzma": (lzma.compress(PICKLES["protocol 4"], lzma.FORMAT_ALONE), "joblib.*skops"),
    "torch": (zipped("archive/data.pkl", "archive/data/0"), r"PyTorch.*torch\.onnx\.export"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + b"\0" * 20, "HDF5.*export"),
    "keras": (zipped("config.json", "model.weights.h5"), "Keras.*export"),
    "ort": (b"\x1c\0\0\0ORTM", "ONNX Runtime's own.*onnx file"),
    "npy": (npy(), "NumPy array"),
    "zip of pickles": (zipped("model.pkl"), "pickle"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("format_", ["onnx", "skops", "callable"])
def test_known_formats_are_recognised_when_renamed(case: str, format_: str) -> None:
    data, message = CASES[case]
    name = {"onnx": "m.onnx", "skops": "m.skops", "callable": "m.py"}[format_]
    with pytest.raises(FormatRefused, match=message):
        formats.check(format_, {name: data}, {"entry": "f"})
    if format_ != "callable":  # what ends in .py is taken for source, and refused as above
        with pytest.raises(FormatRefused, match=message):
            formats.guess({name: data})


@pytest.mark.parametrize(
    "suffix", [".pkl", ".pickle", ".joblib", ".pt", ".pth", ".h5", ".hdf5", ".keras", ".pb", ".ort", ".PKL"]
)
def test_suffixes_say_it_too(suffix: str) -> None:
    with pytest.raises(FormatRefused, match="is not accepted; "):
        refuse_known(f"model{suffix}", b"whatever is inside")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"import numpy as np\n\ndef f(input):\n    return np.exp(input)\n",
        b"class A:\n    pass\n",
        b'{"kind": "stack"}',
        b"\x08\x09\x3a\x00",
        b"x = 1\n",
        b"x\x01 is no stream",
        zipped("schema.json"),
        b"PK\x03\x04 broken",
    ],
)
def test_other_bytes_pass(data: bytes) -> None:
    refuse_known("model", data)


def test_a_pickle_is_never_run(tmp_path_factory: pytest.TempPathFactory) -> None:
    mark = tmp_path_factory.mktemp("pickle") / "ran"
    evil = b"cbuiltins\nopen\n(V" + str(mark).encode() + b"\nVw\ntR."
    assert is_pickle(evil)
    with pytest.raises(FormatRefused):
        formats.check("onnx", {"m.onnx": evil}, {})
    assert not mark.exists()
    pickle.loads(evil).close()
    assert mark.exists()  # so it would have
