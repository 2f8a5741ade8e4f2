"""What commands print: aligned tables or JSON on stdout, notes and progress on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import msgspec

from quorate.cli._interrupts import held


def print_json(value: Any) -> None:
    """Print any value of dataclasses, structs, containers, dates and scalars as indented JSON; NaN becomes null."""
    print_text(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_text(text: str) -> None:
    """Print a whole text; an interrupt that comes meanwhile is raised afterwards."""
    with held():
        sys.stdout.write(text)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    json: bool = False,
    title: str | None = None,
    stream: TextIO | None = None,
) -> None:
    """Print rows under their column names: aligned text, or with ``json`` a list of objects with raw values.

    Text shows None as ``-``, booleans as ``yes``/``no`` and floats with four significant digits.
    """
    table = [tuple(row) for row in rows]
    if json:
        print_json([dict(zip(columns, row, strict=True)) for row in table])
        return
    stream = stream or sys.stdout
    lines = [title] if title else []
    cells = [[_cell(value) for value in row] for row in table]
    widths = [max(len(name), *(len(row[i]) for row in cells), 0) for i, name in enumerate(columns)]
    right = [bool(table) and all(_is_number(row[i]) for row in table) for i in range(len(columns))]
    for line in (list(columns), ["-" * width for width in widths], *cells):
        padded = [
            text.rjust(width) if flush else text.ljust(width)
            for text, width, flush in zip(line, widths, right, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    with held():
        stream.writelines(f"{line}\n" for line in lines)


def note(message: str) -> None:
    """Print one line for the human, on stderr so that piped output stays clean."""
    sys.stderr.write(message + "\n")


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[str], None]]:
    """A progress bar on stderr while the block runs; call the yielded function with what was just finished.

    ``total`` is None where it is not known. Where stderr is not a terminal, each finished step is one line instead.
    """
    if not sys.stderr.isatty():
        done = 0

        def line(what: str) -> None:
            nonlocal done
            done += 1
            note(f"{label} {done}/{'?' if total is None else total}: {what}")

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[what]}", markup=False),
        console=Console(stderr=True),
    )
    with bar:
        task = bar.add_task(label, total=total, what="")
        yield lambda what: bar.update(task, advance=1, what=what)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
