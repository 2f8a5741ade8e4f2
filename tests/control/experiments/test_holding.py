"""What an experiment holds, and what may not be done to it: edits, two operators, files, endpoints that do not fit."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.control.journal.pins import pins
from quorate.control.revisions.diff import diff
from quorate.errors import Conflict, InvalidInput, NotFound


def _pins(lab: Any) -> list[str]:
    return [pin.name for pin in pins(lab.home, lab.clock.now())]


def test_a_running_experiment_can_only_be_stopped(lab: Any) -> None:
    experiment = lab.begin()
    for refused in (
        lambda: lab.desk.revise(experiment, lab.registration(minimum_effect=0.1), author="ann"),
        lambda: lab.desk.withdraw(experiment, author="ann"),
        lambda: lab.desk.start(experiment, author="ann"),
        lambda: lab.desk.conclude(experiment, "promote", author="ann"),
        lambda: lab.desk.conclude(experiment, "keep", author="ann"),
        lambda: lab.begin(name="second"),
    ):
        with pytest.raises(Conflict):
            refused()
    assert lab.desk.conclude(experiment, "stop", author="ann").verdict == {"verdict": "stopped"}
    assert lab.route.policy.params == {"strategy": "average"}
    lab.begin(name="second")


def test_of_two_operators_one_wins(lab: Any) -> None:
    experiment = lab.begin()
    version = lab.desk.get(experiment).version
    for _ in range(5):
        lab.traffic(120, {"average": 0.5, "best": 0.8})
        lab.pass_()
    with pytest.raises(Conflict, match="by now") as stale:
        lab.desk.conclude(experiment, "promote", author="ann", expected=version)
    assert stale.value.path == "If-Match"
    lab.desk.conclude(experiment, "keep", author="bob")
    with pytest.raises(Conflict, match="keep by bob"):
        lab.desk.conclude(experiment, "promote", author="ann")
    assert lab.route.policy.params == {"strategy": "average"}


def test_a_file_that_changes_something_else_leaves_it_in_place(lab: Any) -> None:
    experiment = lab.begin()
    lab.project.write(lab.home.config.read_text() + "  other: {pool: letters, strategies: {one: {kind: mean}}}\n")
    assert [found.endpoint for found in diff(lab.home, lab.project.registry, lab.database)] == ["other"]
    applied = lab.project.apply()
    assert applied.changed == ("other",)
    assert applied.notices == ("endpoints.main is under an experiment, which goes on.",)
    assert lab.desk.get(experiment).state == "running"
    assert lab.route.policy.kind == "split"


@pytest.mark.parametrize("text", ["policy: best", "policy: average\n    quorum: 2", "member: b}\n    policy: average"])
def test_a_file_that_changes_its_endpoint_is_refused(lab: Any, text: str) -> None:
    experiment = lab.begin()
    old = "member: a}\n    policy: average" if text.startswith("member") else "policy: average"
    lab.project.write(lab.home.config.read_text().replace(old, text))
    with pytest.raises(Conflict, match="under experiment 'trial'"):
        lab.project.apply()
    lab.desk.conclude(experiment, "stop", author="ann")
    assert lab.project.apply().changed == ("main",)


def test_a_server_starts_with_a_changed_file_and_the_experiment_is_interrupted(lab: Any) -> None:
    experiment = lab.begin()
    lab.project.write(lab.home.config.read_text().replace("policy: average", "policy: best"))
    lab.project.start()
    found = lab.desk.get(experiment)
    assert (found.state, found.verdict, found.conclusion["did"]) == (
        "ended", {"verdict": "interrupted"}, "interrupted",
    )  # fmt: skip
    assert lab.route.policy.params == {"strategy": "best"}
    lab.runner.run()
    assert _pins(lab) == []


def test_a_restart_with_the_same_file_keeps_the_promotion(lab: Any) -> None:
    experiment = lab.begin()
    for _ in range(5):
        lab.traffic(120, {"average": 0.5, "best": 0.8})
        lab.pass_()
    lab.desk.conclude(experiment, "promote", author="ann")
    lab.project.start()
    assert lab.route.policy.params == {"strategy": "best"}


def test_what_the_endpoint_cannot_have_is_refused(lab: Any) -> None:
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"control": "nobody"}, InvalidInput, "control"),
        ({"treatments": ["best", "none"]}, InvalidInput, "treatments.1"),
        ({"endpoint": "elsewhere"}, NotFound, "endpoint"),
        ({"metric": {"kind": "absolute_error"}}, InvalidInput, "metric"),
    ]
    for changes, error, path in cases:
        with pytest.raises(error) as refused:
            lab.desk.register(lab.registration(**changes), author="ann")
        assert refused.value.path == path


def test_without_a_declared_value_there_is_nothing_to_compare(lab: Any) -> None:
    with pytest.raises(InvalidInput, match="declares no business value"):
        lab.desk.register(lab.registration(metric={"kind": "value"}), author="ann")


def test_it_does_not_start_where_callers_do_not_send_the_unit(lab: Any) -> None:
    lab.traffic(10, {"average": 0.5})
    with pytest.raises(Conflict, match="10 came without") as refused:
        lab.begin(unit="context.user")
    assert refused.value.path == "unit"
    assert lab.route.revision == 1
    lab.traffic(100, {"average": 0.5}, context={"user": "u"})
    lab.begin(name="second", unit="context.user")
