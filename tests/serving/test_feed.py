import numpy as np
import pytest

from quorate.errors import InvalidInput
from quorate.serving.feed import Feed, joined, prepare_all


class Preparing:
    """Doubles numbers; refuses what is negative; remembers how many rows came at once."""

    def __init__(self):
        self.calls = []

    def __call__(self, raw, path):
        rows = raw["input"]
        self.calls.append((len(rows), path))
        for i, row in enumerate(rows):
            if np.min(row) < 0:
                raise InvalidInput("negative.", path=f"{path}[{i}]")
        return ({"x": np.stack([np.asarray(row) * 2 for row in rows])},)


def feed(*numbers, path="instances"):
    return Feed({"input": np.array(numbers, np.float32)}, len(numbers), path)


def test_inputs_that_fit_together_are_prepared_in_one_go():
    prepare = Preparing()
    feeds = [feed(1), feed(2, 3), feed(4)]
    prepare_all(feeds, prepare)
    assert prepare.calls == [(4, "instances")]
    assert [f.tensors[0]["x"].tolist() for f in feeds] == [[2], [4, 6], [8]]
    assert joined(feeds, 0)["x"].tolist() == [2, 4, 6, 8]


def test_a_bad_input_is_its_own_requests_error_under_its_own_path():
    prepare = Preparing()
    feeds = [feed(1), feed(2, -3, path="body"), feed(4)]
    prepare_all(feeds, prepare)
    assert [f.refused is None for f in feeds] == [True, False, True]
    assert feeds[1].refused.path == "body[1]"
    assert [feeds[0].tensors[0]["x"].tolist(), feeds[2].tensors[0]["x"].tolist()] == [[2], [8]]


def test_what_is_prepared_or_refused_already_is_left_alone():
    prepare = Preparing()
    done, bad = feed(1), feed(-1)
    prepare_all([done, bad], prepare)
    prepare.calls.clear()
    prepare_all([done, bad], prepare)
    assert prepare.calls == []


@pytest.mark.parametrize(
    "other",
    [
        {"input": np.zeros((1, 3), np.float32)},
        {"input": np.zeros((1, 2), np.float64)},
        {"input": [np.zeros(2, np.float32)]},
    ],
)
def test_inputs_that_do_not_fit_together_are_prepared_one_by_one(other):
    prepare = Preparing()
    prepare_all([Feed({"input": np.zeros((1, 2), np.float32)}, 1), Feed(other, 1)], prepare)
    assert len(prepare.calls) == 2


def test_lists_of_images_are_joined_in_order():
    prepare = Preparing()
    feeds = [Feed({"input": [np.full(2, i, np.uint8)] * (i + 1)}, i + 1) for i in range(3)]
    prepare_all(feeds, prepare)
    assert prepare.calls == [(6, "instances")]
    assert [f.tensors[0]["x"].tolist() for f in feeds] == [[[0, 0]], [[2, 2]] * 2, [[4, 4]] * 3]


def test_a_part_has_its_rows_of_every_preprocessing():
    whole = feed(1, 2, 3)
    whole.tensors = ({"x": np.array([2.0, 4.0, 6.0])}, {"y": np.array([[1], [2], [3]])})
    part = whole.part(np.array([0, 2]))
    assert (part.rows, part.refused) == (2, None)
    assert [{name: array.tolist() for name, array in each.items()} for each in part.tensors] == [
        {"x": [2.0, 6.0]},
        {"y": [[1], [3]]},
    ]
    assert joined([part, whole], 0)["x"].tolist() == [2.0, 6.0, 2.0, 4.0, 6.0]
