"""What must hold between an endpoint's capture and what its models take and answer."""

from __future__ import annotations

from collections.abc import Iterator

from quorate.core.types import Signature
from quorate.spec.capture import CaptureSpec
from quorate.spec.problems import Path, expected

_OF_CLASSES = ("disagreement", "low_confidence")


def capture_problems(
    endpoint: str, capture: CaptureSpec, signature: Signature, *, blind: bool
) -> Iterator[tuple[Path, str]]:
    """What is wrong with ``endpoints.NAME.capture``: the setting below it, and a sentence."""
    where = f"endpoints.{endpoint}.capture"
    names = [spec.name for spec in signature.inputs]
    columns = capture.redact.columns if capture.redact is not None else {}
    for column in columns:
        if signature.input_kind != "columns":
            yield (
                ("redact", "columns"),
                f"{where}.redact.columns: the models take {signature.inputs[0]}, which has no columns to name. "
                "Leave it out" + (", or set images to resized." if signature.input_kind == "image" else "."),
            )
            break
        if column not in names:
            yield (
                ("redact", "columns", column),
                f"{where}.redact.columns: there is no input column '{column}'; {expected(column, names)}",
            )
    if set(columns.items()) >= {(name, "remove") for name in names}:
        yield ("redact", "columns"), f"{where}.redact.columns removes every column; nothing would be kept of an input."
    if capture.images == "resized" and signature.input_kind != "image":
        yield ("images",), f"{where}.images is 'resized', but the models take {signature.inputs[0]}; leave it out."
    for index, name in enumerate(capture.only):
        if name in _OF_CLASSES and signature.output.kind != "scores":
            yield (
                ("only", index),
                f"{where}.only: '{name}' needs classes, and the models answer values; leave it out.",
            )
    if blind and capture.only:
        yield (
            ("only",),
            f"{where}.only: the endpoint is blind, and the time of keeping an input would tell its answer; remove it.",
        )
