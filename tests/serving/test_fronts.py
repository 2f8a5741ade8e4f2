"""Fronts send requests on by what is known before their input is read."""

import json

import pytest

from quorate.codecs.snapshot import FrontRoute, FrontRule, Limits, PolicyRoute, StrategyRoute
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import InvalidInput
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.facts import Surroundings
from quorate.serving.fronts import Seen, loaded, look

ONLY = StrategyRoute("only", "single", ("a",), 1)


@pytest.fixture
def site(house):
    """Endpoints ``plain`` and ``other``, whose signatures differ in their classes."""
    from quorate.codecs.snapshot import EndpointRoute

    def endpoint(name, classes=("no", "yes"), *, blind=False):
        signature = Signature("array", (TensorSpec("input", "float32", (None, 2)),), OutputSpec("scores", classes))
        pool = house.pool(a=house.inline(0.2), signature=signature)
        policy = PolicyRoute("fixed", {"strategy": "only"}, blind=blind)
        return LoadedEndpoint(EndpointRoute(name, 1, "pool", (ONLY,), policy, deadline_ms=200.0), pool, {})

    return {
        each.name: each for each in (endpoint("plain"), endpoint("same", blind=True), endpoint("other", ("a", "b")))
    }


def fronts(house, site, **routes):
    made = [
        FrontRoute(name, 1, tuple(FrontRule(*rule) for rule in rules), otherwise)
        for name, (*rules, otherwise) in routes.items()
    ]
    return loaded(made, site, house.clock, Surroundings(house.clock))


def seen(**more):
    return Seen(**{"kind": "array", "rows": 1, "size": 10, "arrived": 0.0, "context": {}, **more})


@pytest.mark.parametrize(
    ("more", "target", "rule"),
    [
        ({"context": {"task": "letters"}}, "other", "1"),
        ({"rows": 50}, "same", "2"),
        ({"kind": "image"}, "same", "2"),
        ({}, "plain", "otherwise"),
    ],
)
def test_the_first_rule_that_is_true_sends_the_request_on(house, site, more, target, rule):
    rules = [("context.task == 'letters'", "other"), ("input.rows > 9 or input.kind == 'image'", "same"), "plain"]
    (front,) = fronts(house, site, front=rules).values()
    sent = front.send(seen(**more), 0)
    assert sent.endpoint.name == target
    assert sent.facts == {"front": "front", "front.rule": rule}


def test_load_time_and_health_count(house, site):
    rules = [
        ("not endpoint.other.healthy", "plain"),
        ("endpoint.other.in_flight > 2 or load.in_flight > 9 or endpoint.other.queue_ms > 5", "same"),
        ("time.hour == 1 and time.weekday == 3", "plain"),
        "other",
    ]
    (front,) = fronts(house, site, front=rules).values()
    assert front.send(seen(), 0).endpoint.name == "other"
    assert front.send(seen(arrived=3600.0), 0).facts["front.rule"] == "3"
    assert front.send(seen(), 10).endpoint.name == "same"
    site["other"].in_flight = 3
    assert front.send(seen(), 0).endpoint.name == "same"
    site["other"].pool.members[0].breaker.trip()
    assert front.send(seen(), 0).endpoint.name == "plain"


def test_a_front_may_send_to_a_front_and_both_are_recorded(house, site):
    made = fronts(house, site, outer=[("true", "inner"), "plain"], inner=[("input.rows > 1", "other"), "plain"])
    sent = made["outer"].send(seen(rows=2), 0)
    assert sent.endpoint.name == "other"
    assert sent.facts == {"front": "outer > inner", "front.rule": "1 > 1"}
    assert {target.name for target in made["outer"].targets} == {"plain", "other"}


def test_one_signature_and_blindness_are_those_of_all_its_endpoints(house, site):
    made = fronts(house, site, alike=[("true", "same"), "plain"], mixed=[("true", "other"), "plain"])
    assert made["alike"].signature == site["plain"].pool.route.signature
    assert made["mixed"].signature is None
    assert made["alike"].blind
    assert not made["mixed"].blind


@pytest.mark.parametrize(
    ("row", "kind"),
    [([1, 2], "array"), ({"x": 1}, "columns"), ({"b64": "x"}, "image"), ({}, "columns"), (5, None), (None, None)],
)
def test_what_a_body_shows(row, kind):
    body = json.dumps({"context": {"a": 1}, "instances": [row, row]}).encode()
    assert look(body, "application/json", b"", b"", 1.0, Limits()) == Seen(kind, 2, len(body), 1.0, {"a": 1})


def test_other_forms_of_requests():
    found = look(b"xx", "image/png", b"", b"context.a=1&max_ms=5", 1.0, Limits())
    assert found == Seen("image", 1, 2, 1.0, {"a": "1"})
    form = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n'
    assert look(form, "multipart/form-data", b"multipart/form-data; boundary=b", b"", 1.0, Limits()).rows == 1
    with pytest.raises(InvalidInput):
        look(b'{"rows": []}', "application/json", b"", b"", 1.0, Limits())
