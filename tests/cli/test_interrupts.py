"""Interrupts of commands: none is lost, whenever it comes, and what is printed stays whole."""

from __future__ import annotations

import csv
import gc
import io
import json
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import httpx
import pytest

from quorate import cli
from quorate.cli import _interrupts, predict, serve
from quorate.cli._output import print_json, print_table
from quorate.client import Client

PICTURES = 2
LIMIT_S = 30.0


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def ended(*args: str) -> Any:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as stop:
        cli.main(args)
    assert signal.getsignal(signal.SIGINT) is before
    return stop.value.code


@pytest.fixture(autouse=True)
def not_ignored() -> Iterator[None]:
    """As in a shell with job control, also where the tests run in the background of one without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], Any]:
    """Runs a function as a command and returns what it ended with."""

    def run(function: Callable[[], None]) -> Any:
        module = ModuleType("tried")

        def command() -> None:
            function()

        module.command = command  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "tried", module)
        monkeypatch.setitem(cli.COMMANDS, "tried", ("tried", "Tries something."))
        return ended("tried")

    return run


# --- what is printed ---


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of pictures, and a server that answers what is asked about them."""
    described = {
        "name": "digits", "versions": ["1"], "platform": "quorate_ensemble",
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": "label", "datatype": "BYTES", "shape": [-1]}],
    }  # fmt: skip

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/v2/models/"):
            return httpx.Response(200, json=described)
        return httpx.Response(200, json={"id": "d", "endpoint": "digits", "predictions": [{"label": "7"}]})

    monkeypatch.setattr(predict, "Client", partial(Client, transport=httpx.MockTransport(answer)))
    for i in range(PICTURES):
        (tmp_path / f"{i}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return tmp_path


class Tracing:
    """Interrupts before the ``nth`` line that the command's own files run; ``at`` says which that was."""

    FILES = frozenset(
        str(Path(cli.__file__).parent / name)
        for name in ("predict.py", "_predictions.py", "_output.py", "_interrupts.py")
    )

    def __init__(self, nth: int) -> None:
        self.left = nth
        self.at: str | None = None
        self._within = False

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        self._within = self._within or frame.f_code is predict.command.__code__
        return self._line if self._within and frame.f_code.co_filename in self.FILES else None

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "return" and frame.f_code is predict.command.__code__:
            self._within = False
        if self._within and event == "line" and self.at is None:
            self.left -= 1
            if self.left < 0:
                self.at = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                interrupt()
        return self._line


def whole(text: str, format: str) -> list[str]:
    """The items of an output that is whole; none where nothing was begun."""
    if not text:
        return []
    if format == "json":
        return [each["item"] for each in json.loads(text)]
    head, *rows = csv.reader(io.StringIO(text))
    assert text.endswith("\n")
    assert all(len(row) == len(head) for row in rows)
    return [row[0] for row in rows]


@pytest.mark.parametrize(("format", "step"), [("json", 1), ("csv", 7)])
def test_at_whatever_line_of_predict_it_comes(
    pictures: Path, capsys: pytest.CaptureFixture[str], format: str, step: int
) -> None:
    files = [str(pictures / f"{i}.png") for i in range(PICTURES)]
    seen = set()
    for nth in range(0, 10_000, step):
        tracing = Tracing(nth)
        sys.settrace(tracing)
        try:
            code = ended("predict", "digits", str(pictures), "--format", format, "--concurrency", "1")
        finally:
            sys.settrace(None)
        out, err = capsys.readouterr()
        items = whole(out, format)
        if tracing.at is None:
            assert (code, items) == (0, files)
            break
        assert code == 130, tracing.at
        assert items == files[: len(items)], tracing.at
        assert "Traceback" not in err, tracing.at
        assert f"{len(items)} answered" in err or not out, (tracing.at, err)
        seen.add(len(items))
    assert seen == set(range(PICTURES + 1))


class Slow(io.RawIOBase):
    """Takes a part of what is written; an interrupt comes before the rest, as in a full pipe whose reader waits."""

    def __init__(self) -> None:
        self.got = b""
        self.writes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.writes += 1
        if self.writes == 2:
            interrupt()
        taken = bytes(data[: 5 if self.writes == 1 else len(data)])
        self.got += taken
        return len(taken)


def to_a_pipe(monkeypatch: pytest.MonkeyPatch) -> Slow:
    """From within a test: between its parts pytest puts standard output back."""
    slow = Slow()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(slow, 1), write_through=True))
    return slow


