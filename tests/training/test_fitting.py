"""Independent fits: the same in one process and in several, errors included."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from quorate.errors import InvalidInput
from quorate.training.bagging import Bootstrap
from quorate.training.estimator import Estimator
from quorate.training.fitting import Job, run
from quorate.training.trainer import Rows

X, Y = load_iris(return_X_y=True)
ROWS = Rows({"input": X.astype(np.float32)}, Y.astype(np.int64), ("0", "1", "2"))
FOREST = Bootstrap(Estimator("forest", RandomForestClassifier(5, random_state=3)), seed=1)
LINE = Estimator("line", LogisticRegression(), cost=2.0)


def jobs() -> list[Job]:
    half = np.arange(0, len(Y), 2)
    return [
        Job("forest", FOREST),
        Job("line", LINE),
        Job("fold 1: forest", FOREST, 1, half, half + 1),
    ]


@pytest.mark.parametrize("processes", [1, 2])
def test_members_serve_and_folds_only_answer(processes: int) -> None:
    found = {done.job.label: done for done in run(jobs(), ROWS, processes)}
    assert set(found) == {"forest", "line", "fold 1: forest"}
    (line,) = found["line"].fitted
    assert (line.answers(ROWS.inputs).argmax(axis=1) == Y).mean() > 0.9
    outputs = found["fold 1: forest"].outputs
    assert outputs is not None
    assert outputs.shape == (75, 1, 3)
    half = np.arange(0, len(Y), 2)
    (alone,) = FOREST.fit(ROWS.take(half))
    assert np.array_equal(outputs[:, 0], alone.answers(ROWS.take(half + 1).inputs))
    assert found["fold 1: forest"].fitted == ()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_trainers_error_arrives_as_it_is(processes: int) -> None:
    two = Rows(ROWS.inputs, np.minimum(ROWS.truth, 1), ROWS.classes)
    with pytest.raises(InvalidInput, match="'line' learned the classes 0, 1;") as raised:
        list(run([Job("line", LINE)], two, processes))
    assert raised.value.path == "labels"


def test_nothing_to_do_starts_nothing() -> None:
    assert list(run([], ROWS, 2)) == []


def test_with_one_process_the_order_is_kept() -> None:
    assert [done.job.label for done in run(jobs(), ROWS, 1)] == ["forest", "line", "fold 1: forest"]


@pytest.mark.parametrize("processes", [1, 2])
def test_who_stops_listening_stops_the_work_without_noise(processes: int) -> None:
    with contextlib.closing(run([Job(f"line {i}", LINE) for i in range(20)], ROWS, processes)) as results:
        assert next(results).job.label.startswith("line")
