"""Splits: every row once, nothing leaks, in the shares that were promised."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.errors import InvalidInput
from quorate.training.data import Dataset
from quorate.training.splits import FRACTIONS, Split, folds, split


def dataset(labels: list[int], groups: list[int] | None = None, times: list[float] | None = None) -> Dataset:
    return Dataset(
        "test",
        {"input": np.arange(len(labels), dtype=np.float32)[:, None]},
        np.array(labels).astype(str),
        None if groups is None else np.array(groups),
        None if times is None else np.array(times),
    )


def parts(found: Split) -> list[np.ndarray]:
    return [found.train, found.validation, found.test]


def check_every_row_once(found: Split, rows: int) -> None:
    np.testing.assert_array_equal(np.sort(np.concatenate(parts(found))), np.arange(rows))
    assert all(len(part) for part in parts(found))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(3, 60), min_size=1, max_size=8), st.integers(0, 5))
def test_stratified_parts_keep_the_share_of_every_class(sizes: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    data = dataset(np.random.default_rng(seed).permutation(labels).tolist())
    found = split(data, seed=seed)
    check_every_row_once(found, len(labels))
    for index, size in enumerate(sizes):
        for part, share in zip(parts(found), FRACTIONS, strict=True):
            count = int((data.labels[part] == str(index)).sum())
            assert count >= 1
            assert abs(count - share * size) < 2


def test_a_split_is_seeded() -> None:
    data = dataset([0, 1] * 100)
    again, other = split(data, seed=1), split(data, seed=2)
    np.testing.assert_array_equal(split(data, seed=1).test, again.test)
    assert not np.array_equal(again.test, other.test)


def test_shares_are_near_70_15_15() -> None:
    found = split(dataset([0, 1, 2] * 400))
    assert [len(part) for part in parts(found)] == [840, 180, 180]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=3, max_size=30), st.integers(0, 5))
def test_no_group_is_in_two_parts(sizes: list[int], seed: int) -> None:
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    found = split(dataset([0] * len(groups), groups=groups.tolist()), "group", seed=seed)
    check_every_row_once(found, len(groups))
    owners = [set(groups[part].tolist()) for part in parts(found)]
    assert len(set.union(*owners)) == sum(map(len, owners))
    for part, share in zip(parts(found), FRACTIONS, strict=True):
        assert abs(len(part) - share * len(groups)) <= 2 * max(sizes)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 15), min_size=3, max_size=100).filter(lambda times: len(set(times)) >= 3))
def test_time_only_goes_forward_and_a_moment_is_not_torn(times: list[int]) -> None:
    found = split(dataset([0] * len(times), times=times), "time")
    check_every_row_once(found, len(times))
    when = np.array(times)
    assert when[found.train].max() < when[found.validation].min()
    assert when[found.validation].max() < when[found.test].min()


def test_distinct_times_are_cut_at_70_and_85() -> None:
    times = np.random.default_rng(0).permutation(100).tolist()
    found = split(dataset([0] * 100, times=times), "time")
    assert [len(part) for part in parts(found)] == [70, 15, 15]


@pytest.mark.parametrize("by", ["stratified", "group"])
def test_folds_hold_every_row_once_and_never_what_they_fit(by: str) -> None:
    rng = np.random.default_rng(0)
    data = dataset(rng.integers(0, 3, 200).tolist(), groups=rng.integers(0, 40, 200).tolist())
    found = folds(data, 5, by, seed=3)
    np.testing.assert_array_equal(np.sort(np.concatenate([fold.held for fold in found])), np.arange(200))
    for fit, held in found:
        np.testing.assert_array_equal(np.sort(np.concatenate([fit, held])), np.arange(200))
        if by == "group":
            assert not set(data.groups[fit].tolist()) & set(data.groups[held].tolist())
        else:
            assert 39 <= len(held) <= 41
            for label in ("0", "1", "2"):
                assert abs((data.labels[held] == label).sum() - (data.labels == label).sum() / 5) < 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=6, max_size=100).filter(lambda times: len(set(times)) >= 6))
def test_folds_by_time_only_look_back(times: list[int]) -> None:
    when = np.array(times)
    found = folds(dataset([0] * len(times), times=times), 5, "time")
    assert len(found) == 5
    for fit, held in found:
        assert len(fit)
        assert len(held)
        assert when[fit].max() < when[held].min()
    np.testing.assert_array_equal(
        np.sort(np.concatenate([found[0].fit, *(fold.held for fold in found)])), np.arange(len(times))
    )


@pytest.mark.parametrize(
    ("data", "by", "words"),
    [
        (dataset([0, 0, 0, 1, 1]), "stratified", "Class '1' has 2"),
        (dataset([0] * 9), "group", "no groups"),
        (dataset([0] * 9), "time", "no times"),
        (dataset([0] * 9, groups=[1, 2] * 4 + [1]), "group", "at least 3 groups"),
        (dataset([0] * 9, times=[1.0, 2.0] * 4 + [1.0]), "time", "at least 3 distinct times"),
    ],
)
def test_what_cannot_be_split_is_refused(data: Dataset, by: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        split(data, by)


@pytest.mark.parametrize(("k", "words"), [(1, "at least 2"), (5, "Class '1' has 4")])
def test_impossible_folds_are_refused(k: int, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        folds(dataset([0] * 9 + [1] * 4), k)
