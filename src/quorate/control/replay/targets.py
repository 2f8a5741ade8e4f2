"""From what is asked to what can be computed: strategies with combiners and states, policies with probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from quorate import plugins
from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import EndpointRoute, PoolRoute, Routing, StrategyRoute
from quorate.control.learning.past import Past, Pasts
from quorate.control.replay.asked import Question
from quorate.control.replay.slices import Body, Head
from quorate.control.revisions.resolve import resolve
from quorate.core.calibrate.methods import calibrate
from quorate.core.combine.base import Combiner
from quorate.core.plan.all_at_once import AllAtOnce
from quorate.core.plan.base import Plan
from quorate.core.plan.trace import enough, trace
from quorate.core.select.base import Policy
from quorate.core.types import NOTHING, FloatArray, Scalar, State, Status, StatusArray
from quorate.errors import ConfigError, InvalidInput, NotFound, QuorateError
from quorate.registry.registry import Registry
from quorate.spec import ConfigProblems, build

OK, SKIPPED = int(Status.OK), int(Status.SKIPPED)
AS_NAMED = "replayed"


class Answers(NamedTuple):
    """Answers to all rows of a body, float32 ``[r, k]``; the others are bool ``[n]``, per decision.

    ``logged``: whether the outputs of all members that the strategy would have asked (and the features that it looks
    at) are on record; ``enough``: whether enough of them had answered, too; ``alike``: whether those that it would have
    asked are just those that ran; ``knows``: whether what it had learned by then is known, where it learns.
    """

    answer: FloatArray
    logged: NDArray[np.bool_]
    enough: NDArray[np.bool_]
    alike: NDArray[np.bool_]
    knows: NDArray[np.bool_]


@dataclass(frozen=True)
class Strategy:
    """A strategy that can be replayed. ``own``: it is one of the endpoint's, at its present revision."""

    name: str
    members: tuple[str, ...]
    quorum: int
    combiner: Combiner
    state: State | None
    own: bool = False
    plan: Plan | None = None
    """Who is asked, row by row, where that is not all of them at once."""
    calibration: State | None = None
    past: Past | None = None
    """What its combiner knew at each decision, where that learns."""

    def answers(self, head: Head, body: Body) -> Answers:
        """What it answers to all rows of a body."""
        outputs, status = self._columns(body)
        every = np.ones(len(body.index), bool)
        if outputs is None or self.combiner.feature_width(self.state) not in (0, body.layout.features):
            return Answers(np.zeros((0, 0), np.float32), ~every, ~every, ~every, every)
        if self.plan is None:
            logged = ~_any(status == SKIPPED, body)
            good = np.minimum.reduceat((status == OK).sum(axis=1), body.start) >= self.quorum
            if self.past is None:
                answer, knows = self._combined(outputs, status, body), every
            else:
                answer, knows = self._learned(self.past, outputs, status, head, body)
            return Answers(answer, logged, logged & good, logged, knows)
        way = trace(self.plan, outputs, status)
        asked = way.status(status)
        logged = ~_any(~way.known[:, None], body)
        good = ~_any(~enough(asked, self.quorum)[:, None], body)
        alike = ~_any(asked != status, body)
        return Answers(self._combined(outputs, asked, body), logged, logged & good, alike, every)

    def _learned(
        self, past: Past, outputs: FloatArray, status: StatusArray, head: Head, body: Body
    ) -> tuple[FloatArray, NDArray[np.bool_]]:
        """What it answered by what it knew at each decision, NaN where that is not known; and where it is."""
        answer = np.full((len(outputs), body.layout.width), np.nan, np.float32)
        made = np.stack([head.revision[body.index], head.state_version[body.index]], axis=1)
        kinds, kind = np.unique(made[:, ::-1], axis=0, return_inverse=True)  # by version first: that is how it learned
        kind = kind.reshape(-1)
        rows = np.repeat(kind, np.diff(body.start, append=len(outputs)))
        order = np.argsort(rows, kind="stable")
        edges, knows = np.searchsorted(rows[order], np.arange(len(kinds) + 1)), np.zeros(len(kinds), bool)
        for each, (version, revision) in enumerate(kinds.tolist()):
            moment = past.at(revision, version)
            knows[each] = moment.known
            if moment.known:
                some = order[edges[each] : edges[each + 1]]
                answer[some] = self.combiner.combine(outputs[some], status[some], moment.state)
        return calibrate(answer, self.calibration), knows[kind]

    def _combined(self, outputs: FloatArray, status: StatusArray, body: Body) -> FloatArray:
        return calibrate(self.combiner.combine(outputs, status, self.state, body.features), self.calibration, status)

    def _columns(self, body: Body) -> tuple[FloatArray | None, StatusArray]:
        order = {name: i for i, name in enumerate(body.layout.members)}
        if body.outputs is None or any(name not in order for name in self.members):
            return None, body.status
        columns = [order[name] for name in self.members]
        if columns == list(range(len(order))):
            return body.outputs, body.status
        return body.outputs[:, columns], body.status[:, columns]