def test_while_a_full_pipe_is_written_to(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = to_a_pipe(monkeypatch)
    assert ended("predict", "digits", str(pictures), "--format", "json") == 130
    assert len(json.loads(pipe.got)) == 1


@pytest.mark.parametrize("json_", [True, False])
def test_while_any_command_writes_to_a_full_pipe(command: Any, monkeypatch: pytest.MonkeyPatch, json_: bool) -> None:
    pipe = to_a_pipe(monkeypatch)
    rows = [(i, "x" * 100) for i in range(1000)]
    assert command(lambda: print_table(("i", "x"), rows, json=json_)) == 130
    lines = pipe.got.decode().splitlines()
    assert len(json.loads(pipe.got) if json_ else lines[2:]) == len(rows)


def test_after_what_was_held_nothing_else_is_done(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with _interrupts.held():
            with _interrupts.held():
                interrupt()
            print_json("held")
        print_json("not reached")

    assert command(work) == 130
    assert capsys.readouterr().out == '"held"\n'


# --- places that forget ---


class Finalized:
    def __del__(self) -> None:
        interrupt()


def by_finalizer() -> None:
    Finalized()


def by_cycle() -> None:
    found: Any = Finalized()
    found.itself = found
    del found
    gc.collect()


def by_weak_reference() -> None:
    class Thing:
        pass

    thing = Thing()
    _ = weakref.ref(thing, lambda _: interrupt())
    del thing


def by_generator() -> None:
    def steps() -> Iterator[int]:
        try:
            yield 1
        finally:
            interrupt()

    next(steps())


@pytest.mark.parametrize("forget", [by_finalizer, by_cycle, by_weak_reference, by_generator])
def test_where_python_forgets_it(command: Any, capsys: pytest.CaptureFixture[str], forget: Callable[[], None]) -> None:
    never, reached = threading.Event(), []

    def work() -> None:
        forget()
        never.wait(LIMIT_S)
        reached.append("what follows")

    assert command(work) == 130
    assert not reached
    assert capsys.readouterr().err == ""


def test_forgotten_again_and_again(command: Any) -> None:
    times = []

    class Stubborn:
        def __del__(self) -> None:
            times.append(time.monotonic())
            if len(times) == 1:
                interrupt()
            else:
                never.wait(LIMIT_S)  # where the next one finds it

    never = threading.Event()

    def work() -> None:
        for _ in range(3):
            Stubborn()
        never.wait(LIMIT_S)
        times.append(0.0)

    assert command(work) == 130
    assert len(times) == 3
    assert 0.0 not in times


def test_other_forgotten_errors_are_told_as_ever(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __del__(self) -> None:
            raise OSError("lost")

    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: told.append(found.exc_type))
    hook = sys.unraisablehook
    assert command(Broken) == 0
    assert told == [OSError]
    assert sys.unraisablehook is hook


def test_code_that_catches_everything_ends_with_130_all_the_same(command: Any) -> None:
    def work() -> None:
        try:
            interrupt()
        except BaseException:
            return

    assert command(work) == 130


def test_while_the_command_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As modules in C do that import another: whatever went wrong comes out as an ImportError."""
    (tmp_path / "slow_module.py").write_text(
        "import signal\n"
        "try:\n    signal.raise_signal(signal.SIGINT)\n"
        "except BaseException:\n    raise ImportError('failed') from None\n"
        "def command() -> None:\n    print('ran')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(cli.COMMANDS, "slow", ("slow_module", "Is slow to import."))
    assert ended("slow") == 130
    assert capsys.readouterr() == ("", "")
    assert sys.modules.pop("slow_module").command


# --- more than one, and none ---


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(_interrupts.time, "monotonic", lambda: now[0])
    return now


def test_two_at_once_are_one(command: Any, clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """``timeout`` signals the process, then its group."""

    def work() -> None:
        try:
            interrupt()
        finally:
            interrupt()
            print_json("closed")

    assert command(work) == 130
    assert capsys.readouterr().out == '"closed"\n'


def test_a_later_one_breaks_through_what_is_held(command: Any, clock: list[float]) -> None:
    reached = []

    def work() -> None:
        with _interrupts.held():
            interrupt()
            reached.append("held")
            clock[0] += _interrupts.PATIENCE_S
            interrupt()
            reached.append("still held")

    assert command(work) == 130
    assert reached == ["held"]


def test_output_that_nobody_reads_is_dropped_at_the_second(
    command: Any, clock: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Stalled(io.TextIOWrapper):
        def flush(self) -> None:
            interrupt()
            clock[0] += _interrupts.PATIENCE_S
            interrupt()

    with (tmp_path / "out").open("wb") as file:
        monkeypatch.setattr(sys, "stdout", Stalled(io.BufferedWriter(io.FileIO(file.fileno(), "w", closefd=False))))
        assert command(lambda: None) == 130
        assert os.path.samestat(os.fstat(file.fileno()), Path(os.devnull).stat())


def test_where_it_is_ignored_it_stays_so(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        interrupt()
        print_json("done")

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert command(work) == 0
    assert capsys.readouterr().out == '"done"\n'


def test_in_another_thread_a_command_runs_without(capsys: pytest.CaptureFixture[str]) -> None:
    codes: list[Any] = []

    def run() -> None:
        try:
            cli.main(["--version"])
        except SystemExit as stop:
            codes.append(stop.code)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert codes == [0]


# --- becoming the supervisor ---


class Prepared:
    notices = ()
    argv = ("python", "-m", "supervisor")


def test_serve_hands_interrupts_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that Python had noted would be lost when the process becomes the supervisor."""
    handlers = []
    monkeypatch.setattr(serve, "prepare", lambda *_: Prepared)
    monkeypatch.setattr(serve.os, "execv", lambda *_: handlers.append(signal.getsignal(signal.SIGINT)))
    assert ended("serve", str(tmp_path)) == 0
    assert handlers == [signal.SIG_DFL]
