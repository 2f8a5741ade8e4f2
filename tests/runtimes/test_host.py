"""A member in its own process: whatever it does, the worker's side stays well."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from quorate.core.types import Artifact, OutputSpec, TensorSpec
from quorate.errors import FormatRefused, MemberCrashed, MemberError, MemberTimeout, SignatureViolation
from quorate.runtimes import host, wire
from quorate.runtimes.host import MemberHost
from quorate.testing.clock import FakeClock

LONG = 30.0  # only ever waited out when something is broken

SWITCH = """
    import os, re, sys, time
    import numpy as np

    def predict(input):
        do = int(input[0, 0])
        if do == 1: raise ValueError("no\\nsuch thing")
        if do == 2: sys.exit(3)
        if do == 3: raise Silent()
        if do == 12: raise ValueError("\\udc80")
        if do == 4: return None
        if do == 5: return input[:, :2]
        if do == 6: return np.array(["a"] * len(input))
        if do == 7: return [[1.0], [2.0, 3.0]]
        if do == 8: return input[:, 0] * np.nan
        if do == 9: print("printed by a member"); os.write(1, b"written by a member\\n")
        if do == 10: os._exit(7)
        if do == 11: return np.ones((1 << 30, 8))
        return input[:, 0] + os.getpid()

    class Silent(Exception):
        def __str__(self): raise RuntimeError
"""


def ask(do: int, rows: int = 1) -> dict[str, np.ndarray]:
    return {"input": np.full((rows, 4), do, np.float32)}


def with_host(artifact: Artifact, use: Callable[[MemberHost], Coroutine[Any, Any, None]], **settings: Any) -> None:
    """Start a host, use it, close it, on uvloop as workers do."""
    import uvloop

    async def main() -> None:
        member = MemberHost(artifact, **settings)
        await member.start()
        try:
            await use(member)
        finally:
            await member.close()
        assert member.pid is None
        assert not member.ready

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something is so."""
    while not condition():
        await asyncio.sleep(0.001)


def gone(pid: int) -> bool:
    """Wait until another process has ended, on Linux also if nobody reaps it."""
    if sys.platform != "linux":
        return not psutil.pid_exists(pid) or psutil.Process(pid).wait(LONG) is None
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], LONG)[0])
    finally:
        os.close(descriptor)


def test_faults_of_a_member_come_back_and_harm_nobody(make_callable: Any, capfd: pytest.CaptureFixture[str]) -> None:
    faults = {
        1: (MemberCrashed, "Model 'm' raised ValueError: no such thing."),
        2: (MemberCrashed, "raised SystemExit: 3"),
        3: (MemberCrashed, "its message cannot be shown"),
        4: (SignatureViolation, "must answer y[1,1] float32; got None"),
        5: (SignatureViolation, "got [1,2] float32"),
        6: (SignatureViolation, "got [1] <U1"),
        7: (SignatureViolation, "got [] object"),
        12: (MemberCrashed, "raised ValueError: ?"),
    }

    async def use(member: MemberHost) -> None:
        pid = member.pid
        for do, (kind, told) in faults.items():
            with pytest.raises(kind) as caught:
                await member.run(ask(do), timeout=LONG)
            assert told in str(caught.value), do
            assert caught.value.path == "m"
        assert np.isnan((await member.run(ask(8)))["y"]).all()  # a bad row is for the executor to drop
        assert (await member.run(ask(9)))["y"] == 9 + pid  # the same process answered all of them
        for bad in ({}, {"input": np.zeros((1, 3), np.float32)}, ask(0, rows=0)):
            with pytest.raises(SignatureViolation):
                await member.run(bad)
        assert member.ready
        assert member.restarts == 0
        assert member.in_flight == 0

    with_host(make_callable(SWITCH), use)
    out, err = capfd.readouterr()
    assert out == ""
    assert "printed by a member" in err
    assert "written by a member" in err


def test_a_member_that_allocates_too_much_is_told_so(make_callable: Any) -> None:
    async def use(member: MemberHost) -> None:
        with pytest.raises(MemberCrashed, match="MemoryError"):
            await member.run(ask(11), timeout=LONG)
        assert (await member.run(ask(0)))["y"] == member.pid

    with_host(make_callable(SWITCH, memory_mb=1024), use)


