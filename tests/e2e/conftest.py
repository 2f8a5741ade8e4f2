"""A trained digits project, and servers on copies of it: real processes on free ports of 127.0.0.1.

A file's tests run in one process (`make test`), so a module's server is started once.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from quorate.cli import main

QUORATE = (sys.executable, "-P", "-c", "from quorate.cli import main; main()")
READY_WITHIN = 120.0
STOPPED_WITHIN = 60.0
PATIENCE = 60.0
"""No condition is given up sooner: who waits for what happens anyway loses nothing on a busy machine."""
_PAUSE = 0.02


def until(true: Callable[[], bool], *, within: float, what: Callable[[], str]) -> None:
    """Look again and again until something is true; fail after ``within`` seconds, saying ``what`` was waited for.

    Never before :data:`PATIENCE` is over.
    """
    within = max(within, PATIENCE)
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"Not within {within:g} s: {what()}")
        time.sleep(_PAUSE)


class Server:
    """``quorate serve`` on a project: ``url`` and ``control`` are its ports, ``http`` a client with no keys.

    The page is served only where ``--console-port`` is among the options; ``console`` is its address then.
    Standard error goes to a file; :meth:`log` reads it. The process is the supervisor, once it has started.
    """

    until = staticmethod(until)

    def __init__(self, project: Path, *options: str) -> None:
        self.project = project
        self.log_file = project / "serve.log"
        page = () if "--console-port" in options else ("--no-console",)
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [*QUORATE, "serve", str(project), "--port", "0", "--control-port", "0", *page, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # a Ctrl-C at the test run is the fixture's to pass on
            )
        self.url = self.control = self.console = ""
        self.http = httpx.Client(timeout=30)

    def wait(self) -> Server:
        """Return when all processes are ready and both ports answer."""
        until(self._ready, within=READY_WITHIN, what=lambda: f"the server is ready.\n{self.log()}")
        return self

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            pytest.fail(f"The server ended with status {self.process.returncode}:\n{self.log()}")
        found = re.findall(r"(?:^|\\n)  (?:inference|control) +(http://[^\s\\]+)", self.log(), re.M)
        if len(found) != 2:
            return False
        self.url, self.control = found
        self.console = "".join(re.findall(r"^  console +(http://\S+)", self.log(), re.M))
        try:
            return self.http.get(f"{self.url}/v2/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def log(self) -> str:
        """What all its processes have printed so far."""
        return self.log_file.read_text(errors="replace")

    def pids(self) -> dict[str, int]:
        """Process ids of the children that run now, by name: ``worker 0``, ``control``."""
        plan = json.loads((self.project / ".quorate" / "run" / "launch.json").read_text())
        names = {tuple(child["argv"]): child["name"] for child in plan["children"]}
        found = {}
        for process in psutil.Process(self.process.pid).children():
            try:
                line = process.cmdline()
            except psutil.NoSuchProcess:
                continue
            for argv, name in names.items():
                if tuple(line[: len(argv)]) == argv:
                    found[name] = process.pid
        return found

    def pid(self, name: str) -> int:
        """The process id of one child, waited for: one that was killed may not be back yet."""
        until(lambda: name in self.pids(), within=READY_WITHIN, what=lambda: f"{name} runs.\n{self.log()}")
        return self.pids()[name]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to drain, wait until it has ended, and return its exit status; it may have ended already."""
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"The server did not stop within {STOPPED_WITHIN:g} s:\n{self.log()}")

    def kill(self) -> None:
        """End the supervisor at once; its children see it and follow."""
        self.http.close()
        self.process.kill()
        self.process.wait()


Serve = Callable[..., Server]


@pytest.fixture
def digits(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained project, of this test alone; its ``quorate.yaml`` may be written anew."""
    return copy(trained, tmp_path / "digits")


@pytest.fixture
def server() -> Iterator[Serve]:
    """``server(project, *options) -> Server``: ready when it returns, stopped when the test ends."""
    yield from _serving()


@pytest.fixture(scope="module")
def module_server() -> Iterator[Serve]:
    """The same for servers that a module's tests share."""
    yield from _serving()


@pytest.fixture(scope="module")
def module_digits(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the trained project that a module's tests share."""
    return copy(trained, tmp_path_factory.mktemp("project") / "digits")


@pytest.fixture(scope="session")
def keys() -> Callable[..., str]:
    """``keys(project, "create", ...)`` is what ``quorate keys`` prints: in this process, as it is not under test."""

    def keys(project: Path, *words: str) -> str:
        out = io.StringIO()
        with redirect_stdout(out), pytest.raises(SystemExit) as stop:
            main(["keys", *words, "--project", str(project)])
        assert stop.value.code == 0, words
        return out.getvalue()

    return keys


@pytest.fixture(scope="session")
def new_key(keys: Callable[..., str]) -> Callable[[Path, str], str]:
    """``new_key(project, role)`` is the secret of a new key with that role."""
    return lambda project, role: json.loads(keys(project, "create", f"for {role}", "--role", role, "--json"))["secret"]


def copy(trained: Path, folder: Path) -> Path:
    """A project of its own, to write into."""
    shutil.copytree(trained, folder)
    return folder


def _serving() -> Iterator[Serve]:
    with ExitStack() as stopping:

        def start(project: Path, *options: str) -> Server:
            started = Server(project, *options)
            stopping.callback(started.stop)
            return started.wait()

        yield start


# --- a browser ------------------------------------------------------------------------------------

CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = os.environ.get("QUORATE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=list(CHROMIUM_OPTIONS))
        yield browser
        browser.close()


Visit = Callable[..., Any]


@pytest.fixture
def visit(chromium: Any) -> Iterator[Visit]:
    """``visit(url, **context options) -> page``, a browser of its own each time.

    When the test ends, no page may have asked anybody else for anything, nor have logged an error that is not about
    a server that was not there.
    """
    contexts, foreign, errors = [], [], []

    def open_page(url: str, **options: Any) -> Any:
        context = chromium.new_context(**options)
        context.set_default_timeout(PATIENCE * 1000)
        contexts.append(context)
        page = context.new_page()
        origin = "/".join(url.split("/")[:3])
        own = (origin, origin.replace("http", "ws"), "data:", "blob:")
        page.on("request", lambda request: foreign.append(request.url) if not request.url.startswith(own) else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if _is_error(said) else None)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not foreign
    assert not errors


def _is_error(said: Any) -> bool:
    return said.type == "error" and not any(sign in said.text for sign in ("ERR_CONNECTION", "WebSocket", "status of"))
