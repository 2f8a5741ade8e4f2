"""The oracle is right wherever anybody is, and the best member is chosen on other rows."""

from __future__ import annotations

import numpy as np
import pytest

from quorate.core.audit.game import Game
from quorate.core.audit.headroom import headroom
from quorate.core.combine.mean import Mean

from .conftest import numbers, scores


def test_of_accuracy() -> None:
    searched, rows = (scores(500, [0.6, 1.4, 0.9], seed=seed) for seed in (1, 2))
    found = headroom(*(Game(r, Mean(), None, "accuracy") for r in (searched, rows)), np.random.default_rng(0))
    right = rows.outputs.argmax(axis=2) == rows.truth[:, None]
    assert found.best_member == 1
    assert found.oracle.value == right.any(axis=1).mean()
    assert found.over_best.value == pytest.approx(right.any(axis=1).mean() - right[:, 1].mean())
    assert found.over_ensemble.low > 0


def test_of_numbers_and_of_macro_f1() -> None:
    rows = numbers(400, [1.0, 2.0])
    game = Game(rows, Mean(), None, "mae")
    found = headroom(game, game, np.random.default_rng(0))
    assert found.oracle.value == pytest.approx(-np.abs(rows.outputs[:, :, 0] - rows.truth[:, None]).min(axis=1).mean())
    of_classes = Game(scores(400, [0.6, 1.4, 0.9]), Mean(), None, "macro_f1")
    assert headroom(of_classes, of_classes, np.random.default_rng(0)).over_best.value > 0
