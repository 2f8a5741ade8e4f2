"""The life of an experiment: registered, started, looked at, decided, promoted or kept; and crashes in between."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.control.experiments import running
from quorate.control.journal.pins import pins
from quorate.errors import Conflict
from quorate.store.audit import entries
from quorate.store.experiments import exposures, values


def _pins(lab: Any) -> list[str]:
    return [pin.name for pin in pins(lab.home, lab.clock.now())]


def _verdict(lab: Any, experiment: str) -> Any:
    return (lab.desk.get(experiment).verdict or {}).get("verdict")


def test_a_better_arm_wins_and_is_promoted(lab: Any) -> None:
    experiment = lab.begin()
    started = lab.desk.get(experiment)
    assert (started.state, started.base_revision, started.revision) == ("running", 1, 2)
    assert lab.route.policy.params == {"weights": {"average": 0.5, "best": 0.5}}
    assert lab.route.on_full == "shed"
    assert _pins(lab) == [f"experiment-{experiment}"]
    for _ in range(5):
        lab.traffic(120, {"average": 0.5, "best": 0.8})
        lab.pass_()
    decided = lab.desk.get(experiment)
    assert decided.state == "decided"
    assert decided.verdict == {"verdict": "better", "winner": "best", "warnings": []}
    assert lab.desk.conclude(experiment, "promote", author="ann").conclusion["revision"] == 3
    assert lab.route.policy.kind == "fixed"
    assert lab.route.policy.params == {"strategy": "best"}
    assert _pins(lab) == []
    with lab.database.read() as connection:
        actions = [entry.action for entry in entries(connection)][::-1]
    told = ["register", "start", "verdict", "promote"]
    assert [a for a in actions if a.startswith("experiment")] == [f"experiment.{what}" for what in told]


def test_a_worse_arm_is_not_kept_and_what_was_there_before_comes_back(lab: Any) -> None:
    experiment = lab.begin(conclude="auto")
    before = lab.desk.get(experiment).base_revision
    for _ in range(5):
        lab.traffic(120, {"average": 0.8, "best": 0.5})
        lab.pass_()
    found = lab.desk.get(experiment)
    assert (found.state, found.verdict["verdict"], found.conclusion["did"]) == ("ended", "worse", "keep")
    assert before == 1
    assert lab.route.revision == 3
    assert lab.route.policy.params == {"strategy": "average"}
    assert lab.route.on_full == "drop"


def test_no_difference_ends_without_a_winner(lab: Any) -> None:
    experiment = lab.begin(minimum_effect=0.3, stop={"max_units": 400, "max_days": 10})
    for _ in range(6):
        lab.traffic(120, {"average": 0.7, "best": 0.7})
        lab.pass_()
    assert _verdict(lab, experiment) in ("no_difference", "inconclusive")
    with pytest.raises(Conflict, match="no winner"):
        lab.desk.conclude(experiment, "promote", author="ann")


def test_it_ends_at_its_largest_duration(lab: Any) -> None:
    experiment = lab.begin()
    lab.traffic(10, {"average": 0.5, "best": 0.5})
    lab.pass_(10 * 86_400 + 1)
    assert _verdict(lab, experiment) == "inconclusive"


def test_a_wrong_split_makes_it_invalid_and_ends_it(lab: Any) -> None:
    experiment = lab.begin()
    lab.traffic(40, {"average": 0.5}, assigned="average")
    lab.traffic(400, {"best": 0.5}, assigned="best")
    lab.pass_()
    found = lab.desk.get(experiment)
    assert (found.state, found.verdict["verdict"], found.verdict["reason"]) == ("ended", "invalid", "sample_ratio")
    assert lab.route.policy.params == {"strategy": "average"}


def test_harm_ends_it(lab: Any) -> None:
    experiment = lab.begin(guard_rails=[{"metric": "latency", "margin": 3}, {"metric": "error_rate", "margin": 0.05}])
    for i in range(300):
        lab.decide(assigned=("average", "best")[i % 2], latency_ms=5.0 + 5 * (i % 2) + lab.rng.random())
    lab.pass_()
    found = lab.desk.get(experiment)
    assert found.state == "ended"
    assert (found.verdict["verdict"], found.verdict["treatment"]) == ("harmed", "best")
    assert found.verdict["title"] == "mean latency (ms)"


def test_who_ran_into_errors_stays_in_its_arm(lab: Any) -> None:
    """An arm that only answers what is easy must not look good."""
    experiment = lab.begin(metric={"kind": "accuracy"})
    for _ in range(250):
        lab.tell(lab.decide(assigned="average"), truth="yes")
    for i in range(250):
        failed: dict[str, Any] = {"answer": None, "error": "no_quorum", "served": None} if i % 2 else {}
        lab.tell(lab.decide(assigned="best", **failed), truth="yes")
    lab.pass_()
    assert _verdict(lab, experiment) == "worse"


def test_what_callers_chose_is_no_part_of_it(lab: Any) -> None:
    experiment = lab.begin()
    lab.traffic(60, {"average": 0.5, "best": 0.5})
    lab.traffic(500, {"best": 1.0}, assigned="best", source="caller", propensities=(0.0, 1.0))
    lab.pass_()
    [look] = lab.desk.looks(experiment)
    assert sum(look.body["units"].values()) == 60
    assert look.body["excluded"] == {"chosen by the caller": 500}


def test_users_keep_their_arm_and_count_once(lab: Any) -> None:
    experiment = lab.begin(unit="context.user")
    for _ in range(3):
        for user in range(80):
            decision = lab.decide(unit=f"u{user}")
            lab.tell(decision, truth="yes" if user % 3 else "no")
    lab.pass_()
    [look] = lab.desk.looks(experiment)
    assert sum(look.body["units"].values()) == sum(look.body["known"].values()) == 80
    assert sum(look.body["requests"].values()) == 240


def test_outcomes_after_the_window_do_not_count_and_corrections_within_it_do(lab: Any) -> None:
    experiment = lab.begin(outcome_window_s=100)
    early, late, corrected = (lab.decide() for _ in range(3))
    lab.tell(early, truth="yes")
    lab.tell(corrected, truth="yes")
    lab.pass_()
    lab.tell(corrected, truth="no")
    lab.pass_()
    lab.tell(late, truth="yes")
    lab.tell(early, truth="no")
    lab.pass_()
    with lab.database.read() as connection:
        found = {value.decision: value.total for value in values(connection, experiment)}
    assert found == {early.id: 1.0, corrected.id: 0.0}


def test_nothing_is_lost_or_double_when_control_dies(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = lab.begin()
    lab.traffic(60, {"average": 0.5, "best": 0.8})

    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("quorate.store.ledger.set_progress", dies)
        with pytest.raises(KeyboardInterrupt):
            lab.pass_()
    lab.restart()
    lab.pass_()
    lab.traffic(30, {"average": 0.5, "best": 0.8})
    with monkeypatch.context() as patched:
        patched.setattr(running, "add_look", dies)
        with pytest.raises(KeyboardInterrupt):
            lab.pass_()
    lab.restart()
    lab.pass_()
    with lab.database.read() as connection:
        assert len(exposures(connection, experiment)) == len(values(connection, experiment)) == 90
    assert [look.number for look in lab.desk.looks(experiment)] == [1, 2]


def test_a_death_between_the_verdict_and_the_stop_is_made_up_for(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = lab.begin()
    lab.traffic(400, {"best": 0.5}, assigned="best")

    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(running, "stop", dies)
        with pytest.raises(KeyboardInterrupt):
            lab.pass_()
    assert lab.desk.get(experiment).state == "running"
    lab.traffic(400, {"average": 0.5}, assigned="average")  # would make up for the wrong split
    lab.restart()
    lab.pass_(1)
    assert _verdict(lab, experiment) == "invalid"
    assert len(lab.desk.looks(experiment)) == 1


def test_a_death_before_the_snapshot_is_made_up_for(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = lab.desk.register(lab.registration(), author="ann")

    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("quorate.codecs.snapshot.write", dies)
        with pytest.raises(KeyboardInterrupt):
            lab.desk.start(made.id, author="ann")
    assert lab.route.revision == 1
    lab.restart()
    lab.runner.run()
    assert lab.route.revision == 2
    assert _pins(lab) == [f"experiment-{made.id}"]


def test_units_are_assigned_anew_by_every_experiment(lab: Any) -> None:
    first = lab.begin(unit="context.user")
    arms = {user: lab.decide(unit=f"u{user}").assigned for user in range(200)}
    lab.desk.conclude(first, "stop", author="ann")
    lab.begin(name="second", unit="context.user")
    same = sum(lab.decide(unit=f"u{user}").assigned == arm for user, arm in arms.items())
    assert 70 <= same <= 130


def test_a_covariate_of_the_time_before_reduces_variance(lab: Any) -> None:
    def visit(user: int) -> None:
        decision = lab.decide(unit=f"u{user}", context={"user": f"u{user}"})
        rate = (user % 10) / 10 + (0.05 if decision.assigned == "best" else 0.0)
        lab.tell(decision, rewards={"clicks": rate + 0.05 * lab.rng.standard_normal()})

    for user in range(200):
        visit(user)
    lab.pass_()
    widths = {}
    for covariate in (None, {"pre_period_days": 1}):
        experiment = lab.begin(
            name=f"x{bool(covariate)}".lower(), unit="context.user", covariate=covariate,
            metric={"kind": "reward", "reward": "clicks"}, minimum_effect=0.05,
        )  # fmt: skip
        for user in range(200):
            visit(user)
        lab.pass_()
        [each] = lab.desk.looks(experiment)[0].body["comparisons"]
        widths[covariate is None] = each["high"] - each["low"]
        if lab.desk.get(experiment).state == "running":
            lab.desk.conclude(experiment, "stop", author="ann")
        else:
            lab.desk.conclude(experiment, "keep", author="ann")
    assert widths[False] < 0.5 * widths[True]


def test_the_business_value_decides_as_it_is_declared(lab: Any) -> None:
    lab.project.write(lab.home.config.read_text() + "    value: {correct: 3, error: -5}\n")
    lab.project.apply()
    experiment = lab.begin(metric={"kind": "value"}, minimum_effect=1.0)
    right, wrong = lab.decide(), lab.decide()
    lab.tell(right, truth="yes")
    lab.tell(wrong, truth="no")
    lab.pass_()
    with lab.database.read() as connection:
        found = {value.decision: value.total for value in values(connection, experiment)}
    assert found == {right.id: 3.0, wrong.id: -5.0}


def test_the_source_that_precedes_counts(lab: Any) -> None:
    experiment = lab.begin()
    decision = lab.decide()
    lab.tell(decision, truth="yes", source="user")
    lab.pass_()
    lab.tell(decision, truth="no", source="expert")
    lab.tell(decision, truth="yes", source="user")
    lab.pass_()
    with lab.database.read() as connection:
        assert [value.total for value in values(connection, experiment)] == [0.0]


def test_a_fault_in_one_experiment_does_not_hold_up_the_others(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text = lab.home.config.read_text()
    lab.project.write(text + text.partition("endpoints:\n")[2].replace("main:", "zero:"))
    lab.project.apply()
    broken, fine = lab.begin(name="broken"), lab.begin(name="fine", endpoint="zero")
    look = running.analysis.look

    def faulty(registration: Any, *arguments: Any, **more: Any) -> Any:
        return 1 / 0 if registration.name == "broken" else look(registration, *arguments, **more)

    monkeypatch.setattr(running.analysis, "look", faulty)
    lab.pass_()
    assert [len(lab.desk.looks(each)) for each in (broken, fine)] == [0, 1]


def test_looks_wait_for_a_clock_that_went_backward(lab: Any) -> None:
    experiment = lab.begin()
    lab.traffic(20, {"average": 0.5, "best": 0.5})
    lab.pass_()
    before = lab.clock.now()
    lab.clock.set_now(before - 3600)
    lab.pass_()
    assert len(lab.desk.looks(experiment)) == 1
    lab.clock.set_now(before)
    lab.pass_()
    first, second = lab.desk.looks(experiment)
    assert second.at > first.at
    assert second.body["known"] == first.body["known"]


def test_what_is_told_after_the_verdict_changes_nothing(lab: Any) -> None:
    experiment = lab.begin()
    decision = lab.decide()
    for _ in range(5):
        lab.traffic(120, {"average": 0.5, "best": 0.8})
        lab.pass_()
    before, looks = lab.desk.get(experiment), lab.desk.looks(experiment)
    lab.tell(decision, truth="yes")
    lab.traffic(120, {"average": 1.0, "best": 0.0})
    lab.pass_()
    assert lab.desk.get(experiment) == before
    assert lab.desk.looks(experiment) == looks
    with lab.database.read() as connection:
        assert decision.id not in {value.decision for value in values(connection, experiment)}
