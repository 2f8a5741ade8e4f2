"""The rungs of the image ladder: MobileNets of rising size as TFLite members with heads of one's own.

A head is a logistic regression on what the network's last pooling layer says, fitted on the train split with
scikit-learn and put beside the network's own file. The strength of its penalty is chosen on the val split.
"""

from __future__ import annotations

import csv
import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.examples import data
from benchmarks.harness.table import FOLDER
from quorate.clock import SystemClock
from quorate.core.types import Artifact, OutputSpec, Signature
from quorate.home import Home
from quorate.preprocess.pipeline import Pipeline
from quorate.preprocess.prepared import prepare
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.runtimes.litert import inspect_tflite
from quorate.runtimes.tflite import TfliteRuntime
from quorate.training.foreign_tflite import import_tflite, with_pixels
from quorate.training.pictures import Wishes, pictures_for

PROJECT = FOLDER / "run" / "ladder"
STRENGTHS = (0.01, 0.1, 1.0)
"""Values of C among which the val split chooses, on standardised features."""
WISHES = Wishes(stretch=True, colour="rgb")
MAX_PIXELS = 1 << 26
_NEVER = -100.0
_SPLITS = ("train", "val", "test")


class Rung(NamedTuple):
    """A member's name, its file, and the tensor of the file that the head is put behind."""

    name: str
    file: str
    tensor: str


_V1, _V2 = "MobilenetV1/Logits/AvgPool_1a/AvgPool", "MobilenetV2/Logits/AvgPool"
_PTQ = (
    "MobileNetV2/top/Reshape/Reshape;StatefulPartitionedCall/MobileNetV2/top/Reshape/Reshape;"
    "MobileNetV2/top/GlobalPool/Mean/reduction_indices;StatefulPartitionedCall/MobileNetV2/top/GlobalPool/Mean/"
    "reduction_indices;MobileNetV2/top/GlobalPool/Mean;StatefulPartitionedCall/MobileNetV2/top/GlobalPool/Mean;"
    "MobileNetV2/top/Reshape/Reshape/shape;StatefulPartitionedCall/MobileNetV2/top/Reshape/Reshape/shape1"
)
RUNGS = (
    Rung("v1-025-128", "mobilenet_v1_0.25_128_quant.tflite", _V1),
    Rung("v1-050-160", "mobilenet_v1_0.5_160_quant.tflite", _V1),
    Rung("v2-ptq-224", "tf2_mobilenet_v2_1.0_224_ptq.tflite", _PTQ),
    Rung("v1-075-192", "mobilenet_v1_0.75_192_quant.tflite", _V1),
    Rung("v2-100-224", "mobilenet_v2_1.0_224_quant.tflite", _V2),
    Rung("v1-100-224", "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite", _V1),
)
"""In the order of their processor time: 0.5, 2, 4, 6, 7 and 12 ms where they were first measured."""


class Photographs(NamedTuple):
    """``files`` are JPEG bytes; ``fine`` and ``coarse`` class numbers and ``split`` ``[n]``."""

    files: list[bytes]
    fine: NDArray[np.intp]
    coarse: NDArray[np.intp]
    split: NDArray[np.str_]

    def where(self, *splits: str) -> NDArray[np.intp]:
        """The rows of these splits."""
        return np.flatnonzero(np.isin(self.split, splits))


def missing() -> str | None:
    """Why nothing can be measured here, if so."""
    if data() is None:
        return "no data; set QUORATE_DATA"
    try:
        import ai_edge_litert  # noqa: F401
    except ImportError:
        return "LiteRT is not installed; pip install 'quorate[tflite]'"
    return None


def weights(rung: Rung) -> Path:
    """A rung's file."""
    folder = data()
    assert folder is not None
    return folder / "pretrained" / "mobilenet_tflite" / rung.file


def photographs(every: int = 1) -> Photographs:
    """All photographs of groceries, or every so many of each split."""
    folder = data()
    assert folder is not None
    folder /= Path("images", "grocery_store")
    with (folder / "index.csv").open() as file:
        table = list(csv.DictReader(file))
    table = [row for split in _SPLITS for row in [one for one in table if one["split"] == split][::every]]
    return Photographs(
        [(folder / row["path"]).read_bytes() for row in table],
        np.array([int(row["fine_id"]) for row in table]),
        np.array([int(row["coarse_id"]) for row in table]),
        np.array([row["split"] for row in table]),
    )


def kinds() -> tuple[dict[str, int], tuple[str, ...]]:
    """Fine class name to number, and the names of the coarse classes in order."""
    folder = data()
    assert folder is not None
    with (folder / "images" / "grocery_store" / "classes.csv").open() as file:
        table = list(csv.DictReader(file))
    fine = {row["Class Name (str)"]: int(row["Class ID (int)"]) for row in table}
    coarse = {int(row["Coarse Class ID (int)"]): row["Coarse Class Name (str)"] for row in table}
    return fine, tuple(coarse[number] for number in sorted(coarse))


