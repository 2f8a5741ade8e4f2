"""``quorate models import`` of TFLite files: pixels, rows, heads and labels as the file and the user say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from quorate.cli import main
from quorate.codecs import sample
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.testing.clock import FakeClock
from quorate.testing.tflite import LOGITS, SCORES, Step, dense_answers, dense_network

pytest.importorskip("ai_edge_litert", reason="the extra 'tflite' is not installed")

SIZE = 6
RNG = np.random.default_rng(1)
WEIGHTS, BIAS = RNG.normal(scale=0.1, size=(SIZE * SIZE * 3, 3)), RNG.normal(size=3)
GIVEN, LOGIT = Step(1 / 128, 128), Step(0.05, 128)
PIXELS = RNG.integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.uint8)
LABELS = ("--labels", "background,red,green")


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    for index, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(f"pictures/{index}.png")

    def run(*args: str, code: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["models", *args])
        out, err = capsys.readouterr()
        assert stop.value.code == code, err
        return out, err

    return run


def network(**options: Any) -> None:
    options = {"dtype": "uint8", "given": GIVEN, "logits": LOGIT} | options
    Path("net.tflite").write_bytes(dense_network(WEIGHTS, BIAS, shape=(SIZE, SIZE, 3), **options))


def kept(reference: str) -> np.ndarray:
    registry = Registry(Home(Path.cwd()).registry, FakeClock())
    output = sample.decode(registry.read_blob(registry.manifest(reference).sample or ""))[1]
    assert output is not None
    return output


def shown(run: Any, reference: str = "net") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("show", reference, "--json")[0])
    return found


def answers() -> np.ndarray:
    return dense_answers((PIXELS.astype(np.float64) - 128) / 128, WEIGHTS, BIAS)


def test_pixels_go_in_as_they_are_where_the_file_takes_integers(run: Any) -> None:
    network()
    _, err = run("import", "net", "net.tflite", *LABELS, "--fit", "stretch", "--sample", "pictures")
    assert "Format: tflite, by the content of net.tflite." in err
    assert "Pixels: 0 to 255 go in as they are, as the file takes uint8 (scale 0.0078125, zero point 128)." in err
    assert f"Size: {SIZE}x{SIZE}, as the file says." in err
    found = shown(run)
    assert found["format"] == "tflite"
    assert found["output_name"] == SCORES
    assert found["signature"]["input_kind"] == "image"
    assert found["tensors"] == [
        {"name": "input", "dtype": "float32", "shape": [None, SIZE, SIZE, 3], "nullable": False}
    ]
    assert "ai-edge-litert" in found["libraries"]
    np.testing.assert_allclose(kept("net"), answers(), atol=0.05)


def test_a_scale_that_is_given_is_taken(run: Any) -> None:
    network(dtype="float32", given=None, logits=None)
    _, err = run("import", "net", "net.tflite", *LABELS, "--fit", "stretch", code=2)
    assert "--scale" in err  # floats: what a pixel means is not known
    run(
        *("import", "net", "net.tflite", *LABELS, "--fit", "stretch", "--scale", "1/128", "--mean", "1"),
        *("--sample", "pictures"),
    )
    np.testing.assert_allclose(kept("net"), answers(), atol=1e-5)


def test_a_head_of_ones_own(run: Any) -> None:
    network()
    weights, bias = RNG.normal(size=(3, 4)), RNG.normal(size=4)
    np.savez("head.npz", weights=weights, bias=bias)
    common = ("import", "net", "net.tflite", "head.npz", "--fit", "stretch", "--output", LOGITS, "--sample", "pictures")
    _, err = run(*common, *LABELS, code=2)
    assert "There are 3 labels, but the model answers its head head.npz; give one label for each of its 4" in err
    _, err = run(*common, "--labels", "a,b,c,d", code=2)
    assert "does not answer probabilities" in err
    assert "--softmax" in err
    run(*common, "--labels", "a,b,c,d", "--softmax")
    assert shown(run)["options"] == {"activation": "softmax"}
    logits = ((PIXELS.reshape(3, -1).astype(np.float64) - 128) / 128 @ WEIGHTS + BIAS) @ weights + bias
    powers = np.exp(logits)
    np.testing.assert_allclose(kept("net"), powers / powers.sum(axis=1, keepdims=True), atol=0.1)


def test_an_array_is_what_the_file_takes_where_nothing_is_said_of_pictures(run: Any) -> None:
    network()
    _, err = run("import", "net", "net.tflite", *LABELS)
    assert f"Signature: input[N,{SIZE},{SIZE},3] float32, as the file says (pixels[N,{SIZE},{SIZE},3] float32 as" in err
    assert "That looks like pictures" in err
    assert shown(run)["preprocess"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--labels", "red,green"), "3 classes, in its order; networks made with TensorFlow often have a background"),
        ((*LABELS, "--softmax"), "The artifact answers probabilities already"),
        ((*LABELS, "--output", "no such"), "has 0 tensors 'no such'"),
        ((*LABELS, "--option", "trusted=[a]"), "sets the option 'trusted'"),
    ],
)
def test_what_does_not_fit_is_refused(run: Any, arguments: tuple[str, ...], message: str) -> None:
    network()
    _, err = run("import", "net", "net.tflite", *arguments, code=2)
    assert message in err
    assert "\n" not in err.strip().split("quorate: error: ")[1]


def test_a_broken_file_is_refused(run: Any) -> None:
    network()
    content = Path("net.tflite").read_bytes()
    Path("net.tflite").write_bytes(content[:-50])
    _, err = run("import", "net", "net.tflite", *LABELS, code=2)
    assert "'net.tflite' is not a TFLite model: " in err


def test_a_head_that_is_none(run: Any) -> None:
    network()
    np.savez("head.npz", weights=np.ones((3, 4)))
    _, err = run("import", "net", "net.tflite", "head.npz", *LABELS, code=2)
    assert "expected at most one head" in err
