"""The supervisor, with small real children: it starts, restarts, drains and kills, and leaves no orphan."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from quorate.engines.local import UPGRADE, ChildPlan, LaunchPlan

# A child as the supervisor starts it: it says that it is ready, and ends with the supervisor's pipe.
CHILD = """
import argparse, os, select, signal, subprocess, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--life-fd", type=int)
parser.add_argument("--ready-fd", type=int)
args = parser.parse_args()
{before}
os.write(args.ready_fd, b"1")
{after}
select.select([args.life_fd], [], [])
"""
WITHIN = 60.0


class Run:
    """A supervisor on children made of two pieces of code each: before and after they are ready."""

    def __init__(
        self,
        folder: Path,
        drain_s: float,
        *children: tuple[str, str],
        inessential: tuple[int, ...] = (),
        spare: tuple[str, str] | None = None,
    ) -> None:
        plans = []
        for number, (before, after) in enumerate([*children, *([spare] if spare else [])]):
            script = folder / f"child-{number}.py"
            script.write_text(CHILD.format(before=before, after=after))
            plans.append(ChildPlan(f"child {number}", (sys.executable, str(script)), number not in inessential))
        self.folder = folder
        plan = LaunchPlan(
            tuple(plans[: len(children)]),
            message="all ready",
            drain_s=drain_s,
            pid_file=str(folder / "pid"),
            spare=plans[-1] if spare else None,
            upgrade_file=str(folder / "upgrade"),
        )
        plan.save(folder / "plan.json")
        self.log_file = folder / "log"
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "quorate.engines.local", str(folder / "plan.json")],
                stdin=subprocess.DEVNULL,
                stderr=log,
                process_group=0,
            )

    def log(self) -> str:
        return self.log_file.read_text()

    def until(self, true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WITHIN
        while not true():
            assert time.monotonic() < deadline, f"not in time: {what}\n{self.log()}"
            time.sleep(0.02)

    def announced(self) -> Run:
        self.until(lambda: "all ready" in self.log(), "all are ready")
        return self

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(WITHIN)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    started: list[Run] = []

    def start(*children: tuple[str, str], drain_s: float = 5.0, **more: Any) -> Run:
        started.append(Run(tmp_path, drain_s, *children, **more))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def test_announces_once_when_every_child_is_ready_and_drains_on_sigterm(run, tmp_path):
    supervisor = run(("", ""), ("", "")).announced()
    assert (tmp_path / "pid").read_text() == str(supervisor.process.pid)
    children = supervisor.children()
    assert len(children) == 2
    assert supervisor.end(signal.SIGTERM) == 0
    assert gone(children)
    assert supervisor.log().count("all ready") == 1
    assert not (tmp_path / "pid").exists()


def test_a_child_that_dies_is_started_again_at_once(run):
    supervisor = run(("", "")).announced()
    (first,) = supervisor.children()
    first.kill()
    supervisor.until(lambda: "child 0 is back" in supervisor.log(), "the child is back")
    (second,) = supervisor.children()
    assert second.pid != first.pid
    assert "child 0 died (signal SIGKILL); starting it again" in supervisor.log()
    assert supervisor.end(signal.SIGTERM) == 0


def test_a_child_that_cannot_start_ends_everything(run):
    supervisor = run(("sys.exit(3)", ""), ("", ""))
    assert supervisor.process.wait(WITHIN) == 1
    assert "child 0 could not be started (exit status 3); stopping." in supervisor.log()
    assert "all ready" not in supervisor.log()


def test_one_that_is_not_essential_is_neither_waited_for_nor_missed(run):
    supervisor = run(("sys.exit(3)", ""), ("", ""), inessential=(0,)).announced()
    supervisor.until(
        lambda: "child 0 could not be started (exit status 3); going on" in supervisor.log(), "it is given up"
    )
    assert supervisor.log().count("starting it again") == 2
    assert len(supervisor.children()) == 1
    assert supervisor.end(signal.SIGTERM) == 0


def test_one_that_is_not_essential_is_started_again_once_it_was_ready(run):
    supervisor = run(("", ""), ("", ""), inessential=(0,)).announced()
    for times in (1, 2, 3):
        supervisor.until(lambda: len(supervisor.children()) == 2, "both run")
        first = next(child for child in supervisor.children() if "child-0" in " ".join(child.cmdline()))
        supervisor.until(lambda n=times: supervisor.log().count("child 0 is back") == n - 1, "it is ready")
        first.kill()
        supervisor.until(lambda n=times: supervisor.log().count("child 0 is back") == n, "it is back")
    assert "could not be started" not in supervisor.log()


def upgraded(supervisor: Run) -> dict[str, Any]:
    """Ask for an upgrade; what came of it."""
    told = supervisor.folder / "upgrade"
    told.unlink(missing_ok=True)
    supervisor.process.send_signal(signal.SIGUSR2)
    supervisor.until(told.exists, "the upgrade is over")
    return dict(json.loads(told.read_text()))


def test_an_upgrade_replaces_every_child_and_leaves_no_spare(run):
    supervisor = run(("", ""), ("", ""), spare=("", "")).announced()
    before = {child.pid for child in supervisor.children()}
    said = "Upgraded: 2 processes were replaced. So was the supervisor."
    assert upgraded(supervisor) == {"done": True, "message": said}
    supervisor.until(lambda: len(supervisor.children()) == 2, "the spare has gone")
    assert not {child.pid for child in supervisor.children()} & before
    assert "died" not in supervisor.log()
    assert upgraded(supervisor)["done"]  # and once more
    assert supervisor.end(signal.SIGTERM) == 0


def test_the_supervisor_becomes_its_successor_and_keeps_its_children(run, tmp_path):
    supervisor = run(("", ""), ("", ""), spare=("", "")).announced()
    own = psutil.Process(supervisor.process.pid)
    before = own.cmdline()
    for _ in range(2):  # and the successor has one of its own
        assert upgraded(supervisor)["done"]
        assert own.cmdline() != before
        assert own.cmdline()[-1] == str(tmp_path / "heir.json")
    files = own.num_fds()
    assert upgraded(supervisor)["done"]
    assert own.num_fds() == files
    children = supervisor.children()
    assert len(children) == 2
    children[0].kill()  # whom it has not started itself
    supervisor.until(lambda: "signal SIGKILL" in supervisor.log(), "its end is noticed")
    supervisor.until(lambda: len(supervisor.children()) == 2 and gone(children[:1]), "there is another")
    assert "all ready" in supervisor.log()
    assert supervisor.log().count("all ready") == 1
    children = supervisor.children()
    assert supervisor.end(signal.SIGTERM) == 0
    assert gone(children)
    assert not (tmp_path / "pid").exists()


def test_children_end_with_the_successor_however_it_dies(run):
    supervisor = run(("", ""), spare=("", "")).announced()
    assert upgraded(supervisor)["done"]
    children = supervisor.children()
    supervisor.process.kill()
    supervisor.process.wait()
    supervisor.until(lambda: gone(children), "no orphan is left")


def test_a_successor_that_cannot_start_is_not_become(run, tmp_path):
    supervisor = run(("", ""), spare=("", "")).announced()
    own = psutil.Process(supervisor.process.pid)
    before, plan = own.cmdline(), (tmp_path / "plan.json").read_text()
    (tmp_path / "plan.json").write_text("{")
    came = upgraded(supervisor)
    assert came["done"]
    assert "The supervisor goes on as it was: its successor ended with 1." in came["message"]
    assert own.cmdline() == before
    (tmp_path / "plan.json").write_text(plan)
    assert upgraded(supervisor)["message"].endswith("So was the supervisor.")
    assert own.cmdline() != before


def test_what_it_is_told_at_the_moment_of_succession_is_not_lost(run):
    supervisor = run(("", ""), ("", ""), spare=("", "")).announced()
    children = supervisor.children()
    supervisor.process.send_signal(UPGRADE)
    supervisor.until(lambda: heir_written(supervisor), "the succession begins")
    supervisor.process.send_signal(signal.SIGTERM)
    assert supervisor.process.wait(WITHIN) == 0
    assert gone(children)


def heir_written(supervisor: Run) -> bool:
    return (supervisor.folder / "heir.json").exists()


@pytest.mark.parametrize("before", ["sys.exit(3)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_an_upgrade_whose_spare_dies_replaces_nobody(run, before):
    supervisor = run(("", ""), spare=(before, "")).announced()
    children = {child.pid for child in supervisor.children()}
    came = upgraded(supervisor)
    assert not came["done"]
    assert "the old ones go on" in came["message"]
    assert {child.pid for child in supervisor.children()} == children
    assert supervisor.end(signal.SIGTERM) == 0


def test_a_child_that_ignores_its_end_is_killed_for_an_upgrade(run):
    ignoring = ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "")
    supervisor = run(ignoring, spare=("", ""), drain_s=0.1).announced()
    (before,) = supervisor.children()
    assert upgraded(supervisor)["done"]
    assert gone([before])
    supervisor.process.kill()


def test_without_a_spare_there_is_no_upgrade(run):
    supervisor = run(("", "")).announced()
    assert not upgraded(supervisor)["done"]
    assert len(supervisor.children()) == 1
    assert supervisor.end(signal.SIGTERM) == 0


def test_a_child_that_ignores_sigterm_is_killed_after_the_drain(run):
    supervisor = run(("signal.signal(signal.SIGTERM, signal.SIG_IGN)", ""), drain_s=0.1).announced()
    children = supervisor.children()
    supervisor.end(signal.SIGTERM)
    assert gone(children)


def test_a_second_signal_does_not_wait_for_the_drain(run, tmp_path):
    asked = tmp_path / "asked"
    stubborn = f"signal.signal(signal.SIGTERM, lambda *_: open({str(asked)!r}, 'w').close())"
    supervisor = run((stubborn, ""), drain_s=600.0).announced()
    children = supervisor.children()
    supervisor.process.send_signal(signal.SIGINT)
    supervisor.until(asked.exists, "the child is asked to end")
    supervisor.end(signal.SIGINT)
    assert gone(children)


def test_killing_the_supervisor_ends_its_children(run):
    supervisor = run(("", ""), ("", "")).announced()
    children = supervisor.children()
    supervisor.process.kill()
    supervisor.process.wait()
    supervisor.until(lambda: gone(children), "the children follow")


def test_what_a_dead_child_had_started_is_killed_with_it(run):
    spawn = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    supervisor = run((spawn, "")).announced()
    child, grandchild = supervisor.children()
    child.kill()
    supervisor.until(lambda: gone([grandchild]), "the grandchild is gone")
    supervisor.end(signal.SIGTERM)


def test_it_ends_when_its_own_life_pipe_does(tmp_path):
    script = tmp_path / "child.py"
    script.write_text(CHILD.format(before="", after=""))
    plan = LaunchPlan((ChildPlan("child", (sys.executable, str(script))),), message="all ready")
    plan.save(tmp_path / "plan.json")
    assert LaunchPlan.read(tmp_path / "plan.json") == plan
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "quorate.engines.local", str(tmp_path / "plan.json"), str(read)],
        stderr=subprocess.PIPE,
        pass_fds=(read,),
        text=True,
    )
    os.close(read)
    with process:
        assert process.stderr is not None
        assert process.stderr.readline() == "all ready\n"
        os.close(write)
        assert process.wait(WITHIN) == 0


def test_a_successor_ends_with_the_life_pipe_too(tmp_path):
    script = tmp_path / "child.py"
    script.write_text(CHILD.format(before="", after=""))
    child, spare = (ChildPlan(name, (sys.executable, str(script))) for name in ("child", "spare"))
    plan = LaunchPlan((child,), message="all ready", spare=spare, upgrade_file=str(tmp_path / "upgrade"))
    plan.save(tmp_path / "plan.json")
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "quorate.engines.local", str(tmp_path / "plan.json"), str(read)],
        stderr=subprocess.PIPE,
        pass_fds=(read,),
        text=True,
    )
    os.close(read)
    with process:
        assert process.stderr is not None
        assert process.stderr.readline() == "all ready\n"
        process.send_signal(UPGRADE)
        while "So was the supervisor." not in (line := process.stderr.readline()):
            assert line, "it ended"
        os.close(write)
        assert process.wait(WITHIN) == 0


def test_its_own_lines_are_json_where_the_others_are(tmp_path):
    broken = ChildPlan("child", (sys.executable, "-c", "raise SystemExit(3)"))
    LaunchPlan((broken,), log_format="json").save(tmp_path / "plan.json")
    command = [sys.executable, "-m", "quorate.engines.local", str(tmp_path / "plan.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {(line["level"], line["logger"], line["process"]) for line in lines} == {
        ("INFO", "quorate.supervisor", "supervisor")
    }
    assert lines[0]["message"] == "child died (exit status 3); starting it again."
    assert datetime.fromisoformat(lines[0]["time"]).tzinfo is not None
