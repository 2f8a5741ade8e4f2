import numpy as np

from quorate.core.types import OutputSpec
from quorate.serving.batch import FAILED, OK, Batch, Part

OUTPUT = OutputSpec("scores", ("no", "yes"))


def batch(values):
    return Batch(np.array(values, np.float32), OUTPUT, 1.0, 2.0)


def test_a_flawless_batch_is_shared_without_copies():
    values = np.full((4, 3, 2), 0.5, np.float32)
    found = Batch(values, OUTPUT, 1.0, 2.0)
    part = Part(found, 1, 3)
    assert found.flawless
    assert np.shares_memory(part.values, values)
    assert part.values.shape == (2, 3, 2)
    assert part.status.tolist() == [[OK] * 3] * 2


def test_a_broken_promise_is_one_members_and_one_rows():
    found = batch([[[0.5, 0.5], [np.nan, 1.0]], [[2.0, 2.0], [0.1, 0.9]]])
    assert not found.flawless
    assert found.status.tolist() == [[OK, FAILED], [FAILED, OK]]
    assert np.isnan(found.values[0, 1]).all()
    assert np.isnan(found.values[1, 0]).all()
    assert found.values[1, 1].tolist() == [np.float32(0.1), np.float32(0.9)]


def test_a_part_may_be_flawless_in_a_batch_that_is_not():
    found = batch([[[0.5, 0.5]], [[np.inf, 0.0]]])
    assert Part(found, 0, 1).flawless
    assert not Part(found, 1, 2).flawless


def test_what_many_want_is_worked_out_once():
    found, calls = batch([[[0.5, 0.5]]]), []

    def make():
        calls.append(1)
        return "answer"

    assert [found.once("key", make) for _ in range(3)] == ["answer"] * 3
    assert calls == [1]
