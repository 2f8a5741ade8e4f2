"""What must hold between an endpoint's capture and its models; every problem names its setting."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.codecs import snapshot
from quorate.control.revisions.capture_rules import capture_problems
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.spec.capture import CaptureSpec

COLUMNS = Signature(
    "columns", (TensorSpec("age", "float32", (None,)), TensorSpec("town", "str", (None,))), OutputSpec("scores", ("a",))
)
IMAGE = Signature("image", (TensorSpec("image", "uint8", (None, None, None)),), OutputSpec("scores", ("a",)))
VALUES = Signature("array", (TensorSpec("input", "float32", (None, 2)),), OutputSpec("values", names=("y",)))


@pytest.mark.parametrize(
    ("signature", "blind", "settings", "path"),
    [
        (COLUMNS, False, {"redact": {"columns": {"agee": "hash"}}}, ("redact", "columns", "agee")),
        (COLUMNS, False, {"redact": {"columns": {"age": "remove", "town": "remove"}}}, ("redact", "columns")),
        (IMAGE, False, {"redact": {"columns": {"image": "hash"}}}, ("redact", "columns")),
        (COLUMNS, False, {"images": "resized"}, ("images",)),
        (VALUES, False, {"only": ("errors", "disagreement")}, ("only", 1)),
        (COLUMNS, True, {"only": ("degraded",)}, ("only",)),
    ],
)
def test_what_does_not_fit_is_told(signature: Any, blind: bool, settings: Any, path: Any) -> None:
    ((found, message),) = capture_problems("shop", CaptureSpec.model_validate(settings), signature, blind=blind)
    assert found == path
    assert message.startswith("endpoints.shop.capture")


@pytest.mark.parametrize(
    ("signature", "settings"),
    [
        (COLUMNS, {"redact": {"columns": {"age": "hash", "town": "hash"}}, "only": ("low_confidence",)}),
        (IMAGE, {"images": "resized"}),
        (VALUES, {"only": ("errors", "degraded")}),
    ],
)
def test_what_fits_is_let_through(signature: Any, settings: Any) -> None:
    assert list(capture_problems("shop", CaptureSpec.model_validate(settings), signature, blind=False)) == []


def test_it_reaches_the_manifest(project: Any) -> None:
    text = project.home.config.read_text()
    project.write(text + "    capture: {sample: 0.5, only: [errors], keep_days: 7, keep_bytes: 1GiB}\n")
    project.apply()
    (route,) = snapshot.read(project.home.snapshot).endpoints
    assert route.capture is not None
    assert (route.capture.sample, route.capture.only, route.capture.keep_days) == (0.5, ("errors",), 7.0)
    assert route.capture.keep_bytes == 1 << 30
    project.write(text)
    project.apply()
    assert snapshot.read(project.home.snapshot).endpoints[0].capture is None
