"""Facts are found out for policies that ask, cheaply, and never fail a request."""

import io

import numpy as np
import pytest
from PIL import Image

from quorate.codecs.snapshot import PolicyRoute, StrategyRoute
from quorate.core import facts as catalogue
from quorate.core.distance import Reference
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.serving import facts as gathering
from quorate.serving.call import Call
from quorate.serving.facts import Gatherer, Surroundings, missing, numbers, zone
from quorate.serving.prompt import PromptDesk

MEAN = StrategyRoute("average", "mean", ("a", "b"), 1)
BEST = StrategyRoute("best", "single", ("b",), 1, interpretable=True)
MIDNIGHT = 1_700_006_400.0  # Wednesday, 15 November 2023, 00:00 UTC


def rules(*pairs, otherwise="average", **more):
    listed = [{"when": when, "use": use} for when, use in pairs]
    return PolicyRoute("rules", {"rules": listed, "otherwise": otherwise, **more})


@pytest.fixture
def pool(house):
    return house.pool(a=house.inline(0.2), b=house.inline(0.9))


def gatherer(house, pool, *names, **more):
    more.setdefault("interpretable", {"best": True})
    return Gatherer(
        names, "main", pool, Surroundings(house.clock, more.pop("drift", None)), in_flight=lambda: 3, **more
    )


def test_every_fact_for_a_policy_can_be_found_out(house, pool):
    names = [fact.name for fact in catalogue.available("policy")]
    names = [name.replace("member.NAME", "member.b").replace("strategy.NAME", "strategy.best") for name in names]
    found = gatherer(house, pool, *names).gather(house.call(rows=2))
    assert found.keys() == set(names)
    for name, value in found.items():
        fact = catalogue.find(name)
        kinds = {"number": (int, float), "text": str, "boolean": bool}[fact.type]
        assert value is None or isinstance(value, kinds)
        assert not fact.values or value is None or value in fact.values
    unknown = {name for name, value in found.items() if value is None}
    pictures = {name for name in names if name.startswith("image.")}
    assert unknown == {"drift.state", "input.distance", "process.cpu"} | pictures


def test_what_is_not_asked_for_is_not_found_out(house, pool):
    assert gatherer(house, pool, "input.rows", "time.hour").gather(house.call(rows=2)).keys() == {
        "input.rows",
        "time.hour",
    }


def test_time_is_that_of_the_arrival_in_the_zone_asked_for(house, pool):
    call = Call(raw={"input": np.zeros((1, 2))}, rows=1, size=8, digest=b"", arrived=MIDNIGHT, started=0.0)
    names = ("time.hour", "time.minute", "time.weekday")
    assert tuple(gatherer(house, pool, *names).gather(call).values()) == (0, 0, 2)
    assert tuple(gatherer(house, pool, *names, timezone="Asia/Kolkata").gather(call).values()) == (5, 30, 2)
    assert zone("Nowhere/At-All").utcoffset(None).total_seconds() == 0


def test_members_health_and_latency(house, pool):
    names = ("member.b.healthy", "member.b.latency_ms")
    asked = gatherer(house, pool, *names)
    assert asked.gather(house.call()) == {"member.b.healthy": True, "member.b.latency_ms": pytest.approx(0.1)}
    pool.members[1].breaker.trip()
    assert asked.gather(house.call())["member.b.healthy"] is False


def test_what_monitors_say_is_read_once_a_second(house, pool, tmp_path, caplog):
    file = tmp_path / "drift.json"
    asked = gatherer(house, pool, "drift.state", drift=file)
    call = house.call()
    assert asked.gather(call) == {"drift.state": None}
    file.write_text('{"endpoints": {"main": "warning", "other": "drift"}}')
    assert asked.gather(call) == {"drift.state": None}
    house.clock.advance(1.1)
    assert asked.gather(call) == {"drift.state": "warning"}
    file.write_text("{")
    for _ in range(2):
        house.clock.advance(1.1)
        assert asked.gather(call) == {"drift.state": None}
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_the_share_of_missing_values():
    columns = (TensorSpec("x", "float64", (None,), nullable=True), TensorSpec("t", "str", (None,), nullable=True))
    signature = Signature("columns", columns, OutputSpec("scores", ("a", "b")))
    raw = {"x": np.array([1.0, np.nan]), "t": np.array(["", "b"], object)}
    assert missing(raw, signature) == 0.5
    assert numbers(raw, signature).shape == (2, 1)
    assert missing({"image": [b"x"]}, Signature("image", (), signature.output)) == 0.0


def test_the_distance_needs_a_reference(house, pool):
    asked = gatherer(house, pool, "input.distance")
    assert asked.measures_distance
    assert asked.gather(house.call()) == {"input.distance": None}
    asked.reference = Reference.of(np.random.default_rng(0).normal(0, 1, (50, 2)))
    assert asked.gather(house.call())["input.distance"] < 1


