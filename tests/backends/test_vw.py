import math
import sys
from collections.abc import Callable

import numpy as np
import pytest

from quorate.backends.vw import Vw, VwParams
from quorate.core.select.base import Feedback
from quorate.errors import ConfigError


@pytest.fixture
def told() -> Callable[..., Feedback]:
    """Makes one row; None is a reward that is not known."""

    def row(rewards, assigned=0, p=(0.5, 0.5), context=None) -> Feedback:
        values = np.array([math.nan if r is None else r for r in rewards], np.float64)
        return Feedback(context or {}, {}, tuple(p), assigned, values, 0.0, 1.0)

    return row


FEATURES = {"features": ("context.x", "context.y"), "ranges": {"context.y": (0.0, 10.0)}}


def test_says_what_to_install_where_it_is_missing(monkeypatch, told) -> None:
    monkeypatch.setitem(sys.modules, "vowpal_wabbit_next", None)
    policy = Vw(["a", "b"], VwParams(**FEATURES))
    with pytest.raises(ConfigError, match=r"pip install 'quorate\[vw\]'"):
        policy.check()
    with pytest.raises(ConfigError, match=r"pip install 'quorate\[vw\]'"):
        policy.learn(None, [told([1, 0])])


def test_draws_without_it_by_squarecb(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "vowpal_wabbit_next", None)
    policy = Vw(["a", "b", "c"], VwParams(**FEATURES, floor=0.0, gamma_scale=10.0))
    assert policy.distribution(policy.initial(), {}, {}) == pytest.approx([1 / 3] * 3)
    state = policy.initial()
    state.arrays["weights"][:, -1] = [0.5, 0.7, 3.0]  # predictions are cut to [0, 1]
    state.arrays["rows"][0] = 400
    p = policy.distribution(state, {}, {})
    assert p[:2] == pytest.approx([1 / (3 + 200 * 0.5), 1 / (3 + 200 * 0.3)])
    assert p.sum() == pytest.approx(1)


def test_refuses_to_forget_by_weights() -> None:
    for params, path in ((VwParams(**FEATURES, discount=0.9), "discount"), (VwParams(), "features")):
        with pytest.raises(ConfigError) as caught:
            Vw(["a", "b"], params).check()
        assert caught.value.path == path


@pytest.fixture
def vw():
    return pytest.importorskip("vowpal_wabbit_next", reason="the extra 'vw' is not installed")


def test_published_weights_predict_what_it_predicts(vw, told) -> None:
    rng = np.random.default_rng(0)
    policy = Vw(["a", "b"], VwParams(**FEATURES))
    policy.check()
    rows = [
        told([float(x > 0), float(x < 0)], context={"x": float(x), "y": float(y)})
        for x, y in zip(rng.normal(size=300), rng.uniform(0, 10, 300), strict=True)
    ]
    state = policy.learn(policy.learn(None, rows[:100]), rows[100:])
    model = vw.Workspace(["--quiet"], model_data=state.arrays["model"].tobytes())
    parser = vw.TextFormatParser(model)
    for x in (-0.5, 0.25):
        own = policy.predict(state, {"x": x, "y": 5.0}, {})
        # Columns: x, y (0 in the middle of its range), two flags, 1.
        theirs = [model.predict_one(parser.parse_line(f"| {5 * arm}:{x} {5 * arm + 4}:1")) for arm in range(2)]
        assert own == pytest.approx(theirs, abs=1e-5)
    assert policy.predict(state, {"x": 1.0, "y": 5.0}, {})[0] > 0.7
    assert policy.distribution(state, {"x": -1.0, "y": 5.0}, {})[1] > 0.9


def test_rows_count_by_the_inverse_of_their_recorded_propensity(vw, told) -> None:
    context = {"x": 1.0, "y": 5.0}
    policy = Vw(["a", "b"], VwParams(**FEATURES, max_weight=4.0))
    gains = [
        policy.predict(policy.learn(None, [told([1, None], 0, [p, 1 - p], context=context)]), context, {})[0]
        for p in (1.0, 0.5, 0.25, 0.01)
    ]
    assert gains[0] < gains[1] < gains[2] == gains[3]
    state = policy.learn(None, [told([1, None], 0, [0.0, 1.0]), told([None, 1], 0)])
    assert state.arrays["strange"] == 2
