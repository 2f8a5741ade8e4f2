"""The ``quorate`` command: a table of commands, each imported only when it is the one that runs.

A command's module exposes ``command`` (one function, its parameters declared for typer) or ``app`` (a
``typer.Typer`` with sub-commands). ``quorate --help`` imports neither them nor typer, numpy or pydantic.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from quorate.cli import _interrupts

COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("quorate.cli.serve", "Serve the project: workers, control process, callable members."),
    "upgrade": ("quorate.cli.upgrade", "Replace the processes of a running server, one after the other."),
    "predict": ("quorate.cli.predict", "Ask a running server about pictures, folders and tables."),
    "train": ("quorate.cli.train", "Train a pool of models and register it."),
    "models": ("quorate.cli.models", "List, show, import, alias and remove registered models."),
    "check": ("quorate.cli.check", "Check quorate.yaml against the registry; change nothing."),
    "apply": ("quorate.cli.apply", "Make the endpoints as quorate.yaml says: new revisions, a new snapshot."),
    "diff": ("quorate.cli.diff", "Show what apply would change."),
    "schema": ("quorate.cli.schema", "Print the JSON Schema of quorate.yaml."),
    "endpoints": ("quorate.cli.endpoints", "List the endpoints that are served, and their revisions."),
    "keys": ("quorate.cli.keys", "Create, list and revoke API keys."),
    "learner": ("quorate.cli.learner", "Show what a policy has learned, or have it forget."),
    "report": ("quorate.cli.report", "Compare an endpoint's strategies on its traffic and outcomes."),
    "reliability": ("quorate.cli.reliability", "Compare confidences with outcomes; fit a calibration again."),
    "outcomes": ("quorate.cli.outcomes", "See how outcomes come; import many."),
    "switches": ("quorate.cli.switches", "Say what a switch would cost, and what those that there were cost."),
    "replay": ("quorate.cli.replay", "Say what another strategy or policy would have come to on logged decisions."),
    "audit-pool": ("quorate.cli.audit_pool", "Say what each member of a pool is worth, and which can go."),
    "export": ("quorate.cli.export", "Write a strategy, members and combiner, as one ONNX file."),
    "decisions": ("quorate.cli.decisions", "Show a decision by its id."),
    "journal": ("quorate.cli.journal", "See what is kept of decisions; compact, ship and prune it."),
    "data": ("quorate.cli.data", "See captured inputs; export them with outcomes as a training or labelling set."),
    "erase": ("quorate.cli.erase", "Take one subject out of everything that is kept."),
    "jobs": ("quorate.cli.jobs", "Score files in the background: submit, list, show, fetch, cancel."),
    "experiments": ("quorate.cli.experiments", "Compare strategies on live traffic: plan, start, conclude, report."),
    "doctor": ("quorate.cli.doctor", "Say what is wrong with this installation, project and store."),
}

_ERROR = 2
_CRASH = 70  # EX_SOFTWARE
_BROKEN_PIPE = 141  # 128 + SIGPIPE, as a shell reports it


def main(args: Sequence[str] | None = None) -> None:
    """Run ``quorate ARGS`` and exit: 0 done, 1 negative finding, 2 user's mistake, 70 a bug of ours, 130 interrupted.

    Whatever else became of a command that was interrupted, it ends with 130: who reads 0 relies on its being done.
    """
    interrupts = _interrupts.watch()
    try:
        code = _ended(list(sys.argv[1:] if args is None else args))
        sys.exit(_interrupts.INTERRUPTED if interrupts.came else code)
    finally:
        interrupts.end()


def _ended(given: list[str]) -> int:
    own = given[: given.index("--")] if "--" in given else given
    debug = "--debug" in own or bool(os.environ.get("QUORATE_DEBUG"))
    if "--debug" in own:
        given.remove("--debug")
    try:
        try:
            code = _run(given)
        except KeyboardInterrupt:
            code = _interrupts.INTERRUPTED
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _drop_output()
        return _BROKEN_PIPE
    except KeyboardInterrupt:  # the second one, by somebody who does not want to wait for a reader that reads no more
        _drop_output()
        return _interrupts.INTERRUPTED
    except Exception as error:
        return _failed(error, debug=debug)


def _drop_output() -> None:
    """What is still buffered has nowhere to go."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(args: list[str]) -> int:
    if not args or args[0] in ("--help", "-h", "help"):
        sys.stdout.write(_help())
        return 0
    if args[0] in ("--version", "-V"):
        from quorate import __version__

        sys.stdout.write(f"quorate {__version__}\n")
        return 0
    name, rest = args[0], args[1:]
    if name not in COMMANDS:
        from difflib import get_close_matches

        near = get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean '{near[0]}'?" if near else "`quorate --help` lists the commands."
        sys.stderr.write(f"quorate: error: there is no command '{name}'; {hint}\n")
        return _ERROR
    return _invoke(name, rest)


def _invoke(name: str, args: list[str]) -> int:
    from importlib import import_module

    import typer

    module: Any = import_module(COMMANDS[name][0])
    app: typer.Typer = getattr(module, "app", None) or _single(module.command)
    try:
        with _interrupts.released():
            app(args, prog_name=f"quorate {name}")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else _ERROR
    return 0


def _single(function: Callable[..., Any]) -> Any:
    import typer

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(function)
    return app


def _failed(error: Exception, *, debug: bool) -> int:
    from quorate.errors import QuorateError

    if debug:
        import traceback

        traceback.print_exception(error)
        return _ERROR if isinstance(error, QuorateError) else _CRASH
    if isinstance(error, QuorateError):
        sys.stderr.write(f"quorate: error: {' '.join(str(error).split())}\n")
        return _ERROR
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("quorate"):
        told = error.msg
        if told.startswith("No module named") or told == error.name:  # a missing distribution's name is all there is
            package = error.name.partition(".")[0]
            told = f"this command needs the package '{package}', which is not installed; run: {_installing(package)}"
        sys.stderr.write(f"quorate: error: {told}\n")
        return _ERROR
    what = " ".join(f"{type(error).__name__}: {error}".split())
    sys.stderr.write(f"quorate: internal error: {what}; run it again with --debug for the traceback.\n")
    return _CRASH


def _installing(package: str) -> str:
    """The command that installs a missing package: the extra that has it, or else the package itself."""
    import re
    from importlib.metadata import requires

    distribution = {"sklearn": "scikit-learn"}.get(package, package)
    for line in requires("quorate") or ():
        found = re.match(r"([\w.-]+).*;.*extra == ['\"]([\w-]+)", line)
        if found and found[1] == distribution:
            return f"pip install 'quorate[{found[2]}]'"
    return f"pip install {distribution}"


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [
        "usage: quorate [--debug] COMMAND [ARGS]…",
        "",
        "A pool of models behind one endpoint, and the proof of which ensemble wins on your traffic.",
        "",
        "commands:",
        *(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()),
        "",
        "`quorate COMMAND --help` says more. --version prints the version, --debug shows tracebacks.",
    ]
    return "\n".join(lines) + "\n"
