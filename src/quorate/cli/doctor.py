"""``quorate doctor``: what is wrong with this installation, project, registry, store and journal."""

from __future__ import annotations

import sys

import typer

from quorate.cli._checks import examine
from quorate.cli._config import HERE, Json, Project, home_of
from quorate.cli._output import print_json
from quorate.cli._patient import Finding

_COLOURS = {"ok": typer.colors.GREEN, "warn": typer.colors.YELLOW, "fail": typer.colors.RED}


def command(project: Project = HERE, json: Json = False) -> None:
    """Say what is wrong and what to do about it; change nothing. Exits with 1 if something fails."""
    found: list[Finding] = []
    for finding in examine(home_of(project)):
        found.append(finding)
        if not json:
            _print(finding)
    failed = sum(finding.level == "fail" for finding in found)
    warned = sum(finding.level == "warn" for finding in found)
    if json:
        print_json({"ok": not failed, "findings": found})
    else:
        typer.echo(f"\n{failed} failed, {warned} to look at, {len(found) - failed - warned} fine.")
    if failed:
        raise typer.Exit(1)


def _print(finding: Finding) -> None:
    level = f"{finding.level:<4}"
    shown = typer.style(level, fg=_COLOURS[finding.level]) if sys.stdout.isatty() else level
    typer.echo(f"{shown}  {finding.area:<12}  {finding.finding}")
    if finding.remedy and finding.level != "ok":
        typer.echo(f"{'':<20}→ {finding.remedy}")
