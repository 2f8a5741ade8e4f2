"""Small networks of pictures, imported: two of logits, which are fused, one with a scale that depends on the batch."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from quorate.cli import main
from quorate.codecs import snapshot

CONFIG = """\
pools:
  colours: {task: classification, members: [plain, quantised, twin]}
endpoints:
  main: {pool: colours, strategies: {vote: {kind: vote, voting: soft}}}
"""


def network(path: Path, *, quantised: bool) -> None:
    """The mean of every channel times ten as logits; with ``quantised`` rounded at a scale of the whole batch."""
    from onnx import TensorProto, helper, save

    rounding = [
        helper.make_node("DynamicQuantizeLinear", ["means"], ["q", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["rounded"]),
    ]
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[2, 3], keepdims=0),
        *(rounding if quantised else []),
        helper.make_node("Mul", ["rounded" if quantised else "means", "ten"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor("ten", TensorProto.FLOAT, [], [10.0])],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def png(*colour: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "quorate.yaml").write_text(CONFIG)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index, colour in enumerate([(90, 60, 30), (10, 12, 14), (200, 255, 180)]):
        (pictures / f"{index}.png").write_bytes(png(*colour))
    for name in ("plain", "quantised", "twin"):
        network(tmp_path / f"{name}.onnx", quantised=name == "quantised")
        words = ["--labels", "red,green,blue", "--scale", "1/255", "--fit", "stretch", "--softmax"]
        words += ["--sample", str(pictures), *(["--rows", "alone"] if name == "quantised" else [])]
        with pytest.raises(SystemExit) as stop:
            main(["models", "import", name, str(tmp_path / f"{name}.onnx"), *words, "--project", str(tmp_path)])
        assert stop.value.code == 0
    return tmp_path


def test_pictures_are_answered_alike_alone_and_together(project: Path, server: Any) -> None:
    started = server(project, "--workers", "1")
    url = f"{started.url}/v1/endpoints/main/predict"
    colours = [(10, 12, 14), (255, 0, 0), (90, 60, 30)]
    alone = []
    for colour in colours:
        answer = started.http.post(url, content=png(*colour), headers={"content-type": "image/png"}).json()
        assert answer["missing"] == []
        alone.append(list(answer["predictions"][0]["probabilities"].values()))
    files = [("file", (str(index), png(*colour))) for index, colour in enumerate(colours)]
    together = [list(p["probabilities"].values()) for p in started.http.post(url, files=files).json()["predictions"]]
    np.testing.assert_allclose(together, alone, atol=2e-7)
    logits = np.array(colours) / 255 * 10
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(alone, expected, atol=0.02)  # the mean of two exact networks and one of 8 bits
    graph = snapshot.read(project / ".quorate" / "snapshot").pools[0].graph
    assert graph is not None
    assert (graph.members, graph.alone) == (("plain", "twin"), False)