def test_a_process_that_ends_fails_its_runs_and_can_be_restarted(make_callable: Any) -> None:
    async def use(member: MemberHost) -> None:
        pid = member.pid
        runs = [asyncio.create_task(member.run(ask(do), timeout=LONG)) for do in (10, 0, 0, 0)]
        answers = await asyncio.gather(*runs, return_exceptions=True)
        assert all(isinstance(answer, MemberCrashed) for answer in answers), answers
        assert not member.ready
        assert member.busy_since is None
        with pytest.raises(MemberCrashed, match="no running process"):
            await member.run(ask(0))
        with pytest.raises(RuntimeError, match="use restart"):
            await member.start()
        await member.restart()
        assert member.ready
        assert member.restarts == 1
        assert member.pid != pid
        assert (await member.run(ask(0)))["y"] == member.pid

    with_host(make_callable(SWITCH), use)


HANGS = {
    "sleeps": "import time; time.sleep(1e6)",
    "holds the GIL in a regular expression": "import re; re.match('(a+)+$', 'a' * 64 + 'b')",
    "holds the GIL in a loop of C": "sum(range(10**15))",
    "waits for itself": "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
}


@pytest.mark.parametrize("how", HANGS)
def test_a_member_that_hangs_is_seen_and_killed(how: str, make_callable: Any) -> None:
    clock = FakeClock()
    source = f"""
        def predict(input):
            if input[0, 0] == 1:
                {HANGS[how]}
            return input[:, 0]
    """

    async def use(member: MemberHost) -> None:
        assert member.busy_since is None
        clock.set_monotonic(5.0)
        with pytest.raises(MemberTimeout, match="did not answer within"):
            await member.run(ask(1), timeout=0.02)
        clock.set_monotonic(9.0)
        others = [asyncio.create_task(member.run(ask(0), timeout=LONG)) for _ in range(5)]
        await asyncio.sleep(0)
        assert member.busy_since == 5.0  # since when, not since whom
        assert member.in_flight == 6
        pid = member.pid
        member.kill()
        for error in await asyncio.gather(*others, return_exceptions=True):
            assert isinstance(error, MemberCrashed)
            assert "was killed" in str(error)
        await member.restart()
        assert gone(pid)
        assert (await member.run(ask(3), timeout=LONG))["y"] == 3
        assert member.busy_since is None

    with_host(make_callable(source), use, clock=clock)


GATED = """
    import numpy as np
    from pathlib import Path

    runs = 0

    def predict(input):
        global runs
        runs += 1
        if input[0, 0] == 1:
            (Path(__file__).parent / "gate").read_bytes()
        return input[:, 0] * 100 + runs
"""


@pytest.fixture
def gated(make_callable: Any) -> Artifact:
    """A member whose run of 1 waits until something is written to the pipe ``gate`` beside it."""
    artifact = make_callable(GATED)
    os.mkfifo(artifact.folder / "gate")
    return artifact


async def open_gate(artifact: Artifact) -> None:
    await asyncio.to_thread((artifact.folder / "gate").write_bytes, b"go")


def test_callers_that_leave_harm_nobody(gated: Artifact) -> None:
    async def use(member: MemberHost) -> None:
        cancelled = asyncio.create_task(member.run(ask(1)))
        queued = [asyncio.create_task(member.run(ask(do))) for do in (2, 3, 4, 5)]
        await until(lambda: member.in_flight == 5)
        for task in (cancelled, *queued[1:3]):  # the first is running, the last two of these were never sent
            task.cancel()
        late = asyncio.create_task(member.run(ask(6), timeout=0.0))
        with pytest.raises(MemberTimeout):
            await late
        assert member.in_flight == 3  # running, sent, queued
        await open_gate(gated)
        assert (await queued[0])["y"] == 202
        assert (await queued[3])["y"] == 503  # 3, 4 and 6 were never run
        for task in (cancelled, *queued[1:3]):
            with pytest.raises(asyncio.CancelledError):
                await task
        assert (await member.run(ask(7)))["y"] == 704
        assert member.in_flight == 0

    with_host(gated, use)


def test_too_many_runs_are_refused_at_once(gated: Artifact) -> None:
    async def use(member: MemberHost) -> None:
        first = asyncio.create_task(member.run(ask(1)))
        others = [asyncio.create_task(member.run(ask(2))) for _ in range(2)]
        await until(lambda: member.in_flight == 3)
        with pytest.raises(MemberError, match="busy: 3 runs") as caught:
            await member.run(ask(2))
        assert type(caught.value) is MemberError
        await open_gate(gated)
        await asyncio.gather(first, *others)
        assert (await member.run(ask(2)))["y"] == 204

    with_host(gated, use, max_in_flight=3)


