"""Networks of pictures as plain files, with Quorate's own preprocessing in front: the same decoder for everybody."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.peers.pool import open_session
from quorate.codecs import snapshot
from quorate.codecs.state import decode
from quorate.home import Home
from quorate.preprocess import Pipeline
from quorate.registry.blobs import BlobStore

VARIABLE = "QUORATE_BENCH_PIPED"
MAX_PIXELS = 50_000_000


class PipedFiles(msgspec.Struct, frozen=True):
    """Members as files to their outputs, the steps before them, and how their outputs become an answer.

    ``softmax``: they answer logits. ``stack`` is an ``.npz`` with the coefficients and intercepts of a fitted stack
    and the clip of its logarithm; without it the answer is the mean.
    """

    classes: tuple[str, ...]
    steps: list[dict[str, Any]]
    members: Mapping[str, str]
    softmax: bool
    stack: str | None = None


def export(home: Home, folder: Path) -> PipedFiles:
    """Write the first pool that a project serves into ``folder``."""
    routing = snapshot.read(home.snapshot)
    pool, blobs = routing.pools[0], BlobStore(home.registry)
    folder.mkdir(parents=True, exist_ok=True)
    members = {}
    for member in pool.members:
        path = (folder / f"{member.name}.onnx").resolve()
        path.write_bytes(blobs.read(next(iter(member.files.values()))))
        members[str(path)] = member.output_name
    strategy = routing.endpoints[0].strategies[0]
    stack = None
    if strategy.state is not None:
        state = decode({name: blobs.read(digest) for name, digest in strategy.state.items()})
        stack = str((folder / "stack.npz").resolve())
        full = int(np.flatnonzero(state.arrays["subsets"].all(axis=1))[0])
        arrays = {name: state.arrays[name][full] for name in ("coefficients", "intercepts")}
        np.savez(stack, clip=state.meta["clip"], **arrays)
    first = pool.members[0]
    softmax = first.options.get("activation") == "softmax"
    files = PipedFiles(pool.signature.output.classes, first.preprocess, members, softmax, stack)
    (folder / "piped.json").write_bytes(msgspec.json.encode(files))
    return files


def from_environment() -> PipedFiles:
    """The files that ``QUORATE_BENCH_PIPED`` names."""
    return msgspec.json.decode(Path(os.environ[VARIABLE]).read_bytes(), type=PipedFiles)


class Piped:
    """The pool in this process, one thread."""

    def __init__(self, files: PipedFiles) -> None:
        self.classes = files.classes
        self._pipeline = Pipeline.from_spec(files.steps)
        self._members = [(open_session(path), [output]) for path, output in files.members.items()]
        self._input = self._members[0][0].get_inputs()[0].name
        self._softmax = files.softmax
        self._stack = None if files.stack is None else dict(np.load(files.stack))

    def probabilities(self, pictures: Sequence[Any]) -> NDArray[np.float32]:
        """Probabilities ``[n, k]`` of encoded pictures or uint8 arrays."""
        feed = {self._input: self._pipeline.apply({"image": pictures}, max_pixels=MAX_PIXELS)["input"]}
        outputs = [session.run(names, feed)[0] for session, names in self._members]
        return self.combined(outputs)

    def combined(self, outputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """One answer of the members' outputs, each ``[n, k]``."""
        if self._softmax:
            outputs = [softmax(output) for output in outputs]
        if self._stack is None:
            return sum(outputs[1:], outputs[0]) / np.float32(len(outputs))
        x = np.log(np.maximum(np.concatenate(outputs, axis=1), self._stack["clip"]))
        return softmax(x @ self._stack["coefficients"] + self._stack["intercepts"])


def softmax(z: NDArray[Any]) -> NDArray[np.float32]:
    """Rows that sum to 1."""
    exp = np.exp(z - z.max(axis=1, keepdims=True))
    found: NDArray[np.float32] = (exp / exp.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


def reference(picture: bytes, side: int = 224) -> NDArray[np.float32]:
    """A photograph as those who trained the network show it: Pillow alone, written apart from Quorate's steps.

    Shorter side to ``side``, the middle cut out, ImageNet's mean and deviation; float32 ``[1, 3, side, side]``.
    """
    from PIL import ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Quorate's steps turn Pillow's warnings into errors; this is the plain way
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(picture))).convert("RGB")
    width, height = image.size
    short, long = min(width, height), max(width, height)
    scaled = int(side * long / short)
    image = image.resize((side, scaled) if width < height else (scaled, side), Image.Resampling.BILINEAR)
    left, top = round((image.width - side) / 2.0), round((image.height - side) / 2.0)
    pixels = np.asarray(image.crop((left, top, left + side, top + side)), np.float32) / 255
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    return np.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1)[None])
