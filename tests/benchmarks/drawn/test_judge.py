"""The comparison of preprocessings: what is naive, and that a member is judged on what it answered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.drawn import DIGITS, GROUPS, STYLES, Drawn
from benchmarks.drawn.__main__ import PARTS, best_naive, listed, options, render
from benchmarks.drawn.judge import DECLARED, INVERTED, NAIVE, WAYS, Judged, judge, prepared, rows
from quorate.clock import SystemClock
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.home import Home
from quorate.preprocess import Pipeline
from quorate.registry.registry import Registry
from quorate.training.register import register_model

PREPROCESS = [
    {"kind": "decode"},
    {"kind": "orient"},
    {"kind": "ink"},
    {"kind": "centre", "frame": 12, "box": 8},
    {"kind": "normalise", "scale": 1 / 255},
    {"kind": "flatten"},
]
# Answers '1' where the left upper quarter is lighter than the whole, else '0'.
SOURCE = b"""
import numpy as np

def predict(input):
    images = input.reshape(-1, 12, 12)
    lighter = images[:, :6, :6].mean(axis=(1, 2)) > images.mean(axis=(1, 2)) + 0.01
    return np.stack([~lighter, lighter], axis=1).astype(np.float32)
"""


def pictures(count: int = 40) -> Drawn:
    """Dark squares on white: '1' has the left upper quarter of its ink only, '0' everything but that."""
    labels = np.array(["0", "1"] * (count // 2))
    made = []
    for row, label in enumerate(labels.tolist()):
        picture = np.full((40, 40), 255, np.uint8)
        picture[10:30, 10:30] = 0
        picture[10:20, 10:20] = 0 if label == "1" else 255
        if label == "1":
            picture[20:26, 20:30] = 255
        made.append(_png(picture))
        assert row < count
    groups = tuple(GROUPS[index % len(GROUPS)] for index in range(count))
    tags = tuple(frozenset({STYLES[index % 2]}) for index in range(count))
    return Drawn(tuple(made), labels, groups, tags)


def _png(pixels: np.ndarray) -> bytes:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    registry = Registry(home.registry, SystemClock())
    for name in ("a", "b"):
        sample = np.zeros((1, 8, 8), np.uint8)
        register_model(
            registry,
            name=name,
            format="callable",
            files={"model.py": SOURCE},
            signature=Signature(
                "image", (TensorSpec("image", "uint8", (None, None, None)),), OutputSpec("scores", classes=("0", "1"))
            ),
            tensors=(TensorSpec("input", "float32", (None, 144)),),
            output_name="output",
            preprocess=PREPROCESS,
            options={"entry": "predict"},
            sample_raw={"image": sample},
            reference_output=np.array([[1, 0]], np.float32),
            metrics={},
            data_digest="0" * 64,
        )
    home.config.write_text(
        "pools: {squares: {task: classification, members: [a, b]}}\n"
        "endpoints:\n  squares:\n    pool: squares\n    strategies: {both: {kind: vote, voting: soft}}\n"
        "    policy: {kind: fixed, strategy: both}\n    fallback: [both]\n"
    )
    return home


def test_naive_is_grey_and_resized_and_ends_as_declared() -> None:
    assert prepared(PREPROCESS, DECLARED) == PREPROCESS
    naive, inverted = (Pipeline.from_spec(prepared(PREPROCESS, way)) for way in (NAIVE, INVERTED))
    assert [step.kind for step in naive.steps] == ["decode", "orient", "grayscale", "resize", "normalise", "flatten"]
    picture = np.random.default_rng(0).integers(0, 256, (1, 12, 12), dtype=np.uint8)
    plain = naive.apply({"image": picture}, max_pixels=1000)["input"]
    np.testing.assert_allclose(plain, picture.reshape(1, 144) / 255, atol=1e-6)
    np.testing.assert_allclose(inverted.apply({"image": picture}, max_pixels=1000)["input"], 1 - plain, atol=1e-6)


def test_members_that_declare_a_resize_only_are_compared_at_that_size() -> None:
    declared = [{"kind": "decode"}, {"kind": "resize", "width": 8, "height": 8}, *PREPROCESS[-2:]]
    assert prepared(declared, NAIVE)[3] == {"kind": "resize", "width": 8, "height": 8}


def test_parts_are_groups_styles_and_both() -> None:
    drawn = pictures(2 * len(GROUPS))
    assert len(rows(drawn, "all")) == 2 * len(GROUPS)
    assert rows(drawn, "clean").tolist() == [0, len(GROUPS)]
    assert set(rows(drawn, "pen").tolist()) == set(range(0, 2 * len(GROUPS), 2))
    assert rows(drawn, "clean, pen").tolist() == [0]


@pytest.mark.usefixtures("capsys")
def test_registered_members_are_judged_behind_each_way(home: Home) -> None:
    drawn = pictures()
    judged = judge(home, drawn)
    assert judged.names == ("a", "b", "both")
    assert set(judged.right) == set(WAYS)
    for way in WAYS:
        np.testing.assert_array_equal(judged.right[way]["a"], judged.right[way]["both"])
    declared, plain = judged.accuracy(DECLARED, "both", "all"), judged.accuracy(NAIVE, "both", "all")
    assert declared.estimate == 1.0
    assert plain.estimate < 0.6, "dark on light is read the wrong way round"
    assert declared.low < declared.estimate <= declared.high


def test_the_tables_and_rows_have_every_name_part_and_way() -> None:
    drawn = pictures(4 * len(GROUPS))
    rng = np.random.default_rng(0)
    right = {way: {name: rng.random(len(drawn)) < 0.8 for name in ("m", "s")} for way in WAYS}
    right[NAIVE]["m"][:] = True
    judged = Judged(drawn, ("m",), ("s",), right)
    assert best_naive(judged)[0] == "m"
    text = render(judged)
    for word in ("m", "s", *GROUPS, DECLARED, NAIVE, INVERTED, "95 %"):
        assert word in text
    found = listed(judged)
    assert len(found) == len(PARTS) * 2 * len(WAYS) * 3
    assert {row.metric for row in found} == {"accuracy", "accuracy, low", "accuracy, high"}
    row = next(row for row in found if row.workload == "drawn digits: all" and row.system == "m, naive")
    assert row.value == 1.0


def test_enough_pictures_are_asked_for() -> None:
    assert options([]).pictures >= 2000
    with pytest.raises(SystemExit):
        options(["--pictures", str(len(DIGITS))])
