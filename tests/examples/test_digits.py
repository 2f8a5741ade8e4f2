"""The digits example: its data helper, its samples, its configuration and its training script."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from sklearn.naive_bayes import GaussianNB

from quorate.cli._output import progress
from quorate.clock import SystemClock
from quorate.home import Home
from quorate.preprocess import Pipeline
from quorate.registry.registry import Registry
from quorate.spec import load

FOLDER = Path(__file__).parents[2] / "examples" / "digits"
NAMES = ("digits", "train")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the example, importable as `quorate train` makes it."""
    root = tmp_path / "digits"
    shutil.copytree(FOLDER, root, ignore=shutil.ignore_patterns(".quorate", "__pycache__"))
    monkeypatch.syspath_prepend(str(root))
    yield root
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.fixture
def digits(project: Path) -> ModuleType:
    return import_module("digits")


def test_the_parts_are_stratified_and_disjoint(digits: ModuleType) -> None:
    data = digits.dataset()
    parts = digits.parts(data)
    together = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(together.tolist()) == list(range(1797))
    assert len(parts.train) / 1797 == pytest.approx(0.70, abs=0.01)
    pixels, labels = digits.held_out()
    assert pixels.shape == (len(parts.test), 8, 8)
    assert pixels.dtype == np.uint8
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert set(labels.tolist()) == set(digits.CLASSES)


def test_pictures_and_arrays_give_what_the_members_were_trained_on(digits: ModuleType, project: Path) -> None:
    pixels, labels = digits.held_out()
    pipeline = Pipeline.from_spec(digits.PREPROCESS)
    matrix = pipeline.apply({"image": pixels}, max_pixels=10_000)["input"]
    np.testing.assert_allclose(matrix, pixels.reshape(-1, 64) / 255, atol=1e-6)
    samples = sorted((project / "samples").iterdir())
    assert [path.name for path in samples] == ["0.png", "3.png", "4-turned.jpg", "5.jpg", "7.png"]
    for path in samples:
        expected = matrix[np.flatnonzero(labels == path.name[0])[0]]
        found = pipeline.apply({"image": [path.read_bytes()]}, max_pixels=10_000)["input"][0]
        # a lossless picture is exact; JPEG at 64x64 is within a few grey levels
        np.testing.assert_allclose(found, expected, atol=1e-6 if path.suffix == ".png" else 0.04)
    with Image.open(project / "samples" / "4-turned.jpg") as turned:
        assert turned.getexif()[0x0112] == 6


def test_the_samples_are_what_the_helper_writes(digits: ModuleType, project: Path, tmp_path: Path) -> None:
    digits.write_samples(tmp_path / "again")
    for path in (project / "samples").iterdir():
        with Image.open(path) as committed, Image.open(tmp_path / "again" / path.name) as written:
            assert committed.size == written.size
            np.testing.assert_allclose(np.asarray(committed), np.asarray(written), atol=3)


def test_the_script_trains_what_the_configuration_serves_and_reports_it(
    digits: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = import_module("train")
    whole = digits.dataset()
    rows = np.sort(np.random.default_rng(0).permutation(1797)[:400])
    monkeypatch.setattr(digits, "dataset", lambda: whole.take(rows))
    monkeypatch.setattr(train, "MEMBERS", dict.fromkeys(train.MEMBERS, GaussianNB(var_smoothing=0.1)))
    home = Home(project)
    train.train(home, progress)
    report = json.loads((home.state / "report.json").read_text())
    endpoint = load(home.config.read_bytes()).spec.endpoints["digits"]
    assert [member["name"] for member in report["members"]] == list(train.MEMBERS)
    assert [strategy["name"] for strategy in report["strategies"]] == list(endpoint.strategies)
    for scored in report["members"] + report["strategies"]:
        for figure in ("accuracy", "macro_f1"):
            assert 0 <= scored[figure]["low"] <= scored[figure]["estimate"] <= scored[figure]["high"] <= 1
    assert report["choice"]["strategy"] in endpoint.strategies
    assert report["choice"]["validation_rows"] == 61
    shown = capsys.readouterr()
    assert "the best member" in shown.out
    assert "Chosen on the validation part (61 rows)" in shown.out
    assert "digits 32/32: digits-stacking" in shown.err
    registered = Registry(home.registry, SystemClock())
    assert registered.names() == tuple(sorted([*train.MEMBERS, *train.STATES]))
    train.train(home, progress)
    assert "Kept, because data and code are the same: logistic, forest" in capsys.readouterr().out
    assert registered.versions("svm") == (1,)


@pytest.mark.slow
def test_the_real_pool_is_onnx_small_and_good(trained: Path, project: Path) -> None:
    train = import_module("train")
    home = Home(trained)
    registered = Registry(home.registry, SystemClock())
    for name in train.MEMBERS:
        manifest = registered.manifest(name)
        assert manifest.format == "onnx"
        assert manifest.metrics["validation_accuracy"] > 0.93
        (digest,) = manifest.files.values()
        assert len(registered.read_blob(digest)) < 4_000_000
    report = json.loads((home.state / "report.json").read_text())
    for strategy in report["strategies"]:
        assert strategy["accuracy"]["low"] > 0.93
        assert strategy["accuracy"]["low"] > report["baseline"]["accuracy"]["high"]
