"""What imports of somebody else's classifier share, whatever the format: options, labels, input and registration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import ConfigError, InvalidInput
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.runtimes import adapt
from quorate.training.held import Held
from quorate.training.pictures import Wishes, looks_like_pictures, pictures_for
from quorate.training.register import SAMPLE_ROWS, register_model

KEPT_PICTURES = 8
"""Held-out pictures that are kept with a model: workers run all of them when they warm up, and networks are slow."""

IMAGE = TensorSpec("image", "uint8", (None, None, None))
"""The raw input of a network of pictures: encoded, or pixels of any size."""

Port = TypeVar("Port")


def chosen_options(*, softmax: bool, rows: str | None) -> dict[str, str]:
    """The runtime's options (:mod:`quorate.runtimes.adapt`) that say so."""
    return ({adapt.ACTIVATION: adapt.SOFTMAX} if softmax else {}) | ({adapt.ROWS: rows} if rows else {})


def only(inputs: Sequence[Port]) -> Port:
    """The one input that a classifier has; :class:`ConfigError`."""
    if len(inputs) != 1:
        raise ConfigError(
            f"The model has {len(inputs)} inputs ({', '.join(map(str, inputs))}); give --signature FILE.",
            path="signature",
        )
    return inputs[0]


def other_labels(labels: Sequence[str], answers: str, width: int | None) -> ConfigError:
    """That a model ``answers`` something else than as many numbers as there are labels."""
    hint = "; networks made with TensorFlow often have a background class first" if width == len(labels) + 1 else ""
    return ConfigError(
        f"There are {len(labels)} labels, but the model answers {answers}; give one label for each of its {width} "
        f"classes, in its order{hint}.",
        path="labels",
    )


def register_foreign(
    registry: Registry,
    *,
    name: str,
    format: str,
    files: Mapping[str, Path],
    labels: Sequence[str],
    wishes: Wishes,
    options: Mapping[str, Any],
    output: str | None,
    held: Held | None,
    tensor: TensorSpec,
    says: str,
    hint: str,
) -> tuple[Manifest, list[str]]:
    """Register the files as they came, and notices: a network of pictures where anything was wished for, else one of
    the array that ``tensor`` is.

    ``says`` is how the file says so, ``hint`` the option that makes pictures of it. What is wrong with a held-out row
    names the file that it came from.
    """
    signature, steps, notices = _raw_input(wishes, tensor, OutputSpec("scores", tuple(labels)), says, hint)
    notes = {"source": ", ".join(path.name for path in files.values())}
    try:
        manifest = register_model(
            registry,
            name=name,
            format=format,
            files=files,
            signature=signature,
            output_name=output,
            preprocess=steps,
            options=options,
            sample_raw=None if held is None else held.raw,
            reference_output=None if held is None else held.output,
            notes=notes | ({"preset": wishes.preset} if wishes.preset else {}),
            keep=KEPT_PICTURES if steps else SAMPLE_ROWS,
        )
    except InvalidInput as error:
        raise _named(error, held) from error
    if options.get(adapt.ACTIVATION) == adapt.SOFTMAX:
        notices.append("Softmax: the runtime turns the file's logits into probabilities; the file stays as it is.")
    if options.get(adapt.ROWS) == adapt.ALONE:
        notices.append("Rows run one at a time, also in a fused graph with other members.")
    return manifest, notices


def _raw_input(
    wishes: Wishes, tensor: TensorSpec, output: OutputSpec, says: str, hint: str
) -> tuple[Signature, list[dict[str, Any]], list[str]]:
    """The raw signature, the preprocessing steps, and notices."""
    if wishes.any:
        pictures, notices = pictures_for(wishes, tensor)
        return Signature("image", (IMAGE,), output), pictures.steps(), notices
    array = TensorSpec("input", tensor.dtype, (None, *tensor.shape[1:]))
    notices = [f"Signature: {array}, {says}."]
    if looks_like_pictures(tensor):
        notices.append(
            f"That looks like pictures; for a model that answers photographs say how they are made ({hint})."
        )
    return Signature("array", (array,), output), [], notices


def _named(error: InvalidInput, held: Held | None) -> InvalidInput:
    row = re.fullmatch(r"sample\[(\d+)\]", error.path or "")
    if held is None or not held.names or row is None:
        return error
    return InvalidInput(f"{held.names[int(row[1])]}: {error}", path=error.path)
