"""What is wrong with rules, or looks so: of a policy against its pool, and of fronts among themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from zoneinfo import ZoneInfo

from quorate.codecs.snapshot import FrontRoute, FrontRule
from quorate.core import facts
from quorate.core.rules.analyse import implies
from quorate.core.rules.parse import parse
from quorate.core.rules.ruleset import Ruleset, said
from quorate.core.rules.syntax import names
from quorate.core.select.base import Policy
from quorate.core.select.rules import Rules, Use
from quorate.errors import ConfigError
from quorate.spec import Config, EndpointSpec
from quorate.spec.fronts import FrontSpec
from quorate.spec.problems import Path, expected

_STEP = re.compile(r"\[([0-9]+)\]|([^.\[]+)")
_INTERPRETABLE = parse("request.interpretable")


def path_of(written: str) -> Path:
    """The path that a plugin's error names.

    >>> path_of("rules[1].use.a")
    ('rules', 1, 'use', 'a')
    """
    return tuple(int(index) if index else name for index, name in _STEP.findall(written))


def policy_problems(policy: Policy, members: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    """Facts that a policy asks for about members and strategies that there are not, and an unknown time zone."""
    for name in sorted(policy.facts()):
        facts.need(name, "policy")
        about = facts.parts(name)
        if about is not None:
            known = members if about[0] == "member" else policy.strategies
            if about[1] not in known:
                yield (
                    (),
                    f"the fact '{name}' is about a {about[0]} that is not there; {expected(about[1], known)}",
                )
    timezone = getattr(policy.params, "timezone", None)
    if timezone is not None and not is_timezone(timezone):
        yield ("timezone",), _no_timezone(timezone)


def is_timezone(name: str) -> bool:
    """Whether the system knows a time zone of that name."""
    try:
        ZoneInfo(name)
    except Exception:  # of several kinds, by what is wrong with the name
        return False
    return True


def _no_timezone(name: str) -> str:
    return f"there is no time zone '{name[:64]}' on this system; expected an IANA name such as UTC or Europe/Berlin."


def notices(endpoint: str, spec: EndpointSpec, policy: Policy, *, blind: bool) -> Iterator[str]:
    """What is allowed and probably not meant."""
    if not isinstance(policy, Rules):
        return
    where = f"endpoints.{endpoint}.policy"
    findings = policy.ruleset.findings()
    dead = {finding.rule for finding in findings if finding.kind != "always"}
    for finding in findings:
        yield f"{where}: {said(finding)}"
    for index, (node, rule) in enumerate(zip(policy.ruleset.nodes, policy.params.rules, strict=True)):
        if index not in dead and implies(node, _INTERPRETABLE):
            for name in _used(rule.use):
                if name in spec.strategies and not spec.strategies[name].interpretable:
                    yield (
                        f"{where}: rule {index + 1} is for callers who ask for an answer that people can follow, and "
                        f"uses '{name}', which is not declared interpretable."
                    )
    yield from (f"{where}: {told}" for told in _of_drift(policy.ruleset))
    if blind:
        yield (
            f"{where} is blind, but who knows the rules and a request knows which rule fires; only what a rule draws "
            "by weights stays unknown."
        )


def _used(use: Use) -> list[str]:
    return [use] if isinstance(use, str) else [name for name, weight in use.items() if weight > 0]


def _of_drift(ruleset: Ruleset) -> Iterator[str]:
    """Rules that wait for a monitor: what they look at is unknown where none writes it."""
    for index, node in enumerate(ruleset.nodes):
        if any(name == "drift.state" or (name[:9] == "endpoint." and name[-6:] == ".drift") for name in names(node)):
            yield (
                f"rule {index + 1} looks at drift, which is unknown until a monitor writes .quorate/run/drift.json; "
                "this release has no monitor of its own."
            )


class Fronts:
    """The fronts of a configuration, checked; ``problems`` are what is wrong, ``notices`` what is hardly meant."""

    def __init__(self, config: Config, models: Mapping[str, str]) -> None:
        self._spec = config.spec
        self._config = config
        self.problems: list[ConfigError] = []
        self.notices: list[str] = []
        for name, front in config.spec.fronts.items():
            self._names(name, models)
            self._targets(name, front)
            self._rules(name, front)
        for name in config.spec.fronts:
            self._circle(name)

    def routes(self) -> tuple[FrontRoute, ...]:
        """The fronts as the manifest has them, revision 0."""
        return tuple(
            FrontRoute(
                name,
                0,
                tuple(FrontRule(rule.when, rule.to) for rule in front.rules),
                front.otherwise,
                front.timezone,
            )
            for name, front in self._spec.fronts.items()
        )

    def _report(self, path: Path, message: str) -> None:
        self.problems.append(self._config.origin.problem(path, message))

    def _names(self, name: str, models: Mapping[str, str]) -> None:
        other = "an endpoint" if name in self._spec.endpoints else None
        other = other or (f"a model in pools.{models[name]}" if name in models else None)
        if other is not None:
            self._report(
                ("fronts", name),
                f"'{name}' is a front and also {other}; both are served under their names. Rename the front.",
            )

    def _targets(self, name: str, front: FrontSpec) -> None:
        known = [*self._spec.endpoints, *(other for other in self._spec.fronts if other != name)]
        written: list[tuple[Path, str]] = [(("rules", i, "to"), rule.to) for i, rule in enumerate(front.rules)]
        for inner, target in [*written, (("otherwise",), front.otherwise)]:
            if target not in known and target != name:
                message = f"fronts.{name}: there is no endpoint '{target}' to send requests to; "
                self._report(("fronts", name, *inner), message + expected(target, known))

    def _circle(self, name: str) -> None:
        """Each circle once, at the front in it that is written first."""
        path = self._way_back(name, (name,))
        if path and name == min(path, key=list(self._spec.fronts).index):
            way = " -> ".join((*path, name))
            self._report(
                ("fronts", name),
                f"fronts.{name} sends requests back to itself: {way}. Send them to an endpoint.",
            )

    def _way_back(self, name: str, path: tuple[str, ...]) -> tuple[str, ...]:
        front = self._spec.fronts[path[-1]]
        for target in dict.fromkeys([*(rule.to for rule in front.rules), front.otherwise]):
            if target == name:
                return path
            if target in self._spec.fronts and target not in path:
                found = self._way_back(name, (*path, target))
                if found:
                    return found
        return ()

    def _rules(self, name: str, front: FrontSpec) -> None:
        path: Path = ("fronts", name)
        if not is_timezone(front.timezone):
            self._report((*path, "timezone"), f"fronts.{name}: {_no_timezone(front.timezone)}")
        try:
            ruleset = Ruleset([rule.when for rule in front.rules], "front")
        except ConfigError as error:
            self._report((*path, *path_of(error.path or "")), f"fronts.{name}: {error.path}: {error.message}")
            return
        for fact in sorted(ruleset.facts):
            about = facts.parts(fact)
            if about is not None and about[1] not in self._spec.endpoints:
                self._report(
                    path,
                    f"fronts.{name}: the fact '{fact}' is about an endpoint that is not there; "
                    f"{expected(about[1], self._spec.endpoints)}",
                )
        for finding in ruleset.findings():
            if finding.kind == "always":
                self.notices.append(f"fronts.{name}: {said(finding)}")
            else:
                self._report((*path, "rules", finding.rule), f"fronts.{name}: {said(finding)}")
        self.notices += [f"fronts.{name}: {told}" for told in _of_drift(ruleset)]
