"""Fit a cascade: combiners for all sets of members, a router between them, and the price that keeps a promise.

The promise is one of

    at_least: {accuracy: a, risk: r}    the cheapest router whose accuracy on rows never seen is a or more; the
                                        probability that it is not, over the draw of the rows given here, is at most r
    within: {cost: c}                   the most accurate router whose mean cost is c, as far as cross-fitting tells
    within: {cost: c, risk: r}          the same, and the mean cost on rows never seen is above c with probability r at
                                        most

Where a risk is stated, a random part of the rows (``held``) is kept apart from all fitting, and only picks the price
there (:mod:`quorate.core.stats.learn_then_test`). The risk is of the router on its own, before any members fail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.cascade.evidence import Bools, Floats, Seen, seen
from quorate.core.cascade.posterior import posterior
from quorate.core.combine import cascade
from quorate.core.stats.intervals import wilson
from quorate.core.stats.learn_then_test import accepted, bounded_p, exact_p
from quorate.core.types import FloatArray, State, Status, StatusArray
from quorate.errors import InvalidInput
from quorate.training.fitters import check_classes
from quorate.training.frontier import frontier
from quorate.training.routing import Played, Router, Scene, fit_router, play, scene
from quorate.training.subsets import Combiners, fit_subsets, parts_of, subsets_of

FOLDS, HELD, MOST_GROUPS, LEAST_ROWS = 5, 0.3, 6, 50
PRICES = np.concatenate([[0.0], np.geomspace(2e-3, 20.0, 59)])
"""Prices of cost, as multiples of accuracy over what all members cost together; 0 asks whatever is expected to help."""
_FINER = 12

Wish = Mapping[str, float]
Ints = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Promise:
    """What is asked of a cascade: ``accuracy`` of at least, or ``cost`` within, a ``value``; and with what ``risk``."""

    of: Literal["accuracy", "cost"]
    value: float
    risk: float | None = None

    @classmethod
    def from_settings(cls, at_least: Wish | None, within: Wish | None) -> Promise:
        """From the settings; :class:`InvalidInput` unless they say one thing, and all of it."""
        if at_least is not None and within is None:
            _check_wish("at_least", at_least, {"accuracy", "risk"}, set())
            return cls("accuracy", float(at_least["accuracy"]), float(at_least["risk"]))
        if within is not None and at_least is None:
            _check_wish("within", within, {"cost"}, {"risk"})
            return cls("cost", float(within["cost"]), float(within["risk"]) if "risk" in within else None)
        raise InvalidInput(
            "a cascade is fitted for one of at_least: {accuracy, risk} and within: {cost}; give one of them.",
            path="at_least",
        )

    @property
    def said(self) -> dict[str, float]:
        """As a state's metadata have it."""
        return {self.of: self.value} | ({} if self.risk is None else {"risk": self.risk})


def _check_wish(path: str, wish: Wish, needed: set[str], allowed: set[str]) -> None:
    if not needed <= set(wish) <= needed | allowed:
        expected = ", ".join([*sorted(needed), *(f"{name} (optional)" for name in sorted(allowed))])
        raise InvalidInput(f"expected {path}: {{{expected}}}; got {{{', '.join(sorted(wish))}}}.", path=path)
    for name in ("accuracy", "risk"):
        if name in wish and not 0.0 < wish[name] < 1.0:
            raise InvalidInput(f"'{name}' is a share between 0 and 1; got {wish[name]:g}.", path=f"{path}.{name}")
    if "cost" in wish and not 0.0 < wish["cost"] < np.inf:
        raise InvalidInput(f"'cost' must be above 0 and finite; got {wish['cost']:g}.", path=f"{path}.cost")


