"""Formats that are never accepted, recognised by their first bytes also when renamed, and the way out of each."""

from __future__ import annotations

import io
import lzma
import pickletools
import zipfile
import zlib
from pathlib import PurePosixPath

from quorate.errors import FormatRefused

_HEAD = 64
_PICKLE = (
    "a Python pickle, which runs any code it contains when it is loaded",
    "save a scikit-learn estimator with skops.io.dump(estimator, file), or let quorate.Pool convert it with skl2onnx",
)
_JOBLIB = ("a compressed stream, as joblib writes around a pickle", _PICKLE[1])
_TORCH = (
    "a PyTorch file, which is a pickle inside",
    "load it where it was made and export it with torch.onnx.export(module, args, file, dynamo=True)",
)
_HDF5 = (
    "an HDF5 file, as Keras writes, which may contain code",
    "load it where it was made and export it with model.export(file, format='onnx')",
)
_KERAS = ("a Keras archive, which may contain code", _HDF5[1])
_TENSORFLOW = ("a TensorFlow SavedModel", "convert it with tf2onnx")
_ORT = ("a model in ONNX Runtime's own format", "register the .onnx file it was made from")
_NUMPY = ("a NumPy array", "models are registered, not arrays; a combiner's state is state.json and arrays.npz")
_SUFFIXES = {
    ".pkl": _PICKLE,
    ".pickle": _PICKLE,
    ".joblib": _PICKLE,
    ".pt": _TORCH,
    ".pth": _TORCH,
    ".h5": _HDF5,
    ".hdf5": _HDF5,
    ".keras": _KERAS,
    ".pb": _TENSORFLOW,
    ".ort": _ORT,
}
_MAGIC = ((b"\x89HDF\r\n\x1a\n", 0, _HDF5), (b"ORTM", 4, _ORT), (b"\x93NUMPY", 0, _NUMPY))
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x04\x22\x4d\x18", b"\x28\xb5\x2f\xfd")


def refuse_known(name: str, data: bytes) -> None:
    """Raise :class:`FormatRefused` with the way out if ``data`` is of a format that is never accepted."""
    known = _recognise(data) or _SUFFIXES.get(PurePosixPath(name).suffix.lower())
    if known is not None:
        what, instead = known
        raise FormatRefused(f"'{name}' is {what}, and is not accepted; {instead}.", path=name)


def _recognise(data: bytes) -> tuple[str, str] | None:
    for magic, offset, known in _MAGIC:
        if data.startswith(magic, offset):
            return known
    if data.startswith(b"PK\x03\x04"):
        return _recognise_zip(data)
    if is_pickle(data):
        return _PICKLE
    if data.startswith(_COMPRESSED) or _is_deflated(data):
        return _JOBLIB
    return None


def _recognise_zip(data: bytes) -> tuple[str, str] | None:
    try:
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return None
    if any(name.endswith((".weights.h5", ".h5")) for name in names):
        return _KERAS
    if any(name.rpartition("/")[2] in ("data.pkl", "constants.pkl") for name in names):
        return _TORCH
    return _PICKLE if any(name.endswith((".pkl", ".pickle")) for name in names) else None


def is_pickle(data: bytes) -> bool:
    """Whether ``data`` is a pickle of any protocol; its opcodes are read, never run."""
    if len(data) < 3:
        return False
    if data[0] == 0x80 and data[1] <= 5:
        return True  # protocol 2 and later say so themselves
    try:
        return any(opcode.name == "STOP" for opcode, _, _ in pickletools.genops(data))
    except Exception:  # whatever genops stumbles over, it is no pickle
        return False


def _is_deflated(data: bytes) -> bool:
    if not data.startswith((b"x\x01", b"x\x5e", b"x\x9c", b"x\xda", b"\x5d\x00\x00")):
        return False
    try:
        if data[0] == 0x5D:
            lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(data[:_HEAD], 1)
        else:
            zlib.decompressobj().decompress(data[:_HEAD], 1)
    except (zlib.error, lzma.LZMAError):
        return False
    return True
