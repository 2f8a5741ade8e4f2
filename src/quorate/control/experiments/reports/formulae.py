"""Of every method its formula in a sentence, and where it comes from, for the report."""

from __future__ import annotations

_SCORE = (
    "With d = treatment - control, information I = 1/se(d)² and score S = I d: every difference x has the evidence "
    "E(x), the likelihood ratio of S - I x against a mixture of effects; the interval is all x with E(x) < 1/alpha. "
)
_ROBBINS = "H. Robbins, Ann. Math. Statist. 41, 1970; "
_WAUDBY_SMITH = (
    "I. Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas, Time-uniform central limit theory and asymptotic "
    "confidence sequences, Annals of Statistics 52(6), 2024. "
)
_BETTING = "I. Waudby-Smith, A. Ramdas, Estimating means of bounded random variables by betting, JRSS B 86(1), 2024. "

_OPERATIONS = "R. Johari, P. Koomen, L. Pekelis, D. Walsh, Always valid inference, Operations Research 70(3), 2022. "
_PAIRED = "Units of both arms are paired in the order in which they came; "
_GAMBLERS = (
    "the interval is all differences against which the hedged capital of two gamblers, one on higher and one on lower "
    "means, stays below 1/alpha."
)
_QUANTILE = (
    "Each arm's quantile has an interval with half of alpha, from a beta-binomial mixture on the count of values "
    "below; the interval is their difference."
)
_SPENT = "Alpha is spent over the planned looks like O'Brien and Fleming's bounds; the interval is d ± c(look) se(d)."

FORMULAE: dict[str, tuple[str, str]] = {
    "tuned": (
        _SCORE + "The mixture has 0.45 each at plus and minus the minimum effect, and 0.1 normal.",
        _ROBBINS + _WAUDBY_SMITH,
    ),
    "asymptotic": (_SCORE + "The mixture is normal, tuned to the planned size.", _ROBBINS + _WAUDBY_SMITH),
    "msprt": (_SCORE + "The mixture is normal, tuned to the minimum effect.", _ROBBINS + _OPERATIONS),
    "betting": (_PAIRED + _GAMBLERS, _BETTING),
    "bernstein": (_PAIRED + "the interval is the empirical Bernstein sequence of their differences.", _BETTING),
    "nonparametric": (
        _QUANTILE,
        "S. R. Howard, A. Ramdas, Sequential estimation of quantiles, Bernoulli 28(3), 2022. ",
    ),
    "group_sequential": (
        _SPENT,
        "K. K. G. Lan, D. L. DeMets, Biometrika 70, 1983; P. C. O'Brien, T. R. Fleming, Biometrics 35, 1979. ",
    ),
    "fixed": ("d ± z(1 - alpha/2) se(d), once, at the registered size.", "B. L. Welch, Biometrika 34, 1947. "),
}
"""By method: the formula, and references."""

RULES: tuple[str, ...] = (
    (
        "Intention to treat: every unit belongs to the arm it was assigned, whatever answered it. Requests without "
        "an answer and abstentions count as not right."
    ),
    "Decisions whose strategy the caller chose are excluded; idempotent repetitions are one decision.",
    "Units do not learn from the other arm.",
    "After an early stop the difference is overstated on average; the interval is what holds.",
)
"""What holds of every experiment, whatever its method."""
