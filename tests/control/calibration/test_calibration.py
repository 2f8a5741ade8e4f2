"""Reliability on recent outcomes, the standing check, and refits: new versions, revisions, audit entries."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import httpx
import numpy as np
import pytest

from quorate.cli import main
from quorate.clock import SystemClock
from quorate.codecs import decision as decision_codec
from quorate.codecs import outcome as outcome_codec
from quorate.codecs import snapshot
from quorate.codecs import state as state_codec
from quorate.codecs.journal import Header, RecordKind, encode_header, encode_record, segment_name
from quorate.codecs.lookup import JournalReader
from quorate.control.access import Access
from quorate.control.api import Services, create_app
from quorate.control.calibration.known import UNTIL, Gathering, KnownRows, logged
from quorate.control.calibration.refitting import AUTHOR, Refitter, fitted
from quorate.control.calibration.reliability import served
from quorate.control.learning.answering import LoggedStrategy
from quorate.control.listening import catch_up
from quorate.core.calibrate.ece import of_answers
from quorate.core.calibrate.methods import calibrate, fit, strategy_of
from quorate.core.combine.cascade import Cascade
from quorate.core.combine.mean import Mean
from quorate.core.erasing import mark
from quorate.core.plan.cascade import CascadePlan
from quorate.core.plan.trace import trace
from quorate.core.types import Decision, MemberRun, Outcome, State, Status
from quorate.errors import Conflict, InvalidInput, NotFound
from quorate.ids import DecisionId
from quorate.registry.manifest import Manifest
from quorate.store.audit import entries
from quorate.training.conformal import fit_conformal
from tests.training import cascades

TEXT = """\
pools:
  letters: {task: classification, members: [a, b]}
  numbers: {task: regression, members: [n]}
endpoints:
  main:
    pool: letters
    strategies:
      sure: {kind: mean, calibrate: sure, refit: auto}
      plain: {kind: mean}
      one: {kind: single, member: a}
    policy: {kind: split, weights: {sure: 1, plain: 1}}
    caller_may_choose: true
  values: {pool: numbers, strategies: {only: {kind: mean}}}
"""
LEARNING = TEXT.replace("      one: ", "      online: {kind: online}\n      one: ")
RNG = np.random.default_rng(8)


def drawn(n: int, rng: np.random.Generator, sharpened: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Members' outputs ``[n, 2, 2]``, too sure by an exponent, and truths drawn from what they should be."""
    chance = rng.uniform(0.02, 0.98, size=n)
    powers = chance**sharpened / (chance**sharpened + (1 - chance) ** sharpened)
    yes = np.stack([powers, powers], axis=1).astype(np.float32)
    return np.stack([1 - yes, yes], axis=2), (rng.random(n) < chance).astype(int)


def register(project: Any, sharpened: float) -> Manifest:
    outputs, truths = drawn(4000, RNG, sharpened)
    state = fit("temperature", outputs.mean(axis=1), truths, ("no", "yes"), strategy_of(Mean(), "ab"))
    draft = Manifest(name="sure", format="state", kind="state", notes={"recipe": "key"})
    made: Manifest = project.registry.register(draft, {**state_codec.encode(state)})
    return made


