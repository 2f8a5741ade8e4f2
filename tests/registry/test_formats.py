from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.codecs import state as state_codec
from quorate.core.types import State
from quorate.errors import FormatRefused, RegistryError
from quorate.registry import formats
from quorate.testing.tflite import dense_network


def external(location: str) -> bytes:
    entry = b"\x0a\x08location\x12" + bytes([len(location)]) + location.encode()
    tensor = b"\x70\x01\x6a" + bytes([len(entry)]) + entry
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    return b"\x08\x09\x3a" + bytes([len(graph)]) + graph


ONNX = b"\x08\x09\x3a\x00"
STATE = state_codec.encode(State("stack", 1, {"a": 1}, {"w": np.ones(3)}))
SOURCE = b"class Model:\n    def __call__(self, input): return input\n\ndef predict(input):\n    return input\n"


def zipped(**entries: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name.replace("__", "."), data)
    return file.getvalue()


# --- onnx ---


def test_onnx_by_itself() -> None:
    formats.check("onnx", {"model.onnx": ONNX}, {})
    assert formats.guess({"model.onnx": ONNX}) == "onnx"


def test_onnx_with_its_weights() -> None:
    files: dict[str, bytes | Path] = {"net/model.onnx": external("w/a.bin"), "net/w/a.bin": b"1234"}
    formats.check("onnx", files, {})
    formats.check("onnx", {"model.onnx": external("./w.bin"), "w.bin": b"1"}, {})
    assert formats.guess(files) == "onnx"


@pytest.mark.parametrize(
    "location",
    [
        "../w.bin",
        "/etc/passwd",
        "a/../../w.bin",
        "a/../w.bin",
        "..\\w.bin",
        "w.bin ",
        "other.bin",
        "",
        "*/_ORT_MEM_ADDR_/*",
    ],
)
def test_onnx_weights_elsewhere_are_refused(location: str) -> None:
    with pytest.raises(FormatRefused, match=r"which is not among the model's files; expected one of w\.bin"):
        formats.check("onnx", {"model.onnx": external(location), "w.bin": b"1"}, {})


def test_onnx_must_be_well_formed_named_so_and_without_strays() -> None:
    with pytest.raises(FormatRefused, match=r"'model\.onnx' is not an ONNX model: it is cut off"):
        formats.check("onnx", {"model.onnx": external("w.bin")[:-1]}, {})
    with pytest.raises(FormatRefused, match=r"does not use notes\.txt; leave"):
        formats.check("onnx", {"model.onnx": ONNX, "notes.txt": b"hello"}, {})
    with pytest.raises(FormatRefused, match=r"one file that ends in \.onnx"):
        formats.check("onnx", {"model.bin": ONNX}, {})
    with pytest.raises(FormatRefused, match=r"one file that ends in \.onnx"):
        formats.check("onnx", {"a.onnx": ONNX, "b.onnx": ONNX}, {})


# --- skops ---


def dumped(value: Any) -> bytes:
    data: bytes = pytest.importorskip("skops.io").dumps(value)
    return data


def forest() -> bytes:
    from sklearn.tree import DecisionTreeClassifier

    return dumped(DecisionTreeClassifier().fit([[0.0], [1.0]], [0, 1]))


def test_skops_with_known_types() -> None:
    pytest.importorskip("skops")
    from sklearn.linear_model import LogisticRegression

    files = {"m.skops": dumped(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))}
    formats.check("skops", files, {})
    assert formats.guess(files) == "skops"


def test_skops_types_must_be_listed() -> None:
    files = {"m.skops": forest()}
    with pytest.raises(
        FormatRefused, match=r"not trusted: sklearn\.tree\._tree\.Tree; review them, then pass the option"
    ):
        formats.check("skops", files, {})
    formats.check("skops", files, {"trusted": ["sklearn.tree._tree.Tree"]})


def test_skops_never_trusts_what_runs_code() -> None:
    import functools
    import os

    files = {"m.skops": dumped(functools.partial(os.system, "true"))}
    with pytest.raises(FormatRefused, match="some of them can never be trusted"):
        formats.check("skops", files, {})
    for item in ("posix.system", "os.system", "builtins.eval", "functools.partial", "numpy.load"):
        with pytest.raises(FormatRefused, match=f"'{item}' cannot be trusted"):
            formats.check("skops", files, {"trusted": ["numpy.ndarray", item]})


@pytest.mark.parametrize("trusted", [True, "sklearn.tree._tree.Tree", [1], {"a": 1}])
def test_trusted_is_a_list(trusted: Any) -> None:
    with pytest.raises(FormatRefused, match="is a list of type names"):
        formats.check("skops", {"m.skops": zipped(schema__json=b"{}")}, {"trusted": trusted})


@pytest.mark.parametrize("schema", [b"", b"{}", b"[]", b'{"protocol": 1}', b'{"protocol": 2, "__loader__": "x"}'])
def test_hostile_skops_files_are_refused(schema: bytes) -> None:
    pytest.importorskip("skops")
    with pytest.raises(FormatRefused, match="not a skops file that can be read"):
        formats.check("skops", {"m.skops": zipped(schema__json=schema)}, {})


