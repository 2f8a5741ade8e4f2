"""The learner: what becomes known about decisions goes to their endpoint's policy, and to combiners that learn, once;
and what they have learned goes to the workers.

It works inside the transaction that joins outcomes with decisions, so that a crash loses nothing and repeats nothing;
what it publishes afterwards is a copy.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import msgspec
import sqlalchemy as sa

from quorate import plugins
from quorate.clock import Clock
from quorate.codecs import learned, snapshot
from quorate.codecs.decision import Summary
from quorate.codecs.learned import Known, Learned
from quorate.codecs.snapshot import EndpointRoute, PoolRoute, Routing
from quorate.control.learning import recording
from quorate.control.learning.adapting import Adapting, adapting
from quorate.control.learning.answering import LoggedRevision, ReadBlob
from quorate.control.learning.combining import Combining, Lesson, Sight, combining, learned_rows
from quorate.control.learning.feedback import FAILED, LEARNED, OTHER_POLICY, feedback, watched
from quorate.control.learning.recording import Lessons
from quorate.control.learning.trusting import keep, moved
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
from quorate.store.lessons import BEGAN

log = logging.getLogger("quorate.control")


class Learning:
    """One endpoint that learns, by its policy or by combiners of its strategies, as it is served now.

    ``reward`` is None where the policy does not learn.
    """

    def __init__(self, endpoint: EndpointRoute, pool: PoolRoute) -> None:
        self.name = endpoint.name
        self.reward = endpoint.policy.reward
        self.combining: tuple[Combining | Adapting, ...] = (*combining(endpoint, pool), *adapting(endpoint, pool))
        own = [(each.name, each.key) for each in self.combining]
        self.key = learned.key(endpoint, pool) if self.reward is not None else learned.hashed(own)
        self.arms = learned.arms(endpoint, pool)
        names = tuple(strategy.name for strategy in endpoint.strategies)
        self.policy: Policy = plugins.build("policies", endpoint.policy.kind, endpoint.policy.params, names)
        self.watches = self.policy.watches or any(each.combiner.watches for each in self.combiners)

    @property
    def combiners(self) -> tuple[Combining, ...]:
        """The combiners that learn, without the coverages that adapt."""
        return tuple(each for each in self.combining if isinstance(each, Combining))

    def begin(self, before: StoredLearner | None, now: float) -> StoredLearner:
        """The learner to go on with: the stored one; where that learned for another policy, a new one, whose combiners
        go on with what they know of the same members."""
        if before is not None and before.key == self.key:
            return before
        known = {} if before is None else learned.unpack(before.state).combiners
        return self.anew(before, now, known)

    def anew(
        self, before: StoredLearner | None, now: float, known: Mapping[str, Known] = MappingProxyType({})
    ) -> StoredLearner:
        """A learner that knows nothing yet, or what combiners knew, in the place of the one before."""
        version = 0 if before is None else before.version
        fresh = StoredLearner(self.name, self.key, version, b"", now, now)
        return self.after(fresh, self.policy.initial(), now, self._own(known))

    def state(self, stored: StoredLearner | None) -> State:
        """What the policy has learned."""
        return self.policy.initial() or learned.NOTHING if stored is None else learned.unpack(stored.state).state

    def known(self, stored: StoredLearner | None) -> Mapping[str, Known]:
        """What the combiners have learned."""
        return self._own(learned.unpack(stored.state).combiners) if self.combining and stored is not None else {}

    def lessons(self, revision: LoggedRevision, joined: Sequence[Joined]) -> dict[str, list[Lesson]]:
        """What decisions made under a revision teach the combiners, by strategy."""
        return {each.name: each.lessons(revision, joined) for each in self.combining}

    def taught(
        self, known: Mapping[str, Known], lessons: Mapping[str, Sequence[Lesson]], *, shown: bool = True
    ) -> dict[str, Known]:
        """What the combiners know after lessons, by strategy; ``shown`` is as in :meth:`Combining.learn`."""
        combining = self.combining
        after = {
            each.name: each.learn(each.state(known), lessons.get(each.name, ()), shown=shown) for each in combining
        }
        return self._knowing(after)

    def sights(self, revision: LoggedRevision, decided: Sequence[Summary]) -> dict[str, Sight]:
        """What combiners that watch see of decisions made under a revision, by strategy."""
        found = {each.name: each.sight(revision, decided) for each in self.combiners}
        return {name: sight for name, sight in found.items() if sight is not None}

    def shown(self, known: Mapping[str, Known], sights: Mapping[str, Sight]) -> dict[str, Known]:
        """What the combiners know after they have seen decisions, by strategy."""
        states = {each.name: each.state(known) for each in self.combining}
        seen = {
            each.name: each.watch(states[each.name], sights[each.name])
            for each in self.combiners
            if each.name in sights
        }
        return self._knowing(states | seen)

    def _knowing(self, states: Mapping[str, State | None]) -> dict[str, Known]:
        keys = {each.name: each.key for each in self.combining}
        return {name: Known(keys[name], state) for name, state in states.items() if state is not None}

    def after(
        self,
        before: StoredLearner,
        state: State | None,
        now: float,
        combiners: Mapping[str, Known] = MappingProxyType({}),
    ) -> StoredLearner:
        """The learner with new states; its version is the next one."""
        version = before.version + 1
        packed = learned.pack(Learned(self.name, self.key, version, state or learned.NOTHING, combiners))
        return replace(before, version=version, state=packed, updated=now)

    def _own(self, known: Mapping[str, Known]) -> dict[str, Known]:
        return {each.name: known[each.name] for each in self.combining if each.state(known) is not None}


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
        lessons: dict[str, dict[str, list[Lesson]]] = defaultdict(lambda: defaultdict(list))
        recorded: dict[str, Lessons] = defaultdict(Lessons)
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for (name, number), some in by.items():
            learning = served[name]
            found = self._revision(connection, name, number)
            taught = {} if found is None else learning.lessons(found[1], some)
            if found is not None and learning.combiners:
                recorded[name].add(some)
            for strategy, rows in taught.items():
                lessons[name][strategy] += rows
            if learning.reward is None:
                counts[name] += learned_rows(some, taught)
            elif found is None or found[0] != learning.key:
                counts[name][OTHER_POLICY] += sum(bool(new) for each in some for new in each.new.values())
            else:
                revision = self._knowing(connection, learning, found[1])
                told[name].append(feedback(revision, learning.reward, some, counts[name]))
        for name in counts:
            columns = joined_columns(told[name]).by_time() if told[name] else ()
            self._advance(connection, served[name], columns, counts[name], lessons[name], recorded.get(name))

    def watcher(self) -> Watcher:
        """Of the endpoints whose policy also learns from latency and errors, or whose combiners watch."""
        watching = {name for name, learning in self._learning().items() if learning.watches}
        return _Watching(self, watching) if watching else LOOKS_AWAY

    def watch(self, connection: sa.Connection, decided: Sequence[Summary]) -> None:
        """Learn from decisions of which no reward is known yet."""
        served = self._learning()
        by: dict[tuple[str, int], list[Summary]] = defaultdict(list)
        for each in decided:
            if each.endpoint in served:
                by[each.endpoint, each.revision].append(each)
        told: dict[str, list[Feedback]] = defaultdict(list)
        for (name, number), some in by.items():
            learning, found = served[name], self._revision(connection, name, number)
            if found is None:
                continue
            self._show(connection, learning, learning.sights(found[1], some), some)
            if learning.policy.watches and found[0] == learning.key:
                for each in some:
                    if each.source != "caller":
                        told[name] += watched(each, learning.policy.strategies)
        for name, rows in told.items():
            self._advance(connection, served[name], sorted(rows, key=lambda each: each.at), Counter())

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
        """Endpoints that learn, by name, as they are served now."""
        version = snapshot.current_version(self._home.snapshot)
        if version != self._served[0]:
            try:
                routing = snapshot.read(self._home.snapshot)
            except NotReady:
                return {}
            self._served = (routing.version, dict(_learning(routing)))
        return self._served[1]

    def _revision(self, connection: sa.Connection, name: str, number: int) -> tuple[str, LoggedRevision] | None:
        """The revision, and for which policy what is learned from it holds."""
        at = (name, number)
        if at not in self._revisions:
            try:
                revision = LoggedRevision.load(connection, name, number, self._read)
            except NotFound:
                return None
            if len(self._revisions) > 1000:
                self._revisions.clear()
            self._revisions[at] = (learned.key(revision.endpoint, revision.pool), revision)
        return self._revisions[at]

    def _knowing(self, connection: sa.Connection, learning: Learning, revision: LoggedRevision) -> LoggedRevision:
        """The revision with what its combiners know before they learn from it, so that strategies are scored fairly."""
        if not learning.combining:
            return revision
        known = learning.known(learners.learner(connection, learning.name))
        return revision.knowing({each.name: each.state(known) for each in learning.combining})

    def _advance(
        self,
        connection: sa.Connection,
        learning: Learning,
        told: Sequence[Feedback],
        counts: Counter[str],
        lessons: Mapping[str, Sequence[Lesson]] = MappingProxyType({}),
        recorded: Lessons | None = None,
    ) -> None:
        """Learn what was told, oldest first; ``recorded`` is what goes on record of the lessons."""
        now = self._clock.now()
        before = learners.learner(connection, learning.name)
        stored = begun = learning.begin(before, now)
        if begun is not before:
            recording.began(connection, learning, begun, BEGAN)
        if told or any(lessons.values()):
            try:
                state = learning.state(stored)
                if told:
                    state = learning.policy.learn(state, told) or state
                known = learning.taught(learning.known(stored), lessons)
                told_of = moved(learning.combiners, known, lessons, now)
                stored = learning.after(stored, state, now, known)
            except Exception:  # a plugin's code must not hold up the journals
                failed = max(len(told), *map(len, lessons.values()), 0)
                log.exception("Endpoint '%s' could not learn from %d rows", learning.name, failed)
                counts = Counter({**counts, LEARNED: 0, FAILED: failed})
            else:
                keep(connection, learning.name, told_of)
                recording.taught(connection, learning, begun, stored, recorded)
        learners.put(connection, stored.counting(counts))

    def _show(
        self, connection: sa.Connection, learning: Learning, sights: Mapping[str, Sight], decided: Sequence[Summary]
    ) -> None:
        """Show decisions to combiners that know something already."""
        before = learners.learner(connection, learning.name) if sights else None
        if before is None or before.key != learning.key:
            return
        known = learning.known(before)
        try:
            after = learning.shown(known, sights)
        except Exception:  # a plugin's code must not hold up the journals
            log.exception("Endpoint '%s' could not learn from decisions that were shown", learning.name)
            return
        if any(after[name].state is not each.state for name, each in known.items()):
            stored = learning.after(before, learning.state(before), self._clock.now(), after)
            learners.put(connection, stored)
            recording.seen(connection, learning, before, stored, decided)


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


def learns(endpoint: EndpointRoute, pool: PoolRoute) -> bool:
    """Whether there is something that an endpoint learns, by its policy or by a combiner."""
    try:
        learning = Learning(endpoint, pool)
    except Exception:  # a plugin's code, or one that is not installed here
        return False
    return learning.reward is not None or bool(learning.combining)


def served(routing: Routing, name: str) -> Learning | None:
    """The endpoint of that name, if it is served and learns."""
    some = tuple(endpoint for endpoint in routing.endpoints if endpoint.name == name)
    return dict(_learning(msgspec.structs.replace(routing, endpoints=some))).get(name)


def _learning(routing: Routing) -> Iterator[tuple[str, Learning]]:
    pools = {pool.name: pool for pool in routing.pools}
    for endpoint in routing.endpoints:
        try:
            learning = Learning(endpoint, pools[endpoint.pool])
        except Exception as error:  # a plugin's code, or one that is not installed here
            log.error("The policy of '%s' does not learn: %r", endpoint.name, error)
            continue
        if learning.reward is not None or learning.combining:
            yield endpoint.name, learning
