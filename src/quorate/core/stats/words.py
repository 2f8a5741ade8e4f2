"""What each method is and assumes, in sentences for a report."""

from __future__ import annotations

from quorate.core.stats.metric import Metric

NAMES = {
    "tuned": "asymptotic confidence sequence, a mixture tuned to the planned effect",
    "asymptotic": "asymptotic confidence sequence (Waudby-Smith et al. 2024), tuned to the planned size",
    "msprt": "mixture sequential probability ratio test (Johari et al. 2022), normal mixture",
    "betting": "confidence sequence by betting (Waudby-Smith and Ramdas 2024), hedged capital on pairs",
    "bernstein": "empirical-Bernstein confidence sequence (Waudby-Smith and Ramdas 2024) on pairs",
    "nonparametric": "quantile confidence sequences of both arms (Howard and Ramdas 2022)",
    "group_sequential": "group-sequential test, O'Brien-Fleming-like spending (Lan and DeMets 1983)",
    "fixed": "Welch's t-test at a size fixed beforehand",
}

_ALWAYS = (
    "Units are independent, and alike over time within an arm.",
    "Units without an outcome are missing for reasons that are the same in both arms.",
)
_ANY_TIME = "Holds at every look, however many and whenever."
_LARGE = "Samples are large enough for means to be normal; error rates are approximate in small or very skewed ones."
_SET = "Planned effect and size were set before the first look."
_EXACT = "Holds at every sample size, without approximation."
_PAIRS = "Units are paired in order; what one arm has more than the other is not used."
_METHOD: dict[str, tuple[str, ...]] = {
    "tuned": (_ANY_TIME, _LARGE, _SET),
    "asymptotic": (_ANY_TIME, _LARGE, _SET),
    "msprt": (_ANY_TIME, _LARGE, _SET),
    "betting": (_ANY_TIME, _EXACT, _PAIRS, _SET),
    "bernstein": (_ANY_TIME, _EXACT, _PAIRS, _SET),
    "nonparametric": (_ANY_TIME, _EXACT, _SET),
    "group_sequential": (
        "Holds at the planned looks, whose number was set before the first, and not after the last.",
        _LARGE,
    ),
    "fixed": ("Holds at one look, at the planned size.", _LARGE),
}


def assumptions(method: str, metric: Metric, *, cuped: bool) -> tuple[str, ...]:
    """Sentences, the method's own first."""
    found = [*_METHOD[method], *_ALWAYS]
    if metric.bounded and method in ("betting", "bernstein"):
        found.append(f"Every value lies in {metric.low:g}..{metric.high:g}.")
    if metric.kind == "ratio":
        found.append("The ratio is linearised (delta method); the sum of denominators is far from 0.")
    if metric.kind == "quantile" and method != "nonparametric":
        found.append("The distribution has a density near the quantile; its standard error is Woodruff's.")
    if cuped:
        found.append("CUPED: covariates were fixed before assignment; their slope is learned from both arms together.")
    return tuple(found)
