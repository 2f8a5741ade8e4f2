"""``quorate export``: one strategy of an endpoint, members and combiner, as one ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quorate.cli._config import HERE, Json, Project, home_of, problems_shown, registry_of
from quorate.cli._output import note, print_json
from quorate.control.export import export_strategy
from quorate.control.revisions.apply import read_config
from quorate.control.revisions.resolve import resolve
from quorate.errors import ConfigError


def command(
    endpoint: Annotated[str, typer.Argument(help="The endpoint.")],
    strategy: Annotated[str | None, typer.Option(help="Its strategy; needed where it has several.")] = None,
    output: Annotated[Path | None, typer.Option(help="The file to write.", show_default="ENDPOINT.onnx")] = None,
    project: Project = HERE,
    json: Json = False,
) -> None:
    """Write a strategy as one self-contained ONNX file that answers as it does here, or say why that cannot be done."""
    home = home_of(project)
    registry = registry_of(home)
    with problems_shown():
        config, _ = read_config(home)
        routing = resolve(config, registry).routing
    exported = export_strategy(routing, registry, endpoint, strategy)
    path = output if output is not None else Path(f"{endpoint}.onnx")
    write(path, exported.model)
    if json:
        print_json(
            {
                "file": str(path),
                "bytes": len(exported.model),
                "outputs": exported.outputs,
                "rows": exported.rows,
                "largest_difference": exported.largest_difference,
                "metadata": exported.metadata,
            }
        )
        return
    note(f"Answers as here on {exported.rows} held-out rows: off by {exported.largest_difference:.2g} at most.")
    typer.echo(str(path))


def write(path: Path, model: bytes) -> None:
    """Write the file whole or not at all; :class:`ConfigError` where that is not possible."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(model)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written: {error.strerror}.", path="output") from None
