"""A registration as it is typed into the form, and back: what was typed is kept as text until control has taken it.

Which values make sense is for control to say; here is only what cannot be sent at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Typed = dict[str, Any]

SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}
SINGLE = ("accuracy", "absolute_error", "reward", "value")
KINDS = (*SINGLE, "ratio", "quantile", "weighted")
PART: Typed = {"weight": "1", "kind": "reward", "reward": "", "better": "higher", "low": "", "high": ""}
RAIL: Typed = {"metric": "error_rate", "margin": "", "reward": "", "better": "higher", "q": ""}


def empty(endpoint: str, strategies: Sequence[str], kind: str) -> Typed:
    """The form before anything is typed: an endpoint's first strategy against its second."""
    return {
        "name": "",
        "endpoint": endpoint,
        "control": strategies[0] if strategies else "",
        "treatments": list(strategies[1:2]),
        "allocation": {},
        "metric": {
            "kind": kind,
            "reward": "",
            "better": "higher",
            "low": "",
            "high": "",
            "numerator": "",
            "denominator": "",
            "of": "latency_ms",
            "q": "0.95",
            "parts": [dict(PART), dict(PART)],
        },
        "minimum_effect": "",
        "unit": "request",
        "unit_key": "",
        "stop": {"method": "tuned", "alpha": "0.05", "power": "0.8", "max_units": "", "max_days": "", "looks": "30"},
        "outcome_window": {"value": "7", "unit": "days"},
        "look_every": {"value": "1", "unit": "hours"},
        "guard_rails": [{**RAIL, "margin": "0.01"}],
        "segments": "",
        "covariate": "none",
        "covariate_key": "",
        "pre_period_days": "14",
        "blind": False,
        "hide_until_verdict": False,
        "conclude": "ask",
        "notes": "",
    }


def typed(registration: Mapping[str, Any], strategies: Sequence[str]) -> Typed:
    """The form that says what a registration does."""
    r = registration
    form = empty(r["endpoint"], strategies, r["metric"]["kind"])
    for name in ("name", "control", "notes", "conclude", "hide_until_verdict"):
        form[name] = r[name]
    form["treatments"] = list(r["treatments"])
    form["allocation"] = {arm: _text(weight) for arm, weight in r["allocation"].items()}
    form["metric"] |= _texts(r["metric"], ("parts",))
    if r["metric"]["kind"] == "weighted":
        form["metric"]["parts"] = [
            {**PART, "weight": _text(part["weight"]), **_texts(part["metric"])} for part in r["metric"]["parts"]
        ]
    form["minimum_effect"] = _text(r["minimum_effect"])
    form["stop"] = _texts(r["stop"])
    if r["unit"] != "request":
        form |= {"unit": "context", "unit_key": _bare(r["unit"])}
    form["outcome_window"] = _span(r["outcome_window_s"])
    form["look_every"] = _span(r["look_every_s"])
    form["guard_rails"] = [{**RAIL, **_texts(rail)} for rail in r["guard_rails"]]
    form["segments"] = ", ".join(_bare(segment) for segment in r["segments"])
    covariate = r["covariate"]
    if isinstance(covariate, str):
        form |= {"covariate": "context", "covariate_key": _bare(covariate)}
    elif covariate is not None:
        form |= {"covariate": "pre_period", "pre_period_days": _text(covariate["pre_period_days"])}
    form["blind"] = bool(r["blind"])
    return form


