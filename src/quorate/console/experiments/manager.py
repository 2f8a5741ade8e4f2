"""The page for who decides: what was found, how sure that is, what must not get worse, and how far it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quorate.console import words
from quorate.console.elements import Node
from quorate.console.experiments.chart import chart, points
from quorate.console.experiments.said import DAY, interval, moment, number, span
from quorate.console.experiments.tables import card, facts, picture, table

RAIL_TONES = {"within": ("good", "fine"), "unknown": ("", "not known yet"), "harmed": ("bad", "worse than allowed")}


def manager(report: Mapping[str, Any]) -> None:
    """Build it, inside the node that is open."""
    body = newest(report)
    for place, each in enumerate(body.get("comparisons", ())):
        _comparison(report, each, explained=place == 0)
    if report["state"] == "registered":
        _registered(report)
    elif not body.get("comparisons"):
        _nothing_yet(report)
    if body.get("comparisons"):
        with card("checks", "Can it be trusted?"), Node("ul", "checks-list"):
            for tone, text in _checks(body):
                Node("li", tone, text)
        _rails(body)
        _costs(body)
    with card("facts", "How it went" if report["ended"] else "What it is"):
        facts(_facts(report, body))
        if report["started"] is not None:
            Node("p", "quiet note", "All of it was registered before the start, and could not be changed from then on.")


def newest(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the last look saw; empty where there is none, where it is hidden, or where its values were refused."""
    looks = report["looks"]
    return looks[-1]["body"] if looks and not looks[-1]["hidden"] else {}


def drawn(report: Mapping[str, Any], treatment: str) -> str:
    """The picture of a treatment's interval over time."""
    return chart(
        points(report["looks"], treatment),
        control=report["registration"]["control"],
        treatment=treatment,
        effect=report["registration"]["minimum_effect"],
        higher_is_better=report["higher_is_better"],
        metric=report["metric"],
    )


def _comparison(report: Mapping[str, Any], each: Mapping[str, Any], *, explained: bool) -> None:
    arm, control = each["treatment"], report["registration"]["control"]
    with card(f"arm-{arm}", f"{arm} against {control}", "arm"):
        svg = drawn(report, arm)
        if svg:
            picture(svg)
        with Node("div", "beside"):
            _in_words(report, each, drawn=bool(svg))
            if svg and explained:
                _explanation(report)


def _in_words(report: Mapping[str, Any], each: Mapping[str, Any], *, drawn: bool) -> None:
    arm, control = each["treatment"], report["registration"]["control"]
    if not drawn:
        least = words.counted(20, "unit")
        Node("p", "", f"There is no interval yet: every arm needs at least {least} with an outcome, some differing.")
        return
    meaning = report["said"]["meaning"].get(arm)
    if meaning:
        Node("p", "means", meaning)
    values = f"{arm} {number(each['treatment_value'])}, {control} {number(each['control_value'])}"
    Node("p", "", f"{_capital(report['metric'])}: {values}; difference {interval(each)}.")


