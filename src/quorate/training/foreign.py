"""Somebody else's classifier: an ONNX file, labels, and how its pictures are made, as a registered model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import ConfigError, InvalidInput
from quorate.registry import formats
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.runtimes import adapt
from quorate.runtimes.onnx import inspect_onnx
from quorate.training.held import Held
from quorate.training.pictures import Wishes, looks_like_pictures, pictures_for
from quorate.training.register import SAMPLE_ROWS, register_model

KEPT_PICTURES = 8
"""Held-out pictures that are kept with a model: workers run all of them when they warm up, and networks are slow."""

_DYNAMIC = b"DynamicQuantize"  # DynamicQuantizeLinear, and ONNX Runtime's own DynamicQuantizeMatMul and -LSTM
IMAGE = TensorSpec("image", "uint8", (None, None, None))
"""The raw input of a network of pictures: encoded, or pixels of any size."""


def import_onnx(
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
    """Register an ONNX classifier as the next version of ``name``; also returns notices about what was worked out.

    With ``wishes`` it is a network of pictures, else it takes the array that its file declares. ``softmax`` says that
    it answers logits, ``rows`` whether they are run ``alone`` or ``together`` (:mod:`quorate.runtimes.adapt`). The file
    is registered as it came. :class:`ConfigError` where file, labels and wishes do not agree,
    :class:`~quorate.errors.ParityError` where its answers are no probabilities, or depend on the rows beside them.
    """
    chosen = {**(options or {}), **chosen_options(softmax=softmax, rows=rows)}
    formats.check("onnx", files, chosen)
    check_batches(files, chosen)
    inputs, outputs = inspect_onnx(next(path for file, path in files.items() if file.endswith(".onnx")))
    if len(inputs) != 1:
        raise ConfigError(
            f"The model has {len(inputs)} inputs ({', '.join(map(str, inputs))}); give --signature FILE.",
            path="signature",
        )
    _check_width(labels, outputs, output)
    spec = OutputSpec("scores", tuple(labels))
    notes = {"source": ", ".join(path.name for path in files.values())}
    if wishes is None or not wishes.any:
        signature = Signature("array", (TensorSpec("input", inputs[0].dtype, (None, *inputs[0].shape[1:])),), spec)
        steps: list[dict[str, Any]] = []
        notices = [f"Signature: {signature.inputs[0]}, as the file says."]
        if looks_like_pictures(inputs[0]):
            notices.append(
                "That looks like pictures; for a model that answers photographs say how they are made (--preset)."
            )
    else:
        pictures, notices = pictures_for(wishes, inputs[0])
        signature, steps = Signature("image", (IMAGE,), spec), pictures.steps()
        notes |= {"preset": wishes.preset} if wishes.preset else {}
    notices += described(chosen)
    try:
        manifest = register_model(
            registry,
            name=name,
            format="onnx",
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


def chosen_options(*, softmax: bool, rows: str | None) -> dict[str, str]:
    """The runtime's options (:mod:`quorate.runtimes.adapt`) that say so."""
    return ({adapt.ACTIVATION: adapt.SOFTMAX} if softmax else {}) | ({adapt.ROWS: rows} if rows else {})


def check_batches(files: Mapping[str, Path], options: Mapping[str, Any]) -> None:
    """:class:`ConfigError` for a network that was quantised dynamically where nobody said how its rows are run.

    The parity gate would see most of them, but not one whose rows depend on each other less on the rows it looks at.
    """
    for name, path in files.items():
        if adapt.ROWS not in options and name.endswith(".onnx") and _DYNAMIC in formats.read(name, path):
            raise ConfigError(
                f"'{name}' was quantised dynamically: it takes its scale from the whole batch, so a row's answer "
                "depends on the rows beside it; run them one at a time (`--rows alone`), or say that it does not "
                "matter (`--rows together`).",
                path="rows",
            )


def _check_width(labels: Sequence[str], outputs: Sequence[TensorSpec], name: str | None) -> None:
    """That as many labels were given as the model answers numbers, where that is clear from the file."""
    fitting = [
        spec
        for spec in outputs
        if spec.dtype.startswith("float") and len(spec.shape) == 2 and (name is None or spec.name == name)
    ]
    widths = {spec.shape[1] for spec in fitting}
    if not fitting or None in widths or len(labels) in widths:
        return
    width = fitting[0].shape[1]
    hint = "; networks made with TensorFlow often have a background class first" if width == len(labels) + 1 else ""
    raise ConfigError(
        f"There are {len(labels)} labels, but the model answers {', '.join(map(str, fitting))}; give one label for "
        f"each of its {width} classes, in its order{hint}.",
        path="labels",
    )


def described(options: Mapping[str, Any]) -> list[str]:
    """Notices about the options by which the file keeps the promises of a member."""
    notices = []
    if options.get(adapt.ACTIVATION) == adapt.SOFTMAX:
        notices.append("Softmax: the runtime turns the file's logits into probabilities; the file stays as it is.")
    if options.get(adapt.ROWS) == adapt.ALONE:
        notices.append("Rows run one at a time, also in a fused graph with other members.")
    return notices


def named(error: InvalidInput, held: Held | None) -> InvalidInput:
    """An error in a held-out row, with the name of the file that it came from."""
    row = re.fullmatch(r"sample\[(\d+)\]", error.path or "")
    if held is None or not held.names or row is None:
        return error
    return InvalidInput(f"{held.names[int(row[1])]}: {error}", path=error.path)
