"""The catalogue of facts: what a policy or a front can look at besides the context that callers send.

Facts are finite numbers, text, booleans, or None where they are not known. Nothing here finds them out; that is
``serving/facts.py``, which gathers those that are asked for and no others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from quorate.errors import ConfigError

FactType = Literal["number", "text", "boolean"]
Asker = Literal["policy", "front"]
BOTH: tuple[Asker, ...] = ("policy", "front")
POLICY: tuple[Asker, ...] = ("policy",)
FRONT: tuple[Asker, ...] = ("front",)


@dataclass(frozen=True, slots=True)
class Fact:
    """One entry: ``name`` may have ``NAME`` as a part, which stands for that of a member, strategy or endpoint.

    ``low`` and ``high`` bound a number, inclusive; ``whole`` numbers have no fractions. ``values`` are all that a text
    can be. ``askers`` are those who can look at it.
    """

    name: str
    type: FactType
    meaning: str
    source: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    whole: bool = False
    values: tuple[str, ...] = ()
    askers: tuple[Asker, ...] = BOTH


def _number(
    name: str,
    meaning: str,
    source: str,
    unit: str = "",
    high: float | None = None,
    *,
    low: float = 0.0,
    whole: bool = False,
    askers: tuple[Asker, ...] = BOTH,
) -> Fact:
    return Fact(name, "number", meaning, source, unit, low, high, whole, (), askers)


_PICTURE = "the request's first picture"
CATALOGUE: tuple[Fact, ...] = (
    _number("input.rows", "Rows of the request.", "the request", "rows", low=1.0, whole=True),
    _number("input.bytes", "Size of the request's body, as it was received.", "the request", "bytes", whole=True),
    Fact(
        "input.kind",
        "text",
        "What a row is: a picture, nested numbers, or values by column.",
        "the endpoint's signature; at a front, the first row",
        values=("image", "array", "columns"),
    ),
    _number(
        "input.missing",
        "Share of the input's values that are missing; 0 for pictures.",
        "the request",
        "share",
        1.0,
    ),
    _number(
        "input.distance",
        "Distance from the held-out rows of the pool's models; 1 is usual, that of the request's farthest row counts.",
        "the request's numbers, against the models' held-out rows",
        "robust standard deviations",
        askers=POLICY,
    ),
    _number("image.width", "Width, before any preprocessing.", _PICTURE, "pixels", low=1.0, whole=True),
    _number("image.height", "Height, before any preprocessing.", _PICTURE, "pixels", low=1.0, whole=True),
    _number("image.brightness", "Mean of its grey levels.", _PICTURE, "share of white", 1.0),
    _number("image.contrast", "Standard deviation of its grey levels.", _PICTURE, "share of white", 1.0),
    _number(
        "image.sharpness",
        "Standard deviation of the Laplacian of its grey levels; a blurred picture has little.",
        _PICTURE,
        "share of white",
    ),
    Fact(
        "request.interpretable",
        "boolean",
        "Whether the caller asks for an answer that people can follow: `interpretable: true` in the context.",
        "the context",
    ),
    _number("time.hour", "Hour of the arrival, 0 to 23.", "the clock", "hours", 23.0, whole=True),
    _number("time.minute", "Minute of the arrival, 0 to 59.", "the clock", "minutes", 59.0, whole=True),
    _number("time.weekday", "Day of the arrival; Monday is 0, Sunday 6.", "the clock", "days", 6.0, whole=True),
    _number(
        "load.in_flight",
        "Requests that the worker answers now: the endpoint's; at a front, all of the worker's.",
        "the worker",
        "requests",
        whole=True,
    ),
    _number(
        "load.queue_ms", "How long what is in line for the pool will take.", "the worker", "milliseconds", askers=POLICY
    ),
    _number("process.cpu", "Cores that the worker kept busy over about the last second.", "the system", "cores"),
    _number("process.memory", "Resident memory of the worker.", "the system", "bytes", whole=True),
    Fact(
        "member.NAME.healthy",
        "boolean",
        "Whether requests may run that member: its circuit is closed.",
        "the worker",
        askers=POLICY,
    ),
    _number(
        "member.NAME.latency_ms",
        "What a run of one row of that member takes, as measured.",
        "the worker",
        "milliseconds",
        askers=POLICY,
    ),
    Fact(
        "strategy.NAME.interpretable",
        "boolean",
        "Whether that strategy is declared `interpretable`.",
        "the configuration",
        askers=POLICY,
    ),
    Fact(
        "drift.state",
        "text",
        "What monitors say of the endpoint's input; not known where no monitor runs.",
        "`.quorate/run/drift.json`",
        values=("stable", "warning", "drift"),
        askers=POLICY,
    ),
    _number(
        "endpoint.NAME.in_flight",
        "Requests of that endpoint that the worker answers now.",
        "the worker",
        "requests",
        whole=True,
        askers=FRONT,
    ),
    _number(
        "endpoint.NAME.queue_ms",
        "How long what is in line for that endpoint's pool will take.",
        "the worker",
        "milliseconds",
        askers=FRONT,
    ),
    _number(
        "endpoint.NAME.distance",
        "Distance from the held-out rows of that endpoint's models, as `input.distance`; not known where the input is "
        "not one that it takes.",
        "the request's numbers, against the models' held-out rows",
        "robust standard deviations",
        askers=FRONT,
    ),
    Fact(
        "endpoint.NAME.drift",
        "text",
        "What monitors say of that endpoint's input; not known where no monitor runs.",
        "`.quorate/run/drift.json`",
        values=("stable", "warning", "drift"),
        askers=FRONT,
    ),
    Fact(
        "endpoint.NAME.healthy",
        "boolean",
        "Whether that endpoint takes requests and no circuit of its members is open.",
        "the worker",
        askers=FRONT,
    ),
)

_BY_NAME = {fact.name: fact for fact in CATALOGUE}
_FAMILIES = {"member", "strategy", "endpoint"}


def parts(name: str) -> tuple[str, str, str] | None:
    """Family, own name and property of a fact that is about something by its name; None for all others.

    >>> parts("member.cnn.v2.healthy")
    ('member', 'cnn.v2', 'healthy')
    """
    family, _, rest = name.partition(".")
    own, _, what = rest.rpartition(".")
    return (family, own, what) if family in _FAMILIES and own else None


def find(name: str) -> Fact | None:
    """The catalogue's entry of a fact, whatever member, strategy or endpoint it is about; None where there is none.

    >>> find("member.svm.healthy").type, find("input.row")
    ('boolean', None)
    """
    found = parts(name)
    return _BY_NAME.get(name if found is None else f"{found[0]}.NAME.{found[2]}")


def need(name: str, asker: Asker) -> Fact:
    """The entry of a fact that ``asker`` can look at; :class:`ConfigError` says what there is instead."""
    fact = find(name)
    if fact is not None and asker in fact.askers:
        return fact
    known = [each.name for each in available(asker)]
    if fact is not None:
        instead = "a front, which has no pool of its own" if asker == "front" else "an endpoint's own policy"
        raise ConfigError(f"the fact '{name}' is not known to {instead}; expected one of {', '.join(known)}.")
    near = get_close_matches(name, known, 1)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    raise ConfigError(f"there is no fact '{name}'; expected context.KEY or one of {', '.join(known)}{hint}")


def available(asker: Asker) -> Iterator[Fact]:
    """The facts that ``asker`` can look at."""
    return (fact for fact in CATALOGUE if asker in fact.askers)
