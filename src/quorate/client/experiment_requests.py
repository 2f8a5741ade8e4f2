"""What both clients of experiments send, and what they make of replies."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from quorate.client.requests import Request
from quorate.errors import InvalidInput

ACTIONS = ("start", "stop", "promote", "keep")


@dataclasses.dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment as the control port shows it; times are Unix seconds.

    ``verdict`` is what was found (``better``, ``worse``, ``no_difference``, ``inconclusive``, ``harmed``, ``invalid``,
    ``stopped`` or ``interrupted`` under the key ``verdict``), ``conclusion`` what was done about it. ``latest`` is the
    newest look, where one experiment was asked for.
    """

    id: str
    name: str
    endpoint: str
    state: str
    version: int
    author: str
    created: float
    started: float | None
    ended: float | None
    base_revision: int | None
    revision: int | None
    registration: Mapping[str, Any]
    verdict: Mapping[str, Any] | None
    conclusion: Mapping[str, Any] | None
    latest: Mapping[str, Any] | None = None

    @property
    def decided(self) -> bool:
        """Is there a verdict?"""
        return self.verdict is not None


def register(registration: Mapping[str, Any]) -> Request:
    """Register an experiment."""
    return _post("/v1/experiments", registration)


def revise(id: str, registration: Mapping[str, Any], version: int | None) -> Request:
    """Put another registration in the place of one that has not started."""
    return dataclasses.replace(
        _post(_path(id), registration), method="PUT", headers={"content-type": "application/json", **_match(version)}
    )


def withdraw(id: str, version: int | None) -> Request:
    """Forget an experiment that has not started."""
    return Request("DELETE", _path(id), _match(version))


def change(id: str, action: str, version: int | None) -> Request:
    """Start, stop, promote or keep."""
    return Request("POST", f"{_path(id)}/{action}", _match(version))


def one(id: str) -> Request:
    """Look at an experiment."""
    return Request("GET", _path(id))


def newest(endpoint: str | None, limit: int) -> Request:
    """Look at the newest experiments."""
    asked = {"limit": limit} | ({} if endpoint is None else {"endpoint": endpoint})
    return Request("GET", f"/v1/experiments?{urlencode(asked)}")


def looks(id: str) -> Request:
    """Every look that was taken."""
    return Request("GET", f"{_path(id)}/looks")


def report(id: str, reader: str, *, as_json: bool) -> Request:
    """A report, as HTML or JSON; :class:`~quorate.errors.InvalidInput` for a reader there is no report for."""
    if reader not in ("manager", "statistician"):
        raise InvalidInput(f"A report is for a manager or a statistician; got '{reader}'.", path="reader")
    accept = "application/json" if as_json else "text/html"
    return Request("GET", f"{_path(id)}/report?{urlencode({'for': reader})}", {"accept": accept})


def plan(
    registration: Mapping[str, Any], *, days: float | None, daily_units: float | None, presence: float | None
) -> Request:
    """Ask for a plan."""
    return _post("/v1/experiments/plan", registration, days=days, daily_units=daily_units, presence=presence)


def self_test(registration: Mapping[str, Any], *, days: float | None, runs: int, looks: int, seed: int) -> Request:
    """Ask for an A/A self-test."""
    return _post("/v1/experiments/selftest", registration, days=days, runs=runs, looks=looks, seed=seed)


def _path(id: str) -> str:
    return f"/v1/experiments/{quote(id, safe='')}"


def _match(version: int | None) -> dict[str, str]:
    return {} if version is None else {"if-match": f'"{version}"'}


def _post(path: str, registration: Mapping[str, Any], **query: Any) -> Request:
    asked = {name: value for name, value in query.items() if value is not None}
    try:
        content = json.dumps(dict(registration), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"A registration is made of JSON values: {error}.", path="registration") from None
    headers = {"content-type": "application/json"}
    return Request("POST", f"{path}?{urlencode(asked)}" if asked else path, headers, content)