def features(rung: Rung, found: Photographs, folder: Path) -> NDArray[np.float32]:
    """What the tensor of a rung says to every photograph, ``[n, f]``; kept in a file, because it takes a minute."""
    kept = folder / f"{rung.name}-{len(found.files)}.npy"
    if kept.exists():
        return np.asarray(np.load(kept))
    inputs, outputs = inspect_tflite(weights(rung), rung.tensor)
    names = tuple(map(str, range(outputs[0].numbers)))
    signature = Signature("array", (inputs[0].spec,), OutputSpec("values", names=names))
    path = weights(rung)
    artifact = Artifact(
        *(rung.name, 1, "tflite", path.parent, (path.name,), "", signature, signature.inputs, rung.tensor),
        {"rows": "alone"},
    )
    session = TfliteRuntime().load(artifact)
    pipeline = pipeline_of(rung)
    said = []
    for file in found.files:
        tensors = pipeline.apply({"image": [file]}, max_pixels=MAX_PIXELS)
        said.append(session.run(tensors)[rung.tensor])
    session.close()
    folder.mkdir(parents=True, exist_ok=True)
    np.save(kept, np.concatenate(said))
    return np.concatenate(said)


def pipeline_of(rung: Rung) -> Pipeline:
    """The steps that the import gives a rung: the whole picture in the network's size, its pixels as they are."""
    inputs, _ = inspect_tflite(weights(rung))
    pictures, _ = pictures_for(with_pixels(WISHES, inputs[0], []), inputs[0].spec)
    return Pipeline.from_spec(pictures.steps())


def fit_head(
    x: NDArray[np.float32], y: NDArray[np.intp], held_x: NDArray[np.float32], held_y: NDArray[np.intp], classes: int
) -> dict[str, NDArray[np.float64]]:
    """``weights`` and ``bias`` of a logistic regression, its penalty the one that is best on the held-out rows."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    centre, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    best: tuple[float, Any] | None = None
    with threadpool_limits(1):
        for strength in STRENGTHS:
            model = LogisticRegression(C=strength, max_iter=300, tol=1e-3).fit((x - centre) / spread, y)
            score = float(model.score((held_x - centre) / spread, held_y))
            if best is None or score > best[0]:
                best = score, model
    assert best is not None
    coefficients = best[1].coef_ / spread
    bias = np.full(classes, _NEVER)  # of a class that was not there to be learned
    bias[best[1].classes_] = best[1].intercept_ - coefficients @ centre
    weights = np.zeros((x.shape[1], classes))
    weights[:, best[1].classes_] = coefficients.T
    return {"weights": weights, "bias": bias}


def registered(found: Photographs, labels: tuple[str, ...]) -> tuple[Registry, list[Manifest]]:
    """The rungs with their heads in a fresh registry, imported as anybody would."""
    shutil.rmtree(PROJECT, ignore_errors=True)
    PROJECT.mkdir(parents=True)
    registry = Registry(Home(PROJECT).registry, SystemClock())
    train, val = found.where("train"), found.where("val")
    manifests = []
    for rung in RUNGS:
        x = features(rung, found, FOLDER / "ladder-features")
        head = fit_head(x[train], found.coarse[train], x[val], found.coarse[val], len(labels))
        path = PROJECT / f"{rung.name}.npz"
        np.savez(path, **head)  # type: ignore[arg-type]
        manifest, _ = import_tflite(
            registry,
            name=rung.name,
            files={rung.file: weights(rung), path.name: path},
            labels=labels,
            wishes=WISHES,
            softmax=True,
            output=rung.tensor,
        )
        manifests.append(manifest)
    return registry, manifests


class Measured(NamedTuple):
    """``outputs`` float32 ``[n, m, k]``; milliseconds a photograph: ``decoding`` ``[n]``, and ``ms`` ``[n, m]`` of what
    each rung adds: its own size of the picture, the network, the head; ``processor`` ``[n, m]`` is the same in
    processor time of the thread."""

    outputs: NDArray[np.float32]
    decoding: NDArray[np.float64]
    ms: NDArray[np.float64]
    processor: NDArray[np.float64]


def measured(registry: Registry, manifests: list[Manifest], files: list[bytes]) -> Measured:
    """Every rung's answer to every photograph, one at a time, the order of the rungs turning."""
    pipelines = [Pipeline.from_spec(manifest.preprocess) for manifest in manifests]
    sessions = [TfliteRuntime().load(artifact_of(registry, manifest)) for manifest in manifests]
    assert manifests[0].signature is not None
    n, m = len(files), len(sessions)
    outputs = np.empty((n, m, manifests[0].signature.output.width), np.float32)
    decoding, ms, processor = np.empty(n), np.empty((n, m)), np.empty((n, m))
    for i, file in enumerate(files):
        started = time.perf_counter()
        prepared = prepare(pipelines, {"image": [file]}, max_pixels=MAX_PIXELS)
        decoding[i] = time.perf_counter() - started
        for j in np.roll(np.arange(m), i).tolist():
            started, used = time.perf_counter(), time.thread_time()
            outputs[i, j] = sessions[j].run(prepared[j])[manifests[j].output_name][0]
            ms[i, j], processor[i, j] = time.perf_counter() - started, time.thread_time() - used
    for session in sessions:
        session.close()
    return Measured(outputs, decoding * 1000, ms * 1000, processor * 1000)


def artifact_of(registry: Registry, manifest: Manifest) -> Artifact:
    """What a runtime loads."""
    assert manifest.signature is not None
    return Artifact(
        name=manifest.name,
        version=manifest.version,
        format=manifest.format,
        folder=registry.blobs.checkout(manifest.files),
        files=tuple(manifest.files),
        digest=manifest.digest,
        signature=manifest.signature,
        tensors=manifest.tensors,
        output_name=manifest.output_name,
        options=manifest.options,
    )
