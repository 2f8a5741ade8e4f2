"""Reports of experiments: one page for a manager, one for a statistician, and everything in them as JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quorate import __version__
from quorate.control.experiments import metrics
from quorate.control.experiments.desk import hidden
from quorate.control.experiments.registration import parse
from quorate.control.experiments.reports.formulae import FORMULAE, RULES
from quorate.control.experiments.reports.words import latest, per_thousand, sentence, warnings
from quorate.control.experiments.views import look_view
from quorate.store.experiments import Experiment, Look


def report(found: Experiment, looks: Sequence[Look]) -> dict[str, Any]:
    """Everything that is known of an experiment; what is hidden until the verdict is left out of the looks."""
    registration = parse(found.registration)
    known: dict[str, Any] = {
        "id": found.id,
        "name": found.name,
        "endpoint": found.endpoint,
        "state": found.state,
        "author": found.author,
        "created": found.created,
        "started": found.started,
        "ended": found.ended,
        "base_revision": found.base_revision,
        "revision": found.revision,
        "registration": dict(found.registration),
        "digest": registration.digest,
        "metric": metrics.title(registration.metric),
        "higher_is_better": metrics.higher_is_better(registration.metric),
        "shares": registration.shares,
        "hidden": hidden(found, found.registration),
        "verdict": found.verdict,
        "conclusion": found.conclusion,
        "looks": [look_view(found, look).model_dump() for look in looks],
        "release": __version__,
    }
    return {**known, "said": _said(known)}


def _said(report: Mapping[str, Any]) -> dict[str, Any]:
    """What both pages say in sentences, so that whoever shows a report says the same."""
    meaning = {each["treatment"]: per_thousand(report, each) for each in latest(report).get("comparisons", ())}
    formula, references = FORMULAE[report["registration"]["stop"]["method"]]
    return {
        "sentence": sentence(report),
        "warnings": warnings(report),
        "meaning": {arm: text for arm, text in meaning.items() if text is not None},
        "formula": formula,
        "references": references.strip(),
        "rules": list(RULES),
    }
