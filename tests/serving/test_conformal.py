"""Sets in answers: asked for or by default, refused where they cannot be promised, and recorded so that they follow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from quorate.codecs import learned
from quorate.codecs.learned import NOTHING, Known, Learned
from quorate.codecs.snapshot import ConformalRoute, EndpointRoute, PolicyRoute, Routing, StrategyRoute
from quorate.core.conformal import adaptive
from quorate.core.conformal.adaptive import Adaptation
from quorate.core.conformal.calibrated import Calibrated
from quorate.core.conformal.recorded import promised
from quorate.core.types import State
from quorate.errors import Forbidden, InvalidInput
from quorate.serving import answers, conformal, oip_models
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.generation import Generation
from quorate.serving.learned import LearnedStates
from quorate.training.conformal import fit_conformal

CLASSES = ("no", "yes")
MEAN, ONE = ("a", "b"), ("b",)


def state(rows: int = 60, seed: int = 0) -> State:
    """Of answers that are right as often as they say."""
    rng = np.random.default_rng(seed)
    yes = rng.random(rows)
    y = (rng.random(rows) < yes).astype(np.int64)
    return fit_conformal(np.stack([1 - yes, yes], axis=1).astype(np.float32), y, CLASSES, score="aps")


def route(name: str = "mean", members: tuple[str, ...] = MEAN, **settings: Any) -> StrategyRoute:
    return StrategyRoute(name, "mean", members, 1, conformal=ConformalRoute({"state": name}, **settings))


def served(house: Any, *strategies: StrategyRoute, states: dict[str, State] | None = None, **settings: Any) -> Any:
    pool = house.fused(a=0.6, b=0.8)
    policy = settings.pop("policy", PolicyRoute("fixed", {"strategy": strategies[0].name}))
    found = EndpointRoute("main", 1, "pool", strategies, policy, deadline_ms=200.0, **settings)
    known = {each.name: state() for each in strategies if each.conformal is not None} if states is None else states
    sizes: list[Any] = []
    endpoint = LoadedEndpoint(found, pool, {}, conformal=known, on_sets=lambda *told: sizes.append(told))
    return endpoint, sizes


def shown(endpoint: LoadedEndpoint, decision: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(answers.encode(endpoint, decision))["predictions"]
    return found


def test_a_set_is_answered_where_it_is_asked_for_and_follows_from_the_record(house: Any) -> None:
    endpoint, sizes = served(house, route())
    decision = house.predict(endpoint, rows=3, coverage=0.9)
    found = shown(endpoint, decision)
    assert decision.facts == {"coverage": 0.9}
    assert all(each["label"] == "yes" for each in found)
    again = promised(house.journal.decisions[0], Calibrated(state()), MEAN)
    assert again is not None
    assert [{name: row[name] for name in ("set", "abstained", "reason")} for row in found] == again
    assert sizes == [("mean", [len(row["set"]) for row in again])]
    plain = house.predict(endpoint)
    assert plain.facts == {}
    assert "set" not in shown(endpoint, plain)[0]


def test_a_default_holds_for_requests_that_ask_for_nothing(house: Any) -> None:
    endpoint, _ = served(house, route(coverage=0.8))
    assert house.predict(endpoint).facts == {"coverage": 0.8}
    decision = house.predict(endpoint, coverage=0.95)
    assert decision.facts == {"coverage": 0.95}
    assert "set" in shown(endpoint, decision)[0]


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.98])
def test_abstaining_is_recorded_where_all_rows_do(house: Any, coverage: float) -> None:
    endpoint, _ = served(house, route(abstain="ambiguous"))
    for rows in (1, 4):
        decision = house.predict(endpoint, rows=rows, coverage=coverage)
        found = shown(endpoint, decision)
        assert [each["abstained"] for each in found] == [len(each["set"]) != 1 for each in found]
        assert [each["reason"] for each in found] == [
            {0: "empty", 1: None}.get(len(each["set"]), "ambiguous") for each in found
        ]
        assert decision.abstained == all(each["abstained"] for each in found)


def test_what_cannot_be_promised_is_refused_before_anything_runs(house: Any) -> None:
    bare = StrategyRoute("bare", "mean", MEAN, 1)
    endpoint, _ = served(house, route(), bare, states={"mean": state(15)}, caller_may_choose=True)
    with pytest.raises(InvalidInput, match="needs 19 calibration rows; the state has 15") as few:
        house.predict(endpoint, coverage=0.95)
    assert few.value.path == "options.coverage"
    for strategy in ("bare", "a"):
        with pytest.raises(InvalidInput, match=f"'{strategy}' has no conformal state"):
            house.predict(endpoint, coverage=0.9, strategy=strategy)
    assert house.journal.records == []
    assert house.predict(endpoint, coverage=0.9, strategy="mean").served == "mean"


def test_whether_a_request_is_right_does_not_depend_on_the_draw(house: Any) -> None:
    policy = PolicyRoute("split", {"weights": {"mean": 99.0, "bare": 1.0}})
    endpoint, _ = served(house, route(), StrategyRoute("bare", "mean", ONE, 1), policy=policy)
    for _ in range(5):
        with pytest.raises(InvalidInput, match="'bare' has no conformal state"):
            house.predict(endpoint, coverage=0.9)


def test_a_blind_endpoint_has_no_sets_asked_for_or_not(house: Any) -> None:
    policy = PolicyRoute("fixed", {"strategy": "mean"}, blind=True)
    endpoint, sizes = served(house, route(coverage=0.9, abstain="ambiguous"), policy=policy)
    with pytest.raises(Forbidden) as refused:
        house.predict(endpoint, coverage=0.9)
    assert refused.value.path == "options.coverage"
    decision = house.predict(endpoint)
    assert (decision.facts, decision.abstained, sizes) == ({}, False, [])
    assert shown(endpoint, decision) == [{"label": "yes"}]


def test_a_fallback_that_is_not_calibrated_leaves_nothing_out(house: Any) -> None:
    pool = house.pool(a=house.inline(house.raises(RuntimeError("no"))), b=house.inline(0.8))
    strategies = (route("first", ("a",)), StrategyRoute("second", "mean", ONE, 1))
    policy = PolicyRoute("fixed", {"strategy": "first"})
    found = EndpointRoute("main", 1, "pool", strategies, policy, fallback=("second",), deadline_ms=200.0)
    endpoint = LoadedEndpoint(found, pool, {}, conformal={"first": state()})
    decision = house.predict(endpoint, coverage=0.9)
    assert (decision.served, decision.facts) == ("second", {"coverage": 0.9})
    (row,) = shown(endpoint, decision)
    assert (row["set"], row["reason"]) == (["no", "yes"], "uncalibrated")


def test_a_degraded_answer_says_so(house: Any) -> None:
    pool = house.pool(a=house.inline(house.raises(RuntimeError("no"))), b=house.inline(0.8))
    found = EndpointRoute("main", 1, "pool", (route(),), PolicyRoute("fixed", {"strategy": "mean"}), deadline_ms=200.0)
    endpoint = LoadedEndpoint(found, pool, {}, conformal={"mean": state()})
    (row,) = shown(endpoint, house.predict(endpoint, coverage=0.9))
    assert row["reason"] == "degraded"


def test_a_state_that_is_lost_promises_nothing(house: Any) -> None:
    endpoint, _ = served(house, route(coverage=0.9), states={})
    with pytest.raises(InvalidInput, match="has no conformal state"):
        house.predict(endpoint, coverage=0.9)
    assert house.predict(endpoint).facts == {}


def test_the_protocol_has_sets_as_tensors(house: Any) -> None:
    endpoint, _ = served(house, route())

    async def ask(coverage: float | None) -> oip_models.Answered:
        return await oip_models.answer(house.plane, endpoint, house.call(2, coverage=coverage))

    found = house.run(ask(0.9)).more
    decision = house.journal.decisions[0]
    rows = conformal.extras(endpoint, decision)
    assert rows is not None
    assert found["set"].tolist() == [[label in row["set"] for label in CLASSES] for row in rows]
    assert found["abstained"].tolist() == [False, False]
    assert house.run(ask(None)).more == {}


# --- what is learned --------------------------------------------------------------------------------


def taught(scores: float) -> State:
    """After 300 outcomes whose truths had such scores."""
    known = adaptive.start(Calibrated(state()), Adaptation())
    ties = 1.0 - np.random.default_rng(0).random(300)
    return adaptive.pack(adaptive.learn(known, np.full(300, scores), ties, Adaptation()))


def publish(folder: Path, endpoint: LoadedEndpoint, version: int, what: State, key: str | None = None) -> None:
    promise = endpoint.strategies["mean"].promise
    assert promise is not None
    known = Known(promise.key if key is None else key, what)
    made = Learned("main", "", version, NOTHING, {learned.ADAPTIVE + "mean": known})
    learned.write(folder, {"main": learned.pack(made)}, {"main": version})


def test_an_adaptive_level_takes_over_when_it_is_published_and_is_on_record(house: Any, tmp_path: Path) -> None:
    endpoint, _ = served(house, route(adaptive=True))
    states = LearnedStates(tmp_path)
    before = house.predict(endpoint, coverage=0.9)
    publish(tmp_path, endpoint, 1, taught(0.99))
    states.follow(Generation(1, Routing(1), endpoints={"main": endpoint}))
    after = house.predict(endpoint, coverage=0.9)
    assert (before.state_version, after.state_version) == (0, 1)
    assert before.facts == {"coverage": 0.9}
    assert after.facts["coverage.threshold"] == pytest.approx(0.99, abs=0.02)
    again = promised(house.journal.decisions[1], Calibrated(state()), MEAN)
    assert conformal.extras(endpoint, after) == again
    publish(tmp_path, endpoint, 2, taught(0.01))
    states.follow(Generation(1, Routing(1), endpoints={"main": endpoint}))
    assert conformal.extras(endpoint, after) == again  # by its own record, whatever was learned since
    assert house.predict(endpoint, coverage=0.9).facts["coverage.threshold"] == pytest.approx(0.01, abs=0.02)


def test_what_was_learned_of_another_calibration_is_not_used(house: Any, tmp_path: Path) -> None:
    endpoint, _ = served(house, route(adaptive=True))
    publish(tmp_path, endpoint, 1, taught(0.99), key="another")
    LearnedStates(tmp_path).follow(Generation(1, Routing(1), endpoints={"main": endpoint}))
    assert house.predict(endpoint, coverage=0.9).facts == {"coverage": 0.9}


def test_the_key_is_of_calibration_and_members_and_no_policy_forgets_by_a_calibration(house: Any) -> None:
    pool = house.fused(a=0.6, b=0.8).route
    one, other = route(), msgspec.structs.replace(route(), conformal=ConformalRoute({"state": "other"}))
    fewer = msgspec.structs.replace(one, members=ONE)
    keys = {learned.adaptive_key(each, pool) for each in (one, other, fewer)}
    assert len(keys) == 3
    again = msgspec.structs.replace(one, conformal=ConformalRoute({"state": "mean"}, coverage=0.9, adaptive=True))
    assert learned.adaptive_key(again, pool) in keys
    policy = PolicyRoute("fixed", {"strategy": "mean"})
    endpoints = [EndpointRoute("main", 1, "pool", (each,), policy) for each in (one, other)]
    assert learned.arms(endpoints[0], pool) == learned.arms(endpoints[1], pool)
