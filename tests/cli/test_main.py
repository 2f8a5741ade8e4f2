"""The ``quorate`` command itself: what it costs, how it fails."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from types import ModuleType

import pytest
import typer

from quorate import __version__, cli
from quorate.errors import ConfigError

QUORATE = [sys.executable, "-c", "from quorate.cli import main; main()"]


def _main(args: Sequence[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        cli.main(args)
    return int(stop.value.code or 0)


@pytest.fixture
def boom(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A command ``boom`` that raises what the test puts into ``boom.error``."""
    module = ModuleType("boom")

    def command(loud: bool = False) -> None:
        """Fail."""
        typer.echo("before" * (1 + loud))
        if module.error is not None:
            raise module.error

    module.command = command
    module.error = None
    monkeypatch.setitem(sys.modules, "boom", module)
    monkeypatch.setitem(cli.COMMANDS, "boom", ("boom", "Fails."))
    return module


def test_help_lists_every_command_and_imports_none() -> None:
    code = (
        "import sys, atexit\n"
        "heavy = ('numpy', 'pydantic', 'typer', 'rich', 'yaml')\n"
        "atexit.register(lambda: print([m for m in heavy if m in sys.modules]))\n"
        "from quorate.cli import main; main(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name, (_, text) in cli.COMMANDS.items():
        assert any(line.split()[:1] == [name] and line.endswith(text) for line in done.stdout.splitlines())
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"], ["help"]])
def test_ways_to_help(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(args) == 0
    assert capsys.readouterr().out.startswith("usage: quorate")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["--version"]) == 0
    assert capsys.readouterr().out == f"quorate {__version__}\n"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main([name, "--help"]) == 0
    assert f"quorate {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_command_is_a_function_or_an_app(name: str) -> None:
    module = importlib.import_module(cli.COMMANDS[name][0])
    assert hasattr(module, "command") != hasattr(module, "app")


def test_an_unknown_command_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["docter"]) == 2
    assert "did you mean 'doctor'?" in capsys.readouterr().err
    assert _main(["qqqq"]) == 2
    assert "quorate --help" in capsys.readouterr().err


def test_a_wrong_option_is_a_usage_error(boom: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["boom", "--nope"]) == 2
    assert "--nope" in capsys.readouterr().err


def test_our_errors_are_one_line(boom: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    boom.error = ConfigError("is\n  wrong", line=3)
    assert _main(["boom"]) == 2
    assert capsys.readouterr().err == "quorate: error: quorate.yaml:3: is wrong\n"


def test_a_bug_is_one_line_and_a_traceback_on_request(
    boom: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    boom.error = RuntimeError("oh\nno")
    assert _main(["boom"]) == 70
    assert capsys.readouterr().err == (
        "quorate: internal error: RuntimeError: oh no; run it again with --debug for the traceback.\n"
    )
    for args in (["--debug", "boom"], ["boom", "--debug"]):
        assert _main(args) == 70
        assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("QUORATE_DEBUG", "1")
    assert _main(["boom"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_a_missing_package_says_which(boom: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    boom.error = ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
    assert _main(["boom"]) == 2
    assert "needs the package 'sklearn', which is not installed; run: pip install 'quorate[train]'" in (
        capsys.readouterr().err
    )
    boom.error = PackageNotFoundError("onnxscript")  # its message is the bare name
    assert _main(["boom"]) == 2
    assert "needs the package 'onnxscript', which is not installed; run: pip install 'quorate[torch]'" in (
        capsys.readouterr().err
    )
    boom.error = ModuleNotFoundError("No module named 'nobodys.part'", name="nobodys.part")
    assert _main(["boom"]) == 2
    assert capsys.readouterr().err.endswith("run: pip install nobodys\n")
    boom.error = ModuleNotFoundError("No module named 'quorate.nope'", name="quorate.nope")
    assert _main(["boom"]) == 70


def test_exit_codes_pass_through(boom: ModuleType) -> None:
    assert _main(["boom"]) == 0
    for error, code in ((typer.Exit(1), 1), (KeyboardInterrupt(), 130), (SystemExit(3), 3), (SystemExit(None), 0)):
        boom.error = error
        assert _main(["boom"]) == code


def test_a_closed_pipe_is_not_an_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run([*QUORATE, "--help"], stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 141
    assert done.stderr == ""
