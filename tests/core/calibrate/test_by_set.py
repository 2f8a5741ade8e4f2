"""A map for every set of members that ended rows: where they differ, and rows are enough; else the common one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quorate.core.calibrate import by_set
from quorate.core.calibrate.ece import of_answers
from quorate.core.calibrate.methods import METHODS, calibrate, check, fit
from quorate.core.types import OutputSpec, State, Status
from quorate.errors import ConfigError, InvalidInput

OK, FAILED, SKIPPED = (int(s) for s in Status)
CLASSES = ("no", "yes")
STRATEGY = {"kind": "cascade", "params": {}, "members": ["small", "large"]}
SMALL, BOTH, LARGE = [OK, SKIPPED], [OK, OK], [FAILED, OK]
METHOD = sorted(METHODS)


def rows(n: int, exponent: float, status: list[int], seed: int) -> tuple[Any, Any, Any]:
    """Answers that are the truth's probabilities to the power ``exponent``: calibrated by exactly that temperature."""
    rng = np.random.default_rng(seed)
    chance = rng.uniform(0.05, 0.95, n)
    powers = np.stack([1 - chance, chance], axis=1) ** exponent
    answers = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return answers, (rng.random(n) < chance).astype(np.int64), np.tile(np.int8(status), (n, 1))


def joined(*parts: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    answers, y, status = (np.concatenate(each) for each in zip(*parts, strict=True))
    order = np.random.default_rng(0).permutation(len(y))
    return answers[order], y[order], status[order]


def fitted(method: str, *parts: tuple[Any, Any, Any]) -> State:
    answers, y, status = joined(*parts)
    return fit(method, answers, y, CLASSES, STRATEGY, status)


def own_sets(state: State) -> set[tuple[bool, ...]]:
    return {tuple(row) for row in state.arrays["sets"].tolist()}


def test_each_set_has_the_temperature_that_its_own_rows_have() -> None:
    state = fitted("temperature", rows(4000, 2.5, SMALL, 1), rows(4000, 0.5, BOTH, 2))
    assert (state.kind, state.version, state.meta["rows"]) == ("temperature", 2, 8000)
    found = dict(zip(map(tuple, state.arrays["sets"].tolist()), state.meta["own"], strict=True))
    assert found[True, False]["temperature"] == pytest.approx(2.5, rel=0.1)
    assert found[True, True]["temperature"] == pytest.approx(0.5, rel=0.1)
    assert sum(each["rows"] for each in state.meta["own"]) == 8000
    check(state, OutputSpec("scores", CLASSES), STRATEGY)


@pytest.mark.parametrize("method", METHOD)
def test_errors_that_cancel_on_average_are_corrected_set_by_set_and_no_label_moves(method: str) -> None:
    parts = rows(3000, 2.5, SMALL, 1), rows(3000, 0.4, BOTH, 2)
    state = fitted(method, *parts)
    assert own_sets(state) == {(True, False), (True, True)}
    answers, y, _ = joined(*parts)
    common = METHODS[method].fit(answers, y, {})
    left, pooled_left = 0.0, 0.0
    for number, (exponent, status) in enumerate(((2.5, SMALL), (0.4, BOTH))):
        plain, truth, ended = rows(6000, exponent, status, 10 + number)
        served = calibrate(plain, state, ended)
        np.testing.assert_array_equal(served.argmax(axis=1), plain.argmax(axis=1))
        np.testing.assert_allclose(served.sum(axis=1), 1.0, atol=1e-5)
        before, after, pooled = (of_answers(each, truth) for each in (plain, served, calibrate(plain, common)))
        assert before is not None
        assert after is not None
        assert pooled is not None
        assert before.error.low > 0.05
        assert after.error.value < 0.35 * before.error.value
        assert pooled.error.low > 0.0  # one map for both is wrong for each
        left, pooled_left = left + after.error.value, pooled_left + pooled.error.value
    assert left < 0.4 * pooled_left


@pytest.mark.parametrize("method", METHOD)
def test_few_rows_of_a_set_and_sets_never_seen_fall_back_on_the_map_of_all(method: str) -> None:
    few = by_set.LEAST - 1
    parts = rows(2000, 2.0, SMALL, 1), rows(few, 0.4, BOTH, 2)
    state = fitted(method, *parts)
    assert (True, True) not in own_sets(state)
    answers, y, _ = joined(*parts)
    common = METHODS[method].fit(answers, y, {})
    for status in (BOTH, LARGE, [SKIPPED, SKIPPED]):
        plain, _, ended = rows(50, 1.0, status, 3)
        np.testing.assert_array_equal(calibrate(plain, state, ended), METHODS[method].apply(plain, common))


def test_a_row_is_answered_alone_as_among_others() -> None:
    state = fitted("isotonic", rows(2000, 2.5, SMALL, 1), rows(2000, 0.5, BOTH, 2))
    plain, _, ended = joined(rows(30, 2.0, SMALL, 5), rows(30, 1.0, BOTH, 6), rows(30, 1.0, LARGE, 7))
    plain[3] = np.nan
    together = calibrate(plain, state, ended)
    alone = [calibrate(plain[i : i + 1], state, ended[i : i + 1]) for i in range(90)]
    np.testing.assert_array_equal(together, np.concatenate(alone))
    assert np.isnan(together[3]).all()
    assert np.isfinite(np.delete(together, 3, axis=0)).all()
    assert calibrate(plain[:0], state, ended[:0]).shape == (0, 2)


def test_the_sets_can_be_given_and_those_without_rows_have_no_map() -> None:
    answers, y, status = joined(rows(200, 2.0, SMALL, 1), rows(200, 0.5, BOTH, 2))
    given = np.array([[True, False], [False, True]])
    state = by_set.fit(METHODS["temperature"], answers, y, status, {}, given)
    assert own_sets(state) == {(True, False)}


def test_who_answered_must_be_known() -> None:
    answers, y, status = joined(rows(200, 2.0, SMALL, 1))
    state = fit("temperature", answers, y, CLASSES, STRATEGY, status)
    with pytest.raises(InvalidInput, match="give their status"):
        calibrate(answers, state)
    with pytest.raises(InvalidInput, match=r"a status \[200, m\]; got \[199, 2\]"):
        fit("temperature", answers, y, CLASSES, STRATEGY, status[1:])


STATE = fitted("temperature", rows(1000, 2.5, SMALL, 1), rows(1000, 0.4, BOTH, 2))


@pytest.mark.parametrize(
    ("broken", "match"),
    [
        (replace(STATE, arrays={}), "array 'sets'"),
        (replace(STATE, arrays={"sets": np.ones((2, 3), bool)}), "array 'sets'"),
        (replace(STATE, arrays={"sets": np.ones((2, 2))}), "array 'sets'"),
        (replace(STATE, meta={**STATE.meta, "own": STATE.meta["own"][:1]}), "'own'"),
        (replace(STATE, meta={**STATE.meta, "own": [{}, {}]}), "'temperature' of set 0"),
        (replace(STATE, meta={**STATE.meta, "temperature": 0}), "'temperature' is not"),
        (replace(STATE, version=3), "version 3"),
    ],
)
def test_broken_states_are_refused(broken: State, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        check(broken, OutputSpec("scores", CLASSES), STRATEGY)