def _any(rows: NDArray[np.bool_], body: Body) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.logical_or.reduceat(rows.any(axis=1), body.start)
    return found


@dataclass(frozen=True)
class Target:
    """What is replayed: probabilities of ``strategies`` by decision, and those of them that can be computed."""

    endpoint: EndpointRoute
    pool: PoolRoute
    strategies: tuple[str, ...]
    computable: Mapping[str, Strategy]
    policy: Policy | None = None

    @property
    def by_context(self) -> bool:
        """Whether the probabilities depend on the decision."""
        return self.policy is not None and not self.policy.constant

    def probabilities(self, body: Body, known: dict[Any, NDArray[np.float64] | None]) -> NDArray[np.float64]:
        """``[n, k]``, NaN where a fact that the policy looks at was not recorded; ``known`` is kept between calls."""
        if self.policy is None:
            return np.ones((len(body.index), 1))
        if not self.by_context:
            always = self.policy.distribution(self.policy.initial(), {}, NOTHING)
            return np.broadcast_to(always, (len(body.index), len(self.strategies)))
        unknown = np.full(len(self.strategies), np.nan)
        rows = []
        for key in zip(body.context, body.facts, strict=True):
            if key not in known:
                known[key] = _distribution(self.policy, *key)
            found = known[key]
            rows.append(unknown if found is None else found)
            if len(known) > _REMEMBERED:
                known.clear()
        return np.array(rows).reshape(-1, len(self.strategies))


def _distribution(policy: Policy, context: str | None, facts: str | None) -> NDArray[np.float64] | None:
    seen: dict[str, Scalar] = {} if facts is None else msgspec.json.decode(facts)
    if not policy.facts() <= seen.keys():
        return None
    return policy.distribution(policy.initial(), msgspec.json.decode(context or "{}"), seen)


_REMEMBERED = 200_000


def target(
    question: Question, routing: Routing, registry: Registry, logged: Sequence[str], pasts: Pasts | None = None
) -> Target:
    """What is asked for, resolved; ``logged`` are the strategies that revisions of the endpoint have had.

    Without ``pasts`` strategies that learn cannot be computed.

    :class:`NotFound` for an endpoint or strategy that there is not, :class:`InvalidInput` for a definition that is
    wrong, naming the field.
    """
    route = next((each for each in routing.endpoints if each.name == question.endpoint), None)
    if route is None:
        known = ", ".join(sorted(each.name for each in routing.endpoints)) or "none"
        raise NotFound(f"There is no endpoint '{question.endpoint[:64]}'; expected one of: {known}.", path="endpoint")
    pool = next(each for each in routing.pools if each.name == route.pool)
    if question.policy is not None:
        policy = _policy(question.policy, route, pool, registry)
        own = {each.name: each for each in route.strategies}
        return Target(route, pool, policy.strategies, _computable(own, route, pool, registry, pasts), policy)
    if isinstance(question.strategy, str):
        return _named(question.strategy, route, pool, registry, logged, pasts)
    made = _defined(question.strategy or {}, route, pool, registry)
    past = _put_in(made, route, pool, pasts) if _learns(made) else None
    return Target(route, pool, (made.name,), {made.name: replace(loaded(made, registry), past=past)})


def _put_in(made: StrategyRoute, route: EndpointRoute, pool: PoolRoute, pasts: Pasts | None) -> Past:
    """What a strategy that learns would have known, had it been there."""
    if pasts is None:
        raise InvalidInput(
            f"'{made.kind}' learns from outcomes, and what it would have learned is not made again here. Give a "
            "strategy that does not learn.",
            path="strategy.kind",
        )
    past = pasts.of(route.name, made, pool, served=False)
    if past is None:
        raise InvalidInput(
            f"'{made.kind}' learns from outcomes, and endpoint '{route.name}' has no record of which outcomes came "
            "when: nothing that it serves has learned to combine. Serve this with a small share and replay it by name, "
            "or replay a strategy that does not learn.",
            path="strategy.kind",
        )
    return past


