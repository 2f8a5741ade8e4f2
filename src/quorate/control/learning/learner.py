"""The learner: what becomes known about decisions goes to their endpoint's policy, once, and its state to the workers.

It works inside the transaction that joins outcomes with decisions, so that a crash loses nothing and repeats nothing;
what it publishes afterwards is a copy.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import cast

import msgspec
import sqlalchemy as sa

from quorate import plugins
from quorate.clock import Clock
from quorate.codecs import learned, snapshot
from quorate.codecs.decision import Summary
from quorate.codecs.learned import Learned
from quorate.codecs.snapshot import EndpointRoute, PoolRoute, RewardRoute, Routing
from quorate.control.learning.answering import LoggedRevision, ReadBlob
from quorate.control.learning.feedback import FAILED, LEARNED, OTHER_POLICY, feedback, watched
from quorate.control.outcomes.joined import LOOKS_AWAY, Joined, Listener, Watcher
from quorate.core.select.base import Feedback, Policy
from quorate.core.select.columns import FeedbackColumns
from quorate.core.select.columns import joined as joined_columns
from quorate.core.types import State
from quorate.errors import NotFound, NotReady, QuorateError
from quorate.home import Home
from quorate.store import learners
from quorate.store.database import Database
from quorate.store.learners import StoredLearner

log = logging.getLogger("quorate.control")


class Learning:
    """One endpoint whose policy learns, as it is served now."""

    def __init__(self, endpoint: EndpointRoute, pool: PoolRoute, reward: RewardRoute) -> None:
        self.name = endpoint.name
        self.key = learned.key(endpoint, pool)
        self.arms = learned.arms(endpoint, pool)
        self.reward = reward
        names = tuple(strategy.name for strategy in endpoint.strategies)
        self.policy: Policy = plugins.build("policies", endpoint.policy.kind, endpoint.policy.params, names)

    def begin(self, before: StoredLearner | None, now: float) -> StoredLearner:
        """The learner to go on with: the stored one, or a new one where that learned for another policy."""
        return before if before is not None and before.key == self.key else self.anew(before, now)

    def anew(self, before: StoredLearner | None, now: float) -> StoredLearner:
        """A learner that knows nothing yet, in the place of the one before."""
        version = 0 if before is None else before.version
        return self.after(StoredLearner(self.name, self.key, version, b"", now, now), self.policy.initial(), now)

    def state(self, stored: StoredLearner | None) -> State:
        """What a learner knows."""
        return cast(State, self.policy.initial()) if stored is None else learned.unpack(stored.state).state

    def after(self, before: StoredLearner, state: State | None, now: float) -> StoredLearner:
        """The learner with a new state; its version is the next one."""
        version = before.version + 1
        packed = learned.pack(Learned(self.name, self.key, version, cast(State, state)))
        return replace(before, version=version, state=packed, updated=now)


class Learner(Listener):
    """Learns for all endpoints of a project; one at a time, by the ingest lock."""

    def __init__(self, home: Home, database: Database, read: ReadBlob, clock: Clock) -> None:
        self._home = home
        self._database = database
        self._clock = clock
        self._served: tuple[int | None, dict[str, Learning]] = (None, {})
        self._published: dict[str, int] | None = None
        self._read = read
        self._revisions: dict[tuple[str, int], tuple[str, LoggedRevision]] = {}

    def learn(self, connection: sa.Connection, joined: Sequence[Joined]) -> None:
        """Learn from rows of which something became known; keeps the new states in the same transaction."""
        served = self._learning()
        if not served:
            return
        by: dict[tuple[str, int], list[Joined]] = defaultdict(list)
        for each in joined:
            if each.decision.endpoint in served:
                by[each.decision.endpoint, each.decision.revision].append(each)
        told: dict[str, list[FeedbackColumns]] = defaultdict(list)
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for (name, number), some in by.items():
            learning = served[name]
            revision = self._revision(connection, name, number, learning.key)
            if revision is None:
                counts[name][OTHER_POLICY] += sum(bool(new) for each in some for new in each.new.values())
                continue
            told[name].append(feedback(revision, learning.reward, some, counts[name]))
        for name in counts:
            self._advance(
                connection, served[name], joined_columns(told[name]).by_time() if told[name] else (), counts[name]
            )

    def watcher(self) -> Watcher:
        """Of the endpoints whose policy also learns from latency and errors."""
        watching = {name for name, learning in self._learning().items() if learning.policy.watches}
        return _Watching(self, watching) if watching else LOOKS_AWAY

    def watch(self, connection: sa.Connection, decided: Sequence[Summary]) -> None:
        """Learn from decisions of which no reward is known yet."""
        served = self._learning()
        told: dict[str, list[Feedback]] = defaultdict(list)
        for each in decided:
            learning = served.get(each.endpoint)
            if learning is None or each.source == "caller":
                continue
            if self._revision(connection, each.endpoint, each.revision, learning.key) is not None:
                told[each.endpoint] += watched(each, learning.policy.strategies)
        for name, some in told.items():
            self._advance(connection, served[name], sorted(some, key=lambda each: each.at), Counter())

    def publish(self) -> None:
        """Let the workers have what the store has and they do not; call it again and again, by the ingest lock.

        So what a crash kept back is published at the next start, and what an operator reset at once.
        """
        if self._published is None or learned.stamp(self._home.learned) is None:
            try:
                self._published = learned.versions(self._home.learned)
            except QuorateError as error:
                log.error("%s", error)
                self._published = {}
        with self._database.read() as connection:
            versions = learners.versions(connection)
            if versions == self._published:
                return
            changed = [name for name in versions if self._published.get(name) != versions[name]]
            found = [learners.learner(connection, name) for name in changed]
        learned.write(self._home.learned, {s.endpoint: s.state for s in found if s is not None}, versions)
        self._published = versions

    def _learning(self) -> dict[str, Learning]:
        """Endpoints whose policy learns, by name, as they are served now."""
        version = snapshot.current_version(self._home.snapshot)
        if version != self._served[0]:
            try:
                routing = snapshot.read(self._home.snapshot)
            except NotReady:
                return {}
            self._served = (routing.version, dict(_learning(routing)))
        return self._served[1]

    def _revision(self, connection: sa.Connection, name: str, number: int, key: str) -> LoggedRevision | None:
        """The revision, if what is learned from it holds for the policy that is served."""
        at = (name, number)
        if at not in self._revisions:
            try:
                revision = LoggedRevision.load(connection, name, number, self._read)
            except NotFound:
                return None
            if len(self._revisions) > 1000:
                self._revisions.clear()
            self._revisions[at] = (learned.key(revision.endpoint, revision.pool), revision)
        found, revision = self._revisions[at]
        return revision if found == key else None

    def _advance(
        self, connection: sa.Connection, learning: Learning, told: Sequence[Feedback], counts: Counter[str]
    ) -> None:
        """Learn what was told, oldest first."""
        now = self._clock.now()
        stored = learning.begin(learners.learner(connection, learning.name), now)
        if told:
            try:
                state = learning.policy.learn(learning.state(stored), told)
                stored = learning.after(stored, state, now)
            except Exception:  # a plugin's code must not hold up the journals
                log.exception("The policy of '%s' could not learn from %d rows", learning.name, len(told))
                counts = Counter({**counts, LEARNED: 0, FAILED: len(told)})
        learners.put(connection, stored.counting(counts))


class _Watching(Watcher):
    """Collects the decisions of some endpoints for the learner."""

    def __init__(self, learner: Learner, endpoints: Collection[str]) -> None:
        self._learner = learner
        self._endpoints = endpoints
        self._seen: list[Summary] = []

    def see(self, decided: Summary) -> None:
        if decided.endpoint in self._endpoints:
            self._seen.append(decided)

    def keep(self, connection: sa.Connection) -> None:
        if self._seen:
            self._learner.watch(connection, self._seen)


def served(routing: Routing, name: str) -> Learning | None:
    """The endpoint of that name, if it is served and its policy learns."""
    some = tuple(endpoint for endpoint in routing.endpoints if endpoint.name == name)
    return dict(_learning(msgspec.structs.replace(routing, endpoints=some))).get(name)


def _learning(routing: Routing) -> Iterator[tuple[str, Learning]]:
    pools = {pool.name: pool for pool in routing.pools}
    for endpoint in routing.endpoints:
        if endpoint.policy.reward is not None:
            try:
                yield endpoint.name, Learning(endpoint, pools[endpoint.pool], endpoint.policy.reward)
            except Exception as error:  # a plugin's code, or one that is not installed here
                log.error("The policy of '%s' does not learn: %r", endpoint.name, error)
