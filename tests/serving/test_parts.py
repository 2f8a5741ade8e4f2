import numpy as np
import pytest

from quorate.runtimes.base import Session
from quorate.serving.parts import GraphInParts, SessionInParts


class Doubling(Session):
    """Doubles its rows; remembers how many it was given."""

    def __init__(self):
        self.given = []
        self.closed = False

    def run(self, inputs):
        self.given.append(len(inputs["x"]))
        return {"y": inputs["x"] * 2, "z": inputs["x"][:, :1]}

    def close(self):
        self.closed = True


class DoublingGraph(Doubling):
    def run(self, inputs):
        return super().run(inputs)["y"][:, None]


@pytest.mark.parametrize(("rows", "given"), [(1, [1]), (3, [3]), (4, [3, 1]), (9, [3, 3, 3])])
def test_rows_keep_their_order_and_no_run_has_more_than_it_may(rows, given):
    x = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)
    inner, graph = Doubling(), DoublingGraph()
    answer = SessionInParts(inner, 3).run({"x": x})
    assert np.array_equal(answer["y"], 2 * x)
    assert np.array_equal(answer["z"], x[:, :1])
    assert np.array_equal(GraphInParts(graph, 3).run({"x": x}), 2 * x[:, None])
    assert inner.given == graph.given == given


def test_closing():
    inner, graph = Doubling(), DoublingGraph()
    SessionInParts(inner, 3).close()
    GraphInParts(graph, 3).close()
    assert inner.closed
    assert graph.closed