def test_pictures_are_measured_and_large_ones_in_a_thread(house, pool):
    written = io.BytesIO()
    Image.fromarray(np.full((6, 8), 255, np.uint8)).save(written, "PNG")
    names = ("image.width", "image.height", "image.brightness", "image.sharpness")
    asked = gatherer(house, pool, *names)
    call = house.call()
    call.raw = {"image": [written.getvalue()]}
    bright = dict(zip(sorted(names), (1.0, 6, 0.0, 8), strict=True))
    assert asked.gather(call) == bright
    assert not asked.heavy(call)
    call.size = gathering.HEAVY_BYTES + 1
    assert asked.heavy(call)
    assert not gatherer(house, pool, "image.width", "input.rows").heavy(call)
    assert house.run(asked.gather_aside(call, house.lane, 5.0)) == bright
    call.raw = {"image": [b"no picture"]}
    assert asked.gather(call) == dict.fromkeys(names)


def test_what_cannot_be_found_out_is_unknown_counted_and_logged_once(house, pool, caplog):
    failures = []
    asked = gatherer(house, pool, "input.missing", "input.rows", on_failure=lambda: failures.append(1))
    call = house.call(rows=1)
    call.raw = {}
    for _ in range(2):
        assert asked.gather(call) == {"input.missing": None, "input.rows": 1}
    assert len(failures) == 2
    assert len(caplog.records) == 1


# --- in an endpoint -----------------------------------------------------------------------------------


def test_a_policy_without_facts_gathers_none(house, pool):
    assert house.endpoint(pool, [MEAN, BEST]).facts is None
    assert house.endpoint(pool, [MEAN, BEST], rules(("context.x > 1", "best"))).facts is None


def test_a_rule_decides_by_facts_and_context_and_both_are_recorded(house, pool):
    endpoint = house.endpoint(pool, [MEAN, BEST], rules(("input.rows > 1 and context.tier == 'gold'", "best")))
    gold = house.predict(endpoint, rows=2, context={"tier": "gold"})
    plain = house.predict(endpoint, rows=2)
    assert (gold.assigned, gold.source, gold.propensities) == ("best", "rule", (0.0, 1.0))
    assert (plain.assigned, plain.source, plain.propensities) == ("average", "policy", (1.0, 0.0))
    assert gold.facts == plain.facts == {"input.rows": 2}
    assert [decision.facts for decision in house.journal.decisions] == [gold.facts, plain.facts]


def test_a_callers_choice_needs_no_facts(house, pool):
    policy = rules(("input.rows > 0", "best"))
    endpoint = house.endpoint(pool, [MEAN, BEST], policy, caller_may_choose=True)
    made = house.predict(endpoint, strategy="average")
    assert (made.source, made.facts) == ("caller", {})


def test_prompt_requests_have_their_facts_too(house, pool):
    endpoint = house.endpoint(house.fused(a=0.2, b=0.9), [MEAN, BEST], rules(("input.rows > 1", "best")))
    told = []

    async def main():
        desk = PromptDesk(house.plane, lambda endpoint, decisions, calls: [b""] * len(decisions))
        assert desk.takes(endpoint)
        assert desk.ask(endpoint, house.call(rows=2), told.append) is not None
        import asyncio

        while not told:
            await asyncio.sleep(0)

    house.run(main())
    ((made, _),) = told
    assert (made.assigned, made.source, made.facts) == ("best", "rule", {"input.rows": 2})


def test_rules_that_fire_are_counted(house, pool):
    counted = []
    from quorate.codecs.snapshot import EndpointRoute
    from quorate.serving.endpoint import LoadedEndpoint

    route = EndpointRoute("main", 1, "pool", (MEAN, BEST), rules(("context.x > 1", {"average": 1, "best": 1})))
    endpoint = LoadedEndpoint(route, pool, {}, on_rule=counted.append)
    for x, uniform in ((2, 0.4), (2, 0.6), (0, 0.6)):
        endpoint.choose(None, {"x": x}, lambda uniform=uniform: uniform)
    assert counted == ["1", "1", "otherwise"]


@pytest.mark.parametrize("x", [None, "text", True, float("nan"), 0])
def test_odd_context_fires_nothing_and_fails_nothing(house, pool, x):
    endpoint = house.endpoint(pool, [MEAN, BEST], rules(("1 / context.x > 0 or context.x > 1", "best")))
    assert house.predict(endpoint, context={"x": x}).assigned == "average"


def test_facts_that_take_too_long_are_unknown(house, pool, monkeypatch):
    import threading

    release = threading.Event()
    endpoint = house.endpoint(pool, [MEAN, BEST], rules(("not missing(image.contrast)", "best")))
    monkeypatch.setattr(gathering, "glance", lambda picture, max_pixels: release.wait(30))
    call = house.call()
    call.size = gathering.HEAVY_BYTES + 1
    house.hung = True

    async def main():
        found = await endpoint.facts.gather_aside(call, house.lane, 0.05)
        release.set()
        return found

    assert house.run(main()) == {"image.contrast": None}