def fit_cascade(
    outputs: FloatArray,
    y: Ints,
    members: Sequence[str],
    classes: Sequence[str],
    *,
    costs: Mapping[str, float],
    unit: str = "cost",
    at_least: Wish | None = None,
    within: Wish | None = None,
    stages: Sequence[Sequence[str]] | None = None,
    stage: float = 0.0,
    held: float = HELD,
    seed: int = 0,
) -> State:
    """The state of a cascade from members' outputs on rows that they have not seen.

    ``outputs`` float32 ``[n, m, k]``, ``y`` true class indices ``[n]``. ``costs`` of a row by member, in ``unit``:
    ``cost`` (any money) or ``ms``. ``stages`` groups members that are asked together (default: each alone); ``stage``
    is what asking one costs besides its members. ``held`` is the share of rows that only test the promise, where it
    states a risk. :class:`InvalidInput` if shapes do not fit, a value is not finite, settings make no sense, or the
    promise cannot be made on these rows.
    """
    wish: dict[str, Any] = {"at_least": at_least, "within": within, "held": held, "seed": seed}
    wish |= {"stages": stages, "stage": stage}
    return fit_with_way(outputs, y, members, classes, costs=costs, unit=unit, **wish)[0]


class Way(NamedTuple):
    """What a cascade says to rows that it has not seen, on its own way through them.

    ``answers`` float32 ``[n, k]``, and the ``status`` int8 ``[n, m]`` of its members: who was asked.
    """

    answers: FloatArray
    status: StatusArray


def fit_with_way(
    outputs: FloatArray,
    y: Ints,
    members: Sequence[str],
    classes: Sequence[str],
    *,
    costs: Mapping[str, float],
    unit: str = "cost",
    at_least: Wish | None = None,
    within: Wish | None = None,
    stages: Sequence[Sequence[str]] | None = None,
    stage: float = 0.0,
    held: float = HELD,
    seed: int = 0,
) -> tuple[State, Way]:
    """What :func:`fit_cascade` makes of the same arguments, and its way through these rows.

    Every row is routed and answered by what the other folds taught, at the price that was chosen; held-out rows by the
    cascade as it is.
    """
    promise = Promise.from_settings(at_least, within)
    share = 0.0 if promise.risk is None else held
    fitting = Fitting(outputs, y, members, classes, costs, unit, stages, share, seed, stage)
    return fitting.state(promise), fitting.way(promise)


