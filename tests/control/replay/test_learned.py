"""Replaying what learns: every answer again, by what was known at each decision, from the record of lessons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.codecs.journal import segment_name
from quorate.codecs.lookup import JournalReader
from quorate.codecs.snapshot import JournalSettings, PolicyRoute, RewardRoute
from quorate.codecs.snapshot import StrategyRoute as Route
from quorate.control.captures.erasing import Eraser, ask, get
from quorate.control.journal.compact import compact
from quorate.control.journal.keeping import Keeper
from quorate.control.learning import recording
from quorate.control.learning.past import Past
from quorate.control.learning.routes import forget
from quorate.control.learning.warm_start import warm_start
from quorate.control.replay.tally import NOT_LEARNED
from quorate.core.combine.mean import Mean
from quorate.core.combine.online import Online
from quorate.core.types import Decision, OutputSpec
from quorate.errors import InvalidInput
from quorate.store.erasures import DONE

from .house import MEAN, ONLINE, House


@pytest.fixture
def house(tmp_path: Path, new_store: Any) -> House:
    return House(tmp_path, new_store)


def accuracy(house: House, decisions: Sequence[Decision]) -> float:
    """Of the answers that were served, by the rows that are known."""
    with house.database.read() as connection:
        known = connection.exec_driver_sql("SELECT DISTINCT decision, row, label FROM outcomes").all()
    by = {d.id: d for d in decisions}
    classes = house.output.classes
    return float(np.mean([classes[int(by[i].answer[row].argmax())] == label for i, row, label in known if i in by]))


@pytest.mark.parametrize("rows", [1, 3])
def test_every_answer_that_a_combiner_gave_while_it_learned_comes_out_again(house: House, rows: int) -> None:
    made = house.live(rows=rows)
    assert len({d.state_version for d in made}) > 8
    found = house.replay()
    assert (found.method, found.counts.left_out.get(NOT_LEARNED), found.differing) == ("exact", None, 0)
    assert found.reproduced == sum(d.rows for d in made)
    assert found.counts.used == found.counts.with_outcome == 120
    assert found.candidate.value == found.live.value == accuracy(house, made)
    assert found.difference.value == 0.0
    prior = np.mean([(d.answer == Mean().combine(d.outputs, d.status)).all() for d in made])
    assert prior < 0.5  # it did learn


def test_numbers_come_out_again_too(tmp_path: Path, new_store: Any) -> None:
    house = House(tmp_path, new_store, OutputSpec("values", names=("y",)))
    made = house.live()
    found = house.replay()
    assert (found.metric, found.reproduced, found.differing) == ("error", len(made), 0)
    assert found.candidate.value == found.live.value


def test_restarts_of_control_compacted_files_and_states_on_record_make_no_difference(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "EVERY", 5)
    made = house.live(6)
    house.restart()
    house.tell(made[:4])  # known already: nothing is learned twice
    made += house.live(3)
    sealed = house.seal()
    house.restart()
    made += house.live(5)
    states = [step.version for step in house.steps() if step.state is not None]
    assert len(states) >= 4
    found = house.replay()
    assert (found.reproduced, found.differing, NOT_LEARNED in found.counts.left_out) == (len(made), 0, False)
    pytest.importorskip("pyarrow")
    for segment in sealed:
        compact(segment)
    again = house.replay()
    assert (again.files.compacted, again.reproduced, again.differing) == (2, len(made), 0)
    assert not any("state" in warning for warning in again.warnings)
    late = house.replay(since=made[-30].arrived)
    assert (late.counts.used, late.reproduced, late.differing) == (30, 30, 0)


def test_a_batch_that_was_not_committed_is_learned_and_recorded_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = house.live(4)
    house.tell(house.ask(3))
    keep = recording.taught

    def killed(*arguments: Any) -> None:
        keep(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(recording, "taught", killed)
    before = house.steps()
    with pytest.raises(KeyboardInterrupt):
        house.control()
    monkeypatch.undo()
    assert house.steps() == before
    house.restart()
    house.control()
    made += house.live(3)
    versions = [step.version for step in house.steps()]
    assert versions == list(range(1, versions[-1] + 1))
    assert house.replay().differing == 0


def test_another_combiner_is_taught_the_same_at_the_same_times(house: House) -> None:
    made = house.live()
    same = house.replay({"kind": "online"})
    assert same.candidate.value == house.replay().candidate.value
    assert any("put in with the first lesson" in each for each in same.assumptions)
    assert same.reproduced == 0  # nobody served it
    other = house.replay({"kind": "online", "prior": "vote", "members": ["a", "b"]})
    assert (other.counts.used, other.differing) == (120, 0)
    assert other.candidate.value > house.replay("a").candidate.value  # it has found out about b
    # By hand, step by step: what the two of them would have known at each version.
    two = Online(Online.Params(prior="vote"))
    past = Past(
        house.database, JournalReader(house.home.journal), "main",
        recording.Combining(Route("replayed", "online", ("a", "b"), 1, {"prior": "vote"}), house.pool), served=False,
    )  # fmt: skip
    answers = [two.combine(d.outputs[:, :2], d.status[:, :2], past.at(d.revision, d.state_version).state) for d in made]
    again = [two.combine(d.outputs[:, :2], d.status[:, :2], past.at(1, d.state_version).state) for d in reversed(made)]
    assert all(np.array_equal(x, y, equal_nan=True) for x, y in zip(answers, reversed(again), strict=True))


def test_an_erased_subject_takes_its_lessons_along_and_the_replay_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "EVERY", 6)
    made = house.live(10)
    house.seal()
    gone = made[4]
    rows = sum(step.rows for step in house.steps() if step.kind == "taught")
    for dry_run in (True, False):
        asked = ask(house.home, house.database, house.clock, "main", decisions=[gone.id], dry_run=dry_run, author="me")
        Eraser(house.home, house.database, house.clock).work()
        done = get(house.database, asked.id)
        assert (done.state, done.report["decisions"], done.report["lessons"]) == (DONE, 1, 1)
        left = sum(step.rows for step in house.steps() if step.kind == "taught")
        assert left == rows - (not dry_run)
    names = [id_ for step in house.steps() if step.body for id_ in recording.codec.unpack(step.body).decisions
             if step.kind == "taught"]  # fmt: skip
    assert gone.id not in names
    at = next(step.version for step in house.steps() if step.erased)
    until = next(step.version for step in house.steps() if step.state is not None and step.version > at)
    unknown = sum(at <= d.state_version < until for d in made)
    assert 0 < unknown < len(made)
    found = house.replay()
    assert found.counts.left_out[NOT_LEARNED] == unknown
    assert (found.reproduced, found.differing) == (len(made) - unknown, 0)
    assert any("1 lessons were erased with their subject" in warning for warning in found.warnings)
    assert any(f"{unknown} decisions cannot be replayed exactly" in warning for warning in found.warnings)
    other = house.replay({"kind": "online"})
    assert NOT_LEARNED not in other.counts.left_out
    assert any("it goes on without them" in warning for warning in other.warnings)


def test_what_is_not_on_record_is_left_out_counted_and_told(house: House) -> None:
    made = house.live(8)
    house.seal()
    with house.database.begin() as connection:  # a store of the release before, which kept no record
        connection.exec_driver_sql("DELETE FROM lessons")
    with pytest.raises(InvalidInput, match="has no record of which outcomes came when"):
        house.replay({"kind": "online"})
    before = {d.state_version for d in made}
    assert house.replay().method == "off-policy"
    with pytest.raises(InvalidInput, match="An exact replay is not possible"):
        house.replay(method="exact")
    later = house.live(6)
    assert house.steps()[0].kind == "found"
    found = house.replay()
    first = house.steps()[0].version
    unknown = [d for d in made + later if 0 < d.state_version < first]
    assert found.counts.left_out == {NOT_LEARNED: len(unknown)}
    assert (found.reproduced, found.differing) == (len(made + later) - len(unknown), 0)
    assert len(before - {0}) > 1
    with house.database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM lessons WHERE version = ?", (first + 3,))
    gap = house.replay()
    assert gap.counts.left_out[NOT_LEARNED] > len(unknown)
    assert any("1 stretches of the record are missing" in warning for warning in gap.warnings)
    assert gap.differing == 0


def test_it_is_reset_and_warm_started_and_other_members_come_and_go(house: House) -> None:
    made = house.live(5)
    forget(house.database, house.learning(), "me", house.clock.now())
    made += house.live(5)
    warm_start(
        house.home, house.database, house.learning(), lambda digest: b"", 0.0, author="me", now=house.clock.now()
    )
    house.learner.publish()
    made += house.live(4)
    found = house.replay()
    assert (found.reproduced, found.differing, found.counts.left_out) == (len(made), 0, {})
    house.serve(ONLINE, MEAN, b="another b")
    house.restart()
    others = house.live(5)
    now = house.replay()
    assert now.counts.left_out == {NOT_LEARNED: len(made)}
    assert (now.reproduced, now.differing) == (len(others), 0)
    assert {step.kind for step in house.steps()} >= {"began", "reset", "warm", "taught", "seen"}
    put_in = house.replay({"kind": "online"})
    assert any("2 times all that learns at the endpoint began anew" in warning for warning in put_in.warnings)


def test_beside_a_policy_that_learns(house: House) -> None:
    house.serve(policy=PolicyRoute("thompson", {}, reward=RewardRoute()))
    house.restart()
    made = house.live(6)
    assert (house.replay().reproduced, house.replay().differing) == (len(made), 0)
    split = house.replay(None, policy={"kind": "split", "weights": {"online": 1, "mean": 1}})
    mean, online = house.replay("mean").candidate.value, house.replay().candidate.value
    assert split.candidate.value == pytest.approx((mean + online) / 2)


def test_decisions_that_are_gone_from_the_journal_end_what_is_known(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.live(4)
    house.seal()
    house.live(6)
    for slot in (0, 1):
        (house.home.journal / str(slot) / segment_name(0, 0)).unlink()
    assert house.replay().method == "off-policy"
    assert any("cannot be replayed exactly" in warning for warning in house.replay().warnings)
    house.live(2)
    monkeypatch.setattr(recording, "EVERY", 3)
    after = house.live(3)
    found = house.replay()
    assert found.reproduced >= len(after) // 2
    assert found.counts.left_out[NOT_LEARNED] > 0
    assert any("no longer in the journal" in warning for warning in found.warnings)
    assert found.differing == 0


def test_the_record_is_kept_as_long_as_the_decisions_that_need_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "EVERY", 4)
    house.live(8)
    before = [step.version for step in house.steps()]
    sealed = house.seal()
    after = house.live(4)
    files = set(house.home.journal.rglob("*.qj")) - {segment.path for segment in sealed}
    house.keep(JournalSettings(keep_bytes=sum(path.stat().st_size for path in files), compact=False))
    Keeper(house.home, house.database, house.clock).tidy(most=0, at_once=True)
    left = house.steps()
    assert before[0] < left[0].version <= after[0].state_version
    assert left[0].state is not None
    found = house.replay()
    unknown = found.counts.left_out[NOT_LEARNED]  # up to the first state behind lessons of decisions that are gone
    assert unknown < len(after) // 2
    assert (found.counts.decisions, found.reproduced, found.differing) == (len(after), len(after) - unknown, 0)


def test_a_state_that_comes_out_differently_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "EVERY", 4)
    house.live(6)
    monkeypatch.setattr(Online, "watch", lambda self, state, *_: state)
    found = house.replay()
    assert any("states of 'online' that are on record come out differently" in each for each in found.warnings)


def test_nothing_is_recorded_where_no_combiner_learns(tmp_path: Path, new_store: Any) -> None:
    house = House(tmp_path, new_store)
    house.serve(MEAN, policy=PolicyRoute("fixed", {"strategy": "mean"}))
    house.restart()
    house.live(4, strategy="mean")
    assert house.steps() == []
    assert house.replay("mean").differing == 0
    assert replace(house.replay("mean"), seconds=0.0) == replace(house.replay("mean"), seconds=0.0)
