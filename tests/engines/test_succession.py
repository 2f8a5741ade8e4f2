"""What goes over from a supervisor to its successor, and children that were there before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quorate.engines.child import Adopted, Child
from quorate.engines.plan import ChildPlan
from quorate.engines.succession import REHEARSAL_S, Heir, Succession

PLAN = ChildPlan("child", ("true",))


def test_what_is_left_is_what_is_inherited(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        child = Child(PLAN, process, ready_at=3.5, was_ready=True, started=1.25, deaths=2, start_at=None)
        waiting = Child(PLAN, deaths=1, start_at=9.0)
        Heir((5, 6), "Upgraded.", [child.left(), waiting.left()]).save(tmp_path / "heir.json")
        heir = Heir.read(tmp_path / "heir.json")
        assert (heir.life, heir.said) == ((5, 6), "Upgraded.")
        found = [Child(PLAN), Child(PLAN)]
        for one, left in zip(found, heir.children, strict=True):
            one.inherit(left)
        assert found[0].process is not None
        assert found[0].process.pid == process.pid
        assert (found[0].ready_at, found[0].was_ready, found[0].started, found[0].deaths) == (3.5, True, 1.25, 2)
        assert (found[1].process, found[1].deaths, found[1].start_at) == (None, 1, 9.0)
        process.kill()


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "heir.json"
    path.write_text(json.dumps({"format": 99, "life": [1, 2], "said": "", "children": []}))
    with pytest.raises(ValueError, match="cannot follow"):
        Heir.read(path)


def _forked(code: str) -> int:
    """The number of a child that no ``Popen`` of this process knows."""
    return os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)


def test_an_adopted_child_is_as_one_s_own() -> None:
    child = Adopted(_forked("import time; time.sleep(600)"))
    assert child.poll() is None
    child.terminate()
    assert child.wait() == -signal.SIGTERM
    assert child.poll() == -signal.SIGTERM
    child.send_signal(signal.SIGKILL)  # nobody's, and nothing happens
    assert Adopted(_forked("raise SystemExit(3)")).wait() == 3


def test_one_that_is_nobody_s_child_has_ended() -> None:
    pid = _forked("pass")
    os.waitpid(pid, 0)
    assert Adopted(pid).poll() == 255


def test_a_rehearsal_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    succession = Succession(tmp_path / "plan.json", None)
    monkeypatch.setattr(succession, "_command", [sys.executable, "-c", "import time; time.sleep(600)"])
    assert not succession.rehearsed(0.0)
    succession.rehearse(Heir((1, 2), "", []), 0.0)
    assert succession.begun
    assert succession.limit == REHEARSAL_S
    assert not succession.rehearsed(REHEARSAL_S - 1)
    with pytest.raises(OSError, match="its successor did not start"):
        succession.rehearsed(REHEARSAL_S)
    assert not succession.begun
    assert succession.limit is None
