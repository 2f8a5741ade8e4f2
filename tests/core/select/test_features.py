import math

import numpy as np
import pytest

from quorate.core.select.features import Features, check_features
from quorate.errors import ConfigError


def vector(features: Features, context, facts=None) -> list[float]:
    m = features.numbers
    return features.vector(context, facts or {}, np.zeros(m), np.ones(m)).tolist()


def test_numbers_truth_values_and_what_is_missing() -> None:
    features = Features(["context.a", "input.rows"], {}, {}, {})
    assert features.width == 5
    assert vector(features, {"a": 2.5}, {"input.rows": 3}) == [2.5, 3, 0, 0, 1]
    assert vector(features, {"a": True}, {"input.rows": False}) == [1, 0, 0, 0, 1]
    for missing in (None, "3", math.nan, math.inf, 1e40, 10**400):
        assert vector(features, {"a": missing}, {"a": 1.0}) == [0, 0, 1, 1, 1]


def test_declared_ranges_scale_and_cut() -> None:
    features = Features(["context.a"], {"context.a": (10.0, 20.0)}, {}, {})
    assert [vector(features, {"a": x})[0] for x in (5, 10, 15, 17.5, 99)] == [-1, -1, 0, 0.5, 1]
    assert vector(features, {}) == [0, 1, 1]


def test_categories_have_a_column_for_others_and_one_for_missing() -> None:
    features = Features(["context.c"], {}, {"context.c": ("rome", "3", "true")}, {})
    columns = {value: vector(features, {"c": value})[:-1].index(1) for value in ("rome", 3, 3.0, True, "bonn", None)}
    assert columns == {"rome": 0, 3: 1, True: 2, "bonn": 3, None: 4}
    assert sum(vector(features, {"c": math.nan})) == 2


def test_buckets_take_any_value_and_always_the_same_one() -> None:
    features = Features(["context.c"], {}, {}, {"context.c": 8})
    assert features.width == 10
    used = {vector(features, {"c": f"page-{i}"})[:-1].index(1) for i in range(200)}
    assert used == set(range(8))
    assert vector(features, {"c": "ü\ud800"}) == vector(features, {"c": "ü\ud800"})
    assert vector(features, {})[:-1].index(1) == 8


def test_many_rows_are_read_as_one_is(told) -> None:
    features = Features(
        ["context.a", "context.c", "input.rows", "context.d"],
        {"input.rows": (0.0, 10.0)},
        {"context.c": ("x",)},
        {"context.d": 4},
    )
    contexts = [{"a": 1.0, "c": "x", "d": "p"}, {"a": None, "c": 5}, {}]
    given = [told([1, 0], context=context, facts={"input.rows": 3}) for context in contexts]
    numbers, rest = features.raw(given)
    for i, context in enumerate(contexts):
        whole = [*np.nan_to_num(numbers[i]), *np.isnan(numbers[i]), *rest[i]]
        assert whole == vector(features, context, {"input.rows": 3})


@pytest.mark.parametrize(
    ("names", "ranges", "values", "buckets", "path"),
    [
        ((), {}, {}, {}, "features"),
        (("age",), {}, {}, {}, "features[0]"),
        (("context.a", "context."), {}, {}, {}, "features[1]"),
        (("context.a", "context.a"), {}, {}, {}, "features[1]"),
        (("context.a",), {"context.b": (0.0, 1.0)}, {}, {}, "ranges.context.b"),
        (("context.a",), {"context.a": (1.0, 1.0)}, {}, {}, "ranges.context.a"),
        (("context.a",), {"context.a": (0.0, math.inf)}, {}, {}, "ranges.context.a"),
        (("context.a",), {}, {"context.a": ()}, {}, "values.context.a"),
        (("context.a",), {}, {"context.a": ("x", "x")}, {}, "values.context.a"),
        (("context.a",), {}, {}, {"context.a": 0}, "buckets.context.a"),
        (("context.a",), {}, {"context.a": ("x",)}, {"context.a": 4}, "buckets.context.a"),
    ],
)
def test_refuses_declarations_that_do_not_fit(names, ranges, values, buckets, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_features(names, ranges, values, buckets)
    assert caught.value.path == path
