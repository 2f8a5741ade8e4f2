"""An endpoint in memory: its strategies and policy, built from plugins and bound to a loaded pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from quorate import plugins
from quorate.codecs import learned
from quorate.codecs.learned import Learned
from quorate.codecs.snapshot import EndpointRoute, StrategyRoute
from quorate.core.record import Recorder
from quorate.core.select.assign import draw, unit_uniform
from quorate.core.select.base import Policy
from quorate.core.select.rules import Rules
from quorate.core.types import NOTHING, Scalar, Source, State
from quorate.errors import Forbidden, InvalidInput, NotFound
from quorate.serving.cache import AnswerCache
from quorate.serving.facts import Gatherer, Surroundings
from quorate.serving.pool import LoadedPool
from quorate.serving.strategy import LoadedStrategy
from quorate.serving.treatment import Treatment

NO_STATES: Mapping[str, State] = MappingProxyType({})


class Choice:
    """Which strategy answers a request, and with what probability each could have."""

    __slots__ = ("facts", "propensities", "source", "state_version", "strategy", "unit")

    def __init__(
        self,
        strategy: LoadedStrategy,
        source: Source,
        propensities: tuple[float, ...],
        unit: str | None,
        state_version: int = 0,
        facts: Mapping[str, Scalar] = NOTHING,
    ) -> None:
        self.strategy = strategy
        self.source = source
        self.propensities = propensities
        self.unit = unit
        self.state_version = state_version
        self.facts = facts


class LoadedEndpoint:
    """An endpoint at one revision; ``secret`` is the project's, from the snapshot.

    ``states`` and ``calibrations`` are what was fitted for its strategies, by their names.
    ``on_combine(ms)`` is called for every combination of members' outputs, of a request or of a batch of them,
    ``on_rule(number)`` for every rule that fires (or ``otherwise``), ``on_fact_failure()`` where a fact could not be
    found out, ``on_sets(strategy, sizes)`` with the labels of rows' sets (None: an interval). ``facts`` gathers those
    that the policy looks at; None where it looks at none.
    """

    def __init__(
        self,
        route: EndpointRoute,
        pool: LoadedPool,
        states: Mapping[str, State],
        *,
        secret: str = "",
        on_combine: Callable[[float], None] = lambda _ms: None,
        on_rule: Callable[[str], None] = lambda _rule: None,
        on_fact_failure: Callable[[], None] = lambda: None,
        surroundings: Surroundings | None = None,
        calibrations: Mapping[str, State] = NO_STATES,
        conformal: Mapping[str, State] = NO_STATES,
        on_sets: Callable[[str, Sequence[int | None]], None] = lambda _strategy, _sizes: None,
    ) -> None:
        self.route = route
        self.name = route.name
        self.pool = pool
        self.strategies = {
            s.name: LoadedStrategy(
                s, pool, states.get(s.name), on_combine, calibrations.get(s.name), conformal.get(s.name)
            )
            for s in route.strategies
        }
        self.promises = any(s.conformal is not None and s.conformal.coverage is not None for s in route.strategies)
        """Whether answers have sets that nobody asked for."""
        self.names = tuple(self.strategies)
        self._looking = next((s for s in self.strategies.values() if s.looks), None)
        alone = [StrategyRoute(m.name, "single", (m.name,), 1) for m in pool.members if m.name not in self.strategies]
        self._alone = {route.name: LoadedStrategy(route, pool, None, on_combine) for route in alone}
        self.policy: Policy = plugins.build("policies", route.policy.kind, route.policy.params, self.names)
        self.blind = route.policy.blind
        self.sticky = route.policy.sticky
        self.deadline = route.deadline_ms / 1000
        self.queue_ms = route.deadline_ms / 2 if route.queue_ms is None else route.queue_ms
        self.in_flight = 0
        self.unloaded = False
        """Somebody asked that it answer nothing."""
        self.cache: AnswerCache | None = None
        if route.cache is not None:
            kept = route.cache
            self.cache = AnswerCache(entries=kept.entries, max_bytes=kept.bytes, seconds=kept.seconds, clock=pool.clock)
        self.all_at_once = not any(strategy.staged for strategy in self.strategies.values())
        """Whether each of its strategies asks all its members at once."""
        some_simple = any(strategy.simple for strategy in self.strategies.values())
        self.simple = self.cache is None and not self.blind and some_simple
        """Whether nothing but a strategy is asked for its answers, and one of these may be asked all at once."""
        self.fallback = tuple(self.strategies[name] for name in route.fallback)
        self.falls_back = bool(self.fallback) and route.on_member_failure == "fallback"
        self.everyone = tuple(range(len(pool.members)))
        self.first = self._first()
        """The members that every request of it may have to wait for."""
        self.recorder = Recorder(
            route.record.sample, route.record.omit, route.record.redact, sticky=self.sticky, secret=secret
        )
        self.on_sets = on_sets
        self._rules = self.policy if isinstance(self.policy, Rules) else None
        self._on_rule = on_rule
        self.facts: Gatherer | None = None
        if names := self.policy.facts():
            self.facts = Gatherer(
                names,
                route.name,
                pool,
                surroundings or Surroundings(pool.clock),
                in_flight=lambda: self.in_flight,
                interpretable={strategy.name: strategy.interpretable for strategy in route.strategies},
                timezone=getattr(self.policy.params, "timezone", "UTC"),
                on_failure=on_fact_failure,
            )
        self.capture = None if route.capture is None else Treatment(route.capture, secret)
        self._state = self.policy.initial()
        self.state_version = 0
        """Of what was learned, by the policy or by combiners; 0 before anything was."""
        self.learner_key = learned.key(route, pool.route) if self.policy.learns else ""
        self._constant = self._weights({}, NOTHING) if self.policy.constant else None
        # Who knew the salt could compute the arm of every unit: a blind endpoint's is a secret.
        self._salt = f"{secret} {route.name}" if self.blind else route.name
        if route.policy.salt:
            self._salt += f" {route.policy.salt}"

    def _first(self) -> tuple[int, ...]:
        strategies = self.strategies.values()
        if self.blind or not all(strategy.staged for strategy in strategies):
            return self.everyone
        return tuple(sorted({s.positions[j] for s in strategies for j in s.stages[0]}))

    @property
    def looks_at(self) -> int | None:
        """The pipeline whose tensors are recorded as features; None where no combiner looks at any."""
        return None if self._looking is None else self._looking.looks_at

    def learn(self, state: State, version: int) -> None:
        """Have the policy know what was learned; requests under way keep what they were given."""
        self.policy.distribution(state, {}, NOTHING)  # one that it cannot read is an error here, not for each request
        self._state, self.state_version = state, version

    def take(self, held: Learned) -> None:
        """Have the policy and the strategies' combiners know what was learned, as far as it is theirs."""
        if self.policy.learns and held.key == self.learner_key:
            self.learn(held.state, held.version)
        fresh: dict[str, LoadedStrategy] = {}
        for name, known in held.combiners.items():
            own = name.removeprefix(learned.ADAPTIVE)
            strategy = fresh.get(own) or self.strategies.get(own)
            if strategy is None:
                continue
            if own == name and strategy.learner_key == known.key:
                fresh[own] = strategy.knowing(known.state)
            elif own != name and strategy.promise is not None and strategy.promise.key == known.key:
                fresh[own] = strategy.adapting(known.state)
        for name, strategy in self.strategies.items():
            if strategy.combiner.learns and strategy.state is not None and name not in held.combiners:
                fresh[name] = fresh.get(name, strategy).knowing(None)  # it was reset
        if fresh:
            self.strategies = {name: fresh.get(name, strategy) for name, strategy in self.strategies.items()}
            self.fallback = tuple(self.strategies[strategy.name] for strategy in self.fallback)
            self.state_version = held.version

    def limit(self, max_ms: float | None) -> float:
        """Seconds for a request: the endpoint's deadline, or less where the caller says so."""
        return self.deadline if max_ms is None else min(self.deadline, max_ms / 1000)

    def strategy(self, name: str) -> LoadedStrategy:
        """The strategy of that name, else the member of that name, alone; :class:`KeyError` for neither."""
        return self.strategies.get(name) or self._alone[name]

    def choose(
        self,
        wanted: str | None,
        context: Mapping[str, Scalar],
        uniform: Callable[[], float],
        facts: Mapping[str, Scalar] = NOTHING,
    ) -> Choice:
        """The caller's strategy (or member) if it may choose, else a draw from the policy.

        ``facts`` are what the policy asked for. ``uniform()`` in [0, 1) decides unless assignment is sticky. Raises a
        client error naming the option.
        """
        if wanted is not None:
            return self._callers(wanted)
        source: Source = "policy"
        if self._rules is None:
            p = self._constant or self._weights(context, facts)
        else:
            fired = self._rules.fired(context, facts)
            p = tuple(self._rules.of(fired).tolist())
            source = "policy" if fired is None else "rule"
            self._on_rule("otherwise" if fired is None else str(fired + 1))
        unit = None
        if self.sticky is not None:
            value = context.get(self.sticky)
            if value is None:
                raise InvalidInput(
                    f"Endpoint '{self.name}' assigns by context.{self.sticky}; the request has none. Send it.",
                    path=f"context.{self.sticky}",
                )
            unit = str(value)
            u = unit_uniform(unit, self._salt)
        else:
            u = uniform() if max(p) < 1.0 else 0.0
        return Choice(self.strategies[self.names[draw(p, u)]], source, p, unit, self.state_version, facts)

    def _weights(self, context: Mapping[str, Scalar], facts: Mapping[str, Scalar]) -> tuple[float, ...]:
        return tuple(self.policy.distribution(self._state, context, facts).tolist())

    def _callers(self, wanted: str) -> Choice:
        if self.blind:
            raise Forbidden(
                f"Endpoint '{self.name}' is blind: the caller may not choose a strategy. Leave the option out.",
                path="options.strategy",
            )
        if not self.route.caller_may_choose:
            raise Forbidden(
                f"Endpoint '{self.name}' does not let the caller choose a strategy; set caller_may_choose, or leave "
                "the option out.",
                path="options.strategy",
            )
        strategy = self.strategies.get(wanted) or self._alone.get(wanted)
        if strategy is None:
            raise NotFound(
                f"Endpoint '{self.name}' has no strategy '{wanted[:64]}'; expected one of {', '.join(self.names)}, "
                f"or one of its members: {', '.join(member.name for member in self.pool.members)}.",
                path="options.strategy",
            )
        chosen = tuple(1.0 if name == wanted else 0.0 for name in self.names)
        return Choice(strategy, "caller", chosen, None, self.state_version if strategy.combiner.learns else 0)


def reserve(fallback: Sequence[LoadedStrategy], pool: LoadedPool, rows: int, limit: float) -> float:
    """Seconds of ``limit`` kept for the fallback's members: twice their measured cost and 2 ms, a quarter at most."""
    if not fallback:
        return 0.0
    units = pool.units_for(sorted({p for s in fallback for p in s.positions}))
    cost = sum(unit.cost.of(rows) for unit in units)
    return min(limit / 4, (2 * cost + 2) / 1000)
