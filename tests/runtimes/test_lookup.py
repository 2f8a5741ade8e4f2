"""From a format to its runtime."""

from __future__ import annotations

import pytest

from quorate.errors import FormatRefused
from quorate.runtimes.lookup import runtime_for


def test_formats_are_found_and_others_refused() -> None:
    assert [runtime_for(form).name for form in ("onnx", "skops", "callable")] == ["onnx", "skops", "callable"]
    with pytest.raises(FormatRefused, match="No runtime loads the format 'pickle'"):
        runtime_for("pickle")
