import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.combine.average import average


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(0, 4), m=st.integers(1, 5), k=st.integers(1, 4), seed=st.integers(0, 2**32 - 1), missing=st.booleans()
)
def test_is_the_weighted_mean_of_ok_members_row_by_row(n: int, m: int, k: int, seed: int, missing: bool) -> None:
    rng = np.random.default_rng(seed)
    outputs = rng.normal(size=(n, m, k)).astype(np.float32)
    status = rng.integers(0, 3 if missing else 1, size=(n, m)).astype(np.int8)
    weights = rng.integers(0, 3, size=m).astype(float)
    weights[0] += 1
    answer = average(outputs, status, weights)
    assert answer.dtype == np.float64
    assert answer.shape == (n, k)
    for i in range(n):
        ok = status[i] == 0
        if not ok.any():
            assert np.isnan(answer[i]).all()
            continue
        w = weights[ok] if weights[ok].any() else np.ones(ok.sum())
        np.testing.assert_allclose(answer[i], (w[:, None] * outputs[i, ok]).sum(axis=0) / w.sum(), rtol=1e-6, atol=1e-9)


def test_equal_weights_leave_no_trace_of_member_order() -> None:
    rng = np.random.default_rng(0)
    outputs = rng.dirichlet(np.ones(7), size=(50, 9)).astype(np.float32)
    status = np.zeros((50, 9), np.int8)
    turned = np.random.default_rng(1).permutation(9)
    np.testing.assert_array_equal(average(outputs, status), average(outputs[:, turned], status))
