"""Many rounds at a time come to what one after the other comes to."""

import numpy as np
import pytest

from quorate.core.experts import layer


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("asleep", [0.0, 0.05])
def test_all_at_once_and_one_by_one_come_to_the_same(seed: int, asleep: float) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 12))
    prior = rng.dirichlet(np.ones(n))
    losses = (rng.random((400, n)) < rng.choice([0.0, 0.02, 0.3, 1.0], n)).astype(float)
    awake = rng.random((400, n)) >= asleep
    awake[:, 0] = True
    one = layer.start(prior)
    for lost, who in zip(losses, awake, strict=True):
        one = layer.learn(one, lost, who)
    several = layer.learn_all(layer.learn_all(layer.start(prior), losses[:150], awake[:150]), losses[150:], awake[150:])
    for name, array in one.arrays().items():
        assert several.arrays()[name] == pytest.approx(array, rel=1e-8, abs=1e-10), name
    assert several.rounds == 400
