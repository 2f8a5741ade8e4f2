"""Somebody else's TFLite classifier as a registered model, with a head of one's own where there is one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quorate.registry import formats
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.runtimes import adapt
from quorate.runtimes.head import SUFFIX as HEAD
from quorate.runtimes.head import read_head
from quorate.runtimes.litert import Port, Runner, inspect_tflite
from quorate.training.foreign_common import chosen_options, only, other_labels, register_foreign
from quorate.training.held import Held
from quorate.training.pictures import Wishes


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
    wishes, notices = wishes or Wishes(), list[str]()
    chosen = {**(options or {}), **chosen_options(softmax=softmax, rows=rows)}
    formats.check("tflite", files, chosen)
    path = next(path for file, path in files.items() if file.endswith(".tflite"))
    inputs, outputs = inspect_tflite(path, output)
    port = only(inputs)
    _check_labels(labels, outputs[:1] if output is not None else outputs, files)
    if adapt.ROWS not in chosen and not _takes_two(path, port, outputs[0]):
        chosen[adapt.ROWS] = adapt.ALONE
        notices.append("Rows: the file was made for one row.")
    if wishes.any:
        wishes = with_pixels(wishes, port, notices)
    manifest, more = register_foreign(
        registry, name=name, format="tflite", files=files, labels=labels, wishes=wishes, options=chosen,
        output=output, held=held, tensor=port.spec, says=f"as the file says ({port})", hint="--fit stretch",
    )  # fmt: skip
    return manifest, [*notices, *more]


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
        raise other_labels(labels, what, width)


def _takes_two(path: Path, port: Port, output: Port) -> bool:
    """Whether LiteRT can size the file to two rows."""
    runner = Runner(path.read_bytes(), [(port, port.row)], output.tensor, name=path.name, threads=1)
    try:
        runner.size(2)
    except Exception:  # LiteRT raises ValueError and RuntimeError alike
        return False
    return True
