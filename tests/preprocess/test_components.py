"""Connected parts: the same as a flood fill finds, whatever the mask."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from quorate.preprocess.components import components

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=14))


def flooded(mask: np.ndarray) -> np.ndarray:
    """Parts numbered as they are met row by row, by the slow and plain way."""
    labels = np.full(mask.shape, -1)
    count = 0
    for start in zip(*np.nonzero(mask), strict=True):
        if labels[start] >= 0:
            continue
        waiting = [start]
        while waiting:
            row, column = waiting.pop()
            inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
            if inside and mask[row, column] and labels[row, column] < 0:
                labels[row, column] = count
                waiting += [(row + down, column + across) for down in (-1, 0, 1) for across in (-1, 0, 1)]
        count += 1
    return labels


@settings(max_examples=200, deadline=None)
@given(MASKS)
def test_the_parts_are_those_of_a_flood_fill(mask: np.ndarray) -> None:
    found = components(mask)
    labels = flooded(mask)
    np.testing.assert_array_equal(found.labels, labels)
    assert len(found) == labels.max() + 1
    for part in range(len(found)):
        rows, columns = np.nonzero(labels == part)
        assert found.areas[part] == len(rows)
        box = (found.tops[part], found.bottoms[part], found.lefts[part], found.rights[part])
        assert box == (rows.min(), rows.max(), columns.min(), columns.max())


@given(MASKS, st.integers(0, 99))
def test_sums_are_per_part(mask: np.ndarray, seed: int) -> None:
    values = np.random.default_rng(seed).random(mask.shape)
    found = components(mask)
    expected = [values[found.labels == part].sum() for part in range(len(found))]
    np.testing.assert_allclose(found.sums(values), expected)


def test_a_spiral_is_one_part() -> None:
    side = 41
    mask = np.zeros((side, side), bool)
    row, column, length, turn = 0, 0, side - 1, 0
    mask[0, 0] = True
    for arm in range(side - 1):
        for _ in range(length):
            row, column = row + (0, 1, 0, -1)[turn], column + (1, 0, -1, 0)[turn]
            mask[row, column] = True
        turn = (turn + 1) % 4
        length -= 2 * (arm % 2) if arm else 0
        if length <= 0:
            break
    assert len(components(mask)) == 1
    np.testing.assert_array_equal(components(mask).labels, flooded(mask))
