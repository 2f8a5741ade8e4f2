"""Somebody else's classifier: an ONNX file, labels, and how its pictures are made, as a registered model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quorate.core.types import TensorSpec
from quorate.errors import ConfigError
from quorate.registry import formats
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.runtimes import adapt
from quorate.runtimes.onnx import inspect_onnx
from quorate.training.foreign_common import chosen_options, only, other_labels, register_foreign
from quorate.training.held import Held
from quorate.training.pictures import Wishes

_DYNAMIC = b"DynamicQuantize"  # DynamicQuantizeLinear, and ONNX Runtime's own DynamicQuantizeMatMul and -LSTM


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
    tensor = only(inputs)
    _check_width(labels, outputs, output)
    return register_foreign(
        registry, name=name, format="onnx", files=files, labels=labels, wishes=wishes or Wishes(), options=chosen,
        output=output, held=held, tensor=tensor, says="as the file says", hint="--preset",
    )  # fmt: skip


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
    raise other_labels(labels, ", ".join(map(str, fitting)), fitting[0].shape[1])
