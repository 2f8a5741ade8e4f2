"""The report that a statistician accepts: method, assumptions, counts, exclusions, checks, segments, all as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from quorate.control.experiments.reports.formulae import FORMULAE, RULES
from quorate.control.experiments.reports.page import heading, page, paragraph, table
from quorate.control.experiments.reports.picture import interval_over_time
from quorate.control.experiments.reports.words import latest, moment, number, sentence, signed

_COMPARED = (
    "arm",
    "estimate",
    "low",
    "high",
    "alpha",
    "p",
    "control",
    "treatment",
    "n control",
    "n treatment",
    "n eff.",
)


_BLIND = {True: "yes", False: "as the endpoint is", None: "as the endpoint is"}


def statistician_page(report: Mapping[str, Any]) -> str:
    """The page as HTML, complete in itself."""
    return page(f"Experiment {report['name']}: method and data", _parts(report))


def _parts(report: Mapping[str, Any]) -> Iterator[str]:
    body = latest(report)
    yield heading(f"Experiment “{report['name']}” on {report['endpoint']}: method and data", 1)
    yield paragraph(sentence(report), "verdict")
    yield heading("Registration")
    yield table(("setting", "value"), _registration(report), numbers=2)
    if body.get("comparisons"):
        yield heading("Result")
        yield table(_COMPARED, [_row(each["treatment"], each) for each in body["comparisons"]])
        for each in body["comparisons"]:
            yield interval_over_time(report, each["treatment"])
        yield from _method(report, body)
        yield from _counts(body)
        yield from _rails(body)
        yield from _segments(body)
    if body.get("problem"):
        yield paragraph(f"The data contradict the registration: {body['problem']}")
    yield from _looks(report)
    yield heading("Everything, as JSON")
    whole = escape(json.dumps(report, indent=1))
    yield f"<details><summary>{len(report['looks'])} looks</summary><pre>{whole}</pre></details>"


def _registration(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    r = report["registration"]
    yield "registered", f"{moment(report['created'])} by {report['author']}; SHA-256 {report['digest']}"
    yield "arms", ", ".join(f"{arm} {share:.4g}" for arm, share in report["shares"].items())
    yield "unit of assignment and analysis", r["unit"]
    yield "metric", f"{report['metric']} ({'higher' if report['higher_is_better'] else 'lower'} is better)"
    yield "minimum effect", f"{r['minimum_effect']:.6g} (absolute)"
    stop = r["stop"]
    yield (
        "stop rule",
        (
            f"method {stop['method']}, two-sided alpha {stop['alpha']:g}, power {stop['power']:g}, at most "
            f"{stop['max_units']:,} units with an outcome or {stop['max_days']:g} days"
        ),
    )
    yield "outcomes count for", f"{r['outcome_window_s']:g} s after the request"
    yield "covariate (CUPED)", "none" if r["covariate"] is None else json.dumps(r["covariate"])
    hidden = "yes" if r["hide_until_verdict"] else "no"
    yield "blind", f"{_BLIND[r['blind']]}; hidden from operators until the verdict: {hidden}"
    yield "revision", f"{report['revision']} (before: {report['base_revision']}); release {report['release']}"
    yield "seed", "none: the analysis draws no random numbers"


def _row(name: object, each: Mapping[str, Any]) -> tuple[object, ...]:
    values = (each["estimate"], each["low"], each["high"])
    p = "–" if each["p_value"] is None else f"{each['p_value']:.3g}"
    return (
        name,
        *(signed(value) for value in values),
        f"{each['alpha']:.4g}",
        p,
        number(each["control_value"]),
        number(each["treatment_value"]),
        each["n_control"],
        each["n_treatment"],
        number(each["effective_n"]),
    )


def _method(report: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[str]:
    first = body["comparisons"][0]
    yield heading("Method and assumptions")
    yield paragraph(first["method"])
    assumptions = [
        *first["assumptions"],
        *RULES,
    ]
    yield "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in assumptions) + "</ul>"
    formula, source = FORMULAE[report["registration"]["stop"]["method"]]
    yield paragraph(formula)
    yield paragraph(
        f"References: {source} The page on statistics has all formulae, and error rates as measured.", "small"
    )
    treatments = len(report["registration"]["treatments"])
    if treatments > 1:
        yield paragraph(f"alpha is shared by {treatments} treatments (Bonferroni).")


def _counts(body: Mapping[str, Any]) -> Iterator[str]:
    yield heading("Data")
    rows = [
        (arm, body["units"][arm], body["requests"][arm], body["known"][arm], body["mature"][arm])
        for arm in body["arms"]
    ]
    yield table(("arm", "units", "requests", "units with an outcome", "units past the window"), rows)
    excluded = body["excluded"]
    yield paragraph("Excluded: " + (", ".join(f"{n:,} {why}" for why, n in excluded.items()) or "nothing") + ".")
    ratio = body["sample_ratio"]
    yield paragraph(
        f"Sample ratio: counts {ratio['counts']} for shares {[round(s, 4) for s in ratio['expected']]}, sequential "
        f"p = {ratio['p_value']:.3g} (Lindon and Malek 2022; alarm at 0.001): "
        + ("MISMATCH." if ratio["mismatch"] else "no mismatch.")
    )
    for each in body["missing"]:
        yield paragraph(
            f"With an outcome so far: control {number(each['control_value'])}, {each['treatment']} "
            f"{number(each['treatment_value'])}, difference {signed(each['difference'])} "
            f"[{signed(each['low'])}, {signed(each['high'])}] at alpha {each['alpha']:.4g}: "
            + ("DIFFERS between arms." if each["differs"] else "no difference found.")
        )


def _rails(body: Mapping[str, Any]) -> Iterator[str]:
    if body["guard_rails"]:
        yield heading("Guard rails")
        yield paragraph(
            "Non-inferiority with confidence sequences at alpha over their number: harmed where the whole interval is "
            "beyond the margin, within where all of it is inside.",
            "small",
        )
        columns = ("metric", "arm", "estimate", "low", "high", "margin", "status")
        rows = [
            (
                r["title"],
                r["treatment"],
                signed(r["estimate"]),
                signed(r["low"]),
                signed(r["high"]),
                r["margin"],
                r["status"],
            )
            for r in body["guard_rails"]
        ]
        yield table(columns, rows, numbers=2)


def _segments(body: Mapping[str, Any]) -> Iterator[str]:
    found = body.get("segments")
    if found:
        yield heading("Segments")
        yield paragraph(
            "Taken once, with the verdict. Intervals have alpha over the number of segments and treatments "
            "(Bonferroni); p-values are adjusted by Holm's method (1979).",
            "small",
        )
        columns = ("segment", "value", *_COMPARED, "p adjusted")
        rows = [(s["segment"], s["value"], *_row(s["treatment"], s), _p(s["p_adjusted"])) for s in found]
        yield table(columns, rows, numbers=3)


def _p(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _looks(report: Mapping[str, Any]) -> Iterator[str]:
    yield heading("Looks")
    yield paragraph("Each row is what was seen then and stored; nothing of it is computed again.", "small")
    rows = []
    for look in report["looks"]:
        for each in look["body"].get("comparisons", ()):
            interval = (signed(each["estimate"]), signed(each["low"]), signed(each["high"]))
            n = each["n_control"] + each["n_treatment"]
            rows.append((look["number"], moment(look["at"]), each["treatment"], n, *interval, each["verdict"]))
    yield table(("look", "at", "arm", "units", "estimate", "low", "high", "said"), rows, numbers=3)