class Reader:
    """Reads a form into a registration; ``problems`` has a sentence for every field that cannot be read."""

    def __init__(self, form: Typed) -> None:
        self.form = form
        self.problems: dict[str, str] = {}

    def registration(self, *, planned: bool = False) -> dict[str, Any]:
        """What is sent to control; a plan may leave the limits open that it is to find."""
        form = self.form
        found: dict[str, Any] = {
            "name": self._words("name", form["name"], "a name", open_=planned and "plan"),
            "endpoint": form["endpoint"],
            "control": form["control"],
            "treatments": [arm for arm in form["treatments"] if arm != form["control"]],
            "metric": self._metric(form["metric"]),
            "minimum_effect": self._number("minimum_effect", form["minimum_effect"]),
            "unit": "request" if form["unit"] == "request" else self._key("unit", form["unit_key"]),
            "stop": self._stop(form["stop"], planned),
            "outcome_window_s": self._seconds("outcome_window_s", form["outcome_window"]),
            "look_every_s": self._seconds("look_every_s", form["look_every"]),
            "guard_rails": [self._rail(i, rail) for i, rail in enumerate(form["guard_rails"])],
            "segments": [_qualified(name) for name in re.split(r"[,\s]+", form["segments"]) if name],
            "hide_until_verdict": form["hide_until_verdict"],
            "conclude": form["conclude"],
            "notes": form["notes"],
        }
        if not found["treatments"]:
            self.problems["treatments"] = "Choose at least one strategy to compare with."
        if form["blind"] or form["hide_until_verdict"]:
            found["blind"] = True
        if form["covariate"] == "context":
            found["covariate"] = self._key("covariate", form["covariate_key"])
        elif form["covariate"] == "pre_period":
            days = self._number("covariate", form["pre_period_days"])
            found["covariate"] = {"pre_period_days": days}
        allocation = self._allocation([found["control"], *found["treatments"]])
        return found | ({"allocation": allocation} if allocation else {})

    def _metric(self, metric: Typed) -> dict[str, Any]:
        kind = metric["kind"]
        if kind == "ratio":
            names = {
                name: self._words(f"metric.{name}", metric[name], "the name of a reward")
                for name in ("numerator", "denominator")
            }
            return {"kind": kind, **names, "better": metric["better"]}
        if kind == "quantile":
            of = self._words("metric.of", metric["of"], "latency_ms or the name of a reward")
            return {"kind": kind, "of": of, "q": self._number("metric.q", metric["q"]), "better": metric["better"]}
        if kind == "weighted":
            parts = [
                {
                    "weight": self._number(f"metric.parts.{i}.weight", part["weight"]),
                    "metric": self._single(f"metric.parts.{i}.metric", part),
                }
                for i, part in enumerate(metric["parts"])
            ]
            return {"kind": kind, "parts": parts}
        return self._single("metric", metric)

    def _single(self, where: str, metric: Typed) -> dict[str, Any]:
        if metric["kind"] != "reward":
            return {"kind": metric["kind"]}
        name = self._words(f"{where}.reward", metric["reward"], "the name of a reward")
        found: dict[str, Any] = {"kind": "reward", "reward": name, "better": metric["better"]}
        for end in ("low", "high"):
            if metric[end].strip():
                found[end] = self._number(f"{where}.{end}", metric[end])
        return found

    def _stop(self, stop: Typed, planned: bool) -> dict[str, Any]:
        found: dict[str, Any] = {"method": stop["method"]}
        for name in ("alpha", "power", "max_units", "max_days", "looks"):
            if planned and name in ("max_units", "max_days") and not stop[name].strip():
                continue
            if name == "looks" and stop["method"] != "group_sequential":
                continue
            found[name] = self._number(f"stop.{name}", stop[name], whole=name in ("max_units", "looks"))
        return found

    def _rail(self, place: int, rail: Typed) -> dict[str, Any]:
        found: dict[str, Any] = {"metric": rail["metric"]}
        found["margin"] = self._number(f"guard_rails.{place}.margin", rail["margin"])
        if rail["metric"] == "reward":
            found["reward"] = self._words(f"guard_rails.{place}.reward", rail["reward"], "the name of a reward")
            found["better"] = rail["better"]
        elif rail["metric"] == "latency" and rail["q"].strip():
            found["q"] = self._number(f"guard_rails.{place}.q", rail["q"])
        return found

    def _allocation(self, arms: Sequence[str]) -> dict[str, Any]:
        """Weights by arm; none where all are left as they are: then arms are equal."""
        weights = {arm: str(self.form["allocation"].get(arm, "")).strip() for arm in arms}
        if not any(weights.values()):
            return {}
        return {arm: self._number(f"allocation.{arm}", text or "1") for arm, text in weights.items()}

    def _seconds(self, path: str, span: Typed) -> float | None:
        value = self._number(path, span["value"])
        return None if value is None else float(value) * SECONDS[span["unit"]]

    def _key(self, path: str, text: str) -> str:
        return _qualified(self._words(path, text, "the name of a context key, as user_id"))

    def _words(self, path: str, text: str, takes: str, *, open_: str | bool = False) -> str:
        if not text.strip() and not open_:
            self.problems[path] = f"This is empty; it takes {takes}."
        return text.strip() or (open_ if isinstance(open_, str) else "")

    def _number(self, path: str, text: str, *, whole: bool = False) -> float | int | None:
        plain = text.strip().replace(",", "") if whole else text.strip()
        takes = "a whole number" if whole else "a number"
        try:
            value = int(plain) if whole else float(plain)
            if value - value == 0:
                return value
        except ValueError:
            pass
        got = f"got '{plain[:40]}'" if plain else "it is empty"
        self.problems[path] = f"This takes {takes}; {got}."
        return None


def field_of(path: str | None, form: Typed) -> str:
    """The field of the form that a problem of control is about; "" where it is about none of them.

    >>> field_of("metric.reward.low", {})
    'metric.low'
    """
    parts = (path or "").split(".")
    if parts[0] == "metric":
        # Which kind of metric it is stands in the path of a problem, and not in the form.
        kept = [
            part
            for i, part in enumerate(parts)
            if not (part in KINDS and i and parts[i - 1] == "metric" and (i + 1 < len(parts) or part != "reward"))
        ]
        return ".".join(kept) if len(kept) > 1 else "metric.kind"
    if parts[0] in ("treatments", "unit", "segments", "covariate", "blind", "control", "endpoint", "name", "notes"):
        return parts[0]
    if parts[0] == "context" and len(parts) > 1:
        return _about(parts[1], form)
    if parts[0] in ("minimum_effect", "outcome_window_s", "look_every_s", "hide_until_verdict", "conclude"):
        return parts[0]
    return ".".join(parts) if parts[0] in ("stop", "guard_rails", "allocation") and len(parts) > 1 else ""


def _about(key: str, form: Typed) -> str:
    """Which field names a context key."""
    if form["unit"] == "context" and _bare(form["unit_key"].strip()) == key:
        return "unit"
    return "covariate" if form["covariate"] == "context" and _bare(form["covariate_key"].strip()) == key else "segments"


def _bare(name: str) -> str:
    return name.removeprefix("context.")


def _qualified(name: str) -> str:
    return name if name.startswith("context.") or not name else f"context.{name}"


def _texts(values: Mapping[str, Any], but: Sequence[str] = ()) -> Typed:
    return {name: _text(value) for name, value in values.items() if name not in but}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _span(seconds: float) -> Typed:
    unit = next((unit for unit in ("days", "hours", "minutes") if seconds % SECONDS[unit] == 0), "seconds")
    return {"value": _text(seconds / SECONDS[unit]), "unit": unit}