class Site:
    """A project whose journal is written by hand, and what looks after its calibrations."""

    def __init__(self, project: Any, text: str = TEXT) -> None:
        self.project = project
        project.model("n", targets=("x",))
        register(project, 1.0)  # fitted where members were not too sure: it does nothing
        project.write(text)
        project.apply()
        self.reader = JournalReader(project.home.journal)
        self.refitter = Refitter(project.home, project.database, project.registry, self.reader, project.clock)
        self.segments = 0
        self.rng = np.random.default_rng(1)

    @property
    def revision(self) -> int:
        route, _ = served(snapshot.read(self.project.home.snapshot), "main")
        return route.revision

    def tell(self, n: int, *, sharpened: float = 3.0, start: float = 1000.0, **changes: Any) -> np.ndarray:
        """Decisions of one row and their truths, ingested; returns the members' mean ``[n, 2]``."""
        outputs, truths = drawn(n, self.rng, sharpened)
        records, first = [], self.segments * 1_000_000
        for i in range(n):
            fields: dict[str, Any] = {
                "id": str(DecisionId(int(start * 1000) + i, 0, 0, first + i)), "endpoint": "main",
                "revision": self.revision, "state_version": 0, "source": "policy", "arrived": start + i,
                "queue_ms": 0.0, "latency_ms": 5.0, "context": {}, "strategies": ("sure", "plain", "one"),
                "propensities": (0.5, 0.5, 0.0), "assigned": "plain", "served": "plain",
                "members": tuple(MemberRun(name, 1, Status.OK, 1.0) for name in "ab"), "outputs": outputs[i : i + 1],
                "status": np.zeros((1, 2), np.int8), "answer": outputs[i : i + 1].mean(axis=1), "degraded": False,
                "rows": 1, "input_digest": b"", "classes": ("no", "yes"),
            }  # fmt: skip
            decision = Decision(**(fields | changes))
            outcome = Outcome(decision.id, 0, ("no", "yes")[truths[i]], at=start + i, received=start + i)
            records.append((RecordKind.DECISION, first + i, decision_codec.encode(decision)))
            records.append((RecordKind.OUTCOME, first + n + i, outcome_codec.encode(outcome)))
        records.sort(key=lambda each: each[1])
        path = self.project.home.journal / "0" / segment_name(0, first)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            encode_header(Header(0, 0, first, 1, 7))
            + b"".join(encode_record(kind, sequence, payload, 7) for kind, sequence, payload in records)
        )
        self.segments += 1
        catch_up(self.project.home, self.project.database, SystemClock())
        means: np.ndarray = outputs.mean(axis=1)
        return means

    def rows(self, **more: Any) -> Any:
        routing = snapshot.read(self.project.home.snapshot)
        route, pool = served(routing, "main")
        strategies = logged(route, pool, self.project.registry.blobs.read)
        with self.project.database.read() as connection:
            found = Gathering(connection, self.reader, route, pool).rows(strategies, **more)
        return {each.name: (each, found[each.name]) for each in strategies}

    def port(self, method: str, path: str, **options: Any) -> httpx.Response:
        project = self.project
        services = Services(project.home, project.registry, project.database, self.reader, project.clock)
        app = create_app(services, Access(project.home, project.database, "127.0.0.1"))

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    def audited(self) -> list[Any]:
        with self.project.database.read() as connection:
            return [entry for entry in entries(connection) if entry.action == "calibration.refit"]


@pytest.fixture
def site(project: Any) -> Site:
    return Site(project)


# --- what is known ---


def test_every_strategy_is_known_from_recorded_outputs_whoever_answered(project: Any) -> None:
    site = Site(project, LEARNING)
    means = site.tell(30)
    found = site.rows()
    strategy, rows = found["sure"]
    np.testing.assert_allclose(rows.plain, means[::-1], atol=1e-6)  # the newest first
    answers, truths = rows.answers(strategy)
    np.testing.assert_array_equal(answers, calibrate(rows.plain, strategy.calibration))
    assert len(truths) == 30
    assert len(found["one"][1].plain) == 30
    assert len(found["online"][1].plain) == len(found["online"][1].served) == 0  # it learns, and did not answer
    assert len(site.rows(most=7)["sure"][1].plain) == 7
    assert len(site.rows(looked=10)["sure"][1].plain) == 10


def test_what_says_nothing_of_a_strategy_is_left_out(site: Site) -> None:
    site.tell(3, source="caller", start=2000.0)
    site.tell(3, endpoint="other", start=3000.0)
    site.tell(3, capture=mark("token"), start=4000.0)
    site.tell(3, status=np.array([[0, 2]], np.int8), start=5000.0)  # b was not asked
    found = site.rows()
    assert [len(found[name][1].plain) for name in ("sure", "plain", "one")] == [0, 0, 3]


