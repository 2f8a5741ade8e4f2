"""An audit of logged decisions: which rows count, what is said of them, and that replay says the same."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from quorate.control.pool_audits import rows as gathering
from quorate.core.audit.game import Game, Rows
from quorate.core.combine.mean import Mean
from quorate.core.types import MemberRun, Status
from quorate.errors import InvalidInput, NotFound
from tests.control.replay.conftest import MEMBERS, START, decided, drawn, told

from .conftest import decisions, outputs, truths


@pytest.mark.parametrize("compacted", [False, True])
def test_the_harmful_member_is_named_and_the_check_is_a_replay(log: Any, compacted: bool) -> None:
    some, truth = decisions(400)
    segment = log.write(some, truths(some, truth))
    if compacted:
        pytest.importorskip("pyarrow")
        log.compact(segment)
    found = log.audit(margin=0.02)
    assert {m.name: m.verdict for m in found.members}["c"] == "harmful"
    assert found.recommended.drop == ("c",)
    assert found.recommended.strategy == {"kind": "mean", "members": ["a", "b"]}
    assert (found.pool, found.endpoints, found.strategy, found.source) == ("letters", ("main",), "average", "decisions")
    assert (found.rows, found.decisions, found.searched, found.check.rows) == (400, 400, 200, 200)
    assert found.counts is not None
    assert (found.counts.decisions, found.counts.used, found.counts.left_out) == (400, 400, {})
    # On all rows a replay of the same pools comes to what the audit says of the whole pool.
    whole = log.replay("average")
    assert whole.candidate.value == pytest.approx(found.whole.value)
    left = log.replay({**found.recommended.strategy})
    checked = found.check
    assert left.candidate.value - whole.candidate.value == pytest.approx(checked.gain.value, abs=0.06)
    assert checked.gain.low > 0.05
    assert checked.gain.value == pytest.approx(checked.recommended.value - checked.whole.value)
    assert "Drop c (harmful); keep a, b." in found.summary[0]
    assert "rows that the search did not see" in found.summary[1]
    assert found.unit is None
    msgspec.json.encode(found)


def test_which_decisions_are_used_and_why_others_are_not(log: Any) -> None:
    plain, truth = decisions(60)
    odd = drawn(8, seed=7)
    more = [
        decided(60, odd[0], source="caller"),
        decided(61, odd[1], source="cache"),
        decided(62, odd[2], error="no_quorum", served=None),
        decided(63, odd[3], abstained=True),
        decided(64, odd[4]),
        decided(65, odd[5], status=np.int8([[0, 2, 0]])),
        decided(66, odd[6], status=np.int8([[1, 1, 0]])),
        decided(67, odd[7], revision=7),
    ]
    told_of = [told(d, "yes") for d in more if d.id != more[4].id]
    log.write([*plain, *more], [*truths(plain, truth), *told_of])
    found = log.audit()
    assert found.counts is not None
    assert (found.counts.decisions, found.counts.used, found.rows) == (68, 60, 60)
    assert found.counts.left_out == {
        "chosen by the caller": 1,
        "answered from the cache": 1,
        "answered with an error": 1,
        "abstained": 1,
        "no outcome": 1,
        "members not run": 1,
        "too few members had answered": 1,
        gathering.OTHER_VERSIONS: 1,
    }
    assert any("Only 60 independent decisions" in each for each in found.warnings)
    part = log.audit(since=START + 5, until=START + 55)
    assert part.rows == 50


def test_other_versions_of_a_member_do_not_count(log: Any) -> None:
    some, truth = decisions(50)
    log.write(some, truths(some, truth))
    log.project.clock.advance(1.0)
    log.project.model("b")
    log.project.apply()
    with pytest.raises(InvalidInput, match="50 answered by other versions of the members"):
        log.audit()
    fresh, truth = decisions(50, seed=1, revision=2, slot=1)
    log.write(fresh, truths(fresh, truth), slot=1)
    assert log.audit().rows == 50


def test_rows_of_a_decision_and_of_a_sticky_unit_belong_together(log: Any) -> None:
    found, truth = outputs(240)
    some = [decided(i, found[4 * i : 4 * i + 4]) for i in range(60)]
    several = [told(d, ("no", "yes")[truth[4 * i + row]], row) for i, d in enumerate(some) for row in range(4)]
    log.write(some, several)
    answer = log.audit()
    assert (answer.rows, answer.decisions) == (240, 60)
    same, truth = decisions(90, seed=2)
    sticky = [
        d._replace(unit=f"u{i % 45}")
        for i, d in enumerate(decided(1000 + j, s.outputs, slot=1) for j, s in enumerate(same))
    ]
    log.write(sticky, truths(sticky, truth), slot=1, first=1000)
    answer = log.audit(since=START + 900)
    assert (answer.rows, answer.decisions) == (90, 45)


def test_a_pool_has_the_decisions_of_all_its_endpoints(log: Any) -> None:
    text = log.project.home.config.read_text()
    extra = "  other:\n    pool: letters\n    strategies: {all: {kind: vote, voting: hard}}\n"
    log.project.write(text + extra)
    log.project.apply()
    one, truth = decisions(60)
    two, more = decisions(
        60, seed=3, slot=1, endpoint="other", strategies=("all",), propensities=(1.0,), assigned="all"
    )
    log.write(one, truths(one, truth))
    log.write(two, truths(two, more), slot=1)
    found = log.audit("letters")
    assert (found.rows, found.endpoints) == (120, ("main", "other"))
    assert log.audit("other").strategy == "all"
    assert log.audit("main").rows == 60


def test_many_decisions_are_thinned_alike_every_time(log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    some, truth = decisions(400)
    log.write(some, truths(some, truth))
    monkeypatch.setattr("quorate.control.pool_audits.held.MOST", 150)
    one, two = log.audit(), log.audit()
    assert 60 <= one.rows <= 150
    assert one.thinned < 1
    assert (one.rows, one.whole) == (two.rows, two.whole)
    assert one.counts is not None
    assert one.counts.used == 400
    assert any("too many rows" in each for each in one.warnings)


def test_costs_decide_between_two_copies_and_say_what_is_saved(log: Any) -> None:
    found, truth = outputs(1500)
    found[:, 2] = found[:, 0]
    some = [decided(i, each[None]) for i, each in enumerate(found)]
    log.write(some, truths(some, truth))
    dear = log.audit(costs={"a": 1.0, "b": 1.0, "c": 6.0}, margin=0.03)
    assert dear.recommended.drop[0] == "c"
    assert dear.unit == "cost"
    assert dear.recommended.saves is not None
    assert dear.recommended.saves >= 6.0
    assert "That saves" in dear.summary[0]
    assert log.audit(costs={"a": 6.0, "c": 1.0}, margin=0.03).steps[0].drops == "a"


def test_fitted_states_are_used_as_they_are(log: Any) -> None:
    p = log.project
    p.weights("w", ["a", "b", "c"], [3.0, 2.0, 0.5])
    text = p.home.config.read_text().replace("      best:", "      fitted: {kind: weighted, state: w}\n      best:")
    p.write(text.replace("{average: 1, best: 1}", "{average: 1, best: 1, fitted: 0}"))
    p.apply()
    some, truth = decisions(200, revision=2, strategies=("average", "best", "fitted"), propensities=(0.5, 0.5, 0.0))
    log.write(some, truths(some, truth))
    found = log.audit(strategy="fitted")
    assert found.recommended.strategy is None
    assert any("fitted state stays as it is" in each for each in found.assumptions)
    declared = log.audit(strategy={"kind": "weighted", "weights": {"a": 3, "b": 2, "c": 0.5}})
    assert declared.whole.value == found.whole.value


WRONG: list[tuple[str, dict[str, Any], Any, str]] = [
    ("nope", {}, NotFound, "name"),
    ("main", {"strategy": "nope"}, NotFound, "strategy"),
    ("main", {"strategy": "best"}, InvalidInput, "strategy"),
    ("main", {"strategy": {"kind": "online"}}, InvalidInput, "strategy.kind"),
    ("main", {"metric": "mse"}, InvalidInput, "metric"),
    ("main", {"metric": "f2"}, InvalidInput, "metric"),
    ("main", {"margin": -0.1}, InvalidInput, "margin"),
    ("main", {"since": 9.0, "until": 8.0}, InvalidInput, "until"),
    ("main", {"costs": {"nope": 1.0}}, InvalidInput, "costs.nope"),
    ("main", {"costs": {"a": -1.0}}, InvalidInput, "costs.a"),
    ("main", {}, InvalidInput, "since"),
]


def test_what_cannot_be_asked_names_its_field(log: Any) -> None:
    for name, asked, error, path in WRONG:
        with pytest.raises(error) as wrong:
            log.audit(name, **asked)
        assert wrong.value.path == path, str(wrong.value)


def test_numbers(project: Any) -> None:
    from .conftest import Audited

    for name in ("x", "y"):
        project.model(name, targets=("price",))
    project.write(
        "pools: {prices: {task: regression, members: [x, y]}}\n"
        "endpoints: {price: {pool: prices, strategies: {mean: {kind: mean}}}}\n"
    )
    log = Audited(project)
    rng = np.random.default_rng(0)
    truth = rng.normal(size=120)
    said = np.stack([truth + 0.3 * rng.normal(size=120), truth + 3 * rng.normal(size=120)], axis=1)
    some = []
    for i, each in enumerate(said.astype(np.float32)):
        made = decided(
            i, np.zeros((1, 3, 2)), endpoint="price", assigned="mean", strategies=("mean",), propensities=(1.0,)
        )
        runs = tuple(MemberRun(name, 1, Status.OK, 1.0) for name in ("x", "y"))
        some.append(
            made._replace(
                outputs=each.reshape(1, 2, 1), status=np.zeros((1, 2), np.int8), members=runs, classes=("price",),
                output_kind="values", answer=each.mean().reshape(1, 1),
            )
        )  # fmt: skip
    log.write(some, [told(d, float(t)) for d, t in zip(some, truth, strict=True)])
    found = log.audit("price")
    assert (found.metric, found.higher_is_better, found.rows) == ("mse", False, 120)
    assert found.recommended.drop == ("y",)
    assert found.recommended.strategy == {"kind": "single", "member": "x"}
    assert found.whole.value == pytest.approx(np.mean((said.astype(np.float32).mean(axis=1) - truth) ** 2), rel=1e-4)
    assert found.pairs[0].correlation is not None
    assert found.check.gain.value > 0


def test_the_whole_is_what_the_core_says(log: Any) -> None:
    some, truth = decisions(100)
    log.write(some, truths(some, truth))
    scores = np.concatenate([d.outputs for d in some])
    game = Game(Rows(scores, np.zeros((100, 3), np.int8), truth, np.arange(100)), Mean(), None, "log_loss")
    found = log.audit(metric="log_loss")
    assert found.whole.value == pytest.approx(-game.value(7), rel=1e-9)
    assert [m.name for m in found.members] == list(MEMBERS)