def test_skops_is_one_archive() -> None:
    with pytest.raises(FormatRefused, match=r"one file that ends in \.skops"):
        formats.check("skops", {"m.zip": zipped(schema__json=b"{}")}, {})
    with pytest.raises(FormatRefused, match=r"expected one zip archive with schema\.json"):
        formats.check("skops", {"m.skops": zipped(other=b"{}")}, {})


# --- callable ---


@pytest.mark.parametrize("entry", ["predict", "Model"])
def test_callable(entry: str) -> None:
    formats.check("callable", {"m.py": SOURCE, "table.npy": b"anything"[:3]}, {"entry": entry})
    assert formats.guess({"m.py": SOURCE}) == "callable"


@pytest.mark.parametrize("entry", [None, "numpy", "__call__", "", 3])
def test_callable_must_define_its_entry(entry: Any) -> None:
    with pytest.raises(FormatRefused, match="it defines Model, predict"):
        formats.check("callable", {"m.py": SOURCE}, {} if entry is None else {"entry": entry})


@pytest.mark.parametrize("source", [b"def f(:", b"\xff\xfe", b"def f(x):\n return x\0", b"(" * 5000])
def test_callable_must_be_source(source: bytes) -> None:
    with pytest.raises(FormatRefused, match=r"'m\.py' is not Python source"):
        formats.check("callable", {"m.py": source}, {"entry": "f"})


def test_callable_data_may_not_be_a_pickle() -> None:
    with pytest.raises(FormatRefused, match=r"'data\.bin' is a Python pickle"):
        formats.check("callable", {"m.py": SOURCE, "data.bin": b"\x80\x04N."}, {"entry": "predict"})


# --- state ---


def test_state() -> None:
    formats.check("state", STATE, {})
    assert formats.guess(STATE) == "state"


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"state.json": STATE["state.json"]}, "A state is the files"),
        ({**STATE, "more": b""}, "A state is the files"),
        ({**STATE, "state.json": b"{"}, "not a state"),
        ({**STATE, "state.json": b"[]"}, "not a state"),
        ({**STATE, "state.json": b"[" * 100_000}, "not a state"),
        ({**STATE, "arrays.npz": b"x"}, "not an archive"),
        ({**STATE, "arrays.npz": zipped(evil__pkl=b"")}, "pickle"),
    ],
)
def test_unsound_states_are_refused(files: Any, why: str) -> None:
    with pytest.raises(FormatRefused, match=why):
        formats.check("state", files, {})


# --- any ---


def test_unknown_formats_and_contents() -> None:
    with pytest.raises(FormatRefused, match="no format 'pmml'; expected one of onnx, skops, tflite, callable, state"):
        formats.check("pmml", {"m.xml": b"<pmml/>"}, {})
    with pytest.raises(FormatRefused, match="no allowed format; expected an ONNX model"):
        formats.guess({"m.xml": b"<pmml/>"})
    with pytest.raises(RegistryError, match="at least one file"):
        formats.guess({})


def test_files_may_be_paths(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(ONNX)
    formats.check("onnx", {"model.onnx": tmp_path / "m"}, {})
    with pytest.raises(FormatRefused, match=r"'model\.onnx' cannot be read from .*: No such file"):
        formats.check("onnx", {"model.onnx": tmp_path / "none"}, {})


@pytest.mark.parametrize("name", formats.FORMATS)
def test_names_are_checked_first(name: str) -> None:
    with pytest.raises(RegistryError, match="cannot be a model's file name"):
        formats.check(name, {"../model.onnx": ONNX}, {})


# --- tflite ---

NETWORK = dense_network(np.ones((2, 2)), np.zeros(2))


def head(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_tflite_by_itself_and_with_a_head() -> None:
    formats.check("tflite", {"m.tflite": NETWORK}, {})
    files: dict[str, bytes | Path] = {"m.tflite": NETWORK, "head.npz": head(weights=np.ones((2, 3)), bias=np.ones(3))}
    formats.check("tflite", files, {})
    assert formats.guess(files) == "tflite"


@pytest.mark.parametrize(
    "others",
    [
        {"notes.txt": b"hello"},
        {"head.npz": head(weights=np.ones((2, 3)))},
        {"head.npz": head(weights=np.ones((2, 3)), bias=np.ones(3), more=np.ones(1))},
        {"head.npz": b"no archive"},
        {f"{name}.npz": head(weights=np.ones((2, 3)), bias=np.ones(3)) for name in "ab"},
    ],
)
def test_tflite_takes_one_head_and_nothing_else(others: dict[str, bytes | Path]) -> None:
    with pytest.raises(FormatRefused, match=r"expected at most one head, which is an \.npz file with bias\.npy and"):
        formats.check("tflite", {"m.tflite": NETWORK, **others}, {})