class Fitting:
    """Everything fitted that does not depend on the promise; see :func:`fit_cascade`."""

    def __init__(
        self,
        outputs: FloatArray,
        y: Ints,
        members: Sequence[str],
        classes: Sequence[str],
        costs: Mapping[str, float],
        unit: str = "cost",
        stages: Sequence[Sequence[str]] | None = None,
        held: float = 0.0,
        seed: int = 0,
        stage: float = 0.0,
    ) -> None:
        check_classes(outputs, y, members, len(classes))
        self.members, self.classes, self.unit, self.rows = tuple(members), tuple(classes), unit, len(y)
        self.cost = _costs(costs, members, unit)
        if not 0.0 <= stage < np.inf:
            raise InvalidInput(f"'stage' is a cost, finite and not negative; got {stage:g}.", path="stage")
        self.stage = float(stage)
        self.units = _units(stages, members)
        fitted_on, tested_on = _cut(len(y), held, seed)
        if min(len(fitted_on), len(tested_on) or len(fitted_on)) < LEAST_ROWS:
            raise InvalidInput(
                f"a cascade needs {LEAST_ROWS} rows to be fitted on, and as many to test a promise of stated risk; "
                f"got {len(fitted_on)} and {len(tested_on)}.",
                path="y",
            )
        subsets = subsets_of(len(members), self.units, MOST_GROUPS)
        touched = (subsets[:, None] & self.units[None]).any(axis=2)
        covered = ~(self.units[None] & ~subsets[:, None]).any(axis=2)
        self.routed: Bools = (touched == covered).all(axis=1)
        """Sets that are unions of groups: those that the router can come to."""
        known = seen(outputs, np.ones(outputs.shape[:2], bool))
        given = known.take(fitted_on)
        self.parts = parts_of(y[fitted_on], FOLDS, seed)
        self.combiners: Combiners = fit_subsets(given, y[fitted_on], subsets, self.parts)
        numbers = np.flatnonzero(self.routed).tolist()
        self._parts = fitted_on, tested_on
        self._said = [self.combiners.held[s] for s in numbers]
        self.where = self._scene(given, y[fitted_on], self._said)
        self.tests: Scene | None = None
        self._told: list[Floats] = []
        if len(tested_on):
            some = known.take(tested_on)
            self._told = [posterior(some.of(subsets[s]), s, self.combiners.arrays) for s in numbers]
            self.tests = self._scene(some, y[tested_on], self._told)
        rows = tested_on if len(tested_on) else fitted_on
        self.alone: Bools = outputs[rows].argmax(axis=2) == y[rows][:, None]
        self._all: tuple[Router, Played] | None = None
        self._choices: dict[Promise, _Chosen] = {}

    @property
    def most(self) -> float:
        """What a row costs that every stage is asked of."""
        return float(self.cost.sum()) + self.stage * len(self.units)

    def _scene(self, given: Seen, y: Ints, probabilities: Sequence[Floats]) -> Scene:
        arrays = self.combiners.arrays
        return scene(
            given, y, probabilities, arrays["subsets"][self.routed], self.units, self.cost, arrays["fine"], self.stage
        )

    def route(self, prices: Floats) -> tuple[Router, Played]:
        """The router at these prices, and what the rows it was cross-fitted on come to."""
        return fit_router(self.where, prices, self.parts)

    @property
    def all_prices(self) -> tuple[Router, Played]:
        """:meth:`route` at all of :data:`PRICES`, once."""
        if self._all is None:
            self._all = self.route(PRICES / self.most)
        return self._all

    def state(self, promise: Promise) -> State:
        """The state that keeps a promise; :class:`InvalidInput` if none does."""
        return _state(self, self._chosen(promise), promise)

    def way(self, promise: Promise) -> Way:
        """The way of that state through all rows; see :func:`fit_with_way`."""
        chosen = self._chosen(promise)
        seen = chosen.played if self.tests is None else self.all_prices[1]
        answers = np.empty((self.rows, len(self.classes)), np.float32)
        asked = np.empty((self.rows, len(self.members)), np.bool_)
        parts = [(self._parts[0], self._said, seen)]
        parts += [] if self.tests is None else [(self._parts[1], self._told, chosen.played)]
        for rows, said, played in parts:
            final = played.final[:, chosen.at]
            asked[rows] = self.where.sets[final]
            answers[rows] = np.stack(said)[final, np.arange(len(rows))]
        return Way(answers, np.where(asked, np.int8(Status.OK), np.int8(Status.SKIPPED)))

    def _chosen(self, promise: Promise) -> _Chosen:
        if promise not in self._choices:
            self._choices[promise] = self._choose(promise)
        return self._choices[promise]

    def _choose(self, promise: Promise) -> _Chosen:
        if promise.risk is None:
            return _cheap_enough(self, promise.value)
        if self.tests is None:
            raise InvalidInput("a promise of stated risk needs held-out rows; set 'held' above 0.", path="held")
        return _tested(self, self.tests, promise, promise.risk)


@dataclass(frozen=True)
class _Chosen:
    """The router at one of its prices, and the rows that tell what it comes to."""

    where: Scene
    router: Router
    played: Played
    at: int


def _costs(costs: Mapping[str, float], members: Sequence[str], unit: str) -> Floats:
    if unit not in ("cost", "ms"):
        raise InvalidInput(f"the unit of costs is 'cost' or 'ms'; got '{unit}'.", path="unit")
    if sorted(costs) != sorted(members):
        raise InvalidInput(
            f"expected a cost for each of the members [{', '.join(members)}]; got [{', '.join(costs)}].", path="costs"
        )
    found = np.array([float(costs[name]) for name in members])
    if not np.isfinite(found).all() or (found < 0).any() or not found.any():
        raise InvalidInput(
            f"costs must be finite and not negative, with one above 0; got {found.tolist()}.", path="costs"
        )
    return found


def _units(stages: Sequence[Sequence[str]] | None, members: Sequence[str]) -> Bools:
    groups = [[name] for name in members] if stages is None else [list(stage) for stage in stages]
    if sorted(name for group in groups for name in group) != sorted(members) or not all(groups):
        raise InvalidInput(
            f"stages must name each of the members [{', '.join(members)}] once; got {groups}.", path="stages"
        )
    if len(groups) > MOST_GROUPS:
        raise InvalidInput(
            f"a cascade routes between at most {MOST_GROUPS} members or groups of them; got {len(groups)}. "
            "Name fewer members, or group them under stages.",
            path="stages",
        )
    return np.array([[name in group for name in members] for group in groups], bool)


