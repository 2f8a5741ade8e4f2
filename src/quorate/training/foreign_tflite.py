"""Somebody else's TFLite classifier as a registered model, with a head of one's own where there is one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quorate.core.types import OutputSpec, Signature
from quorate.errors import ConfigError, InvalidInput
from quorate.registry import formats
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.runtimes import adapt
from quorate.runtimes.head import SUFFIX as HEAD
from quorate.runtimes.head import read_head
from quorate.runtimes.litert import Port, Runner, inspect_tflite
from quorate.training.foreign import IMAGE, KEPT_PICTURES, chosen_options, described, named
from quorate.training.held import Held
from quorate.training.pictures import Wishes, looks_like_pictures, pictures_for
from quorate.training.register import SAMPLE_ROWS, register_model


def import_tflite(
    registry: Registry,
    *,
    name: str,
    files: Mapping[str, Path],
    labels: Sequence[str],
    wishes: Wishes | None = None,
    softmax: bool = False,
    rows: str | None = None,
    output: str | None = None,
    options: Mapping[str, Any] | None = None,
    held: Held | None = None,
) -> tuple[Manifest, list[str]]:
    """Register a TFLite classifier as the next version of ``name``; also returns notices about what was worked out.

    As :func:`~quorate.training.foreign.import_onnx`, and: an ``.npz`` among the files is a head (``weights``
    ``[features, classes]``, ``bias`` ``[classes]``) behind ``output``, which may be any tensor of the file. Where the
    file takes integers and no ``scale`` is wished for, pixels go in as they are. A file that was made for one row is
    run one row at a time.
    """
    chosen = {**(options or {}), **chosen_options(softmax=softmax, rows=rows)}
    formats.check("tflite", files, chosen)
    path = next(path for file, path in files.items() if file.endswith(".tflite"))
    inputs, outputs = inspect_tflite(path, output)
    if len(inputs) != 1:
        raise ConfigError(
            f"The model has {len(inputs)} inputs ({', '.join(map(str, inputs))}); give --signature FILE.",
            path="signature",
        )
    notices: list[str] = []
    _check_labels(labels, outputs[:1] if output is not None else outputs, files)
    if adapt.ROWS not in chosen and not _takes_two(path, inputs[0], outputs[0]):
        chosen[adapt.ROWS] = adapt.ALONE
        notices.append("Rows: the file was made for one row.")
    spec = OutputSpec("scores", tuple(labels))
    notes = {"source": ", ".join(path.name for path in files.values())}
    signature, steps = _raw(wishes or Wishes(), inputs[0], spec, notices)
    notes |= {"preset": wishes.preset} if wishes is not None and wishes.preset else {}
    notices += described(chosen)
    try:
        manifest = register_model(
            registry,
            name=name,
            format="tflite",
            files=files,
            signature=signature,
            output_name=output,
            preprocess=steps,
            options=chosen,
            sample_raw=None if held is None else held.raw,
            reference_output=None if held is None else held.output,
            notes=notes,
            keep=KEPT_PICTURES if steps else SAMPLE_ROWS,
        )
    except InvalidInput as error:
        raise named(error, held) from error
    return manifest, notices


def _raw(wishes: Wishes, port: Port, spec: OutputSpec, notices: list[str]) -> tuple[Signature, list[dict[str, Any]]]:
    """The raw signature and the preprocessing steps: of pictures where anything was said of them."""
    if not wishes.any:
        tensor = dataclasses.replace(port.spec, name="input")
        notices.append(f"Signature: {tensor}, as the file says ({port}).")
        if looks_like_pictures(port.spec):
            notices.append(
                "That looks like pictures; for a model that answers photographs say how they are made (--fit stretch)."
            )
        return Signature("array", (tensor,), spec), []
    pictures, more = pictures_for(with_pixels(wishes, port, notices), port.spec)
    notices += more
    return Signature("image", (IMAGE,), spec), pictures.steps()


def with_pixels(wishes: Wishes, port: Port, notices: list[str]) -> Wishes:
    """The wishes with what the file says of pixels, where nobody said it: its integers are the pixels."""
    said = wishes.preset is not None or any(each is not None for each in (wishes.scale, wishes.mean, wishes.std))
    pixels = None if said or port.scale is None else port.scale.pixels()
    if pixels is None:
        return wishes
    notices.append(f"Pixels: 0 to 255 go in as they are, as the file takes {port.scale}.")
    scale, mean = pixels
    return dataclasses.replace(wishes, scale=scale, mean=mean)


def _check_labels(labels: Sequence[str], outputs: Sequence[Port], files: Mapping[str, Path]) -> None:
    """That as many labels were given as the head, or else an output, has numbers."""
    head = next((path for file, path in files.items() if file.endswith(HEAD)), None)
    if head is not None:
        widths = {len(read_head(head, name=head.name).bias)}
        what = f"its head {head.name}"
    else:
        widths = {port.numbers for port in outputs}
        what = ", ".join(map(str, outputs))
    if len(labels) not in widths:
        width = min(widths, key=lambda each: abs(each - len(labels)))
        hint = "; networks made with TensorFlow often have a background class first" if width == len(labels) + 1 else ""
        raise ConfigError(
            f"There are {len(labels)} labels, but the model answers {what}; give one label for each of its {width} "
            f"classes, in its order{hint}.",
            path="labels",
        )


def _takes_two(path: Path, port: Port, output: Port) -> bool:
    """Whether LiteRT can size the file to two rows."""
    runner = Runner(path.read_bytes(), [(port, port.row)], output.tensor, name=path.name, threads=1)
    try:
        runner.size(2)
    except Exception:  # LiteRT raises ValueError and RuntimeError alike
        return False
    return True
