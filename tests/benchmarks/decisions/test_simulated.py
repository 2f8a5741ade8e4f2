import numpy as np

from benchmarks.decisions.peer import order
from benchmarks.decisions.progressive import progressive
from benchmarks.decisions.regret import textbook
from benchmarks.decisions.simulated import play
from quorate.core.select.thompson import Thompson


def test_a_policy_learns_of_what_it_drew() -> None:
    rewards = np.tile([1.0, 0.0], (150, 1))
    shares = play(Thompson(["a", "b"]), rewards, seed=0)
    assert abs(shares[0, 0] - 0.5) < 1e-9
    assert shares[-1, 0] > 0.95
    assert np.array_equal(shares, play(Thompson(["a", "b"]), rewards, seed=0))


def test_the_textbook_plays_the_better_arm_more_and_more() -> None:
    rewards = (np.random.default_rng(0).random((50, 300, 2)) < [0.8, 0.3]).astype(float)
    played = textbook(rewards, seed=1)
    assert np.mean(played[:, :10] == 0) < np.mean(played[:, -50:] == 0)
    assert np.mean(played[:, -50:] == 0) > 0.95


def test_rows_come_in_the_same_order_for_all() -> None:
    assert sorted(order(20, 3).tolist()) == list(range(20))
    assert order(20, 3).tolist() == order(20, 3).tolist() != order(20, 4).tolist()


def test_classes_that_a_line_parts_are_learned() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    y = (x[:, 0] > 0).astype(int)
    assert (
        progressive("lin_ucb", x, y, shuffle=0) < 0.15 < 0.35 < progressive("lin_ucb", x, rng.permutation(y), shuffle=0)
    )
