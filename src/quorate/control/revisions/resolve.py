"""From names to digests: a configuration and the registry become the routing manifest, or a list of problems."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from quorate import plugins
from quorate.codecs.snapshot import (
    CacheRoute,
    CaptureRoute,
    EndpointRoute,
    JobSettings,
    JournalSettings,
    Limits,
    MemberRoute,
    PolicyRoute,
    PoolRoute,
    PoolRun,
    Prices,
    RecordRoute,
    Routing,
    StrategyRoute,
)
from quorate.control.learning.rewards import reward_route
from quorate.control.revisions.capture_rules import capture_problems
from quorate.control.revisions.looking import looking_problems
from quorate.control.revisions.references import ACCURACY, References
from quorate.control.revisions.resolve_value import resolve_value
from quorate.control.revisions.ruling import Fronts, notices, path_of, policy_problems
from quorate.control.revisions.signatures import differences
from quorate.core.combine.base import Combiner
from quorate.core.combine.weighted import log_odds
from quorate.core.outcomes import OutcomeRules
from quorate.core.plan.all_at_once import AllAtOnce
from quorate.core.plan.stages import stages_of
from quorate.core.types import OutputKind, OutputSpec, Signature, State
from quorate.errors import ConfigError, QuorateError
from quorate.registry.registry import Registry
from quorate.runtimes.lookup import runtime_for
from quorate.spec import Config, ConfigProblems, EndpointSpec, PolicySpec, PoolSpec, Spec, StrategySpec
from quorate.spec.problems import Path
from quorate.spec.rules import (
    endpoint_policy,
    member_weights,
    model_name,
    problems,
    strategy_members,
    strategy_quorum,
)

_LEAST_ERROR = 1e-3
_OUTPUT_KINDS: dict[str, OutputKind] = {"classification": "scores", "regression": "values"}


@dataclass(frozen=True)
class Resolved:
    """The manifest (version 0, revisions 0, no graphs, no keys: publication fills them) and what to tell the user."""

    routing: Routing
    notices: tuple[str, ...]


def resolve(config: Config, registry: Registry) -> Resolved:
    """Resolve every name; raises :class:`ConfigProblems` with all problems at once."""
    resolver = _Resolver(config, registry)
    resolver.problems.extend(problems(config))
    pools = {name: resolver.pool(name) for name in config.spec.pools}
    resolver.one_version_each(pools)
    endpoints = [resolver.endpoint(name, pools) for name in config.spec.endpoints]
    fronts = Fronts(config, {model_name(ref): name for name, pool in config.spec.pools.items() for ref in pool.members})
    resolver.problems.extend(fronts.problems)
    if resolver.problems:
        raise ConfigProblems(resolver.problems)
    spec = config.spec
    return Resolved(
        Routing(
            version=0,
            pools=tuple(pool.route for pool in pools.values() if pool is not None),
            endpoints=tuple(endpoint for endpoint in endpoints if endpoint is not None),
            limits=Limits(**spec.limits.model_dump()),
            journal=msgspec.convert(spec.journal.model_dump(), JournalSettings),
            jobs=JobSettings(**spec.jobs.model_dump()),
            prices=Prices(**spec.prices.model_dump()),
            hosts=spec.server.allowed_hosts,
            runs=_runs(spec),
            memory_budget=spec.memory.budget,
            fronts=fronts.routes(),
        ),
        (*resolver.notices, *fronts.notices),
    )


def _runs(spec: Spec) -> dict[str, PoolRun]:
    runs = {name: _run(pool) for name, pool in spec.pools.items()}
    return {name: run for name, run in runs.items() if run != PoolRun()}


def _run(pool: PoolSpec) -> PoolRun:
    replicas = {name: count for name, count in pool.replicas.items() if count > 1}
    most = pool.max_batch_rows
    rows = dict.fromkeys(map(model_name, pool.members), most) if isinstance(most, int) else most or {}
    return PoolRun(pool.pinned, pool.threads, pool.lanes, replicas, rows)


@dataclass(frozen=True)
class _Pool:
    route: PoolRoute
    accuracies: dict[str, float | None]


class _Resolver:
    def __init__(self, config: Config, registry: Registry) -> None:
        self.config = config
        self._references = References(registry, self._report)
        self.problems: list[ConfigError] = []
        self.notices: list[str] = []
        self._widths: dict[str, int] = {}
        """Of the endpoint at hand: how many features of a row each strategy's combiner looks at."""

    def _report(self, path: Path, message: str) -> None:
        self.problems.append(self.config.origin.problem(path, message))

    def pool(self, name: str) -> _Pool | None:
        """The pool's members at the versions their references mean now; None if one of them is unusable."""
        spec = self.config.spec.pools[name]
        found = [self._references.model(("pools", name, "members", i), ref) for i, ref in enumerate(spec.members)]
        members = [(route, accuracy) for each in found if each is not None for route, accuracy in [each]]
        if len(members) < len(found):
            return None
        first = members[0][0]
        if first.signature.output.kind != _OUTPUT_KINDS[spec.task]:
            self._report(
                ("pools", name, "task"),
                f"pools.{name} is a pool for {spec.task}, whose models answer {_OUTPUT_KINDS[spec.task]}; "
                f"'{first.name}:{first.version}' answers {first.signature.output.kind}. "
                "Change the task or the members.",
            )
            return None
        fits = True
        for i, (route, _) in enumerate(members[1:], 1):
            for difference in differences(first.signature, route.signature):
                fits = False
                self._report(
                    ("pools", name, "members", i),
                    f"pools.{name}: '{route.name}:{route.version}' does not have the signature of "
                    f"'{first.name}:{first.version}': {difference}. "
                    "Train them on the same input and output, or make two pools.",
                )
        if not fits:
            return None
        routes = tuple(route for route, _ in members)
        self._replicas(name, routes)
        return _Pool(
            PoolRoute(name=name, task=spec.task, signature=first.signature, members=routes),
            {route.name: accuracy for route, accuracy in members},
        )

    def _replicas(self, pool: str, members: Sequence[MemberRoute]) -> None:
        """What runs in the worker has no processes of its own to be multiplied."""
        asked = self.config.spec.pools[pool].replicas
        for member in members:
            if member.name in asked and not runtime_for(member.format).isolated:
                self._report(
                    ("pools", pool, "replicas", member.name),
                    f"pools.{pool}.replicas: '{member.name}' ({member.format}) runs in the workers and has no process "
                    "of its own. Remove it; lanes and server.workers say how many runs there may be at once.",
                )

    def one_version_each(self, pools: dict[str, _Pool | None]) -> None:
        """A model is served under its name, so all pools that hold it must hold the same version."""
        seen: dict[str, tuple[str, int]] = {}
        for name, pool in pools.items():
            for i, member in enumerate(pool.route.members if pool else ()):
                other, version = seen.setdefault(member.name, (name, member.version))
                if version != member.version:
                    self._report(
                        ("pools", name, "members", i),
                        f"pools.{name} holds '{member.name}:{member.version}' and pools.{other} holds "
                        f"'{member.name}:{version}'; a model is served under its name, in one version. "
                        "Name the same one.",
                    )

    def endpoint(self, name: str, pools: dict[str, _Pool | None]) -> EndpointRoute | None:
        """The endpoint's strategies and policy, checked by their plugins."""
        spec = self.config.spec.endpoints[name]
        pool = pools.get(spec.pool)
        policy = self._policy(name, spec, endpoint_policy(spec))
        if pool is None or policy is None:
            return None
        policy = self._reward(name, spec, policy, pool.route.signature.output)
        strategies = [self._strategy(name, key, spec, strategy, pool) for key, strategy in spec.strategies.items()]
        for key, message in looking_problems(name, strategies, self._widths, pool.route):
            self._report(("endpoints", name, "strategies", key, "state"), message)
        self._widths.clear()
        if policy.blind and spec.caller_may_choose:
            self.notices.append(f"endpoints.{name} is blind, so callers may not choose the strategy whatever it says.")
        return EndpointRoute(
            name=name,
            revision=0,
            pool=spec.pool,
            strategies=tuple(strategies),
            policy=policy,
            fallback=spec.fallback,
            deadline_ms=spec.deadline_ms,
            caller_may_choose=spec.caller_may_choose,
            on_member_failure=spec.on_member_failure,
            on_full=spec.on_full or ("shed" if policy.reward is not None or _learn(strategies) else "drop"),
            queue_ms=spec.queue_ms,
            max_in_flight=spec.max_in_flight,
            cache=CacheRoute(**spec.cache.model_dump()) if spec.cache is not None else None,
            record=msgspec.convert(spec.record.model_dump(), RecordRoute),
            outcomes=OutcomeRules(**spec.outcomes.model_dump()),
            value=resolve_value(name, spec, pool.route.signature.output, self._report),
            capture=self._capture(name, spec, policy, pool.route.signature),
        )

    def _capture(self, name: str, spec: EndpointSpec, policy: PolicyRoute, signature: Signature) -> CaptureRoute | None:
        if spec.capture is None:
            return None
        for path, message in capture_problems(name, spec.capture, signature, blind=policy.blind):
            self._report(("endpoints", name, "capture", *path), message)
        settings = spec.capture.model_dump(exclude={"redact"})
        columns = spec.capture.redact.columns if spec.capture.redact is not None else {}
        return msgspec.convert({**settings, "columns": columns}, CaptureRoute)

    def _policy(self, endpoint: str, spec: EndpointSpec, policy: PolicySpec | None) -> PolicyRoute | None:
        if policy is None:
            return None
        path: Path = ("endpoints", endpoint, "policy")
        params = policy.params()
        try:
            plugin = plugins.load("policies", policy.kind)
            built = plugin(tuple(spec.strategies), msgspec.convert(params, plugin.Params))
            built.check()
            pool = self.config.spec.pools.get(spec.pool)
            members = tuple(map(model_name, pool.members)) if pool is not None else ()
            for inner, message in policy_problems(built, members) if pool is not None else ():
                self._report((*path, *inner), f"endpoints.{endpoint}.policy: {message}")
        except (QuorateError, msgspec.ValidationError) as error:
            self._plugin_problem(path, error)
        else:
            self.notices.extend(notices(endpoint, spec, built, blind=policy.blind))
            self._record(endpoint, spec, policy, learns=plugin.learns)
        sticky = None if policy.sticky is None else policy.sticky.removeprefix("context.")
        return PolicyRoute(kind=policy.kind, params=params, blind=policy.blind, sticky=sticky)

    def _reward(self, endpoint: str, spec: EndpointSpec, policy: PolicyRoute, output: OutputSpec) -> PolicyRoute:
        """What the policy learns from, if it learns."""
        path: Path = ("endpoints", endpoint, "policy", "reward")
        declared = endpoint_policy(spec)
        asked = None if declared is None else declared.reward
        if not plugins.load("policies", policy.kind).learns:
            if asked is not None:
                self._report(path, f"endpoints.{endpoint}.policy: '{policy.kind}' does not learn. Remove reward.")
            return policy
        try:
            return msgspec.structs.replace(policy, reward=reward_route(asked, output, valued=spec.value is not None))
        except ConfigError as error:
            self._plugin_problem(path, error)
            return policy

    def _record(self, endpoint: str, spec: EndpointSpec, policy: PolicySpec, *, learns: bool) -> None:
        """What is not recorded cannot be learned from, or compared by."""
        record, path = spec.record, ("endpoints", endpoint, "record")
        if learns and record.sample < 1:
            self._report(
                (*path, "sample"),
                f"endpoints.{endpoint}.record.sample is {record.sample:g}, but its policy '{policy.kind}' learns from "
                "whole decisions. Set it to 1, or take a policy that does not learn.",
            )
        removed = sorted(key for key, how in record.redact.items() if how == "remove")
        if learns and removed:
            self._report(
                (*path, "redact", removed[0]),
                f"endpoints.{endpoint}.record.redact removes '{removed[0]}', but its policy '{policy.kind}' learns "
                "from the context. Set it to hash, or take a policy that does not learn.",
            )
        if policy.sticky is not None and policy.sticky.removeprefix("context.") in removed:
            self.notices.append(
                f"endpoints.{endpoint} assigns by {policy.sticky} and does not record it, so decisions cannot be "
                "grouped by unit; with 'hash' they could."
            )

    def _strategy(
        self, endpoint: str, name: str, spec: EndpointSpec, strategy: StrategySpec, pool: _Pool
    ) -> StrategyRoute:
        path: Path = ("endpoints", endpoint, "strategies", name)
        members = strategy_members(strategy, [member.name for member in pool.route.members])
        before = len(self.problems)
        params = self._params(path, strategy, members, pool)
        files, state = (
            (None, None) if strategy.state is None else self._references.state((*path, "state"), strategy.state)
        )
        plan: tuple[str, tuple[tuple[str, ...], ...]] = (AllAtOnce.kind, ())
        if members and len(self.problems) == before:
            plan = self._check(path, strategy.kind, params, members, pool.route.signature.output, state)
        return StrategyRoute(
            name=name,
            kind=strategy.kind,
            members=members,
            quorum=strategy_quorum(strategy, spec),
            params=params,
            plan=plan[0],
            state=files,
            interpretable=strategy.interpretable,
            stages=plan[1],
        )

    def _check(
        self,
        path: Path,
        kind: str,
        params: dict[str, Any],
        members: Sequence[str],
        output: OutputSpec,
        state: State | None,
    ) -> tuple[str, tuple[tuple[str, ...], ...]]:
        """The kind of its plan, and the stages of one that has several."""
        try:
            plugin = plugins.load("combiners", kind)
            combiner: Combiner = plugin(msgspec.convert(params, plugin.Params))
            combiner.check(members, output, state)
            self._widths[str(path[-1])] = combiner.feature_width(state)
            plan = combiner.plan(members, state)
        except (QuorateError, msgspec.ValidationError) as error:
            self._plugin_problem(path, error)
            return AllAtOnce.kind, ()
        if isinstance(plan, AllAtOnce):
            return plan.kind, ()
        return plan.kind, tuple(tuple(members[j] for j in stage) for stage in stages_of(members, state))

    def _params(self, path: Path, strategy: StrategySpec, members: Sequence[str], pool: _Pool) -> dict[str, Any]:
        params = strategy.params()
        weights = member_weights(strategy)
        if isinstance(weights, dict):
            params["weights"] = [weights.get(name, 0.0) for name in members]
        elif weights == "log-odds":
            params["weights"] = self._log_odds((*path, "weights"), members, pool)
        return params

    def _log_odds(self, path: Path, members: Sequence[str], pool: _Pool) -> list[float]:
        classes = len(pool.route.signature.output.classes)
        if classes < 2:
            self._report(path, f"log-odds weights need classes; pools.{pool.route.name} has none. List the weights.")
            return []
        for name in members:
            if pool.accuracies[name] is None:
                self._report(
                    path,
                    f"log-odds weights are computed from the metric '{ACCURACY}' of the models; '{name}' has none. "
                    "Register it with that metric, or list the weights.",
                )
        known = [accuracy for name in members if (accuracy := pool.accuracies[name]) is not None]
        # A perfect score on held-out rows would weigh infinitely much.
        inside = np.clip(np.array(known, np.float64), _LEAST_ERROR, 1 - _LEAST_ERROR)
        weights: list[float] = log_odds(inside, classes).tolist()
        return weights

    def _plugin_problem(self, path: Path, error: QuorateError | msgspec.ValidationError) -> None:
        named = error.path if isinstance(error, QuorateError) else None
        where = ".".join(str(part) for part in path)
        inner = f"{named}: " if named is not None and named.endswith(".when") else ""  # columns are of that text
        self._report((*path, *path_of(named or "")), f"{where}: {inner}{error}")


def _learn(strategies: Iterable[StrategyRoute]) -> bool:
    """Whether a combiner among them learns; one that there is not has been reported."""
    kinds = {strategy.kind for strategy in strategies} & set(plugins.names("combiners"))
    return any(plugins.load("combiners", kind).learns for kind in kinds)
