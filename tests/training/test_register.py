from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.codecs import sample as sample_codec
from quorate.codecs import state as state_codec
from quorate.core.types import OutputSpec, Signature, State, TensorSpec
from quorate.errors import ConfigError, FormatRefused, ParityError, RegistryError
from quorate.registry.registry import Registry
from quorate.testing.clock import FakeClock
from quorate.training.register import register_model, register_state

pytest.importorskip("skl2onnx")

CLASSES = ("no", "perhaps", "yes")
SIGNATURE = Signature("array", (TensorSpec("input", "float32", (None, 4)),), OutputSpec("scores", CLASSES))
ROWS = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
LABELS = np.array(CLASSES)[np.digitize(ROWS[:, 0] + ROWS[:, 1] ** 2, [0.0, 1.0])]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry", FakeClock())


def logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(ROWS, LABELS)


def onnx(estimator: Any, name: str = "input", rows: int | None = None) -> bytes:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "classes_") else None
    model = to_onnx(estimator, initial_types=[(name, FloatTensorType([rows, 4]))], options=options)
    data: bytes = model.SerializeToString()
    return data


def gated(registry: Registry, data: bytes, reference: Any, **more: Any) -> Any:
    return register_model(
        registry,
        **{
            "name": "m",
            "format": "onnx",
            "files": {"model.onnx": data},
            "signature": SIGNATURE,
            "sample_raw": {"input": ROWS},
            "reference_output": reference,
            **more,
        },
    )


def test_a_model_that_answers_as_its_reference_is_registered(registry: Registry) -> None:
    estimator = logistic()
    manifest = gated(
        registry,
        onnx(estimator),
        estimator.predict_proba(ROWS),
        metrics={"accuracy": np.float64(0.9)},
        data_digest="d" * 64,
        parent="m:7",
        notes={"why": "test"},
    )
    assert registry.manifest("m") == manifest
    assert manifest.tensors == (TensorSpec("input", "float32", (None, 4)),)
    assert manifest.output_name == "probabilities"
    assert (manifest.metrics, manifest.data_digest, manifest.parent) == ({"accuracy": 0.9}, "d" * 64, "m:7")
    assert {"python", "quorate", "numpy", "onnxruntime", "scikit-learn"} <= manifest.libraries.keys()
    raw, output = sample_codec.decode(registry.read_blob(manifest.sample or ""))
    np.testing.assert_array_equal(raw["input"], ROWS[:32])
    np.testing.assert_allclose(output, estimator.predict_proba(ROWS[:32]), atol=1e-5)


@pytest.mark.parametrize("difference", ["other model", "other class order", "off by 2e-4"])
def test_a_model_that_answers_otherwise_is_not(registry: Registry, difference: str) -> None:
    estimator = logistic()
    reference = estimator.predict_proba(ROWS)
    if difference == "other model":
        reference = estimator.set_params(C=0.001).fit(ROWS, LABELS).predict_proba(ROWS)
    elif difference == "other class order":
        reference = reference[:, [1, 0, 2]]
    else:
        reference[200] += [2e-4, -2e-4, 0]
    with pytest.raises(ParityError, match=r"300 held-out rows: the largest difference in probability is \d"):
        gated(registry, onnx(logistic()), reference)
    assert registry.names() == ()


def test_the_preprocessing_is_part_of_what_is_proved(registry: Registry) -> None:
    estimator = logistic()
    steps = [{"kind": "normalise", "scale": 0.5}]
    with pytest.raises(ParityError):
        gated(registry, onnx(estimator), estimator.predict_proba(ROWS), preprocess=steps)
    manifest = gated(registry, onnx(estimator), estimator.predict_proba(ROWS * np.float32(0.5)), preprocess=steps)
    assert manifest.preprocess[0]["kind"] == "normalise"
    assert manifest.preprocess[0]["version"] == 1


def test_images(registry: Registry) -> None:
    from io import BytesIO

    from PIL import Image

    images = []
    for row in np.random.default_rng(1).integers(0, 256, (5, 2, 2), dtype=np.uint8):
        file = BytesIO()
        Image.fromarray(row).save(file, "PNG")
        images.append(file.getvalue())
    signature = Signature("image", (TensorSpec("image", "bytes", (None,)),), SIGNATURE.output)
    steps = [{"kind": "decode"}, {"kind": "grayscale"}, {"kind": "normalise", "scale": 1 / 255}, {"kind": "flatten"}]
    manifest = gated(
        registry, onnx(logistic()), None, signature=signature, preprocess=steps, sample_raw={"image": images}
    )
    raw, _ = sample_codec.decode(registry.read_blob(manifest.sample or ""))
    assert raw == {"image": images}
    gated(
        registry,
        onnx(logistic()),
        None,
        signature=signature,
        preprocess=[*steps[:2], {"kind": "resize", "height": 2, "width": 2}, *steps[2:]],
        sample_raw=None,
    )
    with pytest.raises(ConfigError, match="start with 'decode'"):
        gated(registry, onnx(logistic()), None, signature=signature, preprocess=[])
    with pytest.raises(ConfigError, match="starts from image, the signature says array"):
        gated(registry, onnx(logistic()), None, preprocess=steps)


