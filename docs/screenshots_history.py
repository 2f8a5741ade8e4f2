"""Days of simulated traffic for the pictures: decisions as a real server made them, spread over the days before now.

The journal is written with the product's own codecs, so that control reads it as it reads any other when it starts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from quorate.clock import SystemClock
from quorate.codecs import decision as decision_codec
from quorate.codecs import outcome as outcome_codec
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.control.revisions.apply import apply
from quorate.core.types import Decision, Outcome
from quorate.home import Home
from quorate.ids import DecisionId
from quorate.registry.registry import Registry
from quorate.store import usage
from quorate.store.database import Database
from quorate.store.usage import UsageKey, Used

DAYS, DECISIONS, SLOT, SALT = 6, 24_000, 9, 5
DAY, HOUR, MIB = 86_400.0, 3600.0, 2**20
POLICIES = (
    (-5.6, {"soft-vote": 1, "weighted": 1, "hard-vote": 1}),
    (-1.8, {"soft-vote": 1, "weighted": 1, "stacking": 2}),
)
"""Days before now, and the weights of the split that is applied then."""
SETTINGS = {
    "outcomes": {
        "precedence": ["ground_truth", "expert", "user"],
        "correction_s": 259_200,
        "expected_within_s": 172_800,
    },
    "value": {"correct": 1.0, "error": -5.0, "per_ms": -0.02, "rewards": {"revenue": 1.0}, "absent": {"revenue": 0.0}},
    "capture": {"sample": 0.5, "keep_days": 14, "keep_bytes": "2GiB"},
    "record": {"redact": {"user_id": "hash"}},
}
PRICES = {"currency": "EUR", "cpu_hour": 0.04, "gib_hour": 0.005}


@dataclass
class At:
    """A clock that stands still."""

    time: float

    def now(self) -> float:
        """Unix seconds."""
        return self.time

    def monotonic(self) -> float:
        """The same."""
        return self.time


@dataclass
class Writer:
    """Records of one slot, in the order of time."""

    records: list[tuple[float, Callable[[int], bytes]]] = field(default_factory=list)

    def write(self, home: Home) -> None:
        """One segment with all of them."""
        self.records.sort(key=lambda each: each[0])
        path = home.journal / str(SLOT) / segment_name(0, 0)
        path.parent.mkdir(parents=True, exist_ok=True)
        data = bytearray(encode_header(Header(SLOT, 0, 0, int(self.records[0][0] * 1e9), SALT)))
        for sequence, (_, made) in enumerate(self.records):
            data += made(sequence)
        path.write_bytes(data)


def configure(project: Path, weights: Mapping[str, float]) -> None:
    """``quorate.yaml`` with such a split, and everything that the pages tell of."""
    import yaml

    path = project / "quorate.yaml"
    config = yaml.safe_load(path.read_text("utf-8"))
    config["endpoints"]["digits"] |= {**SETTINGS, "policy": {"kind": "split", "weights": dict(weights)}}
    config["prices"] = PRICES
    path.write_text(json.dumps(config, indent=1), "utf-8")


def simulate(project: Path, asked: list[tuple[Decision, str]], *, seed: int = 3) -> int:
    """Write the history of a project that was never served, from decisions and their truths; how many there are."""
    rng, now = np.random.default_rng(seed), SystemClock().now()
    home = Home(project)
    registry, database = Registry(home.registry, SystemClock()), Database(home.store_url)
    database.migrate()
    revisions = []
    for days, weights in POLICIES:
        configure(project, weights)
        done = apply(home, registry, database, author="ada", clock=At(now + days * DAY))
        revisions.append((now + days * DAY, done.revisions["digits"], weights))
    writer = Writer()
    moments = [*_moments(rng, revisions[0][0] + 60, now - 60)]
    for arrived in moments:
        _decide(rng, writer, asked, arrived, [each for each in revisions if each[0] <= arrived][-1], now)
    writer.write(home)
    _use(rng, database, revisions, now)
    database.close()
    return len(moments)


def _moments(rng: np.random.Generator, begin: float, end: float) -> Iterator[float]:
    """Times of requests, more by day than by night."""
    moments = np.sort(rng.uniform(begin, end, 2 * DECISIONS))
    busy = 0.55 - 0.4 * np.cos(2 * np.pi * (moments % DAY) / DAY)
    yield from moments[rng.random(len(moments)) < busy].tolist()


def _decide(
    rng: np.random.Generator,
    writer: Writer,
    asked: list[tuple[Decision, str]],
    arrived: float,
    revision: tuple[float, int, Mapping[str, float]],
    now: float,
) -> None:
    _, number, weights = revision
    names, total = sorted(weights), sum(weights.values())
    shares = [weights[name] / total for name in names]
    name = names[int(rng.choice(len(names), p=shares))]
    fitting = [each for each in asked if each[0].assigned == name]
    made, truth = fitting[int(rng.integers(len(fitting)))]
    ids: list[str] = []
    latency = made.latency_ms * float(rng.lognormal(0.0, 0.35))

    def decided(sequence: int) -> bytes:
        ids.append(str(DecisionId(int(arrived * 1000), SLOT, 0, sequence)))
        changed = made._replace(
            id=ids[0], revision=number, arrived=arrived, latency_ms=latency, strategies=tuple(names),
            propensities=tuple(shares), capture=None,
        )  # fmt: skip
        return encode_record(RecordKind.DECISION, sequence, decision_codec.encode(changed), SALT)

    writer.records.append((arrived, decided))
    right = made.answer is not None and made.classes[int(made.answer[0].argmax())] == truth
    for outcome in _outcomes(rng, arrived, truth, right):
        if outcome.received < now:
            writer.records.append((outcome.received, _told(ids, outcome)))


def _told(ids: list[str], outcome: Outcome) -> Callable[[int], bytes]:
    def told(sequence: int) -> bytes:
        known = Outcome(
            ids[0], 0, outcome.truth, outcome.rewards, outcome.source, outcome.received, outcome.received
        )  # fmt: skip
        return encode_record(RecordKind.OUTCOME, sequence, outcome_codec.encode(known), SALT)

    return told


def _outcomes(rng: np.random.Generator, arrived: float, truth: str, right: bool) -> Iterator[Outcome]:
    """Users tell soon and are sometimes wrong, experts tell late and are right; a sale follows right answers."""
    if rng.random() < 0.62:
        said = str((int(truth) + 1) % 10) if rng.random() < 0.04 else truth
        at = arrived + float(rng.exponential(2.5 * HOUR))
        yield Outcome("", 0, said, source="user", received=at)
        if said != truth and rng.random() < 0.5:
            yield Outcome("", 0, truth, source="user", received=at + float(rng.exponential(20 * HOUR)))
    if rng.random() < 0.14:
        yield Outcome("", 0, truth, source="expert", received=arrived + 4 * HOUR + float(rng.exponential(16 * HOUR)))
    if rng.random() < (0.3 if right else 0.08):
        sale = {"revenue": round(float(rng.gamma(2.0, 1.6)), 2)}
        yield Outcome("", 0, rewards=sale, source="ground_truth", received=arrived + float(rng.exponential(HOUR)))


def _use(rng: np.random.Generator, database: Database, revisions: list[Any], now: float) -> None:
    """What serving took: processors, memory and runs, minute by minute."""
    used = {}
    for minute in range(int(revisions[0][0] // 60) + 1, int(now // 60)):
        later = minute * 60 > revisions[-1][0]
        busy = 0.55 - 0.4 * np.cos(2 * np.pi * (minute * 60 % DAY) / DAY)
        cpu = busy * (0.042 if later else 0.036) + float(rng.normal(0, 0.001))
        memory = (412 if later else 398) * MIB * 60
        used[UsageKey(minute, usage.WORKER, "worker 0")] = Used(60.0, max(cpu, 0.002), memory)
        used[UsageKey(minute, usage.POOL, "digits")] = Used(60.0, 0.0, 88.0 * MIB * 60, cpu / 2, 4 * busy, 0.0)
        used[UsageKey(minute, usage.ENDPOINT, "digits")] = Used(60.0, requests=4 * busy)
    with database.begin() as connection:
        usage.add(connection, used)
