"""Networks as members: they learn, always the same way, and are served as they were trained."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from quorate.errors import InvalidInput
from quorate.runtimes.onnx import open_session
from quorate.training.neural.architectures import LEAST_SIDE, build
from quorate.training.neural.augment import Augment
from quorate.training.neural.network import Network
from quorate.training.trainer import Rows

PIXELS, Y = load_digits(n_class=3, return_X_y=True)
IMAGES = (PIXELS / 16).astype(np.float32).reshape(-1, 1, 8, 8)
ROWS = Rows({"input": IMAGES[:300]}, Y[:300].astype(np.int64), ("0", "1", "2"))
HELD = Rows({"input": IMAGES[300:]}, Y[300:].astype(np.int64), ("0", "1", "2"))
BUILDS = ("plain", "residual", "separable", "shallow")


def network(build: str = "shallow", **changes: object) -> Network:
    return replace(Network("net", build, seed=3, epochs=12), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("build", BUILDS)
def test_every_architecture_learns_and_is_exported_as_it_answers(build: str) -> None:
    (fitted,) = network(build).fit(ROWS)
    answers = fitted.answers(HELD.inputs)
    assert answers.dtype == np.float32
    assert answers.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (answers.argmax(axis=1) == HELD.truth).mean() > 0.9
    exported = fitted.export(HELD.inputs)
    assert (exported.format, exported.reason) == ("onnx", None)
    assert exported.tensors[0].shape == (None, 1, 8, 8)
    session = open_session(exported.files["model.onnx"], name="net")
    for rows in (1, 2, len(HELD)):
        (got,) = session.run([exported.output_name], {"input": HELD.inputs["input"][:rows]})
        assert np.abs(got - answers[:rows]).max() < 1e-5


def test_the_same_seed_gives_the_same_bytes_whatever_else_is_random() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    (first,) = network().fit(ROWS)
    assert torch.equal(torch.random.get_rng_state(), before), "other people's randomness is left alone"
    torch.manual_seed(2)
    (again,) = network().fit(ROWS)
    (other,) = network(seed=4).fit(ROWS)
    files = [fitted.export(ROWS.inputs).files["model.onnx"] for fitted in (first, again, other)]
    assert files[0] == files[1] != files[2]


def test_artifacts_do_not_name_this_machines_files() -> None:
    (fitted,) = network(epochs=1).fit(ROWS)
    data = fitted.export(ROWS.inputs).files["model.onnx"]
    assert b".py" not in data
    assert b"quorate" not in data


def test_a_fitted_network_can_be_sent_to_another_process() -> None:
    (fitted,) = network(epochs=1).fit(ROWS)
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.answers(HELD.inputs), fitted.answers(HELD.inputs))


def test_heavy_rows_are_learned_and_weightless_ones_are_not() -> None:
    flipped = replace(ROWS, truth=(ROWS.truth + 1) % 3)
    both = Rows(
        {"input": np.concatenate([IMAGES[:300], IMAGES[:300]])},
        np.concatenate([ROWS.truth, flipped.truth]),
        ROWS.classes,
    )
    right_only = np.concatenate([np.full(300, 1 / 300), np.zeros(300)])
    (fitted,) = network().fit(replace(both, weights=right_only))
    assert (fitted.answers(HELD.inputs).argmax(axis=1) == HELD.truth).mean() > 0.9
    (fitted,) = network().fit(replace(both, weights=right_only[::-1].copy()))
    assert (fitted.answers(HELD.inputs).argmax(axis=1) == (HELD.truth + 1) % 3).mean() > 0.9


@pytest.mark.parametrize("shape", [(4, 64), (4, 8, 8), (4, 1, 8, 9)])
def test_what_is_no_square_image_is_refused(shape: tuple[int, ...]) -> None:
    rows = Rows({"input": np.zeros(shape, np.float32)}, np.arange(4) % 3, ("0", "1", "2"))
    with pytest.raises(InvalidInput, match=r"one tensor of square images \[n, c, side, side\]; got input\[4, "):
        network().fit(rows)


def test_too_little_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least two rows"):
        network().fit(ROWS.take(np.array([0])))
    with pytest.raises(InvalidInput, match=f"at least {LEAST_SIDE} pixels"):
        build("plain", 1, 7, 3)
    with pytest.raises(InvalidInput, match="no architecture 'huge'; expected one of plain"):
        build("huge", 1, 8, 3)  # type: ignore[arg-type]


def test_a_last_batch_of_one_row_is_no_problem() -> None:
    (fitted,) = network(epochs=1, batch=16).fit(ROWS.take(np.arange(33)))
    assert np.isfinite(fitted.answers(HELD.inputs)).all()


@pytest.mark.parametrize("build_name", BUILDS)
@pytest.mark.parametrize("side", [8, 11, 16, 28])
def test_architectures_take_any_side_and_colour(build_name: str, side: int) -> None:
    found = build(build_name, 3, side, 5)(torch.zeros(2, 3, side, side))  # type: ignore[arg-type]
    assert found.shape == (2, 5)


def test_no_augmentation_changes_nothing() -> None:
    images = torch.from_numpy(IMAGES[:10])
    none = Augment(0, 0, 0, 0, 0, 0, 0)
    assert torch.allclose(none.apply(images, torch.Generator().manual_seed(1)), images, atol=1e-6)


@pytest.mark.parametrize("field", ["degrees", "scale", "shear", "shift", "thickness", "contrast", "noise"])
def test_each_augmentation_changes_images_by_its_seed(field: str) -> None:
    images = torch.from_numpy(IMAGES[:10])
    one = replace(Augment(0, 0, 0, 0, 0, 0, 0), **{field: 20.0 if field == "degrees" else 0.3})
    first, again, other = (one.apply(images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert not torch.allclose(first, images)
    assert first.shape == images.shape


def test_turning_goes_as_far_as_said() -> None:
    line = torch.zeros(2000, 1, 9, 9)
    line[:, :, 4, :] = 1  # through the centre
    turned = replace(Augment(0, 0, 0, 0, 0, 0, 0), degrees=30.0).apply(line, torch.Generator().manual_seed(5))
    rows, columns = torch.meshgrid(torch.arange(9.0) - 4, torch.arange(9.0) - 4, indexing="ij")
    mass = turned[:, 0]
    angle = 0.5 * torch.atan2(2 * (mass * rows * columns).sum((1, 2)), (mass * (columns**2 - rows**2)).sum((1, 2)))
    degrees = torch.rad2deg(angle)
    assert 27 < float(degrees.abs().max()) < 33
    assert abs(float(degrees.mean())) < 2
