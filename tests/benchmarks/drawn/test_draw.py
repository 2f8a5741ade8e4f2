"""The drawn digits: the same from the same seed, every kind of them, and pictures that decode to what they say."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageOps

from benchmarks.drawn import DIGITS, GROUPS, STYLES, Drawn, corruptions, draw, fonts, pen
from benchmarks.drawn.scene import Scene, glyph_height, render


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return draw(2 * len(GROUPS), seed=7)


def opened(picture: bytes) -> Image.Image:
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(picture)))
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def test_the_same_seed_draws_the_same_and_another_does_not(drawn: Drawn) -> None:
    again = draw(4, seed=7)
    assert again.pictures == drawn.pictures[:4], "fewer are the first of more"
    assert again.groups == drawn.groups[:4]
    assert all(a != b for a, b in zip(draw(4, seed=8).pictures, again.pictures, strict=True))


def test_groups_digits_and_styles_take_turns() -> None:
    places = [divmod(index, len(GROUPS)) for index in range(20 * len(GROUPS))]
    seen = {(GROUPS[place], DIGITS[turn % 10], STYLES[turn // 10 % 2]) for turn, place in places}
    assert len(seen) == len(GROUPS) * len(DIGITS) * len(STYLES)


def test_rows_say_what_they_show(drawn: Drawn) -> None:
    assert drawn.groups == GROUPS * 2
    assert drawn.labels.tolist() == ["0"] * len(GROUPS) + ["1"] * len(GROUPS)
    for group, tags in zip(drawn.groups, drawn.tags, strict=True):
        assert len(tags & set(STYLES)) == 1
        assert tags - set(STYLES) <= set(GROUPS)
        expected = {"clean": 0, "mixed": 3}.get(group, 1)
        assert len(tags) - 1 >= expected
        assert group in (*tags, "clean", "mixed")
    assert len(drawn.where("clean")) == 2
    assert len(drawn.where("pen")) == len(drawn)


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_decodes_to_a_picture_with_ink_in_it(drawn: Drawn, group: str) -> None:
    image = opened(drawn.pictures[drawn.where(group)[0]])
    image.thumbnail((200, 200))
    assert max(high - low for low, high in image.getextrema()) > 20


def test_a_clean_digit_is_black_on_white_in_the_middle() -> None:
    rng = np.random.default_rng(0)
    scene = corruptions.clean(rng)
    for digit in DIGITS:
        for writer in (pen, fonts):
            cover = 255 - np.asarray(opened(render(scene, writer.write(digit, glyph_height(scene), rng), rng)))[..., 0]
            rows, columns = np.flatnonzero(cover.max(axis=1) > 127), np.flatnonzero(cover.max(axis=0) > 127)
            assert np.ptp(rows) + 1 == pytest.approx(scene.size * scene.height, rel=0.25)
            for places, side in ((rows, scene.height), (columns, scene.width)):
                assert (places[0] + places[-1] + 1) / 2 == pytest.approx(side / 2, abs=2)


def test_each_corruption_does_what_it_says() -> None:
    rng = np.random.default_rng(1)
    clean = Scene()
    changed = {name: change(clean, rng) for name, change in corruptions.CORRUPTIONS.items()}
    assert len({repr(scene) for scene in changed.values()}) == len(changed)
    assert all(scene != clean for scene in changed.values())
    assert (changed["inverse"].paper, changed["inverse"].ink) == ((0, 0, 0), (255, 255, 255))
    assert changed["phone"].width * changed["phone"].height >= 3_000_000
    assert max(changed["small"].width, changed["small"].height) <= 40
    assert np.linalg.norm(np.subtract(changed["coloured"].paper, changed["coloured"].ink)) >= 130


@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_turns_a_picture_back(orientation: int) -> None:
    rng = np.random.default_rng(0)
    glyph = fonts.write("2", 100, rng)
    upright = np.asarray(opened(render(Scene(width=120, height=90), glyph, rng)), float)
    stored = replace(Scene(width=120, height=90), orientation=orientation)
    np.testing.assert_array_equal(np.asarray(opened(render(stored, glyph, rng)), float), upright)


def test_every_face_draws_every_digit() -> None:
    rng = np.random.default_rng(0)
    assert len(fonts.faces()) == 7
    assert all(fonts.faces())
    for digit in DIGITS:
        glyphs = [fonts.write(digit, 60, rng) for _ in range(12)]
        assert all(40 <= glyph.height <= 80 for glyph in glyphs)
        assert len({glyph.tobytes() for glyph in glyphs}) > 3


def test_every_way_of_writing_is_drawn() -> None:
    assert set(pen.WAYS) == set(DIGITS)
    for digit, ways in pen.WAYS.items():
        assert len(ways) >= 2
        glyphs = {pen.write(digit, 60, np.random.default_rng(seed)).tobytes() for seed in range(8)}
        assert len(glyphs) == 8
