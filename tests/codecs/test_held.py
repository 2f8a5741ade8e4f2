"""Held-out outputs as a file: what goes in comes out, and what is wrong is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quorate.codecs import held, npz
from quorate.codecs.held import HeldOutputs
from quorate.errors import FormatRefused

RNG = np.random.default_rng(0)
GOOD = HeldOutputs(
    ("a", "b"), ("no", "yes"), RNG.dirichlet(np.ones(2), (5, 2)).astype(np.float32), np.array([0, 1, 1, 0, 1])
)


def test_there_and_back() -> None:
    plain = held.decode(held.encode(GOOD))
    assert (plain.members, plain.classes) == (("a", "b"), ("no", "yes"))
    assert plain.status.tolist() == [[0, 0]] * 5
    assert plain.group.tolist() == [0, 1, 2, 3, 4]
    assert (plain.truth == GOOD.truth).all()
    more = replace(
        GOOD, status=np.int8([[0, 1]] * 5), group=np.zeros(5, np.int64), features=np.ones((5, 3), np.float32)
    )
    back = held.decode(held.encode(more))
    assert back.status.tolist() == [[0, 1]] * 5
    assert back.features is not None
    numbers = HeldOutputs(("a",), (), np.ones((3, 1, 1), np.float32), np.array([0.5, 1.0, 2.0]))
    assert held.decode(held.encode(numbers)).truth.dtype == np.float64


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"truth": np.array([0, 1, 2, 0, 1])}, "truth"),
        ({"truth": np.array([0, 1])}, "truth"),
        ({"truth": np.ones(5)}, "truth"),
        ({"outputs": np.ones((5, 3, 2))}, "outputs"),
        ({"outputs": np.full((5, 2, 2), np.nan)}, "outputs"),
        ({"status": np.full((5, 2), 7)}, "status"),
        ({"group": np.ones(5)}, "group"),
        ({"features": np.ones(5)}, "features"),
        ({"more": np.ones(5)}, "more"),
        ({"outputs": None}, "outputs"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], name: str) -> None:
    arrays = npz.unpack(held.encode(GOOD), "it") | changes
    with pytest.raises(FormatRefused, match=r"held\.npz") as wrong:
        held.decode(npz.pack({k: v for k, v in arrays.items() if v is not None}), "held.npz")
    assert wrong.value.path == name