def _cut(n: int, share: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows to fit on, and rows drawn at random to test the promise on."""
    if not 0.0 <= share < 1.0:
        raise InvalidInput(f"'held' is a share of the rows below 1; got {share:g}.", path="held")
    order = np.random.default_rng(seed).permutation(n)
    tests = round(share * n)
    return np.sort(order[tests:]), np.sort(order[:tests])


# --- the price ----------------------------------------------------------------------------------------


def _tested(fitting: Fitting, where: Scene, promise: Promise, risk: float) -> _Chosen:
    """By fixed-sequence testing on the held-out rows, in the order of prices, which these rows do not know."""
    router, _ = fitting.all_prices
    played = play(where, router)
    n, count = len(played.right), len(router.prices)
    if promise.of == "accuracy":
        lost = (~played.right).sum(axis=0).tolist()
        good = accepted((exact_p(losses, n, 1.0 - promise.value) for losses in lost), risk)
        if not good:
            raise InvalidInput(
                f"an accuracy of {promise.value:g} cannot be promised at risk {risk:g}: with no limit on cost the "
                f"cascade is right on {1 - lost[0] / n:.4f} of {n} held-out rows. Ask for less, or give more rows.",
                path="at_least.accuracy",
            )
        return _Chosen(where, router, played, good - 1)
    most = fitting.most
    bound = promise.value / most
    means = (played.mean_cost / most).tolist()
    good = accepted((bounded_p(mean, n, bound) for mean in reversed(means)), risk)
    if not good:
        raise _too_dear(promise.value, float(played.mean_cost[-1]))
    return _Chosen(where, router, played, count - good)


def _cheap_enough(fitting: Fitting, limit: float) -> _Chosen:
    """The lowest price at which cross-fitted rows cost no more, looked for once more between it and the one below."""
    router, played = fitting.all_prices
    cheap = np.flatnonzero(played.mean_cost <= limit)
    if not len(cheap):
        raise _too_dear(limit, float(played.mean_cost[-1]))
    at = int(cheap[0])
    if at > 0:
        finer = np.linspace(router.prices[at - 1], router.prices[at], _FINER + 2)[1:-1]
        more, also = fitting.route(finer)
        router, played = router.joined(more, at), played.joined(also, at)
        at = int(np.flatnonzero(played.mean_cost <= limit)[0])
    return _Chosen(fitting.where, router, played, at)


def _too_dear(limit: float, least: float) -> InvalidInput:
    return InvalidInput(
        f"no cascade of these members can be held to a cost of {limit:g} a row; the cheapest costs {least:g}. "
        "Allow more.",
        path="within.cost",
    )


# --- the state ----------------------------------------------------------------------------------------


def _state(fitting: Fitting, chosen: _Chosen, promise: Promise) -> State:
    where, played, at = chosen.where, chosen.played, chosen.at
    members, costs, start = fitting.members, fitting.cost, chosen.router.start[at]
    asked = where.sets[played.final[:, at]]
    first = where.sets[start.argmax()]
    rest = [unit for unit in fitting.units if not (unit & first).any()]
    rest.sort(key=lambda unit: -float((asked & unit).any(axis=1).mean()))
    stages = [first, *rest]
    right = int(played.right[:, at].sum())
    meta = {
        "members": list(members),
        "classes": list(fitting.classes),
        "stages": [[name for name, inside in zip(members, stage.tolist(), strict=True) if inside] for stage in stages],
        "costs": {name: float(value) for name, value in zip(members, costs, strict=True)},
        "unit": fitting.unit,
        "stage": fitting.stage,
        "promise": promise.said,
        "rows": fitting.rows,
        "expected": {
            "cost": float(played.mean_cost[at]),
            "accuracy": list(wilson(right, len(asked))),
            "reached": [float((asked & stage).any(axis=1).mean()) for stage in stages],
        },
        "frontier": frontier(where, played, chosen.router.prices, at, fitting.alone, members, costs),
    }
    arrays = fitting.combiners.arrays | {
        "routed": fitting.routed, "asks": where.asks, "gains": chosen.router.gains[at], "start": start,
    }  # fmt: skip
    return State("cascade", cascade.VERSION, meta, arrays)