def _named(
    name: str,
    route: EndpointRoute,
    pool: PoolRoute,
    registry: Registry,
    logged: Sequence[str],
    pasts: Pasts | None,
) -> Target:
    own = {each.name: each for each in route.strategies}
    members = {each.name for each in pool.members}
    if name in own:
        return Target(route, pool, (name,), _computable({name: own[name]}, route, pool, registry, pasts))
    if name in members:
        alone = Strategy(name, (name,), 1, plugins.load("combiners", "single")(), None)
        return Target(route, pool, (name,), {name: alone})
    if name in logged:  # of an earlier revision
        return Target(route, pool, (name,), {})
    raise NotFound(
        f"Endpoint '{route.name}' has and had no strategy '{name[:64]}'; expected one of {', '.join(own)}, "
        f"or one of its members: {', '.join(sorted(members))}.",
        path="strategy",
    )


def _computable(
    own: Mapping[str, StrategyRoute], route: EndpointRoute, pool: PoolRoute, registry: Registry, pasts: Pasts | None
) -> dict[str, Strategy]:
    """Those of an endpoint's own strategies whose answers follow from members' outputs, and from what they had learned
    by then: where that is not on record, only what they earned is."""
    found = {}
    for name, each in own.items():
        past = None
        if _learns(each):
            past = None if pasts is None else pasts.of(route.name, each, pool, served=True)
            if past is None:
                continue
        found[name] = replace(loaded(each, registry, own=True), past=past)
    return found


def _learns(route: StrategyRoute) -> bool:
    """Whether its combiner learns from outcomes."""
    learns: bool = plugins.load("combiners", route.kind).learns
    return learns


def loaded(route: StrategyRoute, registry: Registry, *, own: bool = False) -> Strategy:
    """A strategy with its combiner and what was fitted for it."""
    state = _state(route.state, registry)
    calibration = None if route.calibrate is None else _state(route.calibrate.files, registry)
    plugin = plugins.load("combiners", route.kind)
    combiner: Combiner = plugin(msgspec.convert(dict(route.params), plugin.Params))
    plan = combiner.plan(route.members, state)
    staged = None if isinstance(plan, AllAtOnce) else plan
    return Strategy(route.name, route.members, route.quorum, combiner, state, own, staged, calibration)


def _state(files: Mapping[str, str] | None, registry: Registry) -> State | None:
    if files is None:
        return None
    return state_codec.decode({name: registry.read_blob(digest) for name, digest in files.items()})


def _defined(definition: Mapping[str, Any], route: EndpointRoute, pool: PoolRoute, registry: Registry) -> StrategyRoute:
    return _resolved(route, pool, registry, {AS_NAMED: dict(definition)}, AS_NAMED, "strategy").strategies[0]


def _policy(definition: Mapping[str, Any], route: EndpointRoute, pool: PoolRoute, registry: Registry) -> Policy:
    strategies = {each.name: {"kind": "mean"} for each in route.strategies}
    resolved = _resolved(route, pool, registry, strategies, dict(definition), "policy").policy
    plugin = plugins.load("policies", resolved.kind)
    policy: Policy = plugin(tuple(strategies), msgspec.convert(dict(resolved.params), plugin.Params))
    if policy.learns:
        raise InvalidInput(
            f"'{resolved.kind}' learns, so what it would have done depends on rewards that its own choices would have "
            "brought; a replay of logged decisions does not show that. Replay a policy that does not learn.",
            path="policy.kind",
        )
    return policy


def _resolved(
    route: EndpointRoute,
    pool: PoolRoute,
    registry: Registry,
    strategies: Mapping[str, Any],
    policy: Any,
    field: str,
) -> EndpointRoute:
    """The endpoint with other strategies and policy, checked as a configuration is."""
    members = [f"{member.name}:{member.version}" for member in pool.members]
    prefix = f"endpoints.{route.name}.{'policy' if field == 'policy' else f'strategies.{AS_NAMED}'}"
    try:
        config = build(
            {
                "pools": {pool.name: {"task": pool.task, "members": members}},
                "endpoints": {route.name: {"pool": pool.name, "strategies": strategies, "policy": policy}},
            }
        )
        return resolve(config, registry).routing.endpoints[0]
    except ConfigProblems as error:
        first = error.problems[0]
        raise _refused(first, prefix, field) from None
    except ConfigError as error:
        raise _refused(error, prefix, field) from None


def _refused(error: QuorateError, prefix: str, field: str) -> InvalidInput:
    path = (error.path or field).replace(prefix, field)
    return InvalidInput(error.message.replace(prefix, field), path=path)
