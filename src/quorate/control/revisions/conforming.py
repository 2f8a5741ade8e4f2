"""Whether a strategy's conformal state is about that strategy, and what it is asked to promise can be promised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from quorate import plugins
from quorate.codecs.snapshot import ConformalRoute, StrategyRoute
from quorate.control.revisions.references import References
from quorate.core.conformal.calibrated import CALIBRATE, Calibrated
from quorate.core.types import OutputSpec
from quorate.errors import ConfigError
from quorate.registry.blobs import digest_of
from quorate.spec.conformal import AnyConformal, ConformalSpec, conformal_of
from quorate.spec.problems import Path


def conformal_route(
    path: Path,
    given: AnyConformal,
    strategy: StrategyRoute,
    output: OutputSpec,
    references: References,
    report: Callable[[Path, str], None],
    *,
    cached: bool,
) -> ConformalRoute | None:
    """The strategy's conformal section, its state resolved; None where there is none, or it cannot be used.

    ``cached``: the endpoint keeps answers, without the members' outputs.
    """
    spec = conformal_of(given)
    if spec is None:
        return None
    files, state = references.state(path if isinstance(given, str) else (*path, "state"), spec.state)
    if files is None or state is None:
        return None
    where = ".".join(map(str, path))
    try:
        calibrated = Calibrated(state)
        calibrated.check(output)
    except (ConfigError, KeyError) as error:
        report(path, f"{where}: {error}")
        return None
    for message in _wrong(spec, calibrated, strategy, output, cached=cached):
        report(path, f"{where}: {message}")
    return ConformalRoute(files, spec.coverage, spec.adaptive, spec.abstain)


def _wrong(
    spec: ConformalSpec, calibrated: Calibrated, strategy: StrategyRoute, output: OutputSpec, *, cached: bool
) -> Iterator[str]:
    if calibrated.of is not None:
        yield from _other_strategy(calibrated.of, strategy, adaptive=spec.adaptive)
    if strategy.calibrate is not None and strategy.calibrate.refit and not spec.adaptive:
        yield (
            "the sets are those of one calibration, and 'refit: auto' makes others of it. Set adaptive: true, which "
            "follows the outcomes whatever the confidences are, or set refit to 'off'."
        )
    why = None if spec.coverage is None else calibrated.lacks(spec.coverage)
    if why is not None:
        yield f"{why}. Ask for less, or calibrate on more rows."
    if spec.adaptive and calibrated.conditional:
        yield "a state with a threshold a class does not adapt. Fit it without 'conditional', or remove adaptive."
    known = strategy.kind in plugins.names("combiners")
    if not spec.adaptive and known and plugins.load("combiners", strategy.kind).learns:
        yield "the answers change with what the strategy learns, and the calibration does not. Set adaptive: true."
    if calibrated.looks_at_members and len(strategy.members) < 2:
        yield "'normalised' looks at how much members disagree; the strategy has one. Fit it with score 'absolute'."
    if calibrated.looks_at_members and cached:
        yield "'normalised' looks at the members' outputs, which kept answers do not have. Remove the cache."
    if spec.abstain != "never" and output.kind != "scores":
        yield "abstaining is about labels; this pool answers numbers. Remove abstain."


def _other_strategy(of: Mapping[str, Any], strategy: StrategyRoute, *, adaptive: bool) -> Iterator[str]:
    """What the state was fitted for, where that is not this strategy.

    A level that adapts keeps the coverage of another version of the calibration as well.
    """
    fitted, mine = of.get(CALIBRATE), None if strategy.calibrate is None else digest_of(strategy.calibrate.files)
    if (fitted is None) != (mine is None):
        yield (
            f"the state was fitted on answers that are {'not ' if fitted is None else ''}calibrated, and those of this "
            f"strategy are{' not' if mine is None else ''}. Fit it for them: Fit('conformal', of='"
            f"{'NAME' if strategy.calibrate is None else strategy.calibrate.state}')."
        )
        return
    if fitted != mine and not adaptive:
        yield (
            "the state was fitted on answers of another version of the calibration. Fit it again, name the version "
            "under calibrate, or set adaptive: true."
        )
        return
    found: dict[str, Any] = {"kind": strategy.kind, "members": list(strategy.members)}
    if of.get("kind") == strategy.kind and strategy.kind in plugins.names("combiners"):
        params = plugins.load("combiners", strategy.kind).Params
        try:
            found["params"] = msgspec.to_builtins(msgspec.convert(strategy.params, params))
        except msgspec.ValidationError:
            return  # that is reported by itself
    found["state"] = None if strategy.state is None else digest_of(strategy.state)
    for name, own in found.items():
        if name in of and of[name] != own:
            yield (
                f"the state was fitted for a strategy with the {name} {_shown(of[name])}; this one has {_shown(own)}. "
                "Fit it for this strategy."
            )
            return


def _shown(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
