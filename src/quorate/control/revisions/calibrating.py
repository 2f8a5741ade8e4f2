"""``calibrate`` of a strategy: the fitted calibration that it means now, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from quorate import plugins
from quorate.codecs.snapshot import CalibrationRoute
from quorate.control.revisions.references import References
from quorate.core.calibrate.methods import check, strategy_of
from quorate.core.types import OutputSpec
from quorate.errors import ConfigError
from quorate.spec import StrategySpec
from quorate.spec.problems import Path
from quorate.spec.rules import model_name


def resolve_calibration(
    path: Path,
    strategy: StrategySpec,
    references: References,
    params: Mapping[str, Any],
    members: Sequence[str],
    output: OutputSpec,
    report: Callable[[Path, str], None],
) -> CalibrationRoute | None:
    """The calibration of a strategy over ``members``; None without one, or where ``report(path, message)`` was told."""
    where, ref = ".".join(map(str, path)), strategy.calibrate
    if ref is None:
        if strategy.refit == "auto":
            report((*path, "refit"), f"{where}: there is nothing to fit again; name a calibration under 'calibrate'.")
        return None
    if strategy.kind not in plugins.names("combiners"):
        return None  # told of the strategy itself
    if plugins.load("combiners", strategy.kind).learns:
        report(
            (*path, "calibrate"),
            f"{where}: '{strategy.kind}' learns while it serves, so what was fitted before does not fit what it says "
            "later. Remove 'calibrate'.",
        )
        return None
    name = model_name(ref)
    if strategy.refit == "auto" and ref != name:
        report(
            (*path, "refit"),
            f"{where}: 'calibrate' names one version ('{ref}'), so it cannot be fitted again by itself. "
            f"Name '{name}', or set refit to 'off'.",
        )
    found = references.fitted((*path, "calibrate"), ref)
    if found is None:
        return None
    manifest, state = found
    try:
        check(state, output, strategy_of(plugins.build("combiners", strategy.kind, params), members))
    except msgspec.ValidationError:
        return None  # told of the strategy itself
    except ConfigError as error:
        report((*path, "calibrate"), f"{where}: {error}")
        return None
    return CalibrationRoute(
        state=name,
        version=manifest.version,
        files=manifest.files,
        refit=strategy.refit == "auto",
        above=strategy.refit_above,
    )
