"""The ladder with ImageNet's own classes, on the groceries that have one among them."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.decisions._rungs import MAX_PIXELS, WISHES, Photographs, weights
from benchmarks.decisions._rungs import Rung as File
from benchmarks.harness.table import Row
from quorate.core.types import Artifact, OutputSpec, Signature
from quorate.preprocess.pipeline import Pipeline
from quorate.runtimes.litert import inspect_tflite
from quorate.runtimes.tflite import TfliteRuntime
from quorate.training.foreign_tflite import with_pixels
from quorate.training.labels import read_labels
from quorate.training.pictures import pictures_for

COUNTERPARTS = {
    "Granny-Smith": "Granny Smith",
    "Banana": "banana",
    "Lemon": "lemon",
    "Orange": "orange",
    "Pineapple": "pineapple, ananas",
    "Pomegranate": "pomegranate",
    "Cabbage": "head cabbage",
    "Cucumber": "cucumber, cuke",
    "Zucchini": "zucchini, courgette",
    "Brown-Cap-Mushroom": "mushroom",
    "Green-Bell-Pepper": "bell pepper",
    "Orange-Bell-Pepper": "bell pepper",
    "Red-Bell-Pepper": "bell pepper",
    "Yellow-Bell-Pepper": "bell pepper",
}
FILES = (
    File("v1-025-128", "mobilenet_v1_0.25_128_quant.tflite", ""),
    File("v1-050-160", "mobilenet_v1_0.5_160_quant.tflite", ""),
    File("v1-075-192", "mobilenet_v1_0.75_192_quant.tflite", ""),
    File("v2-ptq-224", "tf2_mobilenet_v2_1.0_224_ptq.tflite", ""),
    File("v2-100-224", "mobilenet_v2_1.0_224_quant.tflite", ""),
)
_LOGITS = 0.5
"""What a scale of probabilities goes up to, roughly: its output needs no softmax."""


def rows(found: Photographs, fine: dict[str, int]) -> list[Row]:
    """Each network alone on the test photographs with a counterpart: accuracy among 1,001 classes, and milliseconds."""
    labels, _ = read_labels(str(weights(FILES[0]).with_name("imagenet_labels.txt")))
    number = {fine[name]: labels.index(label) for name, label in COUNTERPARTS.items()}
    tested = [i for i in found.where("test").tolist() if int(found.fine[i]) in number]
    truth = np.array([number[int(found.fine[i])] for i in tested])
    workload = f"image ladder: ImageNet's own classes, {len(tested)} photographs of {len(set(number.values()))} kinds"
    listed = []
    for file in FILES:
        answers, ms = _answers(file, labels, [found.files[i] for i in tested])
        accuracy = float((answers == truth).mean())
        note = f"mean; p95 {np.quantile(ms, 0.95):.2f}; with decoding"
        listed.append(Row(workload, file.name, "accuracy", "share", (accuracy,)))
        listed.append(Row(workload, file.name, "takes", "ms", (float(ms.mean()),), note))
    return listed


def _answers(file: File, labels: tuple[str, ...], pictures: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    path = weights(file)
    inputs, outputs = inspect_tflite(path)
    steps, _ = pictures_for(with_pixels(WISHES, inputs[0], []), inputs[0].spec)
    pipeline = Pipeline.from_spec(steps.steps())
    signature = Signature("array", (inputs[0].spec,), OutputSpec("scores", labels))
    scale = outputs[0].scale
    assert scale is not None
    logits = {} if scale.step * (scale.ends[1] - scale.zero) < 1 + _LOGITS else {"activation": "softmax"}
    artifact = Artifact(
        *(file.name, 1, "tflite", path.parent, (path.name,), "", signature, signature.inputs, outputs[0].spec.name),
        {"rows": "alone", **logits},
    )
    session = TfliteRuntime().load(artifact)
    found, ms = [], []
    for picture in pictures:
        started = time.perf_counter()
        said = session.run(pipeline.apply({"image": [picture]}, max_pixels=MAX_PIXELS))
        ms.append((time.perf_counter() - started) * 1000)
        found.append(int(said[outputs[0].spec.name].argmax()))
    session.close()
    return np.array(found), np.array(ms)
