from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import RegistryError
from quorate.registry.signatures import check_signature

SCORES = OutputSpec("scores", ("a", "b"))
ARRAY = Signature("array", (TensorSpec("input", "float32", (None, 4)),), SCORES)
IMAGE = Signature("image", (TensorSpec("image", "bytes", (None,)),), SCORES)
COLUMNS = Signature(
    "columns",
    (TensorSpec("age", "int64", (None,)), TensorSpec("city", "str", (None,))),
    OutputSpec("values", names=("price",), units=("EUR",)),
)


@pytest.mark.parametrize("signature", [ARRAY, IMAGE, COLUMNS])
def test_sound(signature: Signature) -> None:
    check_signature(signature)


def inputs(*specs: TensorSpec) -> dict[str, Any]:
    return {"inputs": specs}


@pytest.mark.parametrize(
    ("signature", "path"),
    [
        (replace(ARRAY, **inputs(TensorSpec("x", "float32", (None, 4)))), "inputs"),
        (replace(IMAGE, **inputs(TensorSpec("input", "bytes", (None,)))), "inputs"),
        (replace(COLUMNS, inputs=()), "inputs"),
        (replace(COLUMNS, **inputs(TensorSpec("a", "int64", (None,)), TensorSpec("a", "int64", (None,)))), "inputs"),
        (replace(COLUMNS, **inputs(TensorSpec("", "int64", (None,)))), "inputs"),
        (replace(COLUMNS, **inputs(TensorSpec("a", "int64", (None, 2)))), "inputs[0].shape"),
        (replace(ARRAY, **inputs(TensorSpec("input", "str", (None, 4)))), "inputs[0].dtype"),
        (replace(ARRAY, **inputs(TensorSpec("input", "object", (None, 4)))), "inputs[0].dtype"),
        (replace(ARRAY, **inputs(TensorSpec("input", "float32", (3, 4)))), "inputs[0].shape"),
        (replace(ARRAY, **inputs(TensorSpec("input", "float32", ()))), "inputs[0].shape"),
        (replace(ARRAY, **inputs(TensorSpec("input", "float32", (None, 0)))), "inputs[0].shape"),
        (replace(ARRAY, output=OutputSpec("scores", ("a",))), "output.classes"),
        (replace(ARRAY, output=OutputSpec("scores", ("a", "a"))), "output.classes"),
        (replace(ARRAY, output=OutputSpec("scores", ("a", ""))), "output.classes"),
        (replace(ARRAY, output=OutputSpec("scores", ("a", "b"), names=("x",))), "output.names"),
        (replace(ARRAY, output=OutputSpec("scores", ("a", "b"), units=("x", "y"))), "output.units"),
        (replace(ARRAY, output=OutputSpec("values")), "output.names"),
        (replace(ARRAY, output=OutputSpec("values", classes=("a", "b"), names=("x",))), "output.classes"),
        (replace(ARRAY, output=OutputSpec("values", names=("x", "y"), units=("m",))), "output.units"),
    ],
)
def test_unsound(signature: Signature, path: str) -> None:
    with pytest.raises(RegistryError, match="The signature is wrong: ") as caught:
        check_signature(signature)
    assert caught.value.path == f"signature.{path}"
