"""Rows in groups: labels, context values, quantiles of a number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quorate.control.selection.groups import (
    BINS,
    MOST,
    NO_ANSWER,
    NO_NUMBER,
    NOT_SENT,
    OTHERS,
    by_context,
    by_label,
    by_number,
    features_of,
    keys_of,
)
from quorate.core.types import OutputSpec, Signature, TensorSpec


def counts(groups: Any) -> dict[str, int]:
    names, which = groups
    return {name: int((which == i).sum()) for i, name in enumerate(names)}


def test_by_label_in_the_order_of_the_classes() -> None:
    answers = np.array([[0.2, 0.8, 0], [0.9, 0.1, 0], [0.1, 0.9, 0], [np.nan] * 3], np.float32)
    names, which = by_label(answers, OutputSpec("scores", ("x", "y", "z")))
    assert (names, which.tolist()) == (["x", "y", NO_ANSWER], [1, 0, 1, 2])


def test_numbers_that_are_predicted_lie_in_quantiles() -> None:
    assert counts(by_label(np.arange(10, dtype=np.float32)[:, None], OutputSpec("values", names=("y",)))) == {
        "up to 1": 2, "above 1, up to 3": 2, "above 3, up to 5": 2, "above 5, up to 7": 2, "above 7": 2,
    }  # fmt: skip


def test_by_context_the_frequent_ones_the_others_and_where_it_was_not_sent() -> None:
    contexts: list[Any] = [{"k": str(i)} for i in range(MOST) for _ in range(2)]
    contexts += [{"k": "rare"}, {"other": 1}, {"k": None}, {"k": True}]
    found = counts(by_context(contexts, "k"))
    assert found[NOT_SENT] == 1
    assert found[OTHERS] == 3
    assert sum(found.values()) == len(contexts)
    assert keys_of(contexts) == ["k", "other"]
    assert counts(by_context([{"k": 1}, {"k": True}, {"k": None}, {"k": "1"}], "k")) == {"1": 2, "none": 1, "true": 1}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0, 3.0, 3.0], {"all": 3}),
        ([0.0] * 8 + [1.0, 2.0], {"up to 0": 8, "above 0": 2}),
        ([np.nan, np.inf], {NO_NUMBER: 2}),
        ([], {}),
        ([1.00001, 1.00002, np.nan], {"up to 1.00001": 1, "above 1.00001": 1, NO_NUMBER: 1}),
    ],
)
def test_equal_numbers_are_together(values: list[float], expected: dict[str, int]) -> None:
    assert counts(by_number(np.array(values))) == expected


def test_quantiles_hold_about_as_many_rows_each() -> None:
    found = counts(by_number(np.random.default_rng(0).lognormal(size=1000)))
    assert set(found.values()) == {1000 // BINS}


def test_features_are_called_as_the_columns_are_where_there_is_one_for_each() -> None:
    columns = tuple(TensorSpec(name, "float32", (None,)) for name in ("age", "size"))
    output = OutputSpec("scores", ("x", "y"))
    assert features_of(Signature("columns", columns, output), 2) == ["age", "size"]
    assert features_of(Signature("columns", columns, output), 3) == ["1", "2", "3"]
    array = (TensorSpec("input", "float32", (None, 2)),)
    assert features_of(Signature("array", array, output), 2) == ["1", "2"]
