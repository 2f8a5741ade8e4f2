import numpy as np

from quorate.core.cascade.evidence import seen, width
from quorate.core.cascade.posterior import posterior, softmax, which

SUBSETS = np.array([[True, True], [True, False], [False, True]])


def test_the_largest_fitted_set_that_answered_is_taken() -> None:
    three = np.array([[True, True, True], [True, True, False], [True, False, False]])
    ok = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [0, 0, 0]], bool)
    assert which(ok, three).tolist() == [0, 1, 2, -1, -1]


def test_equal_weights_without_corrections_are_the_geometric_mean() -> None:
    outputs = np.array([[[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]]], np.float32)
    arrays = {
        "subsets": SUBSETS,
        "knots": np.tile([0.0, 1.0], (2, 1)),
        "coarse": np.tile([0.0, 1.0], (2, 1)),
        "weights": np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]]),
        "biases": np.zeros((3, 3)),
        "corrections": np.zeros((3, 0, 3)),
    }
    given = seen(outputs, np.ones((1, 2), bool))
    mean = np.sqrt(outputs[0, 0] * outputs[0, 1])
    assert np.allclose(posterior(given, 0, arrays), mean / mean.sum(), atol=1e-6)
    assert np.allclose(posterior(given, 1, arrays), outputs[:, 0], atol=1e-6), "as if the second had not answered"
    alone = seen(np.where([[[True], [False]]], outputs, np.nan).astype(np.float32), np.array([[True, False]]))
    assert np.allclose(posterior(alone, 1, arrays), outputs[:, 0], atol=1e-6)
    corrected = arrays | {"corrections": np.zeros((3, width(2, 3, 2), 3))}
    corrected["corrections"][1, :2, 2] = 50.0  # where the first member says the first class
    assert posterior(given, 1, corrected).argmax() == 2


def test_softmax_of_huge_logits_is_finite() -> None:
    assert np.allclose(softmax(np.array([[1000.0, 0.0], [-1000.0, -1000.0]])), [[1.0, 0.0], [0.5, 0.5]])
