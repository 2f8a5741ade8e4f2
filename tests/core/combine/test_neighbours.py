from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.combine import neighbours
from quorate.core.combine.neighbours import nearest, squared_norms


def by_definition(queries: np.ndarray, reference: np.ndarray, k: int) -> np.ndarray:
    """All distances, term by term; of equal ones the lower index first."""
    squares = ((queries.astype(float)[:, None] - reference.astype(float)) ** 2).sum(axis=2)
    return np.argsort(squares, axis=1, kind="stable")[:, :k]


@settings(max_examples=120, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 300),
    st.integers(1, 12),
    st.integers(1, 40),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from(["normal", "integer", "far", "equal"]),
)
def test_they_are_the_nearest_and_the_same_alone_as_together(
    seed: int, r: int, d: int, n: int, dtype: type, kind: str
) -> None:
    rng = np.random.default_rng(seed)
    draw = {
        "normal": lambda rows: rng.normal(size=(rows, d)),
        "integer": lambda rows: rng.integers(0, 3, size=(rows, d)),  # full of ties
        "far": lambda rows: 1e4 + rng.normal(size=(rows, d)),  # products lose most of their digits
        "equal": lambda rows: np.ones((rows, d)),
    }[kind]
    reference, queries = draw(r).astype(dtype), draw(n).astype(dtype)
    k = int(rng.integers(1, r + 1))
    norms = squared_norms(reference)
    index, squares = nearest(queries, reference, norms, k)
    assert (index.shape, squares.shape) == ((n, k), (n, k))
    np.testing.assert_array_equal(index, by_definition(queries, reference, k))
    assert (np.diff(squares, axis=1) >= 0).all()
    for row in range(min(n, 5)):
        alone, its_squares = nearest(queries[row : row + 1], reference, norms, k)
        np.testing.assert_array_equal(alone[0], index[row])
        np.testing.assert_array_equal(its_squares[0], squares[row])


@pytest.mark.parametrize("ties", [False, True])
def test_bounded_memory_changes_nothing(ties: bool) -> None:
    rng = np.random.default_rng(1)
    reference = (np.zeros((200, 3)) if ties else rng.normal(size=(200, 3))).astype(np.float32)
    queries = rng.normal(size=(50, 3)).astype(np.float32)
    norms = squared_norms(reference)
    whole = nearest(queries, reference, norms, 7)
    with mock.patch.object(neighbours, "AT_ONCE", 900):  # four rows of products; with ties one row of candidates
        parts = nearest(queries, reference, norms, 7)
    for expected, got in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(got, expected)
    if ties:
        assert (parts[0] == np.arange(7)).all()