def test_values(registry: Registry) -> None:
    from sklearn.linear_model import LinearRegression

    estimator = LinearRegression().fit(ROWS, ROWS @ [1.0, 2.0, 3.0, 4.0] + 5)
    signature = Signature("array", SIGNATURE.inputs, OutputSpec("values", names=("price",)))
    manifest = gated(registry, onnx(estimator), estimator.predict(ROWS), signature=signature)
    assert manifest.output_name == "variable"
    with pytest.raises(ParityError, match="relative difference"):
        gated(registry, onnx(estimator), estimator.predict(ROWS) * 1.001, signature=signature)


def test_without_a_reference_it_must_agree_with_itself(registry: Registry) -> None:
    assert gated(registry, onnx(logistic()), None).version == 1
    assert gated(registry, onnx(logistic()), None, sample_raw=None).version == 2
    with pytest.raises(RegistryError, match="needs the raw rows"):
        gated(registry, onnx(logistic()), np.ones((3, 3)), sample_raw=None)


SOFTMAX = (
    b"import numpy as np\ndef f(input):\n    e = np.exp(input[:, :3])\n    return e / e.sum(axis=1, keepdims=True)\n"
)


def called(registry: Registry, source: bytes) -> Any:
    return gated(registry, b"", None, format="callable", files={"model.py": source}, options={"entry": "f"})


def test_callables_pass_the_same_gate(registry: Registry) -> None:
    manifest = called(registry, SOFTMAX)
    assert manifest.tensors == (TensorSpec("input", "float32", (None, 4)),)
    assert manifest.output_name == "output"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (b"    return e / e.sum(axis=1, keepdims=True)[::-1]\n", "not answer probabilities"),
        (b"    return (e / e.sum(axis=1, keepdims=True))[::-1]\n", "by itself otherwise than in a batch"),
        (b"    e = e / e.mean(axis=0)\n    return e / e.sum(axis=1, keepdims=True)\n", "by itself otherwise"),
        (b"    return e * float('nan')\n", "not finite"),
        (b"    return e[:, :2]\n", "cannot answer held-out rows"),
        (b"    return e[:1]\n", "cannot answer held-out rows"),
        (b"    raise ValueError('no')\n", r"it was given input\[256, 4\] float32: .*no"),
    ],
)
def test_inconsistent_models_are_refused(registry: Registry, change: bytes, message: str) -> None:
    source = SOFTMAX.rpartition(b"    return")[0] + change
    with pytest.raises(ParityError, match=message):
        called(registry, source)
    assert registry.names() == ()


def test_skops(registry: Registry) -> None:
    import skops.io
    from sklearn.tree import DecisionTreeClassifier

    estimator = DecisionTreeClassifier(random_state=0).fit(ROWS, LABELS)
    files = {"model.skops": skops.io.dumps(estimator)}
    with pytest.raises(FormatRefused, match="not trusted"):
        gated(registry, b"", None, format="skops", files=files)
    trusted = {"trusted": ["sklearn.tree._tree.Tree"]}
    manifest = gated(registry, b"", estimator.predict_proba(ROWS), format="skops", files=files, options=trusted)
    assert manifest.options == trusted


def test_an_output_is_never_guessed_among_several(registry: Registry) -> None:
    import onnx as package

    model = package.load_from_string(onnx(logistic()))
    model.graph.node.append(package.helper.make_node("Identity", ["probabilities"], ["twin"]))
    model.graph.output.append(package.helper.make_tensor_value_info("twin", 1, [None, 3]))
    data = model.SerializeToString()
    with pytest.raises(RegistryError, match=r"not clear: the model has .*probabilities.*twin.*--output"):
        gated(registry, data, None)
    assert gated(registry, data, None, output_name="twin").output_name == "twin"


def test_a_model_of_fixed_batch_size_is_refused(registry: Registry) -> None:
    with pytest.raises(FormatRefused, match="fixes the first axis"):
        gated(registry, onnx(logistic(), rows=1), None)


def test_files_may_be_paths(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "some.bin"
    path.write_bytes(onnx(logistic()))
    manifest = gated(registry, b"", None, files={"model.onnx": path})
    assert (registry.artifact(manifest).folder / "model.onnx").read_bytes() == path.read_bytes()


def test_the_commit_of_the_users_project_is_kept(registry: Registry, tmp_path: Path) -> None:
    assert called(registry, SOFTMAX).commit is None

    def git(*args: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *args], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init")
    (tmp_path / "train.py").write_text("1")
    git("add", "train.py")
    git("commit", "-m", "first")
    commit = git("rev-parse", "HEAD")
    assert called(registry, SOFTMAX).commit == commit
    (tmp_path / "train.py").write_text("2")
    assert called(registry, SOFTMAX).commit == f"{commit}-dirty"


def test_states(registry: Registry) -> None:
    state = State("weighted", 1, {"members": ["a"]}, {"weights": np.ones(1)})
    manifest = register_state(registry, name="weights", state=state, metrics={"accuracy": 1}, parent="weights:1")
    assert (manifest.kind, manifest.format, manifest.signature) == ("state", "state", None)
    found = state_codec.decode({name: registry.read_blob(digest) for name, digest in manifest.files.items()})
    assert found.meta == state.meta
