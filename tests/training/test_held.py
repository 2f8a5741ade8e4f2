"""Held-out rows from ``.npz`` files, pictures and folders of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quorate.errors import ConfigError
from quorate.training import held
from quorate.training.held import read_held


def folder(root: Path, count: int) -> Path:
    root.mkdir()
    for index in range(count):
        (root / f"{index:03}.{'JPG' if index % 2 else 'png'}").write_bytes(bytes([index]) * (index + 1))
    (root / "notes.txt").write_text("no picture")
    return root


def test_an_archive(tmp_path: Path) -> None:
    rows, output = np.ones((3, 2), np.float32), np.full((3, 4), 0.25)
    np.savez(tmp_path / "rows.npz", **{"input.input": rows, "output": output})
    found, notices = read_held([tmp_path / "rows.npz"])
    np.testing.assert_array_equal(found.raw["input"], rows)
    np.testing.assert_array_equal(found.output, output)
    assert notices == []


def test_pictures_and_folders_in_order(tmp_path: Path) -> None:
    pictures = folder(tmp_path / "pictures", 3)
    (pictures / "below").mkdir()
    (pictures / "below" / "x.webp").write_bytes(b"x")
    (tmp_path / "one.dat").write_bytes(b"one")  # named by the user, so it is taken whatever its name
    found, notices = read_held([tmp_path / "one.dat", pictures])
    assert found.raw["image"] == [b"one", b"\0", b"\1\1", b"\2\2\2", b"x"]
    assert [Path(name).name for name in found.names] == ["one.dat", "000.png", "001.JPG", "002.png", "x.webp"]
    assert (found.output, notices) == (None, [])


def test_of_many_pictures_some_are_taken_evenly_with_their_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "MOST_PICTURES", 4)
    pictures = folder(tmp_path / "pictures", 10)
    np.save(tmp_path / "answers.npy", np.arange(10)[:, None] * np.ones(3))
    found, notices = read_held([pictures], tmp_path / "answers.npy")
    assert [len(image) - 1 for image in found.raw["image"]] == [0, 2, 5, 7]
    assert found.output is not None
    assert found.output[:, 0].tolist() == [0, 2, 5, 7]
    assert notices == ["Held-out pictures: 4 of 10, taken evenly."]
    monkeypatch.setattr(held, "MOST_BYTES", 10)
    assert len(read_held([pictures])[0].names) == 2
    monkeypatch.setattr(held, "MOST_BYTES", 0)
    assert len(read_held([pictures])[0].names) == 1


def test_what_is_missing_or_does_not_fit(tmp_path: Path) -> None:
    pictures = folder(tmp_path / "pictures", 2)
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "rows.npz", **{"input.input": np.ones((2, 2))})
    np.save(tmp_path / "three.npy", np.ones((3, 2)))
    np.save(tmp_path / "objects.npy", np.array([{}, {}]), allow_pickle=True)
    (tmp_path / "torn.npy").write_bytes(b"PK\3\4")
    for paths, answers, message in (
        ([tmp_path / "empty"], None, "There are no pictures in"),
        ([tmp_path / "none.png"], None, "none.png cannot be read"),
        ([pictures, tmp_path / "rows.npz"], None, "give one or the other"),
        ([tmp_path / "rows.npz"], tmp_path / "three.npy", "give one or the other"),
        ([pictures], tmp_path / "three.npy", "one row of answers for each of the 2 pictures"),
        ([pictures], tmp_path / "objects.npy", "is not an .npy array of numbers"),
        ([pictures], tmp_path / "torn.npy", "is not an .npy array of numbers"),
        ([pictures], tmp_path / "rows.npz", "one row of answers for each of the 2 pictures"),
        ([pictures], tmp_path / "none.npy", "none.npy cannot be read"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_held(paths, answers)
