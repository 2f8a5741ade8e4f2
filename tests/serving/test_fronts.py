"""Fronts send requests on by what is known before their input is read."""

import base64
import io
import json
import threading

import numpy as np
import pytest
from PIL import Image

from quorate.codecs.snapshot import FrontRoute, FrontRule, Limits, PolicyRoute, StrategyRoute
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import InvalidInput
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.facts import Surroundings, reference_of
from quorate.serving.fronts import loaded
from quorate.serving.sight import RawSight, Seen, look

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


def sees(house, site, body, *, media="application/json", conditions, extra=None):
    """Which of the conditions hold for a request, as a front with each of them alone says."""
    found = []
    for condition in conditions:
        (front,) = fronts(house, site, front=[(condition, "other"), "plain"]).values()
        front.references.update(extra or {})
        sent = front.send(look(body, media, b"", b"", 1.0, Limits()), 0)
        found.append(sent.endpoint.name == "other")
    return found


def rows(*instances, **context):
    return json.dumps({"instances": instances, "context": context}).encode()


def png(*, flat):
    levels = np.full((20, 30), 128, np.uint8)
    if not flat:
        levels[::2] = 0
    out = io.BytesIO()
    Image.fromarray(levels).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("form", ["body", "json", "protocol"])
def test_a_front_knows_what_is_in_a_picture(house, site, form):
    conditions = ["image.width == 30 and image.height == 20", "image.contrast > 0.1", "image.sharpness > 0.1"]
    conditions += ["image.brightness > 0.4", "input.missing == 0"]

    def look_at(picture):
        if form == "body":
            return sees(house, site, picture, media="image/png", conditions=conditions)
        if form == "json":
            return sees(house, site, rows({"b64": base64.b64encode(picture).decode()}), conditions=conditions)
        made = [fronts(house, site, front=[(one, "other"), "plain"])["front"] for one in conditions]
        sight = RawSight({"image": [picture]}, Limits())
        return [front.send(seen(kind="image", sight=sight), 0).endpoint.name == "other" for front in made[:4]] + [True]

    assert look_at(png(flat=True)) == [True, False, False, True, True]
    assert look_at(png(flat=False)) == [True, True, True, False, True]


def test_what_is_no_picture_has_no_sharpness_and_fails_nothing(house, site):
    known = ["image.sharpness >= 0", "image.width > 0", "missing(image.contrast)"]
    assert sees(house, site, rows([1, 2]), conditions=known) == [False, False, True]
    assert sees(house, site, rows({"b64": "not base64!"}), conditions=known) == [False, False, True]
    assert sees(house, site, b"no picture", media="image/png", conditions=known) == [False, False, True]


def test_missing_values_are_counted_by_who_reads_them_or_as_nulls(house, site):
    conditions = ["input.missing == 0.25", "input.missing == 0", "missing(input.missing)"]
    table = rows({"a": None, "b": "x"}, {"a": 1, "b": "y"})
    assert sees(house, site, table, conditions=conditions) == [True, False, False]  # nulls: the endpoints differ
    assert sees(house, site, rows([[1, None], [2, 3]]), conditions=conditions) == [True, False, False]
    alike = fronts(house, site, front=[("missing(input.missing)", "same"), "plain"])["front"]
    ways = [alike.send(look(rows(row), "", b"", b"", 1.0, Limits()), 0).endpoint.name for row in ([1, 2], [1, None])]
    assert ways == ["plain", "same"]  # both take two numbers and no null: what does not fit is not known


def test_the_distance_from_the_models_of_an_endpoint(house, site):
    usual = {"input": np.random.default_rng(0).normal(size=(32, 2)).astype(np.float32)}
    near = {"plain": reference_of(usual, site["plain"].pool.route.signature)}
    conditions = ["endpoint.plain.distance < 3", "endpoint.plain.distance > 100", "missing(endpoint.plain.distance)"]
    assert sees(house, site, rows([0.5, 0.5]), conditions=conditions, extra=near) == [True, False, False]
    assert sees(house, site, rows([5e3, 0]), conditions=conditions, extra=near) == [False, True, False]
    assert sees(house, site, rows({"x": 1}), conditions=conditions, extra=near) == [False, False, True]
    assert sees(house, site, rows([0.5, 0.5]), conditions=conditions) == [False, False, True]
    (front,) = fronts(house, site, front=[("endpoint.plain.distance > 3", "other"), "plain"]).values()
    assert front.measured == ("plain",)


def test_drift_of_an_endpoint(house, site, tmp_path):
    (tmp_path / "drift.json").write_text('{"endpoints": {"plain": "drift"}}')
    around = Surroundings(house.clock, tmp_path / "drift.json")
    rule = FrontRule("endpoint.plain.drift == 'drift'", "other")
    (front,) = loaded([FrontRoute("front", 1, (rule,), "plain")], site, house.clock, around).values()
    assert front.send(seen(), 0).endpoint.name == "other"


def test_large_inputs_are_looked_into_in_a_thread_and_an_error_is_counted(house, site, monkeypatch):
    failures = []
    rule = FrontRule("input.missing > 0.4", "other")
    route = FrontRoute("front", 1, (rule,), "plain")
    around = Surroundings(house.clock)
    (front,) = loaded([route], site, house.clock, around, lambda name: lambda: failures.append(name)).values()
    large = look(rows(*[[None, 1.5]] * 4000), "", b"", b"", 1.0, Limits(rows=10_000))
    threads = []
    send = front.send
    monkeypatch.setattr(front, "send", lambda *given: threads.append(threading.current_thread().name) or send(*given))
    house.run(front.send_aside(large, 0, house.lane))
    house.run(front.send_aside(large._replace(size=10), 0, house.lane))
    assert threads[1] == threading.current_thread().name != threads[0]
    monkeypatch.setattr(type(large.sight), "missing", lambda *_: 1 / 0)
    assert house.run(front.send_aside(large, 0, house.lane)).endpoint.name == "plain"
    assert failures == ["front"]


def test_what_takes_too_long_is_not_known(house, site, monkeypatch):
    failures = []
    (front,) = fronts(house, site, front=[("missing(input.missing)", "other"), "plain"]).values()
    front._on_failure = lambda: failures.append(1)
    large = look(rows(*[[1.5, 1.5]] * 4000), "", b"", b"", 1.0, Limits(rows=10_000))
    done = threading.Event()
    monkeypatch.setattr(type(large.sight), "missing", lambda *_: done.wait(30))
    house.hung = True
    assert house.run(front.send_aside(large, 0, house.lane)).endpoint.name == "other"
    done.set()
    assert failures == [1]


@pytest.mark.parametrize(
    ("row", "kind"),
    [([1, 2], "array"), ({"x": 1}, "columns"), ({"b64": "x"}, "image"), ({}, "columns"), (5, None), (None, None)],
)
def test_what_a_body_shows(row, kind):
    body = json.dumps({"context": {"a": 1}, "instances": [row, row]}).encode()
    assert look(body, "application/json", b"", b"", 1.0, Limits())[:5] == (kind, 2, len(body), 1.0, {"a": 1})


def test_other_forms_of_requests():
    found = look(b"xx", "image/png", b"", b"context.a=1&max_ms=5", 1.0, Limits())
    assert found[:5] == ("image", 1, 2, 1.0, {"a": "1"})
    form = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n'
    assert look(form, "multipart/form-data", b"multipart/form-data; boundary=b", b"", 1.0, Limits()).rows == 1
    with pytest.raises(InvalidInput):
        look(b'{"rows": []}', "application/json", b"", b"", 1.0, Limits())
