"""The report that a manager understands: the verdict, a picture, what it means, and whether anything got worse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quorate.control.experiments.reports.page import heading, page, paragraph, table
from quorate.control.experiments.reports.picture import interval_over_time
from quorate.control.experiments.reports.words import (
    duration,
    latest,
    moment,
    number,
    per_thousand,
    sentence,
    signed,
    warnings,
)


def manager_page(report: Mapping[str, Any]) -> str:
    """The page as HTML, complete in itself."""
    return page(f"Experiment {report['name']}", _parts(report))


def _parts(report: Mapping[str, Any]) -> Iterator[str]:
    kind = (report["verdict"] or {}).get("verdict", "")
    yield heading(f"Experiment “{report['name']}” on {report['endpoint']}", 1)
    yield paragraph(sentence(report), f"verdict {kind}".strip())
    for warning in warnings(report):
        yield paragraph(warning)
    body = latest(report)
    for each in body.get("comparisons", ()):
        yield heading(f"{each['treatment']} against {report['registration']['control']}")
        yield interval_over_time(report, each["treatment"])
        yield paragraph(
            f"The line is the difference in {report['metric']} as it was known at each look; the band is where the "
            "true difference plausibly lies. Once the band is clear of the zero line, there is a difference.",
            "small",
        )
        meaning = per_thousand(report, each)
        if meaning is not None:
            yield paragraph(meaning)
    yield from _rails(body)
    yield from _costs(body)
    yield heading("How it went")
    yield table(("", ""), _facts(report, body), numbers=2)


_STATUS = {"within": "fine", "unknown": "not known yet", "harmed": "worse than allowed"}


def _rails(body: Mapping[str, Any]) -> Iterator[str]:
    rails = body.get("guard_rails", ())
    if rails:
        yield heading("What must not get worse")
        columns = ("", "arm", "change", "allowed", "so far")
        rows = [
            (r["title"], r["treatment"], signed(r["estimate"]), number(r["margin"]), _STATUS[r["status"]])
            for r in rails
        ]
        yield table(columns, rows, numbers=2)


def _costs(body: Mapping[str, Any]) -> Iterator[str]:
    """What a switch would change besides the result."""
    costs = body.get("costs")
    if costs and all(cost["latency_ms"] is not None for cost in costs.values()):
        yield heading("What each arm took")
        columns = ("arm", "requests", "mean latency (ms)", "errors", "degraded", "answered by a fallback")
        shares = ("error_share", "degraded_share", "fallback_share")
        rows = [
            (arm, body["requests"][arm], number(cost["latency_ms"]), *(f"{cost[name]:.2%}" for name in shares))
            for arm, cost in costs.items()
        ]
        yield table(columns, rows)


def _facts(report: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    registration = report["registration"]
    yield "Compared", f"{registration['control']} (as before) with {', '.join(registration['treatments'])}"
    yield "Decided by", f"{report['metric']}; a difference of {number(registration['minimum_effect'])} matters"
    if report["started"] is not None:
        yield "Started", moment(report["started"])
        ended = report["ended"] or (report["looks"][-1]["at"] if report["looks"] else report["started"])
        yield "Lasted" if report["ended"] else "Runs since", duration(max(0.0, ended - report["started"]))
    if body.get("requests"):
        yield "Requests", number(sum(body["requests"].values()))
        yield "Units with an outcome", f"{number(sum(body['known'].values()))} of {number(sum(body['units'].values()))}"
    if report["conclusion"]:
        done = report["conclusion"]
        said = {"promote": "the winner was promoted", "keep": "nothing was changed", "stop": "stopped"}
        yield "Then", f"{said.get(done['did'], done['did'])}, by {done['author']}, {moment(done['at'])}"
    yield "Registered", f"{moment(report['created'])}, by {report['author']}"
