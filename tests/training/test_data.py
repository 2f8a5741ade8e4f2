"""Data sets: rows stay together, and equal data have equal digests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quorate.errors import InvalidInput
from quorate.training.data import Dataset

LABELS = np.array(["b", "a", "b"])
DATA = Dataset("images", {"image": [b"one", b"two", b"three"]}, LABELS, groups=np.array([1, 2, 1]))


def test_take_keeps_rows_together() -> None:
    taken = DATA.take(np.array([2, 0]))
    assert taken.raw["image"] == [b"three", b"one"]
    assert taken.labels.tolist() == ["b", "b"]
    assert taken.groups is not None
    assert taken.groups.tolist() == [1, 1]


def test_truth_is_the_index_of_the_class() -> None:
    assert DATA.classes == ("a", "b")
    assert DATA.truth(("b", "c", "a")).tolist() == [0, 2, 0]
    with pytest.raises(InvalidInput, match="'a'"):
        DATA.truth(("b", "c"))


def test_the_digest_sees_every_change_and_nothing_else() -> None:
    changed = [
        replace(DATA, raw={"image": [b"on", b"etwo", b"three"]}),
        replace(DATA, raw={"picture": DATA.raw["image"]}),
        replace(DATA, labels=np.array(["b", "b", "b"])),
        replace(DATA, groups=None),
        replace(DATA, groups=np.array([1, 2, 3])),
        DATA.take(np.array([1, 0, 2])),
    ]
    assert len({data.digest for data in [DATA, *changed]}) == len(changed) + 1
    assert replace(DATA, name="other", labels=LABELS.astype("<U9")).digest == DATA.digest
    numbers = Dataset("x", {"input": np.arange(6, dtype="<f4").reshape(3, 2)}, LABELS)
    assert replace(numbers, raw={"input": numbers.raw["input"].astype(">f4")}).digest == numbers.digest
    assert replace(numbers, raw={"input": np.asfortranarray(numbers.raw["input"])}).digest == numbers.digest
    assert replace(numbers, raw={"input": numbers.raw["input"].astype("<f8")}).digest != numbers.digest


def test_wrong_lengths_and_labels_are_refused() -> None:
    with pytest.raises(InvalidInput, match="'image' has 1 rows"):
        Dataset("x", {"image": [b"one"]}, LABELS)
    with pytest.raises(InvalidInput, match="labels must be text"):
        Dataset("x", {"input": np.zeros(3)}, np.array([1, 2, 3]))