def test_close_fails_what_is_in_flight(gated: Artifact) -> None:
    async def use(member: MemberHost) -> None:
        runs = [asyncio.create_task(member.run(ask(1))) for _ in range(3)]
        await until(lambda: member.in_flight == 3)
        await member.close()
        await member.close()
        assert all(isinstance(e, MemberCrashed) for e in await asyncio.gather(*runs, return_exceptions=True))
        with pytest.raises(MemberCrashed):
            await member.run(ask(2))

    with_host(gated, use)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_answers_reach_their_callers(loop: str, make_callable: Any) -> None:
    """Also frames far beyond the socket's buffer, in both directions, mixed with small ones."""
    import uvloop

    wide = (TensorSpec("input", "float32", (None, 4)), TensorSpec("extra", "float64", (None, None)))
    names = tuple(f"y{i}" for i in range(64))
    source = """
        import numpy as np
        def predict(input, extra):
            return np.repeat(input[:, :1] + extra.sum(axis=1, keepdims=True), 64, axis=1)
    """
    artifact = make_callable(source, tensors=wide, output=OutputSpec("values", names=names))

    async def main() -> None:
        member = MemberHost(artifact, max_in_flight=200)
        await member.start()
        try:

            async def one(number: int) -> None:
                rows, width = (20_000, 50) if number % 20 == 0 else (1 + number % 3, 2)
                extra = np.full((width, rows), number, np.float64).T  # not contiguous
                answer = (await member.run({"input": ask(number, rows)["input"], "extra": extra}, timeout=LONG))["y"]
                assert answer.shape == (rows, 64)
                assert (answer == number * (width + 1)).all()
                answer += 1  # what comes back is the caller's to change

            await asyncio.gather(*(one(number) for number in range(1, 101)))
            assert member.in_flight == 0
        finally:
            await member.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
        runner.run(main())


def test_text_and_bytes_travel(make_callable: Any) -> None:
    tensors = (TensorSpec("word", "str", (None,)), TensorSpec("blob", "bytes", (None, 1)))
    source = """
        def predict(word, blob):
            assert blob.shape == (3, 1) and word.dtype == object
            return [len(w or "") + 10 * len(b) for w, b in zip(word, blob[:, 0])]
    """
    inputs = {
        "word": np.array(["a", "žluť", None], object),
        "blob": np.array([[b""], [b"\0\1"], [b"x" * 9]], object),
    }

    async def use(member: MemberHost) -> None:
        assert (await member.run(inputs))["y"].ravel().tolist() == [1, 24, 90]
        with pytest.raises(SignatureViolation, match="expected numbers, text or bytes"):
            await member.run({**inputs, "word": np.array(["a", 1, {}], object)})
        assert member.in_flight == 0

    with_host(make_callable(source, tensors=tensors), use)


@pytest.mark.parametrize(
    ("source", "options", "error", "told"),
    [
        ("raise OSError('no weights')", {}, MemberCrashed, "raised OSError: no weights"),
        ("import os; os._exit(3)", {}, MemberCrashed, "exited with status 3"),
        ("predict = 5", {}, FormatRefused, "has no function or class"),
        ("def predict(input): return input[:, 0]", {"speed": 9}, FormatRefused, "sets the option 'speed'"),
        ("def predict(input): return input[:, 0]", {"memory_mb": "all"}, FormatRefused, "sets memory_mb to 'all'"),
    ],
)
def test_a_member_that_cannot_be_loaded(
    source: str, options: dict[str, Any], error: type[Exception], told: str, make_callable: Any
) -> None:
    async def main() -> None:
        member = MemberHost(make_callable(source, **options))
        with pytest.raises(error, match=told):
            await member.start()
        assert member.pid is None
        assert not member.ready

    asyncio.run(main())


def test_a_start_that_hangs_or_is_cancelled_leaves_no_process(make_callable: Any, tmp_path: Path) -> None:
    source = """
        import os, pathlib, time
        pathlib.Path(__file__).with_name("pid").write_text(str(os.getpid()))
        time.sleep(1e6)
    """
    note = tmp_path / "pid"

    async def main() -> None:
        member = MemberHost(make_callable(source))
        starting = asyncio.create_task(member.start())
        await until(lambda: note.exists() and note.read_text() != "")
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert gone(int(note.read_text()))
        with pytest.raises(MemberTimeout, match="was not loaded within"):
            await member.start(timeout=0.01)
        assert member.pid is None

    asyncio.run(main())


