import numpy as np
import pytest

from quorate.core.types import TensorSpec
from quorate.errors import InvalidInput
from quorate.preprocess.features import features_of, width_of


def test_rows_of_all_tensors_are_flattened_side_by_side() -> None:
    tensors = {"a": np.arange(8, dtype=np.uint8).reshape(2, 2, 2), "b": np.array([True, False])}
    found = features_of(tensors)
    assert found.dtype == np.float32
    assert found.tolist() == [[0, 1, 2, 3, 1], [4, 5, 6, 7, 0]]
    specs = [TensorSpec("a", "uint8", (None, 2, 2)), TensorSpec("b", "bool", (None,))]
    assert width_of(specs) == found.shape[1]


def test_words_are_no_features() -> None:
    with pytest.raises(InvalidInput, match="'a' holds no numbers"):
        features_of({"a": np.array([["x"]])})


@pytest.mark.parametrize("spec", [TensorSpec("a", "str", (None, 2)), TensorSpec("a", "float32", (None, None))])
def test_the_width_of_what_is_no_features_is_not_known(spec: TensorSpec) -> None:
    assert width_of([TensorSpec("b", "float32", (None, 2)), spec]) is None
