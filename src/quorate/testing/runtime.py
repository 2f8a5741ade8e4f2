"""The contract of a runtime, as checks that any runtime can be put through."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import Artifact, FloatArray, Tensors
from quorate.errors import MemberError
from quorate.runtimes.base import Runtime, Session

ROWS_NEEDED = 4
_THREADS = 4
_RUNS_A_THREAD = 8
_SESSIONS = 8
_BYTES_NEEDED = 16 << 20


def check_runtime(
    runtime: type[Runtime], artifact: Artifact, inputs: Tensors, expected: NDArray[Any], *, tolerance: float = 1e-5
) -> None:
    """Raise :class:`AssertionError`, with one sentence, at the first promise the runtime breaks.

    ``inputs`` are at least four different rows of the artifact's tensors, ``expected`` their answers ``[n, width]``,
    not all equal. The loaded model should take 2 MB or more: whether ``close`` gives memory back is measured on eight
    sessions, where the system tells (Linux). An empty batch must be refused: libraries disagree on what it means.
    """
    assert len(expected) >= ROWS_NEEDED, f"give at least {ROWS_NEEDED} rows; got {len(expected)}."
    assert not np.allclose(expected, expected[0], atol=tolerance), "give rows whose answers differ."
    assert artifact.format in runtime.formats, f"'{runtime.name}' does not declare the format '{artifact.format}'."
    case = _Case(runtime, artifact, inputs, np.asarray(expected, np.float32), tolerance)
    for check in (
        check_inputs_unchanged,  # first, because the others hand out the same arrays
        check_answers,
        check_row_order,
        check_batch_is_singles,
        check_threads,
        check_bad_inputs,
        check_close,
        check_memory,
    ):
        check(case)


class _Case:
    """A runtime, and one model with known answers."""

    def __init__(
        self, runtime: type[Runtime], artifact: Artifact, inputs: Tensors, expected: FloatArray, tolerance: float
    ) -> None:
        self.runtime = runtime
        self.artifact = artifact
        self.inputs = inputs
        self.expected = expected
        self.tolerance = tolerance

    @contextmanager
    def session(self) -> Iterator[Session]:
        session = self.runtime().load(self.artifact)
        try:
            yield session
        finally:
            session.close()

    def rows(self, rows: Any) -> Tensors:
        return {name: array[rows] for name, array in self.inputs.items()}

    def answer(self, session: Session, inputs: Tensors) -> NDArray[Any]:
        name = self.artifact.output_name
        outputs = session.run(inputs)
        assert name in outputs, f"run must return '{name}'; got {', '.join(outputs) or 'nothing'}."
        return outputs[name]

    def agrees(self, got: NDArray[Any], expected: FloatArray) -> bool:
        return got.shape == expected.shape and np.allclose(got, expected, rtol=0, atol=self.tolerance)


def check_answers(case: _Case) -> None:
    """The answers are the expected ones, as float32 ``[n, width]``."""
    with case.session() as session:
        got = case.answer(session, case.inputs)
    width = case.artifact.signature.output.width
    assert isinstance(got, np.ndarray), f"an answer must be an array; got {type(got).__name__}."
    assert got.dtype == np.float32, f"an answer must be float32; got {got.dtype}."
    assert got.shape == (len(case.expected), width), f"an answer must be [n, {width}]; got {list(got.shape)}."
    assert case.agrees(got, case.expected), "the answers are not the expected ones."


def check_row_order(case: _Case) -> None:
    """Rows turned round give answers turned round."""
    with case.session() as session:
        got = case.answer(session, case.rows(slice(None, None, -1)))
    assert case.agrees(got, case.expected[::-1]), "answers do not follow the order of the rows."


def check_batch_is_singles(case: _Case) -> None:
    """A row's answer does not depend on the rows beside it."""
    with case.session() as session:
        for row in range(len(case.expected)):
            one = slice(row, row + 1)
            assert case.agrees(case.answer(session, case.rows(one)), case.expected[one]), (
                f"row {row} alone is answered differently than in the batch."
            )


