"""What can be asked: endpoints as the page needs to know them, from control where it tells, else from inference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from quorate.client import EndpointInfo

Kind = Literal["image", "array", "columns", "other"]
Entry = Literal["number", "integer", "yes-no", "text"]

MOST_FIELDS = 64
"""A wider array gets one box for the whole row instead of a field a number."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form: the column's name and what may be entered."""

    name: str
    entry: Entry
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint; ``fields`` are a tabular one's columns, ``shape`` an array's row.

    ``classes`` (or ``targets`` of a regression), ``strategies``, ``members`` and ``policy`` are empty where only
    inference could be asked, which does not tell them; ``told`` says so. ``drawn`` are the strategies that the policy
    may draw, ``promising`` those that can promise a coverage, with that of requests that ask for none. ``staged`` is
    whether one asks its members in stages, and ``deadline_ms`` what an answer may take.
    """

    name: str
    kind: Kind
    output: Literal["scores", "values"] = "scores"
    fields: tuple[Field, ...] = ()
    shape: tuple[int | None, ...] = ()
    classes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    policy: str = ""
    blind: bool = False
    may_choose: bool = False
    told: bool = True
    drawn: tuple[str, ...] = ()
    promising: Mapping[str, float | None] = field(default_factory=dict)
    staged: bool = False
    deadline_ms: float | None = None

    def promises(self, strategy: str) -> bool:
        """Whether a coverage can be asked of a strategy or member; where none is named, of all that may be drawn."""
        names = (strategy,) if strategy else self.drawn
        return not self.blind and bool(names) and all(name in self.promising for name in names)


def from_control(endpoint: Mapping[str, Any], pool: Mapping[str, Any]) -> Endpoint:
    """From the views of the control port: an endpoint and its pool."""
    signature = pool["signature"]
    kind: Kind = signature["input_kind"]
    shape: tuple[int | None, ...] = ()
    fields: tuple[Field, ...] = ()
    if kind == "columns":
        fields = tuple(
            Field(spec["name"], _entry(spec["dtype"]), bool(spec.get("nullable"))) for spec in signature["inputs"]
        )
    elif kind == "array":
        spec = signature["inputs"][0]
        shape = tuple(spec["shape"][1:])
        fields = _numbered(shape, _entry(spec["dtype"]), bool(spec.get("nullable")))
    output = signature["output"]
    strategies = endpoint["strategies"]
    names = tuple(strategy["name"] for strategy in strategies)
    return Endpoint(
        name=endpoint["name"],
        kind=kind,
        output=output["kind"],
        fields=fields,
        shape=shape,
        classes=tuple(output.get("classes", ())),
        targets=tuple(output.get("names", ())),
        units=tuple(output.get("units", ())),
        strategies=names,
        members=tuple(member["name"] for member in pool["members"]),
        policy=_policy(endpoint["policy"]),
        blind=endpoint["policy"]["blind"],
        may_choose=endpoint["caller_may_choose"] and not endpoint["policy"]["blind"],
        drawn=_drawn(endpoint["policy"], names),
        promising={each["name"]: each["conformal"]["coverage"] for each in strategies if each.get("conformal")},
        staged=any(len(each.get("stages", ())) > 1 for each in strategies),
        deadline_ms=endpoint.get("deadline_ms"),
    )


def from_inference(info: EndpointInfo) -> Endpoint:
    """From the protocol's metadata, which has neither classes nor strategies."""
    outputs = {tensor.name for tensor in info.outputs}
    common: dict[str, Any] = {
        "output": "values" if "value" in outputs else "scores",
        "blind": "label" in outputs and "probabilities" not in outputs,
        "told": False,
    }
    first = info.inputs[0]
    if len(info.inputs) == 1 and first.name == "image":
        return Endpoint(info.name, "image", **common)
    if len(info.inputs) == 1 and first.name == "input":
        shape = tuple(None if length < 0 else length for length in first.shape[1:])
        return Endpoint(info.name, "array", shape=shape, fields=_numbered(shape, _datatype(first.datatype)), **common)
    fields = tuple(Field(tensor.name, _datatype(tensor.datatype)) for tensor in info.inputs)
    return Endpoint(info.name, "columns", fields=fields, **common)


def _numbered(shape: tuple[int | None, ...], entry: Entry, nullable: bool = False) -> tuple[Field, ...]:
    if len(shape) != 1 or shape[0] is None or shape[0] > MOST_FIELDS:
        return ()
    return tuple(Field(str(number), entry, nullable) for number in range(1, shape[0] + 1))


def _entry(dtype: str) -> Entry:
    if dtype == "str":
        return "text"
    if dtype == "bool":
        return "yes-no"
    return "integer" if dtype.startswith(("int", "uint")) else "number"


def _datatype(name: str) -> Entry:
    known: dict[str, Entry] = {"BYTES": "text", "BOOL": "yes-no"}
    return known.get(name, "integer" if "INT" in name else "number")


def _drawn(policy: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, ...]:
    """The strategies that may be drawn: all, unless the policy is a constant."""
    if policy["kind"] == "fixed":
        return tuple(name for name in names if name == policy["params"].get("strategy"))
    if policy["kind"] == "split":
        return tuple(name for name in names if policy["params"]["weights"].get(name))
    return names


def _policy(policy: Mapping[str, Any]) -> str:
    params = policy["params"]
    if policy["kind"] == "fixed":
        return f"always {params.get('strategy')}"
    if policy["kind"] == "split":
        total = sum(params["weights"].values())
        shares = [f"{name} {weight / total:.0%}" for name, weight in params["weights"].items() if weight]
        return f"split: {', '.join(shares)}"
    return str(policy["kind"])
