import numpy as np
import pytest

from quorate.core.stats.compare import Metric, Sample, compare
from quorate.core.stats.multiplicity import benjamini_yekutieli, holm
from quorate.core.stats.segments import compare_segments
from quorate.core.stats.words import NAMES, assumptions

BINARY = Metric("binary")


def drawn(seed: int, shares: dict[str, float], n: int) -> tuple[Sample, list[str]]:
    rng = np.random.default_rng(seed)
    names = [name for name in shares for _ in range(n)]
    return Sample((rng.random(len(names)) < np.repeat(list(shares.values()), n)) * 1.0), names


def test_each_segment_is_compared_and_all_are_adjusted_together() -> None:
    (control, first), (treatment, second) = drawn(0, {"b": 0.3, "a": 0.3}, 800), drawn(1, {"b": 0.3, "a": 0.5}, 800)
    for correction, adjust in (("holm", holm), ("benjamini_yekutieli", benjamini_yekutieli)):
        found = compare_segments(BINARY, control, treatment, first, second, effect=0.1, correction=correction)
        assert [segment.name for segment in found] == ["a", "b"]
        alone = compare(BINARY, Sample(control.values[800:]), Sample(treatment.values[800:]), effect=0.1)
        assert found[0].comparison == alone
        p = [segment.comparison.p_value for segment in found]
        assert [segment.adjusted for segment in found] == adjust(p).tolist()
        assert found[0].comparison.verdict == "better"


def test_what_only_one_of_many_looks_would_claim_is_not_claimed() -> None:
    shares = {f"s{i:02}": 0.5 for i in range(24)}
    claims = plain = 0
    for seed in range(30):
        (control, first), (treatment, second) = drawn(seed, shares, 150), drawn(1000 + seed, shares, 150)
        found = compare_segments(BINARY, control, treatment, first, second, alpha=0.2, effect=0.2)
        claims += any(segment.comparison.verdict in ("better", "worse") for segment in found)
        plain += any((segment.comparison.p_value or 1) <= 0.2 for segment in found)
    assert claims <= 0.2 * 30
    assert plain > 0.25 * 30


def test_a_segment_of_one_arm_says_nothing_and_none_is_futile() -> None:
    (control, first), (treatment, second) = drawn(0, {"a": 0.5}, 100), drawn(1, {"a": 0.5, "c": 0.5}, 100)
    found = compare_segments(BINARY, control, treatment, first, second, effect=0.01, fixed_n=10)
    assert [(segment.name, segment.comparison.verdict) for segment in found] == [("a", "none_yet"), ("c", "none_yet")]
    assert found[1].adjusted == 1.0
    assert compare_segments(BINARY, Sample(np.empty(0)), Sample(np.empty(0)), [], [], effect=0.1) == []


def test_refuses_methods_that_hold_at_one_look_and_names_that_do_not_fit() -> None:
    sample = Sample(np.ones(3))
    for method in ("fixed", "group_sequential"):
        with pytest.raises(ValueError, match="every look"):
            compare_segments(BINARY, sample, sample, ["a"] * 3, ["a"] * 3, method=method, fixed_n=10)
    with pytest.raises(ValueError, match="per unit, 3"):
        compare_segments(BINARY, sample, sample, ["a"] * 3, ["a"] * 2, effect=0.1)


def test_every_method_has_its_words() -> None:
    from quorate.core.stats.methods import METHODS

    assert set(NAMES) == set(METHODS)
    for method in METHODS:
        said = " ".join(assumptions(method, Metric("quantile"), cuped=False))
        assert ("every look" in said) == (method not in ("fixed", "group_sequential"))
    assert any("delta method" in sentence for sentence in assumptions("tuned", Metric("ratio"), cuped=True))
    assert "Every value lies in 0..1." in assumptions("betting", BINARY, cuped=False)