def test_without_recorded_outputs_the_own_answers_of_a_strategy_are_known(project: Any) -> None:
    site = Site(project, LEARNING)
    bare: dict[str, Any] = {"outputs": np.zeros((1, 2, 0), np.float32)}
    site.tell(4, **bare, start=2000.0)
    site.tell(5, served="online", assigned="online", start=3000.0)
    found = site.rows()
    assert [len(found[name][1].served) for name in ("sure", "plain", "online", "one")] == [0, 4, 5, 0]
    site.project.write(LEARNING.replace("plain: {kind: mean}", "plain: {kind: vote}"))
    site.project.apply()
    assert len(site.rows()["plain"][1].served) == 0  # another strategy by now


def test_another_version_of_a_member_is_another_strategy(site: Site) -> None:
    site.tell(6)
    site.project.clock.advance(10)
    site.project.model("b")
    site.project.apply()
    found = site.rows()
    assert (len(found["sure"][1].plain), len(found["one"][1].plain)) == (0, 6)


# --- reliability ---


def test_the_port_tells_reliability(site: Site) -> None:
    empty = site.port("GET", "/v1/endpoints/main/reliability").json()
    assert [(each["strategy"], each["rows"], each["ece"], each["bins"]) for each in empty["strategies"]] == [
        (name, 0, None, []) for name in ("sure", "plain", "one")
    ]
    site.tell(800)
    body = site.port("GET", "/v1/endpoints/main/reliability").json()
    by = {each["strategy"]: each for each in body["strategies"]}
    strategy, rows = site.rows()["plain"]
    expected = of_answers(*rows.answers(strategy))
    assert expected is not None
    assert by["plain"]["ece"] == {"value": expected.error.value, "low": expected.error.low, "high": expected.error.high}
    assert by["plain"]["ece"]["low"] > 0.05  # the members are far too sure
    assert set(by["plain"]["bins"][0]) == {"from", "to", "confidence", "accuracy", "low", "high", "rows"}
    assert (by["plain"]["calibrated"], by["plain"]["refit"]) == (False, None)
    refit = by["sure"]["refit"]
    assert {name: refit[name] for name in ("state", "version", "method", "auto", "due", "until", "rows", "needed")} == {
        "state": "sure", "version": 1, "method": "temperature", "auto": True, "due": True, "until": None, "rows": 800,
        "needed": 500,
    }  # fmt: skip
    few = site.port("GET", "/v1/endpoints/main/reliability?rows=100").json()
    assert few["strategies"][0]["rows"] == 100


def test_the_port_refuses_what_there_is_not(site: Site) -> None:
    for path, status in (("nobody/reliability", 404), ("values/reliability", 422), ("main/reliability?rows=0", 422)):
        assert site.port("GET", f"/v1/endpoints/{path}").status_code == status
    for path, status in (("main/strategies/nobody/refit", 404), ("main/strategies/plain/refit", 409)):
        assert site.port("POST", f"/v1/endpoints/{path}").status_code == status


