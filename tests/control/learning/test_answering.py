"""What strategies would have answered to logged outputs, where they look at features besides."""

import numpy as np
import pytest

from quorate import plugins
from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import StrategyRoute
from quorate.control.learning.answering import LoggedStrategy
from quorate.training.dynamic import fit_dynamic
from tests.ladder import Ladder, ladder

RNG = np.random.default_rng(0)
MEMBERS = ("a", "b", "c")


def logged() -> tuple[LoggedStrategy, np.ndarray, np.ndarray]:
    outputs = RNG.dirichlet([1, 1], size=(40, 3)).astype(np.float32)
    features = RNG.normal(size=(40, 2)).astype(np.float32)
    state = fit_dynamic("knora-u", features, outputs[:, [2, 0]], RNG.integers(2, size=40), ["c", "a"], ["x", "y"])
    files = state_codec.encode(state)
    route = StrategyRoute("near", "knora-u", ("c", "a"), 1, {"voting": "soft"}, state={name: name for name in files})
    return LoggedStrategy.of(route, MEMBERS, files.__getitem__), outputs, features


def test_it_is_what_it_answers_when_it_serves() -> None:
    strategy, outputs, features = logged()
    status = np.zeros((40, 3), np.int8)
    status[3, 2] = 1
    status[5, 0] = 2  # what a skipped member would have said is not known
    answer = strategy.answer(outputs, status, features)
    assert strategy.combiner is not None
    expected = strategy.combiner.combine(outputs[:, [2, 0]], status[:, [2, 0]], strategy.state, features)
    known = np.arange(40) != 5
    np.testing.assert_array_equal(answer[known], expected[known])
    assert np.isnan(answer[5]).all()


def test_without_the_features_it_is_not_known() -> None:
    strategy, outputs, features = logged()
    status = np.zeros((40, 3), np.int8)
    assert np.isnan(strategy.answer(outputs, status)).all()
    assert np.isnan(strategy.answer(outputs, status, features[:, :1])).all()


def test_a_plan_of_stages_answers_where_all_that_it_would_have_asked_has_run(monkeypatch: pytest.MonkeyPatch) -> None:
    load = plugins.load
    monkeypatch.setattr(plugins, "load", lambda f, n: Ladder if (f, n) == ("combiners", "ladder") else load(f, n))
    files = state_codec.encode(ladder([["c"], ["a"]], sure=0.8))
    route = StrategyRoute("steps", "ladder", ("c", "a"), 2, state={name: name for name in files})
    strategy = LoggedStrategy.of(route, MEMBERS, files.__getitem__)
    yes = np.array([[0.1, 0.5, 0.9]] * 2 + [[0.3, 0.5, 0.6]] * 4, np.float32)
    outputs = np.stack([1 - yes, yes], axis=2)
    status = np.array([[0, 0, 0], [2, 2, 0], [0, 2, 0], [2, 0, 0], [0, 0, 1], [0, 0, 0]], np.int8)
    answer = strategy.answer(outputs, status)[:, 1]
    # sure at once, whether the others ran or not; both; not known; too few of those asked; both
    np.testing.assert_allclose(answer, [0.9, 0.9, 0.45, np.nan, np.nan, 0.45], rtol=1e-6)
