"""Endpoints as the page knows them, from either port."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("httpx", reason="The extra 'console' is not installed")

from quorate.client import EndpointInfo
from quorate.client.answers import Tensor
from quorate.console.catalogue import MOST_FIELDS, Endpoint, Field, from_control, from_inference


def _pool(kind: str, inputs: list[dict[str, Any]], output: dict[str, Any] | None = None) -> dict[str, Any]:
    output = output or {"kind": "scores", "classes": ["no", "yes"], "names": [], "units": []}
    members = [{"name": "a", "version": 1}, {"name": "b", "version": 2}]
    return {"signature": {"input_kind": kind, "inputs": inputs, "output": output}, "members": members}


def _endpoint(blind: bool = False, **policy: Any) -> dict[str, Any]:
    chosen = {"kind": "fixed", "params": {"strategy": "mean"}, **policy, "blind": blind}
    return {"name": "e", "strategies": [{"name": "mean"}], "policy": chosen, "caller_may_choose": True}


COLUMNS = [
    {"name": "size", "dtype": "float32", "shape": [None], "nullable": True},
    {"name": "rooms", "dtype": "int64", "shape": [None], "nullable": False},
    {"name": "city", "dtype": "str", "shape": [None], "nullable": False},
    {"name": "garden", "dtype": "bool", "shape": [None], "nullable": False},
]


def test_columns_become_fields() -> None:
    found = from_control(_endpoint(), _pool("columns", COLUMNS))
    assert found.fields == (
        Field("size", "number", True),
        Field("rooms", "integer"),
        Field("city", "text"),
        Field("garden", "yes-no"),
    )
    assert (found.classes, found.members, found.strategies) == (("no", "yes"), ("a", "b"), ("mean",))
    assert (found.policy, found.may_choose, found.told) == ("always mean", True, True)


@pytest.mark.parametrize(
    ("shape", "fields"), [([None, 3], 3), ([None, MOST_FIELDS + 1], 0), ([None, None], 0), ([None, 2, 2], 0)]
)
def test_an_array_has_a_field_a_number_unless_it_is_too_wide(shape: list[int | None], fields: int) -> None:
    spec = {"name": "input", "dtype": "float32", "shape": shape}
    found = from_control(_endpoint(), _pool("array", [spec]))
    assert len(found.fields) == fields
    assert found.shape == tuple(shape[1:])


def test_a_blind_endpoint_offers_no_choice_and_a_split_says_its_shares() -> None:
    split = {"kind": "split", "params": {"weights": {"x": 1, "y": 3, "z": 0}}}
    found = from_control(_endpoint(blind=True, **split), _pool("image", []))
    assert (found.blind, found.may_choose, found.policy) == (True, False, "split: x 25%, y 75%")


def _info(inputs: list[Tensor], *outputs: str) -> EndpointInfo:
    return EndpointInfo(
        "e", ("1",), "quorate_ensemble", tuple(inputs), tuple(Tensor(o, "FP32", (-1,)) for o in outputs)
    )


@pytest.mark.parametrize(
    ("inputs", "outputs", "expected"),
    [
        ([Tensor("image", "BYTES", (-1,))], ("probabilities", "label"), {"kind": "image"}),
        ([Tensor("image", "BYTES", (-1,))], ("label",), {"kind": "image", "blind": True}),
        ([Tensor("input", "FP32", (-1, 2))], ("value",), {"kind": "array", "output": "values", "shape": (2,)}),
        (
            [Tensor("city", "BYTES", (-1,)), Tensor("rooms", "INT64", (-1,))],
            ("probabilities", "label"),
            {"kind": "columns", "fields": (Field("city", "text"), Field("rooms", "integer"))},
        ),
    ],
)
def test_inference_tells_enough_to_ask(
    inputs: list[Tensor], outputs: tuple[str, ...], expected: dict[str, Any]
) -> None:
    found = from_inference(_info(inputs, *outputs))
    assert {name: getattr(found, name) for name in expected} == expected
    assert not found.told
    assert isinstance(found, Endpoint)


SETS = {"coverage": 0.9, "adaptive": False, "abstain": "never"}


@pytest.mark.parametrize(
    ("policy", "strategy", "can"),
    [
        ({"kind": "fixed", "params": {"strategy": "mean"}}, "", True),
        ({"kind": "fixed", "params": {"strategy": "bare"}}, "", False),
        ({"kind": "split", "params": {"weights": {"mean": 1, "bare": 0}}}, "", True),
        ({"kind": "split", "params": {"weights": {"mean": 1, "bare": 1}}}, "", False),
        ({"kind": "thompson", "params": {}}, "", False),
        ({"kind": "thompson", "params": {}}, "mean", True),
        ({"kind": "thompson", "params": {}}, "a", False),
    ],
)
def test_a_coverage_is_of_strategies_that_can_promise_one(policy: Any, strategy: str, can: bool) -> None:
    endpoint = _endpoint(**policy)
    endpoint["strategies"] = [{"name": "mean", "conformal": SETS}, {"name": "bare", "conformal": None}]
    found = from_control(endpoint, _pool("image", []))
    assert (found.promises(strategy), found.promising) == (can, {"mean": 0.9})
    assert not from_control(endpoint | {"policy": policy | {"blind": True}}, _pool("image", [])).promises(strategy)


def test_stages_and_the_deadline_are_known() -> None:
    endpoint = _endpoint() | {"deadline_ms": 200.0}
    assert not from_control(endpoint, _pool("image", [])).staged
    endpoint["strategies"] = [{"name": "mean", "stages": [["a"], ["b"]]}]
    found = from_control(endpoint, _pool("image", []))
    assert (found.staged, found.deadline_ms, found.promises("")) == (True, 200.0, False)