def test_the_command_tells_the_same(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.tell(600)
    with pytest.raises(SystemExit) as ended:
        main(["reliability", "main", "--strategy", "plain", "--project", str(site.project.home.root)])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "sure:1, off" in shown
    assert "confidence" in shown


# --- refits ---


def test_the_standing_check_fits_again_what_is_off(site: Site) -> None:
    site.tell(400)
    site.refitter.look()
    assert site.audited() == []  # too few
    site.tell(400, start=5000.0)
    before = site.revision
    site.refitter.look()
    (entry,) = site.audited()
    assert (entry.actor, entry.subject) == (AUTHOR, "main")
    assert entry.detail["strategy"] == "sure"
    assert entry.detail["rows"] == 800
    assert entry.detail["after"]["value"] <= 0.5 * entry.detail["before"]["value"]
    assert site.revision == before + 1 == entry.detail["revision"]
    route, _ = served(snapshot.read(site.project.home.snapshot), "main")
    assert route.strategies[0].calibrate is not None
    assert (route.strategies[0].calibrate.version, entry.detail["state"]) == (2, "sure:2")
    manifest = site.project.registry.manifest("sure")
    assert (manifest.version, manifest.parent, manifest.notes["recipe"]) == (2, "sure:1", "key")
    strategy, rows = site.rows()["sure"]
    assert strategy.calibration is not None
    assert strategy.calibration.meta[UNTIL] == pytest.approx(5399.0)
    assert len(rows.answers(strategy)[0]) == 0  # what it was fitted on says nothing of it
    site.refitter.look()
    assert len(site.audited()) == 1
    # Outcomes after it show that it is right, and nothing is fitted again; an apply of the same file changes nothing.
    site.tell(600, start=9000.0)
    site.refitter.look()
    assert len(site.audited()) == 1
    assert site.project.apply().changed == ()
    told = of_answers(*site.rows()["sure"][1].answers(site.rows()["sure"][0]))
    assert told is not None
    assert told.error.low < 0.02


def test_one_that_is_right_or_switched_off_is_left_alone(site: Site) -> None:
    site.tell(700, sharpened=1.0)
    site.refitter.look()
    assert site.audited() == []
    site.project.write(TEXT.replace("refit: auto", "refit: 'off'"))
    site.project.apply()
    site.tell(1500, start=9000.0)
    site.refitter.look()
    assert site.audited() == []


def test_decisions_of_callers_alone_are_no_reason(site: Site) -> None:
    site.tell(900, source="caller")
    site.refitter.look()
    assert site.audited() == []
    with pytest.raises(Conflict, match="has 0 rows"):
        site.refitter.refit("main", "sure", author="me")


def test_somebody_may_ask_for_it(site: Site) -> None:
    site.tell(600)
    done = site.port("POST", "/v1/endpoints/main/strategies/sure/refit").json()
    assert (done["state"], done["version"], done["rows"], done["revision"]) == ("sure", 2, 600, site.revision)
    assert done["after"]["value"] < done["before"]["value"]
    assert [entry.actor for entry in site.audited()] == ["control port"]
    with pytest.raises(Conflict, match="has 0 rows"):
        site.refitter.refit("main", "sure", author="me")


def test_what_would_not_be_better_is_not_served() -> None:
    # Exactly calibrated: of the answers at 0.25 every fourth is "yes", of those at 0.75 three of four.
    yes = np.repeat(np.float32([0.25, 0.75]), 500)
    plain = np.column_stack([1 - yes, yes])
    truths = np.concatenate([np.tile([0, 0, 0, 1], 125), np.tile([1, 1, 1, 0], 125)])
    state = State("temperature", 1, {"temperature": 1.0, "floor": 1e-6, "classes": ["no", "yes"], "strategy": {}})
    strategy = LoggedStrategy("sure", (0,), 1, Mean(), None, calibration=state)
    none = np.zeros((0, 2), np.float32)
    rows = KnownRows(plain, truths, np.arange(1000.0), np.zeros((1000, 1), np.int8), none, np.zeros(0, np.int64))
    with pytest.raises(Conflict, match="would not be better"):
        fitted(strategy, rows)


def drifted(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows on which a cascade's members are all worse than where it was fitted: it is too sure, stage by stage."""
    outputs, y = cascades.pool(n, seed, noise=(2.2, 1.9, 1.6))
    return outputs, y


def test_a_cascade_is_fitted_again_from_the_rows_that_went_its_way() -> None:
    state = cascades.fitted(n=2000)
    way, y = drifted(2500, 1)
    outputs = way.copy()
    asked = trace(CascadePlan(state), outputs, np.zeros(outputs.shape[:2], np.int8)).asked
    status = np.where(asked, np.int8(Status.OK), np.int8(Status.SKIPPED))
    outputs[~asked] = np.nan  # what was not asked is not on record
    meta = strategy_of(Cascade(), cascades.MEMBERS)
    before = fit("temperature", Cascade().combine(outputs, status, state), y, cascades.CLASSES, meta, status)
    flat = dataclasses.replace(
        before, meta={**before.meta, "temperature": 1.0, "own": []}, arrays={"sets": np.zeros((0, 3), bool)}
    )
    strategy = LoggedStrategy("steps", (0, 1, 2), 1, Cascade(), state, plan=CascadePlan(state), calibration=flat)
    plain, ways = strategy.said(outputs, status)
    np.testing.assert_array_equal(ways, status)
    none = np.zeros((0, 3), np.float32)
    rows = KnownRows(plain, y, np.arange(2500.0), ways, none, np.zeros(0, np.int64))
    new = fitted(strategy, rows)
    assert new.after.value < 0.5 * new.before.value
    assert new.state.version == 2
    assert new.state.meta[UNTIL] == 2499.0
    assert len(new.state.arrays["sets"]) >= 1
    # On rows that come after, what was asked and what was answered stay; how sure it is comes true.
    fresh, truths = drifted(6000, 2)
    later = dataclasses.replace(strategy, calibration=new.state)
    answers = [each.answer(fresh, np.zeros(fresh.shape[:2], np.int8)) for each in (strategy, later)]
    np.testing.assert_array_equal(answers[0].argmax(axis=1), answers[1].argmax(axis=1))
    errors = [of_answers(each, truths) for each in answers]
    assert errors[0] is not None
    assert errors[1] is not None
    assert errors[0].error.low > 0.05
    assert errors[1].error.value < 0.3 * errors[0].error.value
    _, asked_now = later.said(fresh, np.zeros(fresh.shape[:2], np.int8))
    np.testing.assert_array_equal(asked_now, strategy.said(fresh, np.zeros(fresh.shape[:2], np.int8))[1])


def test_sets_that_are_those_of_one_calibration_keep_it(site: Site) -> None:
    p = RNG.dirichlet([1, 1], size=60).astype(np.float32)
    digest = site.project.registry.manifest("sure").digest
    of = {"kind": "mean", "members": ["a", "b"], "params": {}, "state": None, "calibrate": digest}
    sets = fit_conformal(p, RNG.integers(2, size=60), ("no", "yes"), of=of)
    draft = Manifest(name="sets", format="state", kind="state")
    site.project.registry.register(draft, {**state_codec.encode(sets)})
    site.tell(600)
    plain = TEXT.replace("refit: auto", "conformal: sets")
    site.project.write(plain)
    site.project.apply()
    with pytest.raises(Conflict, match="are those of this very calibration"):
        site.refitter.refit("main", "sure", author="me")
    site.project.write(TEXT.replace("refit: auto", "refit: auto, conformal: {state: sets, adaptive: true}"))
    site.project.apply()
    site.refitter.look()
    assert [entry.detail["state"] for entry in site.audited()] == ["sure:2"]
    assert site.project.apply().changed == ()  # a level that adapts keeps its promise with the new one as well


def test_an_alias_that_would_undo_it_and_other_endpoints_are_refused(site: Site) -> None:
    site.tell(600)
    site.project.registry.set_alias("sure", "champion", 1)
    with pytest.raises(Conflict, match="champion"):
        site.refitter.refit("main", "sure", author="me")
    with pytest.raises(NotFound):
        site.refitter.refit("nobody", "sure", author="me")
    with pytest.raises(InvalidInput, match="no confidence"):
        site.refitter.refit("values", "only", author="me")


def test_under_an_experiment_nothing_is_shown_or_changed(site: Site) -> None:
    site.tell(600)
    registration = {"name": "one", "endpoint": "main", "control": "sure", "treatments": ["plain"],
                    "metric": {"kind": "accuracy"}, "minimum_effect": 0.1, "stop": {"max_days": 1, "max_units": 1000},
                    "blind": True, "hide_until_verdict": True}  # fmt: skip
    made = site.port("POST", "/v1/experiments", json=registration)
    assert made.status_code in (200, 201), made.text
    started = site.port("POST", f"/v1/experiments/{made.json()['id']}/start")
    assert started.status_code == 200, started.text
    assert site.port("GET", "/v1/endpoints/main/reliability").status_code == 409
    assert site.port("POST", "/v1/endpoints/main/strategies/sure/refit").status_code == 409
    before = site.revision
    site.refitter.look()
    with pytest.raises(Conflict, match="under experiment"):
        site.refitter.refit("main", "sure", author="me")
    assert site.revision == before
    assert site.project.registry.versions("sure") == (1,)
