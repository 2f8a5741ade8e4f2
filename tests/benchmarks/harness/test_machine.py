"""Cores."""

from __future__ import annotations

import pytest

from benchmarks.harness.machine import Cores, describe, pinned, split_cores


@pytest.mark.parametrize(
    ("cores", "workers", "server", "generator"),
    [
        ([0, 1, 2, 3], 1, (0,), (1, 2, 3)),
        ([0, 1, 2, 3], 3, (0, 1, 2), (3,)),
        ([0, 1, 2, 3], 8, (0, 1, 2), (3,)),
        ([5, 2], 1, (2,), (5,)),
    ],
)
def test_server_and_generator_share_no_core(
    cores: list[int], workers: int, server: tuple[int, ...], generator: tuple[int, ...]
) -> None:
    assert split_cores(cores, workers) == Cores(server, generator)


@pytest.mark.parametrize("cores", [[], [0]])
def test_one_core_cannot_be_split(cores: list[int]) -> None:
    assert split_cores(cores, 1) is None


def test_a_pinned_command_stays_on_its_cores() -> None:
    assert pinned((0, 2)) == ["taskset", "--cpu-list", "0,2"]
    assert pinned(None) == []


def test_the_description_names_what_is_measured() -> None:
    assert "Python 3." in describe()
    assert "onnxruntime" in describe()
