"""``quorate models import`` of somebody else's networks: labels, pictures, logits, rows, held-out pictures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, save
from PIL import Image

from quorate.cli import main
from quorate.codecs import sample
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.testing.clock import FakeClock
from quorate.training.foreign_common import KEPT_PICTURES

SIZE = 16
WEIGHTS = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
CHECKED = (
    "Checked on the sample's rows for consistency only; give the answers expected there (--answers, or 'output' in the "
    ".npz) to check them."
)
LABELS = "red, green,blue,other"


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def run(*args: str, code: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["models", *args])
        out, err = capsys.readouterr()
        assert stop.value.code == code, err
        return out, err

    return run


def network(
    path: str,
    *,
    shape: tuple[Any, ...] = ("n", 3, SIZE, SIZE),
    end: str = "logits",
    quantised: bool = False,
    dtype: int = TensorProto.FLOAT,
) -> None:
    """The mean of every channel, then a linear layer; with ``quantised`` rounded at a scale of the whole batch."""
    nodes = [helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT)]
    last = "float"
    if quantised:
        nodes.append(helper.make_node("DynamicQuantizeLinear", [last], ["q", "scale", "zero"]))
        nodes.append(helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["rounded"]))
        last = "rounded"
    axes = [2, 3] if shape[1] == 3 else [1, 2]
    nodes += [
        helper.make_node("ReduceMean", [last], ["means"], axes=axes, keepdims=0),
        helper.make_node("MatMul", ["means", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("pixels", dtype, shape)],
        [helper.make_tensor_value_info(end, TensorProto.FLOAT, [shape[0], 4])],
        [helper.make_tensor("w", TensorProto.FLOAT, [3, 4], WEIGHTS.tobytes(), raw=True)],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def photographs(folder: str, count: int = 3) -> list[np.ndarray]:
    """PNG files ``0.png``, … of different colours and contrasts; returns the pixels."""
    Path(folder).mkdir()
    rng = np.random.default_rng(0)
    found = []
    for index in range(count):
        pixels = (rng.random((SIZE, SIZE, 3)) * rng.integers(40, 256, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(Path(folder) / f"{index}.png")
        found.append(pixels)
    return found


def expected(pixels: np.ndarray, *, scale: float = 1 / 255, mean: Any = 0.0, std: Any = 1.0) -> np.ndarray:
    """The probabilities of ``network`` for a picture of its own size."""
    tensor = (pixels.astype(np.float64) * scale - mean) / std
    powers = np.exp(tensor.mean(axis=(0, 1)) @ WEIGHTS)
    return powers / powers.sum()


def kept(reference: str) -> tuple[dict[str, Any], np.ndarray]:
    registry = Registry(Home(Path.cwd()).registry, FakeClock())
    return sample.decode(registry.read_blob(registry.manifest(reference).sample or ""))


def manifest(run: Any, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("import", "net", "net.onnx", *arguments, "--json")[0])
    return found


IMAGES = ("--labels", LABELS, "--scale", "1/255")


def test_a_network_of_logits_answers_photographs_with_probabilities(run: Any) -> None:
    network("net.onnx")
    pictures = photographs("pictures")
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    _, err = run(
        *("import", "net", "net.onnx", "--labels", LABELS, "--softmax", "--sample", "pictures", "--fit", "stretch"),
        *("--scale", "1/255", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225", "--colour", "rgb"),
    )
    assert [line.split(":")[0].split(" as ")[0] for line in err.splitlines()] == [
        "Format",
        "Layout",
        "Size",
        "Pictures",
        "Softmax",
        CHECKED,
    ]
    shown = json.loads(run("show", "net", "--json")[0])
    assert shown["options"] == {"activation": "softmax"}
    assert shown["notes"]["source"] == "net.onnx"
    assert shown["signature"]["output"]["classes"] == ["red", "green", "blue", "other"]
    assert shown["signature"]["inputs"] == [
        {"name": "image", "dtype": "uint8", "shape": [None, None, None], "nullable": False}
    ]
    raw, output = kept("net")
    assert raw["image"] == [Path(f"pictures/{index}.png").read_bytes() for index in range(3)]
    np.testing.assert_allclose(output, [expected(p, mean=mean, std=std) for p in pictures], atol=1e-5)


def test_the_file_is_registered_as_it_came(run: Any) -> None:
    from hashlib import sha256

    network("net.onnx")
    found = manifest(run, *IMAGES, "--softmax")
    assert found["files"] == {"net.onnx": sha256(Path("net.onnx").read_bytes()).hexdigest()}


def test_the_core_installation_is_enough(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    network("net.onnx", quantised=True)
    for package in ("onnx", "skl2onnx", "sklearn", "torch"):
        monkeypatch.setitem(sys.modules, package, None)
    assert manifest(run, *IMAGES, "--softmax", "--rows", "alone")["version"] == 1


def test_a_preset_for_another_size_and_layout(run: Any) -> None:
    network("net.onnx", shape=(None, SIZE, SIZE, 3))
    _, err = run("import", "net", "net.onnx", "--labels", LABELS, "--softmax", "--preset", "imagenet")
    assert "Layout: nhwc, as the file's pixels[N,16,16,3] float32 says." in err
    assert "Size: 16x16, as the file says." in err
    assert "Shorter side: 18, in the proportion 256 to 224; --resize-to says otherwise." in err
    steps = json.loads(run("show", "net", "--json")[0])["preprocess"]
    assert [step["kind"] for step in steps] == [
        *("decode", "orient", "rgb", "shorter-side", "centre-crop", "normalise", "layout")
    ]
    assert json.loads(run("show", "net", "--json")[0])["notes"]["preset"] == "imagenet"


def test_every_word_about_pictures_arrives(run: Any) -> None:
    network("net.onnx", shape=(None, 3, None, None))
    found = manifest(
        run,
        *("--labels", LABELS, "--softmax", "--size", "20x12", "--resize-to", "24", "--resample", "lanczos"),
        *("--scale", "1/127.5", "--mean", "1", "--std", "0.5,0.25,1", "--layout", "nchw", "--colour", "bgr"),
    )
    assert [{key: value for key, value in step.items() if key != "version"} for step in found["preprocess"]][2:] == [
        {"kind": "rgb"},
        {"kind": "shorter-side", "size": 24, "resample": "lanczos"},
        {"kind": "centre-crop", "width": 20, "height": 12},
        {"kind": "bgr"},
        {"kind": "normalise", "scale": 1 / 127.5, "mean": 1.0, "std": [0.5, 0.25, 1.0]},
        {"kind": "layout", "order": "nchw"},
    ]


def test_logits_are_not_registered_as_probabilities(run: Any) -> None:
    network("net.onnx")
    err = run("import", "net", "net.onnx", *IMAGES, code=2)[1]
    assert "does not answer probabilities" in err
    assert "set the option activation to softmax (`--softmax`)" in err
    assert json.loads(run("list", "--json")[0]) == []


def test_probabilities_get_no_second_softmax(run: Any) -> None:
    network("net.onnx", end="probabilities")
    assert manifest(run, *IMAGES)["options"] == {}
    err = run("import", "net", "net.onnx", *IMAGES, "--softmax", code=2)[1]
    assert "answers probabilities already" in err
    assert json.loads(run("list", "net", "--json")[0])[0]["version"] == 1


def test_rows_that_depend_on_their_batch_are_refused_or_run_alone(run: Any) -> None:
    network("net.onnx", quantised=True)
    pictures = photographs("pictures")
    err = run("import", "net", "net.onnx", *IMAGES, "--softmax", code=2)[1]
    assert "'net.onnx' was quantised dynamically" in err
    assert "run them one at a time (`--rows alone`)" in err
    together = ("--softmax", "--rows", "together", "--scale", "1", "--labels", LABELS)
    err = run("import", "net", "net.onnx", *together, code=2)[1]  # on rows that are made up
    assert "answers a row by itself otherwise than in a batch of 8" in err
    assert "served with the option rows set to alone (`--rows alone`)" in err
    found = manifest(run, *IMAGES, "--softmax", "--rows", "alone", "--sample", "pictures")
    assert found["options"] == {"activation": "softmax", "rows": "alone"}
    np.testing.assert_allclose(kept("net")[1], [expected(pixels) for pixels in pictures], atol=2e-3)  # 8 bits


def test_a_file_that_takes_one_row(run: Any) -> None:
    network("net.onnx", shape=(1, 3, SIZE, SIZE))
    assert "or set the option rows to alone" in run("import", "net", "net.onnx", *IMAGES, "--softmax", code=2)[1]
    found = manifest(run, *IMAGES, "--softmax", "--rows", "alone")
    assert found["tensors"][0]["shape"] == [None, 3, SIZE, SIZE]
    assert len(kept("net")[1]) == KEPT_PICTURES


def test_expected_answers_are_checked(run: Any) -> None:
    network("net.onnx")
    pictures = photographs("pictures")
    np.save("answers.npy", [expected(pixels) for pixels in pictures])
    held = ("--sample", "pictures", "--answers", "answers.npy")
    assert "Checked against the sample's outputs." in run("import", "net", "net.onnx", *IMAGES, "--softmax", *held)[1]
    err = run("import", "net", "net.onnx", "--labels", LABELS, "--scale", "1/127.5", "--softmax", *held, code=2)[1]
    assert "does not answer as its reference on 3 held-out rows" in err
    assert "check the preprocessing" in err


def test_only_some_held_out_pictures_are_kept(run: Any) -> None:
    network("net.onnx")
    photographs("pictures", KEPT_PICTURES + 2)
    manifest(run, *IMAGES, "--softmax", "--sample", "pictures")
    assert len(kept("net")[0]["image"]) == KEPT_PICTURES


def test_a_broken_picture_is_named(run: Any) -> None:
    network("net.onnx")
    photographs("pictures")
    Path("pictures/1.png").write_bytes(Path("pictures/1.png").read_bytes()[:60])
    err = run("import", "net", "net.onnx", *IMAGES, "--softmax", "--sample", "pictures", code=2)[1]
    assert "pictures/1.png: " in err


def test_labels_come_from_a_file(run: Any) -> None:
    network("net.onnx")
    Path("labels.txt").write_text("red\ngreen\nred\nother\n")
    found, err = run("import", "net", "net.onnx", "--labels", "labels.txt", "--scale", "1/255", "--softmax", "--json")
    assert json.loads(found)["signature"]["output"]["classes"] == ["red (0)", "green", "red (2)", "other"]
    assert "got their index: red." in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--labels", "a,b,c", "--scale", "1"), "There are 3 labels, but the model answers logits[N,4] float32"),
        (("--labels", "a,b,c", "--scale", "1"), "networks made with TensorFlow often have a background class first"),
        (("--labels", "a,b"), "give one label for each of its 4 classes, in its order."),
        (("--labels", "labels.txt"), "'labels.txt' is neither a file nor a list"),
        (("--preset", "imagenet"), "A classifier needs its labels; give --labels"),
        (("--labels", LABELS, "--size", "16"), "What the network expects of a pixel (0 to 255) is not known"),
        (("--labels", LABELS, "--size", "16 x 16"), "--size is WIDTHxHEIGHT"),
        (("--labels", LABELS, "--scale", "1/0"), "--scale is a number such as 0.5 or 1/255, or one per channel"),
        (("--labels", LABELS, "--scale", "1,2"), "--scale is one number, such as 1/255"),
        (("--labels", LABELS, "--std", "0"), "--std is a number"),
        (("--labels", LABELS, "--mean", "a"), "--mean is a number"),
        (("--labels", LABELS, "--layout", "chw"), "--layout is one of nchw, nhwc; got chw"),
        (("--labels", LABELS, "--colour", "gray"), "--colour is one of rgb, bgr, grey; got gray"),
        (("--labels", LABELS, "--fit", "pad"), "--fit is one of crop, stretch; got pad"),
        (("--labels", LABELS, "--rows", "one"), "--rows is one of alone, together; got one"),
        (
            ("--labels", LABELS, "--preset", "imagenet", "--signature", "x.json"),
            "--signature and --preprocess, not by both",
        ),
        (("--labels", LABELS, "--answers", "x.npy"), "--answers belong to pictures"),
        (("--labels", LABELS, "--preset", "imagenet", "--format", "callable"), "are for ONNX and TFLite models; these"),
    ],
)
def test_what_is_missing_or_wrong(run: Any, arguments: tuple[str, ...], message: str) -> None:
    network("net.onnx")
    assert message in run("import", "net", "net.onnx", *arguments, code=2)[1]
    assert json.loads(run("list", "--json")[0]) == []


def test_every_option_is_documented() -> None:
    import typer

    from quorate.cli.models import app

    page = (Path(__file__).parents[2] / "docs" / "registry.md").read_text("utf-8")
    command = typer.main.get_command(app).commands["import"]  # type: ignore[attr-defined]
    options = [name for parameter in command.params for name in parameter.opts if name.startswith("--")]
    assert {"--preset", "--softmax", "--rows", "--answers", "--labels"} < set(options)
    for name in options:
        assert f"`{name}" in page, name


def test_a_network_of_bytes_is_refused_with_the_way_out(run: Any) -> None:
    network("net.onnx", dtype=TensorProto.UINT8)
    err = run("import", "net", "net.onnx", *IMAGES, "--softmax", code=2)[1]
    assert "pictures reach a model as float32" in err


def test_a_network_of_pictures_may_take_arrays_but_is_told_apart(run: Any) -> None:
    network("net.onnx")
    _, err = run("import", "net", "net.onnx", "--labels", LABELS, "--softmax")
    assert "That looks like pictures" in err
    assert json.loads(run("show", "net", "--json")[0])["signature"]["input_kind"] == "array"
