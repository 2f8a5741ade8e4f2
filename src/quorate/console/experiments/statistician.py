"""The page for who checks: registration, method, assumptions, data, checks, segments, every look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from quorate.console import words
from quorate.console.elements import Node
from quorate.console.experiments.chart import bar
from quorate.console.experiments.manager import drawn, newest
from quorate.console.experiments.said import moment, number, p_value, signed
from quorate.console.experiments.tables import card, facts, picture, table

LOOKS = 50
"""Looks that are listed, the newest; the download has all of them."""
RESULT = (
    "Arm",
    "",
    "Estimate",
    "Low",
    "High",
    "alpha",
    "p",
    "Control",
    "Treatment",
    "n control",
    "n treatment",
    "n eff.",
)


def statistician(report: Mapping[str, Any]) -> None:
    """Build it, inside the node that is open."""
    body = newest(report)
    found = body.get("comparisons", ())
    if found:
        with card("result", "Result"):
            table("Result", RESULT, [(each["treatment"], *_row(each, _reach(found))) for each in found], numbers=2)
            for each in found:
                if svg := drawn(report, each["treatment"]):
                    picture(svg)
            _stopped_early(report)
        _method(report, found)
        _data(body)
        _rails(body)
        _segments(body)
    if body.get("problem"):
        with card("problem", "Values"):
            Node("p", "", f"The data contradict the registration: {body['problem']}")
    registered(report)
    _looks(report)


def registered(report: Mapping[str, Any]) -> None:
    """The registration as it stands, and its digest."""
    with card("registration", "Pre-registration"):
        facts(_registration(report))


def _reach(rows: Sequence[Mapping[str, Any]]) -> float:
    """The largest of what the estimates and their limits are, for pictures on one scale."""
    ends = [abs(each[end]) for each in rows for end in ("low", "high") if each[end] is not None]
    return max(ends, default=0.0)


def _row(each: Mapping[str, Any], reach: float) -> tuple[str, ...]:
    return (
        bar(each, reach),
        *(signed(each[name]) for name in ("estimate", "low", "high")),
        f"{each['alpha']:.4g}",
        p_value(each["p_value"]),
        number(each["control_value"]),
        number(each["treatment_value"]),
        f"{each['n_control']:,}",
        f"{each['n_treatment']:,}",
        number(each["effective_n"]),
    )


def _stopped_early(report: Mapping[str, Any]) -> None:
    if (report["verdict"] or {}).get("verdict") in ("better", "worse"):
        Node(
            "p",
            "quiet note",
            "After an early end the estimate is too far from 0 on average; the interval is what holds.",
        )


def _method(report: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> None:
    with card("method", "Method and assumptions"):
        Node("p", "", found[0]["method"])
        with Node("ul", "plain"):
            for text in (*found[0]["assumptions"], *report["said"]["rules"]):
                Node("li", "", text)
        Node("p", "", report["said"]["formula"])
        arms = len(report["registration"]["treatments"])
        if arms > 1:
            Node("p", "", f"alpha is shared evenly by {arms} treatments (Bonferroni).")
        Node("p", "quiet note", f"References: {report['said']['references']}")


def _data(body: Mapping[str, Any]) -> None:
    with card("data", "Data"):
        columns = ("Arm", "Units", "Requests", "With an outcome", "Past the window")
        rows = [
            (arm, *(f"{body[name][arm]:,}" for name in ("units", "requests", "known", "mature")))
            for arm in body["arms"]
        ]
        table("Data", columns, rows)
        excluded = ", ".join(f"{n:,} {why.replace('_', ' ')}" for why, n in body["excluded"].items()) or "nothing"
        Node("p", "", f"Excluded: {excluded}.")
        ratio = body["sample_ratio"]
        counts = ", ".join(f"{arm} {body['units'][arm]:,}" for arm in body["arms"])
        shares = ", ".join(f"{share:.4g}" for share in ratio["expected"])
        said = "MISMATCH" if ratio["mismatch"] else "no mismatch"
        Node(
            "p",
            "",
            f"Sample ratio: {counts} for shares {shares}; sequential p = "
            f"{p_value(ratio['p_value'])}, alarm at 0.001: {said} (Lindon and Malek 2022).",
        )
        for each in body["missing"]:
            Node(
                "p",
                "",
                f"With an outcome so far: control {words.percent(each['control_value'])}, {each['treatment']} "
                f"{words.percent(each['treatment_value'])}, difference {signed(each['difference'])} "
                f"({signed(each['low'])} to {signed(each['high'])} at alpha {each['alpha']:.4g}): "
                + ("DIFFERS between arms." if each["differs"] else "no difference found."),
            )


def _rails(body: Mapping[str, Any]) -> None:
    rails = body["guard_rails"]
    if not rails:
        return
    with card("rails", "Guard rails"):
        Node(
            "p",
            "quiet note",
            "Non-inferiority with confidence sequences at alpha over their number: harmed where the whole interval is "
            "beyond the margin, within where all of it is inside.",
        )
        columns = ("Metric", "Arm", "", "Estimate", "Low", "High", "Margin", "alpha", "Status")
        rows = [
            (
                rail["title"],
                rail["treatment"],
                bar(rail, max(_reach([rail]), rail["margin"])),
                *(signed(rail[name]) for name in ("estimate", "low", "high")),
                number(rail["margin"]),
                f"{rail['alpha']:.4g}",
                rail["status"],
            )
            for rail in rails
        ]
        table("Guard rails", columns, rows, numbers=3)


def _segments(body: Mapping[str, Any]) -> None:
    found = body.get("segments")
    if not found:
        return
    with card("segments", "Segments"):
        Node(
            "p",
            "quiet note",
            "Taken once, with the verdict. Intervals have alpha over the number of segments and treatments "
            "(Bonferroni); p-values are adjusted by Holm's method.",
        )
        columns = ("Segment", "Value", *RESULT, "p adjusted")
        reach = _reach(found)
        rows = [(s["segment"], s["value"], s["treatment"], *_row(s, reach), p_value(s["p_adjusted"])) for s in found]
        table("Segments", columns, rows, numbers=4)


def _registration(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    r, stop = report["registration"], report["registration"]["stop"]
    yield "Registered", f"{moment(report['created'])} by {report['author']}"
    yield "SHA-256", report["digest"]
    yield "Arms and shares", ", ".join(f"{arm} {share:.4g}" for arm, share in report["shares"].items())
    yield "Unit", f"{r['unit']}, of assignment and of analysis"
    better = "higher" if report["higher_is_better"] else "lower"
    yield "Metric", f"{report['metric']}, {better} is better; {msgspec.json.encode(r['metric']).decode()}"
    yield "Minimum effect", f"{r['minimum_effect']:.6g}, absolute"
    planned = f", {stop['looks']} planned looks" if stop["method"] == "group_sequential" else ""
    yield (
        "Stop rule",
        (
            f"{stop['method']}, two-sided alpha {stop['alpha']:g}, power {stop['power']:g}, at most "
            f"{stop['max_units']:,} units with an outcome or {stop['max_days']:g} days{planned}"
        ),
    )
    yield "Looks", f"every {r['look_every_s']:,.12g} s"
    yield "Outcomes count", f"{r['outcome_window_s']:,.12g} s after the request"
    rails = [
        f"{rail['metric']} {rail['reward'] or ''}".strip() + f" by {rail['margin']:g}" for rail in r["guard_rails"]
    ]
    yield "Guard rails", "; ".join(rails) or "none"
    yield "Segments", ", ".join(r["segments"]) or "none"
    covariate = r["covariate"]
    past = (
        f"the unit's own mean of {covariate['pre_period_days']:g} days before"
        if isinstance(covariate, Mapping)
        else covariate
    )
    yield "Covariate (CUPED)", past or "none"
    blind = {True: "yes"}.get(r["blind"], "as the endpoint is")
    yield "Blind", f"{blind}; hidden from operators until the verdict: {'yes' if r['hide_until_verdict'] else 'no'}"
    yield "After the verdict", "carried out by itself" if r["conclude"] == "auto" else "somebody promotes or keeps"
    if report["revision"] is not None:
        yield "Revision", f"{report['revision']} (before: {report['base_revision']})"
    yield (
        "Seed",
        "none: the analysis draws no random numbers; units are assigned by the endpoint's salted hash or its draws",
    )
    yield "Release", str(report["release"])


def _looks(report: Mapping[str, Any]) -> None:
    rows = [
        (
            f"{look['number']:,}",
            moment(look["at"]),
            each["treatment"],
            f"{each['n_control'] + each['n_treatment']:,}",
            *(signed(each[name]) for name in ("estimate", "low", "high")),
            each["verdict"].replace("_", " "),
        )
        for look in report["looks"][: -LOOKS - 1 : -1]
        if not look["hidden"]
        for each in look["body"].get("comparisons", ())
    ]
    if rows:
        with card("looks", "Looks"):
            more = f" These are the newest {LOOKS}; the download has all." if len(report["looks"]) > LOOKS else ""
            Node(
                "p", "quiet note", f"Each row is what was seen then and stored; nothing of it is computed again.{more}"
            )
            table("Looks", ("Look", "At", "Arm", "Units", "Estimate", "Low", "High", "Said"), rows, numbers=3)
