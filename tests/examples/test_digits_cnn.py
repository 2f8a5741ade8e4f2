"""The example that `make serve` serves: its recipe, its configuration, and a pool of it trained in miniature."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from quorate.cli._output import progress
from quorate.clock import SystemClock
from quorate.home import Home
from quorate.preprocess import Pipeline
from quorate.registry.registry import Registry
from quorate.spec import load
from quorate.training.bagging import Bootstrap
from quorate.training.boosting import Samme
from quorate.training.recipe import Recipe

FOLDER = Path(__file__).parents[2] / "examples" / "digits-cnn"
NAMES = ("digits", "train")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the example, importable as `quorate train` makes it."""
    root = tmp_path / "digits-cnn"
    shutil.copytree(FOLDER, root, ignore=shutil.ignore_patterns(".quorate", "__pycache__"))
    monkeypatch.syspath_prepend(str(root))
    yield root
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.fixture
def train(project: Path) -> ModuleType:
    return import_module("train")


def miniature(recipe: Recipe) -> Recipe:
    """The same pool, trained far too short."""
    trainers = [
        replace(trainer, trainer=replace(trainer.trainer, epochs=1))
        if isinstance(trainer, Bootstrap)
        else replace(trainer, trainers=tuple(replace(each, epochs=2) for each in trainer.trainers))
        for trainer in recipe.trainers
    ]
    return replace(recipe, trainers=trainers, folds=2, jobs=1)


def test_the_pool_is_bagged_and_boosted_with_three_builds_or_more(train: ModuleType) -> None:
    recipe = train.recipe()
    bagged = [trainer for trainer in recipe.trainers if isinstance(trainer, Bootstrap)]
    (boosted,) = [trainer for trainer in recipe.trainers if isinstance(trainer, Samme)]
    assert len(bagged) == 5
    assert len({trainer.seed for trainer in bagged}) == 5, "each sees another sample"
    assert len({trainer.trainer.architecture for trainer in bagged}) == 3
    assert boosted.names == ("boost-1", "boost-2", "boost-3")
    assert recipe.states["digits-stacking"].by == "stack"


def test_another_seed_is_another_split_and_other_networks(train: ModuleType) -> None:
    first, second = train.recipe(), train.recipe(seed=21)
    assert not np.array_equal(first.split.test, second.split.test)
    assert first.key != second.key
    assert {t.seed for t in first.trainers[:5]}.isdisjoint(t.seed for t in second.trainers[:5])


def test_pictures_and_arrays_of_the_data_are_what_members_see(train: ModuleType) -> None:
    pixels, labels = train.digits.held_out()
    assert pixels.shape == (len(labels), 8, 8)
    assert (pixels.dtype, pixels.min(), pixels.max()) == (np.uint8, 0, 255)


def test_the_configuration_is_valid_and_one_endpoint_is_blind(project: Path) -> None:
    spec = load((project / "quorate.yaml").read_bytes(), "quorate.yaml").spec
    assert next(iter(spec.endpoints)) == "digits"
    assert spec.endpoints["digits-blind"].policy.blind
    assert not spec.endpoints["digits"].policy.blind


@pytest.mark.slow
def test_a_miniature_pool_is_trained_evaluated_and_reported(
    train: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = miniature(train.recipe())
    monkeypatch.setattr(train, "recipe", lambda: made)
    train.train(Home(project), progress)
    report = json.loads((project / ".quorate" / "report.json").read_text())
    assert [member["name"] for member in report["members"]] == list(made.members)
    assert [entry["member"] for entry in report["rounds"]] == ["boost-1", "boost-2", "boost-3"]
    assert report["rounds"][1]["heaviest"] > report["rounds"][0]["heaviest"] == pytest.approx(1)
    names = {strategy["name"] for strategy in report["strategies"]}
    assert {"bagging", "boosting", "stacking"} <= names
    registry = Registry(project / ".quorate" / "registry", SystemClock())
    for name in made.members:
        manifest = registry.manifest(name)
        assert manifest.format == "onnx"
        assert manifest.preprocess[2]["kind"] == "ink"
    train.train(Home(project), progress)
    assert registry.versions("bag-a") == (1,), "nothing is trained twice"


def test_the_samples_are_pictures_that_the_preprocessing_finds_a_digit_in(train: ModuleType) -> None:
    pipeline = Pipeline.from_spec(train.digits.PREPROCESS)
    samples = sorted((FOLDER / "samples").iterdir())
    assert len(samples) == 5
    for sample in samples:
        seen = pipeline.apply({"image": [sample.read_bytes()]}, max_pixels=10**7, path=sample.name)["input"]
        assert seen.max() > 0.5, sample.name
        assert seen[:, :, [0, -1]].max() < 0.1, "a margin is left"
