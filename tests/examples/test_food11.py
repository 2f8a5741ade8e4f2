"""The food11 example: its configuration, its translation of other people's classes, its import and its report."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from quorate.cli._output import progress
from quorate.clock import SystemClock
from quorate.errors import ConfigError
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.spec import load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "food11"
DATA = Path(os.environ.get("QUORATE_DATA") or ROOT.parent / "shared" / "data")
needs_data = pytest.mark.skipif(
    not (DATA / "pretrained" / "food11_mobilenetv2").is_dir(), reason=f"no weights in {DATA}; see examples/food11"
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the example, importable as `quorate train` makes it."""
    root = tmp_path / "food11"
    shutil.copytree(FOLDER, root, ignore=shutil.ignore_patterns(".quorate", "__pycache__"))
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.setenv("QUORATE_DATA", str(DATA))
    yield root
    for name in ("food11", "train"):
        sys.modules.pop(name, None)


@pytest.fixture
def food11(project: Path) -> ModuleType:
    return import_module("food11")


def test_the_configuration_serves_what_is_imported(food11: ModuleType, project: Path) -> None:
    spec = load((project / "quorate.yaml").read_bytes()).spec
    assert spec.pools["food11"].members == tuple(food11.FILES) == tuple(food11.ROWS)
    assert len(food11.CLASSES) == 11
    assert food11.CLASSES[food11.DESSERT] == "Dessert"


def test_without_the_data_one_sentence_says_where_to_get_them(
    food11: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("QUORATE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"set QUORATE_DATA to one .* examples/food11/README\.md"):
        food11.weights("static")
    monkeypatch.setenv("QUORATE_DATA", str(project))
    with pytest.raises(ConfigError, match=r"food11_quantized_dynamic\.onnx; examples/food11/README\.md"):
        food11.weights("dynamic")
    assert food11.groceries() is None
    assert list(food11.labelled_slices()) == food11.held_pictures() == []


@pytest.mark.parametrize("published", [True, False])
def test_other_peoples_classes_are_translated(
    food11: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: bool
) -> None:
    root = tmp_path / "images" / "grocery_store"
    rows = [
        ("test/Fruit/Lime/Lime_001.jpg", 9, "Vegetable/Fruit"),
        ("test/Packages/Milk/Arla/Arla_001.jpg", 38, "Dairy product"),
        ("test/Packages/Oat-Milk/Oatly/Oatly_001.jpg", 45, None),
        ("test/Packages/Juice/Bravo/Bravo_001.jpg", 28, None),
        ("test/Vegetables/Leek/Leek_001.jpg", 66, "Vegetable/Fruit"),
    ]
    for path, fine, _ in rows:
        (root / path).parent.mkdir(parents=True)
        (root / path).write_bytes(str(fine).encode())
    (root / "classes.csv").write_text(
        "Class Name (str),Class ID (int),Coarse Class Name (str)\nLime,9,Lime\nArla,38,Milk\nOatly,45,Oat-Milk\n"
        "Bravo,28,Juice\nLeek,66,Leek\n"
    )
    if published:
        (root / "test.txt").write_text("".join(f"{path}, {fine}, 0\n" for path, fine, _ in rows))
    else:
        lines = [f"{path},test,{fine},0\n" for path, fine, _ in rows]
        (root / "index.csv").write_text(
            "path,split,fine_id,coarse_id\n" + "".join(lines) + "train/Fruit/x.jpg,train,9,0\n"
        )
    monkeypatch.setenv("QUORATE_DATA", str(tmp_path))
    found = food11.groceries()
    assert found.raw["image"] == [b"9", b"38", b"66"]
    assert found.labels.tolist() == [label for _, _, label in rows if label]


@needs_data
@pytest.mark.slow
def test_it_imports_both_networks_once_and_reports(
    food11: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = import_module("train")
    groceries = food11.groceries()
    if groceries is None:
        pytest.skip(f"no photographs of groceries in {DATA}")
    some = groceries.take(np.arange(0, len(groceries), 20))
    monkeypatch.setattr(food11, "groceries", lambda: some)
    home = Home(project)
    train.train(home, progress)
    train.train(home, progress)
    registry = Registry(home.registry, SystemClock())
    assert {name: registry.versions(name) for name in registry.names()} == {"static": (1,), "dynamic": (1,)}
    assert registry.manifest("dynamic").options == {"activation": "softmax", "rows": "alone"}
    report = (home.state / "report.md").read_text("utf-8")
    assert "| dynamic | static |" in report
    assert "| cut-out dishes | 9 |" in report
    assert report.count("## Slices") == 1
    assert "beats" in capsys.readouterr().out
