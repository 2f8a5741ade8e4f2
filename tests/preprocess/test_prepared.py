"""What pipelines have in common is done once, the rest when asked for; the numbers are those of each by itself."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import numpy as np
import pytest
from PIL import Image

from quorate.errors import InvalidInput, TooLarge
from quorate.preprocess.image import Decode, Resize
from quorate.preprocess.pipeline import Pipeline
from quorate.preprocess.prepared import prepare, rows_of

LIMIT = 1 << 20


def sized(size: int, *, scale: float = 1 / 128, mean: float = 1.0) -> Pipeline:
    return Pipeline.from_spec(
        [
            {"kind": "decode"},
            {"kind": "orient"},
            {"kind": "rgb"},
            {"kind": "resize", "width": size, "height": size},
            {"kind": "normalise", "scale": scale, "mean": mean},
            {"kind": "layout", "order": "nhwc"},
        ]
    )


def encoded(*sizes: tuple[int, int]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    rows = []
    for width, height in sizes:
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (height, width, 3)).astype(np.uint8)).save(file, "png")
        rows.append(file.getvalue())
    return {"image": rows}


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> Counter[Any]:
    """How often pictures were decoded, and brought to which width."""
    counts: Counter[Any] = Counter()
    decode, resize = Decode.apply, Resize.apply

    def decoding(self: Decode, batch: Any, context: Any) -> Any:
        counts["decode"] += 1
        return decode(self, batch, context)

    def resizing(self: Resize, batch: Any, context: Any) -> Any:
        counts[self.params.width] += 1
        return resize(self, batch, context)

    monkeypatch.setattr(Decode, "apply", decoding)
    monkeypatch.setattr(Resize, "apply", resizing)
    return counts


@pytest.mark.parametrize(
    "raw", [encoded((30, 20), (16, 16)), {"image": np.full((2, 9, 7, 3), 130, np.uint8)}], ids=["files", "pixels"]
)
def test_every_model_gets_what_it_gets_by_itself(raw: dict[str, Any]) -> None:
    pipelines = [sized(4), sized(8), sized(8, scale=1.0, mean=0.0)]
    prepared = prepare(pipelines, raw, max_pixels=LIMIT)
    assert len(prepared) == 3
    for index, pipeline in enumerate(pipelines):
        expected = pipeline.apply(raw, max_pixels=LIMIT)["input"]
        np.testing.assert_array_equal(prepared[index]["input"], expected)
        some = rows_of(prepared, np.array([1]))[index]["input"]
        np.testing.assert_array_equal(some, expected[1:])
    assert [tensors["input"].shape[1] for tensors in prepared] == [4, 8, 8]
    assert len(prepared[1:]) == 2


def test_a_size_that_nobody_asks_for_is_not_made(applied: Counter[Any]) -> None:
    prepared = prepare([sized(4), sized(8), sized(12)], encoded((30, 20)), max_pixels=LIMIT)
    assert applied == {"decode": 1}
    prepared[1]
    prepared[1]
    assert applied == {"decode": 1, 8: 1}
    part = rows_of(prepared, slice(0, 1))
    part[1]
    assert applied == {"decode": 1, 8: 1}
    part[0]
    assert applied == {"decode": 1, 8: 1, 4: 1}
    prepared[0]
    assert applied == {"decode": 1, 8: 1, 4: 1}


def test_what_is_wrong_with_an_input_shows_at_once(applied: Counter[Any]) -> None:
    with pytest.raises(InvalidInput, match=r"cannot be decoded|Expected an image"):
        prepare([sized(4), sized(8)], {"image": [b"no picture"]}, max_pixels=LIMIT)
    with pytest.raises(TooLarge):
        prepare([sized(4), sized(8)], encoded((30, 20)), max_pixels=10)
    bare = Pipeline.from_spec([{"kind": "decode"}, {"kind": "rgb"}])  # takes any size, but one size only
    with pytest.raises(InvalidInput, match="must have one size") as caught:
        prepare([sized(4), bare], encoded((30, 20), (8, 8)), max_pixels=LIMIT, path="rows")
    assert caught.value.path == "rows[1]"
    narrow = Pipeline.from_spec([{"kind": "decode"}, {"kind": "rgb"}, {"kind": "shorter-side", "size": 40}])
    with pytest.raises(TooLarge):
        prepare([sized(4), narrow], encoded((400, 2)), max_pixels=2000)
    assert 4 not in applied


def test_one_pipeline_and_tables_are_prepared_as_ever() -> None:
    raw = encoded((30, 20))
    assert isinstance(prepare([sized(4)], raw, max_pixels=LIMIT), tuple)
    half = Pipeline.from_spec([{"kind": "normalise", "scale": 0.5}])
    found = prepare([half, Pipeline.from_spec([])], {"input": np.ones((3, 2))}, max_pixels=LIMIT)
    assert isinstance(found, tuple)
    assert found[0]["input"].tolist() == [[0.5, 0.5]] * 3
    assert rows_of(found, slice(1, 2))[1]["input"].shape == (1, 2)