def _explanation(report: Mapping[str, Any]) -> None:
    Node(
        "p",
        "quiet note",
        f"The line is the difference in {report['metric']} as it was known at each look, the band is where the true "
        "difference plausibly lies, however often one looks. Once the band is clear of 0 there is a difference; once "
        "all of it is in the grey part there is none that matters.",
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _registered(report: Mapping[str, Any]) -> None:
    with card("next", "What happens next"):
        Node(
            "p",
            "",
            "Nothing yet: this is a draft. Look it over; it can be changed until the start. Starting splits the "
            "endpoint's traffic, and from then on the registration stays as it is.",
        )


def _nothing_yet(report: Mapping[str, Any]) -> None:
    if report["hidden"]:
        text = (
            "How the arms do is hidden until the verdict, from operators too, as registered. Only how many units there "
            "are is known; the reports are complete once there is a verdict."
        )
    elif report["ended"]:
        text = "It ended before there was anything to compare."
    else:
        text = f"There is nothing to see before the first look, {span(_every(report))} after the start."
    with card("wait", "Results"):
        Node("p", "", text)


def _every(report: Mapping[str, Any]) -> float:
    return float(report["registration"]["look_every_s"]) / DAY


def _checks(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    ratio = body["sample_ratio"]
    counts = words.listed([f"{arm} {body['units'][arm]:,}" for arm in body["arms"]])
    shares = words.listed([f"{share:.0%}".replace("%", " %") for share in ratio["expected"]])
    if ratio["mismatch"]:
        yield (
            "bad",
            f"Units are not where the split would have them: {counts}, where it should be {shares}. It is void.",
        )
    else:
        yield "good", f"Units are where the split would have them: {counts}, for shares of {shares}."
    for each in body["missing"]:
        shown = (
            f"{words.percent(each['treatment_value'], 0)} of {each['treatment']}'s units have an outcome, "
            f"{words.percent(each['control_value'], 0)} of the control's"
        )
        if each["differs"]:
            yield "bad", f"Outcomes are missing in one arm more than in the other: {shown}. Ask why before acting."
        else:
            yield "good", f"Outcomes are missing equally: {shown}."
    left_out = {why: n for why, n in body["excluded"].items() if n}
    if left_out:
        told = words.listed([f"{n:,} {why.replace('_', ' ')}" for why, n in left_out.items()])
        yield "", f"Left out: {told}."


def _rails(body: Mapping[str, Any]) -> None:
    rails = body.get("guard_rails", ())
    if not rails:
        return
    with card("rails", "What must not get worse"), Node("ul", "checks-list"):
        for rail in rails:
            tone, status = RAIL_TONES[rail["status"]]
            seen = f": {interval(rail)}" if None not in (rail["low"], rail["high"]) else ""
            Node(
                "li",
                tone,
                f"{_capital(rail['title'])} of {rail['treatment']}: {status}{seen}; worse by "
                f"{number(rail['margin'])} is allowed.",
            )


def _costs(body: Mapping[str, Any]) -> None:
    costs = {arm: body["costs"][arm] for arm in body["arms"]} if body.get("costs") else {}
    if not costs or any(cost["latency_ms"] is None for cost in costs.values()):
        return
    with card("costs", "What each arm took"):
        shares = ("error_share", "degraded_share", "fallback_share")
        table(
            "What each arm took",
            ("Arm", "Requests", "Mean latency", "Errors", "Degraded", "Fallback"),
            [
                (
                    arm,
                    f"{body['requests'][arm]:,}",
                    words.milliseconds(cost["latency_ms"]),
                    *(words.percent(cost[name]) for name in shares),
                )
                for arm, cost in costs.items()
            ],
        )


def _facts(report: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    r = report["registration"]
    yield "Compared", f"{words.listed(r['treatments'])} with {r['control']} (as before)"
    yield "Decided by", f"{report['metric']}; a difference of {number(r['minimum_effect'])} matters"
    yield "Split", ", ".join(f"{arm} {words.percent(share)}" for arm, share in report["shares"].items())
    yield "Assigned", "every request by itself" if r["unit"] == "request" else f"equal {r['unit']} keep their arm"
    if report["started"] is not None:
        yield "Started", moment(report["started"])
    if report["ended"] is not None:
        lasted = max(0.0, report["ended"] - (report["started"] or report["ended"]))
        yield "Ended", f"{moment(report['ended'])}, after {span(lasted / DAY)}"
    if isinstance(body.get("requests"), Mapping):
        yield "Requests", f"{sum(body['requests'].values()):,}"
    if report["conclusion"]:
        done = report["conclusion"]
        said = {"promote": "the winner was promoted", "keep": "what was before was kept", "stop": "stopped"}
        yield "Then", f"{said.get(done['did'], done['did'])}, by {done['author']}, {moment(done['at'])}"
    yield "Registered", f"{moment(report['created'])}, by {report['author']}"
    if r["notes"]:
        yield "Why", r["notes"]
