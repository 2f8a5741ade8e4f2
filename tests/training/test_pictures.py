"""What a user says of a network's pictures, what its file says, and what must not be guessed."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.core.types import TensorSpec
from quorate.errors import ConfigError
from quorate.preprocess import Pipeline
from quorate.preprocess.presets import PRESETS, Pictures
from quorate.training.pictures import Wishes, looks_like_pictures, pictures_for


def tensor(*shape: int | None, dtype: str = "float32") -> TensorSpec:
    return TensorSpec("input", dtype, (None, *shape))


NCHW = tensor(3, 224, 224)
PLAIN: dict[str, Any] = {"size": (8, 6), "scale": 1.0, "layout": "nchw", "colour": "rgb", "stretch": True}


def test_a_preset_that_the_file_agrees_with_needs_no_guess() -> None:
    pictures, notices = pictures_for(Wishes(preset="imagenet"), NCHW)
    assert pictures == PRESETS["imagenet"]
    [notice] = notices
    assert notice.startswith("Pictures: shorter side 256, the middle 224x224 (bilinear), rgb, (pixel * 0.00392157 - ")
    assert notice.endswith("- (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225), nchw.")


def test_what_is_said_comes_before_the_preset() -> None:
    wishes = Wishes(preset="imagenet", mean=0.5, resample="bicubic", colour="bgr", stretch=True)
    pictures, _ = pictures_for(wishes, NCHW)
    assert (pictures.mean, pictures.std) == (0.5, PRESETS["imagenet"].std)
    assert (pictures.resample, pictures.colour, pictures.resize_to) == ("bicubic", "bgr", None)
    kinds = [step["kind"] for step in Pipeline.from_spec(pictures.steps()).to_spec()]
    assert kinds == ["decode", "orient", "rgb", "resize", "bgr", "normalise", "layout"]


def test_layout_and_size_are_read_from_the_file_with_a_notice() -> None:
    pictures, notices = pictures_for(Wishes(preset="imagenet"), tensor(299, 299, 3))
    assert (pictures.layout, pictures.width, pictures.height) == ("nhwc", 299, 299)
    assert pictures.resize_to == 342  # which is torchvision's for its networks of 299 pixels, too
    assert [notice.split(":")[0] for notice in notices] == ["Layout", "Size", "Shorter side", "Pictures"]


def test_what_the_file_leaves_open_is_the_presets_with_a_notice() -> None:
    pictures, notices = pictures_for(Wishes(preset="keras-tf"), tensor(None, None, None))
    assert (pictures.layout, pictures.width, pictures.height) == ("nhwc", 224, 224)
    assert [notice.split(":")[0] for notice in notices] == ["Layout", "Size", "Pictures"]


def test_without_a_preset_everything_that_was_guessed_is_told() -> None:
    pictures, notices = pictures_for(Wishes(scale=1 / 255), tensor(1, 20, 28))
    assert pictures == Pictures(28, 20, scale=1 / 255, colour="grey")
    assert [notice.split(":")[0] for notice in notices] == ["Layout", "Colour", "Size", "Fit", "Pictures"]
    pictures, notices = pictures_for(Wishes(**PLAIN), tensor(3, 6, 8))
    assert pictures == Pictures(8, 6, scale=1.0)
    assert len(notices) == 1


def test_the_shorter_side() -> None:
    assert pictures_for(Wishes(preset="imagenet", resize_to=232), NCHW)[0].resize_to == 232
    assert pictures_for(Wishes(preset="keras-tf", resize_to=256), tensor(224, 224, 3))[0].resize_to == 256
    assert pictures_for(Wishes(preset="keras-tf", stretch=False), tensor(224, 224, 3))[0].resize_to == 256


@pytest.mark.parametrize(
    ("wishes", "spec", "message"),
    [
        ({"preset": "image-net"}, NCHW, "no preset 'image-net'; expected one of imagenet, keras-tf, keras-caffe"),
        ({"preset": "imagenet"}, tensor(3, 224, 224, dtype="uint8"), "takes input.* uint8; pictures reach a model as"),
        ({"preset": "imagenet"}, tensor(10), "float32 with four axes"),
        ({"preset": "imagenet", "layout": "nhwc"}, NCHW, "which is not nhwc"),
        ({"scale": 1.0}, tensor(None, None, None), "give --layout nchw or nhwc"),
        ({"scale": 1.0}, tensor(3, 5, 3), "give --layout nchw or nhwc"),
        ({"preset": "imagenet"}, tensor(1, 28, 28), "have 1 channels; rgb has 3. Give --colour"),
        ({"preset": "imagenet", "size": (225, 224)}, NCHW, "pictures of 224x224; got --size 225x224"),
        ({"scale": 1.0}, tensor(3, None, None), "give the size of its pictures"),
        ({"size": (224, 224)}, NCHW, r"not known: give --scale 1/255 for 0 to 1 .* or --preset"),
        ({"preset": "imagenet", "mean": (0.5, 0.5)}, NCHW, "--mean has 2 numbers; expected one, or 3 for rgb"),
        ({"preset": "imagenet", "std": (1.0,) * 4}, NCHW, "--std has 4 numbers"),
        ({"preset": "imagenet", "stretch": True, "resize_to": 256}, NCHW, "leave out --resize-to"),
        ({"preset": "imagenet", "resize_to": 200}, NCHW, "--resize-to 200 is less than the 224 pixels"),
    ],
)
def test_contradictions_and_gaps_are_errors(wishes: dict[str, Any], spec: TensorSpec, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pictures_for(Wishes(**wishes), spec)


def test_what_looks_like_pictures() -> None:
    assert looks_like_pictures(NCHW)
    assert looks_like_pictures(tensor(28, 28, 1))
    assert not looks_like_pictures(tensor(4, 8, 8))
    assert not looks_like_pictures(tensor(3))
    assert not Wishes().any
    assert Wishes(stretch=False).any
