"""What comes by gRPC is captured as what comes by HTTP; a member that is called by itself is no decision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quorate.codecs.capture_reader import CaptureReader
from quorate.codecs.snapshot import CaptureRoute, JournalSettings
from quorate.serving.capture import CaptureDesk
from quorate.serving.treatment import Treatment


def test_inputs_of_calls_are_kept(port: Any, infer: Any, tmp_path: Path) -> None:
    plane = port.house.plane
    plane.captures = CaptureDesk(tmp_path / "captures", 0, 0, JournalSettings(), port.house.clock)
    plane.generation.endpoints["main"].capture = Treatment(CaptureRoute(), "")
    answer, _ = port.call("ModelInfer", infer())
    port.call("ModelInfer", infer("a"))
    assert plane.captures.close(30)
    (capture,) = CaptureReader(tmp_path / "captures").captures("main")
    assert capture.id == answer.parameters["decision_id"].string_param
    assert capture.inputs["input"].tolist() == [[0.0, 0.0]]  # type: ignore[union-attr]
