from __future__ import annotations

import json
from typing import Any

import pytest

from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import RegistryError
from quorate.registry import manifest as module
from quorate.registry.manifest import Manifest, decode, encode

FULL = Manifest(
    name="digits",
    version=3,
    format="onnx",
    signature=Signature(
        "image", (TensorSpec("image", "bytes", (None,)),), OutputSpec("scores", classes=("zero", "one"))
    ),
    tensors=(TensorSpec("input", "float32", (None, 64)),),
    output_name="probabilities",
    preprocess=[{"kind": "decode", "version": 1}],
    options={"threads": 2},
    files={"model.onnx": "0" * 64},
    digest="1" * 64,
    sample="2" * 64,
    metrics={"accuracy": 0.98},
    data_digest="3" * 64,
    commit="4" * 40,
    libraries={"numpy": "2.4.6"},
    created=1_700_000_000.5,
    parent="digits:2",
    notes={"why": "more data"},
)


def test_every_field_survives() -> None:
    assert decode(encode(FULL), path="3.json") == FULL
    assert FULL.ref == "digits:3"


def test_another_format_version_is_refused_with_both_numbers() -> None:
    document = json.loads(encode(FULL)) | {"schema": 7}
    with pytest.raises(RegistryError, match=r"x\.json has format 7; this release reads \[1\]") as caught:
        decode(json.dumps(document).encode(), path="x.json")
    assert caught.value.path == "x.json"


def test_the_format_before_is_read_through_its_upgrade(monkeypatch: pytest.MonkeyPatch) -> None:
    def upgrade(old: dict[str, Any]) -> dict[str, Any]:
        return {"notes": old.pop("remarks"), **old, "schema": 1}

    monkeypatch.setitem(module.UPGRADES, 0, upgrade)
    old = json.loads(encode(FULL)) | {"schema": 0}
    old["remarks"] = old.pop("notes")
    assert decode(json.dumps(old).encode(), path="3.json") == FULL


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"schema": 1}', b'{"schema":1,"name":"a","format":"onnx","new":1}']
)
def test_broken_manifests_are_said_to_be(data: bytes) -> None:
    with pytest.raises(RegistryError, match=r"The manifest 3\.json cannot be read"):
        decode(data, path="3.json")


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(RegistryError, match="cannot be written as JSON"):
        encode(Manifest(name="a", format="onnx", options={"f": object()}))
