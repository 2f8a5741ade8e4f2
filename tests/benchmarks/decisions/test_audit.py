"""The benchmark's pools are what it says they are."""

from __future__ import annotations

import numpy as np

from benchmarks.decisions import audit
from quorate.core.combine.mean import Mean


def test_useful_members_are_and_planted_ones_come_after() -> None:
    pool = audit.planted(0)
    rows = pool.draw(500, np.random.default_rng(0))
    assert rows.outputs.shape == (500, pool.members, pool.skill.shape[1])
    right = (rows.outputs.argmax(axis=2) == rows.truth[:, None]).mean(axis=0)
    assert (right[: pool.useful] > 0.4).all()
    assert (right[pool.members - pool.harmful :] < 0.3).all()
    for i, original in enumerate(pool.copies, pool.useful):
        same = rows.outputs[:, i].argmax(axis=1) == rows.outputs[:, original].argmax(axis=1)
        assert same.mean() > 0.8
    assert audit.losses(pool, Mean(), 0, 20_000).min() > audit.MARGIN