def test_what_cannot_be_spawned_is_an_error(make_callable: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")

    async def main() -> None:
        with pytest.raises(MemberCrashed, match="could not be started"):
            await MemberHost(make_callable("")).start()

    asyncio.run(main())


@pytest.mark.parametrize(
    "said", [b"\xff" * 64, wire.pack(wire.Kind.RESULT, 99)[0], wire.pack(wire.Kind.ERROR, 0, 5)[0]]
)
def test_a_host_that_talks_nonsense_is_dropped(
    said: bytes, make_callable: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spawn(theirs: socket.socket) -> subprocess.Popen[bytes]:
        script = f"import os, time; os.write({theirs.fileno()}, {said!r}); time.sleep(1e6)"
        return subprocess.Popen([sys.executable, "-c", script], pass_fds=(theirs.fileno(),), start_new_session=True)

    monkeypatch.setattr(host, "_spawn", spawn)

    async def main() -> None:
        with pytest.raises(MemberCrashed, match="broke the protocol"):
            await MemberHost(make_callable("")).start()

    asyncio.run(main())


def test_signals_to_the_group_do_not_end_a_member(make_callable: Any) -> None:
    async def use(member: MemberHost) -> None:
        assert member.pid is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(member.pid, number)
        assert (await member.run(ask(0)))["y"] == member.pid

    with_host(make_callable(SWITCH), use)


def test_a_member_has_one_thread_and_is_the_first_to_go(make_callable: Any) -> None:
    source = """
        import os
        def predict(input):
            return input[:, 0] + int(os.environ["OMP_NUM_THREADS"])
    """

    async def use(member: MemberHost) -> None:
        assert (await member.run(ask(0)))["y"] == int(os.environ.get("OMP_NUM_THREADS", "1"))
        if sys.platform == "linux":
            assert Path(f"/proc/{member.pid}/oom_score_adj").read_text().strip() == "1000"

    with_host(make_callable(source), use)


def test_what_a_member_started_dies_with_it(make_callable: Any) -> None:
    source = """
        import subprocess
        child = subprocess.Popen(["sleep", "1000000"])
        def predict(input):
            return input[:, 0] + child.pid
    """
    pids: list[int] = []

    async def use(member: MemberHost) -> None:
        pids.append(int((await member.run(ask(0)))["y"][0, 0]))

    with_host(make_callable(source), use)
    assert gone(pids[0])


WORKER = """
import asyncio, os, sys, numpy as np
from pathlib import Path
from quorate.core.types import Artifact, OutputSpec, Signature, TensorSpec
from quorate.runtimes.host import MemberHost

tensors = (TensorSpec("input", "float32", (None, 4)),)
signature = Signature("array", tensors, OutputSpec("values", names=("y",)))
artifact = Artifact("m", 1, "callable", Path(sys.argv[1]), ("model.py",), "sha256:0", signature, tensors, "y",
                    {"entry": "predict"})

async def main():
    member = MemberHost(artifact)
    await member.start()
    run = asyncio.create_task(member.run({"input": np.zeros((1, 4), np.float32)}))
    await asyncio.sleep(0)
    print(member.pid, flush=True)
    await run

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent was killed")
def test_no_orphan_when_the_worker_is_killed(make_callable: Any, tmp_path: Path) -> None:
    """Even though the member holds the GIL in C and so cannot see the end of its stream."""
    source = """
        import os, re
        def predict(input):
            with open(os.path.join(os.path.dirname(__file__), "entered"), "w"): pass
            re.match('(a+)+$', 'a' * 64 + 'b')
    """
    make_callable(source)
    os.mkfifo(tmp_path / "entered")
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        (tmp_path / "entered").read_bytes()  # the member runs
        worker.kill()
    assert gone(pid)


def host_process(parent: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-m", "quorate.runtimes.host_main", str(theirs.fileno()), str(parent)]
        return subprocess.Popen(command, pass_fds=(theirs.fileno(),), stderr=subprocess.PIPE), ours


def test_a_host_ends_with_its_stream() -> None:
    process, ours = host_process(os.getpid())
    ours.close()
    assert process.communicate(timeout=LONG)[1] == b""
    assert process.returncode == 0


def test_a_host_whose_worker_is_gone_already_does_not_begin() -> None:
    process, ours = host_process(os.getpid() + 1)
    with ours:
        process.communicate(timeout=LONG)
        assert process.returncode == 1