def check_inputs_unchanged(case: _Case) -> None:
    """Other members read the same arrays."""
    inputs = {name: array.copy() for name, array in case.inputs.items()}
    with case.session() as session:
        session.run(inputs)
    assert inputs.keys() == case.inputs.keys(), "run changes its dictionary of inputs."
    for name, array in inputs.items():
        same = np.array_equal(array, case.inputs[name], equal_nan=array.dtype.kind == "f")
        assert same, f"run changes its input '{name}'."


def check_threads(case: _Case) -> None:
    """Several threads use one session at once, each with rows of its own."""
    count = len(case.expected)
    start = threading.Barrier(_THREADS)
    faults: list[str] = []

    def work(session: Session, first: int) -> None:
        rows = np.roll(np.arange(count), -first)[: count - 1]
        start.wait()
        try:
            for _ in range(_RUNS_A_THREAD):
                if not case.agrees(case.answer(session, case.rows(rows)), case.expected[rows]):
                    faults.append("a thread got other answers than it asked for")
        except Exception as error:  # it must fail the check, not only its thread
            faults.append(f"a thread failed with {error!r}")

    with case.session() as session:
        threads = [threading.Thread(target=work, args=(session, first)) for first in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not faults, f"run is not thread-safe: {faults[0]}."


def check_bad_inputs(case: _Case) -> None:
    """What is not as declared raises a :class:`MemberError`, and the session still works afterwards."""
    name = case.artifact.tensors[0].name
    array = case.inputs[name]
    bad = {
        "no tensor": {},
        "a tensor that is not declared": {**case.inputs, "quorate_no_such_tensor": array},
        "another dtype": {
            **case.inputs,
            name: array.astype(np.complex64) if array.dtype.kind in "biuf" else array == "",
        },
        "another rank": {**case.inputs, name: array[..., np.newaxis]},
        "no rows": case.rows(slice(0, 0)),
        "a list": {**case.inputs, name: array.tolist()},
    }
    if array.ndim > 1 and case.artifact.tensors[0].shape[-1] is not None:
        bad["another length"] = {**case.inputs, name: np.concatenate([array, array], axis=-1)}
    with case.session() as session:
        for what, inputs in bad.items():
            _must_refuse(session, inputs, what)
        assert case.agrees(case.answer(session, case.inputs), case.expected), "bad input spoils later answers."


def check_close(case: _Case) -> None:
    """A second close does nothing; a closed session does not run; others of the same model do."""
    with case.session() as other:
        session = case.runtime().load(case.artifact)
        session.close()
        try:
            session.close()
        except Exception as error:
            raise AssertionError(f"the second close raises {error!r}.") from error
        _must_refuse(session, case.inputs, "a run after close")
        assert case.agrees(case.answer(other, case.inputs), case.expected), "closing one session spoils another."


def check_memory(case: _Case) -> None:
    """After close the model's memory is given back, although the session object is still held."""
    with case.session() as session:  # what the library itself keeps is not the model's
        session.run(case.inputs)
    before = _resident()
    if before is None:
        return
    sessions = [case.runtime().load(case.artifact) for _ in range(_SESSIONS)]
    for session in sessions:
        session.run(case.inputs)
    taken = (_resident() or 0) - before
    for session in sessions:
        session.close()
    kept = (_resident() or 0) - before
    assert taken >= _BYTES_NEEDED, (
        f"give a larger model: {_SESSIONS} sessions take {taken >> 20} MiB; expected {_BYTES_NEEDED >> 20} or more."
    )
    assert kept <= taken / 2, f"close keeps {kept >> 20} of {taken >> 20} MiB."


def _must_refuse(session: Session, inputs: Tensors, what: str) -> None:
    try:
        session.run(inputs)
    except MemberError:
        return
    except Exception as error:
        raise AssertionError(f"{what} must raise a MemberError; got {error!r}.") from error
    raise AssertionError(f"{what} must raise a MemberError; it is answered.")


def _resident() -> int | None:
    """Bytes of memory this process holds, after everything free went back to the system; None if it cannot be told."""
    if sys.platform != "linux":
        return None
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:  # another C library than glibc
        return None
    trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
